"""小さな本を一時フォルダーに作り、本物のSphinx、pytest、カーネルで動かす。"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYPROJECT = """\
[tool.pytest.ini_options]
addopts = "-p verified_book.pytest_plugin -p no:cacheprovider -p no:doctest"

[tool.verified_book]
inputs = ["data"]
digest = ["data/*.txt"]
"""
CONF = """\
project = "小さな本"
extensions = ["myst_nb", "verified_book.expectations", "verified_book.rebuild"]
myst_enable_extensions = ["colon_fence"]
"""
SPHINX = ["-W", "-n", "-c", ".", "-d", "_build/doctrees", "docs", "_build/html"]
HEAD = "---\nfile_format: mystnb\nkernelspec:\n  name: python3\n---\n# 章\n\n"


@dataclass(frozen=True)
class Run:
    """コマンドの終了状態と、標準出力と標準エラーを合わせた文字。"""

    status: int
    text: str

    @property
    def executed(self) -> int:
        """実行を始めた章の数。"""
        return self.text.count("実行中：")


class SmallBook:
    """章を書き、組み立て、確かめ、期待値を受け入れる。"""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "docs").mkdir(parents=True)
        (root / "src").mkdir()
        (root / "pyproject.toml").write_text(PYPROJECT)
        (root / "conf.py").write_text(CONF)
        (root / "docs/index.md").write_text("# 本\n\n```{toctree}\n:glob:\n\nchapter*\n```\n")

    def write(self, body: str, name: str = "chapter", head: str = HEAD) -> Path:
        path = self.root / f"docs/{name}.md"
        path.write_bytes((head + body).encode())
        return path

    def run(self, *command: str) -> Run:
        paths = f"{self.root / 'src'}{os.pathsep}{ROOT / 'src'}"
        environment = {**os.environ, "PYTHONPATH": paths, "NO_COLOR": "1"}
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.root,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=300,
        )
        return Run(done.returncode, done.stdout)

    def html(self) -> Run:
        return self.run("sphinx", *SPHINX)

    def doctest(self, *options: str) -> Run:
        return self.run("pytest", "docs", "src", "-v", *options)

    def accept(self, name: str = "") -> Run:
        return self.run("verified_book.accept", name)

    def page(self, name: str = "chapter") -> str:
        return (self.root / f"_build/html/{name}.html").read_text("utf-8")
