"""Sphinxが解決した文書を、どのJupyterでも読めるMarkdownにする。

役割もディレクティブも解決した後なので、埋め込んだ数、図の番号、リンク先、文献は、ページに載る
ものと同じになる。書き方の決まっていない要素があれば、黙って落とさずに例外にする。
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape

from docutils import nodes
from sphinx.locale import admonitionlabels

from verified_book.interactive_figures import InteractiveFigure

SPECIAL = re.compile(r"[\\`*<$~|]|(?<![^\W_])_|_(?![^\W_])")  # 語の中の_は強調にならない
OPENING = re.compile(r"\A([#+>-]|\d+[.)])(?=\s)")  # 段落の先頭で、見出しや箇条書きになる文字
HIDDEN = (nodes.comment, nodes.meta, nodes.substitution_definition, nodes.target)


@dataclass(frozen=True)
class CodeCell:
    """文章の間にあるセル。``folded`` は、折り畳んだ解答の中にあること。"""

    index: int
    folded: bool = False


class UnknownNodeError(Exception):
    """Markdownでの書き方が決まっていない要素。"""

    def __init__(self, node: nodes.Node) -> None:
        super().__init__(f"ノートブックに書けない要素「{type(node).__name__}」があります。")
        self.node = node


@dataclass
class Writer:
    """文書を、Markdownのまとまりとセルの並びにする。

    Parameters
    ----------
    address : callable
        リンクの要素を受け取り、サイトの番地を返す。
    number : callable
        章か図表の要素を受け取り、「2.」や「図2.1」のような番号か、空文字列を返す。
    picture : callable
        画像の要素を受け取り、番地を返す。
    """

    address: Callable[[nodes.Element], str]
    number: Callable[[nodes.Element], str]
    picture: Callable[[nodes.image], str]
    level: int = 0

    # -- まとまり ----------------------------------------------------------

    def blocks(self, node: nodes.Node) -> Iterator[str | CodeCell]:
        if isinstance(node, HIDDEN):
            return
        yield from self._method("block", node)(node)

    def children(self, node: nodes.Element) -> Iterator[str | CodeCell]:
        for child in node.children:
            yield from self.blocks(child)

    def _method(self, kind: str, node: nodes.Node) -> Callable:
        for ancestor in type(node).__mro__:
            if method := getattr(self, f"{kind}_{ancestor.__name__}", None):
                return method
        raise UnknownNodeError(node)

    def _text(self, node: nodes.Element) -> str:
        return "\n\n".join(map(str, self.children(node)))

    block_document = block_compound = block_legend = children

    def block_section(self, node: nodes.section) -> Iterator[str | CodeCell]:
        self.level += 1
        yield from self.children(node)
        self.level -= 1

    def block_title(self, node: nodes.title) -> Iterator[str]:
        heading = isinstance(node.parent, nodes.section)
        text = self._numbered(node)
        yield f"{'#' * self.level} {text}" if heading else f"**{text}**"

    def block_rubric(self, node: nodes.Element) -> Iterator[str]:
        yield f"**{self._numbered(node)}**"

    def _numbered(self, node: nodes.Element) -> str:
        return f"{self.number(node.parent)} {self.inlines(node).strip()}".strip()

    block_caption = block_rubric

    def block_paragraph(self, node: nodes.paragraph) -> Iterator[str]:
        yield OPENING.sub(lambda found: f"{found[1][:-1]}\\{found[1][-1]}", self.inlines(node))

    def block_literal_block(self, node: nodes.literal_block) -> Iterator[str]:
        language = node.get("language", "python" if ">>>" in node.astext() else "text")
        yield fenced(node.astext(), {"default": "text", "none": "text"}.get(language, language))

    def block_doctest_block(self, node: nodes.doctest_block) -> Iterator[str]:
        yield fenced(node.astext(), "python")

    def block_math_block(self, node: nodes.math_block) -> Iterator[str]:
        yield f"$$\n{node.astext().strip()}\n$$"

    def block_bullet_list(self, node: nodes.bullet_list) -> Iterator[str]:
        yield self._items("- " for _ in node.children)(node)

    def block_enumerated_list(self, node: nodes.enumerated_list) -> Iterator[str]:
        first = node.get("start", 1)
        yield self._items(f"{first + place}. " for place in range(len(node.children)))(node)

    def _items(self, marks: Iterator[str]) -> Callable[[nodes.Element], str]:
        def write(node: nodes.Element) -> str:
            return "\n".join(
                mark + indented(self._text(item), " " * len(mark))
                for mark, item in zip(marks, node.children, strict=True)
            )

        return write

    def block_definition_list(self, node: nodes.definition_list) -> Iterator[str]:
        for item in node.children:
            terms = "、".join(self.inlines(t) for t in item.children if isinstance(t, nodes.term))
            yield f"**{terms}**\n\n" + self._text(item[-1])

    def block_field_list(self, node: nodes.field_list) -> Iterator[str]:
        yield "\n".join(f"- **{self.inlines(name)}**：{self._text(body)}" for name, body in node)

    def block_table(self, node: nodes.table) -> Iterator[str]:
        group = node[-1]
        if len(node) > 1:
            yield f"**{self._numbered(node[0])}**"
        rows = [
            [self._text(entry).replace("\n", " ") for entry in row.children]
            for row in group.findall(nodes.row)
        ]
        rows.insert(1, ["---"] * len(rows[0]))
        yield "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def block_image(self, node: nodes.image) -> Iterator[str]:
        yield self.inline_image(node)

    block_figure = children

    def block_Admonition(self, node: nodes.Element) -> Iterator[str]:
        label = admonitionlabels.get(type(node).__name__)
        title = [f"**{label}**"] if label and not isinstance(node[0], nodes.title) else []
        text = "\n\n".join([*title, self._text(node)])
        yield "\n".join(f"> {line}".rstrip() for line in text.split("\n"))

    block_admonition = block_block_quote = block_Admonition

    def block_container(self, node: nodes.container) -> Iterator[str | CodeCell]:
        if node.get("nb_element") == "cell_code":
            yield CodeCell(node["cell_index"])
            for figure in node.findall(nodes.figure):
                yield from (b for c in figure.findall(nodes.caption) for b in self.blocks(c))
            for image in node.findall(nodes.image):
                yield _details("図の説明", escape(image.get("alt", ""), quote=False))
            for figure in node.findall(InteractiveFigure):
                place = nodes.reference(refid=figure.parent["ids"][0])
                yield f"この図は、[章のページ]({self.address(place)})では動かせます。"
        else:
            yield from self.children(node)

    def _folded(self, title: nodes.Element, children: list[nodes.Node]) -> Iterator[str | CodeCell]:
        """折り畳む。セルは囲めないので、セルがあれば、題を置いて、セルの中身を隠す。"""
        found = [block for child in children for block in self.blocks(child)]
        if any(isinstance(block, CodeCell) for block in found):
            yield f"**{self._numbered(title)}**"
            for block in found:
                yield CodeCell(block.index, True) if isinstance(block, CodeCell) else block
        else:
            summary = escape(" ".join(title.astext().split()), quote=False)
            yield _details(summary, "\n\n".join(map(str, found)))

    def block_dropdown_main(self, node: nodes.Element) -> Iterator[str | CodeCell]:
        yield from self._folded(node[0][0], node.children[1:])

    def block_exercise_enumerable_node(self, node: nodes.Element) -> Iterator[str | CodeCell]:
        yield from self.children(node)

    def block_solution_node(self, node: nodes.Element) -> Iterator[str | CodeCell]:
        if "dropdown" in node["classes"]:
            yield from self._folded(node[0], node.children[1:])
        else:
            yield from self.children(node)

    def block_footnote(self, node: nodes.footnote) -> Iterator[str]:
        label, *body = node.children
        text = "\n\n".join(str(block) for child in body for block in self.blocks(child))
        yield f"[{label.astext()}] {text}"

    # -- 行の中 ------------------------------------------------------------

    def inlines(self, node: nodes.Element) -> str:
        return "".join(self.inline(child) for child in node.children)

    def inline(self, node: nodes.Node) -> str:
        return "" if isinstance(node, HIDDEN) else self._method("inline", node)(node)

    def inline_Text(self, node: nodes.Text) -> str:
        return SPECIAL.sub(r"\\\g<0>", node.astext()).replace("\n", " ")

    inline_inline = inline_generated = inline_abbreviation = inline_caption_number = inlines

    def inline_emphasis(self, node: nodes.Element) -> str:
        return f"*{self.inlines(node)}*"

    def inline_strong(self, node: nodes.Element) -> str:
        return f"**{self.inlines(node)}**"

    def inline_literal(self, node: nodes.literal) -> str:
        text = node.astext().replace("\n", " ")
        if _in_table(node):
            text = text.replace("|", r"\|")
        ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
        space = " " * (text[:1] == "`" or text[-1:] == "`")
        return f"{ticks}{space}{text}{space}{ticks}"

    def inline_math(self, node: nodes.math) -> str:
        text = node.astext().strip().replace("\n", " ")
        if _in_table(node):
            text = text.replace("|", r"\vert ")
        return f"${text}$"

    def inline_reference(self, node: nodes.reference) -> str:
        address = self.address(node)
        text = self.inlines(node)
        return f"[{text}]({address})" if address else text

    inline_download_reference = inline_number_reference = inline_reference

    def inline_footnote_reference(self, node: nodes.footnote_reference) -> str:
        return f"<sup>[{node.astext()}]</sup>"

    def inline_superscript(self, node: nodes.superscript) -> str:
        return f"<sup>{self.inlines(node)}</sup>"

    def inline_image(self, node: nodes.image) -> str:
        alt = re.sub(r"([\\\[\]])", r"\\\1", node.get("alt", ""))
        return f"![{alt}]({self.picture(node)})"


def _in_table(node: nodes.Node) -> bool:
    while node.parent is not None and not isinstance(node, nodes.entry):
        node = node.parent
    return isinstance(node, nodes.entry)


def _details(summary: str, text: str) -> str:
    """開くまで中身を見せない、HTMLの折り畳み。"""
    return f"<details>\n<summary>{summary}</summary>\n\n{text}\n\n</details>"


def indented(text: str, space: str) -> str:
    """二行目からを字下げする。

    Examples
    --------
    >>> indented("一\\n\\n二", "  ")
    '一\\n\\n  二'
    """
    return re.sub(r"\n(?=[^\n])", "\n" + space, text)


def fenced(text: str, language: str) -> str:
    """コードを、中のどの囲みよりも長い囲みに入れる。

    Examples
    --------
    >>> fenced("x = 1", "python")
    '```python\\nx = 1\\n```'
    """
    ticks = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}"
