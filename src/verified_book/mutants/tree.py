"""誤りを植えてよい、本の写しを作る。元の木には何も書かない。"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from verified_book.book import Book
from verified_book.cache_key import imported_modules
from verified_book.chapter import Chapter
from verified_book.execution import chapters_of

SKIPPED = ("_build", "dist", "node_modules", "__pycache__")
OWN = __package__.partition(".")[0]


@dataclass(frozen=True)
class Copy:
    """本の写しと、その中で読者がimportするモジュール。"""

    book: Book
    chapters: list[Chapter]
    modules: list[Path]
    scratch: Path

    def text(self, path: str) -> str:
        return (self.book.root / path).read_text("utf-8")


@contextmanager
def copied(book: Book, part: str = "") -> Iterator[Copy]:
    """``book`` の写しを一時フォルダーに作る。データと実行結果と道具は、リンクして使う。

    ``part`` を名前に含む章があれば、章はそれだけにする。
    """
    with tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True) as folder:
        root = Path(folder).resolve() / "tree"
        inputs = {Path(name).parts[0] for name in book.inputs}

        def skip(at: str, names: list[str]) -> set[str]:
            top = Path(at) == book.root
            outside = {n for n in names if n.startswith(".") or n in inputs} if top else set()
            return outside | (set(names) & set(SKIPPED))

        shutil.copytree(book.root, root, ignore=skip, symlinks=True)
        linked = [*inputs, book.cache]
        tools = (book.root / book.sources).glob("*/node_modules")
        linked += [path.relative_to(book.root) for path in tools]
        for name in linked:
            target = book.root / name
            if target.exists():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).symlink_to(target)
        scratch = Path(folder) / "scratch"
        scratch.mkdir()
        copy = replace(book, root=root)
        chapters = [chapter for chapter in chapters_of(copy) if chapter.cells]
        modules = _modules(copy, chapters)
        chosen = [chapter for chapter in chapters if part in chapter.name] or chapters
        yield Copy(copy, chosen, modules, scratch)


def _modules(book: Book, chapters: list[Chapter]) -> list[Path]:
    """章がimportするパッケージの、すべてのモジュール。このパッケージからは、使うモジュールだけ。"""
    sources = book.root / book.sources
    codes = [cell.source for chapter in chapters for cell in chapter.cells]
    found = set(imported_modules(sources, codes))
    packages = {path.relative_to(sources).parts[0] for path in found} - {OWN}
    folders = [sources / name for name in packages]
    return sorted(found.union(*(f.rglob("*.py") if f.is_dir() else [f] for f in folders)))


def link_tree(copy: Copy, target: Path, changed: str, text: str) -> Path:
    """``changed`` だけが ``text`` に変わった木を、ほかはリンクで ``target`` に作る。"""
    parts = Path(changed).parts
    here, there = copy.book.root, target
    for part in parts:
        there.mkdir()
        for entry in os.listdir(here):
            if entry not in (part, "__pycache__"):
                (there / entry).symlink_to(here / entry)
        here, there = here / part, there / part
    there.write_text(text, "utf-8")
    return target
