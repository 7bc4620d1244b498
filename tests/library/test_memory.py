"""src/entering_pytorch/memory.pyの試験。"""

import ctypes
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from entering_pytorch import memory

GLIBC = sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")
# 16 MiBを5つ使って手放すことを繰り返し、OSが新しく渡したページを数えるプログラム
FAULTS = """
import resource
from entering_pytorch.memory import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    parts = [b"x" * 2**24 for _ in range(5)]
    del parts
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(), faults()
print(faults())
print(keep_freed_memory())
faults(), faults()
print(faults())
"""


class Libc:
    """呼び出しを記録する、偽のmallopt。答えは ``answers`` の順。"""

    def __init__(self, *answers: int) -> None:
        self.answers, self.calls = list(answers), []

    def mallopt(self, parameter: int, value: int) -> int:
        self.calls.append((parameter, value))
        return self.answers.pop(0)


@pytest.fixture
def linux(monkeypatch):
    """Linuxの、決まったlibcがある計算機のふりをする。"""

    def pretend(libc):
        monkeypatch.setattr(memory.sys, "platform", "linux")
        monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: libc)

    return pretend


@pytest.mark.skipif(not GLIBC, reason="glibcのLinuxでだけ効く")
def test_freed_memory_is_used_again():
    source = Path(memory.__file__).parents[1]
    result = subprocess.run(
        [sys.executable, "-c", FAULTS],
        env={"PYTHONPATH": str(source), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    before, done, after = result.stdout.split()
    assert done == "True"
    assert int(after) < 100
    assert int(before) > 10 * int(after)  # 何もしなければ、毎回新しいページを受け取る


def test_glibc_is_asked_for_its_largest_limits(linux):
    libc = Libc(1, 1)
    linux(libc)
    assert memory.keep_freed_memory() is True
    # glibcのmalloc.hの、M_MMAP_THRESHOLDとM_TRIM_THRESHOLD。値はintの範囲
    assert libc.calls == [(-3, 32 * 1024 * 1024), (-1, 2_147_483_647)]


@pytest.mark.parametrize("answers", [(0, 1), (1, 0)])
def test_a_refused_limit_is_reported(answers, linux):
    linux(Libc(*answers))
    assert memory.keep_freed_memory() is False


def test_another_libc_is_left_alone(linux):
    linux(SimpleNamespace())
    assert memory.keep_freed_memory() is False


def test_another_system_is_left_alone(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "win32")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: pytest.fail("libcを探した"))
    assert memory.keep_freed_memory() is False
