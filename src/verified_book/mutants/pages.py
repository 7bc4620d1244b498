"""ページに植えた誤りを確かめる：比較、書き方の規則、Sphinxの順に、退けるまで進む。

Sphinxは本全体を一度だけ読み、そこから分かれたプロセスが、誤りのあるページだけを読み直す。
"""

import io
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from docutils import nodes

from verified_book import lint
from verified_book.chapter import parse
from verified_book.execution import cached
from verified_book.expectations import check, too_many_exemptions, verify, verify_book
from verified_book.mutants.expectation import slice_around
from verified_book.mutants.fork import TIMED_OUT, forked
from verified_book.mutants.mutant import Judged, Mutant, Verdict
from verified_book.mutants.reading import each, verdicts
from verified_book.mutants.tree import Copy

ANSI = re.compile(r"\x1b\[[0-9;]*m")
LIMIT = 120.0  # 一つのページを読み直すのに、これほどはかからない（秒）


def judge_text(copy: Copy, mutants: Iterable[Mutant], jobs: int) -> Judged:
    """期待値の中の誤りを、そのセルの出力と比べる。"""
    chapters = {chapter.name: chapter for chapter in copy.chapters}
    outputs = {name: cached(copy.book, chapter) for name, chapter in chapters.items()}

    def judge(mutant: Mutant) -> Verdict:
        chapter = chapters[mutant.path]
        cell, text = slice_around(chapter, mutant)
        head = chapter.text[: chapter.text.index("\n---", 3) + 5]
        mutated = parse(chapter.path, chapter.name, head + text)
        node = outputs[mutant.path].cells[cell.index]
        refused = mutated.problems or check(mutated.cells[0], node)
        return Verdict(bool(refused), "期待値" if refused else "")

    return each(list(mutants), judge, jobs)


def judge_pages(copy: Copy, mutants: Iterable[Mutant], jobs: int) -> Judged:
    """ページを、組み立てと ``make lint`` が退けるか。"""
    planted = list(mutants)
    return verdicts(planted, lambda: _judge(copy, planted, jobs))


def _judge(copy: Copy, planted: list[Mutant], jobs: int) -> Iterator[dict]:
    results = verify_book(copy.book)
    for problem in (problem for result in results for problem in result.problems):
        yield {"red": str(problem)}
        return
    rules = _Rules(copy)
    wrong = [problem for path in copy.book.chapter_paths() for problem in rules.check(path)]
    site = _Site(copy)
    if wrong or site.base:
        yield {"red": "\n".join([*wrong, *sorted(site.base)])}
        return

    def again(path: str) -> dict:
        return {"new": sorted(site.warnings(path, copy.text(path)))}

    paths = sorted({mutant.path for mutant in planted})
    for path, result, _ in forked(paths, again, jobs=jobs, limit=LIMIT):
        if result.get("new") != []:
            yield {"red": f"{path}を元のまま読み直すと、結果が変わります：{result}"}
            return

    def by_sphinx(mutant: Mutant, text: str) -> str:
        try:
            return "Sphinx" if site.warnings(mutant.path, text) else ""
        except Exception as error:  # 組み立ても、この例外で止まる
            return f"組み立ての異常終了：{type(error).__name__}"

    def by_rules(mutant: Mutant, text: str) -> str:
        path = copy.book.root / mutant.path
        chapter = parse(path, mutant.path, text)
        notebook = None if chapter.problems else cached(copy.book, chapter)
        if notebook is None:
            return "章の書き方" if chapter.problems else "実行結果がない"
        try:
            changed = verify(chapter, notebook)
        except Exception as error:
            return f"組み立ての異常終了：{type(error).__name__}"
        others = [result for result in results if result.chapter.name != mutant.path]
        if changed.problems or too_many_exemptions([*others, changed]):
            return "期待値"
        return "verified_book.lint" if rules.check(path, text) else ""

    def work(index: int) -> dict:
        mutant = planted[index]
        text = mutant.apply(copy.text(mutant.path))
        # 先に、その種類を見つけそうな方で調べる
        first, then = (by_sphinx, by_rules) if mutant.kind == "reference" else (by_rules, by_sphinx)
        return {"by": first(mutant, text) or then(mutant, text)}

    for index, result, seconds in forked(range(len(planted)), work, jobs=jobs, limit=LIMIT):
        if result == TIMED_OUT or "died" in result:
            raise RuntimeError(f"ページを読み直せません：{planted[index]}：{result}")
        yield {"index": index, "caught": bool(result["by"]), "seconds": seconds, **result}


class _Rules:
    """``make lint`` の、書き方の規則。用語集のない本では、何も調べない。"""

    def __init__(self, copy: Copy) -> None:
        self.book = copy.book
        glossary = copy.book.root / lint.GLOSSARY
        self.terms = lint.glossary_terms(glossary.read_text("utf-8")) if glossary.exists() else None

    def check(self, path: Path, text: str | None = None) -> list[str]:
        if self.terms is None:
            return []
        text = path.read_text("utf-8") if text is None else text
        return list(map(str, lint.check(self.book.name(path), text, self.terms)))


class _Site:
    """本全体を読み終えたSphinx。"""

    def __init__(self, copy: Copy) -> None:
        from sphinx.application import Sphinx

        os.environ["NO_COLOR"] = "1"
        self.copy, self.stream, self.planted = copy, io.StringIO(), {}
        out = copy.scratch / "site"
        root = copy.book.root
        self.app = Sphinx(
            root / copy.book.chapters,
            root,
            out / "html",
            out / "doctrees",
            "html",
            confoverrides={"nitpicky": True},
            status=None,
            warning=self.stream,
            freshenv=True,
        )
        self.app.connect("source-read", self._plant)
        self._number(set(self.app.builder.read()))
        docnames = sorted(self.app.env.found_docs)
        for docname in docnames:
            self.app.env.get_and_resolve_doctree(docname, self.app.builder)
        self.base = self._lines()
        self.trees = {docname: self.app.env.get_doctree(docname) for docname in docnames}
        # 番号や参照のたびに、読み終えたページをファイルから読み直さない
        self.app.env.get_doctree = self.trees.__getitem__
        self.app.builder.write_doctree = self._keep

    def _keep(self, docname: str, doctree: nodes.document, *, _cache: bool = True) -> None:
        """読み直したページを、ファイルに書かずに残す。"""
        self.trees[docname] = doctree

    def _number(self, docnames: set[str]) -> None:
        """読み終えたページの図と節に番号を付け、本全体の不整合を調べる。"""
        list(self.app.env.check_dependents(self.app, docnames))  # 読み進めて初めて番号が付く
        self.app.env.check_consistency()

    def _plant(self, app: object, docname: str, source: list[str]) -> None:
        source[0] = self.planted.get(docname, source[0])

    def _lines(self) -> set[str]:
        lines = ANSI.sub("", self.stream.getvalue()).splitlines()
        return {line for line in lines if line.strip()}

    def warnings(self, path: str, text: str) -> set[str]:
        """``path`` が ``text`` に変わったときの、新しい警告。分かれたプロセスの中で呼ぶ。"""
        app, env = self.app, self.app.env
        docname = env.path2doc(str(self.copy.book.root / path))
        self.planted[docname] = text
        del self.trees[docname]
        app.events.emit("env-purge-doc", env, docname)
        env.clear_doc(docname)
        app.builder.read_doc(docname)
        app.events.emit("env-updated", env)
        self._number({docname})
        env.get_and_resolve_doctree(docname, app.builder)
        return self._lines()
