"""ページの枠に200枚のテスト画像を書き、正しく読めた数をdocs/appendix/drawing.jsonに書く。

``make draw`` が呼ぶ。先に ``make html`` で組み立てておく。数は第2章に載る。
"""

import json
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path

from conftest import CHROMIUM, FLAGS, HTML, NO_BROWSER
from drawing import CHOSEN, PAGE, right_answers, waits
from opened_figure import FIGURES, Opened
from playwright.sync_api import sync_playwright
from table import Row
from test_browser import served

from verified_book.kernel import processor

ROOT = Path(__file__).resolve().parents[2]


def draw() -> tuple[list[bool], list[float], str]:
    """200枚を書き、正しく読めたか、最後の一画から答えまでのミリ秒、ブラウザーの版を返す。"""
    if CHROMIUM is None:
        raise SystemExit(NO_BROWSER)
    with served(HTML) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        opened = Opened(page, FIGURES[PAGE])
        page.goto(f"{address}{PAGE}#{FIGURES[PAGE]}")
        opened.live()
        right, times = right_answers(page), waits(page)
        browser_name = f"Chromium {browser.version.partition('.')[0]}"
        browser.close()
    return right, times, browser_name


def measure() -> tuple[list[Row], dict[str, str]]:
    right, times, browser = draw()
    rows = [
        Row("最後の一画から答えまで", "ミリ秒", times),
        Row(f"正しく読めた数、{len(right)}枚のうち", "枚", [float(sum(right))]),
    ]
    return rows, {"ブラウザー": browser}


def main() -> int:
    right, times, browser_name = draw()
    record = {
        "total": len(CHOSEN),
        "right": sum(right),
        "when": f"{datetime.now(UTC):%Y-%m-%d}、{browser_name}、{processor()}",
        "wait_ms": {
            "median": round(statistics.median(times), 1),
            "most": round(max(times), 1),
        },
    }
    path = ROOT / "docs/appendix/drawing.json"
    path.write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", "utf-8")
    print(json.dumps(record, ensure_ascii=False))
    print("間違えた画像：", [index for index, ok in zip(CHOSEN, right, strict=True) if not ok])
    return 0


if __name__ == "__main__":
    sys.exit(main())
