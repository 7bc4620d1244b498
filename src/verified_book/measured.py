"""本文の数を、実行結果から埋め込むSphinx拡張。

セルで ``glue("mnist-accuracy", float(accuracy), display=False)`` とした値を、どのページからでも
``{measured}`start/mnist#mnist-accuracy:.2f``` で使う（同じ章なら章の名前を省ける）。
元の章の結果が変われば、値を使うページも読み直すので、古い数は残らない。
コマンドが測って書いたファイルの値は、``{recorded}`appendix/drawing.json#right``` で使う。
測ったのでない数は ``{given}`5 %``` と書く（:mod:`verified_book.naked_numbers`）。
"""

import ast
import json
import re
from pathlib import Path

import nbformat
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from verified_book.book import Book
from verified_book.cache_key import key
from verified_book.execution import cached, chapter_of

logger = logging.getLogger(__name__)
REFERENCE = re.compile(r"(?:([\w/.-]+)#)?([\w.-]+)(?::(.+))?")
GLUE = "application/papermill.record/text/plain"


class MeasuredError(Exception):
    """埋め込む値が見つからないか、書式が合わない。"""


def glued(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """``glue`` された値を、名前ごとにPythonの表記で返す。"""
    values = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            if name is not None:
                data = output.data
                values[name] = data.get(GLUE, data.get("text/plain", ""))
    return values


def value(book: Book, document: str, name: str, spec: str) -> str:
    """章 ``document`` の値 ``name`` を、書式 ``spec`` の文字列にする。

    Raises
    ------
    MeasuredError
        章か値がないか、値が書式に合わないとき。
    """
    return _formatted(_results(book, document)[1], document, name, spec)


def _results(book: Book, document: str) -> tuple[str, dict[str, str]]:
    """章の実行結果の鍵と、glueした値。"""
    chapter = chapter_of(book, document)
    notebook = cached(book, chapter) if chapter and not chapter.problems else None
    if chapter is None or notebook is None:
        raise MeasuredError(f"章「{document}」の実行結果がありません。")
    return key(book, chapter), glued(notebook)


def _formatted(values: dict[str, str], document: str, name: str, spec: str) -> str:
    if name not in values:
        known = "、".join(values) or "一つもありません"
        raise MeasuredError(f"章「{document}」に、glueされた値「{name}」がありません（{known}）。")
    try:
        return format(ast.literal_eval(values[name]), spec)
    except (ValueError, TypeError, SyntaxError) as error:
        raise MeasuredError(
            f"値「{name}」（{values[name]}）を書式「{spec}」で表せません。"
            "glueするときにfloatかintかstrにしてください。"
        ) from error


class Measured(SphinxRole):
    """``{measured}`章#名前:書式```。"""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        found = REFERENCE.fullmatch(self.text)
        try:
            if found is None:
                raise MeasuredError(f"「{self.text}」は「章#名前:書式」の形ではありません。")
            document, name, spec = found.groups()
            document = document or self.env.docname
            # 一つのページが何度使っても、章は一度だけ読む
            results = self.env.temp_data.setdefault("verified_book.measured", {})
            if document not in results:
                results[document] = _results(Book.load(Path(self.env.app.confdir)), document)
            used, values = results[document]
            text = _formatted(values, document, name, spec or "")
        except MeasuredError as error:
            logger.warning(str(error), location=self.get_location(), type="verified_book")
            return [], []
        uses = self.env.metadata[self.env.docname].setdefault("measured", {})
        uses[document] = used
        return [nodes.inline("", text, classes=["measured"])], []


class Recorded(SphinxRole):
    """``{recorded}`ファイル#名前:書式```：コマンドが測って書いたJSONの値。"""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        try:
            text = self._value()
        except MeasuredError as error:
            logger.warning(str(error), location=self.get_location(), type="verified_book")
            return [], []
        return [nodes.inline("", text, classes=["measured"])], []

    def _value(self) -> str:
        found = REFERENCE.fullmatch(self.text)
        if found is None or found[1] is None:
            raise MeasuredError(f"「{self.text}」は「ファイル#名前:書式」の形ではありません。")
        name, field, spec = found.groups()
        relative, path = self.env.relfn2path(f"/{name}")
        self.env.note_dependency(relative)
        try:
            record = json.loads(Path(path).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise MeasuredError(f"測った値のファイル「{name}」を読めません。") from error
        if field not in record:
            raise MeasuredError(f"「{name}」に、値「{field}」がありません（{'、'.join(record)}）。")
        try:
            return format(record[field], spec or "")
        except (ValueError, TypeError) as error:
            raise MeasuredError(f"値「{field}」を書式「{spec}」で表せません。") from error


def _outdated(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """使っている値の章が実行し直されたページを返す。"""
    book = Book.load(Path(app.confdir))
    stale = []
    for page in env.found_docs:
        for document, used in env.metadata[page].get("measured", {}).items():
            chapter = chapter_of(book, document)
            if chapter is None or key(book, chapter) != used:
                stale.append(page)
    return stale


def setup(app: Sphinx) -> dict[str, object]:
    app.setup_extension("verified_book.execution")
    app.add_role("measured", Measured())
    app.add_role("recorded", Recorded())
    app.add_generic_role("given", nodes.inline)
    app.connect("env-get-outdated", _outdated, priority=500)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
