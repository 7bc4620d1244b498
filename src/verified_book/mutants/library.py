"""src/に植えた誤りを確かめる：速い試験、最初の数歩、章の全体の順に、退けるまで進む。

試験に要るパッケージを読み込んだプロセスから、誤りの数だけ分かれるので、importの時間を払わない。
"""

import ast
import os
import sys
import tempfile
import threading
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

import pytest
from sybil.integration.pytest import SybilItem

from verified_book.cache_key import imported_modules
from verified_book.chapter import Chapter
from verified_book.mutants.fork import TIMED_OUT, forked
from verified_book.mutants.mutant import Judged, Mutant
from verified_book.mutants.reading import Mode, Reading, verdicts
from verified_book.mutants.session import Session, preload, prepare, use
from verified_book.mutants.tree import Copy, link_tree

TEST_LIMIT = 300.0  # 試験がこれより長くかかれば、止まったとみなす（秒）
SLOW, STARTING = 3.0, 20.0  # 誤りのないときの何倍と何秒を過ぎれば、止まったとみなすか
KILLERS = 3  # 早めに並べる、近くの誤りを見つけたばかりの試験の数
LIKELY = 10.0  # それらの秒数を、何分の一とみなすか
# 失敗を詳しく知らせる準備と、使わないプラグインを省く
OPTIONS = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:anyio", "--assert=plain", "--tb=native"]


class Timer:
    """試験の秒数を測り、次からは速い順に並べるpytestプラグイン。

    近くの誤りを見つけたばかりの試験（``killers``）は、早めに並べる。一つのファイルの ``>>>``
    の例は、前の例の変数を使うので、まとめたまま並べる。
    """

    def __init__(self, seconds: dict[str, float], killers: Collection[str] = ()) -> None:
        self.seconds, self.killers, self.failed, self.why = seconds, killers, "", ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid
        self.seconds[name] = self.seconds.get(name, 0.0) + report.duration
        if report.failed and not self.failed:
            self.failed, self.why = name, report.longreprtext

    def pytest_collection_modifyitems(self, items: list) -> None:
        total: dict[str, float] = defaultdict(float)
        for item in items:
            total[_group(item)] += self.seconds.get(item.nodeid, 0.0)
        for group in {_group(item) for item in items if item.nodeid in self.killers}:
            total[group] /= LIKELY
        items.sort(key=lambda item: total[_group(item)])


def _group(item: pytest.Item) -> str:
    """分けて動かせない例は同じ名前、ほかの試験は自分の名前。"""
    return item.parent.nodeid if isinstance(item, SybilItem) and item.parent else item.nodeid


def judge_library(copy: Copy, mutants: Iterable[Mutant], jobs: int) -> Judged:
    planted = list(mutants)
    return verdicts(planted, lambda: _judge(copy, planted, jobs))


def _judge(copy: Copy, planted: list[Mutant], jobs: int) -> Iterator[dict]:
    prepare(copy.book, Path(tempfile.mkdtemp(dir=copy.scratch)))
    Session()
    codes = [copy.text(path) for path in sorted({mutant.path for mutant in planted})]
    codes += [cell.source for chapter in copy.chapters for cell in chapter.cells]
    preload(copy.book, codes)
    left = []
    for path in sorted({mutant.path for mutant in planted}):
        group = [index for index, mutant in enumerate(planted) if mutant.path == path]
        for record in _tested(copy, path, planted, group, jobs):
            if record.get("caught") is False:
                left.append(record["index"])
            else:
                yield record
    for chapter in copy.chapters:
        used = _imported(copy, chapter)
        group = [index for index in left if planted[index].path in used]
        for record in _read(copy, chapter, planted, group, jobs):
            yield record
            if "red" in record:
                return
            left.remove(record["index"])
    for index in left:
        yield {"index": index, "seconds": 0.0, "caught": False, "by": "試験も章も通る"}


def _tested(
    copy: Copy, path: str, planted: list[Mutant], group: list[int], jobs: int
) -> Iterator[dict]:
    """パッケージのdocstringの例と、名前の合う試験。まず誤りなしで通し、秒数を測っておく。"""
    targets = _targets(copy, path)
    times: dict[str, float] = {}
    killers: deque[str] = deque(maxlen=KILLERS)

    def work(index: int) -> dict:
        text = copy.text(path)
        text = text if index < 0 else planted[index].apply(text)
        return _pytest(copy, path, text, targets, Timer(dict(times), killers))

    for _ in range(2):  # 二度目は、速い順に
        ((_, base, alone),) = forked([-1], work, jobs=1, limit=TEST_LIMIT)
        if base.get("status", 1):
            why = f"{base.get('failed', base)}\n{base.get('why', '')}"
            yield {"red": f"{path}の試験が、誤りを植える前から失敗します：{why}"}
            return
        times.update(base["seconds"])
    limit = min(TEST_LIMIT, SLOW * alone + STARTING)
    for index, result, seconds in forked(group, work, jobs=jobs, limit=limit):
        by = "時間切れ" if result == TIMED_OUT else result.get("failed", "異常終了")
        if by not in killers:
            killers.append(by)
        yield {"index": index, "seconds": seconds, "caught": result.get("status") != 0, "by": by}


def _targets(copy: Copy, path: str) -> list[str]:
    tests = sorted(copy.book.root.glob(f"tests/**/test_{Path(path).stem}.py"))
    # フォルダーで渡す。ファイルで渡すと、関数testなども試験とみなされる
    return [str(Path(path).parent), *(str(test.relative_to(copy.book.root)) for test in tests)]


def _pytest(copy: Copy, path: str, text: str, targets: list[str], timer: Timer) -> dict:
    """``path`` が ``text`` に変わった木で試験を動かし、最初に失敗したものを返す。"""
    root = link_tree(copy, Path(tempfile.mkdtemp(dir=copy.scratch)) / "tree", path, text)
    use(root / copy.book.sources)
    os.chdir(root)
    status = pytest.main([*targets, *OPTIONS, "--rootdir", str(root)], plugins=[timer])
    if status == pytest.ExitCode.NO_TESTS_COLLECTED:
        status = 0
    failed = timer.failed or "試験の読み込み"
    return {"status": int(status), "failed": failed, "why": timer.why, "seconds": timer.seconds}


def _imported(copy: Copy, chapter: Chapter) -> set[str]:
    sources = copy.book.root / copy.book.sources
    found = imported_modules(sources, [cell.source for cell in chapter.cells])
    return {path.relative_to(copy.book.root).as_posix() for path in found}


def _read(
    copy: Copy, chapter: Chapter, planted: list[Mutant], group: list[int], jobs: int
) -> Iterator[dict]:
    """章を動かし、見つかった誤りだけを返す。章が呼ばない関数の中の誤りは、確かめるまでもない。"""
    if not group:
        return
    reading = Reading(copy, chapter, Session())

    def work(index: int, mode: Mode) -> dict:
        path = planted[max(index, 0)].path
        text = copy.text(path)
        text = text if index < 0 else planted[index].apply(text)
        folder = Path(tempfile.mkdtemp(dir=copy.scratch)) / "tree"
        use(link_tree(copy, folder, path, text) / copy.book.sources)
        if index >= 0:
            return reading.walk(0, mode=mode)
        with _calls(copy) as called:
            return {**reading.walk(0, mode=mode), "called": list(called)}

    for mode in reading.modes(-1):
        if group and mode is not Mode.SKIP:
            ((_, base, _),) = forked([-1], partial(work, mode=mode), jobs=1, limit=reading.limit)
            if base.get("caught") is not False:
                yield {"red": f"{chapter.name}は、誤りを植える前から失敗します：{base}"}
                return
            group = [index for index in group if _reached(copy, planted[index], base["called"])]
        waiting, group = group, []
        results = forked(waiting, partial(work, mode=mode), jobs=jobs, limit=reading.limit)
        for index, result, seconds in results:
            by = "時間切れ" if result == TIMED_OUT else result.get("by", "カーネルの異常終了")
            if result.get("caught") is False:
                group += [] if result["same"] else [index]
            else:
                yield {"index": index, "seconds": seconds, "caught": True, "by": by}


@contextmanager
def _calls(copy: Copy) -> Iterator[set[tuple[str, int]]]:
    """``src/`` の関数のうち、呼ばれたもののファイルと行を集める。

    別のプロセスで呼ばれたものは集めない。その中の誤りは、見つからなかったことになる。
    """
    called: set[tuple[str, int]] = set()
    inside = f"/{copy.book.sources}/"

    def note(frame: FrameType, _event: str, _argument: object) -> None:
        if inside in frame.f_code.co_filename:
            called.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))

    threading.settrace(note)
    sys.settrace(note)
    try:
        yield called
    finally:
        sys.settrace(None)
        threading.settrace(None)


def _reached(copy: Copy, mutant: Mutant, called: list[tuple[str, int]]) -> bool:
    """誤りのある関数が、呼ばれたか。関数の外のコードは、読み込むだけで動く。"""
    text = copy.text(mutant.path)
    line = mutant.line(text)
    functions = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.lineno <= line <= node.end_lineno
    ]
    if not functions:
        return True
    inner = max(functions, key=lambda node: node.lineno)
    first = min([inner.lineno, *(decorator.lineno for decorator in inner.decorator_list)])
    return any(name.endswith(f"/{mutant.path}") and at == first for name, at in called)
