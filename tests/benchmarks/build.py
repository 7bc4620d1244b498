"""組み立ての時間を測る：変えないときと、一語を直したとき。

先に ``make html`` で組み立てておく。本の写しの上で測り、元の木には何も書かない。
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import psutil
from page import plain_command
from table import Row

from verified_book.book import Book
from verified_book.mutants.tree import copied

ROOT = Path(__file__).resolve().parents[2]
OURS = [sys.executable, "-m", "sphinx", "-W", "-n", "-q", "-j", "auto", "-c", "."]
OURS += ["-d", "_build/doctrees", "docs", "_build/html"]
EDITED = "docs/start/tensor.md"
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


def edit(path: Path, turn: int) -> None:
    """文章の終わりに近い一語を直す。"""
    before, word, after = path.read_text("utf-8").rpartition("です。")
    path.write_text(f"{before}{turn}{word}{after}", "utf-8")


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
        edit(root / EDITED, turn)
        take("一語を直す：本", OURS)
        take("一語を直す：初めの設定", plain)
    return times


def measure() -> tuple[list[Row], dict[str, str]]:
    """変えないときと、一語を直したとき。後者は、変えないときより余分にかかった秒数も出す。"""
    with tree(Book.load(ROOT)) as root:
        times = compare(root)
    theme = f"Sphinx {version('sphinx')}、初めの設定"
    none, edited = (
        (times[f"{phase}：本"], times[f"{phase}：初めの設定"])
        for phase in ("変えない", "一語を直す")
    )
    extra = [[b - a for a, b in zip(*pair, strict=True)] for pair in zip(none, edited, strict=True)]
    rows = [
        Row("変えない", "秒", none[0], theme, none[1]),
        Row("一語を直す", "秒", edited[0], theme, edited[1]),
        Row("一語を直して増える時間", "秒", extra[0], theme, extra[1]),
    ]
    return rows, {}
