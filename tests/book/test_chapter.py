"""章の書き方の誤りは、場所と直し方の分かる一文になる。"""

from pathlib import Path

import pytest

from verified_book.chapter import parse

HEAD = "---\nfile_format: mystnb\nkernelspec:\n  name: python3\n---\n"
CELL = "```{code-cell} python\nprint(1)\n```\n"
EXPECT = "```{expect}\n1\n```\n"


def problems(body: str, head: str = HEAD) -> list[tuple[int, str]]:
    chapter = parse(Path("a.md"), "docs/a.md", head + body)
    return [(problem.line, problem.message) for problem in chapter.problems]


def test_a_right_chapter_has_no_problem() -> None:
    chapter = parse(Path("a.md"), "docs/a.md", HEAD + CELL + "\n" + EXPECT)
    assert chapter.problems == []
    assert [(cell.line, cell.expectation.line) for cell in chapter.cells] == [(6, 10)]
    assert chapter.cells[0].expectation.text == "1"


@pytest.mark.parametrize(
    ("body", "line", "words"),
    [
        (EXPECT, 6, "すぐ上にセルがありません"),
        (CELL + "\n説明\n\n" + EXPECT, 12, "すぐ上にセルがありません"),
        (CELL + EXPECT + EXPECT, 12, "期待値が二つ"),
        (CELL + "```{expect}\n:exemt: timing\n1\n```\n", 9, "exemt」はありません"),
        (CELL + "```{expect}\n:exempt: time\n理由\n```\n", 9, "time という名前はありません"),
        (CELL + "```{expect}\n:exempt: timing\n```\n", 9, "理由が書かれていません"),
        (CELL + "```{expect}\n```\n", 9, "期待値が空"),
        (CELL + "```{expect}\n...\n ...\n```\n", 9, "期待値が空"),
        (CELL + "```{expect} foo\n1\n```\n", 9, "ほかに何も書けません"),
        ("```{code-cell} python\n:raise: ValueError\n1/0\n```\n", 6, "raise」はありません"),
        ("```{code-cell} python\n:raises: a b\n1/0\n```\n", 6, "例外の名前を一つ"),
        ("```{code-cell} python\n:tags: [hide-inptu]\n1\n```\n", 6, "hide-inptu」は使えません"),
        ("```{code-cell} python\n:tags: hide-inptu\n1\n```\n", 1, "読めません"),
        ("```{code-cell} python\n:tags: [raises-exception]\n1\n```\n", 6, "raises-exception"),
        ("```{code-cell} python\n:load: a.py\n```\n", 1, "読めません"),
        ("```{code-cell} python\n---\nmystnb:\n  image:\n---\n1\n```\n", 6, "「image」は読め"),
        ("```{code-cell} python\n---\nmystnb:\n---\n1\n```\n", 6, "読めません"),
        ("```{code-cell} python\n---\nmystnb:\n  imag:\n    alt: a\n---\n1\n```\n", 6, "「imag」"),
        (
            "```{code-cell} python\n---\nmystnb:\n  figure:\n    captoin: a\n---\n1\n```\n",
            6,
            "「figure: captoin」は読めません",
        ),
        (":::{note}\n" + CELL + ":::\n", 7, "このセルは実行されません"),
        ("- 項目\n\n  ```{code-cell} python\n  1\n  ```\n", 8, "このセルは実行されません"),
        (":::{code-cell} python\n1\n:::\n", 6, "このセルは実行されません"),
        ("````{admonition} 題\n" + CELL + "````\n", 7, "このセルは実行されません"),
        ("```python\nx = 1\n```\n", 6, "このコードは実行されません"),
        (":::{note}\n```python\nx = 1\n```\n:::\n", 7, "このコードは実行されません"),
    ],
)
def test_a_wrong_chapter_is_explained_at_its_line(body: str, line: int, words: str) -> None:
    (found,) = problems(body)
    assert found[0] == line
    assert words in found[1]


@pytest.mark.parametrize("head", ["", "---\nkernelspec:\n  name: python3\n---\n"])
@pytest.mark.parametrize("body", [CELL, EXPECT])
def test_cells_that_would_silently_not_run_are_an_error(head: str, body: str) -> None:
    found = problems(body, head)
    assert any(line == 1 and "file_format: mystnb" in message for line, message in found)


@pytest.mark.parametrize("budget", ["0", "-1", "たくさん", "true"])
def test_a_budget_is_a_positive_number_of_seconds(budget: str) -> None:
    found = problems(CELL, HEAD.replace("---\nfile", f"---\nbudget: {budget}\nfile", 1))
    assert "実行時間の目安" in found[0][1]


def test_a_misspelt_setting_is_an_error() -> None:
    ((line, message),) = problems(CELL, HEAD.replace("---\nfile", "---\nbuget: 5\nfile", 1))
    assert line == 1
    assert "先頭の設定「buget」はありません" in message


def test_unreadable_settings_are_an_error() -> None:
    assert "読めません" in problems(CELL, "---\nfile_format: mystnb\na: [\n---\n")[0][1]


@pytest.mark.parametrize(
    "body",
    [
        "```python\n>>> 1\n1\n```\n",
        "```console\n$ make html\n```\n",
        "````markdown\n" + CELL + EXPECT + "````\n",  # 書き方の説明
        "普通のMarkdown\n",
    ],
)
def test_other_text_is_left_alone(body: str) -> None:
    assert problems(body) == []
    assert problems(body, "") == []
