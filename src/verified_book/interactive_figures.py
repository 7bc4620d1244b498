"""``interactive`` が渡したデータを、すぐ上の図に結びつけるSphinx拡張。

ページには静止した図が載り、読者が近づくと、JavaScriptが動かせる図に置き換える。JavaScriptが
ないとき、印刷、PDF、EPUBでは、静止した図のまま。動かせる図のないページは、何も読み込まない。
``{interactive} 章 種類`` は、中に書いた図を、ほかの章の動かせる図と同じものにする。
"""

import base64
import re
from pathlib import Path

import nbformat
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.html5 import HTML5Translator

from verified_book.book import Book
from verified_book.cache_key import key
from verified_book.chapter import parse
from verified_book.execution import cached, chapter_of
from verified_book.interactive import FILES, SCRIPT

logger = logging.getLogger(__name__)
FOLDER = "interactive"
SITE_FILES = "_static/files"
DATA = re.compile(
    re.escape(SCRIPT).replace(r"\{kind\}", '(?P<kind>[^"]*)').replace(r"\{data\}", "(?P<data>.*)")
)
NO_FIGURE = "すぐ上に、captionのある図のセルがありません。動かせる図は、図の次に書きます。"
ON_THE_SITE = "サイトでは、この図を動かせます。"
WITHOUT_SCRIPT = "この図は、JavaScriptの使えるブラウザーでは動かせます。"


class InteractiveFigure(nodes.General, nodes.Element):
    """静止した図と、それを動かすデータ。"""


def visit(writer: HTML5Translator, node: InteractiveFigure) -> None:
    if writer.builder.name != "epub":
        attributes = {"CLASS": "interactive-figure", "data-kind": node["kind"]}
        writer.body.append(writer.starttag(node, "div", **attributes))


def depart(writer: HTML5Translator, node: InteractiveFigure) -> None:
    if writer.builder.name != "epub":
        writer.body.append(f"{node['script']}\n<noscript><p>{WITHOUT_SCRIPT}</p></noscript></div>")


def pass_through(writer: nodes.NodeVisitor, node: InteractiveFigure) -> None:
    """静止した図だけを書く。"""


def join_figures(app: Sphinx, doctree: nodes.document) -> None:
    """データを、すぐ上のセルの図へ移す。"""
    for raw in list(doctree.findall(nodes.raw)):
        found = DATA.fullmatch(raw.astext())
        if found is None:
            continue
        app.env.metadata[app.env.docname]["interactive"] = True
        cell = _ancestor(raw, "cell_code")
        picture = _picture_above(cell)
        if not _has_script(app, found["kind"]):
            _warn(app, cell, f"動かせる図の種類「{found['kind']}」がありません。")
        elif picture is None:
            _warn(app, cell, NO_FIGURE)
        else:
            figure = InteractiveFigure("", kind=found["kind"], script=raw.astext())
            picture.replace_self(figure)
            figure += picture
        bundle = _ancestor(raw, "mime_bundle")
        output = bundle.parent
        output.remove(bundle)
        if not output.children and len(cell.children) == 1:
            cell.parent.remove(cell)


def invite(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """PDFとEPUBの静止した図の説明に、サイトの動かせる図へのリンクを添える。"""
    if not app.config.html_baseurl or app.builder.name not in ("latex", "epub"):
        return
    for node in doctree.findall(InteractiveFigure):
        figure = _ancestor_of(node, nodes.figure)
        chapter = _ancestor_of(node, addnodes.start_of_file)
        page = chapter["docname"] if chapter else docname
        for caption in figure.findall(nodes.caption) if figure else ():
            address = f"{app.config.html_baseurl}{page}.html#{figure['ids'][-1]}"
            caption += nodes.reference("", ON_THE_SITE, refuri=address, internal=False)


def _ancestor_of(node: nodes.Element, kind: type) -> nodes.Element | None:
    while node is not None and not isinstance(node, kind):
        node = node.parent
    return node


class Interactive(SphinxDirective):
    """``{interactive} 章 種類``：中の図を、章 ``章`` の動かせる図にする。"""

    required_arguments = 2
    has_content = True

    def run(self) -> list[nodes.Node]:
        document, kind = self.arguments
        found = self.parse_content_to_nodes()
        pictures = [image for node in found for image in node.findall(nodes.image)]
        notebook = _notebook(self.env.app, document)
        scripts = [data for data in data_of(notebook) if data["kind"] == kind] if notebook else []
        if len(pictures) != 1 or len(scripts) != 1:
            logger.warning(
                f"章「{document}」の動かせる図「{kind}」と、中に書いた図が、一つずつ要ります。",
                location=self.get_location(),
                type="verified_book",
            )
            return found
        figure = InteractiveFigure("", kind=kind, script=scripts[0][0])
        pictures[0].replace_self(figure)
        figure += pictures[0]
        metadata = self.env.metadata[self.env.docname]
        metadata["interactive"] = True
        book = Book.load(Path(self.env.app.confdir))
        # 元の章の結果が変われば読み直す（verified_book.measured）
        metadata.setdefault("measured", {})[document] = key(book, chapter_of(book, document))
        return found


def data_of(notebook: nbformat.NotebookNode) -> list[re.Match[str]]:
    """ノートブックが ``interactive`` で渡したデータ。"""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    texts = (output.get("data", {}).get("text/html", "") for output in outputs)
    return [found for text in texts if (found := DATA.fullmatch(text))]


def files_of(notebook: nbformat.NotebookNode) -> dict[str, bytes]:
    """ノートブックがサイトに置くファイルの、名前と中身。"""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    found = {}
    for output in outputs:
        for name, content in output.get("metadata", {}).get(FILES, {}).items():
            found[name] = base64.b64decode(content)
    return found


def _notebook(app: Sphinx, document: str) -> nbformat.NotebookNode | None:
    book = Book.load(Path(app.confdir))
    chapter = chapter_of(book, document)
    return None if chapter is None or chapter.problems else cached(book, chapter)


def write_files(app: Sphinx, exception: Exception | None) -> None:
    """図が後から読み込むファイルを、サイトに置く。前の組み立てのものは消す。"""
    if exception or app.builder.name != "html":
        return
    folder, wanted = Path(app.outdir) / SITE_FILES, set()
    for document, metadata in app.env.metadata.items():
        if "interactive" not in metadata:
            continue
        notebook = _notebook(app, document)
        for name, content in files_of(notebook).items() if notebook else ():
            path = folder / name
            folder.mkdir(parents=True, exist_ok=True)
            if not path.is_file():
                path.write_bytes(content)
            wanted.add(path)
    for path in set(folder.glob("*")) - wanted:
        path.unlink()


def _warn(app: Sphinx, cell: nodes.Element, message: str) -> None:
    path = Path(app.env.doc2path(app.env.docname))
    name = Book.load(Path(app.confdir)).name(path)
    line = next(c.line for c in parse(path, name).cells if c.index == cell["cell_index"])
    logger.warning(message, location=f"{name}:{line}", type="verified_book")


def _ancestor(node: nodes.Element, part: str) -> nodes.Element:
    """MyST-NBが作った、``node`` を囲む部分。"""
    while node.get("nb_element") != part:
        node = node.parent
    return node


def _picture_above(cell: nodes.Element) -> nodes.Element | None:
    """すぐ上のセルにある、説明の付いた図の、画像の部分。"""
    place = cell.parent.index(cell)
    above = cell.parent[place - 1] if place else nodes.Element()
    for figure in above.findall(nodes.figure):
        first = figure[0]
        if list(first.findall(nodes.image)) and list(figure.findall(nodes.caption)):
            return None if isinstance(first, InteractiveFigure) else first
    return None


def _has_script(app: Sphinx, kind: str) -> bool:
    folders = [Path(app.confdir) / path / FOLDER for path in app.config.html_static_path]
    return any((folder / f"{kind}.js").is_file() for folder in folders)


def add_files(
    app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None
) -> None:
    """動かせる図のあるページだけに、共通の部分を読み込ませる。"""
    if "interactive" in app.env.metadata.get(page, {}) and app.builder.name != "epub":
        app.add_css_file(f"{FOLDER}/interactive.css")
        app.add_js_file(f"{FOLDER}/interactive.js", loading_method="defer")


def setup(app: Sphinx) -> ExtensionMetadata:
    plain = (pass_through, pass_through)
    app.add_node(
        InteractiveFigure, html=(visit, depart), latex=plain, text=plain, man=plain, texinfo=plain
    )
    app.add_directive("interactive", Interactive)
    app.connect("doctree-read", join_figures)
    app.connect("doctree-resolved", invite, priority=400)  # 一冊に並べ替える前
    app.connect("build-finished", write_files)
    app.connect("html-page-context", add_files)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
