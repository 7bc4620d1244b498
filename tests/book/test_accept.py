"""期待値の書き込み：必要なところだけを書き換え、ほかは1バイトも変えない。"""

from pathlib import Path

import pytest
from small_book import HEAD, SmallBook

from verified_book.accept import rewrite
from verified_book.chapter import parse


def rewritten(tmp_path: Path, body: bytes, *outputs: str) -> bytes:
    path = tmp_path / "a.md"
    path.write_bytes(HEAD.encode() + body)
    chapter = parse(path, "docs/a.md")
    assert chapter.problems == []
    texts = {cell.index: text for cell, text in zip(chapter.cells, outputs, strict=True)}
    return rewrite(chapter, texts).removeprefix(HEAD.encode())


CELL = b"```{code-cell} python\nf()\n```\n"


@pytest.mark.parametrize(
    ("body", "output", "result"),
    [
        (CELL, "", CELL),
        (CELL, "1", CELL + b"\n```{expect}\n1\n```\n"),
        (CELL.rstrip(), "1", CELL + b"\n```{expect}\n1\n```\n"),
        (
            CELL + b"\n```{expect}\n1\n```\n\nafter  \n",
            "2",
            CELL + b"\n```{expect}\n2\n```\n\nafter  \n",
        ),
        (CELL + b"```{expect}\n1\n```", "2", CELL + b"```{expect}\n2\n```"),
        (CELL + b"```{expect}\n0.12 a...\n```\n", "0.123 abc", None),
        (CELL + b"```{expect}\n0.12 1\n```\n", "0.123 2", CELL + b"```{expect}\n0.12 2\n```\n"),
        (CELL + b"```{expect}\n:exempt: timing\n\xe7\x90\x86\xe7\x94\xb1\n```\n", "1", None),
        (CELL + b"```{expect}\n1\n```\n", "", CELL),
        (CELL + b"\n", "a\n```\nb", CELL + b"\n````{expect}\na\n```\nb\n````\n\n"),
    ],
)
def test_only_the_expectation_changes(
    tmp_path: Path, body: bytes, output: str, result: bytes | None
) -> None:
    assert rewritten(tmp_path, body, output) == (body if result is None else result)


def test_line_ends_and_strange_bytes_are_kept(tmp_path: Path) -> None:
    body = b"a\ttab \xe3\x80\x80\r\n```{code-cell} python\r\nf()\r\n```\r\nb\x0c\xe2\x80\xa8c"
    expected = body.replace(
        b"f()\r\n```\r\n", b"f()\r\n```\r\n\r\n```{expect}\r\n1\r\n2\r\n```\r\n"
    )
    assert rewritten(tmp_path, body, "1\n2") == expected


def test_several_cells_are_rewritten_at_their_places(tmp_path: Path) -> None:
    old = b"```{expect}\nold\n```\n"
    body = CELL + old + b"between\n\n" + CELL + b"\n" + CELL + old
    new = rewritten(tmp_path, body, "1", "2", "old")
    one, two = (b"```{expect}\n%d\n```\n" % n for n in (1, 2))
    assert new == CELL + one + b"between\n\n" + CELL + b"\n" + two + b"\n" + CELL + old


def test_a_rejected_chapter_turns_green(book: SmallBook) -> None:
    path = book.write("```{code-cell} python\n6 * 7\n```\n\n```{expect}\n41\n```\n")
    other = book.write("文だけ\n", "chapter2")
    before = path.read_text(), other.stat().st_mtime_ns
    assert book.html().status == 1
    run = book.accept("chapter.md")
    assert (run.status, run.executed) == (0, 0)
    assert path.read_text() == before[0].replace("41", "42")
    assert other.stat().st_mtime_ns == before[1]
    assert book.html().status == 0
    after = path.stat().st_mtime_ns
    assert book.accept().status == 0
    assert path.stat().st_mtime_ns == after


def test_an_unknown_chapter_is_a_clear_error(book: SmallBook) -> None:
    run = book.accept("tensro")
    assert run.status == 1
    assert run.text.strip() == "「tensro」を名前に含む章がありません。"
