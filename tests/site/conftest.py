"""組み立てたサイトと、それを読むブラウザー。"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from opened_figure import FIGURES, Opened
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
HTML = Path(os.environ.get("BOOK_HTML", ROOT / "_build" / "html"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
FLAGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run"
)
NO_BROWSER = "Chromiumが見つからないので、ブラウザーの試験を飛ばしました。"


@pytest.fixture(scope="session")
def site() -> Path:
    """組み立てたサイトのフォルダー。"""
    if not (HTML / "index.html").exists():
        pytest.fail("サイトがありません。先にmake htmlで組み立ててください。", pytrace=False)
    return HTML


@pytest.fixture
def site_copy(site: Path, tmp_path: Path) -> Path:
    """わざと壊すための、サイトの写し。"""
    return shutil.copytree(site, tmp_path / "site")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None and os.environ.get("CI") == "true":
        pytest.fail("CIにChromiumがありません。", pytrace=False)
    if CHROMIUM is None:
        pytest.skip(NO_BROWSER)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield chromium
        chromium.close()


@pytest.fixture
def opened(site: Path, browser: Browser) -> Iterator[Callable[..., Opened]]:
    contexts = []

    def run(
        name: str,
        *,
        width: int = 1280,
        at_top: bool = False,
        before: Callable | None = None,
        **options,
    ) -> Opened:
        options = {"viewport": {"width": width, "height": 900}, "locale": "ja-JP", **options}
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        found = Opened(page, FIGURES[name])
        if before:
            before(page)
        page.goto((site / name).as_uri() + ("" if at_top else f"#{FIGURES[name]}"))
        return found

    yield run
    for context in contexts:
        context.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", ())
    if any(NO_BROWSER in str(report.longrepr) for report in skipped):
        terminalreporter.write_line(NO_BROWSER, yellow=True)
