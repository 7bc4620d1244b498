"""用語の一覧に反する語を植え、textlintが見つけるかを確かめる。

一覧が退ける書き方を、正しい用語が出てくるすべての場所に、一つずつ書く。
誤りのある行（コードの囲みの中なら囲み）だけの原稿をたくさん作り、一度のtextlintで読む。
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from verified_book.mutants.mutant import Judged, Mutant, Verdict
from verified_book.mutants.references import FENCE, hide_literals
from verified_book.mutants.tree import Copy

HERE = Path(__file__).parents[1]
CONFIG = HERE / "textlint" / "textlintrc.json"
RULES = HERE / "textlint" / "prh.yml"
SHOWN_OPTION = re.compile(r"^[ \t]*:?(?:alt|caption|description|title):(.*)$", re.MULTILINE)
HIDDEN = re.compile(
    r"\$\$.*?\$\$|\$[^$\n]+\$|\]\([^)\n]*\)|<[^<>\n]*>|^\([\w-]+\)=$|^:(?!alt:)[\w-]+:.*$",
    re.MULTILINE,
)
AT_ONCE = 400  # 一度に読む原稿の数


def variants() -> list[tuple[str, re.Pattern[str], list[str]]]:
    """（正しい用語、退けるパターン、退けられる書き方の例）を並べる。"""
    found = []
    for rule in yaml.safe_load(RULES.read_text("utf-8"))["rules"]:
        pattern = rule["pattern"]
        source = pattern[1:-1] if pattern.startswith("/") else re.escape(pattern)
        bare = re.sub(r"\(\?[^)]*\)", "", source).replace("?", "").replace("\\", "")
        found.append((rule["expected"], re.compile(source), bare.split("|")))
    return found


def term_mutants(name: str, text: str) -> Iterator[Mutant]:
    """読者の目に触れるすべての文章の、すべての用語に植える。"""
    shown = _shown(text)
    for term, pattern, wrongs in variants():
        for found in re.finditer(re.escape(term), shown):
            for wrong in wrongs:
                mutated = shown[: found.start()] + wrong + shown[found.end() :]
                if any(m.start() == found.start() for m in pattern.finditer(mutated)):
                    yield Mutant("term", name, *found.span(), wrong)


def _shown(text: str) -> str:
    """読者が読む文章だけを残し、ほかは同じ長さの空白にした本文。"""

    def blank(found: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", found[0])

    def fence(found: re.Match[str]) -> str:
        if found[1].startswith(":") or found[2] in ("figure", "glossary", "note", "dropdown"):
            return found[0]
        kept = list(blank(found))
        for option in SHOWN_OPTION.finditer(found[0]) if found[2] == "code-cell" else ():
            kept[slice(*option.span(1))] = option[1]
        return "".join(kept)

    front = re.match(r"---\n.*?\n---\n", text, re.DOTALL)
    head = text[: front.end()] if front else ""
    kept = list(re.sub(r"[^\n]", " ", head))
    for option in SHOWN_OPTION.finditer(head):
        kept[slice(*option.span(1))] = option[1]
    body = FENCE.sub(fence, text[len(head) :])
    return "".join(kept) + HIDDEN.sub(blank, hide_literals(body))


def judge_terms(copy: Copy, mutants: Iterable[Mutant], jobs: int) -> Judged:
    planted = list(mutants)
    for first in range(0, len(planted), AT_ONCE):
        batch, begin = planted[first : first + AT_ONCE], time.monotonic()
        caught = _textlint(copy, batch)
        seconds = (time.monotonic() - begin) / len(batch)
        for mutant, found in zip(batch, caught, strict=True):
            yield mutant, Verdict(found, "textlint" if found else ""), seconds


def _textlint(copy: Copy, batch: list[Mutant]) -> list[bool]:
    folder = copy.scratch / "terms"
    folder.mkdir(exist_ok=True)
    names = []
    for index, mutant in enumerate(batch):
        path = folder / f"{index}.md"
        path.write_text(_excerpt(copy.text(mutant.path), mutant), "utf-8")
        names.append(str(path))
    node = Path(sys.executable).with_name("node")
    command = [node, HERE / "node_modules" / ".bin" / "textlint", "--config", CONFIG]
    done = subprocess.run([*command, "-f", "json", *names], capture_output=True, text=True)
    reports = {Path(r["filePath"]).name: r["messages"] for r in json.loads(done.stdout)}
    return [
        any(message["ruleId"] == "prh" for message in reports.get(Path(name).name, []))
        for name in names
    ]


def _excerpt(text: str, mutant: Mutant) -> str:
    """誤りのある行か、その行を囲むコードの囲み。先頭の設定の行なら、設定の全体。"""
    changed = mutant.apply(text)
    front = re.match(r"---\n.*?\n---\n", text, re.DOTALL)
    if front and mutant.start < front.end():
        return changed[: front.end() + len(changed) - len(text)]
    for found in FENCE.finditer(text):
        inside = found.start() <= mutant.start < found.end()
        if inside and found[1].startswith("`"):
            return changed[found.start() : found.end() + len(changed) - len(text)]
    start = changed.rfind("\n", 0, mutant.start) + 1
    end = changed.find("\n", mutant.start)
    return changed[start : end if end >= 0 else len(changed)] + "\n"
