"""章を、Jupyterだけで開いて動かせるノートブックにするSphinx拡張。

サイトの ``notebooks/`` に、章ごとの ``.ipynb`` を書く。文章は解決した文書から
（:mod:`verified_book.doctree_markdown`）、セルと出力は実行の記録から取り、本を作るときだけの
セルを除いて、要るものを用意するセルを足す（:mod:`verified_book.notebook_cells`）。
書くのは、ページを書くときだけ。章のページの題の下には、ノートブックと原稿へのリンクを置く。

設定
----
notebooks_repository
    GitHubのリポジトリの番地。ノートブックは、その ``notebooks`` ブランチにもある。
"""

import base64
import mimetypes
from collections import deque
from collections.abc import Iterator
from html import escape
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import nbformat
from docutils import nodes
from nbformat.v4 import new_markdown_cell, new_notebook
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.typing import ExtensionMetadata

from verified_book.book import Book
from verified_book.chapter import Cell, Chapter, parse
from verified_book.doctree_markdown import CodeCell, UnknownNodeError, Writer
from verified_book.execution import cached
from verified_book.notebook_cells import AUTHORS, code_cell, needed_cells, setup_cells

logger = logging.getLogger(__name__)
FOLDER = BRANCH = "notebooks"
KERNEL = {
    "kernelspec": {
        "name": "python3",
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
    },
    "language_info": {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
}
NOTE = """\
「{book}」の[この章のページ]({page})を、ノートブックにしたものです（[原稿]({source})）。\
出力は、PyTorch {torch}で実行した結果です。自分で動かすときは、下のセルから順に実行してください。\
足りないパッケージを入れ、章が使うファイルを、このノートブックのそばに書き出します。"""
LINKS = """\
<p class="chapter-links"><a href="{notebook}" download>ノートブックを保存</a>\
<a href="{colab}">Colabで開く</a><a href="{source}">原稿を見る</a></p>"""


def _chapter(app: Sphinx, document: str) -> tuple[Book, Chapter]:
    book, path = Book.load(Path(app.confdir)), Path(app.env.doc2path(document))
    return book, parse(path, book.name(path))


def _path(app: Sphinx, document: str) -> Path:
    return Path(app.outdir) / FOLDER / f"{document}.ipynb"


def _source(app: Sphinx, document: str) -> str:
    book, path = Book.load(Path(app.confdir)), Path(app.env.doc2path(document))
    return f"{app.config.notebooks_repository}/blob/main/{quote(book.name(path))}"


def write_notebook(app: Sphinx, doctree: nodes.document, document: str) -> None:
    """一つの章のノートブックを書く。"""
    if app.builder.name != "html":
        return
    book, chapter = _chapter(app, document)
    executed = None if chapter.problems or not chapter.cells else cached(book, chapter)
    path = _path(app, document)
    if executed is None:
        path.unlink(missing_ok=True)
        return
    try:
        blocks = list(_writer(app, document).blocks(doctree))
    except UnknownNodeError as error:
        logger.warning(str(error), location=error.node, type="verified_book")
        return
    cells = needed_cells(chapter)
    for cell in cells:
        if AUTHORS.search(cell.source):
            message = "ノートブックに要るセルが、本を作るときだけのパッケージを使っています。"
            place = f"{chapter.name}:{cell.line}"
            logger.warning(message, location=place, type="verified_book")
    note = NOTE.format(
        book=app.config.project,
        page=_page(app, document),
        source=_source(app, document),
        torch=executed.metadata["execution"]["versions"].get("torch", ""),
    )
    title, *rest = blocks
    notebook = new_notebook(metadata=KERNEL)
    notebook.cells = [new_markdown_cell(f"{title}\n\n{note}"), *setup_cells(book, cells)]
    notebook.cells += assemble(rest, cells, executed)
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            cell.id = f"text-{place}"  # 組み立てるたびに変わらない名前
    nbformat.validate(notebook)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def assemble(
    blocks: list[str | CodeCell], cells: list[Cell], executed: nbformat.NotebookNode
) -> Iterator[nbformat.NotebookNode]:
    """文章とセルを、章の順に並べる。ページに見えないセルは、次に見えるセルの前に置く。"""
    waiting = deque(cells)
    text: list[str] = []
    for block in [*blocks, CodeCell(len(executed.cells))]:
        if isinstance(block, str):
            text.append(block)
            continue
        if text:
            yield new_markdown_cell("\n\n".join(text))
            text = []
        while waiting and waiting[0].index <= block.index:
            cell = waiting.popleft()
            yield code_cell(cell, executed.cells[cell.index], folded=block.folded)


def _page(app: Sphinx, document: str) -> str:
    return app.config.html_baseurl + app.builder.get_target_uri(document)


def _writer(app: Sphinx, document: str) -> Writer:
    page = _page(app, document)
    numbers = app.env.toc_fignumbers.get(document, {})
    standard = app.env.domains["std"]

    def address(node: nodes.Element) -> str:
        if name := node.get("filename"):  # ダウンロードするファイル
            return f"{app.config.html_baseurl}_downloads/{quote(name)}"
        target = node.get("refuri") or (f"#{node['refid']}" if "refid" in node else "")
        return quote(urljoin(page, target), safe="%/:=&?~#+!$,;'@*[]") if target else ""

    def number(node: nodes.Element) -> str:
        if isinstance(node.parent, nodes.document):  # 章の題
            found = app.env.toc_secnumbers.get(document, {}).get("", ())
            return "".join(f"{part}." for part in found)
        kind = standard.get_enumerable_node_type(node)
        found = numbers.get(kind, {}).get(node["ids"][0]) if kind and node["ids"] else None
        form = app.config.numfig_format.get(kind, "%s")
        return form % ".".join(map(str, found)) if found else ""

    def picture(node: nodes.image) -> str:
        path = Path(app.srcdir) / node["uri"]
        if not path.is_file():
            return ""  # 画像がないことは、Sphinxが知らせる
        content = base64.b64encode(path.read_bytes()).decode()
        return f"data:{mimetypes.guess_type(path.name)[0]};base64,{content}"

    return Writer(address, number, picture)


def add_links(
    app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None
) -> None:
    """章の題の下に、ノートブックと原稿へのリンクを置く。"""
    if doctree is None or app.builder.name != "html" or not _path(app, page).is_file():
        return
    repository = urlsplit(app.config.notebooks_repository).path
    links = {
        "notebook": context["pathto"](f"{FOLDER}/{page}.ipynb", resource=True),
        "colab": f"https://colab.research.google.com/github{repository}/blob/{BRANCH}/{page}.ipynb",
        "source": _source(app, page),
    }
    html = LINKS.format(**{name: escape(link) for name, link in links.items()})
    context["body"] = context["body"].replace("</h1>", f"</h1>\n{html}", 1)


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_config_value("notebooks_repository", "", "html")
    app.connect("doctree-resolved", write_notebook, priority=900)  # 実行環境の箱を置いた後
    app.connect("html-page-context", add_links, priority=950)  # 検索が文を集めた後
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
