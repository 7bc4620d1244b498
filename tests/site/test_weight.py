"""ページは軽いか。素材をまとめても、見た目は変わらないか。"""

import gzip
import io
import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from fontTools.ttLib import TTFont
from PIL import Image, ImageChops
from playwright.sync_api import Browser
from site_pages import names_of

LIMIT = 150_000  # 図を除き、一つのページのために運ばれるバイト数（圧縮後）
FIGURES = ("_images/",)
# 節はすべて組み、動きと、薄れていく途中のスクロールバーは写さない
STILL = """* {
  content-visibility: visible !important;
  scrollbar-width: none !important;
  transition: none !important;
}"""
SETTLE = """async () => {
  const images = [...document.images].filter((image) => image.checkVisibility());
  for (const image of images) image.loading = "eager";
  await Promise.all(images.map((image) => image.decode()));
  await document.fonts.ready;
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""
UNSEEN = 4  # 画面を分けて描く境目では、色が1だけ違うことがある（測った値。255段階）
COMPRESSED = {".html", ".css", ".js", ".svg", ".json", ".txt"}


def weigh(browser: Browser, site: Path, name: str) -> dict[str, int]:
    """ページを開いたときに読まれるファイルと、圧縮した大きさ。図は除く。"""
    page = browser.new_page(viewport={"width": 390, "height": 844})
    sizes: dict[str, int] = {}

    def count(url: str) -> None:
        path = Path(unquote(urlsplit(url).path))
        inside = str(path).removeprefix(str(site))
        if path.is_file() and not inside.startswith(tuple(f"/{f}" for f in FIGURES)):
            data = path.read_bytes()
            if path.suffix == ".html":
                data = re.sub(rb"<svg\b.*?</svg>", b"", data, flags=re.DOTALL)
            packed = gzip.compress(data, 9) if path.suffix in COMPRESSED else data
            sizes[inside] = len(packed)

    page.on("request", lambda request: count(request.url))
    page.goto((site / name).as_uri(), wait_until="networkidle")
    page.close()
    return sizes


def heavy_pages(browser: Browser, site: Path, names: list[str]) -> list[str]:
    found = []
    for name in names:
        sizes = weigh(browser, site, name)
        if sum(sizes.values()) > LIMIT:
            parts = "、".join(f"{path} {size:,}" for path, size in sizes.items())
            found.append(f"{name}: {sum(sizes.values()):,}バイト（{parts}）")
    return found


def test_every_page_is_light(browser: Browser, site: Path) -> None:
    assert heavy_pages(browser, site, names_of(site)) == []


def test_heavy_page_is_found(browser: Browser, site_copy: Path) -> None:
    script = site_copy / "_static" / "scripts" / "fontawesome.js"
    page = site_copy / "start" / "tensor.html"
    tag = f'<script src="../_static/scripts/{script.name}"></script></head>'
    page.write_text(page.read_text("utf-8").replace("</head>", tag), "utf-8")
    assert script.name in heavy_pages(browser, site_copy, ["start/tensor.html"])[0]


@pytest.fixture
def unbundled(site_copy: Path) -> Path:
    """素材をまとめる前の並びに戻した、サイトの写し。"""
    record = json.loads((site_copy / "_static/bundle/pages.json").read_text("utf-8"))
    for name, use in record.items():
        path, up = site_copy / name, "../" * name.count("/")
        html = path.read_text("utf-8")
        styles = [f'<link rel="stylesheet" href="{up}_static/{s}">' for s in use["styles"]]
        html = re.sub(r'<link rel="stylesheet" href="[^"]*bundle\.css[^>]*>', "".join(styles), html)
        path.write_text(html, "utf-8")
    for font in (site_copy / "_static/bundle").glob("*.woff2"):  # 書体は下の試験で確かめる
        for original in (site_copy / "_static").rglob(font.name):
            original.write_bytes(font.read_bytes())
    return site_copy


def visibly_different(one: bytes, other: bytes) -> bool:
    """大きさが違うか、255段階で``UNSEEN``より大きく違う画素があるか。"""
    first, second = (Image.open(io.BytesIO(shot)).convert("RGB") for shot in (one, other))
    if first.size != second.size:
        return True
    extremes = ImageChops.difference(first, second).getextrema()
    return max(high for _, high in extremes) > UNSEEN


def differing(browser: Browser, one: Path, other: Path, names: list[str]) -> list[str]:
    """二つのサイトで、見た目の違うページ。"""
    found = []
    for width, scheme in ((1280, "light"), (390, "dark")):
        context = browser.new_context(
            viewport={"width": width, "height": 844}, color_scheme=scheme, reduced_motion="reduce"
        )
        page = context.new_page()
        for name in names:
            shots = []
            for root in (one, other):
                page.goto((root / name).as_uri(), wait_until="networkidle")
                page.add_style_tag(content=STILL)
                page.evaluate(SETTLE)
                shots.append(page.screenshot(full_page=True, animations="disabled"))
            if visibly_different(*shots):
                found.append(f"{name}（{width}、{scheme}）")
        context.close()
    return found


def test_bundle_looks_like_its_parts(browser: Browser, site: Path, unbundled: Path) -> None:
    assert differing(browser, site, unbundled, names_of(site)) == []


def test_lost_rule_is_found(browser: Browser, site: Path, site_copy: Path) -> None:
    css = site_copy / "_static/bundle/bundle.css"
    text = css.read_text("utf-8")
    assert "figcaption" in text
    css.write_text(text.replace("figcaption", "lost"), "utf-8")
    found = differing(browser, site, site_copy, ["start/tensor.html"])
    assert len(found) == 2


def lost_glyphs(site: Path) -> list[str]:
    """数式に現れるのに、まとめた書体からなくなった文字。"""
    used = set()
    for name in names_of(site):
        page = BeautifulSoup((site / name).read_text("utf-8"), "html.parser")
        used |= {letter for node in page.select(".katex-html") for letter in node.text}
    assert {"=", "2"} <= used
    found = []
    for path in sorted((site / "_static/katex/fonts").glob("*.woff2")):
        had = TTFont(path).getBestCmap().keys()
        kept = TTFont(site / "_static/bundle" / path.name).getBestCmap().keys()
        found += [f"{path.stem} {c}" for c in sorted(used) if ord(c) in had and ord(c) not in kept]
    return found


def test_fonts_hold_every_letter_of_the_formulas(site: Path) -> None:
    assert lost_glyphs(site) == []


def test_lost_glyph_is_found(site_copy: Path) -> None:
    page = site_copy / "start/autograd.html"
    page.write_text(page.read_text("utf-8").replace(">∑<", ">∏<"), "utf-8")
    assert "KaTeX_Size2-Regular ∏" in lost_glyphs(site_copy)
