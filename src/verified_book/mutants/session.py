"""章のセルを、カーネルを起動せずにこのプロセスで動かす。出力の形はカーネルと同じ。"""

import ast
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path

from nbformat import NotebookNode, v4

from verified_book import kernel
from verified_book.book import Book
from verified_book.chapter import Cell
from verified_book.compare import compare, normalize
from verified_book.expectations import check


class _Printed(io.StringIO):
    """表示が期待値から外れたら、セルの終わりを待たずに止める。長い学習を最後まで待たないため。"""

    def __init__(self, expected: str | None) -> None:
        super().__init__()
        self.lines = None if expected is None else normalize(expected).split("\n")

    def write(self, text: str) -> int:
        written = super().write(text)
        if self.lines and "\n" in text:
            printed = self.getvalue().rstrip("\n").split("\n")
            beginning = "\n".join(self.lines[: len(printed)])
            if len(printed) < len(self.lines) and compare(beginning, "\n".join(printed)) is None:
                raise RuntimeError("期待値と違う行が表示されました。")
        return written


def prepare(book: Book, folder: Path) -> None:
    """このプロセスを、章を動かす環境にする。子プロセスの中で、torchを読み込む前に呼ぶ。"""
    os.environ.update(kernel._environment(book, folder / "ipython"))
    # スレッドを作ったプロセスは複製できないので、計算は1スレッドのCPUで行う
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")
    sys.path.insert(0, str(book.root / book.sources))
    sys.path.insert(0, "")  # カーネルと同じく、セルが作業フォルダーに書いたモジュールも読み込める
    sys.dont_write_bytecode = True
    work = folder / "work"
    work.mkdir(parents=True)
    for name in book.inputs:
        if (book.root / name).exists():
            (work / name).symlink_to((book.root / name).resolve())
    os.chdir(work)


@contextmanager
def own_folder() -> Iterator[None]:
    """作業フォルダーを写して移る。複製したプロセスどうしが、同じファイルに書かないため。"""
    folder = Path(tempfile.mkdtemp(dir=Path.cwd().parent))
    shutil.copytree(Path.cwd(), folder / "work", symlinks=True)
    os.chdir(folder / "work")
    try:
        yield
    finally:
        os.chdir(folder.parent)
        shutil.rmtree(folder, ignore_errors=True)


def use(sources: Path) -> None:
    """このプロセスと、これが起こすプロセスに、``sources`` のモジュールを読ませる。"""
    own = {path.name for path in sources.iterdir()}
    for name in [name for name in sys.modules if name.partition(".")[0] in own]:
        del sys.modules[name]  # このコマンド自身が、元の木から読み込んだもの
    sys.path.insert(0, str(sources))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(sources), os.environ.get("PYTHONPATH", "")])


def preload(book: Book, codes: Iterable[str]) -> None:
    """``codes`` がimportする、本の外のパッケージを読み込む。分かれた後に、一つずつ払わないため。"""
    own = {path.name for path in (book.root / book.sources).iterdir()}
    for code in codes:
        for statement in imports(code):
            if statement.split()[1].split(".")[0] not in own:
                with suppress(ImportError):
                    exec(statement, {})


def imports(code: str) -> list[str]:
    """``code`` のimport文。``%`` と ``!`` で始まる行は無視する。"""
    plain = "\n".join(
        "pass" if line.lstrip()[:1] in ("%", "!") else line for line in code.split("\n")
    )
    try:
        tree = ast.parse(plain)
    except SyntaxError:
        return []
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return [ast.unparse(node) for node in found]


class Session:
    """一つの章を動かすIPythonのシェル。"""

    def __init__(self) -> None:
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import PyFileConfigLoader

        config = PyFileConfigLoader(kernel.CONFIG.name, str(kernel.CONFIG.parent)).load_config()
        self.shell = InteractiveShell.instance(config=config)
        self.shell._showtraceback = lambda *_: None  # カーネルでは、表示でなくerrorという出力になる

    def run(self, source: str, expected: str | None = None) -> NotebookNode:
        """``source`` を動かし、出力を持つセルを返す。"""
        from IPython.utils.capture import RichOutput, capture_output

        printed, warned = _Printed(expected), io.StringIO()
        with (
            self.shell.display_trap,  # run_cellが、値の受け取り先を戻さないように
            capture_output(stdout=False, stderr=False) as captured,
            redirect_stdout(printed),
            redirect_stderr(warned),
        ):
            result = self.shell.run_cell(source)
        cell = v4.new_code_cell(source)
        for name, stream in (("stdout", printed), ("stderr", warned)):
            if stream.getvalue():
                cell.outputs.append(v4.new_output("stream", name=name, text=stream.getvalue()))
        for output in captured.outputs:
            assert isinstance(output, RichOutput)
            cell.outputs.append(
                v4.new_output("display_data", data=output.data, metadata=output.metadata)
            )
        error = result.error_in_exec or result.error_before_exec
        if error is not None:
            cell.outputs.append(
                v4.new_output("error", ename=type(error).__name__, evalue=str(error), traceback=[])
            )
        return cell

    def refused(
        self, cell: Cell, source: str | None = None, *, early: bool = False
    ) -> tuple[str | None, NotebookNode]:
        """セルを動かし、検証が退ける理由（なければNone）と、動かしたセルを返す。

        ``early`` なら、期待値と違う行が表示されたところで止める。
        """
        expected = cell.expectation.text if early and cell.expectation else None
        node = self.run(cell.source if source is None else source, expected)
        errors = [output for output in node.outputs if output.output_type == "error"]
        if errors and not cell.raises:
            return f"{errors[0].ename}: {errors[0].evalue}", node
        return check(cell, node), node
