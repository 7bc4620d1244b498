"""配るノートブックを、この本のないJupyterで、空のフォルダーから動かす。"""

import os
import tempfile
from copy import deepcopy
from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from traitlets.config import Config

from verified_book.book import Book
from verified_book.chapter import parse
from verified_book.compare import compare, diff
from verified_book.expectations import output_text

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 900
# 開発用に入れたこの本のパッケージを、見えなくする。Pythonが始まるたびに読まれる
HIDE = """\
import sys
from pathlib import Path

sys.path[:] = [path for path in sys.path if not Path(path, "verified_book").is_dir()]
"""


def execute(notebook: nbformat.NotebookNode, data: Path | None = None) -> nbformat.NotebookNode:
    """ノートブックの写しを、``data`` だけのある新しいフォルダーで、上から順に動かす。"""
    ran = deepcopy(notebook)
    with tempfile.TemporaryDirectory(prefix="reader-", ignore_cleanup_errors=True) as folder:
        work = Path(folder) / "work"
        work.mkdir()
        if data is not None:
            (work / "data").symlink_to(data.resolve())
        (Path(folder) / "sitecustomize.py").write_text(HIDE, "utf-8")
        ipc = Config(KernelManager={"transport": "ipc", "ip": str(Path(folder) / "kernel")})
        client = NotebookClient(
            ran,
            km=AsyncKernelManager(kernel_name="python3", config=ipc),
            timeout=TIMEOUT,
            coalesce_streams=True,
            resources={"metadata": {"path": str(work)}},
        )
        client.execute(env=environment(Path(folder)))
    return ran


def environment(folder: Path) -> dict[str, str]:
    """設定も履歴も持たない読者の環境。本の実行と同じなのは、スレッドの数と、進み具合を出さないこと。"""
    threads = str(Book.load(ROOT).threads)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "IPYTHON"))}
    return {
        **kept,
        "PYTHONPATH": str(folder),
        "IPYTHONDIR": str(folder / "ipython"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OMP_WAIT_POLICY": "passive",
        "TQDM_DISABLE": "1",
    }


def differences(name: str, ran: nbformat.NotebookNode) -> list[str]:
    """章 ``name`` の期待値と合わない出力。図は、形式が違うので、あることだけを確かめる。"""
    path = ROOT / "docs" / f"{name}.md"
    cells = {f"cell-{cell.index}": cell for cell in parse(path, path.name).cells}
    found = []
    for node in ran.cells:
        cell = cells.get(node.id)
        if cell is None or cell.expectation is None or cell.expectation.exempt:
            continue
        expected = cell.expectation.text
        if expected.startswith("図 "):
            if not any("image/png" in output.get("data", {}) for output in node.outputs):
                found.append(f"{path.name}:{cell.line}: 図がありません。")
        elif compare(expected, output_text(node)) is None:
            place = f"{path.name}:{cell.expectation.line}"
            found.append(f"{place}\n{diff(expected, output_text(node))}")
    return found
