"""章の組み立てに植える誤り：``file_format``、例外、代替テキスト、埋め込んだ数。"""

import re
from collections.abc import Iterator
from pathlib import Path

from verified_book.book import Book
from verified_book.chapter import Cell, Chapter
from verified_book.measured import REFERENCE, value
from verified_book.mutants.mutant import Mutant, line_starts
from verified_book.mutants.references import MEASURED, hide_code, hide_literals

ALT = re.compile(r"^[ \t]*:?alt:.*\n", re.MULTILINE)
MARKDOWN_IMAGE = re.compile(r"!\[([^\]\n]+)\]\(")


def cell_start(chapter: Chapter, cell: Cell) -> int:
    """セルのコードが、章の本文で始まる位置。"""
    starts = line_starts(chapter.text)
    return chapter.text.rindex(cell.source, starts[cell.line - 1], starts[cell.end])


def format_mutants(chapter: Chapter) -> Iterator[Mutant]:
    """``file_format`` の行を消す。"""
    for found in re.finditer(r"^file_format:.*\n", chapter.text, re.MULTILINE):
        yield Mutant("format", chapter.name, *found.span(), "")


def raising_mutants(chapter: Chapter) -> Iterator[Mutant]:
    """すべてのセルを、始めに例外の起きるセルにする。"""
    for cell in chapter.cells:
        start = cell_start(chapter, cell)
        yield Mutant("raises", chapter.name, start, start, "1 / 0\n")


def alt_mutants(name: str, text: str) -> Iterator[Mutant]:
    """セルの図、``{figure}``、``![…](…)`` から、代替テキストを消す。"""
    text = hide_code(text, hidden=(None,))  # 書き方の見本は、図ではない
    for found in ALT.finditer(text):
        yield Mutant("alt", name, *found.span(), "")
    for found in MARKDOWN_IMAGE.finditer(text):
        yield Mutant("alt", name, *found.span(1), "")


def bound_mutants(book: Book, name: str, text: str) -> Iterator[Mutant]:
    """``{measured}`` を、実行結果から読んだ数そのものに置き換える。"""
    here = Path(name).relative_to(book.chapters).with_suffix("").as_posix()
    for found in MEASURED.finditer(hide_literals(hide_code(text))):
        parts = REFERENCE.fullmatch(found[1])
        if parts:
            document, value_name, spec = parts.groups()
            literal = value(book, document or here, value_name, spec or "")
            yield Mutant("bound", name, *found.span(), literal)
