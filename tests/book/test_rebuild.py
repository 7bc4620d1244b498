"""失敗した組み立ては、直すまで何度でも失敗する。"""

import shutil
from pathlib import Path

import pytest
from small_book import ROOT, SmallBook
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace


def test_a_warning_stays_red_until_it_is_mended(book: SmallBook) -> None:
    path = book.write("[](#no-such-place)\n", head="# 章\n\n")
    for _ in range(3):
        run = book.html()
        assert run.status == 1
        assert "no-such-place" in run.text
    path.write_text("# 章\n\n直した。\n")
    assert book.html().status == 0
    run = book.html()
    assert run.status == 0
    assert "0 added, 0 changed, 0 removed" in run.text


def test_a_change_of_this_package_reads_every_page_again(book: SmallBook) -> None:
    book.write("文。\n", head="# 章\n\n")
    assert book.html().status == 0
    assert "0 added, 0 changed" in book.html().text
    copy = book.root / "src/verified_book"
    shutil.copytree(ROOT / "src/verified_book", copy, ignore=shutil.ignore_patterns("node_modules"))
    with (copy / "compare.py").open("a") as code:
        code.write("# 変更\n")
    run = book.html()
    assert run.status == 0, run.text
    assert "config changed ('rebuild_code')] 2 added" in run.text, run.text


def test_page_of_a_removed_chapter_does_not_stay(book: SmallBook) -> None:
    book.write("本文\n", "chapter2")
    path = book.write("本文\n", "chapter")
    assert book.html().status == 0
    page = book.root / "_build/html/chapter.html"
    assert page.exists()
    path.unlink()
    assert book.html().status == 0
    assert not page.exists()
    assert {"index.html", "search.html", "genindex.html", "chapter2.html"} <= {
        path.name for path in page.parent.glob("*.html")
    }


@pytest.mark.parametrize(("count", "processes"), [(5, 1), (6, 2)])
def test_processes_are_shared_out_only_for_many_pages(
    count: int, processes: int, tmp_path: Path
) -> None:
    for number in range(count):
        name = "index" if number == 0 else f"page{number}"
        (tmp_path / f"{name}.rst").write_text(f":orphan:\n\nP{number}\n===\n")
    with docutils_namespace():
        app = Sphinx(
            tmp_path,
            None,
            tmp_path / "html",
            tmp_path / "doctrees",
            "html",
            confoverrides={"extensions": ["verified_book.rebuild"]},
            status=None,
            parallel=2,
        )
        app.build()
        assert app.parallel == processes
        assert app.statuscode == 0
        # 読み直すページがなくても、ほかの形式では、すべてのページを書く
        again = Sphinx(
            tmp_path,
            None,
            tmp_path / "text",
            tmp_path / "doctrees",
            "text",
            confoverrides={"extensions": ["verified_book.rebuild"]},
            status=None,
            parallel=2,
        )
        again.build()
    assert again.parallel == 2
