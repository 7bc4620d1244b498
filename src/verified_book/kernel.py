"""章のセルを、新しいカーネルで上から順に動かす。"""

import os
import platform
import re
import sys
import tempfile
import time
from copy import deepcopy
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from traitlets.config import Config

from verified_book.book import Book
from verified_book.chapter import Chapter, Problem

CONFIG = Path(__file__).with_name("kernel_config.py")
HARD_LIMIT = 5  # 目安の何倍で誤りとするか
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class ExecutionError(Exception):
    """セルを最後まで実行できなかった。"""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


_clients: set[NotebookClient] = set()


def stop_all() -> None:
    for client in list(_clients):
        if client.km is not None and client.km.has_kernel:
            client.km.provisioner.process.kill()


def run(book: Book, chapter: Chapter) -> nbformat.NotebookNode:
    """セルを動かし、出力と実行の条件を入れたノートブックを返す。

    作業フォルダーは新しい一時フォルダーで、``book.inputs`` だけが見える。

    Raises
    ------
    ExecutionError
        セルが例外で止まったか、目安の5倍の時間を超えたか、カーネルが落ちたとき。
    """
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
            extra_arguments=[f"--config={CONFIG}"],
            coalesce_streams=True,  # 送られ方によらず、printの出力を一続きにする
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
        "processor": processor(),
        "threads": book.threads,
        "versions": versions(book),
    }
    return notebook


def versions(book: Book) -> dict[str, str]:
    """結果を左右する配布パッケージの版。"""
    return {"python": platform.python_version(), **{name: version(name) for name in book.versions}}


def processor() -> str:
    """プロセッサーの種類。分からなければ命令セットの名前。"""
    try:
        found = re.search(
            r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE
        )
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


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
        # 待つ間に回る回数。既定では、2つの章が並ぶと互いを待って8倍遅くなり、
        # 0では、ひとつの章が1割遅くなる
        "GOMP_SPINCOUNT": "10000",
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
