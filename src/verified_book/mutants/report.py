"""確かめた結果を数え、表示し、ページに載せる数をファイルに書く。"""

import json
import sys
from datetime import UTC, datetime

from verified_book.book import Book
from verified_book.kernel import processor, versions
from verified_book.mutants.kinds import KINDS
from verified_book.mutants.mutant import SAME, Mutant
from verified_book.mutants.results import Results, equivalents

FIGURES = "docs/appendix/mutants.json"


def figures(book: Book, results: Results, mutants: list[Mutant]) -> list[dict]:
    """種類ごとの、見つけた数、植えた数、見つからなかった誤り。"""
    reasons = equivalents(book.root)
    rows = {
        name: {"kind": name, "title": kind.title, "floor": kind.floor}
        | {"caught": 0, "planted": 0, "same": 0, "survivors": []}
        for name, kind in KINDS.items()
    }
    for mutant in mutants:
        row, verdict = rows[mutant.kind], results.get(mutant)
        row["planted"] += 1
        if verdict.caught:
            row["caught"] += 1
            continue
        if verdict.by == SAME:
            row["same"] += 1
            continue
        text = results.text(mutant.path)
        change = mutant.describe(text)
        reason = reasons.get((mutant.path, change), "")
        row["survivors"].append(
            {"place": f"{mutant.path}:{mutant.line(text)}", "change": change}
            | {"reason": reason, "clue": verdict.by}
        )
    return [row for row in rows.values() if row["planted"]]


def reached(row: dict) -> bool:
    """結果の変わらない誤りを除いて、見つけるべき割合に届いているか。"""
    same = row["same"] + sum(bool(survivor["reason"]) for survivor in row["survivors"])
    return row["caught"] >= row["floor"] * (row["planted"] - same)


def show(rows: list[dict]) -> int:
    """結果を表示し、割合に届かない種類があれば1を返す。"""
    for row in rows:
        for survivor in row["survivors"]:
            note = survivor["reason"] or survivor["clue"]
            print(f"{survivor['place']}: [{row['kind']}] {survivor['change']}（{note}）")
    for row in rows:
        missing = "" if reached(row) else f"  ← {row['floor']:.0%}に届きません"
        same = f"（ほかに{SAME}もの {row['same']}）" if row["same"] else ""
        planted = row["planted"] - row["same"]
        print(f"{row['kind']:14} caught {row['caught']} of {planted}{same}{missing}")
    sys.stdout.flush()
    return 0 if rows and all(map(reached, rows)) else 1


def write(book: Book, rows: list[dict]) -> None:
    """ページに載せる数を、日付、プロセッサーの種類、版とともに書く。"""
    content = {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor(),
        "versions": versions(book),
        "kinds": rows,
    }
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    path = book.root / FIGURES
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_text(text, "utf-8")
    partial.replace(path)
