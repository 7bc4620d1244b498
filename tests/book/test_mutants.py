"""誤りを植えるコマンドが、どの種類の誤りも植え、目の見えない検証を見破るか。"""

import json
import os
import re
import time

import pytest
from small_book import HEAD

from verified_book.mutants.code import code_edits
from verified_book.mutants.fork import TIMED_OUT, forked

TAX = '''"""税。"""


def total(price):
    """税込の値段。

    Examples
    --------
    >>> from shop.tax import total
    >>> total(100), total(200)
    (110, 220)
    """
    return sum([price, price // 10])
'''
BODY = """\
(top)=
## 節

テンソルの章です。{ref}`top`を見ます。

```{code-cell} python
from shop.tax import total

x = [1, 2, 3]
print(x, sum(x) - 1)
```

```{expect}
[1, 2, 3] 5
```

```{code-cell} python
---
mystnb:
  image:
    alt: 一本の線
---
from matplotlib import pyplot as plt

plt.plot(x)
plt.show()
```

```{code-cell} python
total(x[1] * 50) == 110
```

```{expect}
True
```

```{code-cell} python
unused = 3
```

```{code-cell} python
print(f"{sum(x):04d} abcdefgh")
```

```{expect}
... abcdefgh
```
"""
BLIND = """\
import sys
from verified_book import expectations
expectations.compare = lambda expected, actual: 1.0
from verified_book.mutants.__main__ import main
sys.exit(main())
"""
SHORT = """\
import sys
from verified_book.mutants import reading
reading.long_cells = lambda copy, chapter: {2}
from verified_book.mutants.__main__ import main
sys.exit(main())
"""
TRAINING = """\
```{code-cell} python
unused = 3
```

```{code-cell} python
from torch.utils.data import DataLoader

loader = DataLoader(range(40), batch_size=1)
```

```{code-cell} python
steps = sum(len(batch) // len(batch) for batch in loader)
if steps >= len(loader):
    with open("data/steps", "a") as file:
        print(steps, file=file)
print(f"{steps}歩")
```

```{expect}
40歩
```
"""
UNTESTED = '''"""税。"""


def total(price):
    """税込の値段。

    Examples
    --------
    >>> import time
    >>> from shop.tax import total
    >>> slow = total(time.sleep(0.5) or 100)
    >>> slow
    110
    """
    return price + price // 10


def untested():
    return 41
'''
FORKED = """\
```{code-cell} python
import os

begun = os.getpid()
```

```{code-cell} python
x = 1
```

```{code-cell} python
print(begun == os.getpid())
```

```{expect}
True
```
"""
TWICE = """
from sphinx.util import logging

seen = []


def setup(app):
    app.connect("doctree-read", read)


def read(app, doctree):
    if doctree["source"] in seen:
        logging.getLogger(__name__).warning("二度目です")
    seen.append(doctree["source"])
"""
CAUGHT = re.compile(r"^([\w-]+) +caught (\d+) of (\d+)", re.MULTILINE)


@pytest.fixture
def shop(book):
    (book.root / "data").mkdir()
    (book.root / "src/shop").mkdir()
    (book.root / "src/shop/__init__.py").touch()
    (book.root / "src/shop/tax.py").write_text(TAX)
    book.write(BODY, head=HEAD.replace("---\n# ", "budget: 20\n---\n# "))
    book.accept()  # 図の指紋を書く
    return book


def counts(text: str) -> dict[str, tuple[int, int]]:
    return {kind: (int(caught), int(planted)) for kind, caught, planted in CAUGHT.findall(text)}


def test_every_kind_is_planted_and_caught(shop):
    before = {path: path.read_bytes() for path in shop.root.rglob("*.*") if path.is_file()}
    run = shop.run("verified_book.mutants")
    found = counts(run.text)
    constants = found.pop("cell-constant")
    assert all(caught == planted > 0 for caught, planted in found.values()), run.text
    assert constants == (7, 10), run.text  # 省略した出力の幅は見ていない
    assert set(found) == {
        "digit", "sign", "shape", "word", "removed", "emptied", "format", "raises", "alt",
        "reference", "term", "stale", "cell-operator", "cell-argument",
        "src-operator", "src-constant", "src-argument",
    }  # fmt: skip
    assert run.status == 1
    assert "（ほかにどの出力も図も本文の数も変わらないもの 1）" in run.text  # unused = 4
    assert '[cell-constant] print(f"{sum(x):04d} abcdefgh") → ' in run.text
    assert {path: path.read_bytes() for path in before} == before

    figures = json.loads((shop.root / "docs/appendix/mutants.json").read_text("utf-8"))
    assert figures["kinds"][0]["caught"] == found["digit"][0]
    sample = ("verified_book.mutants", "--sample", "100", "--kind", "cell-constant")
    assert shop.run(*sample).status == 0  # 生き残りは、どれも記録にある
    place = figures["kinds"][-5]["survivors"].pop()["place"]
    assert figures["kinds"][-5]["kind"] == "cell-constant"
    path = shop.root / "docs/appendix/mutants.json"
    recorded = path.read_text("utf-8")
    path.write_text(json.dumps(figures))
    forgotten = shop.run(*sample)
    assert forgotten.status == 1
    assert f"記録にない、見つからなかった誤りがあります：{place}\n" in forgotten.text
    path.write_text(recorded)

    changes = re.findall(r"^(.*?):\d+: \[cell-constant\] (.*)（変わる出力", run.text, re.MULTILINE)
    (shop.root / "docs/appendix/mutants.toml").write_text(
        "".join(
            f"[[equivalent]]\npath = '{path}'\nchange = '{change}'\nreason = '試験のため'\n"
            for path, change in changes
        )
    )
    again = shop.run("verified_book.mutants")
    assert again.status == 0, again.text
    planted = sum(row["planted"] for row in figures["kinds"])
    assert f"誤り{planted}個、そのうち確かめ済み{planted}個" in again.text


def test_training_is_cut_short_where_nothing_changes(book):
    (book.root / "data").mkdir()
    (book.root / "short.py").write_text(SHORT)
    book.write(TRAINING)
    run = book.run("short", "--kind", "cell-constant", "--kind", "raises")
    assert counts(run.text) == {"raises": (3, 3), "cell-constant": (5, 5)}, run.text
    assert "変わらないもの 1）" in run.text  # unused = 4
    # 最後まで動かすのは、カーネル、誤りのない章、batch_size=2、range(41)、誤りなしでも
    # そこまで通ることの確認、長いセルの中の誤り
    whole = (book.root / "data/steps").read_text().split()
    assert sorted(whole) == ["20", "40", "40", "40", "40", "41"], run.text


def test_blind_comparison_leaves_survivors(shop):
    (shop.root / "blind.py").write_text(BLIND)
    run = shop.run("blind", "--kind", "digit", "--kind", "cell-constant")
    assert run.status == 1
    assert counts(run.text)["digit"][0] == 0
    assert "docs/chapter.md:22: [digit] [1, 2, 3] 5 → [2, 2, 3] 5" in run.text
    caught, planted = counts(run.text)["cell-constant"]
    assert caught < planted


def test_prose_leaves_the_judged_cells_alone(shop):
    options = ("verified_book.mutants", "--kind", "cell-constant")
    shop.run(*options)
    path = shop.root / "docs/chapter.md"
    path.write_text(path.read_text("utf-8").replace("\n# ", "\n# 長い題の", 1), "utf-8")
    planted, known = known_of(shop.run(*options).text)
    assert known == planted
    path.write_text(path.read_text("utf-8").replace("unused = 3", "unused = 5"), "utf-8")
    planted, known = known_of(shop.run(*options).text)
    assert known == 0 < planted


def known_of(text: str) -> tuple[int, int]:
    """誤りの数と、そのうち前に確かめたものの数。"""
    found = re.search(r"誤り(\d+)個、そのうち確かめ済み(\d+)個", text)
    return int(found[1]), int(found[2])


def test_red_book_is_refused(shop):
    shop.write(BODY.replace("3] 5", "3] 6"))
    run = shop.run("verified_book.mutants", "--kind", "cell-operator")
    assert run.status == 1
    assert "誤りを植える前から、検証が失敗します。\ndocs/chapter.md:" in run.text


def test_a_page_that_reads_differently_again_is_refused(shop):
    conf = shop.root / "conf.py"
    conf.write_text(conf.read_text("utf-8") + TWICE, "utf-8")
    run = shop.run("verified_book.mutants", "--kind", "alt")
    assert run.status == 1
    assert "元のまま読み直すと、結果が変わります" in run.text
    assert "二度目です" in run.text


def test_examples_that_need_one_another_stay_together(shop):
    """後の例ほど速くても、先には動かさない。動かせば、どの誤りも見つかったことになる。"""
    (shop.root / "src/shop/tax.py").write_text(UNTESTED)
    run = shop.run("verified_book.mutants", "--kind", "src-constant")
    assert counts(run.text) == {"src-constant": (1, 2)}, run.text
    assert "return 41 → return 42" in run.text


def test_a_chapter_judges_only_the_functions_that_it_calls(shop):
    module = shop.root / "src/shop/tax.py"
    module.write_text(UNTESTED.replace("    >>> ", "    "))
    run = shop.run("verified_book.mutants", "--kind", "src-constant")
    assert counts(run.text) == {"src-constant": (1, 2)}, run.text
    assert "return 41 → return 42" in run.text
    results = (shop.root / "_build/mutants/results.jsonl").read_text("utf-8")
    assert '"by": "docs/chapter.md:' in results


def test_cells_that_fail_without_a_fault_are_refused(book):
    book.write(FORKED)
    run = book.run("verified_book.mutants", "--kind", "cell-constant")
    assert run.status == 1
    assert "docs/chapter.md:14: 誤りがなくても、このセルから後が失敗" in run.text


def test_sample_is_seeded_and_spread(shop):
    options = ("--sample", "5", "--kind", "digit", "--kind", "word", "--seed", "3")
    first, second = (shop.run("verified_book.mutants", *options) for _ in range(2))
    assert counts(first.text) == {"digit": (3, 3), "word": (2, 2)}
    assert "確かめ済み5個" in second.text


def test_a_page_shows_the_figures(shop):
    shop.run("verified_book.mutants", "--jobs", "1")
    conf = shop.root / "conf.py"
    conf.write_text(conf.read_text().replace('rebuild"]', 'rebuild", "verified_book.mutants"]'))
    (shop.root / "docs/appendix/mutants.md").write_text(
        "---\norphan: true\n---\n# 誤り\n\n```{mutants} mutants.json\n```\n"
    )
    run = shop.html()
    assert run.status == 0, run.text
    page = (shop.root / "_build/html/appendix/mutants.html").read_text("utf-8")
    assert "7\N{NO-BREAK SPACE}/\N{NO-BREAK SPACE}10" in page
    assert "docs/chapter.md:54" in page
    assert "次の1章に植えました：chapter。" in page


@pytest.mark.parametrize(
    ("source", "mutated"),
    [
        ("a // b", {"a * b"}),
        ("x <= y", {"x < y"}),
        ("not x", {"x"}),
        ("x += y", {"x -= y"}),
        ("x = '秒'", {"x = 'XX秒'"}),
        ("f'{x:.2f}秒'", {"f'{x:.1f}秒'", "f'{x:.2f}XX秒'"}),
        ("f(1, k=None)", {"f(2, k=None)", "f(1, k=0)", "f(k=None)", "f(1)"}),
        ("sum(i for i in x)", {"sum()"}),
        (
            "def f(x: int = 1) -> 'a':\n    '''説明1'''",
            {"def f(x: int = 2) -> 'a':\n    '''説明1'''"},
        ),
        ("%timeit 1\n2", {"%timeit 1\n3"}),
    ],
)
def test_code_edits(source, mutated):
    edits = code_edits(source)
    assert {source[:start] + after + source[end:] for _, start, end, after in edits} == mutated


def test_a_hanging_process_is_stopped():
    begin = time.monotonic()
    results = {
        item: result
        for item, result, _ in forked(
            [0, 60], lambda s: time.sleep(s) or {"pid": os.getpid()}, jobs=2, limit=2
        )
    }
    assert results[60] == TIMED_OUT
    assert results[0]["pid"] != os.getpid()
    assert time.monotonic() - begin < 30
