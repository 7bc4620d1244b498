"""章のセルを、検証が退けるところまで動かす。長い学習は、近道では飛ばす。

近道とは、長いセルを飛ばしても検証に通るセルだけを比べること。学習を待たずに、多くの誤りが見つかる。
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import datetime

import nbformat

from verified_book.cache_key import key
from verified_book.chapter import Cell, Chapter
from verified_book.kernel import HARD_LIMIT
from verified_book.measured import glued
from verified_book.mutants.fork import forked, streamed
from verified_book.mutants.mutant import Judged, Mutant, Verdict
from verified_book.mutants.session import Session, own_folder
from verified_book.mutants.tree import Copy

LONG = 20.0  # これより長いセル（秒）は、近道では飛ばす


class RedError(Exception):
    """誤りを植える前から、検証が失敗する。"""


def verdicts(planted: list[Mutant], judge: Callable[[], Iterator[dict]]) -> Judged:
    """``judge`` を子プロセスで動かし、記録を答えにする。

    Raises
    ------
    RedError
        誤りを植える前から、検証が失敗するとき。
    """
    for record in streamed(judge) if planted else ():
        if "red" in record:
            raise RedError(record["red"])
        verdict = Verdict(record["caught"], record["by"])
        yield planted[record["index"]], verdict, record["seconds"]


class Reading:
    """一つの章を動かす用意。``long`` は長いセル、``steady`` は長いセルを飛ばしても通るセル。"""

    def __init__(self, copy: Copy, chapter: Chapter, session: Session) -> None:
        self.chapter, self.session = chapter, session
        # これを過ぎれば組み立ても失敗する秒数。1スレッドで動かす分、長くとる
        self.limit = 2 * HARD_LIMIT * chapter.budget + 10
        self.long = long_cells(copy, chapter)
        self.steady: set[int] = set()
        if self.long:
            ((_, result, _),) = forked([0], self._steady, jobs=1, limit=self.limit)
            self.steady = set(result["steady"])

    def _steady(self, _: int) -> dict:
        cells = [(i, cell) for i, cell in enumerate(self.chapter.cells) if i not in self.long]
        with own_folder():
            return {"steady": [i for i, cell in cells if not self.session.refused(cell)[0]]}

    def passes(self, first: int) -> list[bool]:
        """``first`` 番目のセルから動かすときの、動かし方：近道（True）、すべて（False）の順。"""
        shortcut = first not in self.long and any(index > first for index in self.long)
        return [True, False] if shortcut else [False]

    def walk(self, first: int, source: str | None = None, *, shortcut: bool) -> dict:
        """``first`` 番目から先のセルを動かし、検証が退けたところで終わる。

        ``source`` は、``first`` 番目のセルの代わりに動かすコード。
        """
        shown = []
        with own_folder():
            for index, cell in list(enumerate(self.chapter.cells))[first:]:
                if shortcut and index in self.long:
                    continue
                code = source if index == first else None
                reason, node = self.session.refused(cell, code, early=index in self.long)
                if reason and (not shortcut or index in self.steady):
                    line = cell.expectation.line if cell.expectation else cell.line
                    return {"caught": True, "by": f"{self.chapter.name}:{line}"}
                shown.append(summary(cell, node))
        return {"caught": False, "shown": shown}


def long_cells(copy: Copy, chapter: Chapter) -> set[int]:
    """前に章を動かしたときに、長くかかったセル。"""
    path = copy.book.root / copy.book.cache / f"{key(copy.book, chapter)}.ipynb"
    if not path.is_file():
        return set()
    nodes = nbformat.read(path, as_version=4).cells
    return {i for i, cell in enumerate(chapter.cells) if _seconds(nodes[cell.index]) > LONG}


def _seconds(node: nbformat.NotebookNode) -> float:
    times = node.metadata.get("execution", {})
    names = ("iopub.execute_input", "shell.execute_reply")
    if not times.keys() >= set(names):
        return 0.0
    begin, end = (datetime.fromisoformat(times[name]) for name in names)
    return (end - begin).total_seconds()


def summary(cell: Cell, node: nbformat.NotebookNode) -> list:
    """出力を見分ける短い文字と、埋め込むための値の名前。検証しない出力は、どれも同じとみなす。"""
    names = sorted(glued(nbformat.v4.new_notebook(cells=[node])))
    if cell.expectation and cell.expectation.exempt:
        return ["", names]
    outputs = json.dumps(node.outputs, sort_keys=True)
    return [hashlib.sha256(outputs.encode()).hexdigest(), names]
