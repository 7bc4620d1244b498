"""見た目の約束：焦点、画面の言葉、右の目次、印刷。"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from site_pages import names_of

JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
PAPER = {"width": 672, "height": 986}  # A4から余白を引いた、文章の入る大きさ
WHOLE = "* { content-visibility: visible !important }"


@pytest.fixture
def desktop(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 700}, color_scheme="dark")
    yield page
    page.close()


def unmarked_focus(page: Page) -> list[str]:
    """上のボタンのうち、焦点があっても囲む線の見えないもの。"""
    page.keyboard.press("Tab")  # キーボードで動いていることを、ブラウザーに伝える
    return page.evaluate(
        """() => [...document.querySelectorAll('.bd-header-article .btn')].filter((button) => {
          button.focus();
          const style = getComputedStyle(button);
          const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
          return button.checkVisibility() && !outlined;
        }).map((button) => button.title || button.ariaLabel)"""
    )


def test_focus_is_visible_on_the_buttons_at_the_top(site: Path, desktop: Page) -> None:
    desktop.set_viewport_size({"width": 390, "height": 844})
    desktop.goto((site / "start/tensor.html").as_uri())
    assert unmarked_focus(desktop) == []
    desktop.add_style_tag(content=".btn:focus { outline: 0 !important }")
    assert len(unmarked_focus(desktop)) == 5


def words(page: Page) -> list[str]:
    """スクリプトが付けたボタンの言葉。"""
    return page.evaluate(
        """() => [...document.querySelectorAll('.copybtn, .toggle-button')].flatMap((button) => [
          button.dataset.tooltip, button.dataset.toggleHint, button.ariaLabel,
          button.querySelector('title')?.textContent,
        ]).filter(Boolean)"""
    )


def test_buttons_that_scripts_add_speak_japanese(site: Path, desktop: Page) -> None:
    desktop.goto((site / "start/tensor.html").as_uri())
    desktop.locator(".copybtn").first.wait_for(state="attached")
    desktop.locator(".copybtn").first.evaluate("button => button.click()")
    desktop.wait_for_function("document.querySelector('.copybtn.success')")
    desktop.locator(".toggle-button").first.evaluate("button => button.click()")
    assert [word for word in words(desktop) if not JAPANESE.search(word)] == []
    assert {"コピー", "コピーしました", "解答を見る", "解答を隠す"} <= set(words(desktop))
    desktop.locator(".copybtn").first.evaluate("button => { button.dataset.tooltip = 'Copy' }")
    assert [word for word in words(desktop) if not JAPANESE.search(word)] == ["Copy"]


def shown_in_contents(page: Page) -> bool:
    """右の目次で、読んでいる節の見出しが枠の中に見えるか。"""
    return page.evaluate(
        """() => {
          const box = document.querySelector('.bd-sidebar-secondary');
          const link = [...box.querySelectorAll('.nav-link.active')].at(-1);
          const [inside, around] = [link, box].map((node) => node.getBoundingClientRect());
          return inside.top >= around.top && inside.bottom <= around.bottom;
        }"""
    )


def test_contents_follow_the_reader(site: Path, desktop: Page) -> None:
    desktop.goto((site / "start/tensor.html").as_uri())
    last = desktop.locator("article h2").last
    last.scroll_into_view_if_needed()
    last.evaluate("heading => heading.scrollIntoView()")
    desktop.wait_for_timeout(300)
    place = desktop.evaluate("scrollY")
    assert shown_in_contents(desktop)
    desktop.locator(".bd-sidebar-secondary").evaluate("box => { box.scrollTop = 0 }")
    assert not shown_in_contents(desktop)
    assert desktop.evaluate("scrollY") == place


def unbreakable(page: Page) -> list[str]:
    """印刷で、ページの途中で分けられない、半ページより高いもの。前のページがほとんど空く。"""
    return page.evaluate(
        """(limit) => [...document.querySelectorAll('main *')]
          .filter((node) => node.getBoundingClientRect().height > limit
            && getComputedStyle(node).breakInside === 'avoid'
            && !node.matches('figure, img, figure *'))
          .map((node) => node.outerHTML.slice(0, 100))""",
        PAPER["height"] / 2,
    )


def test_long_blocks_can_be_split_between_printed_pages(site: Path, desktop: Page) -> None:
    desktop.set_viewport_size(PAPER)
    desktop.emulate_media(media="print")
    for name in names_of(site):
        desktop.goto((site / name).as_uri())
        desktop.add_style_tag(content=WHOLE)
        assert unbreakable(desktop) == [], name
    desktop.goto((site / "appendix/mutants.html").as_uri())
    desktop.add_style_tag(content=".bd-article table { break-inside: avoid !important }")
    assert len(unbreakable(desktop)) == 1


DARKEST = """() => {
  const light = (color) => {
    const [red, green, blue, alpha = 1] = color.match(/[\\d.]+/g).map(Number);
    return 255 - alpha * (255 - (0.299 * red + 0.587 * green + 0.114 * blue)); // 白い紙の上
  };
  const boxes = 'body, .admonition, .admonition-title, pre, tr, td, th, .sd-card, .provenance';
  return Math.min(...[...document.querySelectorAll(boxes)].map(
    (node) => light(getComputedStyle(node).backgroundColor)));
}"""


@pytest.mark.parametrize("name", ["start/shape.html", "appendix/mutants.html", "index.html"])
def test_dark_pages_are_printed_on_light_grounds(site: Path, desktop: Page, name: str) -> None:
    desktop.goto((site / name).as_uri())
    assert desktop.evaluate(DARKEST) < 60
    desktop.evaluate(f"addEventListener('beforeprint', () => {{ window.seen = ({DARKEST})() }})")
    desktop.pdf()
    assert desktop.evaluate("window.seen") > 200
    assert desktop.locator("html").get_attribute("data-theme") == "dark"
