"""本文の数：実行結果から埋め込まれ、古くならず、手で書けば赤くなる。"""

from pathlib import Path

import pytest
from small_book import CONF, HEAD, SmallBook

from verified_book.chapter import parse
from verified_book.naked_numbers import naked_numbers

SOURCE = """\
```{code-cell} python
:tags: [remove-cell]
from myst_nb import glue
glue("accuracy", 99.1234, display=False)
glue("tensor", [1], display=False)
```

```{expect}
accuracy = 9...
tensor = [1]
```
"""


@pytest.fixture
def two_pages(book: SmallBook) -> SmallBook:
    (book.root / "conf.py").write_text(
        CONF.replace('"myst_nb"', '"myst_nb", "verified_book.measured"')
    )
    book.write(SOURCE + "\n正解率は{measured}`accuracy:.2f`%です。\n", "chapter1")
    book.write("前の章では{measured}`chapter1#accuracy:.1f`%でした。\n", "chapter2", "# 章\n\n")
    return book


def test_a_number_comes_from_the_run_and_never_goes_stale(two_pages: SmallBook) -> None:
    book = two_pages
    run = book.html()
    assert run.status == 0, run.text
    assert "99.12" in book.page("chapter1")
    assert "99.1" in book.page("chapter2")
    changed = SOURCE.replace("99.1234", "98.7654") + "\n正解率は{measured}`accuracy:.2f`%です。\n"
    book.write(changed, "chapter1")
    assert book.html().status == 0
    assert "98.77" in book.page("chapter1")
    assert "98.8" in book.page("chapter2")
    assert "99.1" not in book.page("chapter2")


def test_a_recorded_number_follows_its_file(two_pages: SmallBook) -> None:
    book = two_pages
    record = book.root / "docs/record.json"
    record.write_text('{"right": 1970}', "utf-8")
    book.write("正解は{recorded}`record.json#right:,`枚です。\n", "chapter2", "# 章\n\n")
    run = book.html()
    assert run.status == 0, run.text
    assert "1,970" in book.page("chapter2")
    record.write_text('{"right": 1980}', "utf-8")
    assert book.html().status == 0
    assert "1,980" in book.page("chapter2")


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ("record.json", "「ファイル#名前:書式」の形ではありません"),
        ("lost.json#right", "「lost.json」を読めません"),
        ("record.json#wrong", "値「wrong」がありません（right）"),
        ("record.json#right:.2q", "書式「.2q」で表せません"),
    ],
)
def test_a_wrong_record_is_explained(two_pages: SmallBook, role: str, words: str) -> None:
    (two_pages.root / "docs/record.json").write_text('{"right": 1970}', "utf-8")
    two_pages.write(f"正解は{{recorded}}`{role}`枚です。\n", "chapter2", "# 章\n\n")
    run = two_pages.html()
    assert run.status == 1
    assert words in run.text


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ("chapter9#accuracy", "章「chapter9」の実行結果がありません"),
        ("chapter1#acuracy", "値「acuracy」がありません（accuracy、tensor）"),
        ("chapter1#accuracy:.2q", "書式「.2q」で表せません"),
        ("chapter1#tensor:.2f", "書式「.2f」で表せません"),
        ("a b", "「章#名前:書式」の形ではありません"),
    ],
)
def test_a_wrong_reference_is_explained(two_pages: SmallBook, role: str, words: str) -> None:
    two_pages.write(f"{{measured}}`{role}`\n", "chapter2", "# 章\n\n")
    run = two_pages.html()
    assert run.status == 1
    assert words in run.text
    assert "docs/chapter2.md:3" in run.text, run.text


def naked(
    text: str, output: str = "99.24 277670 0.5 12 1000", code: str = "x = 0.1307"
) -> list[int]:
    cell = f"```{{code-cell}} python\n{code}\n```\n\n"
    chapter = parse(Path("a.md"), "docs/a.md", HEAD + cell + text)
    return [problem.line for problem in naked_numbers(chapter, output)]


@pytest.mark.parametrize(
    "text",
    [
        "正解率は99.24でした。",
        "正解率は約97 %でした。",
        "正解率は97%でした。",
        "時間は3秒でした。",
        "速さは8倍です。",
        "大きさは40 MBです。",
        "パラメータは277,670個です。",
        "パラメータは277670個です。",
        "損失は0.123に下がりました。",
        "- 項目の12.5秒",
        ":::{note}\n中の3.14倍\n:::",
    ],
)
def test_a_measured_number_written_by_hand_is_found(text: str) -> None:
    assert len(naked(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "{measured}`accuracy:.2f`%でした。",
        "{given}`97 %`を目標にします。",
        "画像は28×28画素です。",
        "`99.24`はコードです。",
        "$99.24$は数式です。",
        "2024年9月12日に、2022-09-12のあとで公開されました。",
        "PyTorch 2.15.0で動きます。",
        "平均の0.1307を引きます。",
        "参加者は3,500人を超えました{footcite}`pytorch2024year`。",
        "12個の値です。",
        "1,000枚を見ます。",
        "PyTorch 2.13とPython 3.11で動きます。",
    ],
)
def test_other_numbers_are_left_alone(text: str) -> None:
    assert naked(text) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("損失は0.05でした。", 1),
        ("損失は0.049でした。", 1),
        ("損失は0.048でした。", 0),
        ("間違いは34枚でした。", 1),
        ("間違いは35枚でした。", 0),
        ("割合は84%でした{footcite}`pytorch2024year`。", 1),
        ("割合は83%でした{footcite}`pytorch2024year`。", 0),
        ("一巡に0が付きます。", 0),
    ],
)
def test_a_bound_value_written_by_hand_is_found(text: str, count: int) -> None:
    chapter = parse(Path("a.md"), "docs/a.md", HEAD + text)
    assert len(naked_numbers(chapter, "", [0.0489, 34.0, 83.6])) == count


def test_a_page_without_cells_is_read_too(book: SmallBook) -> None:
    book.write("正解率は97 %でした。\n", "page", "# 頁\n\n")
    run = book.html()
    assert run.status == 1
    assert "docs/page.md:3: WARNING: 「97 %」が手で書かれています" in run.text
