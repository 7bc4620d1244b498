"""docstringの文章を、日本語の組み方で載せるSphinx拡張。

Pythonのコードの行は短いので、docstringの段落は途中で改行される。改行は空白として表示されるので、
和文のとなりにあるものを除く。引数の名前と説明を分ける ``--`` は、「：」にする。
"""

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

WIDE = r"[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]"  # 和文の文字と約物
GAP = re.compile(rf"(?<={WIDE})[ \n]|[ \n](?={WIDE})")
DASH = re.compile(r"^ -- ?")  # Sphinxが引数の名前と説明の間に入れる文字


def close_gaps(text: str) -> str:
    """和文のとなりの、空白と改行を除く。

    Examples
    --------
    >>> close_gaps("正しいと\\n確かめて、置きます。 複数の")
    '正しいと確かめて、置きます。複数の'
    >>> close_gaps("float32の Tensor\\nand a number")
    'float32のTensor\\nand a number'
    """
    return GAP.sub("", text)


def mend(app: Sphinx, document: nodes.document) -> None:
    """docstringから来た段落と引数の説明を整える。"""
    for paragraph in document.findall(nodes.paragraph):
        field = isinstance(paragraph.parent, nodes.field_body) or paragraph.source is None
        if "docstring of" not in (paragraph.source or "") and not field:
            continue
        for text in list(paragraph.findall(nodes.Text)):
            if isinstance(text.parent, nodes.literal):
                continue
            text.parent.replace(text, nodes.Text(close_gaps(DASH.sub("：", text.astext()))))


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("doctree-read", mend)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
