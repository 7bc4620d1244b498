"""速さと軽さを測り、一つの表にする。

    python tests/benchmarks/bench.py                全部（長くかかる。静かな機械で）
    python tests/benchmarks/bench.py page tensor    一つの部だけ。残りの引数は、その部に渡す

``make bench`` が呼ぶ。比べる相手とは交互に動かす。表は_build/bench.jsonと、サイトに載せる
docs/appendix/bench.jsonに書く。測らなかった部は、前に測った日付とともに残る。
"""

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from inspect import signature
from pathlib import Path

from table import Row

from verified_book.book import Book
from verified_book.kernel import processor, versions

ROOT = Path(__file__).resolve().parents[2]
FILES = (ROOT / "docs/appendix/bench.json", ROOT / "_build/bench.json")  # 初めのものに書き足す
# （部の名前、見出し、測る関数のあるモジュール）
PARTS = [
    ("training", "学習"),
    ("build", "組み立て"),
    ("tools", "ほかの道具での組み立て"),
    ("growth", "本の大きさと組み立て"),
    ("page", "ページ"),
    ("search", "検索"),
    ("draw", "ブラウザーの中の推論"),
]


def conditions() -> dict:
    """測った日、プロセッサー、使えるコアの数、始めたときの負荷、版。"""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0,
        "load": round(os.getloadavg()[0], 2),
        "versions": versions(Book.load(ROOT)),
    }


def previous() -> dict[str, dict]:
    for path in FILES:
        if path.is_file():
            return {part["name"]: part for part in json.loads(path.read_text("utf-8"))["parts"]}
    return {}


def write(parts: dict[str, dict]) -> None:
    ordered = [parts[name] for name, _ in PARTS if name in parts]
    text = json.dumps({"parts": ordered}, ensure_ascii=False, indent=1) + "\n"
    for path in FILES:
        path.parent.mkdir(exist_ok=True)
        partial = path.with_suffix(".part")
        partial.write_text(text, "utf-8")
        partial.replace(path)


def main(arguments: list[str]) -> int:
    titles = dict(PARTS)
    if arguments and arguments[0] not in titles:
        print(f"測れるのは、{'、'.join(titles)}です。", file=sys.stderr)
        return 1
    if arguments:
        try:
            signature(import_module(arguments[0]).measure).bind(*arguments[1:])
        except TypeError:
            print(f"{arguments[0]}に渡す引数が多すぎます。", file=sys.stderr)
            return 1
    chosen = arguments[:1] or list(titles)
    for name in chosen:
        print(f"## {titles[name]}", flush=True)
        begin = conditions()
        measure: Callable[..., tuple[list[Row], dict[str, str]]] = import_module(name).measure
        rows, others = measure(*arguments[1:])
        part = {"name": name, "title": titles[name], **begin, "others": others}
        for row in rows:
            print("  ".join(filter(None, row.cells())), flush=True)
        # 測り終えるたびに書くので、途中で止めても残る
        write(previous() | {name: part | {"rows": [row.record() for row in rows]}})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
