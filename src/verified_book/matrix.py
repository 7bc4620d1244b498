"""ほかの版でも例が成り立つかを確かめるコマンド：``python -m verified_book.matrix [名前の一部]``。

``ENVIRONMENTS`` の環境を一つずつ作り、``make doctest`` と同じ例をすべて動かし、消す。
終わった環境の結果は ``_build/matrix.json`` に残るので、途中で止めても、続きから始まる。
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock, Timeout

from verified_book.book import Book
from verified_book.trial import Environment, Outcome, attempt, snapshot

NEWEST = {"torch": "2.15.0", "torchvision": "0.29.2"}
ENVIRONMENTS = (
    Environment("3.11", {"torch": "2.13.0", "torchvision": "0.28.0"}),
    Environment("3.11", {"torch": "2.14.1", "torchvision": "0.29.2"}),
    Environment("3.11", NEWEST),
    Environment("3.12", NEWEST),
    Environment("3.13", NEWEST),
)


def run(book: Book, environments: Sequence[Environment]) -> dict[str, Outcome]:
    """環境を順に確かめる。木が前と同じなら、前に最後まで動いた結果を使う。

    Returns
    -------
    dict of str to Outcome
        環境の名前ごとの結果。同じものが ``_build/matrix.json`` に残る。
    """
    workspace, record = book.root / "_build/matrix", book.root / "_build/matrix.json"
    shutil.rmtree(workspace, ignore_errors=True)  # 途中で止められた環境
    workspace.mkdir(parents=True, exist_ok=True)
    outcomes = {}
    with tempfile.TemporaryDirectory(dir=workspace, ignore_cleanup_errors=True) as folder:
        tree = Path(folder, "tree")
        digest = snapshot(book, tree)
        saved = json.loads(record.read_text("utf-8")) if record.is_file() else {}
        known = saved["outcomes"] if saved.get("digest") == digest else {}
        for number, environment in enumerate(environments, 1):
            name = str(environment)
            print(f"[{number}/{len(environments)}] {name}", flush=True)
            before = Outcome(**known.get(name, {}))
            outcomes[name] = before if before.examples else attempt(book, environment, tree)
            known[name] = asdict(outcomes[name])
            content = {"digest": digest, "outcomes": known}
            partial = record.with_suffix(".part")
            partial.write_text(json.dumps(content, ensure_ascii=False, indent=1), "utf-8")
            partial.replace(record)
    return outcomes


def table(outcomes: dict[str, Outcome]) -> str:
    """環境ごとの結果に番号を付け、違う出力のそれぞれを、違った環境の番号とともに並べる。"""
    lines = [f"{n} {name}：{outcome}" for n, (name, outcome) in enumerate(outcomes.items(), 1)]
    places = {place.rpartition(":") for o in outcomes.values() for place in o.differences}
    for file, _, line in sorted(places, key=lambda place: (place[0], int(place[2]))):
        place = f"{file}:{line}"
        marks = (n if place in o.differences else "-" for n, o in enumerate(outcomes.values(), 1))
        lines.append(f"{' '.join(map(str, marks))}  {place}")
    return "\n".join(lines)


def matrix(book: Book, environments: Sequence[Environment]) -> int:
    """環境を確かめて表にする。違いか、動かない環境があれば1を返す。"""
    lock = book.root / "_build/matrix.lock"
    lock.parent.mkdir(exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            outcomes = run(book, environments)
    except Timeout:
        print("ほかのmake matrixが動いています。終わるのを待ってください。", file=sys.stderr)
        return 1
    print(table(outcomes))
    return int(any(outcome.differences or outcome.failure for outcome in outcomes.values()))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m verified_book.matrix", description=__doc__)
    parser.add_argument("name", nargs="?", default="", help="環境の名前の一部（省けばすべて）")
    name = parser.parse_args().name
    environments = [environment for environment in ENVIRONMENTS if name in str(environment)]
    if not environments:
        print(f"「{name}」を名前に含む環境がありません。", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # 止められても環境を消す
    return matrix(Book.load(Path.cwd()), environments)


if __name__ == "__main__":
    sys.exit(main())
