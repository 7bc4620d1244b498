"""本物のブラウザーで、どのページも静かに開くか。

すべてのページを、明るい配色と暗い配色、1280ピクセルと390ピクセルの幅で開く。320ピクセルは、字を大きくして
読むときの幅でもある。
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, Page, Route

WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")


class Handler(SimpleHTTPRequestHandler):
    """公開するときと同じ番地（`/Entering-PyTorch/`など）の下でサイトを配る。"""

    def __init__(self, *arguments: object, prefix: str, **options: object) -> None:
        self.prefix = prefix
        super().__init__(*arguments, **options)

    def translate_path(self, path: str) -> str:
        inside = path.removeprefix(self.prefix) if path.startswith(self.prefix) else "/missing"
        return super().translate_path(f"/{inside}")

    def log_message(self, *arguments: object) -> None: ...


@contextmanager
def served(site: Path) -> Iterator[str]:
    """サイトを127.0.0.1で配り、その番地を返す。"""
    index = BeautifulSoup((site / "index.html").read_text("utf-8"), "html.parser")
    prefix = urlsplit(index.select_one("link[rel=canonical]")["href"]).path.removesuffix(
        "index.html"
    )
    handler = partial(Handler, directory=str(site), prefix=prefix)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}{prefix}"
    server.shutdown()
    server.server_close()


def faults(page: Page, base: str, name: str) -> list[str]:
    """ページを開き、ほかのサイトへの要求、誤り、横へのはみ出しを集める。"""
    found: list[str] = []

    def on_route(route: Route) -> None:
        if route.request.url.startswith((base.rpartition(urlsplit(base).path)[0], "data:")):
            route.continue_()
        else:
            found.append(f"{name}: ほかのサイトへの要求 {route.request.url}")
            route.abort()

    page.route("**/*", on_route)
    page.on("pageerror", lambda error: found.append(f"{name}: {error}"))
    page.on("console", lambda m: found.append(f"{name}: {m.text}") if m.type == "error" else None)
    page.on("response", lambda r: found.append(f"{name}: {r.status} {r.url}") if not r.ok else None)
    page.goto(base + name)
    page.wait_for_timeout(100)  # 開いた後に始まる要求を待つ
    widths = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    if widths[0] > widths[1]:
        found.append(f"{name}: 幅{widths[1]}に対して{widths[0]}で、横に動きます")
    return found


@pytest.fixture(scope="module")
def open_all(browser: Browser) -> Callable[..., list[str]]:
    """サイトのページを順に開き、見つかった誤りを返す関数。"""

    def run(site: Path, width: int, scheme: str, names: list[str] | None = None) -> list[str]:
        if names is None:
            names = [str(path.relative_to(site)) for path in sorted(site.rglob("*.html"))]
            names = [name for name in names if not name.startswith("_static/")]
        found = []
        with served(site) as base:
            viewport = {"width": width, "height": 900}
            context = browser.new_context(viewport=viewport, color_scheme=scheme, locale="ja-JP")
            for name in names:
                page = context.new_page()
                found += faults(page, base, name)
                page.close()
            context.close()
        return found

    return run


@pytest.mark.parametrize(
    ("width", "scheme"), [*((w, s) for w in WIDTHS for s in SCHEMES), (320, "light")]
)
def test_every_page_opens_quietly(site: Path, open_all, width: int, scheme: str) -> None:
    assert open_all(site, width, scheme) == []


@pytest.mark.parametrize(
    ("planted", "message"),
    [
        ('<script src="https://cdn.example.org/a.js"></script>', "ほかのサイトへの要求"),
        ("<script>fetch('https://api.example.org/')</script>", "ほかのサイトへの要求"),
        ("<script>console.error('planted')</script>", "planted"),
        ("<script>nothing()</script>", "nothing is not defined"),
        ('<img alt="" src="missing.png">', "404"),
        ('<div style="width: 500px">広い</div>', "横に動きます"),
    ],
)
def test_planted_fault_is_found(site_copy: Path, open_all, planted: str, message: str) -> None:
    index = site_copy / "index.html"
    text = index.read_text("utf-8").replace("</article>", f"{planted}</article>", 1)
    index.write_text(text, "utf-8")
    assert message in "\n".join(open_all(site_copy, 390, "light", ["index.html"]))


def test_dark_scheme_is_really_dark(site: Path, browser: Browser) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    seen = {}
    with served(site) as base:
        for scheme in SCHEMES:
            page = browser.new_page(color_scheme=scheme)
            page.goto(f"{base}index.html")
            seen[scheme] = page.evaluate(background)
            page.close()
    assert seen["light"] != seen["dark"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_scheme_is_set_before_the_scripts_run(site: Path, browser: Browser, scheme: str) -> None:
    page = browser.new_page(color_scheme=scheme)
    page.route("**/bundle.js*", lambda route: route.abort())
    page.goto((site / "index.html").as_uri(), wait_until="domcontentloaded")
    assert page.locator("html").get_attribute("data-theme") == scheme
    page.close()
