"""どのページにもあるべきものがあるか。"""

import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from bs4 import BeautifulSoup

JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
NAMES = {"Entering PyTorch", "GitHub"}  # 日本語にしない名前


def pages(site: Path) -> dict[str, BeautifulSoup]:
    paths = sorted(site.rglob("*.html"))
    found = {
        str(path.relative_to(site)): BeautifulSoup(path.read_text("utf-8"), "html.parser")
        for path in paths
        if "_static" not in path.parts
    }
    assert len(found) > 8
    return found


def without_report_link(site: Path) -> list[str]:
    """「誤りを報告」のリンクがないか、題とページの番地が記入されていないページ。"""
    bad = []
    for name, page in pages(site).items():
        link = page.select_one(".report-link a")
        query = parse_qs(urlsplit(link["href"]).query) if link else {}
        filled = (
            link is not None
            and link.text == "誤りを報告"
            and urlsplit(link["href"]).path.endswith("/issues/new")
            and query.get("title", [""])[0].startswith("誤り：")
            and f"/{name}" in query.get("body", [""])[0]
        )
        if not filled:
            bad.append(name)
    return bad


def english_labels(site: Path) -> set[str]:
    """ボタンや入力欄の説明のうち、日本語でないもの。"""
    labels = set()
    for page in pages(site).values():
        for node in page.select("button, input, nav, form, .headerlink, [aria-label]"):
            for value in (node.get("title"), node.get("aria-label"), node.get("placeholder")):
                if value and not JAPANESE.search(value) and value not in NAMES:
                    labels.add(value)
    return labels


def test_every_page_has_its_report_link(site: Path) -> None:
    assert without_report_link(site) == []


def test_lost_report_link_is_found(site_copy: Path) -> None:
    path = site_copy / "start" / "tensor.html"
    path.write_text(path.read_text("utf-8").replace("誤りを報告", ""), "utf-8")
    assert without_report_link(site_copy) == ["start/tensor.html"]


def test_labels_of_the_interface_are_japanese(site: Path) -> None:
    assert english_labels(site) == set()


def test_english_label_is_found(site_copy: Path) -> None:
    path = site_copy / "index.html"
    button = '<button aria-label="Toggle sidebar"></button></main>'
    path.write_text(path.read_text("utf-8").replace("</main>", button, 1), "utf-8")
    assert english_labels(site_copy) == {"Toggle sidebar"}


@pytest.mark.parametrize(
    "selector",
    [
        "html[lang=ja]",
        "head > title",
        "head > link[rel=canonical][href^=https]",
        "main h1",
        "footer .licence a[rel=license]",
    ],
)
def test_every_page_has(site: Path, selector: str) -> None:
    special = {"404.html", "search.html"}
    lacking = {name for name, page in pages(site).items() if not page.select_one(selector)}
    assert lacking - special == set()


def test_chapters_lead_to_each_other(site: Path) -> None:
    chapters = {n: p for n, p in pages(site).items() if n.startswith("start/")}
    assert len(chapters) >= 4
    for page in chapters.values():
        assert page.select_one("a.left-prev[href]")
        assert page.select_one("a.right-next[href]")
        assert page.select_one("meta[name=description]")["content"]
        assert page.select_one("div.cell_input")


def undescribed(site: Path) -> list[str]:
    """検索の結果に出る説明のないページと、ほかと同じ説明のページ。"""
    seen, bad = {}, []
    for name, page in pages(site).items():
        metas = page.select('head meta[name="description"]')
        text = metas[0].get("content", "") if len(metas) == 1 else ""
        if not JAPANESE.search(text) or text in seen.values():
            bad.append(name)
        seen[name] = text
    return bad


def test_every_page_is_described(site: Path) -> None:
    assert undescribed(site) == []


def test_lost_description_is_found(site_copy: Path) -> None:
    path = site_copy / "search.html"
    text = path.read_text("utf-8")
    path.write_text(text.replace('<meta name="description"', '<meta name="planted"'), "utf-8")
    assert undescribed(site_copy) == ["search.html"]


def chapter_numbers(site: Path) -> list[int]:
    """部をまたいで、目次に並ぶ順の、章の番号。"""
    index = BeautifulSoup((site / "index.html").read_text("utf-8"), "html.parser")
    links = index.select('.bd-links a[href^="start/"], .bd-links a[href^="learn/"]')
    return [int(re.match(r"(\d+)\.", link.text.strip())[1]) for link in links]


def test_chapters_are_numbered_on_from_part_to_part(site: Path, site_copy: Path) -> None:
    numbers = chapter_numbers(site)
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 11
    index = site_copy / "index.html"
    index.write_text(index.read_text("utf-8").replace("6. 線形回帰", "1. 線形回帰"), "utf-8")
    assert chapter_numbers(site_copy) != numbers
