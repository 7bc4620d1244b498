"""ほかの版のPythonとパッケージの環境を作り、すべての例を動かし、消す。"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from verified_book.book import Book

LOCK = "requirements.lock"
# 実行時間はここでは問わないので、章の時間の上限を10倍に延ばす
PYTEST = (
    "import sys, pytest; from verified_book import kernel; kernel.HARD_LIMIT *= 10; "
    "sys.exit(pytest.main(sys.argv[1:]))"
)


@dataclass(frozen=True)
class Environment:
    """Pythonの版と、requirements.lockとは違う版にするパッケージ。"""

    python: str
    pins: dict[str, str]

    def __str__(self) -> str:
        return "、".join([f"Python {self.python}", *(f"{k} {v}" for k, v in self.pins.items())])


@dataclass
class Outcome:
    """一つの環境の結果。``differences`` は、場所（``ファイル:行``）ごとの、違いの説明。"""

    examples: int = 0
    differences: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    failure: str = ""
    not_run: str = ""

    def __str__(self) -> str:
        done = f"{self.examples}例のうち違い{len(self.differences)}（{self.seconds:.0f}秒）"
        return self.not_run or self.failure or done


def snapshot(book: Book, tree: Path) -> str:
    """例を動かすための木の複製を作り、例の結果を左右するファイルの要約を返す。"""
    ignore = shutil.ignore_patterns("node_modules", "__pycache__")
    for name in (book.chapters, book.sources):
        shutil.copytree(book.root / name, tree / name, ignore=ignore)
    for name in ("pyproject.toml", LOCK):
        shutil.copy(book.root / name, tree)
    files = {path.relative_to(tree): path for path in tree.rglob("*") if path.is_file()}
    for pattern in book.digest:
        files |= {path.relative_to(book.root): path for path in book.root.glob(pattern)}
    for name in book.inputs:
        (tree / name).symlink_to(book.root / name)
    total = hashlib.sha256()
    for name, path in sorted(files.items()):
        total.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def attempt(book: Book, environment: Environment, tree: Path) -> Outcome:
    """環境を作り、``tree`` のすべての例を動かし、環境を消す。

    Parameters
    ----------
    book : Book
        元の本。
    environment : Environment
        作る環境。
    tree : Path
        :func:`snapshot` が作った複製。環境はその隣に作られる。
    """
    begin, python = time.monotonic(), find_python(environment.python)
    if python is None:
        missing = f"python{environment.python}がこの機械にありません"
        return Outcome(not_run=f"動かしていません（{missing}）")
    lock = replace_pins((tree / LOCK).read_text("utf-8"), environment.pins)
    with tempfile.TemporaryDirectory(dir=tree.parent, ignore_cleanup_errors=True) as folder:
        requirements, venv = Path(folder, LOCK), Path(folder, "venv")
        requirements.write_text(lock, "utf-8")
        try:
            install(python, requirements, venv)
            outcome = verify(book, tree, venv)
        except subprocess.CalledProcessError as error:
            what = "インストール" if "uv" in error.cmd else "pytest"
            return Outcome(failure=f"{what}が終了状態{error.returncode}で止まりました")
    outcome.seconds = round(time.monotonic() - begin, 1)
    return outcome


def replace_pins(lock: str, pins: dict[str, str]) -> str:
    """requirements.lockの ``pins`` にあるパッケージの版を置き換える。

    Examples
    --------
    >>> from verified_book.trial import replace_pins
    >>> print(replace_pins("numpy==2.4.6\\ntorch==2.15.0", {"torch": "2.13.0"}))
    numpy==2.4.6
    torch==2.13.0
    """
    for name, version in pins.items():
        lock, count = re.subn(rf"(?m)^{re.escape(name)}==[^\s;]+", f"{name}=={version}", lock)
        if not count:
            raise ValueError(f"{LOCK}に{name}の行がありません。")
    return lock


def find_python(version: str) -> str | None:
    """``version`` のPythonの場所を、PATHとpyenvから探す。なければNone。"""
    code = "import sys; print('{}.{}'.format(*sys.version_info)); print(sys.executable)"
    environment = {**os.environ, "PYENV_VERSION": version}  # pyenvに、既定でない版も使わせる
    try:
        command = [f"python{version}", "-c", code]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    except OSError:
        return None
    found, _, path = done.stdout.strip().partition("\n")
    return path if found == version else None


def install(python: str, requirements: Path, venv: Path) -> None:
    """仮想環境を作る。pipの設定にある手元のwheelを選ばないように、uvを使う。"""
    uv = [sys.executable, "-m", "uv", "--no-config", "--cache-dir", str(venv.with_name("cache"))]
    subprocess.run([*uv, "venv", "--quiet", "--python", python, str(venv)], check=True)
    options = ["--quiet", "--python", str(venv), "-r", str(requirements)]
    subprocess.run([*uv, "pip", "install", *options], check=True)


def verify(book: Book, tree: Path, venv: Path) -> Outcome:
    """仮想環境 ``venv`` で、``tree`` のすべての例を動かす。"""
    report = venv.with_name("report.xml")
    options = ["-q", "--tb=short", "-o", "junit_family=xunit1", f"--junitxml={report}"]
    command = [str(venv / "bin/python"), "-c", PYTEST, *options, book.chapters, book.sources]
    path = f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(tree / book.sources)}
    done = subprocess.run(command, cwd=tree, env=environment)
    if done.returncode not in (0, 1):
        done.check_returncode()
    return read_report(report)


def read_report(report: Path) -> Outcome:
    """pytestのJUnit XMLを読む。章が動かないときは全セルが同じ説明になるので、一つにまとめる。"""
    outcome, seen = Outcome(), set()
    for case in ElementTree.parse(report).iter("testcase"):
        outcome.examples += 1
        for bad in [*case.findall("failure"), *case.findall("error")]:
            file, line = case.get("file"), int(case.get("line", 0)) + 1
            message = (bad.text or "").removeprefix(f"{file}:{line}: ")
            if (file, message) not in seen:
                outcome.differences[f"{file}:{line}"] = message
            seen.add((file, message))
    return outcome
