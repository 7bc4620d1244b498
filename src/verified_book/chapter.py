"""章を読む：セルと、そのすぐ下の期待値と、書き方の誤り。"""

import re
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import nbformat
from markdown_it import MarkdownIt
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.front_matter import front_matter_plugin
from myst_nb.core.read import (
    is_myst_markdown_notebook,
    read_myst_markdown_notebook,
)
from myst_parser.config.main import MdParserConfig

EXEMPTIONS = {
    "uninitialized": "未初期化のメモリ",
    "timing": "時間の測定",
    "machine": "機種による違い",
}
SETTINGS = {"file_format", "kernelspec", "budget", "myst"}
CELL_OPTIONS = {"raises", "tags", "mystnb"}
DISPLAY_OPTIONS = {
    "image": {"alt", "width", "height", "scale", "align", "classes"},
    "figure": {"caption", "name", "align", "classes"},
    "code_prompt_show": set(),
    "code_prompt_hide": set(),
}
CELL_TAGS = {
    *(f"{action}-{part}" for action in ("hide", "remove") for part in ("input", "output", "cell")),
    "scroll-output",
    "full-width",
    "margin",
}
PYTHON_FENCES = {"python", "py", "python3", "ipython", "ipython3", "pycon"}
OPTION = re.compile(r":([\w-]+):[ \t]*(.*)")


@dataclass(frozen=True)
class Problem:
    """章の誤り：どこで、何が起き、どうすればよいか。"""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


@dataclass(frozen=True)
class Expectation:
    """``{expect}`` に書かれた期待値。囲みの行は ``start`` から ``end`` の前まで（0から数える）。"""

    line: int
    text: str
    start: int
    end: int
    exempt: str | None = None
    reason: str = ""


@dataclass
class Cell:
    """``{code-cell}`` の一つ。``index`` はノートブックでの番号、``line`` は囲みの行（1から）。"""

    index: int
    line: int
    end: int
    source: str
    options: dict
    expectation: Expectation | None = None

    @property
    def raises(self) -> str | None:
        return self.options.get("raises")


@dataclass
class Chapter:
    """一つの章。``problems`` が空でなければ、章は正しく書かれていない。"""

    path: Path
    name: str
    text: str
    notebook: nbformat.NotebookNode
    cells: list[Cell] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    budget: float = 60.0

    def problem(self, line: int, message: str) -> None:
        self.problems.append(Problem(self.name, line, message))


@dataclass(frozen=True)
class _Fence:
    info: str
    content: str
    start: int
    end: int
    top: bool


def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark").use(front_matter_plugin).use(colon_fence_plugin)


def _fences(text: str, offset: int = 0, top: bool = True) -> list[_Fence]:
    """囲みを上から順に、ディレクティブの中のものも含めて並べる。"""
    found = []
    for token in _markdown().parse(text):
        if token.type not in ("fence", "colon_fence") or token.map is None:
            continue
        start, end = token.map[0] + offset, token.map[1] + offset
        at_top = top and token.level == 0 and token.type == "fence"
        info = token.info.strip()
        found.append(_Fence(info, token.content, start, end, at_top))
        is_code = info.startswith(("{code-cell}", "{expect}", "{code-block}", "{literalinclude}"))
        if info.startswith("{") and not is_code:
            found += _fences(token.content, start + 1, top=False)
    return found


def parse(path: Path, name: str, text: str | None = None) -> Chapter:
    """章を読む。誤りは例外にせず、``problems`` に集める。

    Parameters
    ----------
    path : Path
        章のファイル。
    name : str
        誤りの場所として示す名前。
    text : str, optional
        ファイルの代わりに読む本文。
    """
    return deepcopy(_parse(path, name, path.read_text("utf-8") if text is None else text))


@lru_cache(maxsize=64)  # 一度の組み立てで、同じページを何度も読む
def _parse(path: Path, name: str, text: str) -> Chapter:
    executable = is_myst_markdown_notebook(text)
    chapter = Chapter(path, name, text, nbformat.v4.new_notebook())
    try:
        chapter.notebook = read_myst_markdown_notebook(
            text, MdParserConfig(enable_extensions={"colon_fence"}), add_source_map=True, path=path
        )
    except Exception as error:  # MyST-NBの例外には、公開されていないものがある
        chapter.problem(1, f"先頭の設定かセルのオプションが読めません：{error}")
        return chapter
    if executable:
        _check_settings(chapter)
    sources = [
        (index, cell)
        for index, cell in enumerate(chapter.notebook.cells)
        if cell.cell_type == "code"
    ]
    previous: Cell | None = None
    last_end = -1
    for fence in _fences(text):
        if fence.info.startswith("{code-cell}"):
            if not fence.top:
                chapter.problem(
                    fence.start + 1,
                    "このセルは実行されません。ほかのディレクティブや箇条書きの外に、```で書いてください。",
                )
                continue
            index, node = sources[len(chapter.cells)]
            previous = Cell(index, fence.start + 1, fence.end, node.source, dict(node.metadata))
            last_end = fence.end
            chapter.cells.append(previous)
            _check_options(chapter, previous)
        elif fence.info.startswith("{expect}"):
            between = text.splitlines()[last_end : fence.start]
            adjacent = previous is not None and fence.top and not any(map(str.strip, between))
            if not adjacent:
                chapter.problem(
                    fence.start + 1,
                    "期待値のすぐ上にセルがありません。セルの直後に書いてください。",
                )
            elif previous.expectation is not None:
                chapter.problem(
                    fence.start + 1, "一つのセルに期待値が二つあります。一つにまとめてください。"
                )
            else:
                previous.expectation = _read_expectation(chapter, fence)
                last_end = fence.end
        elif fence.info.split(" ")[0].lower() in PYTHON_FENCES and ">>>" not in fence.content:
            chapter.problem(
                fence.start + 1,
                "このコードは実行されません。{code-cell}にするか、>>>で書くか、literalincludeを使ってください。",
            )
    if not executable and (chapter.cells or any("{expect}" in f.info for f in _fences(text))):
        chapter.problem(
            1, "セルが実行されません。先頭の設定に「file_format: mystnb」を書いてください。"
        )
    return chapter


def _check_settings(chapter: Chapter) -> None:
    for name in chapter.notebook.metadata.keys() - SETTINGS - {"source_map"}:
        known = "、".join(sorted(SETTINGS))
        chapter.problem(1, f"先頭の設定「{name}」はありません。使えるのは{known}です。")
    budget = chapter.notebook.metadata.get("budget", chapter.budget)
    if isinstance(budget, int | float) and not isinstance(budget, bool) and budget > 0:
        chapter.budget = float(budget)
    else:
        chapter.problem(
            1, f"budget: {budget} は実行時間の目安（秒）ではありません。正の数を書いてください。"
        )


def _check_options(chapter: Chapter, cell: Cell) -> None:
    for option in cell.options.keys() - CELL_OPTIONS:
        chapter.problem(
            cell.line,
            f"セルのオプション「{option}」はありません。使えるのは{'、'.join(sorted(CELL_OPTIONS))}です。",
        )
    for tag in sorted(set(cell.options.get("tags", [])) - CELL_TAGS):
        chapter.problem(
            cell.line,
            f"セルのタグ「{tag}」は使えません。例外が起きるセルには:raises:を書きます。",
        )
    if "mystnb" in cell.options:
        _check_display(chapter, cell)
    if "raises" in cell.options and not re.fullmatch(r"[A-Za-z_][\w.]*", str(cell.raises)):
        chapter.problem(
            cell.line, "raisesには、例外の名前を一つ書いてください（例：raises: RuntimeError）。"
        )


def _check_display(chapter: Chapter, cell: Cell) -> None:
    display = cell.options["mystnb"]
    wrong = [] if isinstance(display, dict) else ["mystnb"]
    for name, value in display.items() if isinstance(display, dict) else ():
        allowed = DISPLAY_OPTIONS.get(name)
        if allowed is None or (allowed and not isinstance(value, dict)):
            wrong.append(name)
        elif allowed:
            wrong += [f"{name}: {option}" for option in sorted(value.keys() - allowed)]
    for place in wrong:
        message = f"mystnbの「{place}」は読めません。名前と字下げを確かめてください。"
        chapter.problem(cell.line, message)


def _read_expectation(chapter: Chapter, fence: _Fence) -> Expectation:
    line, body = fence.start + 1, fence.content.splitlines()
    if fence.info != "{expect}":
        chapter.problem(
            line, f"「{fence.info}」は読めません。{{expect}}の行にはほかに何も書けません。"
        )
    exempt = None
    while body and (option := OPTION.fullmatch(body[0])):
        body.pop(0)
        name, value = option.groups()
        if name != "exempt":
            chapter.problem(
                line, f"{{expect}}のオプション「{name}」はありません。使えるのはexemptです。"
            )
        elif value not in EXEMPTIONS:
            chapter.problem(
                line,
                f"exempt: {value} という名前はありません。使えるのは{'、'.join(EXEMPTIONS)}です。",
            )
        else:
            exempt = value
    text = "\n".join(body)
    if exempt and not text.strip():
        chapter.problem(
            line, "検証しない理由が書かれていません。exemptの下に一文で書いてください。"
        )
    if not exempt and not text.replace("...", "").strip():
        chapter.problem(
            line,
            "期待値が空です。出力を書いてください。検証できない出力には、exemptで理由を書きます。",
        )
    if exempt:
        return Expectation(line, "", fence.start, fence.end, exempt, text.strip())
    return Expectation(line, text, fence.start, fence.end)
