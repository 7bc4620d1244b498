"""セルの出力を、すぐ下の ``{expect}`` と比べるSphinx拡張。

出力のあるセルには、期待値か、検証しない理由が必ず要る。比べる規則は :mod:`verified_book.compare`。
どの章も組み立てのたびに比べるので、誤りのある本は、直すまで何度組み立てても失敗する。
``{exemptions}`` は、検証しないセルの一覧と、検証した例の数をページに載せる。
``{verified}`examples``` は、検証した例の数だけを文の中に書く。
"""

import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import nbformat
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from verified_book.book import Book
from verified_book.chapter import EXEMPTIONS, Cell, Chapter, Problem
from verified_book.compare import compare, diff
from verified_book.execution import cached, chapters_of
from verified_book.fingerprint import data_fingerprint, fingerprint
from verified_book.interactive_figures import DATA
from verified_book.measured import GLUE, glued
from verified_book.naked_numbers import naked_numbers

logger = logging.getLogger(__name__)
ANSI = re.compile(r"\x1b\[[0-9;]*m")
ENOUGH = 0.5  # 期待値が定めるべき、出力の割合
EXEMPT_SHARE = 0.05  # 検証しないセルの上限


@dataclass(frozen=True)
class Exemption:
    """検証しないセル。"""

    path: str
    line: int
    kind: str
    reason: str


@dataclass(frozen=True)
class Result:
    """一つの章を比べた結果。"""

    chapter: Chapter
    problems: list[Problem]
    exemptions: list[Exemption]
    verified: int


def output_text(node: nbformat.NotebookNode) -> str:
    """セルが示したもの：print、最後の式の値、例外、図の指紋、``glue`` した値を、順に並べた文字。"""
    parts = []
    for output in node.outputs:
        if output.output_type == "stream" and output.name == "stdout":
            parts.append(output.text)
        elif output.output_type == "error":
            parts.append(f"{output.ename}: {output.evalue}\n")
        elif _is_figure(output):
            parts.append(f"図 {fingerprint(output.data['image/svg+xml'])}\n")
        elif name := output.get("metadata", {}).get("scrapbook", {}).get("name"):
            parts.append(f"{name} = {output.data.get(GLUE, '')}\n")
        elif found := DATA.fullmatch(output.get("data", {}).get("text/html", "")):
            parts.append(f"動かせる図 {found['kind']} {data_fingerprint(found['data'])}\n")
        elif output.output_type in ("execute_result", "display_data"):
            parts.append(output.data.get("text/plain", "") + "\n")
    return ANSI.sub("", "".join(parts)).strip("\n")


def _is_figure(output: nbformat.NotebookNode) -> bool:
    return any(kind.startswith("image/") for kind in output.get("data", {}))


def verify(chapter: Chapter, notebook: nbformat.NotebookNode) -> Result:
    """章のすべてのセルを、期待値と比べる。"""
    problems: list[Problem] = []
    exemptions: list[Exemption] = []
    verified = 0
    for cell in chapter.cells:
        message = check(cell, notebook.cells[cell.index])
        if message:
            line = cell.expectation.line if cell.expectation else cell.line
            problems.append(Problem(chapter.name, line, message))
        elif exemption := _exemption(chapter, cell, notebook.cells[cell.index]):
            exemptions.append(exemption)
        elif cell.expectation:
            verified += 1
    outputs = (output_text(notebook.cells[cell.index]) for cell in chapter.cells)
    shown = re.sub(
        r"(?m)^(?:動かせる)?図 .*", "", "\n".join(outputs)
    )  # 指紋は、読者の目に触れる数ではない
    problems += naked_numbers(chapter, shown, _numbers(notebook))
    return Result(chapter, problems, exemptions, verified)


def _numbers(notebook: nbformat.NotebookNode) -> list[float]:
    """``glue`` された値のうち、数。"""
    found = []
    for text in glued(notebook).values():
        with suppress(ValueError):
            found.append(float(text))
    return found


def check(cell: Cell, node: nbformat.NotebookNode) -> str | None:
    """一つのセルを比べ、誤りがあれば、それを説明する文を返す。"""
    text = output_text(node)
    for output in node.outputs:
        if output.output_type == "stream" and output.name == "stderr":
            return (
                f"標準エラーに出力があります。警告の原因を直してください。\n{output.text.strip()}"
            )
        image = cell.options.get("mystnb", {}).get("image", {})
        if _is_figure(output) and not str(image.get("alt", "")).strip():
            return "図に代替テキスト（mystnb: image: alt）がありません。見えるものを書きます。"
    raised = [output.ename for output in node.outputs if output.output_type == "error"]
    if cell.raises and raised != [cell.raises]:
        happened = f"{raised[0]}が起きました" if raised else "何も起きませんでした"
        return f"{cell.raises}が起きるはずのセルで、{happened}。"
    if cell.expectation is None:
        if text:
            return f"出力に期待値がありません。make acceptで書き込めます。\n{diff('', text)}"
        return None
    if cell.expectation.exempt:
        return None
    if compare(cell.expectation.text, text) is None:
        return f"出力が期待値と一致しません。\n{diff(cell.expectation.text, text)}"
    return None


def _exemption(chapter: Chapter, cell: Cell, node: nbformat.NotebookNode) -> Exemption | None:
    if cell.expectation is None:
        return None
    line = cell.expectation.line
    if kind := cell.expectation.exempt:
        return Exemption(chapter.name, line, EXEMPTIONS[kind], cell.expectation.reason)
    share = compare(cell.expectation.text, output_text(node))
    if share is not None and share < ENOUGH:
        reason = f"期待値が出力の{share:.0%}しか定めていない。"
        return Exemption(chapter.name, line, "省略の多い期待値", reason)
    return None


def verify_book(book: Book, env: BuildEnvironment | None = None) -> list[Result]:
    """実行済みの章をすべて比べる。書き方の誤りも結果に含める。"""
    results = []
    for chapter in chapters_of(book, env):
        notebook = None if chapter.problems else cached(book, chapter)
        if notebook is None:
            results.append(Result(chapter, list(chapter.problems), [], 0))
        else:
            results.append(verify(chapter, notebook))
    return results


def too_many_exemptions(results: list[Result]) -> str | None:
    """検証しないセルが本全体の5 %を超えていれば、それを説明する文を返す。"""
    cells = sum(len(result.chapter.cells) for result in results)
    exemptions = [exemption for result in results for exemption in result.exemptions]
    if len(exemptions) <= EXEMPT_SHARE * cells:
        return None
    places = "、".join(f"{e.path}:{e.line}" for e in exemptions)
    counts = f"{cells}のうち{len(exemptions)}"
    return f"検証しないセルが{counts}あり、{EXEMPT_SHARE:.0%}を超えています：{places}"


class Expect(SphinxDirective):
    """期待値。ページには実際の出力が載るので、何も表示しない。"""

    has_content = True
    option_spec = {"exempt": directives.unchanged}  # noqa: RUF012  docutilsの流儀

    def run(self) -> list[nodes.Node]:
        return []


class Exemptions(SphinxDirective):
    """検証した例の数と、検証しないセルの一覧。"""

    def run(self) -> list[nodes.Node]:
        results = verify_book(Book.load(Path(self.env.app.confdir)), self.env)
        cells = sum(len(result.chapter.cells) for result in results)
        verified = sum(result.verified for result in results)
        exemptions = [exemption for result in results for exemption in result.exemptions]
        summary = (
            f"本文のセルは{cells}個あり、出力があるのは{verified + len(exemptions)}個です。"
            f"そのうち{verified}個は、出力が期待値と一致することを確かめています。"
            f"検証しないセルは{len(exemptions)}個です。"
        )
        blocks: list[nodes.Node] = [nodes.paragraph("", summary)]
        if exemptions:
            items = [
                nodes.list_item(
                    "",
                    nodes.paragraph(
                        "",
                        "",
                        nodes.literal("", f"{e.path}:{e.line}"),
                        nodes.Text(f" {e.kind}：{e.reason}"),
                    ),
                )
                for e in exemptions
            ]
            blocks.append(nodes.bullet_list("", *items))
        self.env.metadata[self.env.docname]["verified_book_exemptions"] = True
        return blocks


class Verified(SphinxRole):
    """``{verified}`examples```：本全体で検証した例の数。"""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        if self.text != "examples":
            message = f"{{verified}}に書けるのはexamplesだけで、「{self.text}」ではありません。"
            logger.warning(message, location=self.get_location(), type="verified_book")
            return [], []
        results = verify_book(Book.load(Path(self.env.app.confdir)), self.env)
        self.env.metadata[self.env.docname]["verified_book_exemptions"] = True
        return [nodes.Text(f"{sum(result.verified for result in results):,}")], []


def _compare_all(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """すべての章を比べ、一覧の内容が変われば、一覧を載せたページを読み直す。"""
    results = verify_book(Book.load(Path(app.confdir)), env)
    for problem in (problem for result in results for problem in result.problems):
        logger.warning(
            problem.message, location=f"{problem.path}:{problem.line}", type="verified_book"
        )
    if message := too_many_exemptions(results):
        logger.warning(message, type="verified_book")
    summary = [(r.chapter.name, len(r.chapter.cells), r.verified, r.exemptions) for r in results]
    digest = hashlib.sha256(repr(summary).encode()).hexdigest()
    if digest == getattr(env, "verified_book_summary", None):
        return []
    env.verified_book_summary = digest
    pages = (name for name, data in env.metadata.items() if "verified_book_exemptions" in data)
    return [name for name in pages if name in env.found_docs]


def setup(app: Sphinx) -> dict[str, object]:
    app.setup_extension("verified_book.execution")
    app.add_directive("expect", Expect)
    app.add_directive("exemptions", Exemptions)
    app.add_role("verified", Verified())
    app.connect("env-get-outdated", _compare_all, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
