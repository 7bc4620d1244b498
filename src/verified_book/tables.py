"""文字だけの表を作る。"""

from collections.abc import Iterable

from docutils import nodes


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> nodes.table:
    """見出しの行と、中身の行の表。"""
    first = _row(head)
    group = nodes.tgroup(cols=len(first))
    group += [nodes.colspec(colwidth=1) for _ in first]
    group += nodes.thead("", first)
    group += nodes.tbody("", *map(_row, rows))
    return nodes.table("", group)


def _row(texts: Iterable[str]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", text)) for text in texts))
