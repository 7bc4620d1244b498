"""章のセルから、動かせる図にデータを渡す。

図のセルのすぐ下のセルで ``interactive("indexing-grid", data)`` と書くと、その図が、読者の操作に
答える図になる。ページに置くのは interactive_figures.py の仕事。
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from IPython.display import display

SCRIPT = (
    '<script type="application/json" class="interactive-data" data-kind="{kind}">{data}</script>'
)
FILES = "verified_book_files"  # 出力のメタデータの名前。サイトに置くファイルの、名前と中身
PLAIN = (str, int, float, bool, type(None))  # JSONで表せる、一つの値


def interactive(kind: str, data: object, files: Sequence[str | Path] = ()) -> None:
    """すぐ上の図を動かすデータを、ページに渡す。

    Parameters
    ----------
    kind : str
        図の種類。``static/interactive/`` にあるJavaScriptの名前。
    data : object
        章が計算した値。dict、list、str、int、float、bool、Noneだけからなる。
    files : sequence of path
        セルが書いた、図が後から読み込むファイル。サイトでは ``_static/files/`` に置かれ、
        中身から作った名前が ``data`` の ``files`` に、元の名前ごとに入る。

    Raises
    ------
    OSError
        ファイルが読めないとき。
    TypeError
        JSONで表せない値があるとき。どこにあるかを示す。
    ValueError
        無限大か、非数（nan）があるとき。JSONでは表せない。
    """
    contents = {Path(file): Path(file).read_bytes() for file in files}
    names = {path: _site_name(path, content) for path, content in contents.items()}
    if files:
        data = {**data, "files": {path.name: name for path, name in names.items()}}
    placed = {names[path]: base64.b64encode(content).decode() for path, content in contents.items()}
    script = SCRIPT.format(kind=kind, data=as_json(data))
    display({"text/html": script}, raw=True, metadata={FILES: placed} if files else None)


def _site_name(path: Path, content: bytes) -> str:
    """中身が変われば変わる名前。ブラウザーに残った古いファイルを使わせないため。"""
    return f"{path.stem}-{hashlib.sha256(content).hexdigest()[:8]}{path.suffix}"


def as_json(data: object) -> str:
    """データを、``<script>`` の中に置けるJSONにする。

    Examples
    --------
    >>> from verified_book.interactive import as_json
    >>> as_json({"式": "a < b", "値": [1, 2.5, None]})
    '{"式":"a \\\\u003c b","値":[1,2.5,null]}'
    """
    _check(data, "data")
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")  # `</script>`が、データを途中で終わらせない


def _check(value: object, place: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(
                    f"{place}の鍵{key!r}が文字列ではありません。str()で変えてください。"
                )
            _check(item, f"{place}[{key!r}]")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{place}[{index}]")
    elif not isinstance(value, PLAIN):
        name = type(value).__name__
        raise TypeError(
            f"{place}は{name}なので、JSONで表せません。tolist()やitem()やstr()で変えてください。"
        )
    elif value != value or value in (float("inf"), float("-inf")):
        raise ValueError(f"{place}は{value}なので、JSONで表せません。str()で変えてください。")
