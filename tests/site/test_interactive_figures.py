"""どの動かせる図にも要ることを、本物のブラウザーで確かめる。種類ごとの試験は、種類の名前のファイルにある。"""

import gzip
import os
import re
from pathlib import Path

import pytest
from opened_figure import FIGURES, FILES, Opened, planted_text
from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
GRID, GRAPH = "start/tensor.html", "start/autograd.html"
SOURCE, SUFFIXES = ROOT / "src/verified_book/static/interactive", ("js", "css")
LIMIT = 60 * 1024  # 一つのページのスクリプトを圧縮した大きさ
AWAY = [name for name in FIGURES if name != "index.html"]  # 表紙の図は、初めから画面にある
FINGER = 44  # 指で押せる大きさ


def change(opened: Opened, step: int) -> None:
    """図を少し進める。"""
    following = opened.button("次へ")
    samples = opened.widget.get_by_role("radiogroup", name="見本").locator("label")
    if samples.count():
        samples.nth(step).click()
    elif following.count():
        following.click(force=True)  # 端でも押してみる
    elif step % 2 == 0:
        opened.widget.get_by_role("radiogroup").nth(0).locator("label").nth(step // 2).click()
        opened.square(1, 2).click()
        opened.square(3, 3).click()
    else:
        opened.button("答えを見る").click()


def small_targets(opened: Opened) -> list[str]:
    """指で押すには小さい部品。"""
    css = "button, label, [role=gridcell], input[type=range]"
    found = []
    for node in opened.widget.locator(css).filter(visible=True).all():
        box = node.bounding_box()
        if min(box["width"], box["height"]) < FINGER - 0.01:
            found.append(f"{node.inner_text()}: {box}")
    return found


@pytest.mark.parametrize("name", FIGURES)
def test_everything_is_large_enough_for_a_finger(opened, name: str) -> None:
    touched = opened(name, width=390, has_touch=True, is_mobile=True).live()
    assert small_targets(touched) == []
    assert touched.page.evaluate("document.documentElement.scrollWidth") <= 390
    touched.page.add_style_tag(content=".interactive button { min-height: 0 }")
    assert small_targets(touched)


# -- 読み込み -----------------------------------------------------------------


@pytest.mark.parametrize("name", AWAY)
def test_nothing_of_the_figure_is_loaded_before_the_reader_comes_near(opened, name: str) -> None:
    away = opened(name, at_top=True)
    kind = away.figure.locator(".interactive-figure").get_attribute("data-kind")
    files = {f"{kind}.css", f"{kind}.js"}
    away.page.wait_for_timeout(300)
    assert files.isdisjoint(away.loaded)
    assert away.picture.is_visible()
    away.live()
    assert files <= set(away.loaded)
    assert len(away.loaded) == len(set(away.loaded))  # どれも一度だけ


def test_pages_without_figures_load_nothing(site: Path) -> None:
    pages = {str(path.relative_to(site)): path.read_text("utf-8") for path in site.rglob("*.html")}
    with_figures = {name for name, text in pages.items() if 'class="interactive-data"' in text}
    assert with_figures == set(FIGURES)
    assert {name for name, text in pages.items() if FILES in text} <= with_figures


def weight(paths: list[Path]) -> int:
    return sum(len(gzip.compress(path.read_bytes())) for path in paths)


@pytest.mark.parametrize("name", FIGURES)
def test_scripts_of_a_page_stay_light(site: Path, tmp_path: Path, name: str) -> None:
    kinds = re.findall(
        r'interactive-figure" data-kind="([\w-]+)"', (site / name).read_text("utf-8")
    )
    paths = [SOURCE / f"{part}.{suffix}" for part in ("interactive", *kinds) for suffix in SUFFIXES]
    assert len(kinds) == 1
    assert weight(paths) <= LIMIT
    (tmp_path / "heavy.js").write_bytes(os.urandom(LIMIT))
    assert weight([*paths, tmp_path / "heavy.js"]) > LIMIT


def heights(opened: Opened) -> tuple[float, float]:
    """図の場所の高さ：動かせる図に替わる前と、替わった後。"""
    frame = opened.figure.locator(".interactive-figure")
    before = frame.bounding_box()["height"]
    assert opened.widget.count() == 0
    opened.live()
    return before, frame.bounding_box()["height"]


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", AWAY)
def test_nothing_moves_when_the_figure_comes_or_changes(opened, name: str, width: int) -> None:
    seen = opened(name, width=width, at_top=True)
    before, after = heights(seen)
    assert after == pytest.approx(before, abs=2)
    assert after == pytest.approx(seen.widget.bounding_box()["height"], abs=2)
    for group in seen.widget.get_by_role("radiogroup").filter(visible=True).all():
        group.locator("label").last.click()
    wide = "(root) => root.scrollWidth > root.clientWidth"
    for step in range(7):
        change(seen, step)
        assert seen.widget.bounding_box()["height"] <= after, seen.widget.inner_text()
        assert not seen.widget.evaluate(wide)


def test_a_figure_without_its_place_would_move_the_page(opened) -> None:
    plant = """document.addEventListener('DOMContentLoaded', () => document.head.insertAdjacentHTML(
      'beforeend', '<style>.interactive-figure { min-height: 0 !important }</style>'))"""
    seen = opened(GRAPH, at_top=True, before=lambda page: page.add_init_script(plant))
    before, after = heights(seen)
    assert after != pytest.approx(before, abs=2)


def test_the_example_of_the_guide_works(site: Path, opened) -> None:
    guide = (ROOT / "docs/appendix/authors_guide.md").read_text("utf-8")
    code = re.search(r"```js\n(.*?)```", guide, re.DOTALL)[1].replace("'dots'", "'graph-steps'")
    data = re.search(r'"graph-steps">(.*?)</script>', (site / GRAPH).read_text("utf-8"))[1]
    new_data = planted_text(site, GRAPH, {data: '{"values":[1,-2.5]}'})

    def before(page: Page) -> None:
        new_data(page)
        page.route("**/graph-steps.js", lambda route: route.fulfill(body=code))

    dots = opened(GRAPH, before=before).live()
    message = dots.widget.locator("[aria-live=polite]")
    assert message.inner_text() == "値は1です。"
    dots.button("次へ").click()
    assert message.inner_text() == "値は−2.5です。"
    assert dots.faults == []


# -- 静止した図のまま -----------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
def test_without_javascript_the_still_figure_is_there(opened, name: str) -> None:
    still = opened(name, java_script_enabled=False)
    picture = still.picture
    assert picture.is_visible()
    assert still.figure.locator("img:visible").count() == 1
    assert len(picture.get_attribute("alt")) > 20
    assert "JavaScript" in still.figure.locator("noscript").inner_text()
    frame = still.figure.locator(".interactive-figure").bounding_box()["height"]
    assert frame < picture.bounding_box()["height"] + 60  # 使わない場所を空けない


@pytest.mark.parametrize(
    ("pattern", "body"),
    [
        ("**/indexing-grid.js", None),
        ("**/indexing-grid.css", None),
        ("**/indexing-grid.js", ""),
        (
            "**/indexing-grid.js",
            "window.interactive.define('indexing-grid', () => { nothing(); });",
        ),
    ],
)
def test_a_figure_that_fails_stays_still(opened, pattern: str, body: str | None) -> None:
    def plant(page: Page) -> None:
        page.route(
            pattern, lambda route: route.abort() if body is None else route.fulfill(body=body)
        )

    broken = opened(GRID, before=plant)
    broken.figure.locator("[data-state=still]").wait_for()
    assert broken.picture.is_visible()
    assert broken.widget.count() == 0
    assert any("静止した図のまま" in fault for fault in broken.faults)
    frame = broken.figure.locator(".interactive-figure").bounding_box()["height"]
    assert frame < broken.picture.bounding_box()["height"] + 30


@pytest.mark.parametrize("name", FIGURES)
def test_the_still_figure_is_printed(opened, name: str) -> None:
    paper = opened(name).live()
    assert not paper.picture.is_visible()
    paper.page.emulate_media(media="print")
    assert paper.picture.is_visible()
    assert not paper.widget.is_visible()


# -- 見た目 -------------------------------------------------------------------


CONTRAST = """(root) => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = (text) => channels(text).slice(0, 3)
    .reduce((sum, c, i) => sum + linear(c / 255) * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    const color = getComputedStyle(node).backgroundColor;
    return channels(color)[3] === 0 ? ground(node.parentElement) : color;
  };
  const found = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const seen = node.checkVisibility({visibilityProperty: true});
    if (!seen || !walker.currentNode.textContent.trim()) continue;
    const pair = [light(getComputedStyle(node).color), light(ground(node))];
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (ratio < 4.5) found.push(`${node.textContent} ${ratio.toFixed(2)}`);
  }
  return found;
}"""


def contrast(opened: Opened) -> list[str]:
    """地との比が4.5に足りない文字。"""
    opened.page.wait_for_timeout(300)  # 色の移り変わりを待つ
    return opened.widget.evaluate(CONTRAST)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", FIGURES)
def test_text_can_be_read_in_every_state(opened, name: str, scheme: str) -> None:
    seen = opened(name, color_scheme=scheme).live()
    states = []
    for step in range(8):
        change(seen, step)
        states += contrast(seen)
    assert states == []
    assert seen.faults == []
    seen.page.add_style_tag(content=".interactive * { color: #888 !important }")
    assert contrast(seen)


def test_colours_follow_the_theme_at_once(opened) -> None:
    seen = opened(GRID, color_scheme="light").live()
    color = "(node) => getComputedStyle(node).backgroundColor"
    before = seen.widget.evaluate(color)
    seen.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert seen.widget.evaluate(color) != before


MOVING = "document.getAnimations().filter((a) => a.effect.target.closest('.interactive')).length"


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize(("motion", "moves"), [("no-preference", True), ("reduce", False)])
def test_reduced_motion_is_honoured(opened, name: str, motion: str, moves: bool) -> None:
    seen = opened(name, reduced_motion=motion).live()
    seen.page.wait_for_timeout(600)
    assert seen.page.evaluate(MOVING) == 0
    change(seen, 0)
    change(seen, 1)
    assert (seen.page.evaluate(MOVING) > 0) == moves


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", FIGURES)
def test_text_is_large_enough(opened, name: str, width: int) -> None:
    seen = opened(name, width=width).live()
    sizes = seen.widget.evaluate(
        """(root) => [...root.querySelectorAll('*')].filter((node) => node.textContent.trim())
          .map((node) => parseFloat(getComputedStyle(node).fontSize))"""
    )
    assert min(sizes) >= 12
