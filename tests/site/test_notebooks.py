"""配るノートブックが、この本のないJupyterで開けて、動き、章と同じことを述べるか。"""

import re
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook
from plain_jupyter import ROOT, differences, execute

from verified_book.book import Book
from verified_book.chapter import Chapter
from verified_book.execution import chapters_of

DOCS = ROOT / "docs"
FOLDER = "notebooks"
CHAPTERS = {
    chapter.path.relative_to(DOCS).with_suffix("").as_posix(): chapter
    for chapter in chapters_of(Book.load(ROOT))
    if chapter.cells
}
MYST = re.compile(r"\{[a-z][\w:-]*\}|^\s*:{3,}|\{\{.*\}\}|^\([\w-]+\)=$", re.MULTILINE)
DIRECTIVE = re.compile(r"^ *`{3,}\{.*", re.MULTILINE)
every_chapter = pytest.mark.parametrize("name", CHAPTERS)


def read(site: Path, name: str) -> NotebookNode:
    return nbformat.read(site / FOLDER / f"{name}.ipynb", as_version=4)


def text_of(notebook: NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def code_of(notebook: NotebookNode) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


def prose(markdown: str) -> str:
    """コードと数式と画像のほかの文章。"""
    markdown = re.sub(r"^(`{3,}).*?^\1$", "", markdown, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(`+)[^`\n].*?\1|\$\$.*?\$\$|\$[^$\n]+\$", "", markdown, flags=re.DOTALL)


# -- 動かす -------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(site: Path, request: pytest.FixtureRequest):
    """選ばれた章を、長いものから二つずつ動かす。"""
    chosen = {
        item.callspec.params["name"]
        for item in request.session.items
        if item.name.startswith(test_runs_alone_and_says_the_same.__name__)
    }
    slowest_first = sorted(chosen, key=lambda name: -CHAPTERS[name].budget)
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {
            name: pool.submit(execute, read(site, name), ROOT / "data") for name in slowest_first
        }


@every_chapter
def test_runs_alone_and_says_the_same(runs: dict[str, Future], name: str) -> None:
    assert differences(name, runs[name].result()) == []


def test_neither_the_book_nor_its_packages_can_be_imported() -> None:
    lines = [
        "from importlib.util import find_spec",
        'print([find_spec(name) for name in ("verified_book", "entering_pytorch")])',
        "import os; print(os.listdir())",
    ]
    ran = execute(new_notebook(cells=[new_code_cell("\n".join(lines))]))
    assert ran.cells[0].outputs[0].text == "[None, None]\n[]\n"


def test_a_missing_file_and_a_wrong_output_are_found(site: Path) -> None:
    notebook = read(site, "learn/loss")
    without = deepcopy(notebook)
    without.cells = [cell for cell in notebook.cells if "%%writefile" not in cell.source]
    with pytest.raises(CellExecutionError, match="cannot import name 'plotting'"):
        execute(without)
    wrong = deepcopy(notebook)
    chosen = next(c for c in wrong.cells if c.id.startswith("cell-") and c.outputs)
    wrong.cells = [c for c in wrong.cells if not c.id.startswith("cell-")] + [chosen]
    chosen.source = "print('ほかの出力')"
    (found,) = differences("learn/loss", execute(wrong))
    assert "+ ほかの出力" in found


# -- 中身 ---------------------------------------------------------------------


def faults(notebook: NotebookNode, chapter: Chapter) -> list[str]:
    """ノートブックの、Jupyterで困ること。"""
    nbformat.validate(notebook)
    found = []
    text, code = text_of(notebook), code_of(notebook)
    marks = [*MYST.finditer(prose(text)), *DIRECTIVE.finditer(text)]
    found += [f"MyST：{mark[0]}" for mark in marks]
    if re.search(r"\b(verified_book|myst_nb|glue)\b", code):
        found.append("本を作るときだけのパッケージ")
    if "%pip install" not in notebook.cells[1].source:
        found.append("始めに、足りないものを入れていない")
    for cell in notebook.cells:
        raised = any(output.output_type == "error" for output in cell.get("outputs", ()))
        if raised != ("raises-exception" in cell.metadata.get("tags", ())):
            found.append(f"{cell.id}：例外の印")
    size = len(nbformat.writes(notebook))
    if size > 600_000:
        found.append(f"{size:,}バイト")
    ids = {cell.id for cell in notebook.cells}
    for cell in chapter.cells:
        seen = not {"remove-cell", "remove-input"} & set(cell.options.get("tags", ()))
        if seen and f"cell-{cell.index}" not in ids:
            found.append(f"{cell.line}行のセルがない")
        if (alt := cell.options.get("mystnb", {}).get("image", {}).get("alt")) and alt not in text:
            found.append(f"代替テキスト：{alt}")
    return found


@every_chapter
def test_notebook_is_plain(site: Path, name: str) -> None:
    assert faults(read(site, name), CHAPTERS[name]) == []


@pytest.mark.parametrize(
    ("cell", "planted", "fault"),
    [
        ("markdown", "値は{measured}`mnist-accuracy:.2f`です。", "MyST：{measured}"),
        ("markdown", "```{note}\n文\n```", "MyST：```{note}"),
        ("markdown", ":::{note}\n文\n:::", "MyST：:::"),
        ("markdown", "PyTorch {{ torch }}", "MyST：{{ torch }}"),
        ("code", "from verified_book.interactive import interactive", "本を作るとき"),
    ],
)
def test_planted_fault_is_found(site: Path, cell: str, planted: str, fault: str) -> None:
    notebook = read(site, "start/mnist")
    last = [node for node in notebook.cells if node.cell_type == cell][-1]
    last.source += f"\n\n{planted}"
    assert any(fault in found for found in faults(notebook, CHAPTERS["start/mnist"]))


def test_lost_cells_tags_and_alternative_texts_are_found(site: Path) -> None:
    notebook = read(site, "start/tensor")
    figure = next(place for place, cell in enumerate(notebook.cells) if "図の説明" in cell.source)
    for cell in notebook.cells:
        cell.metadata.pop("tags", None)
    del notebook.cells[figure - 1 : figure + 1], notebook.cells[1]
    found = "\n".join(faults(notebook, CHAPTERS["start/tensor"]))
    for fault in ("例外の印", "セルがない", "代替テキスト", "始めに"):
        assert fault in found


# -- ページと同じか -----------------------------------------------------------


class _Text(HTMLParser):
    """HTMLの、番地と、空白を除いた文字。"""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.links = "", []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links.append(dict(attrs)["href"])

    def handle_data(self, data: str) -> None:
        self.text += re.sub(r"\s", "", data)


def rendered(notebook: NotebookNode) -> _Text:
    """Jupyterと同じCommonMark（と表）で組んだ文章。"""
    return _Text(MarkdownIt("commonmark", {"html": True}).enable("table").render(text_of(notebook)))


def paragraphs(site: Path, name: str) -> list[str]:
    """ページの、数式のない段落、項目、見出し、説明の文字。"""
    page = BeautifulSoup((site / f"{name}.html").read_text("utf-8"), "html.parser").article
    for extra in page.select(".headerlink, .chapter-links, .hide > summary, noscript"):
        extra.decompose()
    texts = []
    for node in page.select("p, h1, h2, h3, h4, td, th, figcaption"):
        if not node.select(".katex, .footnote-reference, p") and "rubric" not in node.get(
            "class", ()
        ):
            texts.append(re.sub(r"\s", "", node.get_text()))
    return texts


@every_chapter
def test_every_paragraph_of_the_page_is_in_the_notebook(site: Path, name: str) -> None:
    text, found = rendered(read(site, name)).text, paragraphs(site, name)
    assert len(found) > 100
    assert [paragraph for paragraph in found if paragraph not in text] == []


def test_a_lost_number_is_found(site: Path) -> None:
    page = BeautifulSoup((site / "start/mnist.html").read_text("utf-8"), "html.parser")
    measured = page.select(".measured")
    assert len(measured) > 5
    text = rendered(read(site, "start/mnist")).text
    without = text.replace(measured[0].get_text(), "")
    assert any(paragraph not in without for paragraph in paragraphs(site, "start/mnist"))


@every_chapter
def test_links_lead_to_the_published_site(site: Path, name: str) -> None:
    base = "https://convergence-lab.github.io/Entering-PyTorch/"
    links = rendered(read(site, name)).links
    assert len(links) > 20
    for link in links:
        assert urlsplit(link).scheme in ("https", "http"), link
        if link.startswith(base):
            target = urlsplit(link.removeprefix(base))
            page = (site / unquote(target.path)).read_text("utf-8")
            assert not target.fragment or f'id="{unquote(target.fragment)}"' in page, link


@every_chapter
def test_page_links_to_its_notebook_and_source(site: Path, name: str) -> None:
    page = BeautifulSoup((site / f"{name}.html").read_text("utf-8"), "html.parser")
    links = {a.get_text(): a["href"] for a in page.select(".chapter-links a")}
    assert list(links) == ["ノートブックを保存", "Colabで開く", "原稿を見る"]
    download, colab, source = links.values()
    assert (site / urljoin(f"{name}.html", download)).is_file()
    repository = "github/convergence-lab/Entering-PyTorch/blob"
    assert colab == f"https://colab.research.google.com/{repository}/notebooks/{name}.ipynb"
    assert source == f"https://github.com/convergence-lab/Entering-PyTorch/blob/main/docs/{name}.md"
    assert (DOCS / f"{name}.md").is_file()


def test_other_pages_have_no_links_to_notebooks(site: Path) -> None:
    pages = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")}
    for name in sorted(pages - set(CHAPTERS)):
        assert "chapter-links" not in (site / f"{name}.html").read_text("utf-8")
