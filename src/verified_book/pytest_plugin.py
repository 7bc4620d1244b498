"""本文とdocstringの例を、``docs/start/tensor.md:42`` という名前のテストにするpytestプラグイン。

セルは実行結果（なければここで実行する）と比べ、``>>>`` の例はsybilで動かす。規則はどちらも同じ。
"""

import doctest
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from sybil import Document, Example, Region, Sybil
from sybil.document import PythonDocStringDocument
from sybil.evaluators.doctest import DocTestEvaluator
from sybil.example import SybilFailure
from sybil.integration.pytest import SybilFile, SybilItem
from sybil.parsers.abstract.doctest import DocTestStringParser
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer

from verified_book.book import Book
from verified_book.chapter import Cell, Chapter, Problem, parse
from verified_book.compare import compare, diff
from verified_book.execution import cached, execute_all
from verified_book.expectations import check


class _Checker(doctest.OutputChecker):
    """``>>>`` の例も、セルと同じ規則で比べる。"""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return compare(want.replace("<BLANKLINE>", ""), got) is not None

    def output_difference(self, example: doctest.Example, got: str, optionflags: int) -> str:
        return f"出力が期待値と一致しません。\n{diff(example.want, got)}\n"


def _evaluator() -> DocTestEvaluator:
    evaluator = DocTestEvaluator()
    evaluator.runner._checker = _Checker()
    return evaluator


class _CellExamples:
    """章のセルと書き方の誤りを、sybilの例として並べる。"""

    def __init__(self, book: Book, chapters: dict[str, Chapter], failures: list[Problem]) -> None:
        self.book, self.chapters, self.failures = book, chapters, failures

    def __call__(self, document: Document) -> Iterable[Region]:
        path = Path(document.path)
        chapter = parse(path, self.book.name(path))
        self.chapters[document.path] = chapter
        starts = [0]
        for line in document.text.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        found: dict[int, Cell | Problem] = {problem.line: problem for problem in chapter.problems}
        for cell in chapter.cells:
            found.setdefault(cell.expectation.line if cell.expectation else cell.line, cell)
        for line, parsed in sorted(found.items()):
            yield Region(starts[line - 1], starts[line - 1], parsed, self.evaluate)

    def evaluate(self, example: Example) -> str | None:
        if isinstance(example.parsed, Problem):
            return example.parsed.message
        chapter = self.chapters[example.path]
        if chapter.problems:
            return "章の書き方に誤りがあるので、実行していません。"
        notebook = cached(self.book, chapter)
        if notebook is None:
            messages = [p.message for p in self.failures if p.path == chapter.name]
            return "\n".join(messages) or "章を実行できませんでした。"
        return check(example.parsed, notebook.cells[example.parsed.index])


class _FencedExamples:
    """```` ```python ```` の囲みの中の ``>>>`` の例。"""

    def __call__(self, document: Document) -> Iterable[Region]:
        lexer = FencedCodeBlockLexer(language=r"(?:python|py|pycon)", mapping={"source": "source"})
        parser = DocTestStringParser(_evaluator())
        for lexed in lexer(document):
            source = lexed.lexemes["source"]
            for region in parser(source, document.path):
                region.adjust(lexed, source)
                yield region


class _DocstringExamples:
    def __call__(self, document: Document) -> Iterable[Region]:
        return DocTestStringParser(_evaluator())(document.text, document.path)


class ExampleItem(SybilItem):
    """一つの例。名前も失敗の報告も、``docs/start/tensor.md:42`` という場所から始まる。"""

    @property
    def id(self) -> Any:
        """pytestの ``ファイル::名前`` の代わりに、エディターで開ける ``ファイル:行`` を使う。"""
        return type(self.parent.id)(path=f"{self.parent.nodeid}:{self.example.line}")

    @property
    def nodeid(self) -> str:
        return str(self.id)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.example.line - 1, f"{self.path.name} {self.example.line}行目"

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, SybilFailure):
            return f"{self.nodeid}: {excinfo.value.result}"
        return super().repr_failure(excinfo, style)


class ExampleFile(SybilFile):
    """章かモジュールの、すべての例。"""

    def collect(self) -> Iterable[ExampleItem]:
        for sybil in self.sybils:
            document = sybil.parse(self.path)
            self.documents.append(document)
            for example in document.examples():
                yield ExampleItem.from_parent(self, sybil=sybil, example=example)


class VerifiedBook:
    """例を集め、選ばれた章だけを実行する。"""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.chapters: dict[str, Chapter] = {}
        self.failures: list[Problem] = []
        chapters = Sybil(
            parsers=[_CellExamples(book, self.chapters, self.failures), _FencedExamples()],
            path=str(book.root / book.chapters),
            patterns=["*.md"],
        )
        library = Sybil(
            parsers=[_DocstringExamples()],
            path=str(book.root / book.sources),
            patterns=["*.py"],
            document_types={".py": PythonDocStringDocument},
        )
        self.sybils = [chapters, library]

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> ExampleFile | None:
        sybils = [sybil for sybil in self.sybils if sybil.should_parse(file_path)]
        if not sybils or "node_modules" in file_path.parts:
            return None
        return ExampleFile.from_parent(parent, path=file_path, sybils=sybils)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if session.config.option.collectonly:
            return
        paths = {i.example.path for i in session.items if isinstance(i, ExampleItem)}
        selected = [self.chapters[path] for path in sorted(paths & self.chapters.keys())]
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        report = reporter.write_line if reporter else print
        self.failures += execute_all(self.book, selected, report)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(VerifiedBook(Book.load(config.rootpath)), "verified_book")
