"""誤りが届くセルだけを動かす。

誤りのあるセルの後、要約が誤りのない章と違う名前（``differs``）に触れるセルだけを動かす。
飛ばしたセルの変えた名前に、動かすセルが触れるなら、飛ばしたセルを先に、記録した乱数から動かす。
"""

from contextlib import suppress

from nbformat import NotebookNode

from verified_book.chapter import Chapter
from verified_book.mutants.names import read
from verified_book.mutants.reading import Shown, place, summary
from verified_book.mutants.session import Session, own_folder
from verified_book.mutants.trace import Row
from verified_book.mutants.world import RNG, SETTINGS, UNKNOWN, World, rng_state, set_rng

Ran = tuple[str | None, NotebookNode]  # 検証が退ける理由（なければNone）と、動かしたセル


class CannotSliceError(Exception):
    """飛ばしたセルを、後から同じように動かすことができない。"""


class Slice:
    """一つの誤りの後の歩み。

    ``pending`` は飛ばしたセル、``stale`` はもう同じようには動かせない飛ばしたセル、``lost`` は
    長いセルを飛ばしたために分からない名前、``ran`` は動かしたセルの番号。
    """

    def __init__(
        self, session: Session, chapter: Chapter, rows: list[Row], world: World, long: set[int]
    ) -> None:
        self.session, self.cells, self.rows, self.world = session, chapter.cells, rows, world
        self.long, self.pending, self.stale = long, [], set()
        self.chapter = chapter
        self.differs: set[str] = set()
        self.lost: set[str] = set()
        self.ran: list[int] = []
        self.undecided = False

    def plant(self, first: int, source: str) -> Ran:
        """誤りのあるセルを動かす。"""
        code = self.rows[first].code
        with suppress(SyntaxError):  # 検証が退ける
            code = read(self.session, source)
        touched = self.world.closure(code.loads | self.rows[first].code.loads) | code.stores
        return self._execute(first, touched, source)

    def step(self, index: int) -> Ran | None:
        """次のセルを、要るなら動かして（理由、セル）を返す。飛ばせばNoneを返す。"""
        row = self.rows[index]
        if not row.touch & (self.differs | self.lost):
            self._skip(index)
            return None
        touched = self.world.closure(row.code.loads) | row.touch | row.code.stores
        needed = self._needed(touched, row.writes)
        if row.touch & self.lost or self.long.intersection([index, *needed]):
            self.undecided = True
            self.lost |= touched | row.writes
            return None
        self._catch_up(needed)
        touched |= self.world.closure(row.code.loads)
        self.ran.append(index)
        set_rng(row.before, set(RNG) - self.differs)
        return self._execute(index, touched)

    def _skip(self, index: int) -> None:
        self.pending.append(index)
        self.differs -= self.rows[index].kills
        self.lost -= self.rows[index].kills

    def _needed(self, touched: set[str], written: set[str]) -> list[int]:
        """飛ばしたセルのうち、動かすセルの前に動かさなければならないもの。

        設定はどのセルも読むので、設定が変わる前に読むだけのものは、動かさずに捨てる。
        """
        found = []
        touched, written = touched - set(RNG), written - {*RNG, SETTINGS}
        for index in reversed(self.pending):
            row = self.rows[index]
            if row.writes & touched or row.touch & written:
                found.append(index)
                touched = touched | (row.touch | row.code.stores) - set(RNG)
                written = written | row.writes - {*RNG, SETTINGS}
        return found[::-1]

    def _catch_up(self, needed: list[int]) -> None:
        carried = rng_state()
        for index in needed:
            if index in self.stale:
                raise CannotSliceError(index)
            row = self.rows[index]
            self.pending.remove(index)
            self.ran.append(index)
            set_rng(row.before, RNG)
            reason, _ = self.session.refused(self.cells[index], early=True)
            if reason:
                raise CannotSliceError(reason)
            self.world.refresh(row.touch | row.code.stores)
            if SETTINGS in row.writes:
                self.stale |= {p for p in self.pending if p < index}
        set_rng(carried, RNG)

    def _execute(self, index: int, touched: set[str], source: str | None = None) -> Ran:
        reason, node = self.session.refused(self.cells[index], source, early=True)
        if reason is None:
            changed = self.world.refresh(touched)
            self._compare(self.rows[index], changed | touched | set(RNG))
            self.stale |= {p for p in self.pending if self.rows[p].touch & (changed - set(RNG))}
        return reason, node

    def _compare(self, row: Row, names: set[str]) -> None:
        """動かしたセルの後の要約を、誤りのない章の、同じセルの後と比べる。"""
        for name in names | row.writes:
            now, base = self.world.digests.get(name), row.digests.get(name)
            if now == base and not (now or "").startswith(UNKNOWN):
                self.differs.discard(name)
            else:
                self.differs.add(name)
        self.lost -= row.kills


def walk(part: Slice, first: int, source: str) -> dict:
    """``first`` 番目のセルに誤りを植え、検証が退けるか、誤りがもう届かないところまで動かす。

    Returns
    -------
    dict
        ``caught``、見つけたもの（``by``）、動かしたセル（``ran``）、各セルの出力（``shown``）。
        飛ばしたセルの出力はNone。長いセルのために決まらなければ ``undecided``、後から動かせない
        セルがあれば ``cannot`` が真。
    """
    shown: list[Shown | None] = []
    with own_folder():
        for index in range(first, len(part.cells)):
            try:
                result = part.step(index) if shown else part.plant(first, source)
            except CannotSliceError:
                return {"caught": False, "cannot": True}
            if result and result[0]:
                where = place(part.chapter, part.cells[index])
                return {"caught": True, "by": where, "ran": part.ran, "last": index}
            shown.append(summary(part.cells[index], result[1]) if result else None)
            if not part.differs | part.lost:
                break
    shown += [None] * (len(part.cells) - first - len(shown))
    return {"caught": False, "shown": shown, "undecided": part.undecided}


def confirm(part: Slice, first: int, ran: list[int]) -> dict:
    """誤りがなければ、同じセルだけを動かしても検証に通るか。"""
    with own_folder():
        for index in [first, *ran]:
            set_rng(part.rows[index].before, RNG)
            reason, _ = part.session.refused(part.cells[index], early=True)
            if reason:
                return {"passed": False}
    return {"passed": True}
