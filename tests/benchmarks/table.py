"""測った値の行。表に並べ、JSONに書く。"""

import statistics
from dataclasses import asdict, dataclass, field


def positive(text: str) -> int:
    """1以上の整数を読む。ほかの文字列なら、一文で知らせて終わる。"""
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise SystemExit(f"「{text}」の代わりに、1以上の整数を指定してください。")
    return int(text)


def spread(values: list[float]) -> str:
    """中央値と範囲。一つだけなら、その値。

    Examples
    --------
    >>> spread([1.25, 1.5, 1.0])
    '1.25 (1.00–1.50)'
    >>> spread([1234.0])
    '1,234'
    """
    digits = 0 if max(map(abs, values)) >= 1000 else 1 if max(map(abs, values)) >= 100 else 2
    middle, least, most = (
        f"{value:,.{digits}f}" for value in (statistics.median(values), min(values), max(values))
    )
    return middle if least == most else f"{middle} ({least}–{most})"


@dataclass(frozen=True)
class Row:
    """同じ単位で測った、この本の値と、比べる相手の値。"""

    name: str
    unit: str
    ours: list[float]
    """測った値。``theirs`` があるときは、交互に測ったもので、同じ数だけある。"""
    against: str = ""
    """比べる相手の名前と版。"""
    theirs: list[float] = field(default_factory=list)
    smaller: bool = True
    """小さいほどよい値（秒やKB）か。そうでなければ、比は出さない。"""

    def ratio(self) -> str:
        """組ごとの、相手の値÷この本の値。比べられなければ空。

        Examples
        --------
        >>> Row("学習", "秒", [1.0, 2.0], "plain", [10.0, 18.0]).ratio()
        '9.50 (9.00–10.00)'
        """
        if not (self.theirs and self.smaller):
            return ""
        return spread([b / a for a, b in zip(self.ours, self.theirs, strict=True)])

    def cells(self) -> tuple[str, ...]:
        """表の一行：測ったもの、この本、相手、比。"""
        theirs = f"{self.against} {spread(self.theirs)}" if self.theirs else self.against
        return f"{self.name}（{self.unit}）", spread(self.ours), theirs, self.ratio()

    def record(self) -> dict:
        return asdict(self) | {"cells": self.cells()}
