"""ほかの版での確認：環境を作り、動かし、消し、違いを場所で示す。torchは入れない。"""

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
from filelock import FileLock
from small_book import ROOT, SmallBook

from verified_book import trial
from verified_book.book import Book
from verified_book.matrix import ENVIRONMENTS, matrix, table
from verified_book.trial import Environment, Outcome, find_python, read_report, replace_pins

HERE = Environment(".".join(map(str, sys.version_info[:2])), {})
CELL = "```{code-cell} python\n6 * 7\n```\n```{expect}\n41\n```\n"


@pytest.fixture
def locked(book: SmallBook) -> SmallBook:
    (book.root / "requirements.lock").touch()
    book.write(CELL)
    return book


def small_venv(python: str, requirements: Path, venv: Path) -> None:
    """本物の仮想環境。パッケージは入れる代わりに、この試験を動かしている環境のものを借りる。"""
    subprocess.run([python, "-m", "venv", "--without-pip", str(venv)], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    paths = f"{sysconfig.get_path('purelib')}\n{ROOT / 'src'}\n"
    (packages / "borrowed.pth").write_text(paths)


def left(book: SmallBook) -> list[Path]:
    return list((book.root / "_build/matrix").iterdir())


def test_only_the_pinned_versions_of_the_lock_change() -> None:
    lock = "torch==2.15.0\nnumpy==2.4.6 ; python_full_version < '3.12'\ntorchvision==0.29.2 ; a\n"
    changed = replace_pins(lock, {"torch": "2.13.0", "torchvision": "0.28.0"})
    assert changed == lock.replace("2.15.0", "2.13.0").replace("0.29.2", "0.28.0")
    with pytest.raises(ValueError, match=r"requirements\.lockにtorchの行がありません"):
        replace_pins("torchvision==0.29.2\n", {"torch": "2.13.0"})


def test_the_newest_environment_is_the_one_of_the_lock() -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    assert replace_pins(lock, ENVIRONMENTS[-1].pins) == lock


def test_a_python_is_found_on_the_path_and_behind_pyenv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = tmp_path / "python3.99"
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert find_python("3.99") is None
    shim.write_text('#!/bin/sh\n[ "$PYENV_VERSION" = 3.99 ] && printf "3.99\\n/a b/python\\n"\n')
    shim.chmod(0o755)
    assert find_python("3.99") == "/a b/python"
    shim.write_text('#!/bin/sh\nprintf "3.98\\n/a/python\\n"\n')
    assert find_python("3.99") is None


def test_differences_are_found_named_and_remembered(
    locked: SmallBook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed = []

    def install(python: str, requirements: Path, venv: Path) -> None:
        installed.append(python)
        small_venv(python, requirements, venv)

    monkeypatch.setattr(trial, "install", install)
    book = Book.load(locked.root)
    assert matrix(book, [HERE]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1  docs/chapter.md:11"
    record = json.loads((locked.root / "_build/matrix.json").read_text("utf-8"))
    assert "- 41\n+ 42" in record["outcomes"][str(HERE)]["differences"]["docs/chapter.md:11"]
    assert left(locked) == []

    assert matrix(book, [HERE]) == 1  # 二度目は、残した結果を使う
    assert len(installed) == 1
    locked.write(CELL.replace("41", "42"))
    assert matrix(book, [HERE]) == 0
    assert len(installed) == 2
    assert "1例のうち違い0" in capsys.readouterr().out


def test_a_missing_python_is_named_and_stale_environments_are_removed(
    locked: SmallBook, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = locked.root / "_build/matrix/abc/venv/bin"
    stale.mkdir(parents=True)
    (stale / "python").touch()
    assert matrix(Book.load(locked.root), [Environment("3.99", {})]) == 0
    assert "動かしていません（python3.99がこの機械にありません）" in capsys.readouterr().out
    assert left(locked) == []


def test_an_environment_that_cannot_be_made_fails(
    locked: SmallBook, capsys: pytest.CaptureFixture[str]
) -> None:
    (locked.root / "requirements.lock").write_text("読めない行 ==\n")
    for _ in range(2):  # 失敗は覚えない
        assert matrix(Book.load(locked.root), [HERE]) == 1
        assert "インストールが終了状態" in capsys.readouterr().out
    assert left(locked) == []


def test_examples_that_cannot_be_run_fail(
    locked: SmallBook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trial, "install", small_venv)
    (locked.root / "docs/chapter.md").unlink()
    assert matrix(Book.load(locked.root), [HERE]) == 1
    assert "pytestが終了状態5で止まりました" in capsys.readouterr().out


def test_a_stopped_run_removes_its_environment(locked: SmallBook) -> None:
    code = (
        "import sys, time; from pathlib import Path; from verified_book import matrix, trial\n"
        "def install(python, requirements, venv): venv.mkdir(); time.sleep(60)\n"
        "trial.install = install; sys.argv = ['matrix', '3.11']; sys.exit(matrix.main())"
    )
    paths = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    (locked.root / "requirements.lock").write_text("torch==1\ntorchvision==1\n")
    process = subprocess.Popen([sys.executable, "-c", code], cwd=locked.root, env=paths)
    limit = time.monotonic() + 60
    while not list(locked.root.glob("_build/matrix/*/*/venv")) and time.monotonic() < limit:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 143
    assert left(locked) == []


def test_only_one_run_at_a_time(locked: SmallBook, capsys: pytest.CaptureFixture[str]) -> None:
    (locked.root / "_build").mkdir()
    with FileLock(locked.root / "_build/matrix.lock"):
        assert matrix(Book.load(locked.root), [HERE]) == 1
    assert "ほかのmake matrixが動いています" in capsys.readouterr().err


def test_a_chapter_that_does_not_run_is_one_difference(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    case = '<testcase file="docs/a.md" line="{}"><failure>docs/a.md:{}: {}</failure></testcase>'
    cases = [case.format(4, 5, "止まった"), case.format(7, 8, "止まった"), case.format(8, 9, "- 1")]
    report.write_text(f"<testsuite>{''.join(cases)}<testcase/></testsuite>", "utf-8")
    outcome = read_report(report)
    assert outcome.differences == {"docs/a.md:5": "止まった", "docs/a.md:9": "- 1"}
    assert outcome.examples == 4


def test_the_table_puts_each_place_against_the_environments() -> None:
    outcomes = {
        "甲": Outcome(3, {"docs/a.md:10": "", "docs/a.md:9": ""}, 61.4),
        "乙": Outcome(failure="止まりました"),
        "丙": Outcome(3, {"docs/a.md:9": ""}, 1.0),
    }
    assert table(outcomes) == (
        "1 甲：3例のうち違い2（61秒）\n2 乙：止まりました\n3 丙：3例のうち違い1（1秒）\n"
        "1 - 3  docs/a.md:9\n1 - -  docs/a.md:10"
    )
