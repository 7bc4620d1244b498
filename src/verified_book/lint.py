"""textlintにない、この本だけの書き方の規則を確かめる。

``python -m verified_book.lint`` は、誤りを ``ファイル:行: 説明`` の形で並べ、終了状態1で終わる。
"""

import re
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from verified_book.book import Book
from verified_book.chapter import Problem
from verified_book.prose import Page, read
from verified_book.terms import wrong_words

GLOSSARY = "docs/appendix/glossary.md"
FIRST = "この章でできるようになること"
LAST = ["よくある間違い", "まとめ", "演習", "次に読むもの"]
UNDATED = re.compile(r"最近|近年|昨今|人気")
DATED = re.compile(r"[12]\d{3}年")
BANNED = {
    re.compile(r"簡単(です|に|な|でしょう)|かんたん"): "読者には簡単とは限りません",
    re.compile(r"\u3000"): "全角の空白は使いません",
    re.compile(r"！"): "感嘆符は使いません",
}
ROLE_TARGET = re.compile(r"(?:.*<)?([^<>]+)>?", re.DOTALL)
Found = Iterator[tuple[int, str]]


def broken_paragraph(page: Page) -> Found:
    for paragraph in page.paragraphs:
        breaks = [c for c in paragraph.token.children or () if c.type == "softbreak"]
        if breaks and not paragraph.token.content.startswith(":"):  # ディレクティブの選択肢
            yield paragraph.line, "段落が複数の行に分かれています。改行は空白として表示されます"


def banned_word(page: Page) -> Found:
    for paragraph in page.paragraphs:
        for pattern, reason in BANNED.items():
            if match := pattern.search(paragraph.text):
                yield paragraph.line, f"「{match[0]}」：{reason}"


def undated_claim(page: Page) -> Found:
    for paragraph in page.paragraphs:
        match = UNDATED.search(paragraph.text)
        if match and not DATED.search(paragraph.token.content):
            yield paragraph.line, f"「{match[0]}」には、同じ段落に年と出典が要ります"


def wrong_ellipsis(page: Page) -> Found:
    for line, fence in page.fences:
        before, ellipsis, _ = fence.content.partition("…")
        if fence.info.startswith("{expect}") and ellipsis:
            yield line + 1 + before.count("\n"), "期待値の省略は、半角の点三つ（...）で書きます"


def missing_alt(page: Page) -> Found:
    for line, fence in page.fences:
        figure = re.match(r"\{(figure|image)\}", fence.info)
        if figure and not re.search(r"^:alt: *\S", fence.content, re.MULTILINE):
            yield line, "図に代替テキスト（:alt:）がありません。見えるものを書きます"
    for paragraph in page.paragraphs:
        for child in paragraph.token.children or ():
            if child.type == "image" and not child.content.strip():
                yield paragraph.line, "図に代替テキストがありません。![見えるもの](…)と書きます"


def chapter_shape(page: Page) -> Found:
    if not page.is_chapter:
        return
    headings = [heading for heading in page.headings if heading.level == 2]
    titles = [heading.title for heading in headings]
    for wanted in [FIRST, *LAST]:
        if wanted not in titles:
            yield 1, f"章に「{wanted}」の見出しがありません"
    if FIRST in titles and titles[0] != FIRST:
        yield headings[0].line, f"章は「{FIRST}」で始めます"
    in_place = titles[-len(LAST) :] == LAST and sum(title in LAST for title in titles) == len(LAST)
    if set(LAST) <= set(titles) and not in_place:
        line = next(heading.line for heading in headings if heading.title in LAST)
        yield line, f"章は{'、'.join(LAST)}の順に終わります"


RULES = (broken_paragraph, banned_word, undated_claim, wrong_ellipsis, missing_alt, chapter_shape)


def unlinked_term(page: Page, terms: frozenset[str]) -> Found:
    """用語は、目標の一覧より後で初めて使うところで、用語集へつなぐ。"""
    longest_first = sorted(terms, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
    seen: set[str] = set()
    for paragraph in page.paragraphs:
        if not page.is_chapter or paragraph.section == FIRST:
            continue
        for child in paragraph.token.children or ():
            if child.type == "myst_role" and child.meta["name"] == "term":
                seen.add(ROLE_TARGET.fullmatch(child.content)[1].strip())
            for match in pattern.finditer(child.content if child.type == "text" else ""):
                if match[0] not in seen and _whole_word(child.content, match):
                    seen.add(match[0])
                    yield paragraph.line, f"初出の「{match[0]}」を、{{term}}で用語集へつなぎます"


def _whole_word(text: str, match: re.Match[str]) -> bool:
    """`学習済み`の`学習`のように、同じ種類の文字が続く語の一部でないか。"""
    before, after = text[: match.start()][-1:], text[match.end() :][:1]
    return _script(before) != _script(match[0][0]) and _script(after) != _script(match[0][-1])


def _script(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0] if character else ""


def glossary_terms(text: str) -> frozenset[str]:
    """用語集の見出し語。一文字の語は、ほかの語と区別できないので含めない。"""
    entries = re.findall(r"^([^\s:].+)\n  \S", text, re.MULTILINE)
    return frozenset(entries)


def wrong_term(text: str) -> Found:
    for line, word, term in wrong_words(text):
        yield line, f"「{word}」は、「{term}」と書きます"


def check(name: str, text: str, terms: frozenset[str] = frozenset()) -> list[Problem]:
    """一つの原稿の誤りを、行の順に返す。``terms`` は用語集の見出し語。"""
    page = read(name, text)
    found = [problem for rule in RULES for problem in rule(page)]
    found += [*unlinked_term(page, terms), *wrong_term(text)]
    return [Problem(name, line, message) for line, message in sorted(found)]


def main() -> int:
    book = Book.load(Path.cwd())
    terms = glossary_terms((book.root / GLOSSARY).read_text("utf-8"))
    problems = [
        problem
        for path in book.chapter_paths()
        for problem in check(book.name(path), path.read_text("utf-8"), terms)
    ]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
