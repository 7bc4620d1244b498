"""検索と共有のための情報を、ページの頭に書くSphinx拡張。

題、説明、番地、見本の画像（Open Graph）と、本と章の構造化データ（schema.org）を書く。
サイトの地図 ``sitemap.xml`` も書く。
見本の画像は、章の題を日本語の書体で描いて ``_static/cards/`` に置く。
"""

import hashlib
import json
from html import escape
from pathlib import Path

import matplotlib_fontja
from docutils import nodes
from PIL import Image, ImageDraw, ImageFont
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from verified_book.headings import phrases

FONT = Path(matplotlib_fontja.__file__).parent / "fonts/ipaexg.ttf"
WIDTH, HEIGHT, EDGE = 1200, 630, 80  # Open Graphの見本の大きさ（画素）
PAPER, INK, FAINT = "#ffffff", "#1f2933", "#5b6875"
BLUE, PALE, PALEST, ORANGE = "#0072b2", "#73b2d5", "#b2d5e8", "#d55e00"
MARK = (BLUE, PALE, PALEST, PALE, ORANGE, PALE, PALEST, PALE, BLUE)  # mark.svgと同じ
FOLDER = "_static/cards"


def card(title: str, subtitle: str) -> Image.Image:
    """題と本の名前を書いた、横1200、縦630画素の画像。

    Examples
    --------
    >>> card("形の操作", "動かして学ぶPyTorch入門").size
    (1200, 630)
    """
    image = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    pen = ImageDraw.Draw(image)
    for index, color in enumerate(MARK):
        x, y = EDGE + 40 * (index % 3), EDGE + 40 * (index // 3)
        pen.rounded_rectangle((x, y, x + 31, y + 31), 6, color)
    size, lines = 96, [title]
    while size > 48:
        lines = _lines(title, ImageFont.truetype(FONT, size))
        if len(lines) <= 2:
            break
        size -= 8
    font = ImageFont.truetype(FONT, size)
    top = HEIGHT // 2 - (len(lines) - 1) * size * 0.7
    for number, line in enumerate(lines):
        pen.text((EDGE, top + number * size * 1.4), line, INK, font, anchor="lm")
    pen.text((EDGE, HEIGHT - EDGE), subtitle, FAINT, ImageFont.truetype(FONT, 40), anchor="ls")
    return image


def _lines(text: str, font: ImageFont.FreeTypeFont) -> list[str]:
    """文節の切れ目で折り返した行。"""
    lines = [""]
    for phrase in phrases(text):
        if lines[-1] and font.getlength(lines[-1] + phrase) > WIDTH - 2 * EDGE:
            lines.append("")
        lines[-1] += phrase
    return lines


def _card_address(app: Sphinx, page: str, title: str, subtitle: str) -> str:
    """見本の画像を（なければ）描き、サイトの中の番地を返す。"""
    code = Path(__file__).read_bytes() + repr((title, subtitle)).encode()
    name = f"{page.replace('/', '-')}-{hashlib.sha256(code).hexdigest()[:8]}.png"
    path = Path(app.outdir) / FOLDER / name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        card(title, subtitle).quantize(64).save(path, optimize=True)
    return f"{FOLDER}/{name}"


def describe(
    app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None
) -> None:
    """ページの頭に書くものを、テンプレートの ``metatags`` に加える。"""
    if doctree is None or app.builder.name != "html":
        return
    book = app.config.html_title
    main = app.env.titles[app.config.root_doc].astext()
    title = app.env.titles[page].astext()
    found = (meta.get("content") for meta in doctree.findall(nodes.meta) if meta.get("name"))
    description = next(found, "")
    site = app.config.html_baseurl
    address = f"{site}{page}.html"
    subtitle = f"{main}　{book}" if page != app.config.root_doc else book
    picture = site + _card_address(app, page, title, subtitle)
    tags = {
        "og:type": "book" if page == app.config.root_doc else "article",
        "og:site_name": main,
        "og:locale": "ja_JP",
        "og:title": title,
        "og:description": description,
        "og:url": address,
        "og:image": picture,
        "og:image:width": str(WIDTH),
        "og:image:height": str(HEIGHT),
        "og:image:alt": f"{title}：{subtitle}",
    }
    lines = [f'<meta property="{name}" content="{escape(text)}">' for name, text in tags.items()]
    lines.append('<meta name="twitter:card" content="summary_large_image">')
    data = _structured(app, page, title, description, address)
    if data:
        text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
        lines.append(f'<script type="application/ld+json">{text}</script>')
    context["metatags"] = context.get("metatags", "") + "\n".join(lines) + "\n"


def _structured(app: Sphinx, page: str, title: str, description: str, address: str) -> dict | None:
    """本の表紙には本の、番号のある章には章の、schema.orgのデータ。"""
    root, site = app.config.root_doc, app.config.html_baseurl
    book = {"@type": "Book", "name": app.env.titles[root].astext(), "url": f"{site}{root}.html"}
    common = {"@context": "https://schema.org", "inLanguage": app.config.language}
    if page == root:
        chapters = [
            {"@type": "Chapter", "name": app.env.titles[name].astext(), "url": f"{site}{name}.html"}
            for name in sorted(app.env.toc_secnumbers, key=lambda name: _number(app, name))
            if _number(app, name)
        ]
        return {
            **common,
            **book,
            "description": description,
            "bookFormat": "https://schema.org/EBook",
            "isAccessibleForFree": True,
            "license": app.config.sharing_license,
            "publisher": {"@type": "Organization", "name": app.config.sharing_publisher},
            "hasPart": chapters,
        }
    if not _number(app, page):
        return None
    return {
        **common,
        "@type": "Chapter",
        "name": title,
        "position": _number(app, page),
        "description": description,
        "url": address,
        "isPartOf": book,
    }


def _number(app: Sphinx, page: str) -> int:
    """章の番号。章でなければ0。"""
    return (app.env.toc_secnumbers.get(page, {}).get("") or (0,))[0]


def write_map(app: Sphinx, exception: Exception | None) -> None:
    """すべてのページの番地を ``sitemap.xml`` に並べる。"""
    if exception or app.builder.name != "html":
        return
    pages = (f"{app.config.html_baseurl}{page}.html" for page in sorted(app.env.found_docs))
    lines = "".join(f"<url><loc>{escape(address)}</loc></url>\n" for address in pages)
    head = '<?xml version="1.0" encoding="utf-8"?>\n'
    space = "http://www.sitemaps.org/schemas/sitemap/0.9"
    text = f'{head}<urlset xmlns="{space}">\n{lines}</urlset>\n'
    (Path(app.outdir) / "sitemap.xml").write_text(text, "utf-8")


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_config_value("sharing_publisher", "", "html", types=str)
    app.add_config_value("sharing_license", "", "html", types=str)
    app.connect("html-page-context", describe)
    app.connect("build-finished", write_map)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
