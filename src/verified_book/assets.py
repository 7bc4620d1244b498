"""ページが読み込むCSS、スクリプト、書体を、使われるものだけにまとめるSphinx拡張。

テーマと拡張は、使うかどうかにかかわらず素材を並べる。ここでは、組み立てが終わったところで

- どのページも読むCSSを一つにし、どのページにも現れないクラスの規則を除く。
- どのページも読むスクリプトを一つにし、表示を待たせないように、最後に動かす。
- アイコンと数式の書体を、使われる文字だけにする。

まとめたものは ``_static/bundle/`` に入る。ページの中の並びは、それを指すように書き換える。
書き換えるときに、コード（:mod:`verified_book.plain_code`）、図（:mod:`verified_book.themed_figures`）、
見出し（:mod:`verified_book.headings`）も整える。
"""

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

from fontTools import subset
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from verified_book.headings import break_headings
from verified_book.node import run_node
from verified_book.plain_code import plain_classes, unwrap_plain
from verified_book.themed_figures import adapt_figures

PACKAGE = Path(__file__).parent
SMALL = 500  # これより小さいスクリプトは、ページの中に書く（バイト）
STYLE = re.compile(r'[ \t]*<link\b[^>]*?\brel="stylesheet"[^>]*?>\n?')
SCRIPT = re.compile(r'[ \t]*<script\b([^>]*?)\bsrc="([^"]+)"([^>]*)></script>\n?')
ADDRESS = re.compile(r'href="([^"]+)"')
logging.getLogger("fontTools").setLevel(logging.WARNING)  # 消した表を一つずつ知らせる
BUNDLED = re.compile(r"(_static/bundle/bundle\.(?:css|js)\?v=)\w+")
TAG = re.compile(r"<([a-z][\w-]*)([^>]*)>")
ATTRIBUTE = re.compile(r'([\w-]+)(?:="([^"]*)")?')
WORDS = re.compile(r"[A-Za-z][\w-]*")
SPAN = re.compile(r"<span\b[^>]*>|</span>")
GLYPH = re.compile(r"\\([0-9a-f]{2,6})\b|([^\x00-\x7f])")
# 書かれた名前がどのページにもなければ、読み込まない素材
ONLY_WITH = {"design-tabs.js": "sd-tab-set"}
# Sphinxの検索だけが使うスクリプト。この本の検索は別にある（verified_book.search）
UNUSED = {"sphinx_highlight.js", "translations.js"}
KEPT = {"html", "body", "show", "data-theme", "light", "dark", "open", "aria-expanded", "true"}


@dataclass
class PageUse:
    """一つのページが使う素材と名前。``stamp`` は、読んだときのファイルの時刻と大きさ。"""

    stamp: list[int]
    styles: list[str]
    scripts: list[str]
    tokens: list[str]
    formulas: str


def read_page(html: str) -> PageUse:
    """書き換える前のページから、素材の番地と、CSSが選べる名前を読む。

    Examples
    --------
    >>> use = read_page('<link rel="stylesheet" href="../_static/a.css?v=1"><p class="x y">')
    >>> use.styles, use.tokens
    (['a.css'], ['class', 'href', 'link', 'p', 'rel', 'stylesheet', 'x', 'y'])
    """
    styles = [_static(ADDRESS.search(found[0])[1]) for found in STYLE.finditer(html)]
    scripts = [_static(found[2]) for found in SCRIPT.finditer(html)]
    tokens = set()
    for tag, attributes in TAG.findall(html):
        tokens.add(tag)
        for name, value in ATTRIBUTE.findall(attributes):
            tokens.add(name)
            if name in ("class", "id", "role", "rel", "type") or name.startswith("data-"):
                tokens.update(value.split())
    formulas = "".join(sorted(set("".join(_formulas(html)))))
    names = sorted(token for token in tokens if re.fullmatch(r"[\w-]+", token))
    return PageUse([], [s for s in styles if s], [s for s in scripts if s], names, formulas)


def _static(address: str) -> str:
    """``_static/`` の中の番地。ほかの場所にあれば空。"""
    return urlsplit(address).path.partition("_static/")[2]


def _formulas(html: str) -> Iterator[str]:
    """数式を組んだ ``<span class="katex-html">`` の中の文字。"""
    for found in re.finditer(r'<span class="katex-html"[^>]*>', html):
        depth = 1
        for span in SPAN.finditer(html, found.end()):
            depth += 1 if span[0][1] != "/" else -1
            if depth == 0:
                yield unescape(re.sub(r"<[^>]*>", "", html[found.end() : span.start()]))
                break


def link_bundle(html: str, common: set[str], static: Path, version: str) -> str:
    """ページの並びから ``common`` の素材を除き、まとめたものへのリンクを入れる。"""
    prefix: str | None = None  # サイトの根にあるページでは空

    def style(found: re.Match[str]) -> str:
        nonlocal prefix
        address = ADDRESS.search(found[0])[1]
        if _static(address) not in common:
            return found[0]
        if prefix is not None:
            return ""
        prefix = address.partition("_static/")[0]
        return f'<link rel="stylesheet" href="{prefix}_static/bundle/bundle.css?v={version}">\n'

    def script(found: re.Match[str]) -> str:
        name = _static(found[2])
        if name in common and (static / name).stat().st_size < SMALL:
            return f"<script>{(static / name).read_text('utf-8').strip()}</script>\n"
        return "" if name in common else found[0]

    html = SCRIPT.sub(script, STYLE.sub(style, html))
    tag = f'<script defer src="{prefix}_static/bundle/bundle.js?v={version}"></script>\n'
    return html if prefix is None else html.replace("</head>", f"{tag}</head>", 1)


def bundle(static: Path, uses: Iterable[PageUse], record: Path) -> tuple[set[str], str]:
    """素材をまとめ、まとめたものの名前と版を返す。前と同じなら、何もしない。"""
    uses = list(uses)
    common = set.intersection(*(set(use.styles + use.scripts) for use in uses))
    common = {name for name in common if (static / name).is_file()}
    styles = [name for name in uses[0].styles if name in common]
    scripts = [name for name in uses[0].scripts if name in common]
    scripts = [name for name in scripts if (static / name).stat().st_size >= SMALL]
    tokens = set(KEPT).union(*(use.tokens for use in uses))
    scripts = [name for name in scripts if ONLY_WITH.get(name, "html") in tokens]
    scripts = [name for name in scripts if name not in UNUSED]
    own = sorted((PACKAGE / "static").rglob("*.js"))
    widgets = sorted(tokens & {"collapse", "dropdown", "modal", "tab", "tooltip"})
    # スクリプトが付けるクラスも残す。Bootstrapは、使わない部品の名前まで持つので除く
    for path in [*own, *(static / name for name in scripts if "bootstrap" not in name)]:
        tokens.update(WORDS.findall(path.read_text("utf-8")))
    formulas = "".join(sorted(set("".join(use.formulas for use in uses))))
    inputs = [*(static / name for name in styles + scripts), *PACKAGE.glob("bundle.*")]
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in inputs]
    state = repr((styles, scripts, contents, sorted(tokens), formulas, Path(__file__).read_bytes()))
    version = hashlib.sha256(state.encode()).hexdigest()[:10]
    out = static / "bundle"
    if record.is_file() and record.read_text() == version and (out / "bundle.js").is_file():
        return common, version
    record.unlink(missing_ok=True)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    paths = {"styles": styles, "scripts": scripts}
    request = {kind: [str(static / name) for name in names] for kind, names in paths.items()}
    request |= {"tokens": sorted(tokens), "widgets": widgets, "out": str(out)}
    run_node(str(PACKAGE / "bundle.mjs"), stdin=json.dumps(request))
    css = (out / "bundle.css").read_text("utf-8")
    icons = "".join(chr(int(code, 16)) if code else glyph for code, glyph in GLYPH.findall(css))
    for font in sorted(out.glob("*.woff2")):
        _subset(font, formulas if font.name.startswith("KaTeX") else icons)
    record.write_text(version)
    return common, version


def _subset(font: Path, text: str) -> None:
    """書体を ``text`` の文字だけにする。一つも使わなければ消す。"""
    if font.name not in (font.parent / "bundle.css").read_text("utf-8"):
        font.unlink()
        return
    options = subset.Options(flavor="woff2", layout_features=["*"], legacy_kern=True)
    loaded = subset.load_font(str(font), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=text)
    subsetter.subset(loaded)
    subset.save_font(loaded, str(font), options)


def lighten(app: Sphinx, exception: Exception | None) -> None:
    """書き終えたサイトの素材をまとめる。"""
    if exception or app.builder.format != "html" or app.builder.name == "epub":
        return
    site, cache = Path(app.outdir), Path(app.doctreedir) / "assets.json"
    pages = [p for p in sorted(site.rglob("*.html")) if "_static" not in p.parts]
    known = json.loads(cache.read_text("utf-8")) if cache.is_file() else {}
    options = app.config.html_theme_options
    plain = plain_classes([options["pygments_light_style"], options["pygments_dark_style"]])
    uses, texts = {}, {}
    for path in pages:
        name, stat = path.relative_to(site).as_posix(), path.stat()
        stamp = [stat.st_mtime_ns, stat.st_size]
        if name in known and known[name]["stamp"] == stamp:
            uses[name] = PageUse(**known[name])
            continue
        texts[name] = unwrap_plain(path.read_text("utf-8"), plain)
        uses[name] = read_page(texts[name])
        if not uses[name].styles and name in known:  # 前の組み立てが、記録の前に止まった
            uses[name].styles, uses[name].scripts = known[name]["styles"], known[name]["scripts"]
    if not uses:
        return
    common, version = bundle(site / "_static", uses.values(), cache.with_suffix(".version"))
    for name, use in uses.items():
        path = site / name
        if name in texts or version != known.get("", {}).get("version"):
            html = texts.get(name) or path.read_text("utf-8")
            html = link_bundle(html, common, site / "_static", version)
            html = BUNDLED.sub(rf"\g<1>{version}", html)
            path.write_text(break_headings(adapt_figures(html, site)), "utf-8")
            use.stamp = [path.stat().st_mtime_ns, path.stat().st_size]
    saved = {name: asdict(use) for name, use in uses.items()}
    cache.write_text(json.dumps(saved | {"": {"version": version}}), "utf-8")
    lists = {name: {"styles": use.styles, "scripts": use.scripts} for name, use in uses.items()}
    (site / "_static" / "bundle" / "pages.json").write_text(json.dumps(lists), "utf-8")


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("build-finished", lighten, priority=800)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
