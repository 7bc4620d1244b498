"""どのページも、ほかのサイトから何も取らないか（HTMLとCSSを読んで確かめる）。"""

import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

FOREIGN = re.compile(r"^\s*(?:https?:)?//")
CSS_URL = re.compile(r"""@import\s+["']([^"']+)|url\(\s*["']?([^"')]+)""")
FETCHED = {
    "script": "src",
    "img": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "iframe": "src",
    "embed": "src",
    "object": "data",
}
FETCHED_RELATIONS = {"stylesheet", "icon", "preload", "prefetch", "modulepreload", "preconnect"}


def foreign_addresses(site: Path) -> list[str]:
    """読み込みが起きる場所に書かれた、ほかのサイトの番地。"""
    found = []
    for path in sorted(site.rglob("*.html")):
        page = BeautifulSoup(path.read_text("utf-8"), "html.parser")
        addresses = [node.get(name, "") for tag, name in FETCHED.items() for node in page(tag)]
        addresses += [part for node in page(srcset=True) for part in node["srcset"].split(",")]
        addresses += [
            link["href"] for link in page("link") if FETCHED_RELATIONS & set(link.get("rel", ()))
        ]
        styles = [node.text for node in page("style")] + [n["style"] for n in page(style=True)]
        addresses += [address for style in styles for address in css_addresses(style)]
        found += [f"{path.relative_to(site)}: {a}" for a in addresses if FOREIGN.match(a)]
    for path in sorted(site.rglob("*.css")):
        addresses = css_addresses(path.read_text("utf-8"))
        found += [f"{path.relative_to(site)}: {a}" for a in addresses if FOREIGN.match(a)]
    return found


def css_addresses(css: str) -> list[str]:
    return [first or second for first, second in CSS_URL.findall(css)]


def test_pages_take_nothing_from_other_hosts(site: Path) -> None:
    assert foreign_addresses(site) == []


@pytest.mark.parametrize(
    "planted",
    [
        '<script src="https://cdn.example.org/a.js"></script>',
        '<link rel="stylesheet" href="//fonts.example.org/a.css">',
        '<link rel="preconnect" href="https://fonts.example.org">',
        '<img alt="" src="https://img.example.org/a.png">',
        '<img alt="" srcset="a.png 1x, https://img.example.org/a.png 2x">',
        '<style>@import "https://css.example.org/a.css";</style>',
        "<p style=\"background: url('https://img.example.org/b.png')\"></p>",
    ],
)
def test_planted_foreign_address_is_found(tmp_path: Path, planted: str) -> None:
    (tmp_path / "page.html").write_text(f"<html><body>{planted}</body></html>")
    assert len(foreign_addresses(tmp_path)) == 1


def test_planted_foreign_font_in_css_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("@font-face { src: url(https://fonts.example.org/a.woff2) }")
    assert foreign_addresses(tmp_path) == ["a.css: https://fonts.example.org/a.woff2"]
