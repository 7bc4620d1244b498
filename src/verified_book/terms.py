"""用語の一覧（textlint/prh.yml）に反する語を、読者の目に触れるすべての行から探す。

textlintは、役割の中、ディレクティブの題、図の説明、ページの説明を読まない。ここではそこも読む。
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import yaml

RULES = Path(__file__).parent / "textlint" / "prh.yml"
OPENING = re.compile(r"(`{3,})(\{[\w-]+\})?")
CODE = (None, "{code-cell}", "{expect}", "{literalinclude}")  # 中身が文章でない囲み
OPTION = re.compile(r"\s*:?(alt|caption|title|description|exempt):")
LITERAL = re.compile(r"(\{[\w:+-]+\}`[^`]*`)|(`+)(?!`).+?(?<!`)\2(?!`)")  # 役割か、コード


@cache
def wordings() -> list[tuple[str, re.Pattern[str]]]:
    """（正しい用語、退けるパターン）を並べる。"""
    rules = yaml.safe_load(RULES.read_text("utf-8"))["rules"]
    patterns = [(rule["expected"], rule["pattern"]) for rule in rules]
    return [
        (term, re.compile(found[1:-1] if found.startswith("/") else re.escape(found)))
        for term, found in patterns
    ]


def wrong_words(text: str) -> Iterator[tuple[int, str, str]]:
    """一覧に反する語の、行、書かれた語、正しい語を返す。

    Examples
    --------
    >>> list(wrong_words("{term}`テンサー（tensor）<テンソル>`と`テンサー`"))
    [(1, 'テンサー', 'テンソル')]
    """
    for number, line in _shown_lines(text):
        shown = LITERAL.sub(lambda found: found[1] or " ", line)
        for term, pattern in wordings():
            for found in pattern.finditer(shown):
                yield number, found[0], term


def _shown_lines(text: str) -> Iterator[tuple[int, str]]:
    """コードの囲みの中を除いた行。囲みの中でも、図の説明などの選択肢は読む。"""
    fence, code = "", False
    for number, line in enumerate(text.splitlines(), 1):
        opening = OPENING.match(line)
        if fence and line.rstrip() == fence:
            fence = ""
        elif not fence and opening:
            fence, code = opening[1], opening[2] in CODE
        elif not (fence and code) or OPTION.match(line):
            yield number, line
