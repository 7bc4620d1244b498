"""実際の出力を章の期待値に書き込むコマンド：``python -m verified_book.accept [名前の一部]``。

期待値がないか、一致しないところだけを書き換え、ほかは1バイトも変えない。
まだ一致する ``...`` と短い桁は、書かれたまま残す。結果は ``git diff`` で確かめる。
"""

import argparse
import os
import re
import sys
from pathlib import Path

from verified_book.book import Book
from verified_book.chapter import Chapter
from verified_book.compare import compare, merge, normalize
from verified_book.execution import cached, chapters_of, execute_all
from verified_book.expectations import output_text


def rewrite(chapter: Chapter, outputs: dict[int, str]) -> bytes:
    """章の本文の、一致しない期待値を書き直したバイト列を返す。

    Parameters
    ----------
    chapter : Chapter
        書き方に誤りのない章。
    outputs : dict of int to str
        セルの番号（``Cell.index``）ごとの、実際の出力。
    """
    original = chapter.path.read_bytes().decode("utf-8")
    lines = original.splitlines(keepends=True)
    newline = "\r\n" if "\r\n" in original else "\n"
    for cell in sorted(chapter.cells, key=lambda cell: -cell.line):
        text = outputs[cell.index]
        expectation = cell.expectation
        if expectation is None and text:
            if not lines[cell.end - 1].endswith("\n"):
                lines[cell.end - 1] += newline
            lines[cell.end : cell.end] = [newline, *_fence(normalize(text), newline)]
        elif expectation and not expectation.exempt and compare(expectation.text, text) is None:
            last = lines[expectation.end - 1]
            fence = _fence(merge(expectation.text, text), newline) if text else []
            if fence and not last.endswith("\n"):
                fence[-1] = fence[-1].removesuffix(newline)
            lines[expectation.start : expectation.end] = fence
    return "".join(lines).encode("utf-8")


def _fence(text: str, newline: str) -> list[str]:
    ticks = "`" * max([3, *(len(run) + 1 for run in re.findall(r"`{3,}", text))])
    return [f"{line}{newline}" for line in (f"{ticks}{{expect}}", *text.split("\n"), ticks)]


def _write(path: Path, content: bytes) -> None:
    partial = path.with_suffix(f".{os.getpid()}.part")
    partial.write_bytes(content)
    partial.chmod(path.stat().st_mode)
    partial.replace(path)


def accept(book: Book, name: str = "") -> int:
    """``name`` を含む章の期待値を書き直す。誤りがあれば表示して1を返す。"""
    chapters = [chapter for chapter in chapters_of(book) if name in chapter.name]
    if not chapters:
        print(f"「{name}」を名前に含む章がありません。", file=sys.stderr)
        return 1
    problems = [problem for chapter in chapters for problem in chapter.problems]
    problems += execute_all(book, chapters, print)
    for chapter in chapters:
        notebook = None if chapter.problems else cached(book, chapter)
        if notebook is None or not chapter.cells:
            continue
        outputs = {cell.index: output_text(notebook.cells[cell.index]) for cell in chapter.cells}
        content = rewrite(chapter, outputs)
        if content != chapter.path.read_bytes():
            _write(chapter.path, content)
            print(f"期待値を書き直しました：{chapter.name}（git diffで確かめてください）")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m verified_book.accept", description=__doc__)
    parser.add_argument("name", nargs="?", default="", help="章の名前の一部（省けばすべての章）")
    sys.exit(accept(Book.load(Path.cwd()), parser.parse_args().name))


if __name__ == "__main__":
    main()
