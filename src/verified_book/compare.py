"""期待値と実際の出力を比べる規則：書かれた桁まで正確に一致すること。

- 小数は、実際の値を書かれた桁数へ四捨五入したものと一致する。
- 整数、``4.`` のように点で終わる数、符号、``nan``、``inf`` は文字どおり一致する。
- ``...`` （三つの点）は改行を含む任意の文字列と一致する。``…`` は省略記号ではない。
- 連続する空白は一つとみなす。行末の空白と、前後の空行は無視する。改行は一致する。
"""

import re
from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from unicodedata import east_asian_width

# 末尾の三つだけが省略記号なので、``99....`` は「99.」で始まる任意の文字列を表す
ELLIPSIS = re.compile(r"\.\.\.(?!\.)")
NUMBER = re.compile(r"(?<![A-Za-z0-9_.])\d+\.\d+(?:[eE][-+]?\d+)?(?!\d|\.\d)")
EXPONENT = re.compile("[eE]")
TOKEN = re.compile(r"[-+]?\w+(?:\.\w*)*(?:[eE][-+]?\d+)?|\s+|.")


def normalize(text: str) -> str:
    """行末の空白と、前後の空行を除く。

    Examples
    --------
    >>> normalize("a  \\n b\\n\\n")
    'a\\n b'
    """
    lines = [line.rstrip() for line in text.expandtabs().splitlines()]
    return re.sub(r"\A\n+|\n+\Z", "", "\n".join(lines))


def same_number(written: str, actual: str) -> bool:
    """小数 ``actual`` を ``written`` の桁数へ四捨五入すると ``written`` になるか。

    Examples
    --------
    >>> same_number("0.1235", "0.12349"), same_number("0.5001", "0.5000")
    (True, False)
    >>> same_number("1.2e-05", "1.234e-05"), same_number("0.500", "0.5")
    (True, False)
    """
    if EXPONENT.findall(written) != EXPONENT.findall(actual):
        return False  # 指数の有無と、eの書き方は、文字どおり比べる
    expected, real = Decimal(written), Decimal(actual)
    if real.as_tuple().exponent > expected.as_tuple().exponent:
        return False  # 実行が示していない桁までは主張できない
    exact = Context(prec=len(actual), rounding=ROUND_HALF_UP)  # 桁の多い数も、途中で丸めない
    return real.quantize(expected, context=exact) == expected


class _Segment:
    """省略記号に挟まれた一区間：正規表現と、その中の小数。"""

    def __init__(self, text: str, *, first: bool, last: bool) -> None:
        self.numbers: list[str] = []
        parts, end = [], 0
        for found in NUMBER.finditer(text):
            touches_ellipsis = (found.start() == 0 and not first) or (
                found.end() == len(text) and not last
            )
            if touches_ellipsis:
                continue
            parts += [self._literal(text[end : found.start()]), f"({NUMBER.pattern})"]
            self.numbers.append(found.group())
            end = found.end()
        parts.append(self._literal(text[end:]))
        boundary = r"(?<![\d.])" if not first and re.match(r"\d", text) else ""
        self.pattern = re.compile(boundary + "".join(parts) + (r"\Z" if last else ""))

    @staticmethod
    def _literal(text: str) -> str:
        return re.sub(r"(?:\\?[ \t])+", r"[ \\t]+", re.escape(text))

    def find(self, actual: str, start: int, *, anchored: bool) -> re.Match[str] | None:
        while found := (self.pattern.match if anchored else self.pattern.search)(actual, start):
            if all(map(same_number, self.numbers, found.groups())):
                return found
            if anchored:
                return None
            start = found.start() + 1
        return None

    def fixed(self, found: re.Match[str]) -> int:
        """この区間が定めた、空白でない文字の数。"""
        dropped = sum(
            max(0, len(real) - len(written))
            for written, real in zip(self.numbers, found.groups(), strict=True)
        )
        return _visible(found.group()) - dropped


def _visible(text: str) -> int:
    return len(re.sub(r"\s", "", text))


def compare(expected: str, actual: str) -> float | None:
    """期待値が出力と一致すれば、定めた文字の割合（0から1）を、一致しなければNoneを返す。

    Examples
    --------
    >>> compare("tensor([4., 4.])", "tensor([4., 4.])")
    1.0
    >>> compare("tensor([5., 5.])", "tensor([4., 4.])") is None
    True
    >>> compare("Accuracy 99.... %", "Accuracy 99.24 %")
    0.8571428571428571
    """
    expected, actual = normalize(expected), normalize(actual)
    texts = ELLIPSIS.split(expected)
    position, fixed = 0, 0
    for index, text in enumerate(texts):
        first, last = index == 0, index == len(texts) - 1
        segment = _Segment(text, first=first, last=last)
        found = segment.find(actual, position, anchored=first)
        if found is None:
            return None
        position = found.end()
        fixed += segment.fixed(found)
    return fixed / _visible(actual) if _visible(actual) else 1.0


def align(
    expected: Sequence[str], actual: Sequence[str], same: Callable[[str, str], bool]
) -> list[tuple[int | None, int | None]]:
    """二つの列を、一致する組が最も多くなるように並べ、添字の組を返す。相手がなければNone。

    ``...`` だけの要素は、任意の個数の相手を引き受ける。

    Examples
    --------
    >>> align(["a", "b"], ["a", "c", "b"], str.__eq__)
    [(0, 0), (None, 1), (1, 2)]
    """
    rows, columns = len(expected), len(actual)
    # best[i][j] は expected[i:] と actual[j:] の（得点, iの歩み, jの歩み, 組になるか）
    best = [[(0.0, 0, 0, False)] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows, -1, -1):
        for j in range(columns, -1, -1):
            moves = []
            if i < rows and j < columns:
                wild = expected[i].strip() == "..."
                gain = 0.05 if wild else 2 if same(expected[i], actual[j]) else 0.1
                moves.append((best[i + 1][j + 1][0] + gain, 1, 1, True))
                if wild:
                    moves.append((best[i][j + 1][0] + gain, 0, 1, True))
            if i < rows:
                moves.append((best[i + 1][j][0], 1, 0, False))
            if j < columns:
                moves.append((best[i][j + 1][0], 0, 1, False))
            best[i][j] = max(moves, key=lambda move: move[0], default=best[i][j])
    pairs: list[tuple[int | None, int | None]] = []
    i = j = 0
    while (i, j) != (rows, columns):
        _, down, right, paired = best[i][j]
        pairs.append((i if down or paired else None, j if right or paired else None))
        i, j = i + down, j + right
    return pairs


def _matches(expected: str, actual: str) -> bool:
    return compare(expected, actual) is not None


def _width(text: str) -> int:
    return sum(2 if east_asian_width(char) in "FW" else 1 for char in text)


def _marks(expected: str, actual: str) -> str:
    """``actual`` の下に置く、違う部分を指す印。"""
    left, right = TOKEN.findall(expected), TOKEN.findall(actual)
    marks = ""
    for i, j in align(left, right, _matches):
        if j is not None:
            same = i is not None and _matches(left[i], right[j])
            marks += (" " if same else "^") * _width(right[j])
    return marks.rstrip()


def diff(expected: str, actual: str) -> str:
    """違いを行ごとに示す：``-`` は期待値、``+`` は実際の出力、``^`` は動いた場所。

    Examples
    --------
    >>> print(diff("loss 0.51", "loss 0.4999"))
    - loss 0.51
    + loss 0.4999
           ^^^^^^
    """
    left, right = normalize(expected).split("\n"), normalize(actual).split("\n")
    lines = []
    for i, j in align(left, right, _matches):
        if i is not None and j is not None and _matches(left[i], right[j]):
            lines.append(f"  {right[j]}")
            continue
        if i is not None:
            lines.append(f"- {left[i]}")
        if j is not None:
            lines.append(f"+ {right[j]}")
        if i is not None and j is not None:
            lines.append(f"  {_marks(left[i], right[j])}")
    return "\n".join(lines)


def merge(expected: str, actual: str) -> str:
    """出力に合わせて期待値を直す。まだ一致する省略記号と短い桁は、書かれたまま残す。

    Examples
    --------
    >>> merge("loss 0.51 acc 99....", "loss 0.4999 acc 99.24")
    'loss 0.4999 acc 99....'
    """
    left, right = normalize(expected).split("\n"), normalize(actual).split("\n")
    merged, kept = [], None
    for i, j in align(left, right, _matches):
        if j is None:
            continue
        if i is None:
            merged.append(right[j])
        elif not _matches(left[i], right[j]):
            merged.append(_merge_line(left[i], right[j]))
        elif i != kept:
            merged.append(left[i])
            kept = i
    result = "\n".join(merged)
    return result if _matches(result, actual) else normalize(actual)


def _merge_line(expected: str, actual: str) -> str:
    """語ごとに、一致するものは期待値から、違うものは出力から取る。空白は出力のもの。"""
    left, words = expected.split(), actual.split()
    for i, j in align(left, list(words), _matches):
        if i is not None and j is not None and _matches(left[i], words[j]):
            words[j] = left[i]
    gaps = re.split(r"\S+", actual)
    return "".join(gap + word for gap, word in zip(gaps, [*words, ""], strict=True))
