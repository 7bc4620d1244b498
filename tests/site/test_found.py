"""検索と共有のための情報：題、説明、番地、見本の画像、構造化データ、サイトの地図。"""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from bs4 import BeautifulSoup
from conftest import HTML
from fontTools.ttLib import TTFont
from PIL import Image, ImageChops
from site_pages import names_of

from verified_book.sharing import FONT, card

SITE = "https://convergence-lab.github.io/Entering-PyTorch/"
OUTSIDE = {"404.html", "search.html"}
SHARED = [name for name in names_of(HTML) if name not in OUTSIDE]


def faults(site: Path, name: str, html: str | None = None) -> list[str]:
    """共有のための情報で、足りないか違うもの。"""
    page = BeautifulSoup(html or (site / name).read_text("utf-8"), "html.parser").head
    meta = {
        tag.get("property") or tag.get("name"): tag.get("content", "")
        for tag in page.find_all("meta")
    }
    wanted = {
        "og:url": SITE + name,
        "og:locale": "ja_JP",
        "og:description": meta.get("description"),
        "twitter:card": "summary_large_image",
    }
    found = [key for key, value in wanted.items() if not value or meta.get(key) != value]
    if not 20 <= len(meta.get("description", "")) <= 120:
        found.append("description")
    if page.find("link", rel="canonical")["href"] != SITE + name:
        found.append("canonical")
    if meta.get("og:title", "") not in page.title.text or not meta.get("og:title"):
        found.append("og:title")
    picture = site / meta.get("og:image", "").removeprefix(SITE)
    if not picture.is_file() or Image.open(picture).size != (1200, 630):
        found.append("og:image")
    return found


@pytest.mark.parametrize("name", SHARED)
def test_every_page_can_be_shared(site: Path, name: str) -> None:
    assert faults(site, name) == []


def test_missing_information_is_found(site: Path) -> None:
    name = "start/shape.html"
    html = (site / name).read_text("utf-8")
    planted = {
        "og:url": ("start/shape.html", "start/other.html"),
        "og:image": (re.search(r"cards/start-shape-\w+", html)[0], "cards/lost"),
        "description": ('name="description"', 'name="lost"'),
        "og:title": ('property="og:title"', 'property="lost"'),
    }
    for fault, (old, new) in planted.items():
        assert fault in faults(site, name, html.replace(old, new))


def test_titles_and_descriptions_are_unique(site: Path) -> None:
    titles, descriptions = [], []
    for name in SHARED:
        head = BeautifulSoup((site / name).read_text("utf-8"), "html.parser").head
        titles.append(head.title.text)
        descriptions.append(head.find("meta", {"name": "description"})["content"])
    assert len(set(titles)) == len(set(descriptions)) == len(SHARED)


def structured(site: Path, name: str) -> dict:
    page = BeautifulSoup((site / name).read_text("utf-8"), "html.parser")
    return json.loads(page.find("script", type="application/ld+json").string)


def test_the_book_and_its_chapters_are_described_for_machines(site: Path) -> None:
    book = structured(site, "index.html")
    assert book["@type"] == "Book"
    assert book["inLanguage"] == "ja"
    chapters = [name for name in SHARED if name.startswith(("start/", "learn/"))]
    assert sorted(part["url"] for part in book["hasPart"]) == sorted(SITE + n for n in chapters)
    numbers = []
    for part in book["hasPart"]:
        chapter = structured(site, part["url"].removeprefix(SITE))
        assert chapter["@type"] == "Chapter"
        assert chapter["name"] == part["name"]
        assert chapter["isPartOf"]["url"] == book["url"] == f"{SITE}index.html"
        numbers.append(chapter["position"])
    assert numbers == list(range(1, len(chapters) + 1))


def test_the_sitemap_lists_every_page(site: Path) -> None:
    space = {"s": "http://www.sitemaps.org/schemas/sitemap/0.9"}
    found = ElementTree.parse(site / "sitemap.xml").findall("s:url/s:loc", space)
    assert sorted(node.text for node in found) == sorted(SITE + name for name in SHARED)


def test_japanese_shows_on_the_pictures(site: Path) -> None:
    glyphs = TTFont(FONT).getBestCmap()
    titles = [
        BeautifulSoup((site / name).read_text("utf-8"), "html.parser").h1.text for name in SHARED
    ]
    letters = set("".join(titles)) - set("# \n")
    assert [letter for letter in letters if ord(letter) not in glyphs] == []
    one, other = card("形の操作", "本"), card("自動微分", "本")
    assert ImageChops.difference(one, other).getbbox()  # 字が違えば、絵も違う
    tofu = card("\ue000\ue000\ue000\ue000", "本")
    assert ImageChops.difference(one, tofu).getbbox()
