"""組み立ての時間を測る：変えないとき、一語を直したとき、本が大きくなったとき。

    python tests/benchmarks/build.py         変えないときと、一語を直したとき
    python tests/benchmarks/build.py grow    25、50、100、200章の本

先に ``make html`` で組み立てておく。どれも本の写しの上で測り、元の木には何も書かない。
メモリは、同時に動くすべてのプロセスの使う量の和で、共有する分も重ねて数える。
"""

import gzip
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import psutil
from page import plain_command

from verified_book.book import Book
from verified_book.execution import chapters_of
from verified_book.kernel import processor
from verified_book.mutants.tree import copied

ROOT = Path(__file__).resolve().parents[2]
OURS = [sys.executable, "-m", "sphinx", "-W", "-n", "-q", "-j", "auto", "-c", "."]
OURS += ["-d", "_build/doctrees", "docs", "_build/html"]
MODEL = "start/shape"  # 大きな本の章は、この章の写し
EDITED = "docs/start/tensor.md"
SIZES = (25, 50, 100, 200)
ROUNDS = 5


def run(command: list[str], root: Path) -> tuple[float, float]:
    """``command`` にかかる秒数と、メモリの最大の量（GB）を返す。"""
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    begin, peak = time.monotonic(), 0
    with subprocess.Popen(command, cwd=root, env=environment) as process:
        parent = psutil.Process(process.pid)
        while process.poll() is None:
            used = 0
            for part in [parent, *parent.children(recursive=True)]:
                try:
                    used += part.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            peak = max(peak, used)
            time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"組み立てられません：{' '.join(command)}")
    return time.monotonic() - begin, peak / 1e9


@contextmanager
def tree(book: Book) -> Iterator[Path]:
    """本の写し。実行結果も写しなので、測るときに増えた結果は残らない。"""
    with copied(book) as copy:
        cache = copy.book.root / book.cache
        cache.unlink()
        shutil.copytree(book.root / book.cache, cache)
        yield copy.book.root


def edit(root: Path, turn: int) -> None:
    """一つの章の一語を直す。"""
    path = root / EDITED
    before, word, after = path.read_text("utf-8").rpartition("です。")
    path.write_text(f"{before}{turn}{word}{after}", "utf-8")


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):5.2f}秒（{min(values):.2f}–{max(values):.2f}）"


def compare(root: Path) -> dict[str, list[float]]:
    """本と、同じページをテーマの初めの設定で組み立てたものとを、交互に測る。"""
    plain = plain_command(root)
    run(OURS, root)
    run(plain, root)
    times: dict[str, list[float]] = {}

    def take(name: str, command: list[str]) -> None:
        times.setdefault(name, []).append(run(command, root)[0])

    for turn in range(ROUNDS):
        take("変えない：本", OURS)
        take("変えない：初めの設定", plain)
        edit(root, turn)
        take("一語を直す：本", OURS)
        take("一語を直す：初めの設定", plain)
    return times


def grow(root: Path, count: int) -> None:
    """``MODEL`` の章の写しを、全部で ``count`` 章になるまで加える。"""
    text = (root / "docs" / f"{MODEL}.md").read_text("utf-8")
    part, name = MODEL.split("/")
    folder = root / "docs" / part
    index = root / "docs/index.md"
    chapters = sum(1 for chapter in chapters_of(Book.load(root)) if chapter.cells)
    for number in range(chapters, count):
        own = text.replace(f"{name}-", f"{name}{number}-").replace(
            "```{code-cell} python\n", f"```{{code-cell}} python\n# {number}\n", 1
        )
        (folder / f"{name}{number}.md").write_text(own, "utf-8")
    listed = (
        index.read_text("utf-8") + f"\n```{{toctree}}\n:glob:\n:hidden:\n\n{part}/{name}?*\n```\n"
    )
    index.write_text(listed, "utf-8")


def measure_growth(book: Book) -> None:
    print("章の数  初めて  変えない  一語を直す  メモリGB  検索のデータKB", flush=True)
    for count in SIZES:
        with tree(book) as root:
            grow(root, count)
            cold, memory = run(OURS, root)
            warm, _ = run(OURS, root)
            edit(root, 1)
            edited, _ = run(OURS, root)
            data = (root / "_build/html/_static/search-data.js").read_bytes()
            size = len(gzip.compress(data, 9)) / 1000
        print(
            f"{count:6} {cold:7.1f} {warm:9.2f} {edited:11.2f} {memory:9.2f} {size:15.1f}",
            flush=True,
        )


def main() -> None:
    print(f"{processor()}、{date.today()}")
    book = Book.load(ROOT)
    if sys.argv[1:] == ["grow"]:
        measure_growth(book)
        return
    with tree(book) as root:
        for name, values in compare(root).items():
            print(f"{name:20} {spread(values)}")


if __name__ == "__main__":
    main()
