"""動かせる図のあるページを、本物のブラウザーで開く。"""

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, Page

FIGURES = {
    "index.html": "fig-index-draw",
    "start/mnist.html": "fig-mnist-draw",
    "start/tensor.html": "fig-tensor-grid",
    "start/shape.html": "fig-shape-broadcast",
    "start/autograd.html": "fig-autograd-graph",
    "learn/linear_regression.html": "fig-linear-regression-surface",
    "learn/optimizer.html": "fig-optimizer-race",
    "learn/evaluation.html": "fig-evaluation-confusion",
}
"""動かせる図のあるページと、その図の名前。"""
FILES = "_static/interactive/"


class Opened:
    """開いたページと、その動かせる図。``faults`` は、誤り、警告、ほかのサイトへの要求。"""

    def __init__(self, page: Page, figure: str) -> None:
        self.page, self.figure = page, page.locator(f"#{figure}")
        self.faults: list[str] = []
        self.loaded: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._on_console)
        page.on("request", self._on_request)

    def _on_console(self, message: object) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(message.text)

    def _on_request(self, request: object) -> None:
        if not request.url.startswith(("file:", "data:")):
            self.faults.append(request.url)
        if FILES in request.url:
            self.loaded.append(request.url.partition(FILES)[2].partition("?")[0])

    @property
    def widget(self) -> Locator:
        return self.figure.locator(".interactive")

    @property
    def picture(self) -> Locator:
        """静止した図（明るい配色のもの）。"""
        return self.figure.locator("img:not(.only-dark)")

    def live(self) -> "Opened":
        # 見えない節は近づいてから組まれ、図の場所が動くので、開くまで繰り返す
        for _ in range(10):
            self.figure.evaluate("(node) => node.scrollIntoView({block: 'center'})")
            self.page.wait_for_timeout(100)
            if self.widget.is_visible():
                break
        self.widget.wait_for()
        return self

    def button(self, name: str | re.Pattern[str]) -> Locator:
        return self.widget.get_by_role("button", name=name)

    def choice(self, group: str, name: str) -> Locator:
        """選択肢の、目に見える部分。"""
        radios = self.widget.get_by_role("radiogroup", name=group)
        return radios.locator("label").filter(has=self.page.get_by_text(name, exact=True))

    def square(self, row: int, column: int) -> Locator:
        return self.widget.get_by_role("row").nth(row + 1).get_by_role("gridcell").nth(column)

    def tap_the_end(self) -> None:
        """スライダーの右の端を、すべて指で押す。"""
        for slider in self.widget.get_by_role("slider").all():
            box = slider.bounding_box()
            self.page.touchscreen.tap(box["x"] + box["width"] - 5, box["y"] + box["height"] / 2)

    def focused(self) -> str:
        return self.page.evaluate("document.activeElement.outerHTML").partition(">")[0]


def printed(squares: Locator) -> list[int]:
    return [int(text) for text in squares.all_inner_texts()]


def planted_text(site: Path, name: str, changes: dict[str, str]) -> Callable[[Page], None]:
    """ページの、それぞれ初めの一か所を書き換える。"""
    text = (site / name).read_text("utf-8")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new, 1)
    return lambda page: page.route(
        f"**/{name}", lambda route: route.fulfill(body=text, content_type="text/html")
    )


def outline(opened: Opened) -> float:
    """焦点のある部品を囲む線の太さ。選択肢の線は、隣の見える部分に付く。"""
    return opened.page.evaluate(
        """() => {
          const node = document.activeElement;
          const style = getComputedStyle(node.type === 'radio' ? node.nextElementSibling : node);
          return style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth);
        }"""
    )
