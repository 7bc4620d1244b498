"""検索のデータは、書き直したページの分だけ新しくなり、いつもページに見える文字と同じになる。"""

import json
import unicodedata

import pytest
from small_book import CONF, SPHINX, SmallBook

from verified_book.page_sections import SUBSCRIPT, SUPERSCRIPT, Section, sections

CELLS = """\
本文です。

```{code-cell} python
print("見せる" + "出力")
```
```{expect}
見せる出力
```

```{code-cell} python
:tags: [remove-cell]
secret = "見せないセル"
```
"""


@pytest.fixture
def searchable(book: SmallBook) -> SmallBook:
    (book.root / "conf.py").write_text(
        CONF.replace('"verified_book.rebuild"', '"verified_book.rebuild", "verified_book.search"')
    )
    return book


def data(book: SmallBook) -> dict[str, str]:
    """ページごとに、見出しと文をつないだ文字列。"""
    script = (book.root / "_build/html/_static/search-data.js").read_text("utf-8")
    pages = json.loads(script.removeprefix("window.bookSearchData=").removesuffix(";\n"))
    return {url: "\n".join(str(v) for part in parts for v in part[1:3]) for url, parts in pages}


def build(book: SmallBook) -> dict[str, str]:
    run = book.run("sphinx", "-j", "2", *SPHINX)
    assert run.status == 0, run.text
    return data(book)


def test_data_follows_the_pages_through_incremental_builds(searchable: SmallBook) -> None:
    for number in range(1, 7):  # 並列に書かれるだけの数
        searchable.write(f"第{number}章の文。\n", f"chapter{number}", head="# 章\n\n")
    first = build(searchable)
    assert list(first) == ["index.html", *(f"chapter{number}.html" for number in range(1, 7))]
    assert all(f"第{number}章の文。" in first[f"chapter{number}.html"] for number in range(1, 7))
    searchable.write("書き直した文。\n", "chapter2", head="# 章\n\n")
    (searchable.root / "docs/chapter3.md").unlink()
    second = build(searchable)
    assert second["chapter2.html"] == "章\n書き直した文。"
    assert "chapter3.html" not in second
    assert second["chapter4.html"] == first["chapter4.html"]
    html = searchable.root / "_build/html"
    assert (html / "search.html").exists()
    assert not (html / "searchindex.js").exists()
    assert not (html / "_static/searchtools.js").exists()


def test_data_lost_between_builds_is_reported(searchable: SmallBook) -> None:
    searchable.write("文。\n", head="# 章\n\n")
    build(searchable)
    (searchable.root / "_build/doctrees/search/chapter.json").unlink()
    run = searchable.html()
    assert run.status == 1
    assert "検索のデータがありません：chapter" in run.text


def test_outputs_are_searchable_and_hidden_cells_are_not(searchable: SmallBook) -> None:
    searchable.write(CELLS)
    text = build(searchable)["chapter.html"]
    assert 'print("見せる" + "出力")\n見せる出力' in text
    assert "見せないセル" not in text


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            '<section id="a"><h1>題<a class="headerlink">#</a></h1><p>一。</p>'
            '<section id="b"><h2>節</h2><p>二。</p></section><p>三。</p></section>',
            [Section("", "題", "一。\n三。"), Section("b", "節", "二。")],
        ),
        (
            '<section id="a"><h1>題</h1><p><a><span class="xref std-term">勾配（gradient）'
            "</span></a>です。</p></section>",
            [Section("", "題", "勾配（gradient）です。", "勾配（gradient）")],
        ),
        (
            '<h1>用語集</h1><dl class="glossary"><dt id="t1">形</dt><dd><p>shape。</p></dd>'
            '<dt id="t2">葉</dt><dd><p>leaf。</p></dd></dl>',
            [
                Section("", "用語集"),
                Section("t1", "形", "shape。", "", 1),
                Section("t2", "葉", "leaf。", "", 1),
            ],
        ),
        (
            '<h1>API</h1><dl class="py class"><dt id="m.A"><span>class</span> <span>A</span></dt>'
            '<dd><dl class="py method"><dt id="m.A.f">f()</dt><dd>動く。</dd></dl></dd></dl>後。',
            [
                Section("", "API", "後。"),
                Section("m.A", "m.A", "class A"),
                Section("m.A.f", "m.A.f", "f()\n動く。"),
            ],
        ),
        (
            '<h1>題</h1><div class="exercise admonition" id="ex"><p class="admonition-title">'
            "<span>練習 1</span></p><section><p>問い。</p></section></div>",
            [Section("", "題"), Section("ex", "練習 1", "問い。")],
        ),
        (
            "<h1>題</h1><pre>if x:\n    y  = 1\n</pre>"
            "<table><tr><td>一</td><td>二</td></tr></table>",
            [Section("", "題", "if x:\ny = 1\n一\n二")],
        ),
        (
            '<h1>題</h1><p>値<span class="katex"><span class="katex-mathml"><math><semantics><mrow>'
            "<mfrac><mi>a</mi><mrow><mi>b</mi><mo>+</mo><mn>1</mn></mrow></mfrac>"
            "<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup></mrow>"
            "<annotation>\\frac{a}{b}</annotation></semantics></math></span>"
            '<span class="katex-html">ab</span></span>。</p>',
            [Section("", "題", "値a/(b+1)xᵢ²。")],
        ),
    ],
)
def test_sections_of_a_page(body: str, expected: list[Section]) -> None:
    assert sections(body) == expected


@pytest.mark.parametrize("table", [SUPERSCRIPT, SUBSCRIPT])
def test_scripts_normalize_to_the_letters_on_the_page(table: dict[int, int]) -> None:
    for letter, script in table.items():
        normal = unicodedata.normalize("NFKC", chr(script))
        assert normal.replace("−", "-") == chr(letter).replace("−", "-")
