"""PDFのための準備：足りないものを知らせるか、本が部と章に分かれるか。"""

import os
import subprocess
import sys
from pathlib import Path

from small_book import SmallBook

from verified_book import pdf

CONF = """\
project = "小さな本"
language = "ja"
extensions = ["myst_nb", "verified_book.chapter_numbers", "verified_book.expectations",
              "verified_book.latex_book", "verified_book.provenance"]
html_baseurl = "https://example.org/"
latex_engine = "lualatex"
latex_documents = [("index", "book.tex", "小さな本", "著者", "manual")]
"""
TOCTREE = "```{{toctree}}\n:hidden:\n:caption: {}\n{}\n{}\n```\n\n"


def test_missing_programs_are_named_with_the_command(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "verified_book.pdf", "check"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    for word in ("lualatex", "sudo apt-get install", "texlive-lang-japanese", "librsvg2-bin"):
        assert word in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_failed_typesetting_leaves_no_pdf(tmp_path: Path, monkeypatch) -> None:
    program = tmp_path / "latexmk"
    program.write_text(
        "#!/bin/sh\necho '! Undefined control sequence.' > EnteringPyTorch.log\nexit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "_build/latex").mkdir(parents=True)
    (tmp_path / "_build/latex/EnteringPyTorch.pdf").write_text("前の組版の途中")
    (tmp_path / "_build/pdf").mkdir()
    (tmp_path / "_build/pdf/EnteringPyTorch.pdf").write_text("古いPDF")
    assert "Undefined control sequence" in pdf.typeset()
    assert list((tmp_path / "_build/pdf").iterdir()) == []


def test_toctrees_become_parts_and_the_first_page_an_introduction(book: SmallBook) -> None:
    (book.root / "conf.py").write_text(CONF)
    (book.root / "docs/index.md").write_text(
        "# 本\n\n挨拶です。\n\n## 読者\n\nあなたです。\n\n"
        + TOCTREE.format("基礎", ":numbered: 1", "\none\ntwo")
        + TOCTREE.format("付録", "", "\nappendix")
    )
    book.write("```{code-cell}\n1 + 1\n```\n\n```{expect}\n2\n```\n", "one")
    book.write("二つめです。\n", "two", head="# 二\n\n")
    book.write("付録です。\n", "appendix", head="# 用語\n\n")
    done = book.run("sphinx", "-W", "-n", "-c", ".", "-b", "latex", "docs", "_build/latex")
    assert done.status == 0, done.text
    text = (book.root / "_build/latex/book.tex").read_text("utf-8")
    order = [
        r"\bookfront",
        r"\chapter{はじめに}",
        "挨拶です",
        r"\section{読者}",
        r"\bookpart{基礎}",
    ]
    order += [r"\chapter{章}", "この章の実行環境", r"\chapter{二}", r"\bookappendix{付録}"]
    order += [r"\chapter{用語}"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
