"""章がノートブックになるときの、文章の書き方、残すセル、書き直すとき。"""

from html import unescape
from pathlib import Path

import nbformat
import pytest
from docutils import nodes
from markdown_it import MarkdownIt
from small_book import CONF, SmallBook

from verified_book import notebook_cells
from verified_book.chapter import parse
from verified_book.doctree_markdown import UnknownNodeError, Writer
from verified_book.notebook_cells import needed_cells

HEAD = "---\nfile_format: mystnb\n---\n# 章\n\n"
HIDDEN = "```{{code-cell}} python\n:tags: [remove-cell]\n{}\n```\n\n"
SHOWN = "```{{code-cell}} python\n{}\n```\n\n"


def written(*found: nodes.Node) -> str:
    writer = Writer(
        lambda node: node.get("refuri", ""), lambda node: "", lambda node: "data:image/png,"
    )
    return "\n\n".join(str(block) for node in found for block in writer.blocks(node))


# -- 文章 ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "2 * 3 * 4",
        "_名前_",
        "a_b",
        "1. 先頭",
        "# 題",
        "- 項目",
        "<b>",
        r"\(x\)",
        "`x`",
        "~~x~~",
        "5$と6$",
    ],
)
def test_text_reads_as_it_is(text: str) -> None:
    html = MarkdownIt("gfm-like", {"linkify": False}).render(written(nodes.paragraph(text, text)))
    assert unescape(html) == f"<p>{text}</p>\n"


def test_dollars_are_no_formula() -> None:
    assert written(nodes.paragraph("", "5$と6$")) == r"5\$と6\$"
    formula = nodes.paragraph("", "", nodes.math("", "a_1 * b"))
    assert written(formula) == "$a_1 * b$"


def test_code_keeps_its_backticks() -> None:
    code = nodes.paragraph("", "", nodes.literal("", "a``b"))
    assert written(code) == "```a``b```"
    assert written(nodes.literal_block("", "```python\n```")) == "````text\n```python\n```\n````"


def test_nested_lists_stay_nested() -> None:
    inner = nodes.bullet_list("", nodes.list_item("", nodes.paragraph("", "内")))
    outer = nodes.enumerated_list("", nodes.list_item("", nodes.paragraph("", "外"), inner))
    assert written(outer) == "1. 外\n\n   - 内"


def test_a_bar_in_a_table_is_no_border() -> None:
    def row(*cells: nodes.Node) -> nodes.row:
        return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))

    table = nodes.table(
        "",
        nodes.tgroup(
            "",
            nodes.thead("", row(nodes.Text("式"), nodes.Text("値"))),
            nodes.tbody("", row(nodes.literal("", "a|b"), nodes.math("", "|x|"))),
        ),
    )
    assert written(table).splitlines() == [
        "| 式 | 値 |",
        "| --- | --- |",
        r"| `a\|b` | $\vert x\vert $ |",
    ]


def test_an_unknown_element_is_not_lost_in_silence() -> None:
    with pytest.raises(UnknownNodeError, match="line_block"):
        written(nodes.line_block())


# -- セル ---------------------------------------------------------------------


def kept(*cells: str) -> list[str]:
    chapter = parse(Path("chapter.md"), "chapter.md", HEAD + "".join(cells))
    assert chapter.problems == []
    return [cell.source for cell in needed_cells(chapter)]


def test_a_cell_for_authors_is_left_out() -> None:
    cells = [SHOWN.format("x = 1"), HIDDEN.format("y = x"), SHOWN.format("y = 2\ny")]
    assert kept(*cells) == ["x = 1", "y = 2\ny"]


def test_a_hidden_definition_that_a_reader_needs_stays() -> None:
    define, use = "import math\ndef f(y):\n    return math.sqrt(y)", "y = f(4)\ny"
    assert kept(HIDDEN.format(define), SHOWN.format(use)) == [define, use]
    assert kept(HIDDEN.format("s = 2"), HIDDEN.format("t = s"), SHOWN.format("t")) == [
        "s = 2",
        "t = s",
        "t",
    ]


# -- 組み立て -----------------------------------------------------------------


@pytest.fixture
def noted(book: SmallBook) -> SmallBook:
    conf = CONF.replace(
        '"verified_book.rebuild"', '"verified_book.notebooks", "verified_book.rebuild"'
    )
    (book.root / "conf.py").write_text(conf)
    return book


def notebook(book: SmallBook) -> Path:
    return book.root / "_build/html/notebooks/chapter.ipynb"


def test_packages_are_named_as_they_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import torch\nimport sys\nfrom PIL import Image\nimport own\n  from nowhere import x\n"
    expected = [("PIL", "pillow"), ("torch", "torch")]
    assert notebook_cells._packages([code], {"own"}) == expected
    # 名前の同じパッケージは、入っているものをすべて調べずに見つける
    monkeypatch.setattr(notebook_cells, "_installed", lambda: pytest.fail("すべてを調べた"))
    assert notebook_cells._packages(["import torch, numpy"], set()) == [("torch", "torch")]


def test_a_needed_cell_that_only_the_book_can_run_is_reported(noted: SmallBook) -> None:
    hidden = HIDDEN.format("import myst_nb\nx = 1")
    noted.write(hidden + SHOWN.format("x") + "```{expect}\n1\n```\n")
    ran = noted.html()
    assert ran.status == 1
    assert "docs/chapter.md:8: WARNING: ノートブックに要るセルが" in ran.text


def test_only_a_changed_chapter_is_written_again(noted: SmallBook) -> None:
    (noted.root / "src/tools").mkdir()
    (noted.root / "src/tools/__init__.py").write_text("two = 2\n")
    body = SHOWN.format("from tools import two\ntwo") + "```{expect}\n2\n```\n"
    noted.write(body)
    ran = noted.html()
    assert ran.status == 0, ran.text
    before = notebook(noted).stat().st_mtime_ns
    read = nbformat.read(notebook(noted), as_version=4)
    assert "%%writefile tools/__init__.py\ntwo = 2" in [cell.source for cell in read.cells]
    assert noted.html().status == 0
    assert notebook(noted).stat().st_mtime_ns == before
    noted.write(body + "\n終わり。\n")
    assert noted.html().status == 0
    assert "終わり。" in notebook(noted).read_text("utf-8")
    noted.write("終わり。\n", head="# 章\n\n")
    assert noted.html().status == 0
    assert not notebook(noted).exists()
