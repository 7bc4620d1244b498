"""セルに植えた誤りを確かめる：章を一度だけ動かし、各セルの直前で誤りの数だけ分かれる。

分かれたプロセスは、誤りのあるセルから先を動かし、検証が退けたところで終わる。
"""

import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from verified_book.chapter import Cell, Chapter
from verified_book.measured import REFERENCE
from verified_book.mutants.fork import TIMED_OUT, forked, streamed
from verified_book.mutants.mutant import SAME, Judged, Mutant
from verified_book.mutants.reading import Mode, Reading, answer, summary
from verified_book.mutants.references import MEASURED
from verified_book.mutants.session import Session, preload, prepare
from verified_book.mutants.structure import cell_start
from verified_book.mutants.tree import Copy


def judge_cells(copy: Copy, mutants: Iterable[Mutant], jobs: int) -> Judged:
    """章を並べて動かす。長い章から始め、最後に一つの章だけが残る時間を短くする。"""
    planted = list(mutants)
    groups = defaultdict(list)
    for index, mutant in enumerate(planted):
        groups[mutant.path].append(index)
    chapters = [chapter for chapter in copy.chapters if groups[chapter.name]]
    chapters.sort(key=lambda chapter: chapter.budget * len(groups[chapter.name]), reverse=True)
    inside = max(1, jobs // max(1, len(chapters)))
    works = [partial(_chapter, copy, c, planted, groups[c.name], inside) for c in chapters]
    for record in streamed(works, jobs):
        yield answer(planted, record)


def _chapter(
    copy: Copy, chapter: Chapter, planted: list[Mutant], group: list[int], jobs: int
) -> Iterator[dict]:
    for record in _run(copy, chapter, [planted[index] for index in group], jobs):
        yield {**record, "index": group[record["index"]]} if "index" in record else record


def _run(copy: Copy, chapter: Chapter, planted: list[Mutant], jobs: int) -> Iterator[dict]:
    prepare(copy.book, Path(tempfile.mkdtemp(dir=copy.scratch)))
    session = Session()
    preload(copy.book, (cell.source for cell in chapter.cells))
    groups, sources = _by_cell(chapter, planted)
    reading = Reading(copy, chapter, session)
    survivors, shown = [], []
    proved = 0  # このセルまでは、誤りがなければ、分かれたプロセスでも通る
    for first, cell in enumerate(chapter.cells):
        left, reached = groups[first], first
        for mode in reading.modes(first):
            work = partial(_walk, reading, first, sources, mode=mode)
            waiting, left = left, []
            for index, result, seconds in forked(waiting, work, jobs=jobs, limit=reading.limit):
                record = {"index": index, "seconds": seconds}
                if result.get("same") and not _exempt(cell):
                    yield {**record, "caught": False, "by": SAME}
                elif result.get("caught") is False:
                    left.append(index)
                    survivors += [(record, first, result["shown"])] if mode is Mode.FULL else []
                else:
                    if mode is Mode.FULL:
                        reached = max(reached, result.get("at", first))
                    by = "時間切れ" if result == TIMED_OUT else "カーネルの異常終了"
                    yield {**record, "caught": True, "by": result.get("by", by)}
        if any(start == first for _, start, _ in survivors):
            proved = len(chapter.cells)
        if reached > max(first, proved):
            if red := _red(reading, first, reached):
                yield {"red": f"{chapter.name}:{cell.line}: {red}"}
                return
            proved = reached
        reason, node = session.refused(cell)
        if reason:
            yield {"red": f"{chapter.name}:{cell.line}: {reason}"}
            return
        shown.append(summary(cell, node))
    used = used_names(copy, chapter)
    for record, first, got in survivors:
        yield {**record, **_clue(chapter.cells[first:], shown[first:], got, used)}


def _walk(reading: Reading, first: int, sources: list[str], index: int, *, mode: Mode) -> dict:
    return reading.walk(first, sources[index], mode=mode)


def _red(reading: Reading, first: int, reached: int) -> str:
    """誤りなしで ``first`` から ``reached`` まで動かし、通らなければ、その理由を返す。"""

    def walk(_: int) -> dict:
        return reading.walk(first, mode=Mode.FULL, last=reached)

    ((_, result, _),) = forked([0], walk, jobs=1, limit=reading.limit)
    if result.get("caught") is False:
        return ""
    return f"誤りがなくても、このセルから後が失敗：{result}"


def _clue(cells: list[Cell], shown: list, got: list, used: set[str]) -> dict:
    """どのセルも通った誤り：埋め込む値がなくなれば、Sphinxが退ける。"""
    pairs = list(zip(cells, shown, got, strict=True))
    lost = {name for _, old, new in pairs for name in set(old[1]) - set(new[1])}
    if lost & used:
        return {"caught": True, "by": "埋め込む値がない"}
    changed = [f"{cell.line}行" for cell, old, new in pairs if old[0] != new[0]]
    if _exempt(cells[0]):
        changed.append("検証しないセル")
    return {"caught": False, "by": f"変わる出力：{'、'.join(changed)}" if changed else SAME}


def _exempt(cell: Cell) -> bool:
    return bool(cell.expectation and cell.expectation.exempt)


def used_names(copy: Copy, chapter: Chapter) -> set[str]:
    """どこかのページに埋め込まれた、この章の値の名前。"""
    document = Path(chapter.name).relative_to(copy.book.chapters).with_suffix("").as_posix()
    names = set()
    for path in copy.book.chapter_paths():
        here = path.relative_to(copy.book.root / copy.book.chapters).with_suffix("").as_posix()
        for found in MEASURED.finditer(path.read_text("utf-8")):
            parts = REFERENCE.fullmatch(found[1])
            if parts and (parts[1] or here) == document:
                names.add(parts[2])
    return names


def _by_cell(chapter: Chapter, planted: list[Mutant]) -> tuple[dict[int, list[int]], list[str]]:
    """セルごとの誤りの番号と、誤りごとのセルのコード。"""
    groups: dict[int, list[int]] = defaultdict(list)
    sources = []
    begins = [cell_start(chapter, cell) for cell in chapter.cells]
    for index, mutant in enumerate(planted):
        cell = max(i for i, begin in enumerate(begins) if begin <= mutant.start)
        begin, length = begins[cell], len(chapter.cells[cell].source)
        groups[cell].append(index)
        changed = mutant.apply(chapter.text)
        sources.append(changed[begin : begin + length + len(changed) - len(chapter.text)])
    return groups, sources
