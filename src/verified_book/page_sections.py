"""組み上がった本文のHTMLを、見出しごとの節に分け、読者に見える文字を集める。

節は見出し、用語集の一項目、APIの一項目、演習と解答の一つずつで区切る。セルの出力も、図表の番号も、
読者が見るとおりに入る。
"""

import re
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from html import escape
from html.parser import HTMLParser
from xml.etree import ElementTree

HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
BOXES = {"exercise", "solution", "provenance"}  # 見出しの代わりに題を持つ、番地のある箱
TITLES = {"admonition-title", "rubric"}
# 読むためではなく操作や移動のための文字と、数式の二重の写し
HIDDEN_TAGS = {"script", "style", "svg", "button", "template", "annotation"}
HIDDEN_CLASSES = {"headerlink", "toctree-wrapper", "katex-html", "collapsed", "expanded"}
INLINE = re.compile(
    "a|abbr|b|cite|code|del|dfn|em|i|ins|kbd|label|mark|q|s|samp|small|span|strong|sub|sup|time|u|var"
)
VOID = re.compile("area|br|col|embed|hr|img|input|link|meta|source|track|wbr")
MATH = re.compile(r"<math\b.*?</math>", re.DOTALL)
SUPERSCRIPT = str.maketrans("0123456789+-−=()niT", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿⁱᵀ")
SUBSCRIPT = str.maketrans("0123456789+-−=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")


@dataclass
class Section:
    """検索の結果の一つになる、番地のある文のまとまり。"""

    anchor: str
    heading: str = ""
    text: str = ""
    terms: str = ""  # この章で初めて現れ、用語集へつながれた用語
    glossary: int = 0

    def packed(self) -> list[str | int]:
        values = [*astuple(self)]
        while values and not values[-1]:
            values.pop()
        return values


@dataclass
class _Open:
    """閉じていないタグと、それが閉じたときに戻る状態。"""

    tag: str
    section: Section
    field: str
    hidden: bool
    anchor: str
    kind: str


class _Reader(HTMLParser):
    """本文のHTMLを読み、節に分ける。"""

    def __init__(self) -> None:
        super().__init__()
        self.sections = [Section("")]
        self._now = _Open("", self.sections[0], "text", False, "", "")
        self._stack: list[_Open] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if VOID.fullmatch(tag):
            self._write("\n" if tag in ("br", "hr") else "")
            return
        now, values = self._now, dict(attrs)
        classes, anchor = set((values.get("class") or "").split()), values.get("id") or ""
        self._stack.append(now)
        self._now = now = _Open(tag, now.section, now.field, now.hidden, now.anchor, now.kind)
        now.hidden |= tag in HIDDEN_TAGS or bool(classes & HIDDEN_CLASSES)
        if tag == "section" and anchor:
            now.anchor = anchor
        elif tag == "dl":
            now.kind = next((k for k in ("glossary", "py") if k in classes), "")
        elif tag in HEADINGS and now.field == "text":
            self._begin(now.anchor, "heading")
        elif tag == "dt" and anchor and now.kind == "glossary":
            self._begin(anchor, "heading").glossary = 1
        elif tag == "dt" and anchor and now.kind == "py":
            self._begin(anchor, "text").heading = anchor
        elif tag == "div" and anchor and classes & BOXES:
            self._begin(anchor, "text")
        elif tag == "p" and classes & TITLES and not now.section.heading:
            now.field = "heading"
        elif "std-term" in classes and now.field == "text":
            now.field = "terms"
            now.section.terms += "\n"
        if not INLINE.fullmatch(tag):
            self._write("\n")

    def handle_endtag(self, tag: str) -> None:
        if VOID.fullmatch(tag) or all(opened.tag != tag for opened in (*self._stack, self._now)):
            return
        closed = self._now
        while closed.tag != tag:
            closed = self._now = self._stack.pop()
        self._now = self._stack.pop()
        if tag in HEADINGS or tag == "dt":  # 見出しの後の文は、その節の文
            self._now.section = closed.section
        if not INLINE.fullmatch(tag):
            self._write("\n")

    def handle_data(self, data: str) -> None:
        if all(opened.tag != "pre" for opened in (*self._stack, self._now)):
            data = re.sub(r"\s+", " ", data)
        self._write(data)

    def _begin(self, anchor: str, field: str) -> Section:
        first = not any(section.heading for section in self.sections)
        self._now.section = Section("" if first else anchor)  # ページの題は、ページの先頭
        self._now.field = field
        self.sections.append(self._now.section)
        return self._now.section

    def _write(self, text: str) -> None:
        now = self._now
        if now.hidden:
            return
        if now.field == "terms":
            now.section.text += text
            now.section.terms += text
        else:
            setattr(now.section, now.field, getattr(now.section, now.field) + text)


def sections(body: str) -> list[Section]:
    """本文のHTMLを、文のある節の並びにする。

    文の中の改行は、段落やコードの行の切れ目を表す。連続する空白は一つにする。

    Examples
    --------
    >>> from verified_book.page_sections import sections
    >>> body = '<section id="a"><h1>題</h1><p>最初の<code>x</code>。</p><p>次。</p></section>'
    >>> sections(body)[0]
    Section(anchor='', heading='題', text='最初のx。\\n次。', terms='', glossary=0)
    """
    reader = _Reader()
    reader.feed(MATH.sub(lambda found: _formula(found[0]), body))
    reader.close()
    for section in reader.sections:
        section.heading = " ".join(section.heading.split())
        section.text = "\n".join(_lines(section.text))
        section.terms = "\n".join(_lines(section.terms))
    return [section for section in reader.sections if section.heading or section.text]


def _lines(text: str) -> Iterator[str]:
    squeezed = (" ".join(line.split()) for line in text.split("\n"))
    return (line for line in squeezed if line)


def _formula(mathml: str) -> str:
    """MathMLの数式を、読める並びの文字にする。添字は、正規化するとページの文字に戻る。"""
    rows = (row.strip() for row in _linear(ElementTree.fromstring(mathml)).split("\n"))
    return "<br>".join(escape(row) for row in rows if row)


def _linear(node: ElementTree.Element) -> str:
    tag = node.tag.rpartition("}")[2]
    if tag == "annotation":
        return ""
    if tag == "mtable" and not node.get("columnspacing", "").startswith("0em"):  # 行列
        return "\n".join(" ".join(map(_linear, row)) for row in node)
    parts = [_linear(child) for child in node]
    if tag == "mfrac":
        return "/".join(f"({part})" if re.search("[+−]", part) else part for part in parts)
    if tag in ("msup", "msub", "msubsup"):
        tables = {"msup": [SUPERSCRIPT], "msub": [SUBSCRIPT]}.get(tag, [SUBSCRIPT, SUPERSCRIPT])
        return parts[0] + "".join(map(_script, parts[1:], tables))
    text = "".join(parts) or re.sub(r"[\u2061-\u2064\u200b]", "", node.text or "")
    return text + "\n" if tag == "mtr" else text


def _script(text: str, table: dict[int, int]) -> str:
    return text.translate(table) if all(ord(letter) in table for letter in text) else text
