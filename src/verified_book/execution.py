"""章のセルを実行し、結果を鍵ごとにファイルへ残すSphinx拡張。

``make html``、``make doctest``、``make accept`` が同じ結果を使うので、どのセルも一度しか動かない。
結果は一つの章に一つの ``.ipynb`` で、書き終えてから名前を変えるので、途中で止めても壊れない。
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from copy import deepcopy
from pathlib import Path

import nbformat
from filelock import FileLock
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

from verified_book import kernel
from verified_book.book import Book
from verified_book.cache_key import key
from verified_book.chapter import Chapter, Problem, parse

logger = logging.getLogger(__name__)
Report = Callable[[str], None]


def cached(book: Book, chapter: Chapter) -> nbformat.NotebookNode | None:
    """実行済みのノートブックを返す。まだなければNone。セルのない章は、そのまま返す。"""
    if not chapter.cells:
        return chapter.notebook
    path = _result_path(book, chapter)
    if not path.is_file():
        return None
    executed = nbformat.read(path, as_version=4)
    notebook = deepcopy(chapter.notebook)
    sources = [cell for cell in executed.cells if cell.cell_type == "code"]
    targets = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for target, source in zip(targets, sources, strict=True):
        target.outputs, target.execution_count = source.outputs, source.execution_count
    notebook.metadata["language_info"] = executed.metadata["language_info"]
    notebook.metadata["execution"] = executed.metadata["execution"]
    return notebook


def execute_all(book: Book, chapters: Iterable[Chapter], report: Report) -> list[Problem]:
    """結果のない章を、コアの数だけ並べて実行する。長い章から始める。

    Parameters
    ----------
    book : Book
        実行条件。
    chapters : iterable of Chapter
        書き方に誤りのある章は実行しない。
    report : callable
        進み具合を一行ずつ受け取る。

    Returns
    -------
    list of Problem
        実行できなかった章の誤り。
    """
    waiting = [c for c in chapters if c.cells and not c.problems and cached(book, c) is None]
    waiting.sort(key=lambda chapter: -chapter.budget)
    problems: list[Problem] = []
    if not waiting:
        return problems
    report(f"実行する章：{len(waiting)}")
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        running = {pool.submit(_execute_once, book, c, report): c for c in waiting}
        try:
            for done, future in enumerate(as_completed(running), 1):
                chapter = running[future]
                try:
                    seconds = future.result()
                    late = f"（目安の{chapter.budget:.0f}秒を超えました）" * (
                        seconds > chapter.budget
                    )
                    report(f"[{done}/{len(waiting)}] {chapter.name} {seconds:.1f}秒{late}")
                except kernel.ExecutionError as error:
                    problems.append(error.problem)
                    report(f"[{done}/{len(waiting)}] {chapter.name} 失敗")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            kernel.stop_all()
            raise
    return problems


def _result_path(book: Book, chapter: Chapter) -> Path:
    return book.root / book.cache / f"{key(book, chapter)}.ipynb"


def _execute_once(book: Book, chapter: Chapter, report: Report) -> float:
    """ほかのプロセスが同じ章を実行中なら、終わるのを待ってその結果を使う。"""
    path = _result_path(book, chapter)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.is_file():
            report(f"実行中：{chapter.name}（目安{chapter.budget:.0f}秒）")
            notebook = kernel.run(book, chapter)
            partial = path.with_suffix(f".{os.getpid()}.part")
            nbformat.write(notebook, partial)
            partial.replace(path)
        else:
            notebook = nbformat.read(path, as_version=4)
    return notebook.metadata["execution"]["seconds"]


def read(text: str, root: str) -> nbformat.NotebookNode:
    """MyST-NBに、出力の入ったノートブックを渡す（``nb_custom_formats`` から呼ばれる）。"""
    chapter = parse(Path("chapter.md"), "chapter.md", text)
    notebook = cached(Book.load(Path(root)), chapter)
    if notebook is None:  # 実行できなかった章も、セルはPythonのコードとして見せる
        notebook = chapter.notebook
        notebook.metadata["language_info"] = {"name": "python"}
    _correct_lines(notebook, text.splitlines())
    return notebook


def _correct_lines(notebook: nbformat.NotebookNode, lines: list[str]) -> None:
    """警告が指す行を正す。MyST-NBは、文章のセルの前で除いた空行を数え忘れ、一行下を指す。"""
    starts = notebook.metadata["source_map"]
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            while not lines[starts[index]].strip():
                starts[index] += 1
            starts[index] -= 1


def chapter_of(book: Book, document: str) -> Chapter | None:
    """ページの名前 ``document`` の章。なければNone。"""
    path = book.root / book.chapters / f"{document}.md"
    return parse(path, book.name(path)) if path.is_file() else None


def chapters_of(book: Book, env: BuildEnvironment | None = None) -> list[Chapter]:
    """本のすべての章を読む。``env`` を渡せば、組み立てるページだけにする。"""
    paths = book.chapter_paths()
    if env is not None:
        paths = [path for path in paths if env.path2doc(str(path)) in env.found_docs]
    return [parse(path, book.name(path)) for path in paths]


def _configure(app: Sphinx, config: object) -> None:
    app.config.nb_execution_mode = "off"
    app.config.nb_custom_formats = {
        ".md": ("verified_book.execution.read", {"root": str(app.confdir)}, False)
    }


def _execute_outdated(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """結果のない章を実行し、結果が変わった章を読み直すページとして返す。"""
    book = Book.load(Path(app.confdir))
    chapters = chapters_of(book, env)
    for problem in execute_all(book, chapters, lambda line: logger.info("%s", line)):
        logger.warning(problem.message, location=f"{problem.path}:{problem.line}")
    keys = {
        str(env.path2doc(str(c.path))): key(book, c) for c in chapters if c.cells and not c.problems
    }
    before = getattr(env, "verified_book_keys", {})
    env.verified_book_keys = keys
    return [name for name in keys if keys[name] != before.get(name)]


def setup(app: Sphinx) -> dict[str, object]:
    app.connect("config-inited", _configure, priority=100)
    app.connect("env-get-outdated", _execute_outdated, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
