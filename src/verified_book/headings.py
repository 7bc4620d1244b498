"""見出しと、見出しへのリンクの行が、文節の切れ目で変わるようにする。

``word-break: auto-phrase`` は一部のブラウザーにしかないので、切れ目を
BudouXで求め、``<wbr>`` を入れる。
"""

import re
from functools import cache
from html import escape, unescape

import budoux

HEADING = re.compile(
    r"(<(h[1-4])\b[^>]*>|<(a) class=\"[^\"]*\bnav-link\"[^>]*>|<(p) class=\"prev-next-title\">)"
    r"(.*?)(</(?:\2|\3|\4)>)",
    re.DOTALL,
)
TEXT = re.compile(r"(<a class=\"headerlink\".*?</a>|<[^>]*>)", re.DOTALL)


@cache
def _parser() -> budoux.Parser:
    return budoux.load_default_japanese_parser()


def phrases(text: str) -> list[str]:
    """``text`` を文節に分ける。

    Examples
    --------
    >>> phrases("手書き数字の認識")
    ['手書き数字の', '認識']
    """
    return _parser().parse(text)


def break_headings(html: str) -> str:
    """見出しとそのリンクの、文節の切れ目に ``<wbr>`` を入れたページを返す。二度かけても変わらない。

    Examples
    --------
    >>> break_headings("<h2>この章でできるようになること</h2>")
    '<h2>この<wbr>章で<wbr>できるようになる<wbr>こと</h2>'
    >>> break_headings('<a class="reference internal nav-link" href="#id1">形の操作</a>')
    '<a class="reference internal nav-link" href="#id1">形の<wbr>操作</a>'
    """
    return HEADING.sub(lambda found: found[1] + _broken(found[5]) + found[6], html)


def _broken(inside: str) -> str:
    if "<wbr>" in inside:
        return inside
    parts = TEXT.split(inside)
    for index in range(0, len(parts), 2):
        if parts[index].strip():
            parts[index] = "<wbr>".join(map(escape, phrases(unescape(parts[index]))))
    return "".join(parts)
