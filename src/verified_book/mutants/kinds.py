"""誤りの種類の一覧：名前、説明、見つけるべき割合、植え方、確かめ方。"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from sphinx.config import eval_config_file
from sphinx.util.tags import Tags

from verified_book.chapter import Chapter
from verified_book.mutants.cells import judge_cells
from verified_book.mutants.code import code_edits
from verified_book.mutants.expectation import expectation_mutants
from verified_book.mutants.library import judge_library
from verified_book.mutants.mutant import Judged, Mutant
from verified_book.mutants.pages import judge_pages, judge_text
from verified_book.mutants.references import reference_mutants
from verified_book.mutants.stale import judge_stale
from verified_book.mutants.structure import (
    alt_mutants,
    bound_mutants,
    cell_start,
    format_mutants,
    raising_mutants,
)
from verified_book.mutants.terms import judge_terms, term_mutants
from verified_book.mutants.tree import Copy

Judge = Callable[[Copy, Iterable[Mutant], int], Judged]


@dataclass(frozen=True)
class Kind:
    """誤りの一種類。``floor`` は、見つけるべき割合。"""

    title: str
    floor: float
    judge: Judge


KINDS = {
    "digit": Kind("期待値の数字を一つ変える", 1.0, judge_text),
    "sign": Kind("期待値の符号を変える", 1.0, judge_text),
    "shape": Kind("期待値の形（括弧、次元、改行）を変える", 1.0, judge_text),
    "word": Kind("期待値の語を一つ変える", 1.0, judge_text),
    "removed": Kind("期待値を消す", 1.0, judge_pages),
    "emptied": Kind("期待値を「...」だけにする", 1.0, judge_pages),
    "format": Kind("file_formatを消す", 1.0, judge_pages),
    "raises": Kind("セルに例外を起こさせる", 1.0, judge_cells),
    "alt": Kind("図の代替テキストを消す", 1.0, judge_pages),
    "bound": Kind("実行結果から埋め込んだ数を、そのまま書く", 1.0, judge_pages),
    "reference": Kind("リンク、アンカー、画像、参照の行き先を変える", 1.0, judge_pages),
    "term": Kind("用語の一覧に反する語を書く", 1.0, judge_terms),
    "stale": Kind("実行結果があるままsrc/を変える", 1.0, judge_stale),
    "cell-operator": Kind("セルの演算子を変える", 0.95, judge_cells),
    "cell-constant": Kind("セルの定数を変える", 0.95, judge_cells),
    "cell-argument": Kind("セルの引数を消す", 0.95, judge_cells),
    "src-operator": Kind("src/の演算子を変える", 0.95, judge_library),
    "src-constant": Kind("src/の定数を変える", 0.95, judge_library),
    "src-argument": Kind("src/の引数を消す", 0.95, judge_library),
}


def all_mutants(copy: Copy) -> Iterator[Mutant]:
    """植えられる誤りを、すべての場所に一つずつ作る。"""
    for chapter in copy.chapters:
        yield from expectation_mutants(chapter)
        yield from format_mutants(chapter)
        yield from raising_mutants(chapter)
        yield from _cell_mutants(chapter)
    conf = eval_config_file(copy.book.root / "conf.py", Tags())
    roots = (*conf.get("api_links_packages", ()), *conf.get("api_links_aliases", ()))
    for path in copy.book.chapter_paths():
        name, text = copy.book.name(path), path.read_text("utf-8")
        yield from alt_mutants(name, text)
        yield from bound_mutants(copy.book, name, text)
        yield from reference_mutants(name, text, roots)
        yield from term_mutants(name, text)
    for path in copy.modules:
        name, text = copy.book.name(path), path.read_text("utf-8")
        for kind, start, end, after in code_edits(text):
            yield Mutant(f"src-{kind}", name, start, end, after)
            yield Mutant("stale", name, start, end, after)


def _cell_mutants(chapter: Chapter) -> Iterator[Mutant]:
    for cell in chapter.cells:
        begin = cell_start(chapter, cell)
        for kind, start, end, after in code_edits(cell.source):
            yield Mutant(f"cell-{kind}", chapter.name, begin + start, begin + end, after)
