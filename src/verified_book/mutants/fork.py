"""今のプロセスをそのまま複製し、誤りを一つずつ別々のプロセスで確かめる。

重い準備（importや学習）を終えたプロセスから分かれるので、一つの誤りは数十ミリ秒で始められる。
"""

import contextlib
import gc
import json
import os
import select
import selectors
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")
TIMED_OUT = {"timed_out": True}


@dataclass
class _Child:
    pid: int
    file: object
    deadline: float
    begin: float
    item: object


def forked(
    items: Iterable[Item], work: Callable[[Item], dict], *, jobs: int, limit: float
) -> Iterator[tuple[Item, dict, float]]:
    """``work(item)`` をそれぞれ子プロセスで呼び、終わった順に結果と秒数を返す。

    ``limit`` 秒を過ぎた子と、その子が起こしたプロセスは止め、結果を ``TIMED_OUT`` とする。
    落ちた子の結果は ``{"died": 終了状態}`` になる。

    Raises
    ------
    RuntimeError
        ``work`` が例外を起こしたとき。
    """
    waiting, running = iter(items), []
    gc.freeze()  # 子が、親の作った物をごみ集めのたびに調べ、写してしまわないように
    try:
        while True:
            while len(running) < jobs and (item := next(waiting, None)) is not None:
                running.append(_start(item, work, limit))
            if not running:
                return
            _wait(running)
            for child in list(running):
                late = time.monotonic() > child.deadline
                if late:
                    _kill(child.pid)
                pid, status = os.waitpid(child.pid, 0 if late else os.WNOHANG)
                if pid:
                    running.remove(child)
                    _kill(child.pid)  # 子が残したプロセス
                    result = TIMED_OUT if late else _result(child, status)
                    if "error" in result:
                        raise RuntimeError(result["error"])
                    yield child.item, result, time.monotonic() - child.begin
    finally:
        gc.unfreeze()
        for child in running:
            _kill(child.pid)
            os.waitpid(child.pid, 0)


def _start(item: Item, work: Callable[[Item], dict], limit: float) -> _Child:
    file = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  親が後で読む
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        status = 1
        try:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            _silence()
            json.dump(_answer(work, item), file, ensure_ascii=False)
            file.flush()
            status = 0
        finally:
            os._exit(status)
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)
    now = time.monotonic()
    return _Child(pid, file, now + limit, now, item)


def _answer(work: Callable[[Item], dict], item: Item) -> dict:
    try:
        return work(item)
    except Exception:
        return {"error": traceback.format_exc()}


def _silence() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)


def _wait(running: list[_Child]) -> None:
    """どれかの子が終わるか、時間切れになるまで待つ。"""
    selector = selectors.DefaultSelector()
    handles = []
    for child in running:
        handles.append(os.pidfd_open(child.pid))
        selector.register(handles[-1], selectors.EVENT_READ)
    selector.select(max(0.0, min(child.deadline for child in running) - time.monotonic()))
    selector.close()
    for handle in handles:
        os.close(handle)


def _result(child: _Child, status: int) -> dict:
    if status != 0:
        return {"died": os.waitstatus_to_exitcode(status)}
    child.file.seek(0)
    result = json.load(child.file)
    child.file.close()
    return result


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


@dataclass
class _Stream:
    pid: int
    pipe: int
    rest: bytes = b""


def streamed(produces: Iterable[Callable[[], Iterator[dict]]], jobs: int = 1) -> Iterator[dict]:
    """``produces`` をそれぞれ一つの子プロセスで動かし、生んだ辞書を、生まれた順に返す。

    同時に動かすのは ``jobs`` 個までで、並びの順に始める。

    Raises
    ------
    RuntimeError
        子が最後まで動かなかったとき。
    """
    waiting, running = iter(produces), []
    try:
        while True:
            while len(running) < jobs and (produce := next(waiting, None)) is not None:
                running.append(_stream(produce))
            if not running:
                return
            ready, _, _ = select.select([stream.pipe for stream in running], [], [])
            for stream in [stream for stream in running if stream.pipe in ready]:
                part = os.read(stream.pipe, 1 << 16)
                *lines, stream.rest = (stream.rest + part).split(b"\n")
                yield from map(json.loads, lines)
                if not part:
                    running.remove(stream)
                    os.close(stream.pipe)
                    if os.waitpid(stream.pid, 0)[1]:
                        raise RuntimeError("誤りを確かめるプロセスが途中で止まりました。")
    finally:
        for stream in running:
            os.close(stream.pipe)
            with contextlib.suppress(ProcessLookupError):
                os.kill(stream.pid, signal.SIGTERM)
            os.waitpid(stream.pid, 0)


def _stream(produce: Callable[[], Iterator[dict]]) -> _Stream:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        status = 1
        try:
            with os.fdopen(writing, "w", encoding="utf-8") as pipe:
                for record in produce():
                    pipe.write(json.dumps(record, ensure_ascii=False) + "\n")
                    pipe.flush()
            status = 0
        except Exception:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(writing)
    return _Stream(pid, reading)
