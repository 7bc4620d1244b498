"""ページの重さとLighthouseの点を、同じ章をテーマの初めの設定で組み立てたものと並べて測る。

先に ``make html`` で組み立てておく。引数は、測るページの名前の一部。点は、3回の中央値である。
"""

import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from sphinx.config import eval_config_file
from sphinx.util.tags import Tags
from table import Row

import verified_book

ROOT = Path(__file__).resolve().parents[2]
SITE, PLAIN = ROOT / "_build/html", ROOT / "_build/plain"
LIGHTHOUSE = Path(verified_book.__file__).parent / "node_modules/lighthouse/cli/index.js"
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
TITLES = dict(zip(CATEGORIES, ("性能", "利用しやすさ", "作法", "検索エンジン"), strict=True))
THEME = "初めの設定"
OWN = ("assets", "katex", "report_link", "search", "interactive_figures", "rebuild")
TEXT = ("text/", "javascript", "json", "svg", "xml")
RUNS = 3  # 一つのページを測る回数


class Compressing(SimpleHTTPRequestHandler):
    """圧縮して配る、ふつうの静的なサーバー。公開するときと同じ番地の下で配る。"""

    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: object, prefix: str, **options: object) -> None:
        self.prefix = prefix
        super().__init__(*arguments, **options)

    def do_GET(self) -> None:
        inside = urlsplit(self.path).path.removeprefix(self.prefix)
        path = Path(self.translate_path("/" + inside))
        if not path.is_file():
            self.send_error(404)
            return
        body, kind = path.read_bytes(), self.guess_type(str(path))
        self.send_response(200)
        if any(part in kind for part in TEXT):
            body = gzip.compress(body, 9)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "max-age=600")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None: ...


@contextmanager
def served(site: Path, prefix: str) -> Iterator[str]:
    handler = partial(Compressing, directory=str(site), prefix=prefix)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}{prefix}"
    server.shutdown()


def plain_command(root: Path) -> list[str]:
    """``root`` の本を、テーマの初めの設定で組み立てるコマンド。実行結果は、本と同じものを使う。"""
    conf = eval_config_file(root / "conf.py", Tags())
    kept = [name for name in conf["extensions"] if name.rpartition(".")[2] not in OWN]
    changed = {
        "extensions": kept,
        "html_math_renderer": "mathjax",
        **{key: [] for key in ("html_css_files", "html_js_files", "templates_path")},
        **{key: {} for key in ("html_sidebars", "html_theme_options")},
    }
    code = (
        "import json, sys; from sphinx.application import Sphinx;"
        "Sphinx(*sys.argv[1:5], 'html', confoverrides=json.loads(sys.argv[5]),"
        " status=None, warning=None, parallel=2).build()"
    )
    places = ("docs", ".", str(PLAIN.relative_to(ROOT)), "_build/plain-doctrees")
    return [sys.executable, "-c", code, *places, json.dumps(changed)]


def lighthouse(address: str) -> dict:
    """Lighthouseのスマートフォンの設定で、一つのページを測る。"""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        subprocess.run(
            [
                Path(sys.executable).with_name("node"),
                LIGHTHOUSE,
                address,
                "--quiet",
                "--output=json",
                f"--output-path={report}",
                f"--only-categories={','.join(CATEGORIES)}",
                "--chrome-flags=--headless=new --no-sandbox --disable-gpu",
            ],
            check=True,
            env=os.environ | {"CHROME_PATH": str(chromium)},
        )
        return json.loads(report.read_text("utf-8"))


def visit(address: str) -> dict:
    reports = [lighthouse(address) for _ in range(RUNS)]
    audits = [report["audits"] for report in reports]
    requests = audits[0]["network-requests"]["details"]["items"]
    page = [r for r in requests if r["resourceType"] != "Image"]
    middle = statistics.median_low
    return {
        **{
            name: round(100 * middle([r["categories"][name]["score"] for r in reports]))
            for name in CATEGORIES
        },
        "fcp": middle([a["first-contentful-paint"]["numericValue"] for a in audits]) / 1000,
        "lcp": middle([a["largest-contentful-paint"]["numericValue"] for a in audits]) / 1000,
        "tbt": middle([a["total-blocking-time"]["numericValue"] for a in audits]),
        "kb": sum(r["transferSize"] for r in page) / 1000,
    }


def pages_of(part: str) -> list[str]:
    return sorted(
        name
        for path in SITE.rglob("*.html")
        if "_static" not in path.parts and path.name != "404.html"
        if part in (name := path.relative_to(SITE).as_posix())
    )


def measure(part: str = "") -> tuple[list[Row], dict[str, str]]:
    """名前に ``part`` を含むページの重さと、Lighthouseの点。章は、初めの設定のものと並べる。"""
    pages = pages_of(part)
    if not pages:
        raise SystemExit(
            f"「{part}」を名前に含むページがありません。先にmake htmlで組み立ててください。"
        )
    prefix = urlsplit(eval_config_file(ROOT / "conf.py", Tags())["site"]).path
    subprocess.run(plain_command(ROOT), check=True, cwd=ROOT)
    rows, scores = [], {name: [] for name in CATEGORIES}
    with served(SITE, prefix) as ours, served(PLAIN, prefix) as theirs:
        for name in pages:
            own = visit(ours + name)
            print(name, {key: round(value, 2) for key, value in own.items()}, flush=True)
            for category in CATEGORIES:
                scores[category].append(own[category])
            row = Row(name.removesuffix(".html"), "KB", [own["kb"]])
            if name.startswith(("start/", "learn/")):
                plain = visit(theirs + name)
                row = replace(row, against=THEME, theirs=[plain["kb"]])
                points = [[float(one["performance"])] for one in (own, plain)]
                title = f"{row.name}、Lighthouseの性能"
                rows.append(Row(title, "点", points[0], THEME, points[1], smaller=False))
            rows.append(row)
    summary = "、".join(f"{TITLES[name]}{min(values)}" for name, values in scores.items())
    return rows, {f"Lighthouseの点（{len(pages)}ページの最低）": summary}
