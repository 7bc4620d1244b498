"""検索の正解。サイトのHTMLだけを読み、どの節がどの語を含むかを答える。

検索のデータもsearch.jsも使わない。節は、文字ごとに祖先の要素をたどって決める（データを作る側は、
HTMLを前から順に読んで区切る）。語の照合は、長音のありなしを書き出してから調べる。
"""

import re
import unicodedata
from functools import cache
from itertools import product
from pathlib import Path

from bs4 import BeautifulSoup, NavigableString, Tag

INVISIBLE = re.compile("[\u2061-\u2064\u200b]")  # 数式の、目に見えない記号
DASHES = dict.fromkeys([*range(0x2010, 0x2016), 0x2212], "-")
KATAKANA = (
    "ァアィイゥウェエォオカガキギクグケゲコゴサザシジスズセゼソゾタダチヂッツヅテデトドナニヌネノ"
)
KATAKANA += (
    "ハバパヒビピフブプヘベペホボポマミムメモャヤュユョヨラリルレロヮワヰヱヲンヴヵヶヷヸヹヺ"
)
UNSEEN = (
    ".headerlink, .toctree-wrapper, .katex-html, .collapsed, .expanded, "
    "annotation, script, style, svg, button, .chapter-links"
)
BLOCKS = (
    "article|section|div|p|li|ul|ol|dl|dt|dd|pre|figure|figcaption|aside|details|summary"
    "|blockquote|table|thead|tbody|tr|td|th|h[1-6]"
)
Where = tuple[str, str]  # ページの番地と、アンカー（ページの題の節では空）


@cache
def normalize(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower().translate(DASHES)


def spellings(word: str) -> list[tuple[str, bool]]:
    """語の書き方と、その後に片仮名が続いてはならないか。"""
    runs = [run for run in re.split(f"([{KATAKANA}ー]+)", word) if run]
    choices: list[list[tuple[str, bool]]] = []
    for number, run in enumerate(runs):
        stem, last = run.removesuffix("ー"), number == len(runs) - 1
        if run[0] not in KATAKANA + "ー" or len(stem) < 3 or stem.endswith("ー"):
            choices.append([(run, False)])
        elif last:
            choices.append([(run, False)] if stem == run else [(run, False), (stem, True)])
        else:
            choices.append([(stem, False), (f"{stem}ー", False)])
    return [("".join(run for run, _ in way), way[-1][1]) for way in product(*choices)]


def contains(text: str, word: str) -> bool:
    """正規化した文が、正規化した語を含むか。"""
    for spelling, closed in spellings(word):
        at = text.find(spelling)
        while at >= 0:
            after = text[at + len(spelling) : at + len(spelling) + 1]
            if not (closed and after and after in KATAKANA + "ー"):
                return True
            at = text.find(spelling, at + 1)
    return False


def holds(text: str, query: str) -> bool:
    """文が、空白で区切った語をすべて含むか。"""
    normal = normalize(text)
    return all(contains(normal, word) for word in normalize(query).split())


def read_page(html: str) -> dict[str, tuple[str, str]]:
    """ページの節を`{アンカー: (見出し, 文)}`で返す。"""
    article = BeautifulSoup(html, "html.parser").select_one("article")
    for node in article.select(UNSEEN):
        node.decompose()
    for node in article("br"):
        node.replace_with("\n")
    for fraction in article("mfrac"):
        for part in fraction(recursive=False):
            if re.search("[+−]", part.text):
                part.insert(0, "(")
                part.append(")")
        fraction.insert(1, "/")
    found: dict[str, tuple[list[str], list[str]]] = {}
    previous = None
    for text in article.find_all(string=True):
        if type(text) is not NavigableString:
            continue
        anchor, in_heading = owner(text)
        block = next(p for p in text.parents if re.fullmatch(BLOCKS, p.name))
        parts = found.setdefault(anchor, ([], []))[0 if in_heading else 1]
        parts += ["" if block is previous else "\n", text]
        previous = block
    pairs = {
        anchor: tuple(INVISIBLE.sub("", "".join(part)) for part in parts)
        for anchor, parts in found.items()
    }
    for node in article.select("dl.py > dt[id]"):
        pairs[node["id"]] = (node["id"], pairs[node["id"]][1])
    squeezed = {a: (" ".join(h.split()), " ".join(b.split())) for a, (h, b) in pairs.items()}
    return {anchor: pair for anchor, pair in squeezed.items() if any(pair)}


def owner(text: NavigableString) -> tuple[str, bool]:
    """文字が属する節のアンカーと、その節の題の文字か。"""
    inside: Tag | NavigableString = text
    for node in text.parents:
        classes = set(node.get("class", ()))
        if node.name == "dl" and classes & {"glossary", "py"}:
            term = inside if inside.name == "dt" else inside.find_previous_sibling("dt")
            if term is not None:
                return term["id"], inside is term and "glossary" in classes
        if (
            node.name == "div"
            and node.get("id")
            and classes & {"exercise", "solution", "provenance"}
        ):
            title = node.select_one(".admonition-title, .rubric")
            return node["id"], title is not None and any(p is title for p in text.parents)
        if node.name == "section":
            heading = node.find(re.compile("^h[1-6]$"), recursive=False)
            if heading is not None:
                return "" if heading.name == "h1" else node["id"], any(
                    p is heading for p in text.parents
                )
        if isinstance(node, Tag) and node.parent is not None:
            inside = node
    return "", False


def read_site(site: Path) -> dict[Where, tuple[str, str]]:
    """サイトのすべての本文のページの節。404と検索のページは、本文ではない。"""
    paths = [p for p in sorted(site.rglob("*.html")) if "_static" not in p.parts]
    special = {"404.html", "search.html"}
    names = [str(p.relative_to(site)) for p in paths if p.name not in special]
    assert len(names) > 8
    return {
        (name, anchor): section
        for name in names
        for anchor, section in read_page((site / name).read_text("utf-8")).items()
    }
