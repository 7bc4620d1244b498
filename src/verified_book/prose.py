"""原稿から、読者が読む文章を行番号とともに取り出す。コード、数式、役割の中は除く。"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.front_matter import front_matter_plugin
from mdit_py_plugins.myst_role import myst_role_plugin

PLUGINS = (
    colon_fence_plugin,
    deflist_plugin,
    dollarmath_plugin,
    front_matter_plugin,
    myst_role_plugin,
)


@dataclass(frozen=True)
class Heading:
    """見出し。`level`は`#`の数。"""

    line: int
    level: int
    title: str


@dataclass(frozen=True)
class Paragraph:
    """段落か項目。`section`は、その上にある段階2の見出し。"""

    line: int
    token: Token
    section: str

    @property
    def text(self) -> str:
        """コード、数式、役割を除いた文章。"""
        return "".join(c.content for c in self.token.children or () if c.type == "text")


@dataclass(frozen=True)
class Page:
    """一つの原稿。"""

    name: str
    is_chapter: bool
    headings: list[Heading]
    paragraphs: list[Paragraph]
    fences: list[tuple[int, Token]]


def read(name: str, text: str) -> Page:
    """原稿を読む。コロンの囲みの中も、文章として読む。"""
    page = Page(name, _front_matter(text).get("file_format") == "mystnb", [], [], [])
    heading, section = 0, ""
    for line, token in _tokens(text, 1):
        if token.type == "heading_open":
            heading = int(token.tag[1])
        elif token.type == "inline" and heading:
            page.headings.append(Heading(line, heading, token.content))
            section = token.content if heading == 2 else section
            heading = 0
        elif token.type == "inline":
            page.paragraphs.append(Paragraph(line, token, section))
        elif token.type in ("fence", "colon_fence"):
            page.fences.append((line, token))
    return page


def _tokens(text: str, first: int) -> Iterator[tuple[int, Token]]:
    markdown = MarkdownIt("commonmark").enable("table")
    for plugin in PLUGINS:
        markdown.use(plugin)
    for token in markdown.parse(text):
        line = first + (token.map[0] if token.map else 0)
        yield line, token
        if token.type == "colon_fence" and not token.info.startswith("{glossary}"):
            yield from _tokens(_without_options(token.content), line + 1)


def _without_options(content: str) -> str:
    """ディレクティブの先頭の選択肢を、行の数を変えずに消す。"""
    options = re.match(r"(?::[\w-]+:.*\n)*", content)[0]
    return "\n" * options.count("\n") + content[len(options) :]


def _front_matter(text: str) -> dict:
    for _, token in _tokens(text, 1):
        if token.type == "front_matter":
            return yaml.safe_load(token.content) or {}
        break
    return {}
