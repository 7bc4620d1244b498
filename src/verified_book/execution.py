"""章のセルを実行し、結果を鍵ごとにファイルへ残すSphinx拡張。

``make html``、``make doctest``、``make accept`` が同じ結果を使うので、どのセルも一度しか動かない。
結果は一つの章に一つの ``.ipynb`` で、書き終えてから名前を変えるので、途中で止めても壊れない。
"""

import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path

import nbformat
from filelock import FileLock
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from traitlets.config import Config

from verified_book.book import Book
from verified_book.cache_key import key, versions
from verified_book.chapter import Chapter, Problem, parse

logger = logging.getLogger(__name__)
KERNEL_CONFIG = Path(__file__).with_name("kernel_config.py")
HARD_LIMIT = 5  # 目安の何倍で誤りとするか
ANSI = re.compile(r"\x1b\[[0-9;]*m")
Report = Callable[[str], None]


class ExecutionError(Exception):
    """セルを最後まで実行できなかった。"""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


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
                except ExecutionError as error:
                    problems.append(error.problem)
                    report(f"[{done}/{len(waiting)}] {chapter.name} 失敗")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            _stop_kernels()
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
            notebook = _execute(book, chapter)
            partial = path.with_suffix(f".{os.getpid()}.part")
            nbformat.write(notebook, partial)
            partial.replace(path)
        else:
            notebook = nbformat.read(path, as_version=4)
    return notebook.metadata["execution"]["seconds"]


_clients: set[NotebookClient] = set()


def _stop_kernels() -> None:
    for client in list(_clients):
        if client.km is not None and client.km.has_kernel:
            client.km.provisioner.process.kill()


def _execute(book: Book, chapter: Chapter) -> nbformat.NotebookNode:
    notebook = deepcopy(chapter.notebook)
    for cell in chapter.cells:
        if cell.raises:
            notebook.cells[cell.index].metadata["tags"] = ["raises-exception"]
    started, begin = datetime.now(UTC), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="book-", ignore_cleanup_errors=True) as folder:
        work = Path(folder) / "work"
        work.mkdir()
        for name in book.inputs:
            if (book.root / name).exists():
                (work / name).symlink_to(book.root / name)
        runtime = Path(folder) / "ipython"
        client = NotebookClient(
            notebook,
            timeout=int(HARD_LIMIT * chapter.budget) + 10,
            kernel_name="python3",
            extra_arguments=[f"--config={KERNEL_CONFIG}"],
            resources={"metadata": {"path": str(work)}},
            # TCPではなくファイルのソケットを使う：外から接続できず、警告も出ない
            config=Config(KernelManager={"transport": "ipc", "ip": str(Path(folder) / "kernel")}),
        )
        _clients.add(client)
        try:
            client.execute(env=_environment(book, runtime))
        except CellExecutionError as error:
            raise ExecutionError(_cell_problem(chapter, notebook, str(error))) from None
        except CellTimeoutError:
            limit = f"{HARD_LIMIT * chapter.budget:.0f}秒"
            raise ExecutionError(
                _cell_problem(chapter, notebook, f"セルが{limit}たっても終わりません。")
            ) from None
        except DeadKernelError:
            raise ExecutionError(
                _cell_problem(chapter, notebook, "カーネルが途中で終了しました（メモリ不足など）。")
            ) from None
        finally:
            _clients.discard(client)
        seconds = time.monotonic() - begin
        if seconds > HARD_LIMIT * chapter.budget:
            raise ExecutionError(
                Problem(
                    chapter.name,
                    1,
                    f"実行に{seconds:.0f}秒かかり、目安{chapter.budget:.0f}秒の{HARD_LIMIT}倍を超えました。"
                    "計算を減らすか、budgetを見直してください。",
                )
            )
        _hide_paths(notebook, {str(work): ".", str(book.root): "."})
    notebook.metadata["execution"] = {
        "seconds": round(seconds, 2),
        "date": started.date().isoformat(),
        "versions": versions(book),
    }
    return notebook


def _environment(book: Book, runtime: Path) -> dict[str, str]:
    paths = [str(book.root / book.sources), *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = str(book.threads)
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "IPYTHONDIR": str(runtime),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OMP_WAIT_POLICY": "passive",
        "PYTHONHASHSEED": "0",
        "SOURCE_DATE_EPOCH": "0",
        "TQDM_DISABLE": "1",
    }


def _cell_problem(chapter: Chapter, notebook: nbformat.NotebookNode, message: str) -> Problem:
    """最後に動いたセルの場所に誤りを置く。"""
    ran = [cell for cell in chapter.cells if notebook.cells[cell.index].execution_count is not None]
    where = ran[-1] if ran else chapter.cells[0]
    for output in notebook.cells[where.index].outputs:
        if output.output_type == "error":
            message = "セルが例外で止まりました。\n" + ANSI.sub("", "\n".join(output.traceback))
    return Problem(chapter.name, where.line, message)


def _hide_paths(notebook: nbformat.NotebookNode, places: dict[str, str]) -> None:
    """出力から、この機械にしかないフォルダーの名前を消す。"""
    packages = re.compile(rf"{re.escape(sys.prefix)}/lib/python[\d.]+/site-packages/")

    def shorten(text: str) -> str:
        text = packages.sub("", text)
        for place, short in places.items():
            text = text.replace(place, short)
        return text

    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                output.text = shorten(output.text)
            elif output.output_type == "error":
                output.evalue = shorten(output.evalue)
                output.traceback = [shorten(line) for line in output.traceback]
            elif isinstance(output.data.get("text/plain"), str):
                output.data["text/plain"] = shorten(output.data["text/plain"])


def read(text: str, root: str) -> nbformat.NotebookNode:
    """MyST-NBに、出力の入ったノートブックを渡す（``nb_custom_formats`` から呼ばれる）。"""
    chapter = parse(Path("chapter.md"), "chapter.md", text)
    notebook = cached(Book.load(Path(root)), chapter)
    if notebook is None:  # 実行できなかった章も、セルはPythonのコードとして見せる
        notebook = chapter.notebook
        notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def chapters_of(book: Book) -> list[Chapter]:
    """本のすべての章を読む。"""
    return [parse(path, book.name(path)) for path in book.chapter_paths()]


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
    chapters = chapters_of(book)
    for problem in execute_all(book, chapters, lambda line: logger.info("%s", line)):
        logger.warning(problem.message, location=f"{problem.path}:{problem.line}")
    keys = {
        str(env.path2doc(str(c.path))): key(book, c) for c in chapters if c.cells and not c.problems
    }
    before = getattr(env, "verified_book_keys", {})
    env.verified_book_keys = keys
    return [name for name in keys if keys[name] != before.get(name) and name in env.found_docs]


def setup(app: Sphinx) -> dict[str, object]:
    app.connect("config-inited", _configure, priority=100)
    app.connect("env-get-outdated", _execute_outdated, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
