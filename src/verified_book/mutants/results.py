"""確かめた結果をファイルに書き足し、止めても続きから始められるようにする。"""

import hashlib
import json
import tomllib
from functools import cache
from pathlib import Path

from verified_book.cache_key import imported_modules
from verified_book.kernel import CONFIG
from verified_book.mutants import cells
from verified_book.mutants.kinds import KINDS
from verified_book.mutants.mutant import Mutant, Verdict
from verified_book.mutants.structure import cell_start
from verified_book.mutants.tree import Copy

PLACE = "_build/mutants/results.jsonl"
EQUIVALENTS = "docs/appendix/mutants.toml"
# 答えを左右するファイル。このパッケージ自身は、直しても結果が残るように含めない
DEPENDS = ("src/*/*.py", "src/*/textlint/*", "tests/library/*", "conf.py", "pyproject.toml")
# セルの誤りの答えは、章のセルと期待値と、セルを動かして出力を比べるモジュールだけで決まる
OF_CELLS = (Path(cells.__file__), CONFIG)


class Results:
    """答えの記録。鍵は、誤りと、それを植えた本の内容から作る。"""

    def __init__(self, root: Path, copy: Copy) -> None:
        self.file, self.copy = root / PLACE, copy
        self.known: dict[str, dict] = {}
        if self.file.is_file():
            for line in self.file.read_text("utf-8").splitlines():
                record = json.loads(line)
                self.known[record["key"]] = record
        self.shared = _digest(copy.book.root, DEPENDS)
        self.pages = _digest(copy.book.root, (f"{copy.book.chapters}/**/*.md",))
        engine = _digest(copy.book.root, (f"src/*/{CONFIG.name}", *_modules(copy)))
        self.cells = f"{engine}{_settings(copy.book.root)}"
        self.texts: dict[str, str] = {}
        self.chapters = {chapter.name: chapter for chapter in copy.chapters}

    def text(self, path: str) -> str:
        if path not in self.texts:
            self.texts[path] = self.copy.text(path)
        return self.texts[path]

    def key(self, mutant: Mutant) -> str:
        place = (mutant.kind, mutant.path, mutant.start, mutant.end, mutant.after)
        if KINDS[mutant.kind].judge is cells.judge_cells:
            parts = (*self._in_cell(mutant), self.cells)
        else:
            # 参照はほかのページを指し、src/は章でも確かめるので、すべてのページの内容による
            pages = self.pages if mutant.kind.startswith(("reference", "src-")) else ""
            parts = (*place, self.text(mutant.path), self.shared, pages)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]

    def _in_cell(self, mutant: Mutant) -> tuple[object, ...]:
        """セルの中の場所と、章のセルの内容。前後の文章を直しても変わらない。"""
        begins, content = self._cells_of(mutant.path)
        number = max(i for i, begin in enumerate(begins) if begin <= mutant.start)
        start, end = mutant.start - begins[number], mutant.end - begins[number]
        return (mutant.kind, mutant.path, number, start, end, mutant.after, content)

    @cache  # noqa: B019 一度の実行に一つだけ作り、最後まで使う
    def _cells_of(self, path: str) -> tuple[list[int], str]:
        chapter = self.chapters[path]
        begins = [cell_start(chapter, cell) for cell in chapter.cells]
        rows = [
            (cell.source, cell.raises, *((e.text, e.exempt) if (e := cell.expectation) else ()))
            for cell in chapter.cells
        ]
        content = (rows, chapter.budget, sorted(cells.used_names(self.copy, chapter)))
        return begins, hashlib.sha256(repr(content).encode()).hexdigest()

    def get(self, mutant: Mutant) -> Verdict | None:
        record = self.known.get(self.key(mutant))
        return Verdict(record["caught"], record["by"]) if record else None

    def add(self, mutant: Mutant, verdict: Verdict, seconds: float) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "key": self.key(mutant),
            "kind": mutant.kind,
            "caught": verdict.caught,
            "by": verdict.by,
            "seconds": round(seconds, 2),
            "place": f"{mutant.path}:{mutant.line(self.text(mutant.path))}",
            "change": mutant.describe(self.text(mutant.path)),
        }
        self.known[record["key"]] = record
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _modules(copy: Copy) -> list[str]:
    """セルの誤りの答えを左右するモジュール：章のセルと ``OF_CELLS`` がimportするもの。"""
    sources = copy.book.root / copy.book.sources
    codes = [cell.source for chapter in copy.chapters for cell in chapter.cells]
    found = imported_modules(sources, [*codes, *(path.read_text("utf-8") for path in OF_CELLS)])
    own = Path(cells.__file__).parent.name
    return [copy.book.name(path) for path in found if path.parent.name != own]


def _settings(root: Path) -> str:
    """実行と検証の設定。依存パッケージを加えても、セルの答えは変わらない。"""
    table = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["verified_book"]
    return json.dumps(table, sort_keys=True, ensure_ascii=False)


def _digest(root: Path, patterns: tuple[str, ...]) -> str:
    paths = sorted({path for pattern in patterns for path in root.glob(pattern) if path.is_file()})
    contents = [(path.relative_to(root).as_posix(), path.read_bytes()) for path in paths]
    return hashlib.sha256(repr(contents).encode()).hexdigest()


def equivalents(root: Path) -> dict[tuple[str, str], str]:
    """結果の変わらない誤りの表：（ファイル、変更の説明）ごとの理由。"""
    path = root / EQUIVALENTS
    if not path.is_file():
        return {}
    table = tomllib.loads(path.read_text("utf-8")).get("equivalent", [])
    return {(row["path"], row["change"]): row["reason"] for row in table}
