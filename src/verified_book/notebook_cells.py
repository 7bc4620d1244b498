"""配るノートブックのセル：章のセルから要るものを選び、ほかに何も要らないように準備のセルを足す。"""

import re
import symtable
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions

import nbformat
from nbformat.v4 import new_code_cell

from verified_book.book import Book
from verified_book.cache_key import imported_modules
from verified_book.chapter import Cell, Chapter

AUTHORS = re.compile(r"\b(?:myst_nb|verified_book)\b")  # 本を作るときだけのもの
UNSEEN = {"remove-cell", "remove-input"}
SHOWN = ("text/plain", "text/html", "text/latex", "image/png", "image/jpeg", "image/svg+xml")
INSTALL = """\
# 足りないパッケージだけを入れる
from importlib.util import find_spec

packages = {{
{packages}}}
missing = [name for module, name in packages.items() if find_spec(module) is None]
if missing:
    %pip install --quiet {{" ".join(missing)}}"""
FOLDERS = """

# 本書のライブラリを置くフォルダー。中身は、下のセルが書き出す
import os

for folder in [{folders}]:
    os.makedirs(folder, exist_ok=True)"""


def needed_cells(chapter: Chapter) -> list[Cell]:
    """読者に要るセル。ページに見えないセルは、後のセルの使う名前が、そこにしかないときだけ残す。"""
    names = [_names(cell.source) for cell in chapter.cells]
    seen = [not UNSEEN & set(cell.options.get("tags", ())) for cell in chapter.cells]
    found: list[Cell] = []
    wanted: set[str] = set()
    for place in reversed(range(len(names))):
        bound, used = names[place]
        above = (names[earlier][0] for earlier in range(place) if seen[earlier])
        if seen[place] or (bound & wanted).difference(*above):
            found.append(chapter.cells[place])
            wanted = (wanted | used) - bound
    return found[::-1]


def _names(source: str) -> tuple[set[str], set[str]]:
    """セルが定める名前と、使う名前。関数の中だけの名前は除く。"""
    lines = ("pass" if re.match(r"\s*[%!]", line) else line for line in source.splitlines())
    top = symtable.symtable("\n".join(lines), "cell", "exec")
    bound = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported()}
    used = {s.get_name() for s in top.get_symbols() if s.is_referenced()}
    inside = list(top.get_children())
    for table in inside:
        inside += table.get_children()
        used |= {s.get_name() for s in table.get_symbols() if s.is_global()}
    return bound, used


def setup_cells(book: Book, cells: list[Cell]) -> list[nbformat.NotebookNode]:
    """足りないパッケージを入れるセルと、章が使う ``src/`` のモジュールを書き出すセル。"""
    sources = book.root / book.sources
    modules = imported_modules(sources, [cell.source for cell in cells])
    texts = {path.relative_to(sources): path.read_text("utf-8").rstrip() for path in modules}
    folders = sorted({path.parent.as_posix() for path in texts})
    packages = _packages([*(cell.source for cell in cells), *texts.values()], {*folders})
    first = INSTALL.format(packages="".join(f'    "{n}": "{d}",\n' for n, d in packages))
    if folders:
        first += FOLDERS.format(folders=", ".join(f'"{folder}"' for folder in folders))
    written = [f"%%writefile {path.as_posix()}\n{text}" for path, text in texts.items()]
    return [
        _code(f"setup-{place}", source, folded=place > 0)
        for place, source in enumerate([first, *written])
    ]


def _packages(codes: list[str], own: set[str]) -> list[tuple[str, str]]:
    """importされる名前のうち、Pythonに付いてこないものと、その配布パッケージの名前。"""
    names = set()
    for code in codes:
        names |= set(re.findall(r"^\s*(?:from|import) (\w+)", code, re.MULTILINE))
    outside = sorted(names - sys.stdlib_module_names - own)
    return [(name, found) for name in outside if (found := _distribution(name))]


def _distribution(name: str) -> str | None:
    """``name`` をimportできる配布パッケージの名前。入っていなければNone。"""
    with suppress(PackageNotFoundError):
        return distribution(name).metadata["Name"]
    return _installed().get(name, [None])[0]


@cache
def _installed() -> Mapping[str, list[str]]:
    """importする名前ごとの、配布パッケージの名前。調べるのに一秒近くかかる。"""
    return packages_distributions()


def code_cell(
    cell: Cell, executed: nbformat.NotebookNode, *, folded: bool
) -> nbformat.NotebookNode:
    """章のセルを、出力と一緒に写す。折り畳むのは、JupyterLabのメタデータで表す。"""
    tags = set(cell.options.get("tags", ()))
    made = _code(
        f"cell-{cell.index}",
        cell.source,
        folded=folded or "hide-input" in tags,
        outputs_folded=folded or "hide-output" in tags,
    )
    if cell.raises:
        made.metadata["tags"] = ["raises-exception"]
    made.execution_count = executed.execution_count
    made.outputs = [_output(output) for output in executed.outputs]
    return made


def _code(
    name: str, source: str, *, folded: bool, outputs_folded: bool = False
) -> nbformat.NotebookNode:
    cell = new_code_cell(source, id=name)
    hidden = {"source_hidden": folded, "outputs_hidden": outputs_folded}
    if any(hidden.values()):
        cell.metadata["jupyter"] = {name: True for name, value in hidden.items() if value}
    return cell


def _output(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """出力の、Jupyterが表示する形だけを残す。"""
    kept = nbformat.from_dict({k: v for k, v in output.items() if k not in ("data", "metadata")})
    if "data" in output:
        kept.data = {kind: output.data[kind] for kind in SHOWN if kind in output.data}
        kept.metadata = nbformat.NotebookNode()
    return kept
