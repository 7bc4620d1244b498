"""本をEPUBにするSphinxの``epub``ビルダー。

電子書籍の端末には、JavaScriptも、開け閉めも、KaTeXのCSSもない。数式はMathMLにし、畳んだ部分は
開いたまま見せ、素材はこのパッケージの ``epub.css`` だけにする。
"""

import re
import shutil
from collections.abc import Set
from html import unescape
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.builders._epub_base import NavPoint
from sphinx.builders.epub3 import Epub3Builder
from sphinx.util.typing import ExtensionMetadata

from verified_book.cover import draw_cover

STYLE = Path(__file__).with_name("epub.css")
COVER = "_images/cover.png"
CODE_SUMMARY = re.compile(r"<summary>\s*<p class=\"collapsed.*?</summary>", re.DOTALL)
SUMMARY = re.compile(
    r'<summary.*?<span class="sd-summary-text">(.*?)</span>.*?</summary>', re.DOTALL
)
DETAILS = re.compile(r"<details\b[^>]*>")
REPEATED_ID = re.compile(r' id="(?:exercise|solution)-content"')
MANIFEST_ITEM = re.compile(
    r'<item id="[^"]+" href="([^"]+)" media-type="application/xhtml\+xml"(?= />)'
)


def unfold(page: str) -> str:
    """畳んだ部分を開いて見せ、EPUBでは誤りになる印を除いたページを返す。

    Examples
    --------
    >>> text = '<summary><span class="sd-summary-text">なぜ</span><svg/></summary>'
    >>> unfold(f"<details class='a'>{text}<p>答え</p></details>")
    '<div class="unfolded"><p class="unfolded-title">なぜ</p><p>答え</p></div>'
    """
    page = CODE_SUMMARY.sub("", page)
    page = SUMMARY.sub(r'<p class="unfolded-title">\1</p>', page)
    page = DETAILS.sub('<div class="unfolded">', page).replace("</details>", "</div>")
    return REPEATED_ID.sub("", page)


def declare_mathml(package: str, folder: Path) -> str:
    """目録（content.opf）に、MathMLのあるページと、表紙の画像を書き添える。"""

    def declare(found: re.Match[str]) -> str:
        has_math = "<math" in (folder / unescape(found[1])).read_text("utf-8")
        return found[0] + (' properties="mathml"' if has_math else "")

    cover = f'href="{COVER}"'
    package = package.replace(cover, f'{cover} properties="cover-image"')
    return MANIFEST_ITEM.sub(declare, package)


class EpubBuilder(Epub3Builder):
    """この本の章を、スクリプトのないEPUB 3にする。"""

    guide_titles = {"toc": "目次", "cover": "表紙"}  # noqa: RUF012  Sphinxの流儀

    def add_css_file(self, filename: str, **kwargs: object) -> None:
        """この本のCSSと、コードの配色だけを読み込む。"""
        if filename in (STYLE.name, "pygments.css"):
            super().add_css_file(filename, **kwargs)

    def add_js_file(self, filename: str, **kwargs: object) -> None:
        """スクリプトは、一つも読み込まない。"""

    def prepare_writing(self, docnames: Set[str]) -> None:
        super().prepare_writing(docnames)
        self.domain_indices = []  # モジュールの索引は、API一覧の章と同じ

    def get_refnodes(self, doctree: nodes.Node, result: list[dict]) -> list[dict]:
        """目次の項目。章の番号も書く。"""
        count = len(result)
        result = super().get_refnodes(doctree, result)
        if isinstance(doctree, nodes.reference) and len(result) > count:
            number = ".".join(map(str, doctree.get("secnumber") or ()))
            result[-1]["text"] = f"{number} {result[-1]['text']}".strip()
        return result

    def copy_static_files(self) -> None:
        self._static_dir.mkdir(parents=True, exist_ok=True)
        self.create_pygments_style_file()
        shutil.copy(STYLE, self._static_dir)
        cover = Path(self.outdir) / COVER
        cover.parent.mkdir(exist_ok=True)
        draw_cover(cover, Path(self.confdir) / "imgs" / "mnist.jpg")

    def handle_finish(self) -> None:
        for path in Path(self.outdir).rglob("*.xhtml"):
            path.write_text(unfold(path.read_text("utf-8")), "utf-8")
        super().handle_finish()

    def toc_metadata(self, level: int, navpoints: list[NavPoint]) -> dict[str, object]:
        return super().toc_metadata(level, navpoints) | {"uid": self.config.epub_identifier}

    def build_content(self) -> None:
        super().build_content()
        path = Path(self.outdir) / "content.opf"
        path.write_text(declare_mathml(path.read_text("utf-8"), path.parent), "utf-8")


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_builder(EpubBuilder, override=True)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
