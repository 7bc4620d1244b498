"""実行結果があるまま src/ を変え、それをimportする章の結果だけが使われなくなるかを確かめる。

どの章が何をimportするかは、章のimport文を実際に動かして調べる。鍵の計算とは別の方法で比べるため。
"""

import importlib
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from verified_book.cache_key import key
from verified_book.chapter import Chapter
from verified_book.mutants.fork import forked
from verified_book.mutants.mutant import Judged, Mutant, Verdict
from verified_book.mutants.reading import each
from verified_book.mutants.session import imports, use
from verified_book.mutants.tree import Copy, link_tree


def judge_stale(copy: Copy, mutants: Iterable[Mutant], jobs: int) -> Judged:
    planted = list(mutants)
    before = {chapter.name: key(copy.book, chapter) for chapter in copy.chapters}
    users = {chapter.name: loaded(copy, chapter) for chapter in copy.chapters}

    def judge(mutant: Mutant) -> Verdict:
        folder = Path(tempfile.mkdtemp(dir=copy.scratch)) / "tree"
        root = link_tree(copy, folder, mutant.path, mutant.apply(copy.text(mutant.path)))
        book = replace(copy.book, root=root)
        changed = {c.name for c in copy.chapters if key(book, c) != before[c.name]}
        wanted = {name for name, modules in users.items() if mutant.path in modules}
        wrong = "、".join(sorted(changed ^ wanted))
        by = f"鍵の誤る章：{wrong}" if wrong else "実行結果の鍵"
        return Verdict(not wrong, by)

    return each(planted, judge, jobs)


def loaded(copy: Copy, chapter: Chapter) -> set[str]:
    """章のimport文をすべて動かしたときに読み込まれる、本のモジュール。"""
    root = copy.book.root

    def work(_: int) -> dict:
        use(root / copy.book.sources)
        sys.dont_write_bytecode = True
        for cell in chapter.cells:
            for statement in imports(cell.source):
                with suppress(ImportError):
                    exec(statement, {})
        files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
        inside = {Path(file) for file in files if file and Path(file).is_relative_to(root)}
        return {"paths": [path.relative_to(root).as_posix() for path in inside]}

    importlib.invalidate_caches()
    ((_, result, _),) = forked([0], work, jobs=1, limit=300)
    return set(result["paths"])
