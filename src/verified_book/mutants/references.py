"""リンク、アンカー、画像、参照に植える誤り：行き先の名前の終わりに、余分な文字を付ける。

外のサイトへのリンクは、ネットワークがないと確かめられないので、植えない。
"""

import re
from collections.abc import Iterator

from verified_book.api_links import DOTTED
from verified_book.measured import REFERENCE
from verified_book.mutants.mutant import Mutant

WRONG = "-missing"
MEASURED = re.compile(r"(?<!`)\{measured\}`([^`]+)`(?!`)")
FENCE = re.compile(r"^(`{3,}|:{3,})(?:\{([\w-]+)\})?.*?(?:^\1[ \t]*$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")
ROLE = re.compile(
    r"\{(?!measured|given|glue|code|kbd|math|sub|sup|abbr|eval)([a-z:]+)\}`(?:[^`<]*<)?!?([^`<>]+)>?`"
)
CODE = re.compile(r"(?<!`)(?<!\})`([^`\n]+)`(?!`)")
INLINE = re.compile(
    r"(\{[\w:+-]+\}(`+)(?!`)[^\n]*?(?<!`)\2(?!`))|(?<!`)(`+)(?!`)[^\n]+?(?<!`)\3(?!`)"
)
# 行き先を一つ取るディレクティブと、行き先を取る選択肢
DIRECTIVE = re.compile(
    r"^[ \t]*[`:]{3,}\{(?:figure|image|literalinclude|include|button-ref|solution|solution-start"
    r"|download)\}[ \t]+(\S+)[ \t]*$",
    re.MULTILINE,
)
OPTION = re.compile(r"^[ \t]*:(?:link|target|pyobject):[ \t]+(?!https?:)(\S+)[ \t]*$", re.MULTILINE)
TOCTREE = re.compile(r"^`{3,}\{toctree\}\n(.*?)^`{3,}", re.MULTILINE | re.DOTALL)
MODULE = re.compile(r"^\.\. auto(?:module|class|function):: (\S+)$", re.MULTILINE)


def reference_mutants(name: str, text: str, roots: tuple[str, ...]) -> Iterator[Mutant]:
    """``text`` のすべての行き先に植える。``roots`` は、リンクになるコードの名前の先頭。"""
    code = hide_literals(hide_code(text), ticks=2)
    prose = hide_literals(code)
    for pattern in (LINK, DIRECTIVE, OPTION, MODULE):
        for found in pattern.finditer(prose):
            yield Mutant("reference", name, found.end(1), found.end(1), WRONG)
    for found in ROLE.finditer(prose):
        yield from _targets(name, found)
    for found in MEASURED.finditer(prose):
        parts = REFERENCE.fullmatch(found[1])
        if parts:
            end = found.start(1) + parts.end(2)
            yield Mutant("reference", name, end, end, WRONG)
    for found in CODE.finditer(code):
        dotted = DOTTED.match(found[1])
        if dotted is None or "." not in dotted[0] or found[1][dotted.end() :][:1] not in "([":
            continue  # リンクにならない名前（verified_book.api_links.name_in）
        first, _, rest = dotted[0].partition(".")
        if first in roots and rest != "py":
            end = found.start(1) + dotted.end()
            yield Mutant("reference", name, end, end, WRONG.replace("-", "_"))
    for found in TOCTREE.finditer(text):
        for entry in re.finditer(r"^(?!:)(\S+)$", found[1], re.MULTILINE):
            end = found.start(1) + entry.end()
            if not re.search(r"[*?]", entry[0]):
                yield Mutant("reference", name, end, end, WRONG)


def _targets(name: str, found: re.Match[str]) -> Iterator[Mutant]:
    """役割の行き先。引用は、コンマで区切った鍵の一つずつ。"""
    parts = re.finditer(r"[^,]+", found[2]) if "cite" in found[1] else [None]
    for part in parts:
        end = found.start(2) + part.end() if part else found.end(2)
        yield Mutant("reference", name, end, end, WRONG)


def hide_code(text: str, hidden: tuple = (None, "code-cell", "expect", "toctree")) -> str:
    """``hidden`` のディレクティブ（Noneは、ただのコードの囲み）を、同じ長さの空白にする。"""

    def blank(found: re.Match[str]) -> str:
        if found[1].startswith(":") or found[2] not in hidden:
            return found[0]
        return _blank(found)

    return FENCE.sub(blank, text)


def hide_literals(text: str, ticks: int = 1) -> str:
    """``ticks`` 個以上のバッククォートで囲んだコードを、同じ長さの空白にする。役割は残す。"""
    return INLINE.sub(lambda f: f[0] if f[1] or len(f[3]) < ticks else _blank(f), text)


def _blank(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found[0])
