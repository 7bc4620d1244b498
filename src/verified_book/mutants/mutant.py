"""一つの誤り：どのファイルのどの文字を、何に置き換えるか。"""

from collections.abc import Iterator
from dataclasses import dataclass

CONTEXT = 30  # 表示で、変えた文字の前後に添える文字の数


@dataclass(frozen=True)
class Mutant:
    """``path`` の ``start`` から ``end`` の前までを ``after`` に置き換える誤り。

    Parameters
    ----------
    kind : str
        誤りの種類（kinds.py）。
    path : str
        本の根から見た、変えるファイル。
    start, end : int
        置き換える文字の範囲（0から数える）。
    after : str
        置き換えた後の文字。
    """

    kind: str
    path: str
    start: int
    end: int
    after: str

    def apply(self, text: str) -> str:
        """誤りを植えた本文を返す。

        Examples
        --------
        >>> Mutant("digit", "a.md", 1, 2, "9").apply("123")
        '193'
        """
        return text[: self.start] + self.after + text[self.end :]

    def line(self, text: str) -> int:
        """変える場所の行（1から数える）。"""
        return text.count("\n", 0, self.start) + 1

    def describe(self, text: str) -> str:
        """``元の文字 → 変えた文字`` を、同じ行の前後を添えて返す。"""
        left = text.rfind("\n", 0, self.start) + 1
        right = text.find("\n", self.end)
        right = len(text) if right < 0 else right
        before = text[max(left, self.start - CONTEXT) : self.start].lstrip()
        behind = text[self.end : min(right, self.end + CONTEXT)].rstrip()
        old = text[self.start : self.end]
        return f"{before}{old}{behind} → {before}{self.after}{behind}".replace("\n", "⏎")


SAME = "どの出力も図も本文の数も変わらない"  # 章の言うことが何も変わらない誤り


@dataclass(frozen=True)
class Verdict:
    """検証の答え。``by`` は、見つけたもの（見つからなければ手がかりか ``SAME``）。"""

    caught: bool
    by: str = ""


Judged = Iterator[tuple[Mutant, Verdict, float]]  # 誤り、答え、かかった秒数


def line_starts(text: str) -> list[int]:
    """各行の始まりの位置。最後に本文の長さを加える。"""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts
