"""図の指紋：見た目や、動かせる図のデータが変わったことを、短い文字で知らせる。

指紋は二つの部分からなる。初めは図の組み立て（文字、色、線の数）、次は位置と画素を表す。
学習の結果を描いた図は、機種によって位置がわずかに変わるので、期待値では後ろを ``...`` と省ける。
"""

import base64
import hashlib
import io
import json
import math
import re

import numpy as np
from PIL import Image

METADATA = re.compile(r"<metadata>.*?</metadata>|<\?xml.*?\?>|<!DOCTYPE.*?>", re.DOTALL)
HASHED = re.compile(r"\b(?:image|[a-zA-Z])[0-9a-f]{10}\b")  # 細かな数から作られた名前
NUMBER = re.compile(r"(?<![\w#.])-?\d+(?:\.\d+)?(?:e-?\d+)?(?=pt\b|(?![\w.]))")
BITMAP = re.compile(r"data:image/png;base64,([^\"]*)")
STEP = 0.1  # 位置は、これより細かくは見ない（ポイント）
SHADE = 16  # 画素は、これより細かくは見ない（0から255まで）
OFFSET = 0.37  # きりのよい値が、四捨五入の境目に来ないようにずらす


def fingerprint(svg: str) -> str:
    """SVGの図の、組み立てと位置の指紋。

    Examples
    --------
    >>> one = fingerprint('<svg><path style="fill: #0072b2" d="M 1.0 2"/></svg>')
    >>> moved = fingerprint('<svg><path style="fill: #0072b2" d="M 3.0 2"/></svg>')
    >>> one.split()[0] == moved.split()[0], one.split()[1] == moved.split()[1]
    (True, False)
    """
    plain = HASHED.sub("", METADATA.sub("", svg))
    bitmaps = [_pixels(base64.b64decode(data)) for data in BITMAP.findall(plain)]
    plain = BITMAP.sub("", plain)
    numbers = [math.floor(float(number) / STEP + OFFSET) for number in NUMBER.findall(plain)]
    # 曲線の点の数は、わずかな違いでも変わるので、組み立てに含めない
    structure = re.sub(r'\bd="[^"]*"', "", NUMBER.sub("", plain))
    return f"{_digest(structure.encode())} {_digest(repr((numbers, bitmaps)).encode())}"


def data_fingerprint(data: str) -> str:
    """動かせる図のデータ（JSON）の指紋。初めは名前と文字と並び、次は数を表す。

    Examples
    --------
    >>> one, moved = data_fingerprint('{"値": [1, 2.5]}'), data_fingerprint('{"値": [1, 2.6]}')
    >>> one.split()[0] == moved.split()[0], one.split()[1] == moved.split()[1]
    (True, False)
    """
    numbers: list[str] = []

    def number(text: str) -> int:
        numbers.append(f"{float(text):.4g}" if set(text) & set(".eE") else text)
        return 0

    structure = json.loads(data, parse_int=number, parse_float=number)
    if isinstance(structure, dict) and "files" in structure:
        structure["files"] = sorted(structure["files"])  # サイトでの名前は、中身によって変わる
    return f"{_digest(json.dumps(structure).encode())} {_digest(repr(numbers).encode())}"


def _pixels(png: bytes) -> str:
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"), dtype=np.int64)
    return _digest(np.floor(pixels / SHADE + OFFSET).astype(np.uint8).tobytes())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:8]
