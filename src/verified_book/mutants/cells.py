"""セルに植えた誤りを確かめる：章を一度だけ動かし、各セルの直前で誤りの数だけ分かれる。

分かれたプロセスは、誤りのあるセルから先を動かし、検証が退けたところで終わる。
"""

import pickle
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from nbformat import NotebookNode

from verified_book.chapter import Cell, Chapter
from verified_book.measured import REFERENCE
from verified_book.mutants.fork import TIMED_OUT, forked, streamed
from verified_book.mutants.mutant import SAME, Judged, Mutant
from verified_book.mutants.reading import Mode, Reading, answer, summary
from verified_book.mutants.references import MEASURED
from verified_book.mutants.session import Session, own_folder, preload, prepare
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
    walker = Walker(copy, chapter, session, jobs)
    if walker.red:
        yield {"red": walker.red}
        return
    groups, sources = _by_cell(chapter, planted)
    survivors, shown = [], []
    for first, cell in enumerate(chapter.cells):
        for index, result, seconds in walker.walks(first, groups[first], sources):
            record = {"index": index, "seconds": seconds}
            if result.get("same") and not _exempt(cell):
                yield {**record, "caught": False, "by": SAME}
            elif result.get("caught") is False:
                survivors.append((record, first, result["shown"]))
            else:
                by = "時間切れ" if result == TIMED_OUT else "カーネルの異常終了"
                yield {**record, "caught": True, "by": result.get("by", by)}
        reason, node = walker.advance(first)
        if reason:
            yield {"red": f"{chapter.name}:{cell.line}: {reason}"}
            return
        shown.append(summary(cell, node))
    used = used_names(copy, chapter)
    for record, first, got in survivors:
        yield {**record, **_clue(chapter.cells[first:], shown[first:], got, used)}


class Walker:
    """一つの章を動かしながら、誤りのあるプロセスに分かれる。"""

    def __init__(self, copy: Copy, chapter: Chapter, session: Session, jobs: int) -> None:
        from verified_book.mutants import slicing, trace, world  # torchは、環境を整えてから読む

        self.slicing, self.jobs, self.chapter, self.session = slicing, jobs, chapter, session
        self.reading = Reading(copy, chapter, session)
        file = Path(tempfile.mkdtemp(dir=copy.scratch)) / "trace"
        work = partial(_trace, trace.trace, session, chapter, file)
        ((_, result, _),) = forked([0], work, jobs=1, limit=self.reading.limit)
        self.red = result.get("red")
        self.rows = [] if self.red else pickle.loads(file.read_bytes())
        self.world = world.World(session.shell.user_ns)
        self.confirmed: dict[tuple[int, ...], bool] = {}

    def advance(self, index: int) -> tuple[str | None, NotebookNode]:
        """誤りのないセルを動かす。"""
        reason, node = self.session.refused(self.chapter.cells[index])
        row = self.rows[index]
        self.world.refresh(row.touch | row.code.stores)
        return reason, node

    def walks(
        self, first: int, group: list[int], sources: list[str]
    ) -> Iterator[tuple[int, dict, float]]:
        """``first`` 番目のセルの誤りを、速い動かし方から順に確かめ、決まった結果を返す。"""
        spent: dict[int, float] = defaultdict(float)
        for mode in self.reading.modes(first) if group else ():
            waiting, group = group, []
            work = partial(self._walk, first, sources, mode)
            results = forked(waiting, work, jobs=self.jobs, limit=self.reading.limit)
            for index, result, seconds in results:
                spent[index] += seconds
                short = mode is Mode.SHORT and not (result.get("caught") or result.get("same"))
                open_ = result.get("undecided") or result.get("cannot") or short
                if (open_ and result.get("caught") is False) or not self._trusted(first, result):
                    group.append(index)
                else:
                    yield index, result, spent[index]

    def _walk(self, first: int, sources: list[str], mode: Mode, index: int) -> dict:
        if mode in (Mode.SHORT, Mode.WHOLE):
            return self.reading.walk(first, sources[index], mode=mode)
        return self.slicing.walk(self._slice(mode), first, sources[index])

    def _slice(self, mode: Mode) -> object:
        long = self.reading.long if mode is Mode.SKIP else set()
        return self.slicing.Slice(self.session, self.chapter, self.rows, self.world, long)

    def _trusted(self, first: int, result: dict) -> bool:
        """飛ばしたセルがあれば、誤りがないときに同じセルだけを動かして通ることを確かめる。"""
        ran = result.get("ran", [])
        if not ran or ran == list(range(first + 1, result["last"] + 1)):
            return True
        key = (first, *ran)
        if key not in self.confirmed:
            work = partial(_confirm, self.slicing.confirm, self._slice(Mode.FULL), first)
            ((_, answer, _),) = forked([ran], work, jobs=1, limit=self.reading.limit)
            self.confirmed[key] = answer.get("passed", False)
        return self.confirmed[key]


def _trace(trace: Callable, session: Session, chapter: Chapter, file: Path, _: int) -> dict:
    with own_folder():
        return {"red": trace(session, chapter, file)}


def _confirm(confirm: Callable, part: object, first: int, ran: list[int]) -> dict:
    return confirm(part, first, ran)


def _clue(cells: list[Cell], shown: list, got: list, used: set[str]) -> dict:
    """どのセルも通った誤り：埋め込む値がなくなれば、Sphinxが退ける。飛ばしたセルは変わらない。"""
    pairs = [p for p in zip(cells, shown, got, strict=True) if p[2] is not None]
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
