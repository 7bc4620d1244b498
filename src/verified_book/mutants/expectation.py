"""期待値に植える誤り：数字、符号、形、語、期待値の削除、``...`` だけの期待値。"""

import re
from collections.abc import Iterator

from verified_book.chapter import Cell, Chapter
from verified_book.mutants.mutant import Mutant, line_starts

NUMBER = re.compile(r"(?<![\w.])[-+]?(?=\d)|(?<=[eE])[-+](?=\d)|(?<=\d)[-+](?=\d)")
BRACKETS = dict(zip("[](){}", "()[]()", strict=True))
LENGTHS = re.compile(r"(?<=[\[(])\d+(?:, \d+)*,?(?=[\])])")
WORD = re.compile(r"[^\W\d_]+")
OTHER = {"True": "False", "False": "True"}
STRANGE = "〓"  # どの出力にも現れない文字


def expectation_mutants(chapter: Chapter) -> Iterator[Mutant]:
    """検証する期待値のすべての場所に植える。検証しない理由の文には植えない。"""
    starts = line_starts(chapter.text)
    for cell in chapter.cells:
        expectation = cell.expectation
        if expectation is None or expectation.exempt:
            continue
        begin, end = starts[expectation.start], starts[expectation.end]
        yield Mutant("removed", chapter.name, begin, end, "")
        first, last = starts[expectation.start + 1], starts[expectation.end - 1]
        yield Mutant("emptied", chapter.name, first, last, "...\n")
        body = chapter.text[first : last - 1]
        for kind, start, stop, after in _inside(body):
            yield Mutant(kind, chapter.name, first + start, first + stop, after)


def _inside(body: str) -> Iterator[tuple[str, int, int, str]]:
    for found in re.finditer(r"\d", body):
        yield "digit", *found.span(), str((int(found[0]) + 1) % 10)
    for found in NUMBER.finditer(body):
        yield "sign", *found.span(), {"": "-", "-": "+", "+": "-"}[found[0]]
    for found in re.finditer(r"[][(){}]", body):
        yield "shape", *found.span(), BRACKETS[found[0]]
    for found in LENGTHS.finditer(body):
        yield "shape", found.end(), found.end(), " 1" if found[0].endswith(",") else ", 1"
    for found in re.finditer(r"\n", body):
        yield "shape", *found.span(), " "
    for found in WORD.finditer(body):
        changed = OTHER.get(found[0]) or _other_first(found[0])
        yield "word", *found.span(), changed


def _other_first(word: str) -> str:
    first = word[0].swapcase()
    return (first if first != word[0] else STRANGE) + word[1:]


def slice_around(chapter: Chapter, mutant: Mutant) -> tuple[Cell, str] | None:
    """誤りのあるセルと、そのセルと期待値だけの本文。本全体を読み直さずに比べるために使う。"""
    starts = line_starts(chapter.text)
    for cell in chapter.cells:
        if cell.expectation is None:
            continue
        top, bottom = starts[cell.line - 1], starts[cell.expectation.end]
        if top <= mutant.start < bottom:
            tail = len(chapter.text) - bottom
            mutated = mutant.apply(chapter.text)
            return cell, mutated[top : len(mutated) - tail]
    return None
