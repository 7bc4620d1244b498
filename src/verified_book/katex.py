"""数式をビルド時にKaTeXで組み、読者のブラウザには組み終えたHTMLとCSSだけを渡す。

一つの文書の数式は、一度のNodeの起動でまとめて組む。誤った数式は、その行の警告になる。
KaTeX本体は`package.json`が版を決め、`node_modules/katex`に入る。
"""

import json
import re
import shutil
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.html5 import HTML5Translator

from verified_book.node import MODULES, run_node

LOGGER = logging.getLogger(__name__)
DIST = MODULES / "katex" / "dist"
# どのブラウザーもwoff2を読めるので、古い形式の書体は置かない
OLD_FONT = re.compile(r',url\([^)]*\) format\("(?:woff|truetype)"\)')
MATH = re.compile(r"<math\b.*?</math>", re.DOTALL)
# KaTeXは`L_{\min}`の添字に、MathMLでは余る「関数の適用」の印を入れる
APPLICATION = re.compile("<mo>\u2061</mo>(?=</)")
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
    done = run_node("-e", RENDER, str(DIST / "katex.js"), stdin=json.dumps(formulas))
    return json.loads(done)


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
    writer.body.append(f'<span class="math">{_shown(writer, node)}</span>')
    raise nodes.SkipNode


def visit_block(writer: HTML5Translator, node: nodes.math_block) -> None:
    writer.body.append(writer.starttag(node, "div", CLASS="math"))
    if node["number"]:
        number = get_node_equation_number(writer, node)
        writer.body.append(f'<span class="eqno">({number})')
        writer.add_permalink_ref(node, "この数式へのリンク")
        writer.body.append("</span>")
    writer.body.append(_shown(writer, node) + "</div>\n")
    raise nodes.SkipNode


def _shown(writer: HTML5Translator, node: nodes.math | nodes.math_block) -> str:
    """EPUBの端末はKaTeXのCSSを知らないので、MathMLだけを渡す。"""
    return to_mathml(node["katex"]) if writer.builder.name == "epub" else node["katex"]


def to_mathml(katex: str) -> str:
    """KaTeXが組んだHTMLから、MathMLだけを取り出す。

    Examples
    --------
    >>> to_mathml('<span class="katex"><span class="katex-mathml"><math><mi>x</mi></math></span>')
    '<math><mi>x</mi></math>'
    """
    found = MATH.search(katex)
    return APPLICATION.sub("", found[0]) if found else ""


def copy_files(app: Sphinx, exception: Exception | None) -> None:
    """KaTeXのCSSと書体を`_static/katex/`へ写す（別のサイトから取らせない）。"""
    if exception is None and app.builder.format == "html" and app.builder.name != "epub":
        target = Path(app.outdir) / "_static" / "katex"
        (target / "fonts").mkdir(parents=True, exist_ok=True)
        css = (DIST / "katex.min.css").read_text("utf-8")
        (target / "katex.min.css").write_text(OLD_FONT.sub("", css), "utf-8")
        for font in (DIST / "fonts").glob("*.woff2"):
            shutil.copy(font, target / "fonts")


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_html_math_renderer("katex", (visit_inline, None), (visit_block, None))
    app.add_css_file("katex/katex.min.css")
    app.connect("doctree-read", render_document)
    app.connect("build-finished", copy_files)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
