"""実行結果：一度しか動かず、変わったものだけが動き直し、途中で止めても壊れない。"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_book import HEAD, ROOT, SPHINX, SmallBook

from verified_book.book import Book
from verified_book.cache_key import imported_modules

CELL = "```{code-cell} python\nfrom library.answer import value\nvalue\n```\n"
EXPECT = "```{expect}\n41\n```\n"


@pytest.fixture
def with_library(book: SmallBook) -> SmallBook:
    package = book.root / "src/library"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "answer.py").write_text("from library.base import value\n")
    (package / "base.py").write_text("value = 41\n")
    (package / "other.py").write_text("value = 0\n")
    (book.root / "data").mkdir()
    (book.root / "data/a.txt").write_text("a")
    book.write(CELL + EXPECT)
    return book


def test_only_what_changed_is_executed(with_library: SmallBook) -> None:
    book = with_library
    base = book.root / "src/library/base.py"
    assert book.html().executed == 1
    assert book.html().executed == 0
    assert book.doctest().executed == 0
    assert book.accept().executed == 0

    (book.root / "src/library/other.py").write_text("value = 1\n")
    assert book.html().executed == 0  # importしていないモジュール

    base.write_text("value = 42\n")
    run = book.html()
    assert (run.status, run.executed) == (1, 1)  # importしているモジュールの先
    assert "- 41\n+ 42" in run.text

    base.write_text("value = 41\n")
    run = book.html()
    assert (run.status, run.executed) == (0, 0)  # 元に戻せば、元の結果

    book.write("変えた文\n\n" + CELL + EXPECT)
    assert book.html().executed == 0  # 文だけの変更

    (book.root / "data/a.txt").write_text("b")
    assert book.html().executed == 1  # データの変更


def test_the_page_follows_a_changed_module(with_library: SmallBook) -> None:
    book = with_library
    assert book.html().status == 0
    (book.root / "src/library/base.py").write_text("value = 42\n")
    book.accept()
    assert book.html().status == 0
    assert "42" in book.page()
    assert "41" not in book.page()


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import library", {"__init__"}),
        ("import library.other", {"__init__", "other"}),
        ("from library import other", {"__init__", "other"}),
        ("from library.answer import value", {"__init__", "answer", "base"}),
        ("!python -m library.other", {"__init__", "other"}),
        ("%matplotlib inline\nimport library.other as x", {"__init__", "other"}),
        ("import os", set()),
    ],
)
def test_imported_modules_are_found(with_library: SmallBook, code: str, names: set[str]) -> None:
    found = imported_modules(with_library.root / "src", [code])
    assert {path.stem for path in found} == names


def test_relative_imports_are_followed(with_library: SmallBook) -> None:
    package = with_library.root / "src/library"
    (package / "answer.py").write_text("from .base import value\nfrom . import other\n")
    found = imported_modules(package.parent, ["import library.answer"])
    assert {path.stem for path in found} == {"__init__", "answer", "base", "other"}


def test_an_unexpected_exception_is_red_at_its_cell(book: SmallBook) -> None:
    book.write("```{code-cell} python\nx = 1\n```\n\n```{code-cell} python\n1 / 0\n```\n")
    for _ in range(2):
        run = book.html()
        assert run.status == 1
        assert "docs/chapter.md:12: WARNING: セルが例外で止まりました" in run.text
        assert "ZeroDivisionError: division by zero" in run.text
    run = book.doctest()
    assert run.status == 1
    assert "ZeroDivisionError" in run.text
    assert book.accept().status == 1


def test_a_chapter_past_five_times_its_budget_is_red(book: SmallBook) -> None:
    slow = "```{code-cell} python\nimport time\ntime.sleep(4)\n```\n"
    book.write(slow, head=HEAD.replace("---\n# ", "budget: 0.5\n---\n# "))
    run = book.html()
    assert run.status == 1
    assert "5倍を超えました" in run.text
    book.write(slow, head=HEAD.replace("---\n# ", "budget: 2\n---\n# "))
    run = book.html()
    assert run.status == 0
    assert "目安の2秒を超えました" in run.text


def test_warnings_of_sphinx_point_at_the_right_line(book: SmallBook) -> None:
    cell = "```{code-cell} python\nx = 1\n```\n"
    book.write(f"\n\n[](#line-10)\n\n{cell}\n\n\n[](#line-18)\n\n[](#line-20)\n")
    run = book.html()
    found = re.findall(r"chapter\.md:(\d+): WARNING: .*'line-(\d+)'", run.text)
    assert found == [("10", "10"), ("18", "18"), ("20", "20")]


def test_paths_of_this_machine_never_reach_the_page(book: SmallBook) -> None:
    book.write(
        "```{code-cell} python\n:raises: JSONDecodeError\nimport json, os\nprint(os.getcwd())\n"
        "json.loads('x')\n```\n"
        "```{expect}\n.\nJSONDecodeError: Expecting value: line 1 column 1 (char 0)\n```\n"
    )
    run = book.html()
    assert run.status == 0, run.text
    assert str(ROOT) not in book.page()
    assert str(book.root) not in book.page()


def test_chapters_run_side_by_side(book: SmallBook) -> None:
    meet = """\
```{code-cell} python
import pathlib, time
me, other = {names}
(pathlib.Path("data") / me).touch()
limit = time.monotonic() + 30
while not (pathlib.Path("data") / other).exists() and time.monotonic() < limit:
    time.sleep(0.1)
(pathlib.Path("data") / other).exists()
```
```{expect}
True
```
"""
    (book.root / "data").mkdir()
    book.write(meet.replace("{names}", "'a', 'b'"), "chapter1")
    book.write(meet.replace("{names}", "'b', 'a'"), "chapter2")
    assert book.html().status == 0


def start(book: SmallBook) -> subprocess.Popen[str]:
    paths = f"{book.root / 'src'}{os.pathsep}{ROOT / 'src'}"
    return subprocess.Popen(
        [sys.executable, "-m", "sphinx", *SPHINX],
        cwd=book.root,
        env={**os.environ, "PYTHONPATH": paths},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def executed(book: SmallBook) -> list[Path]:
    return sorted((book.root / Book.cache).glob("*.ipynb"))


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_a_build_that_was_stopped_is_taken_up_again(book: SmallBook, sign: signal.Signals) -> None:
    book.write("```{code-cell} python\n1\n```\n```{expect}\n1\n```\n", "chapter1")
    wait = (
        "import pathlib, time\nwhile not pathlib.Path('data/go').exists():\n    time.sleep(0.1)\n"
    )
    (book.root / "data").mkdir()
    book.write(f"```{{code-cell}} python\n{wait}2\n```\n```{{expect}}\n2\n```\n", "chapter2")
    build = start(book)
    limit = time.monotonic() + 60
    while not executed(book) and time.monotonic() < limit:
        time.sleep(0.1)
    build.send_signal(sign)
    build.communicate(timeout=60)
    assert build.returncode != 0
    (first,) = executed(book)
    before = first.read_bytes()
    (book.root / "data/go").touch()
    run = book.html()
    assert (run.status, run.executed) == (0, 1), run.text
    assert first.read_bytes() == before
    assert len(executed(book)) == 2


def test_two_builds_at_once_share_one_execution(book: SmallBook) -> None:
    book.write("```{code-cell} python\nimport time\ntime.sleep(2)\n1\n```\n```{expect}\n1\n```\n")
    builds = [start(book), start(book)]
    texts = [build.communicate(timeout=120)[0] for build in builds]
    assert len(executed(book)) == 1
    assert sum(text.count("実行中：") for text in texts) == 1
    assert book.html().status == 0
