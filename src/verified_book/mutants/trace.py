"""誤りのない章を一度動かし、各セルが何を読み、何を変えたかを記録する。"""

import ast
import os
import pickle
import random
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path

import numpy as np
import torch

from verified_book.chapter import Cell, Chapter
from verified_book.mutants.digest import codes, loaded, mentioned
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
class Code:
    """セルのコードに現れる名前：読むもの、置くもの、必ず置くもの、属性も含めたすべて。"""

    loads: set[str]
    stores: set[str]
    kills: set[str]
    mentions: set[str]


@dataclass
class Row:
    """一つのセルの記録。``before`` は動かす前の乱数、``digests`` は動かした後の要約。"""

    code: Code
    touch: set[str]
    writes: set[str]
    kills: set[str]
    before: dict[str, object]
    digests: dict[str, str]


def read(session: Session, source: str) -> Code:
    """``source`` に現れる名前。``%`` の行と、evalする文字列の中の名前も読むとみなす。"""
    plain = session.shell.transform_cell(source)
    code = compile(plain, "<cell>", "exec")
    loads = set().union(*(loaded(part) for part in codes(code) if part is not code))
    stores = set()
    for node in ast.walk(tree := ast.parse(plain)):
        if isinstance(node, ast.Name):
            (stores if isinstance(node.ctx, ast.Store) else loads).add(node.id)
            loads |= {node.id} if isinstance(node.ctx, ast.Del) else set()
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            loads.add(node.target.id)
    kills = _kills(tree.body)
    words = {w for part in codes(code) for c in part.co_consts for w in _words(c)}
    loads |= words if loads & {"eval", "exec", "get_ipython", "globals"} else set()
    return Code(loads, stores | kills, kills, set(mentioned(code)))


def _words(constant: object) -> list[str]:
    return re.findall(r"[^\W\d]\w*", constant) if isinstance(constant, str) else []


def _kills(body: list[ast.stmt]) -> set[str]:
    """例外がなければ必ず置かれる名前。"""
    found = set()
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(a.asname or a.name.partition(".")[0]) for a in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [n for target in targets for n in ast.walk(target)]
            found |= {n.id for n in names if isinstance(n, ast.Name) and _stored(n)}
        elif isinstance(node, ast.With):
            found |= _kills(node.body)
    return found


def _stored(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


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


