"""同じ章を、この本とほかの道具とで組み立てる時間を測る。

先に ``make html`` で組み立てておく。道具は ``_build/bench/`` の別々の仮想環境に、初めの一度だけ
入れる。どの道具のセルも、この本の.venvのカーネルが、この本と同じ条件で動かす。

相手に渡すのは、期待値を除いた章の.ipynbと、用語集と、目次のページ。この本からも、ほかのページを
除く。目安の長い章は、どの道具でも学習の時間がほとんどを占めるので除く。実行のしかたは、道具の
初めの設定のまま。
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
from build import OURS, edit
from table import Row, positive

from verified_book import kernel
from verified_book.book import Book
from verified_book.chapter import Chapter, parse
from verified_book.execution import chapters_of
from verified_book.mutants.tree import copied

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "_build/bench"
BIN = Path(sys.executable).parent
BUDGET = 10  # 目安がこの秒数までの章を組み立てる
GLOSSARY = "appendix/glossary"
EDITED = "start/tensor"  # 一語を直す章
PHASES = ("初めて", "変えない", "一語を直す")
CONDITIONS = (  # 章を動かすカーネルの環境変数のうち、この本が決めるもの
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "GOMP_SPINCOUNT", "MPLBACKEND", "IPYTHONDIR"),
    *("PYTHONPATH", "PYTHONHASHSEED", "SOURCE_DATE_EPOCH", "TQDM_DISABLE"),
)
INDEX = "# Entering PyTorch\n"
TRACEBACK = "Traceback"


@dataclass(frozen=True)
class Tool:
    """比べる道具。"""

    name: str
    packages: dict[str, str]
    """仮想環境に入れるパッケージと版。初めの一つが、道具の版を示す。"""
    settings: dict[str, str]
    """設定のファイル。``PAGES`` は、``entry`` で書いたページを並べたものになる。"""
    entry: Callable[[str], str]
    command: str
    outputs: tuple[str, ...]
    """組み立てたもの。すべて消すと、次は初めての組み立てになる。"""
    page: Callable[[str], str]
    """組み立てたページの場所。"""
    note: str = ""

    @property
    def folder(self) -> Path:
        return BENCH / next(iter(self.packages))

    @property
    def python(self) -> Path:
        return self.folder / "venv/bin/python"


@dataclass(frozen=True)
class Site:
    """組み立てて測るもの。"""

    label: str
    root: Path
    command: list[str]
    environment: dict[str, str]
    outputs: tuple[str, ...]
    page: Callable[[str], str]
    edited: Path


TOOLS = (
    Tool(
        name="myst-nb",
        packages={"myst-nb": "1.4.0", "sphinx-book-theme": "1.4.0", "sphinx": "9.0.4"},
        settings={
            "docs/conf.py": 'extensions = ["myst_nb"]\nhtml_theme = "sphinx_book_theme"\n'
            'myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]\n',
            "docs/index.md": f"{INDEX}\n```{{toctree}}\nPAGES\n```\n",
        },
        entry=lambda name: f"{name}\n",
        command="sphinx-build -q -j auto docs site",
        outputs=("site", "jupyter_execute"),
        page=lambda page: f"site/{page}.html",
    ),
    Tool(
        name="Jupyter Book",
        packages={"jupyter-book": "2.1.7"},
        settings={
            "docs/index.md": INDEX,
            "theme/template.yml": "myst: v1\nkind: site\n",
            "myst.yml": "version: 1\nproject:\n  toc:\n    - file: docs/index.md\nPAGES"
            "site:\n  template: theme\n",
        },
        entry=lambda name: f"    - file: docs/{name}\n",
        command="jupyter-book build --site --execute",
        outputs=("_build",),
        page=lambda page: f"_build/site/content/{Path(page).name.replace('_', '-')}.json",
        # HTMLのテーマは、パッケージの登録所にない。組み立てのときに配布元から届くので、そこへ
        # つながらない機械でも測れるように、実行とページのデータまでにし、名前だけのテーマを渡す
        note="（HTMLを書く前まで）",
    ),
    Tool(
        name="mkdocs-jupyter",
        packages={"mkdocs-jupyter": "0.26.3", "mkdocs": "1.6.1"},
        settings={
            "docs/index.md": INDEX,
            "mkdocs.yml": "site_name: Entering PyTorch\nexclude_docs: |\n  data\n  imgs\n"
            "plugins: [{mkdocs-jupyter: {execute: true}}]\nnav:\n  - index.md\nPAGES",
        },
        entry=lambda name: f"  - {name}\n",
        command="mkdocs build --quiet",
        outputs=("site", ".cache"),
        page=lambda page: f"site/{page}/index.html",
    ),
)


def page_name(chapter: Chapter) -> str:
    """``start/tensor`` のような、ページの名前。"""
    return str(Path(chapter.name).relative_to("docs").with_suffix(""))


def install(tool: Tool) -> dict[str, str]:
    """道具を仮想環境に入れ、入っている版を返す。途中で止まったら、次は初めからやり直す。"""
    ready = tool.folder / "venv/ready"
    wanted = [f"{name}=={version}" for name, version in tool.packages.items()]
    pip = [tool.python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    try:
        if not ready.is_file() or ready.read_text("utf-8").split() != wanted:
            shutil.rmtree(tool.folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", ready.parent], check=True)
            subprocess.run([*pip, "-c", ROOT / "requirements.lock", *wanted], check=True)
            ready.write_text("\n".join(wanted), "utf-8")
        ask = (
            "import sys; from importlib.metadata import version as v; print(*map(v, sys.argv[1:]))"
        )
        found = subprocess.check_output([tool.python, "-c", ask, *tool.packages], text=True)
    except (OSError, subprocess.CalledProcessError):
        raise SystemExit(
            f"{tool.name}を入れられません。パッケージの登録所につながるかを確かめてください。"
        ) from None
    return dict(zip(tool.packages, found.split(), strict=True))


def share_kernel(book: Book) -> dict[str, str]:
    """この本のカーネルを、どの道具からも ``python3`` の名前で使えるようにする環境変数を返す。"""
    conditions = kernel._environment(book, BENCH / "ipython")
    launcher = [sys.executable, "-m", "ipykernel_launcher"]
    spec = {
        "display_name": "Python 3",
        "language": "python",
        "argv": [*launcher, f"--config={kernel.CONFIG}", "-f", "{connection_file}"],
        "env": {name: conditions[name] for name in CONDITIONS} | {"PATH": search_path(BIN)},
    }
    files = {
        "share/kernels/python3/kernel.json": spec,
        # コンテナーの中では、Jupyter Serverは、許しがなければ動かない
        "config/jupyter_server_config.json": {"ServerApp": {"allow_root": True}},
    }
    for name, content in files.items():
        write(BENCH / name, json.dumps(content))
    return {"JUPYTER_PATH": str(BENCH / "share"), "JUPYTER_CONFIG_DIR": str(BENCH / "config")}


def search_path(*folders: Path) -> str:
    return os.pathsep.join([*map(str, folders), os.environ.get("PATH", os.defpath)])


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def plain_notebook(chapter: Chapter) -> nbformat.NotebookNode:
    """期待値を除いた、どの道具でも読めるノートブック。"""
    lines = chapter.text.splitlines()
    for cell in reversed(chapter.cells):
        if cell.expectation:
            del lines[cell.expectation.start : cell.expectation.end]
    plain = parse(chapter.path, chapter.name, "\n".join(lines) + "\n")
    for cell in plain.cells:
        if cell.raises:
            tags = [*cell.options.get("tags", []), "raises-exception"]
            plain.notebook.cells[cell.index].metadata["tags"] = tags
    plain.notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        }
    )
    return plain.notebook


def their_site(tool: Tool, book: Book, chapters: list[Chapter], label: str, shared: dict) -> Site:
    """道具に渡す章と設定を書く。セルは章のフォルダーで動くので、データはそこから見えるようにする。"""
    root = tool.folder / "work"
    shutil.rmtree(root, ignore_errors=True)
    for chapter in chapters:
        target = (root / chapter.name).with_suffix(".ipynb")
        write(target, nbformat.writes(plain_notebook(chapter)))
        for name in book.inputs:
            if not (target.parent / name).exists():
                (target.parent / name).symlink_to(ROOT / name)
    write(root / f"docs/{GLOSSARY}.md", (ROOT / f"docs/{GLOSSARY}.md").read_text("utf-8"))
    pages = [f"{page_name(chapter)}.ipynb" for chapter in chapters] + [f"{GLOSSARY}.md"]
    for name, text in tool.settings.items():
        write(root / name, text.replace("PAGES", "".join(map(tool.entry, pages))))
    environment = {**os.environ, **shared, "PATH": search_path(tool.python.parent, BIN)}
    environment.pop("PYTHONPATH", None)
    command = [str(tool.python.parent / tool.command.split()[0]), *tool.command.split()[1:]]
    edited = root / f"docs/{EDITED}.ipynb"
    return Site(label, root, command, environment, tool.outputs, tool.page, edited)


@contextmanager
def our_site(book: Book, chapters: list[Chapter]) -> Iterator[Site]:
    """測る章と用語集だけにした、この本の写し。除いたページへのリンクは、誤りにしない。"""
    with copied(book) as copy:
        root = copy.book.root
        (root / book.cache).unlink()
        pages = [*map(page_name, chapters), GLOSSARY]
        for path in copy.book.chapter_paths():
            if page_name(parse(path, copy.book.name(path))) not in pages:
                path.unlink()
        listed = "\n".join(pages)
        write(root / "docs/index.md", f"{INDEX}\n```{{toctree}}\n{listed}\n```\n")
        yield Site(
            label="この本",
            root=root,
            command=[*OURS, "-D", "suppress_warnings=myst.xref_missing,ref.doc,ref.func"],
            environment={**os.environ, "PYTHONPATH": str(root / "src")},
            outputs=("_build",),
            page=lambda page: f"_build/html/{page}.html",
            edited=root / f"docs/{EDITED}.md",
        )


def tracebacks(chapter: Chapter) -> int:
    """章のページに出る、例外の出力の数。"""
    written = sum(cell.source.count(TRACEBACK) for cell in plain_notebook(chapter).cells)
    return written + sum(bool(cell.raises) for cell in chapter.cells)


def build(site: Site, chapters: list[Chapter]) -> float:
    """組み立てる秒数。例外の出力の数から、すべてのセルが正しく動いたことも確かめる。"""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        begin = time.monotonic()
        status = subprocess.run(
            site.command, cwd=site.root, env=site.environment, stdout=log, stderr=log
        ).returncode
        seconds = time.monotonic() - begin
        log.seek(0)
        said = log.read().strip().splitlines() or ["記録なし"]
    if status:
        raise SystemExit(f"{site.label}で組み立てられません：{said[-1]}")
    for chapter in chapters:
        page = site.root / site.page(page_name(chapter))
        shown = page.read_text("utf-8").count(TRACEBACK) if page.is_file() else 0
        if shown != tracebacks(chapter):
            raise SystemExit(f"{site.label}では、{chapter.name}のセルが正しく動きません。")
    return seconds


def phases(site: Site, chapters: list[Chapter], turn: int) -> Iterator[tuple[str, float]]:
    """何もないところから、そのまま、一語を直して、の順に組み立てる。"""
    for name in site.outputs:
        shutil.rmtree(site.root / name, ignore_errors=True)
    for phase in PHASES:
        if phase == "一語を直す":
            edit(site.edited, turn)
        seconds = build(site, chapters)
        print(f"{turn + 1}回目 {site.label} {phase} {seconds:.1f}秒", file=sys.stderr, flush=True)
        yield phase, seconds


def measure(rounds: str = "3") -> tuple[list[Row], dict[str, str]]:
    """この本と道具を ``rounds`` 回ずつ交互に測った行と、道具の版を返す。"""
    if not (ROOT / "_build/html/index.html").is_file():
        raise SystemExit("まだ本がありません。先にmake htmlで組み立ててください。")
    turns = positive(rounds)
    book = Book.load(ROOT)
    chapters = [c for c in chapters_of(book) if c.cells and c.budget <= BUDGET]
    found = [install(tool) for tool in TOOLS]
    shared = share_kernel(book)
    others = []
    for tool, versions in zip(TOOLS, found, strict=True):
        label = f"{tool.name} {next(iter(versions.values()))}{tool.note}"
        others.append(their_site(tool, book, chapters, label, shared))
    times: dict[tuple[str, str], list[float]] = {}
    with our_site(book, chapters) as ours:
        for turn in range(turns):
            for site in (ours, *others):
                for phase, seconds in phases(site, chapters, turn):
                    times.setdefault((site.label, phase), []).append(seconds)
    rows = [
        Row(
            f"{len(chapters)}章の組み立て：{phase}",
            "秒",
            times[ours.label, phase],
            other.label,
            times[other.label, phase],
        )
        for other in others
        for phase in PHASES
    ]
    node = subprocess.check_output([BIN / "node", "--version"], text=True)
    versions = {name: version for each in found for name, version in each.items()}
    return rows, versions | {"node": node.strip().removeprefix("v")}  # Jupyter Bookが使う
