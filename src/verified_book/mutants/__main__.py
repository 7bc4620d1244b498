"""``python -m verified_book.mutants``：誤りを植え、見つけた数を種類ごとに表示する。"""

import argparse
import os
import random
import signal
import sys
import time
from collections import defaultdict
from datetime import date
from pathlib import Path

from verified_book.book import Book
from verified_book.execution import chapters_of, execute_all
from verified_book.mutants.kinds import KINDS, all_mutants
from verified_book.mutants.mutant import Mutant
from verified_book.mutants.reading import RedError
from verified_book.mutants.report import figures, show, show_sample, write
from verified_book.mutants.results import Results
from verified_book.mutants.tree import Copy, copied

PAUSE = 30.0  # 進み具合を知らせる間隔（秒）
QUICK = 30.0  # 標本では、budgetがこれより長い章のコードは選ばない（秒）
WHOLE_CHAPTER = {"raises", "cell-operator", "cell-constant", "cell-argument"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m verified_book.mutants", description=__doc__)
    parser.add_argument("--kind", action="append", choices=KINDS, help="誤りの種類（何度でも）")
    parser.add_argument("--chapter", default="", help="ファイルの名前の一部")
    parser.add_argument("--sample", type=int, help="種類に均等に、この数だけ選ぶ")
    today = date.today().toordinal()
    parser.add_argument("--seed", type=int, default=today, help="標本の乱数のシード（既定は今日）")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="同時に動かす数")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # 止められても、子を残さない
    book = Book.load(Path.cwd())
    chapters = [chapter for chapter in chapters_of(book) if options.chapter in chapter.name]
    problems = execute_all(book, chapters or chapters_of(book), print)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return 1
    try:
        with copied(book, options.chapter) as copy:
            return _run(book, copy, options)
    except RedError as error:
        print(f"誤りを植える前から、検証が失敗します。\n{error}", file=sys.stderr)
        return 1


def _run(book: Book, copy: Copy, options: argparse.Namespace) -> int:
    mutants = list(all_mutants(copy))
    chosen = [
        mutant
        for mutant in mutants
        if mutant.kind in (options.kind or KINDS) and options.chapter in mutant.path
    ]
    if options.sample is not None:
        chosen = sample(copy, chosen, options.sample, options.seed)
        print(f"標本のシード：{options.seed}")
    results = Results(book.root, copy)
    begin = time.monotonic()
    groups = defaultdict(list)
    for mutant in chosen:
        if results.get(mutant) is None:
            groups[KINDS[mutant.kind].judge].append(mutant)
    print(
        f"誤り{len(chosen)}個、そのうち確かめ済み{len(chosen) - sum(map(len, groups.values()))}個"
    )
    for judge, waiting in groups.items():
        print(f"{judge.__name__}: {len(waiting)}個", flush=True)
        told = time.monotonic()
        for done, (mutant, verdict, seconds) in enumerate(judge(copy, waiting, options.jobs), 1):
            results.add(mutant, verdict, seconds)
            if time.monotonic() - told > PAUSE:
                told = time.monotonic()
                print(f"  {done}/{len(waiting)} {told - begin:.0f}秒", flush=True)
    rows = figures(book, results, chosen)
    if len(chosen) == len(mutants):
        write(book, rows, [chapter.name for chapter in copy.chapters])
    print(f"{(time.monotonic() - begin) / 60:.1f}分")
    return show(rows) if options.sample is None else show_sample(book, rows)


def sample(copy: Copy, mutants: list[Mutant], size: int, seed: int) -> list[Mutant]:
    """種類ごとに同じ数になるように選ぶ。"""
    slow = {chapter.name for chapter in copy.chapters if chapter.budget > QUICK}
    by_kind = defaultdict(list)
    for mutant in mutants:
        if not (mutant.kind in WHOLE_CHAPTER and mutant.path in slow):
            by_kind[mutant.kind].append(mutant)
    chooser = random.Random(seed)
    for group in by_kind.values():
        chooser.shuffle(group)
    chosen = []
    while len(chosen) < size and any(by_kind.values()):
        for group in by_kind.values():
            if group and len(chosen) < size:
                chosen.append(group.pop())
    return chosen


if __name__ == "__main__":
    sys.exit(main())
