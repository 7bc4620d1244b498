"""章のセルを、検証が退けるところまで動かす。長い学習は、必要になるまで待たない。

動かし方は三つあり、速い順に試す。

- ``SKIP``：長いセルを飛ばし、飛ばしても検証に通るセルだけを比べる。
- ``SHORT``：どの学習も、エポックごとに最初の十歩で終える。誤りのない章を同じように動かしたときと、
  どの出力もすべての桁まで、どのエポックの長さも同じなら、結果を変えない誤りとみなす。
- ``FULL``：読者が見るとおりに、すべて動かす。
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from enum import Enum, auto
from functools import partial
from itertools import islice

import nbformat

from verified_book.cache_key import key
from verified_book.chapter import Cell, Chapter
from verified_book.kernel import HARD_LIMIT
from verified_book.measured import glued
from verified_book.mutants.fork import forked, streamed
from verified_book.mutants.mutant import Judged, Mutant, Verdict
from verified_book.mutants.session import Session, own_folder
from verified_book.mutants.tree import Copy

LONG = 20.0  # これより長いセル（秒）は、SKIPでは飛ばす
Shown = list  # 一つのセルの出力を見分けるもの：summaryの返すものと、エポックの長さ
STEPS = 10  # SHORTで、一つのエポックに使うミニバッチの数


class Mode(Enum):
    """章の動かし方。"""

    SKIP = auto()
    SHORT = auto()
    FULL = auto()


class RedError(Exception):
    """誤りを植える前から、検証が失敗する。"""


def verdicts(planted: list[Mutant], judge: Callable[[], Iterator[dict]]) -> Judged:
    """``judge`` を子プロセスで動かし、記録を答えにする。

    Raises
    ------
    RedError
        誤りを植える前から、検証が失敗するとき。
    """
    for record in streamed([judge]) if planted else ():
        yield answer(planted, record)


def answer(planted: list[Mutant], record: dict) -> tuple[Mutant, Verdict, float]:
    """記録を答えにする。誤りを植える前から失敗するなら、RedErrorを起こす。"""
    if "red" in record:
        raise RedError(record["red"])
    return planted[record["index"]], Verdict(record["caught"], record["by"]), record["seconds"]


def each(planted: list[Mutant], judge: Callable[[Mutant], Verdict], jobs: int) -> Judged:
    """``planted`` を ``jobs`` 個のプロセスに分け、一つずつ ``judge`` に渡す。"""

    def part(first: int) -> Iterator[dict]:
        for index in range(first, len(planted), jobs):
            begin = time.monotonic()
            verdict = judge(planted[index])
            seconds = time.monotonic() - begin
            yield {"index": index, "seconds": seconds, **asdict(verdict)}

    for record in streamed([partial(part, first) for first in range(jobs)], jobs):
        yield answer(planted, record)


class Reading:
    """一つの章を動かす用意。

    ``long`` は長いセル、``steady`` は長いセルを飛ばしても検証に通るセル、``short`` は誤りのない章を
    SHORTで動かしたときの、各セルの出力。
    """

    def __init__(self, copy: Copy, chapter: Chapter, session: Session) -> None:
        self.chapter, self.session = chapter, session
        # これを過ぎれば組み立ても失敗する秒数。1スレッドで動かす分、長くとる
        self.limit = 2 * HARD_LIMIT * chapter.budget + 10
        self.long = long_cells(copy, chapter)
        self.steady: set[int] = set()
        self.short: list[Shown] = []
        if self.long:
            runs = forked([Mode.SKIP, Mode.SHORT], self._base, jobs=2, limit=self.limit)
            base = {mode: result["base"] for mode, result, _ in runs}
            self.steady, self.short = set(base[Mode.SKIP]), base[Mode.SHORT]

    def _base(self, mode: Mode) -> dict:
        """誤りのない章：SKIPでは検証に通るセル、SHORTでは各セルの出力。"""
        shown, passed = [], []
        with own_folder(), first_steps(mode) as lengths:
            for index, cell in enumerate(self.chapter.cells):
                if mode is Mode.SHORT or index not in self.long:
                    reason, node = self.session.refused(cell)
                    shown.append([*summary(cell, node), *lengths])
                    passed += [] if reason else [index]
        return {"base": shown if mode is Mode.SHORT else passed}

    def modes(self, first: int) -> list[Mode]:
        """``first`` 番目のセルから動かすときの、動かし方の順。"""
        if not any(index >= first for index in self.long):
            return [Mode.FULL]
        return [*([] if first in self.long else [Mode.SKIP]), Mode.SHORT, Mode.FULL]

    def walk(
        self, first: int, source: str | None = None, *, mode: Mode, last: int | None = None
    ) -> dict:
        """``first`` 番目から ``last`` 番目（なければ終わり）までのセルを動かす。

        検証が退けたところで終わる。``source`` は、``first`` 番目のセルの代わりに動かすコード。

        Returns
        -------
        dict
            ``caught`` と、見つけたもの（``by``）とそのセル（``at``）か、各セルの出力（``shown``）。
            長いセルの外の誤りで、SHORTの出力がどれも変わらなければ、``same`` が真。
        """
        shown = []
        with own_folder(), first_steps(mode) as lengths:
            cells = list(enumerate(self.chapter.cells))
            for index, cell in cells[first : None if last is None else last + 1]:
                if mode is Mode.SKIP and index in self.long:
                    continue
                code = source if index == first else None
                reason, node = self.session.refused(cell, code, early=mode is Mode.FULL)
                shown.append([*summary(cell, node), *lengths])
                if reason and self._counts(index, shown[-1], mode):
                    line = cell.expectation.line if cell.expectation else cell.line
                    return {"caught": True, "by": f"{self.chapter.name}:{line}", "at": index}
        same = mode is Mode.SHORT and first not in self.long and shown == self.short[first:]
        return {"caught": False, "shown": shown, "same": same}

    def _counts(self, index: int, shown: Shown, mode: Mode) -> bool:
        """検証の退けたセルが、誤りのせいで退けられたか。"""
        if mode is Mode.SHORT:  # 学習を短くすると、値は変わる。例外は、誤りがなければ起こらない
            return shown[2] and not self.short[index][2]
        return mode is Mode.FULL or index in self.steady


@contextmanager
def first_steps(mode: Mode) -> Iterator[list[int]]:
    """SHORTなら、DataLoaderの繰り返しを最初の数歩で終え、それまでに始めた繰り返しの長さを渡す。"""
    lengths: list[int] = []
    if mode is not Mode.SHORT:
        yield lengths
        return
    from torch.utils.data import DataLoader

    whole = DataLoader.__iter__

    def short(loader: DataLoader) -> Iterator:
        with suppress(TypeError):  # 長さの決まらないもの
            lengths.append(len(loader))
        return islice(whole(loader), STEPS)

    DataLoader.__iter__ = short
    try:
        yield lengths
    finally:
        DataLoader.__iter__ = whole


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


def summary(cell: Cell, node: nbformat.NotebookNode) -> Shown:
    """出力を短くまとめる。検証しない出力は、どれも同じとみなす。"""
    names = sorted(glued(nbformat.v4.new_notebook(cells=[node])))
    raised = any(output.output_type == "error" for output in node.outputs)
    if cell.expectation and cell.expectation.exempt:
        return ["", names, raised]
    outputs = json.dumps(node.outputs, sort_keys=True)
    return [hashlib.sha256(outputs.encode()).hexdigest(), names, raised]
