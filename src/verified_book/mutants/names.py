"""コードに現れる名前を集める。"""

import ast
import dis
import functools
import re
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from verified_book.mutants.session import Session

WORK = "work"  # 作業フォルダーの名前


def codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """``code`` と、その中で定義される関数とクラスのコード。"""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes(constant)


@functools.cache
def loaded(code: types.CodeType) -> frozenset[str]:
    """``code`` が読み書きするグローバルの名前。"""
    found = set()
    for part in codes(code):
        for step in dis.get_instructions(part):
            if step.opname.endswith(("_GLOBAL", "_NAME")) and not step.opname.startswith("IMPORT"):
                found.add(step.argval)
    return frozenset(found)


@functools.cache
def mentioned(code: types.CodeType) -> frozenset[str]:
    """``code`` に現れる、属性も含めたすべての名前。"""
    return frozenset(name for part in codes(code) for name in part.co_names)


def is_ours(module: str | None) -> bool:
    """セルか、セルが作業フォルダーに書いたモジュールか。"""
    file = getattr(sys.modules.get(module or ""), "__file__", None)
    return module == "__main__" or bool(file and Path(file).parent.name == WORK)


@dataclass
class Code:
    """セルのコードに現れる名前：読むもの、置くもの、必ず置くもの、属性も含めたすべて。"""

    loads: set[str]
    stores: set[str]
    kills: set[str]
    mentions: set[str]


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
