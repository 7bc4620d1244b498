"""ページの重さとLighthouseの点を、同じ章をテーマの初めの設定で組み立てたものと並べて測る。

``make bench`` が呼ぶ。先に ``make html`` で組み立てておく。引数は、測るページの名前の一部。
結果は表にして表示し、``_build/bench.json`` に書く。
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
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from sphinx.config import eval_config_file
from sphinx.util.tags import Tags

import verified_book
from verified_book.kernel import processor

ROOT = Path(__file__).resolve().parents[2]
SITE, PLAIN = ROOT / "_build/html", ROOT / "_build/plain"
LIGHTHOUSE = Path(verified_book.__file__).parent / "node_modules/lighthouse/cli/index.js"
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
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


def measure(address: str) -> dict:
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


def main() -> int:
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    conf = eval_config_file(ROOT / "conf.py", Tags())
    prefix = urlsplit(conf["site"]).path
    pages = sorted(
        path.relative_to(SITE).as_posix()
        for path in SITE.rglob("*.html")
        if "_static" not in path.parts and path.name != "404.html"
    )
    pages = [name for name in pages if part in name]
    if not pages:
        print(f"「{part}」を名前に含むページがありません。先にmake htmlで組み立ててください。")
        return 1
    subprocess.run(plain_command(ROOT), check=True, cwd=ROOT)
    rows = []
    print(f"{'ページ':30} 性能 利用 作法 検索  FCP秒  LCP秒 TBTミリ秒   KB  初めの設定のKB（倍）")
    with served(SITE, prefix) as ours, served(PLAIN, prefix) as theirs:
        for name in pages:
            row = {"page": name, "ours": measure(ours + name)}
            line = (
                "{performance:4} {accessibility:4} {best-practices:4} {seo:4} "
                "{fcp:6.2f} {lcp:6.2f} {tbt:8.0f} {kb:6.1f}"
            ).format(**row["ours"])
            if name.startswith(("start/", "learn/")):
                row["theme"] = measure(theirs + name)
                kb = row["theme"]["kb"]
                line += (
                    f" {kb:8.1f} ({kb / row['ours']['kb']:.1f}) 性能{row['theme']['performance']}"
                )
            rows.append(row)
            print(f"{name:30} {line}", flush=True)
    result = {"date": datetime.now(UTC).isoformat(), "processor": processor(), "pages": rows}
    (ROOT / "_build/bench.json").write_text(json.dumps(result, indent=1), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
