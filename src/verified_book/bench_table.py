"""最後に測った速さと軽さの表を、ページに載せるSphinx拡張。"""

import json
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from verified_book.tables import table

HEAD = ("測ったもの", "この本", "比べる相手", "比（倍）")


class Bench(SphinxDirective):
    """``{bench}``：部ごとの、測った条件と表。引数は、``make bench`` が書いたファイル。"""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        return [_part(part) for part in json.loads(Path(path).read_text("utf-8"))["parts"]]


def _part(part: dict) -> nodes.section:
    versions = "、".join(f"{name} {part['versions'][name]}" for name in ("python", "torch"))
    others = "".join(f"{name}：{text}。" for name, text in part["others"].items())
    when = (
        f"{part['date']}に、{part['processor']}の{part['cores']}コアで測りました"
        f"（{versions}、測る前の負荷 {part['load']}）。{others}"
    )
    rows = [tuple(row["cells"]) for row in part["rows"]]
    used = [n for n in range(len(HEAD)) if any(row[n] for row in rows)]
    section = nodes.section("", ids=[f"bench-{part['name']}"], names=[part["title"]])
    section += nodes.title("", part["title"])
    section += nodes.paragraph("", when)
    section += table([HEAD[n] for n in used], [[row[n] for n in used] for row in rows])
    return section


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("bench", Bench)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
