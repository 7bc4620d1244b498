"""章の終わりに、その章を実行した環境と検証した例の数を載せるSphinx拡張。

版、プロセッサー、秒数、日付は実行の記録から、例の数は比べた結果から読む。手では何も書かない。
"""

from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

from verified_book.book import Book
from verified_book.chapter import parse
from verified_book.execution import cached
from verified_book.expectations import Result, verify

NAMES = {"python": "Python", "torch": "PyTorch"}


def lines(result: Result, record: dict) -> list[tuple[str, str]]:
    """箱に並べる、項目と内容。"""
    versions = record["versions"]
    return [
        ("検証した例", f"{result.verified}個（検証しない例：{len(result.exemptions)}個）"),
        ("版", "、".join(f"{NAMES.get(name, name)} {versions[name]}" for name in versions)),
        ("プロセッサー", f"{record['processor']}（{record['threads']}スレッド）"),
        ("実行", f"{record['date']}、{record['seconds']:.1f}秒"),
    ]


def append(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """箱を、章の終わりに置く。一冊にまとめた木では、すべての章に置く。"""
    _append(app, doctree, docname)
    for part in doctree.findall(addnodes.start_of_file):
        _append(app, part, part["docname"])


def _append(app: Sphinx, doctree: nodes.Element, docname: str) -> None:
    path = Path(app.env.doc2path(docname))
    book = Book.load(Path(app.confdir))
    chapter = parse(path, book.name(path))
    notebook = None if chapter.problems or not chapter.cells else cached(book, chapter)
    if notebook is None:
        return
    fields = [
        nodes.field("", nodes.field_name("", name), nodes.field_body("", nodes.paragraph("", text)))
        for name, text in lines(verify(chapter, notebook), notebook.metadata["execution"])
    ]
    box = nodes.container("", nodes.field_list("", *fields), classes=["provenance"])
    box["ids"] = ["provenance"]
    box.insert(0, nodes.rubric("", "この章の実行環境"))
    sections = list(doctree.findall(nodes.section))
    (sections[0] if sections else doctree).append(box)


def setup(app: Sphinx) -> dict[str, object]:
    app.connect("doctree-resolved", append)  # 脚注の並びが決まった後
    return {"parallel_read_safe": True, "parallel_write_safe": True}
