"""用語の一覧が退ける書き方を、正しい用語が出てくるすべての場所に一つずつ植え、lintが見つけるか。"""

import re
from collections.abc import Iterable, Iterator
from functools import cache

from verified_book.mutants.mutant import Judged, Mutant, Verdict
from verified_book.mutants.reading import each
from verified_book.mutants.references import FENCE, hide_literals
from verified_book.mutants.tree import Copy
from verified_book.terms import wordings, wrong_words

SHOWN_OPTION = re.compile(r"^[ \t]*:?(?:alt|caption|description|title):(.*)$", re.MULTILINE)
HIDDEN = re.compile(
    r"\$\$.*?\$\$|\$[^$\n]+\$|\]\([^)\n]*\)|<[^<>\n]*>|^\([\w-]+\)=$|^:(?!alt:)[\w-]+:.*$",
    re.MULTILINE,
)


def variants() -> list[tuple[str, re.Pattern[str], list[str]]]:
    """（正しい用語、退けるパターン、退けられる書き方の例）を並べる。"""
    found = []
    for term, pattern in wordings():
        bare = re.sub(r"\(\?[^)]*\)", "", pattern.pattern).replace("?", "").replace("\\", "")
        found.append((term, pattern, bare.split("|")))
    return found


def term_mutants(name: str, text: str) -> Iterator[Mutant]:
    """読者の目に触れるすべての文章の、すべての用語に植える。"""
    shown = _shown(text)
    for term, pattern, wrongs in variants():
        for found in re.finditer(re.escape(term), shown):
            for wrong in wrongs:
                mutated = shown[: found.start()] + wrong + shown[found.end() :]
                if any(m.start() == found.start() for m in pattern.finditer(mutated)):
                    yield Mutant("term", name, *found.span(), wrong)


def _shown(text: str) -> str:
    """読者が読む文章だけを残し、ほかは同じ長さの空白にした本文。"""

    def blank(found: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", found[0])

    def fence(found: re.Match[str]) -> str:
        if found[1].startswith(":") or found[2] in ("figure", "glossary", "note", "dropdown"):
            return found[0]
        kept = list(blank(found))
        for option in SHOWN_OPTION.finditer(found[0]) if found[2] == "code-cell" else ():
            kept[slice(*option.span(1))] = option[1]
        return "".join(kept)

    front = re.match(r"---\n.*?\n---\n", text, re.DOTALL)
    head = text[: front.end()] if front else ""
    kept = list(re.sub(r"[^\n]", " ", head))
    for option in SHOWN_OPTION.finditer(head):
        kept[slice(*option.span(1))] = option[1]
    body = FENCE.sub(fence, text[len(head) :])
    return "".join(kept) + HIDDEN.sub(blank, hide_literals(body))


def judge_terms(copy: Copy, mutants: Iterable[Mutant], jobs: int) -> Judged:
    @cache
    def clean(path: str) -> set:
        return set(wrong_words(copy.text(path)))

    def judge(mutant: Mutant) -> Verdict:
        found = set(wrong_words(mutant.apply(copy.text(mutant.path)))) - clean(mutant.path)
        return Verdict(bool(found), "verified_book.lint" if found else "")

    return each(list(mutants), judge, jobs)
