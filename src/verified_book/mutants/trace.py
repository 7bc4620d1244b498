"""誤りのない章を一度動かし、各セルが何を読み、何を変えたかを記録する。"""

import os
import pickle
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path

import numpy as np
import torch

from verified_book.chapter import Cell, Chapter
from verified_book.mutants.names import Code, read
from verified_book.mutants.session import Session
from verified_book.mutants.world import FILES, RNG, SETTINGS, World, rng_digest, rng_state

SEEDS = [("乱数：torch", torch, "manual_seed"), ("乱数：numpy", np.random, "seed")]
SEEDS += [("乱数：random", random, "seed")]
# 乱数の状態を変えずに読むもの、開かずにファイルを読むもの
READS_RNG = {"get_rng_state", "set_rng_state", "fork_rng", "initial_seed", "default_generator"}
READS_RNG |= {"getstate", "get_state"}
READS_FILES = {"exists", "is_file", "is_dir", "stat", "getsize", "load", "save"}
OPENS = ("open", "os.listdir", "os.scandir", "subprocess.Popen")


@dataclass
class Row:
    """一つのセルの記録。``before`` は動かす前の乱数、``digests`` は動かした後の要約。"""

    code: Code
    touch: set[str]
    writes: set[str]
    kills: set[str]
    before: dict[str, object]
    digests: dict[str, str]


class Tracer:
    """セルが乱数とファイルに触れたかを見張る。見張りは外せないので、子プロセスの中で使う。"""

    def __init__(self, session: Session) -> None:
        self.session, self.world = session, World(session.shell.user_ns)
        self.opened, self.seeded, self.start = False, set(), {}
        for name, module, function in SEEDS:
            setattr(module, function, self._seed(name, getattr(module, function)))
        sys.addaudithook(self._audit)

    def _seed(self, name: str, function: Callable) -> Callable:
        @wraps(function)
        def seed(*args: object, **kwargs: object) -> object:
            if rng_digest(name) == self.start.get(name):
                self.seeded.add(name)  # 使う前に決め直すので、前の状態によらない
            return function(*args, **kwargs)

        return seed

    def _audit(self, event: str, args: tuple) -> None:
        if event == "subprocess.Popen":
            self.opened = True
        elif event in OPENS and not isinstance(args[0], int):
            path = Path(os.fsdecode(args[0] or "."))
            inside = path if not path.is_absolute() else _inside(path)
            self.opened |= bool(inside is not None and not (inside.parts and _linked(inside)))

    def run(self, cell: Cell) -> tuple[str | None, Row]:
        """セルを動かし、検証が退ける理由（なければNone）と記録を返す。"""
        code, before, world = read(self.session, cell.source), rng_state(), self.world
        self.opened, self.seeded, self.start = False, set(), dict(world.digests)
        touch = world.closure(code.loads)
        mentions = code.mentions | world.mentions(touch)
        reason, _ = self.session.refused(cell)
        opened = self.opened or mentions & READS_FILES
        changed = world.refresh(touch | code.stores)
        asked = set(RNG) if mentions & READS_RNG else set(RNG) & changed
        touch |= (asked - self.seeded) | {SETTINGS} | ({FILES} if opened else set())
        touch |= changed & {FILES}
        kills = set() if cell.raises else code.kills - touch
        row = Row(code, touch, changed | code.stores, kills, before, dict(world.digests))
        row.kills |= self.seeded - touch
        return reason, row


def _inside(path: Path) -> Path | None:
    with suppress(ValueError):
        return path.relative_to(Path.cwd())
    return None


def _linked(path: Path) -> bool:
    return Path(path.parts[0]).is_symlink()


def trace(session: Session, chapter: Chapter, place: Path) -> str | None:
    """章を動かして記録を ``place`` に書く。検証が退ければ、その理由を返す。"""
    tracer, rows = Tracer(session), []
    for cell in chapter.cells:
        reason, row = tracer.run(cell)
        if reason:
            return f"{chapter.name}:{cell.line}: {reason}"
        rows.append(row)
    place.write_bytes(pickle.dumps(rows))
    return None
