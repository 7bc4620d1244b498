"""動かせる図のデータ：セルからページへそのまま届き、誤りは場所とともに分かる。"""

import hashlib
import json
import re
from pathlib import Path

import nbformat
import pytest
from small_book import CONF, SmallBook

from verified_book import interactive as module
from verified_book.book import Book
from verified_book.chapter import Cell
from verified_book.expectations import check, output_text
from verified_book.interactive import SCRIPT, as_json
from verified_book.mutants.tree import copied

FIGURE = """\
```{code-cell} python
---
mystnb:
  image:
    alt: 空の図
  figure:
    caption: 点
    name: fig-dots
---
from IPython.display import SVG
SVG("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'></svg>")
```
"""
WITHOUT_CAPTION = FIGURE.replace("  figure:\n    caption: 点\n    name: fig-dots\n", "")
DATA = """\
```{code-cell} python
:tags: [remove-input]
from verified_book.interactive import interactive
interactive("dots", {"式": "</script><b>", "値": [1, 2.5, None, True]})
```
"""


@pytest.fixture
def dots(book: SmallBook) -> SmallBook:
    extensions = CONF.replace('"myst_nb"', '"myst_nb", "verified_book.interactive_figures"')
    (book.root / "conf.py").write_text(extensions + 'html_static_path = ["static"]\n')
    folder = book.root / "static" / "interactive"
    folder.mkdir(parents=True)
    for name in ("dots.js", "interactive.js", "interactive.css"):
        (folder / name).touch()
    return book


def test_what_a_cell_hands_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(module, "display", lambda *args, **options: shown.append((args, options)))
    start = '<script type="application/json" class="interactive-data" data-kind="dots">'
    module.interactive("dots", {"値": [1]})
    assert shown.pop() == (
        ({"text/html": f'{start}{{"値":[1]}}</script>'},),
        {"raw": True, "metadata": None},
    )
    path = tmp_path / "weights.onnx"
    path.write_bytes(b"abc")
    module.interactive("dots", {"値": 1}, [path])
    name = f"weights-{hashlib.sha256(b'abc').hexdigest()[:8]}.onnx"
    assert shown.pop() == (
        ({"text/html": f'{start}{{"値":1,"files":{{"weights.onnx":"{name}"}}}}</script>'},),
        {"raw": True, "metadata": {"verified_book_files": {name: "YWJj"}}},
    )


def data_of(page: str) -> list[tuple[str, object]]:
    pattern = (
        r'<script type="application/json" class="interactive-data" data-kind="(.*?)">(.*?)</script>'
    )
    return [(kind, json.loads(text)) for kind, text in re.findall(pattern, page)]


def test_the_data_stands_in_the_figure_and_only_its_page_loads_the_script(dots: SmallBook) -> None:
    dots.write(FIGURE + "\n" + DATA)
    dots.write("文だけの章\n", "chapter2")
    assert dots.accept().status == 0
    run = dots.html()
    assert run.status == 0, run.text
    page = dots.page()
    assert data_of(page) == [("dots", {"式": "</script><b>", "値": [1, 2.5, None, True]})]
    figure = re.search(r"<figure.*?</figure>", page, re.DOTALL)[0]
    places = [
        figure.index(part) for part in ('data-kind="dots"', "<img", "<noscript>", "figcaption")
    ]
    assert places == sorted(places)
    assert page.count("</script><b>") == 0
    assert page.count("_static/interactive/interactive.js") == 1
    assert page.count("_static/interactive/interactive.css") == 1
    assert "interactive" not in dots.page("chapter2")
    assert "interactive" not in dots.page("index")
    assert dots.html().status == 0  # 読み直さなくても同じ


def test_a_cell_with_other_output_keeps_it(dots: SmallBook) -> None:
    path = dots.write(FIGURE + "\n" + DATA.removesuffix("```\n") + 'print("文字")\n```\n')
    assert dots.accept().status == 0
    assert re.search(r"動かせる図 dots \w{8} \w{8}\n文字\n", path.read_text("utf-8"))
    run = dots.html()
    assert run.status == 0, run.text
    assert len(data_of(dots.page())) == 1
    assert re.search(r"<pre>.*文字", dots.page())


@pytest.mark.parametrize("builder", ["epub", "latex", "text"])
def test_other_formats_hold_the_still_figure_only(dots: SmallBook, builder: str) -> None:
    dots.write(FIGURE + "\n" + DATA)
    assert dots.accept().status == 0
    out = dots.root / "_build" / builder
    options = ["-n", "-c", ".", "-b", builder, "docs", str(out)]
    run = dots.run("sphinx", *options)  # 変換できないSVGの警告は、どの図にも出る
    assert run.status == 0, run.text
    suffix = {"epub": "chapter.xhtml", "latex": "*.tex", "text": "chapter.txt"}[builder]
    (page,) = [path.read_text("utf-8") for path in out.glob(suffix)]
    assert "interactive" not in page
    assert "script" not in page.replace("subscript", "").replace("\\sphinx", "")
    assert "点" in page


NO_FIGURE = "すぐ上に、captionのある図のセルがありません"
FAULTS = {
    "alone": (DATA, NO_FIGURE),
    "apart": (FIGURE + "\n間の文\n\n" + DATA, NO_FIGURE),
    "uncaptioned": (WITHOUT_CAPTION + "\n" + DATA, NO_FIGURE),
    "twice": (FIGURE + "\n" + DATA + "\n" + DATA, NO_FIGURE),
    "unknown": (
        FIGURE + "\n" + DATA.replace('"dots"', '"dot"'),
        "動かせる図の種類「dot」がありません",
    ),
    "set": (FIGURE + "\n" + DATA.replace("2.5", "{1}"), "data['値'][1]はsetなので"),
}


def test_every_wrong_figure_is_red_at_its_line(dots: SmallBook) -> None:
    for name, (body, _) in FAULTS.items():
        dots.write(body.replace("fig-dots", f"fig-{name}"), f"chapter-{name}")
    dots.accept()
    run = dots.html()
    assert run.status == 1
    for name, (_, message) in FAULTS.items():
        lines = (dots.root / f"docs/chapter-{name}.md").read_text("utf-8").splitlines()
        last = max(i for i, line in enumerate(lines, 1) if line.startswith("```{code-cell}"))
        found = [t for t in run.text.splitlines() if f"chapter-{name}.md:{last}: WARNING" in t]
        assert len(found) == 1, run.text
        assert message in run.text[run.text.index(found[0]) :].split("WARNING")[1], name


@pytest.mark.parametrize(
    "data", [{}, [], "日本語 </SCRIPT> <!-- & '\" \\", {"a": [[1, -2.5], (None, False)]}, 1e-300]
)
def test_json_comes_back_as_it_was(data: object) -> None:
    text = as_json(data)
    assert json.loads(text) == json.loads(json.dumps(data))
    assert "<" not in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (Path(), TypeError, "dataはPosixPathなので、JSONで表せません"),
        ({"a": [0, b""]}, TypeError, "data['a'][1]はbytesなので"),
        ([{1: 2}], TypeError, "data[0]の鍵1が文字列ではありません"),
        ({"損失": [float("nan")]}, ValueError, "data['損失'][0]はnanなので"),
        (float("inf"), ValueError, "dataはinfなので"),
        ((float("-inf"),), ValueError, "data[0]は-infなので"),
    ],
)
def test_what_json_cannot_hold_is_named_with_its_place(
    data: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        as_json(data)


def test_changed_data_is_red() -> None:
    def shown(*data: object) -> str:
        outputs = [
            nbformat.v4.new_output(
                "display_data", {"text/html": SCRIPT.format(kind="dots", data=d)}
            )
            for d in map(as_json, data)
        ]
        return output_text(nbformat.v4.new_code_cell(outputs=outputs))

    first = shown({"a": [1, 2.5, True], "b": "字"})
    assert re.fullmatch(r"動かせる図 dots \w{8} \w{8}", first)
    assert shown({"a": [1, 2.5 + 1e-9, True], "b": "字"}) == first
    for number in ([2, 2.5, True], [1, 2.6, True]):
        changed = shown({"a": number, "b": "字"})
        assert changed.split()[:3] == first.split()[:3]
        assert changed != first
    for other in (
        {"a": [1, 2.5, False], "b": "字"},
        {"a": [1, 2.5], "b": "字"},
        {"a": [1, 2.5, True]},
    ):
        assert shown(other).split()[2] != first.split()[2]
    node = nbformat.v4.new_code_cell(
        outputs=[
            nbformat.v4.new_output("display_data", {"text/html": SCRIPT.format(kind="a", data=1)})
        ]
    )
    assert "期待値がありません" in check(Cell(0, 1, 3, "", {}), node)


def test_faults_are_planted_only_in_what_a_chapter_uses_of_this_package(book: SmallBook) -> None:
    for name in ("verified_book/interactive", "verified_book/lint", "library/a", "library/b"):
        path = book.root / f"src/{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    book.write("```{code-cell} python\nimport library.a, verified_book.interactive\n```\n")
    with copied(Book.load(book.root)) as copy:
        names = [path.relative_to(copy.book.root / "src").as_posix() for path in copy.modules]
    assert names == ["library/a.py", "library/b.py", "verified_book/interactive.py"]
