"""最後にすべての誤りを確かめたときの数を、表にしてページに載せるSphinx拡張。"""

import json
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from verified_book.mutants.mutant import CONTEXT
from verified_book.tables import table

SLASH = "\N{NO-BREAK SPACE}/\N{NO-BREAK SPACE}"  # 狭い画面でも、数と数の間で改行しない


class Mutants(SphinxDirective):
    """``{mutants}``：種類ごとの数と、見つからなかった誤り。引数は、数を書いたファイル。"""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        figures = json.loads(Path(path).read_text("utf-8"))
        shown = list(figures["versions"].items())[:3]  # PythonとPyTorch
        versions = "、".join(f"{name} {version}" for name, version in shown)
        chapters = "、".join(Path(name).stem for name in figures["chapters"])
        when = (
            f"{figures['date']}に、{figures['processor']}で確かめました（{versions}）。"
            f"章の誤りは、次の{len(figures['chapters'])}章に植えました：{chapters}。"
        )
        rows = [
            (
                row["title"],
                f"{row['caught']}{SLASH}{row['planted'] - row['same']}",
                str(row["same"] or ""),
            )
            for row in figures["kinds"]
        ]
        survivors = [
            (row["title"], survivor) for row in figures["kinds"] for survivor in row["survivors"]
        ]
        blocks: list[nodes.Node] = [
            nodes.paragraph("", when),
            table(("植えた誤り", "見つけた数", "変化なし"), rows),
        ]
        if survivors:
            blocks.append(_survivors(survivors))
        return blocks


def _survivors(survivors: list[tuple[str, dict]]) -> nodes.bullet_list:
    items = nodes.bullet_list()
    for title, survivor in survivors:
        paragraph = nodes.paragraph()
        paragraph += nodes.literal("", survivor["place"], classes=["place"])
        paragraph += nodes.Text(f" {title}：")
        paragraph += nodes.literal("", shown(survivor["change"]), classes=["change"])
        paragraph += nodes.Text(f"。{survivor['reason'] or '見つけられていません。'}")
        items += nodes.list_item("", paragraph)
    return items


def shown(change: str) -> str:
    """記録した変更の説明を、ページに見せる形にする：切られた語を除き、「…」を付ける。

    Examples
    --------
    >>> shown('rint(f"{type(layer).__name__:10}") → rint(f"{type(layer).__name__:11}")')
    '…(f"{type(layer).__name__:10}") → …(f"{type(layer).__name__:11}")'
    >>> shown("f(1) → f(2)")
    'f(1) → f(2)'
    """
    old, _, new = change.partition(" → ")
    if old[:CONTEXT] != new[:CONTEXT]:  # 変えたところの前が短く、行の初めから始まっている
        return change
    cut = re.match(r"[\w.]*\s*", old).end()
    return f"…{old[cut:]} → …{new[cut:]}"


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("mutants", Mutants)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
