"""ページの部品が、本物のブラウザーで働くか。ファイルとして開いても働くか。"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

VISIBLE = "image => image.checkVisibility() && image.naturalWidth > 0"


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="light")
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def desktop(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": 1280, "height": 900},
        color_scheme="light",
        permissions=["clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


def test_menu_opens_and_leads_to_a_chapter_on_a_phone(site: Path, phone: Page) -> None:
    phone.goto((site / "index.html").as_uri())
    expect(phone.locator("dialog[open]")).to_have_count(0)
    phone.get_by_role("button", name="目次を開閉").first.click()
    chapter = phone.locator("dialog[open]").get_by_role("link", name="自動微分").first
    expect(chapter).to_be_visible()
    chapter.click()
    expect(phone).to_have_title("5. 自動微分 — Entering PyTorch")


def test_menu_closes_by_escape(site: Path, phone: Page) -> None:
    phone.goto((site / "start/tensor.html").as_uri())
    phone.get_by_role("button", name="目次を開閉").first.click()
    expect(phone.locator("dialog[open]")).to_have_count(1)
    phone.keyboard.press("Escape")
    expect(phone.locator("dialog[open]")).to_have_count(0)


def test_theme_switch_changes_figures_too(site: Path, desktop: Page) -> None:
    desktop.goto((site / "start/autograd.html").as_uri())
    first = desktop.locator("figure img, .cell_output img").first
    first.scroll_into_view_if_needed()
    assert first.evaluate(VISIBLE)
    assert "-dark" not in first.get_attribute("src")
    desktop.evaluate("document.documentElement.dataset.theme = 'dark'")
    dark = desktop.locator("img.only-dark:not(.logo__image)").first
    dark.scroll_into_view_if_needed()
    expect(dark).to_be_visible()
    assert not first.is_visible()
    assert dark.get_attribute("src").endswith("-dark.svg")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_captions_can_be_read(site: Path, phone: Page, theme: str) -> None:
    hidden = """() => [...document.querySelectorAll('figure > figcaption')]
      .filter((node) => getComputedStyle(node).display === 'none').length"""
    phone.goto((site / "start/tensor.html").as_uri())
    phone.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    assert phone.locator("figure > figcaption").count() > 2
    assert phone.evaluate(hidden) == 0
    phone.add_style_tag(content="html[data-theme] body figcaption { display: none !important }")
    phone.evaluate("document.querySelectorAll('.bd-article').forEach((n) => n.className = '')")
    assert phone.evaluate(hidden) > 2


def test_theme_is_kept_on_the_next_page(site: Path, desktop: Page) -> None:
    desktop.goto((site / "index.html").as_uri())
    desktop.get_by_role("button", name="配色").click()
    desktop.locator(".theme-change-button[data-mode=dark]").click()
    assert desktop.locator("html").get_attribute("data-theme") == "dark"
    desktop.goto((site / "start/tensor.html").as_uri())
    assert desktop.locator("html").get_attribute("data-theme") == "dark"


def test_copy_button_copies_the_code_and_no_prompt(site: Path, desktop: Page) -> None:
    desktop.goto((site / "start/tensor.html").as_uri())
    block = desktop.locator("div.cell_input div.highlight:visible").first
    block.scroll_into_view_if_needed()
    block.hover()
    block.locator("button.copybtn").click()
    desktop.wait_for_function("navigator.clipboard.readText().then(text => text.length > 0)")
    copied = desktop.evaluate("navigator.clipboard.readText()")
    assert copied.strip() == block.locator("pre").inner_text().strip()
    assert not copied.startswith(">>>")


def test_solution_opens_by_keyboard(site: Path, phone: Page) -> None:
    phone.goto((site / "start/tensor.html").as_uri())
    solution = phone.locator(".solution.dropdown").first
    solution.scroll_into_view_if_needed()
    button = solution.locator("button, summary").first
    inside = solution.locator(".section, .sd-card, p:not(.admonition-title), div.cell").first
    expect(inside).not_to_be_visible()
    button.focus()
    phone.keyboard.press("Enter")
    expect(inside).to_be_visible()


def test_wide_blocks_can_be_reached_by_keyboard(site: Path, phone: Page) -> None:
    phone.goto((site / "start/mnist.html").as_uri())
    wide = "[...document.querySelectorAll('pre')].filter(p => p.scrollWidth > p.clientWidth)"
    index = phone.evaluate(f"[...document.querySelectorAll('pre')].indexOf({wide}[0])")
    block = phone.locator("pre").nth(index)
    block.scroll_into_view_if_needed()
    expect(block).to_have_attribute("tabindex", "0")


def test_without_javascript_the_page_can_be_read(site: Path, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((site / "start/autograd.html").as_uri())
    expect(page.get_by_role("heading", name="自動微分").first).to_be_visible()
    assert page.locator("img.only-light:not(.logo__image)").first.is_visible()
    assert not page.locator("img.only-dark:not(.logo__image)").first.is_visible()
    context.close()


def test_print_is_light_and_shows_what_is_folded(site: Path, browser: Browser) -> None:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto((site / "start/autograd.html").as_uri())
    page.emulate_media(media="print")
    color = "getComputedStyle(document.querySelector('.bd-article')).color"
    assert page.evaluate(color) == "rgb(0, 0, 0)"
    assert page.locator("img.only-light:not(.logo__image)").first.is_visible()
    folded = page.locator("details:not([open]) pre").first
    assert folded.evaluate("node => node.checkVisibility({contentVisibilityAuto: true})")
    context.close()
