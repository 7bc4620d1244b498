"""日本語の全文検索のためのデータを作るSphinx拡張。探すのはブラウザーの`static/search.js`。

Sphinxの索引は日本語を単語に切るので、複合語の一部が見つからない。この拡張はSphinxの索引を止め、
ページに見える文字を節ごとに集めて`_static/search-data.js`に書く。探すときは、正規化した文字列が
含まれるかどうかだけを見る。

ページごとの節はdoctreeのそばに置き、書き直さなかったページの分は、組み立て直すときもそのまま使う。

データの形は`[[番地, [[アンカー, 見出し, 文, 初出の用語, 用語集の項目なら1], …]], …]`で、後ろの空の
値は省く。
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.typing import ExtensionMetadata

from verified_book.page_sections import sections

LOGGER = logging.getLogger(__name__)
BUILDER = "html"
SPHINX_FILES = ("searchindex.js", "_static/searchtools.js", "_static/language_data.js")


def _folder(app: Sphinx) -> Path:
    return Path(app.doctreedir) / "search"


def _switch_off_sphinx_search(app: Sphinx) -> None:
    if app.builder.name == BUILDER:
        app.builder.search = False


def _collect(
    app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None
) -> None:
    """書いたページの節を覚える。並列に書くときも、ページごとに別のファイルなのでぶつからない。"""
    if doctree is None or app.builder.name != BUILDER:
        return
    path = _folder(app) / f"{page}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = [section.packed() for section in sections(context["body"])]
    path.write_text(json.dumps(packed, ensure_ascii=False, separators=(",", ":")), "utf-8")


def reading_order(env: BuildEnvironment) -> Iterable[str]:
    """目次の順に並べた文書。目次にない文書は、その後に名前の順に並べる。"""
    seen: dict[str, None] = {}

    def visit(document: str) -> None:
        if document not in seen:
            seen[document] = None
            for child in env.toctree_includes.get(document, ()):
                visit(child)

    for document in (env.config.root_doc, *sorted(env.found_docs)):
        visit(document)
    return [document for document in seen if document in env.found_docs]


def _search_page(app: Sphinx) -> Iterator[tuple[str, dict, str]]:
    if app.builder.name == BUILDER:
        yield "search", {}, "search.html"


def _write(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.name != BUILDER:
        return
    pages = []
    for document in reading_order(app.env):
        path = _folder(app) / f"{document}.json"
        if path.exists():
            text = path.read_text("utf-8")
            pages.append(f"[{json.dumps(app.builder.get_target_uri(document))},{text}]")
        else:
            LOGGER.warning("検索のデータがありません：%s", document, type="verified_book")
    data = ",\n".join(pages)
    target = Path(app.outdir) / "_static" / "search-data.js"
    target.write_text(f"window.bookSearchData=[\n{data}];\n", "utf-8")
    for name in SPHINX_FILES:
        (Path(app.outdir) / name).unlink(missing_ok=True)


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_css_file("search.css")
    app.add_js_file("search.js", loading_method="defer")
    app.connect("builder-inited", _switch_off_sphinx_search)
    app.connect("html-page-context", _collect, priority=900)
    app.connect("html-collect-pages", _search_page)
    app.connect("build-finished", _write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
