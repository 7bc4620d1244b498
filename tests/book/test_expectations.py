"""期待値の規則を、本物のカーネルとSphinxで確かめる。規則ごとに、赤くなるところを見る。"""

import io
import re

import matplotlib.pyplot as plt
import nbformat
import pytest
from small_book import SmallBook

from verified_book.chapter import Cell, Chapter, Expectation
from verified_book.expectations import Result, check, too_many_exemptions
from verified_book.fingerprint import fingerprint

GRADIENT = """\
```{code-cell} python
class Tensor:
    def __repr__(self):
        return "tensor([[4., 4.],\\n        [4., 4.]])"

Tensor()
```

```{expect}
tensor([[5., 5.],
        [5., 5.]])
```
"""


def reported(text: str, name: str = "chapter") -> set[int]:
    """誤りとして示された行。"""
    return {int(line) for line in re.findall(rf"docs/{name}\.md:(\d+): WARNING", text)}


def test_the_first_planted_fault_is_red_again_and_again(book: SmallBook) -> None:
    path = book.write(GRADIENT)
    for attempt in range(3):
        run = book.html()
        assert run.status == 1, run.text
        assert reported(run.text) == {16}
        assert "- tensor([[5., 5.],\n+ tensor([[4., 4.],\n           ^^  ^^" in run.text
        assert run.executed == (attempt == 0)
    run = book.doctest()
    assert run.status == 1
    assert run.executed == 0
    assert "docs/chapter.md:16 FAILED" in run.text
    assert "+ tensor([[4., 4.]," in run.text
    path.write_text(path.read_text().replace("5.", "4."))
    assert book.html().status == 0
    run = book.doctest()
    assert run.status == 0
    assert "docs/chapter.md:16 PASSED" in run.text
    assert "[4., 4.]" in book.page()


FAULTS = """\
```{code-cell} python
print("期待値なし")
```

```{code-cell} python
"最後の式の値にも期待値が要る"
```

```{code-cell} python
:raises: ValueError
int("x")
```

```{code-cell} python
:raises: TypeError
int("x")
```
```{expect}
ValueError: ...
```

```{code-cell} python
:raises: ValueError
int("1")
```
```{expect}
1
```

```{code-cell} python
:raises: ValueError
int("x")
```
```{expect}
ValueError: invalid literal for int() with base 8: 'x'
```

```{code-cell} python
import warnings
warnings.warn("警告")
```

```{code-cell} python
x = 1
```
```{expect}
1
```

```{code-cell} python
from IPython.display import SVG
SVG("<svg xmlns='http://www.w3.org/2000/svg'></svg>")
```
"""


def test_every_rule_is_seen_red_at_its_line(book: SmallBook) -> None:
    book.write(FAULTS)
    run = book.html()
    assert run.status == 1
    places = {8, 12, 16, 25, 33, 41, 45, 53, 57}
    assert reported(run.text) == places
    for words in (
        "出力に期待値がありません",
        "TypeErrorが起きるはずのセルで、ValueErrorが起きました",
        "ValueErrorが起きるはずのセルで、何も起きませんでした",
        "+ ValueError: invalid literal for int() with base 10: 'x'",
        "標準エラーに出力があります",
        "図に代替テキスト",
    ):
        assert words in run.text
    run = book.doctest()
    assert {int(n) for n in re.findall(r"chapter\.md:(\d+) FAILED", run.text)} == places
    assert run.executed == 0


RIGHT = """\
```{code-cell} python
:raises: ValueError
print("前に表示した文字")
int("x")
```
```{expect}
前に表示した文字
ValueError: invalid literal for int() with base 10: 'x'
```

```{code-cell} python
import time
time.perf_counter()
```
```{expect}
:exempt: timing
時間は実行のたびに変わるためです。
```

```{code-cell} python
---
mystnb:
  image:
    alt: 空の図
---
from IPython.display import SVG
SVG("<svg xmlns='http://www.w3.org/2000/svg'></svg>")
```
```{expect}
図 0b4d503e 9838495e
```

```python
>>> 0.1 + 0.2
0.3000
>>> 1 / 0
Traceback (most recent call last):
ZeroDivisionError: division by zero
```
"""


def test_a_right_chapter_is_green_and_shows_what_really_happened(book: SmallBook) -> None:
    book.write(RIGHT + "".join(f"\n```{{code-cell}} python\nx = {n}\n```\n" for n in range(20)))
    run = book.html()
    assert run.status == 0, run.text
    page = book.page()
    assert "Traceback (most recent call last)" in page
    assert "expect" not in re.sub(r"<[^>]*>", "", page)
    run = book.doctest()
    assert run.status == 0, run.text
    assert run.executed == 0
    assert "docs/chapter.md:41 PASSED" in run.text  # >>> の例も、その行の名前になる


@pytest.mark.parametrize(
    ("example", "diff"),
    [(">>> 0.1 + 0.2\n0.301", "- 0.301\n+ 0.30000000000000004"), (">>> [5.]\n[4.]", "+ [5.0]")],
)
def test_doctest_examples_follow_the_same_rule(book: SmallBook, example: str, diff: str) -> None:
    book.write(f"```python\n{example}\n```\n")
    (book.root / "src/library.py").write_text(f'"""説明\n\n{example}\n"""\n')
    run = book.doctest()
    assert run.status == 1
    assert "docs/chapter.md:9 FAILED" in run.text
    assert "src/library.py:3 FAILED" in run.text
    assert run.text.count(diff) >= 2


def test_too_many_exemptions_are_red(book: SmallBook) -> None:
    book.write(RIGHT)
    run = book.html()
    assert run.status == 1
    assert "3のうち1" in run.text
    assert "docs/chapter.md:22" in run.text


def test_exemptions_are_listed_on_the_site(book: SmallBook) -> None:
    many = "".join(f"\n```{{code-cell}} python\nx = {n}\n```\n" for n in range(40))
    loose = "\n```{code-cell} python\nprint('abcdefghij')\n```\n```{expect}\nabc...\n```\n"
    path = book.write(RIGHT + many)
    book.write("```{exemptions}\n```\n", "chapter2", "# 検証の状況\n\n")
    assert book.html().status == 0
    page = book.page("chapter2")
    assert "docs/chapter.md:22" in page
    assert "時間は実行のたびに変わるためです。" in page
    path.write_text(path.read_text() + loose)
    assert book.html().status == 0
    page = book.page("chapter2")  # 読み直されている
    assert "期待値が出力の30%しか定めていない" in page


@pytest.mark.parametrize(
    ("exempt", "cells", "red"), [(5, 100, False), (6, 100, True), (1, 19, True)]
)
def test_exemptions_are_at_most_five_percent(exempt: int, cells: int, red: bool) -> None:
    chapter = Chapter(None, "a.md", "", nbformat.v4.new_notebook())
    chapter.cells = [Cell(n, n, n, "", {}) for n in range(cells)]
    exemption = type("E", (), {"path": "a.md", "line": 1})()
    assert (too_many_exemptions([Result(chapter, [], [exemption] * exempt, 0)]) is not None) == red


def test_a_figure_beside_text_does_not_hide_the_text() -> None:
    figure = nbformat.v4.new_output("display_data", {"image/svg+xml": "<svg/>"})
    text = nbformat.v4.new_output("stream", text="1\n")
    node = nbformat.v4.new_code_cell(outputs=[figure, text])
    cell = Cell(0, 1, 3, "", {"mystnb": {"image": {"alt": "図"}}})
    assert "期待値がありません" in check(cell, node)
    cell.expectation = Expectation(4, "図 ...\n1", 3, 6)
    assert check(cell, node) is None


def drawn(label: str, height: float) -> str:
    figure, axes = plt.subplots()
    axes.plot([0, 1], [0, height], label=label)
    axes.legend()
    text = io.StringIO()
    figure.savefig(text, format="svg")
    plt.close(figure)
    return fingerprint(text.getvalue())


def test_fingerprint_tells_what_changed_in_a_figure() -> None:
    before = drawn("line", 1.0)
    assert drawn("line", 1.0) == before  # 描くたびに変わる名前と日付は含めない
    assert drawn("line", 1.0 + 1e-9) == before
    assert drawn("dots", 1.0).split()[0] != before.split()[0]
    structure, position = drawn("line", 1.004).split()
    assert structure == before.split()[0]
    assert position != before.split()[1]
    # 図の大きさは、文字の位置のわずかな違いで、機種によって変わる
    one, near, wide = (f'<svg width="{width}pt"/>' for width in ("252.51325", "252.5133", "253"))
    assert fingerprint(one) == fingerprint(near) != fingerprint(wide)
    assert fingerprint(one).split()[0] == fingerprint(wide).split()[0]


def test_changed_figure_and_changed_bound_value_are_red(book: SmallBook) -> None:
    figure = RIGHT[
        RIGHT.index("```{code-cell} python\n---\nmystnb") : RIGHT.index("```python\n>>>")
    ]
    glue = "```{code-cell} python\nfrom myst_nb import glue\nglue('a', 1.25, display=False)\n```\n"
    path = book.write(figure + glue)
    assert "出力に期待値がありません" in book.html().text
    assert book.accept().status == 0
    assert book.html().status == 0
    assert "\na = 1.25\n" in path.read_text()
    path.write_text(
        path.read_text().replace("></svg>", "><path/></svg>").replace("a = 1.25", "a = 1.26")
    )
    run = book.html()
    assert run.status == 1
    assert run.text.count("出力が期待値と一致しません") == 2
