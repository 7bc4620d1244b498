"""組み立てたサイトと、それを読むブラウザー。"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", ())
    if any(NO_BROWSER in str(report.longrepr) for report in skipped):
        terminalreporter.write_line(NO_BROWSER, yellow=True)
