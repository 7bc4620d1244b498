"""章の数を増やした本の、組み立ての時間とメモリと、検索のデータの大きさを測る。

引数は章の数（初めは25、50、100、200）。メモリは、同時に動くすべてのプロセスが使う量の和で、
共有する分も重ねて数える。先に ``make html`` で組み立てておく。
"""

import gzip
from pathlib import Path

from build import EDITED, OURS, ROOT, edit, run, tree
from table import Row, positive

from verified_book.book import Book
from verified_book.execution import chapters_of

MODEL = "start/shape"  # 大きな本の章は、この章の写し
SIZES = (25, 50, 100, 200)


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


def measure(*sizes: str) -> tuple[list[Row], dict[str, str]]:
    rows = []
    counts = [positive(size) for size in sizes] or SIZES
    for count in counts:
        with tree(Book.load(ROOT)) as root:
            grow(root, count)
            cold, memory = run(OURS, root)
            warm, _ = run(OURS, root)
            edit(root / EDITED, 1)
            edited, _ = run(OURS, root)
            data = (root / "_build/html/_static/search-data.js").read_bytes()
        rows += [
            Row(f"{count}章、初めて", "秒", [cold]),
            Row(f"{count}章、変えない", "秒", [warm]),
            Row(f"{count}章、一語を直す", "秒", [edited]),
            Row(f"{count}章、メモリ", "GB", [memory]),
            Row(f"{count}章、検索のデータ", "KB", [len(gzip.compress(data, 9)) / 1000]),
        ]
    return rows, {"初めて": "もとの章の実行結果は、あるものを使う"}
