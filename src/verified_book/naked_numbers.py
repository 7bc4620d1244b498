"""本文に手で書かれた測定値を見つける。測定値は ``{measured}`` で実行結果から埋め込む。

次の数を誤りとする。

- 単位の付いた数（%、秒、倍、MBなど）
- 章の出力に現れる、有効数字が三桁以上の数
- 章のコードに現れない、有効数字が三桁以上の小数
- 章が ``glue`` した値を、書かれた桁数へ四捨五入した数

年月日、版の番号、出典のある段落の数（最後の項目に当たるものは除く）は、誤りとしない。
測ったのでない数は ``{given}`5 %``` と書いて、そのことを示す。
"""

import re
from collections.abc import Collection, Iterator

from verified_book.chapter import Chapter, Problem
from verified_book.prose import read

UNIT = r"(?: ?(?:%|％|秒|ミリ秒|倍|割|[KMGT]i?B|ms|GFLOP|TFLOP|fps))"
FIND = re.compile(rf"(?<![A-Za-z0-9_.,#])(\d[\d,]*(?:\.\d+)*)({UNIT})?")
NOT_MEASURED = re.compile(
    r"\d+年(\d+月(\d+日)?)?|\d+月\d+日|\d{4}-\d\d(-\d\d)?"  # 年月日
    r"|(?:Py[Tt]orch|Python|torch|torchvision|CUDA|Keras|TensorFlow)の? ?v?\d+(\.\d+)+"  # 版
)


def naked_numbers(chapter: Chapter, output: str, glued: Collection[float] = ()) -> list[Problem]:
    """手で書かれた測定値を、行の順に返す。

    Parameters
    ----------
    chapter : Chapter
        調べる章。
    output : str
        章のすべてのセルが表示した文字。
    glued : collection of float
        章が ``glue`` した数。
    """
    written = _digits("\n".join(cell.source for cell in chapter.cells))
    shown = _digits(output)
    found = []
    for paragraph in read(chapter.name, chapter.text).paragraphs:
        roles = (c.meta["name"] for c in paragraph.token.children or () if c.type == "myst_role")
        cited = any("cite" in role for role in roles)
        for number, unit in _candidates(paragraph.text):
            plain = number.replace(",", "")
            decimal = "." in plain and plain not in written
            long = _significant(plain) >= 3 and (plain in shown or decimal)
            suspect = not cited and (unit or long)
            if suspect or any(_rounded(value, plain) for value in glued):
                message = (
                    f"「{number}{unit}」が手で書かれています。{{measured}}で実行結果から埋め込むか、"
                    "測った数でなければ{given}で囲んでください。"
                )
                found.append(Problem(chapter.name, paragraph.line, message))
    return found


def _rounded(value: float, number: str) -> bool:
    """``value`` を ``number`` の桁数へ四捨五入すると ``number`` になるか。

    一桁の整数は、偶然に一致することが多いので、等しいときだけとする。
    """
    if len(number) == 1 and value != int(value):
        return False
    return f"{value:.{len(number.partition('.')[2])}f}" == number


def _significant(number: str) -> int:
    """有効数字の桁数。1,000のような整数の末尾の0は数えない。"""
    digits = number.replace(".", "").lstrip("0")
    return len(digits if "." in number else digits.rstrip("0"))


def _candidates(text: str) -> Iterator[tuple[str, str]]:
    for found in FIND.finditer(NOT_MEASURED.sub("", text)):
        number, unit = found[1].rstrip(","), found[2] or ""
        if number.count(".") <= 1:  # 2.15.0のような版の番号は除く
            yield number, unit


def _digits(text: str) -> set[str]:
    return {
        found.replace(",", "").replace("_", "") for found in re.findall(r"\d[\d,_.]*\d|\d", text)
    }
