"""著者の手引きに書いたことは、本当に起きる。"""

import re

from small_book import ROOT, SmallBook

from verified_book.compare import compare
from verified_book.lint import check, glossary_terms

GUIDE = (ROOT / "docs/appendix/authors_guide.md").read_text("utf-8")
SAMPLE = re.search(r"````text\n(---\n.*?)\n````", GUIDE, re.DOTALL)[1] + "\n"


def test_the_first_chapter_follows_every_rule_of_the_lint() -> None:
    terms = glossary_terms((ROOT / "docs/appendix/glossary.md").read_text("utf-8"))
    assert check("docs/start/sum.md", SAMPLE, terms) == []


def test_the_first_chapter_is_accepted_verified_and_fails_as_shown(book: SmallBook) -> None:
    path = book.write(SAMPLE, "sum", head="")
    accepted = book.accept("sum")
    assert accepted.status == 0, accepted.text
    assert "```{expect}\ntensor(9.)\ntensor(3.)\n```" in path.read_text("utf-8")
    assert book.doctest("-k", "sum").status == 0
    path.write_text(path.read_text("utf-8").replace("tensor(9.)", "tensor(8.)"), "utf-8")
    failed = book.doctest("-k", "sum").text.replace("docs/sum.md", "docs/start/sum.md")
    assert re.search(r"```text\n(docs/start/sum\.md:30: .*?\n)```", GUIDE, re.DOTALL)[1] in failed


def test_the_table_of_comparisons_is_true() -> None:
    rows = re.findall(r"^\| `(.+)` \| `(.+)` \| (一致|不一致)。", GUIDE, re.MULTILINE)
    assert len(rows) == 9
    for expected, actual, result in rows:
        assert (compare(expected, actual) is not None) == (result == "一致"), expected
