"""本を一冊のLaTeXにまとめるSphinx拡張。

Sphinxは、最初のページの節の中に章を入れる。ここでは、最初のページを「はじめに」とし、目次の枠
（``toctree``）を、見出しを題とする部にする。SVGの図は、rsvg-convertでPDFにする。
"""

import shutil
import subprocess
from os import PathLike

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms.images import ImageConverter
from sphinx.util.texescape import escape
from sphinx.util.typing import ExtensionMetadata
from sphinx_exercise.nodes import exercise_enumerable_node, exercise_node

INTRODUCTION = "はじめに"


class SvgToPdf(ImageConverter):
    """図を、拡大してもぼやけないPDFにする。"""

    conversion_rules = [("image/svg+xml", "application/pdf")]  # noqa: RUF012  Sphinxの流儀

    def is_available(self) -> bool:
        return shutil.which("rsvg-convert") is not None

    def convert(self, _from: str | PathLike[str], _to: str | PathLike[str]) -> bool:
        subprocess.run(["rsvg-convert", "--format=pdf", f"--output={_to}", _from], check=True)
        return True


def arrange(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """一冊にまとめた木を、「はじめに」と部に分ける。"""
    if app.builder.format != "latex":
        return
    for chapter in doctree.findall(addnodes.start_of_file):
        for exercise in list(chapter.findall(_is_exercise)):
            label = (
                rf"\phantomsection\label{{\detokenize{{{chapter['docname']}:{exercise['label']}}}}}"
            )
            exercise.parent.insert(exercise.parent.index(exercise), _latex(label))
    book = next(doctree.findall(nodes.section))
    toctrees = list(app.env.get_doctree(docname).findall(addnodes.toctree))
    chapters = [node for node in doctree.findall(nodes.compound) if _is_toctree(node)]
    for compound in chapters:
        compound.parent.remove(compound)
    for node in list(filter(_is_for_the_site, book.findall(nodes.Element))):
        node.parent.remove(node)
    title, *rest = book.children
    introduction = nodes.section("", nodes.title("", INTRODUCTION), *rest, ids=["introduction"])
    book.children = []
    book += [title, _latex(r"\bookfront"), introduction]
    for toctree, compound in zip(toctrees, chapters, strict=True):
        command = "bookpart" if toctree.get("numbered") else "bookappendix"
        caption = escape(toctree["caption"], app.config.latex_engine)
        book += [_latex(rf"\{command}{{{caption}}}"), compound]


def _is_exercise(node: nodes.Node) -> bool:
    """解答の題が指す演習か。sphinx-exerciseは、LaTeXでは別の名前の目印しか置かない。"""
    return isinstance(node, exercise_node | exercise_enumerable_node)


def _is_for_the_site(node: nodes.Element) -> bool:
    """目次と同じ章の一覧（カード）か、最初の章へ進むボタンか。"""
    return node.get("design_component") == "grid-container" or "start-button" in node["classes"]


def _is_toctree(node: nodes.compound) -> bool:
    return "toctree-wrapper" in node["classes"]


def _latex(text: str) -> nodes.raw:
    return nodes.raw("", text + "\n", format="latex")


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_post_transform(SvgToPdf)
    app.connect("doctree-resolved", arrange)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
