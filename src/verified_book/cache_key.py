"""実行結果の鍵：セル、章が実際にimportするsrc/のモジュール、データ、版が同じなら結果も同じ。"""

import ast
import hashlib
import json
import re
from functools import cache
from pathlib import Path

from verified_book.book import Book
from verified_book.chapter import Chapter
from verified_book.kernel import versions

ENGINE = ("kernel.py", "kernel_config.py")


def key(book: Book, chapter: Chapter) -> str:
    """章の実行結果の鍵（16進数32桁）を返す。"""
    cells = [(cell.source, cell.raises) for cell in chapter.cells]
    modules = {
        path.relative_to(book.root).as_posix(): _digest(path)
        for path in imported_modules(
            book.root / book.sources, [cell.source for cell in chapter.cells]
        )
    }
    here = Path(__file__).parent
    parts = {
        "cells": cells,
        "modules": dict(sorted(modules.items())),
        "data": _data_digest(book),
        "versions": versions(book),
        "threads": book.threads,
        "engine": [_digest(here / name) for name in ENGINE],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def imported_modules(sources: Path, codes: list[str]) -> list[Path]:
    """``codes`` がimportするモジュールのうち ``sources`` にあるものを、間接のものも含めて返す。

    Parameters
    ----------
    sources : Path
        パッケージを置くフォルダー。
    codes : list of str
        Pythonのコード。``%`` と ``!`` で始まる行は無視する。
    """
    folders = sources.iterdir() if sources.is_dir() else ()
    packages = frozenset(folder.name for folder in folders if folder.is_dir())
    found: dict[Path, None] = {}
    waiting = [(code, "") for code in codes]
    while waiting:
        code, package = waiting.pop()
        for name in _imported_names(code, package, packages):
            for path in _files(sources, name):
                if path not in found:
                    found[path] = None
                    inside = path.relative_to(sources).parent.as_posix().replace("/", ".")
                    waiting.append((path.read_text("utf-8"), inside))
    return sorted(found)


@cache
def _imported_names(code: str, package: str, packages: frozenset[str]) -> set[str]:
    # `python -m entering_pytorch.mnist` のように、文字列の中の名前も数える
    names = set(re.findall(rf"\b(?:{'|'.join(map(re.escape, packages))})(?:\.\w+)*", code))
    plain = "\n".join("pass" if re.match(r"\s*[%!]", line) else line for line in code.splitlines())
    try:
        tree = ast.parse(plain)
    except SyntaxError:
        return names
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(parents if node.level else []), *filter(None, [node.module])])
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return names


def _files(sources: Path, name: str) -> list[Path]:
    """``a.b.c`` を読み込むときに実行されるファイル。"""
    parts = name.split(".")
    paths = [sources.joinpath(*parts[:n], "__init__.py") for n in range(1, len(parts) + 1)]
    paths.append(sources.joinpath(*parts).with_suffix(".py"))
    return [path for path in paths if path.is_file()]


def _data_digest(book: Book) -> str:
    stats = tuple(
        (path, path.stat().st_size, path.stat().st_mtime_ns)
        for pattern in book.digest
        for path in sorted(book.root.glob(pattern))
    )
    return _digest_files(stats)


@cache
def _digest_files(stats: tuple[tuple[Path, int, int], ...]) -> str:
    return hashlib.sha256("".join(_digest(path) for path, _, _ in stats).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
