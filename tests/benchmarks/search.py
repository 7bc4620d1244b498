"""検索にかかる時間を、十倍の大きさの本と本物のブラウザーで測る。

サイトの検索のデータを十回、数字を変えながら並べて、十倍の本のデータを作る。一つの語を入れてから、
結果がページに並び、その配置が決まるまでの時間を測る。語は、用語集のすべての項目と、多くの節に
現れる短い語である。
"""

import json
import shutil
import statistics
import tempfile
from pathlib import Path

from conftest import CHROMIUM, FLAGS, HTML
from playwright.sync_api import sync_playwright
from table import Row

TIMES = 10
ROUNDS = 5
SHORT = [
    "の",
    "a",
    "率",
    "損失",
    "torch",
    "import torch",
    "x.grad",
    "学習 率 損失",
    "ｔｅｎｓｏｒ",
    "ない語",
]
MEASURE = """
([place, queries]) => {
  const input = document.querySelector(`${place} input`);
  const box = document.querySelector(`${place} .book-search`);
  return queries.map(query => {
    input.value = query;
    const start = performance.now();
    input.dispatchEvent(new Event("input"));
    box.offsetHeight;  // 配置を決めさせる
    return performance.now() - start;
  });
}
"""
READY = """
place => document.querySelector(`${place} [role=status]`).textContent.includes("「準備」")
"""


def read(script: Path) -> list:
    return json.loads(script.read_text("utf-8").partition("=")[2].rstrip(";\n"))


def enlarged(pages: list) -> list:
    """数字をずらした写しを並べた、十倍のデータ。"""
    copies = []
    for shift in range(TIMES):
        table = str.maketrans("0123456789", "".join(str((d + shift) % 10) for d in range(10)))
        copies += json.loads(json.dumps(pages, ensure_ascii=False).translate(table))
    return copies


def measure() -> tuple[list[Row], dict[str, str]]:
    pages = read(HTML / "_static" / "search-data.js")
    terms = [part[1] for page in pages for part in page[1] if len(part) == 5]
    queries = terms + SHORT
    large = json.dumps(enlarged(pages), ensure_ascii=False, separators=(",", ":"))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = shutil.copytree(HTML, Path(folder) / "site")
        (site / "_static" / "search-data.js").write_text(f"window.bookSearchData={large};", "utf-8")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        rows = []
        for name, path, place in (
            ("窓", "index.html", "#pst-search-dialog"),
            ("検索のページ", "search.html", ".bd-search-container"),
        ):
            page = browser.new_page()
            page.goto((site / path).as_uri())
            page.keyboard.press("Control+k")
            page.fill(f"{place} input", "準備")
            page.wait_for_function(READY, arg=place)
            rounds = [page.evaluate(MEASURE, [place, queries]) for _ in range(ROUNDS)]
            times = sorted(map(statistics.median, zip(*rounds, strict=True)))
            rows.append(Row(f"{TIMES}倍の大きさの本、{name}、{len(queries)}語", "ミリ秒", times))
            page.close()
        browser.close()
    return rows, {"値": f"語ごとに{ROUNDS}回の中央値。表は、その中央値と範囲"}
