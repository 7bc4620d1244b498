"""各章のページに、実行した出力がそのまま載っているか。"""

import re
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup

from verified_book.book import Book
from verified_book.chapter import Chapter
from verified_book.execution import cached, chapters_of
from verified_book.expectations import output_text

ROOT = Path(__file__).resolve().parents[2]
ROOT = Path(__file__).resolve().parents[2]
BOOK = Book.load(ROOT)
CHAPTERS = [chapter for chapter in chapters_of(BOOK) if chapter.cells]
HIDDEN = {"remove-cell", "remove-output"}


def squeeze(text: str) -> str:
    return re.sub(r"\s+", "", text)


def drawn(output: nbformat.NotebookNode) -> bool:
    """図か、動かせる図のデータか。"""
    data = output.get("data", {})
    return set(data) == {"text/html"} or any(kind.startswith("image/") for kind in data)


def missing_outputs(html: str, chapter: Chapter, notebook: nbformat.NotebookNode) -> list[str]:
    """ページに、本文の順に現れない出力。トレースバックは、例外の種類とメッセージで探す。"""
    blocks = BeautifulSoup(html, "html.parser").select("div.cell_output")
    shown = squeeze("".join(block.get_text() for block in blocks))
    missing, at = [], 0
    for cell in chapter.cells:
        if HIDDEN & set(cell.options.get("tags", ())):
            continue
        for output in notebook.cells[cell.index].outputs:
            if drawn(output):
                continue  # 図の指紋は、ページには載らない
            text = squeeze(output_text(nbformat.v4.new_code_cell(outputs=[output])))
            found = shown.find(text, at)
            if found < 0:
                missing.append(f"{chapter.name}:{cell.line}: {text}")
            else:
                at = found + len(text)
    return missing


def missing_figures(html: str, chapter: Chapter, notebook: nbformat.NotebookNode) -> int:
    """ページに載っていない図の数。"""
    count = sum(
        any(kind.startswith("image/") for kind in output.get("data", {}))
        for cell in chapter.cells
        if not HIDDEN & set(cell.options.get("tags", ()))
        for output in notebook.cells[cell.index].outputs
    )
    images = BeautifulSoup(html, "html.parser").select(
        "div.cell_output img[alt]:not([alt=''], .only-dark)"
    )
    return count - len(images)


def page_of(site: Path, chapter: Chapter) -> Path:
    return (site / chapter.path.relative_to(ROOT / BOOK.chapters)).with_suffix(".html")


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_page_holds_every_output(site: Path, chapter: Chapter) -> None:
    html = page_of(site, chapter).read_text("utf-8")
    notebook = cached(BOOK, chapter)
    assert notebook is not None, "サイトより新しい章です。先にmake htmlで組み立ててください。"
    assert missing_outputs(html, chapter, notebook) == []
    assert missing_figures(html, chapter, notebook) == 0


def test_changed_digit_and_lost_figure_are_found(site: Path) -> None:
    chapter = next(c for c in CHAPTERS if c.name.endswith("autograd.md"))
    html, notebook = page_of(site, chapter).read_text("utf-8"), cached(BOOK, chapter)
    page = BeautifulSoup(html, "html.parser")
    output = next(p for p in page.select("div.cell_output pre") if "tensor(16." in p.text)
    output.string = output.text.replace("16.", "15.")
    page.select_one("div.cell_output img").decompose()
    assert missing_outputs(str(page), chapter, notebook)[0].endswith(
        squeeze("tensor(16., grad_fn=<SumBackward0>)")
    )
    assert missing_figures(str(page), chapter, notebook) == 1


def test_the_landing_page_counts_the_same_examples(site: Path) -> None:
    verified = re.search(
        r"そのうち(\d+)個は", (site / "appendix/verification.html").read_text("utf-8")
    )
    shown = re.search(r"([\d,]+)個の例を", (site / "index.html").read_text("utf-8"))
    assert int(shown[1].replace(",", "")) == int(verified[1]) > 500
