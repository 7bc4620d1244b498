"""読み上げ、キーボード、見分けやすさの誤りが、どのページにもないか（axe-coreで調べる）。"""

from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, Page
from site_pages import names_of

import verified_book

AXE = Path(verified_book.__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
OPEN = "document.querySelectorAll('details').forEach(node => { node.open = true; })"
RUN = "axe.run(document, {resultTypes: ['violations']}).then(result => result.violations)"


def read_through(page: Page) -> None:
    """終わりまで読み進める。"""
    height = 0
    while height < page.evaluate("document.documentElement.scrollHeight"):
        page.evaluate(f"scrollTo(0, {height})")
        page.wait_for_timeout(20)
        height += 800


def violations(browser: Browser, site: Path, scheme: str, names: list[str]) -> list[str]:
    """axe-coreが見つけた誤り。すべての図を読み込み、畳まれたところを開いてから調べる。"""
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    found = []
    for name in names:
        page.goto((site / name).as_uri())
        page.evaluate(OPEN)
        read_through(page)
        page.add_script_tag(path=AXE)
        for violation in page.evaluate(RUN):
            places = " ".join(node["html"][:120] for node in violation["nodes"][:3])
            found.append(f"{name}（{scheme}）: {violation['id']} {violation['help']} {places}")
    context.close()
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, site: Path, scheme: str) -> None:
    assert AXE.exists(), "axe-coreがありません。make htmlが用意します。"
    assert violations(browser, site, scheme, names_of(site)) == []


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        ("<img src='../_static/mark.svg'>", "image-alt"),
        ("<p style='color:#999;background:#fff'>薄い文字</p>", "color-contrast"),
        ("<button></button>", "button-name"),
    ],
)
def test_planted_fault_is_found(browser: Browser, site_copy: Path, fault: str, rule: str) -> None:
    path = site_copy / "start" / "tensor.html"
    start = '<article class="bd-article">'
    assert start in path.read_text("utf-8")
    path.write_text(path.read_text("utf-8").replace(start, start + fault), "utf-8")
    assert rule in " ".join(violations(browser, site_copy, "light", ["start/tensor.html"]))


def skipped_headings(site: Path, names: list[str]) -> list[str]:
    """段階の飛んだ見出し。"""
    found = []
    for name in names:
        page = BeautifulSoup((site / name).read_text("utf-8"), "html.parser")
        level = 0
        for heading in page.select("article :is(h1, h2, h3, h4, h5, h6)"):
            if int(heading.name[1]) > level + 1:
                found.append(f"{name}: {heading.text}")
            level = int(heading.name[1])
    return found


def test_headings_are_in_order(site: Path) -> None:
    assert skipped_headings(site, names_of(site)) == []


def test_skipped_heading_is_found(site_copy: Path) -> None:
    path = site_copy / "start" / "tensor.html"
    path.write_text(path.read_text("utf-8").replace("<h3>", "<h5>", 1), "utf-8")
    assert len(skipped_headings(site_copy, ["start/tensor.html"])) == 1
