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


def show_sample(book: Book, rows: list[dict]) -> int:
    """標本の結果を表示し、記録にも等価な誤りの表にもない、見つからなかった誤りがあれば1を返す。

    数の少ない標本では割合を測れないので、最後にすべてを確かめたときの記録と比べる。
    """
    path = book.root / FIGURES
    recorded = json.loads(path.read_text("utf-8"))["kinds"] if path.is_file() else []
    known = {(_file(survivor), survivor["change"]) for survivor in _survivors(recorded)}
    unknown = [
        survivor
        for survivor in _survivors(rows)
        if not survivor["reason"] and (_file(survivor), survivor["change"]) not in known
    ]
    show(rows)
    if unknown:
        places = "、".join(survivor["place"] for survivor in unknown)
        print(f"記録にない、見つからなかった誤りがあります：{places}", file=sys.stderr)
        print("例を直すか、make mutantsで記録を新しくしてください。", file=sys.stderr)
    return 1 if unknown or not rows else 0


def _survivors(rows: list[dict]) -> list[dict]:
    return [survivor for row in rows for survivor in row["survivors"]]


def _file(survivor: dict) -> str:
    return survivor["place"].rpartition(":")[0]


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


def write(book: Book, rows: list[dict], chapters: list[str]) -> None:
    """ページに載せる数を、日付、プロセッサーの種類、版、確かめた章の名前とともに書く。

    合計には、結果の変わらない誤りを含めない。
    """
    content = {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor(),
        "versions": versions(book),
        "chapters": chapters,
        "planted": sum(row["planted"] - row["same"] for row in rows),
        "caught": sum(row["caught"] for row in rows),
        "kinds": rows,
    }
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    path = book.root / FIGURES
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_text(text, "utf-8")
    partial.replace(path)
