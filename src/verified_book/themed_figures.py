"""ページの図を、明るい配色と暗い配色の両方で、読者が近づいてから見せる。

暗い配色の図は、白い地に描いた図から作る。色相はそのままに、明るさを反転する。
埋め込まれた画像の画素と、その上や、鮮やかな色で塗ったところに書かれた文字の色は変えない。
明るい配色の図では、白い地に書かれた文字の色だけを、読める濃さにする。
"""

import colorsys
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import imagesize

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", XLINK)
IMAGE = re.compile(r'<img\b(?![^>]*\bloading=)([^>]*?)\bsrc="([^"]+)"([^>]*)>')
FILL = re.compile(r"fill: (#[0-9a-fA-F]{6})\b")
POINT = re.compile(r"[ML] ([-\d.]+) ([-\d.]+)")
COLOR = re.compile(r"#[0-9a-fA-F]{6}\b")
PLACE = re.compile(r"translate\(([-\d.]+) ([-\d.]+)\)")
BACKGROUND = "#14181d"  # 暗い配色の地（book.cssと同じ）
DARKEST, LIGHTEST = 0.1, 0.88  # 白と黒が移る明るさ
VIVID = 0.62  # 鮮やかな色の、暗い地でも見える明るさ
READABLE = 4.5  # 文字と地の明るさの比（WCAG 2.2の1.4.3）


def adapt_figures(html: str, site: Path) -> str:
    """図を遅く読み込ませ、SVGの図を二つの配色の図に替えたページを返す。二度かけても変わらない。

    場所は、読み込む前から空けておく（大きさを書く）。二つの配色の図は、元の図の隣に書く。
    """

    def adapt(found: re.Match[str]) -> str:
        path = site / re.sub(r"^(\.\./)+", "", unquote(found[2]))
        if not path.is_file() or path.parent.name != "_images":
            return found[0]
        width, height = map(round, imagesize.get(path))
        size = f'width="{width}" height="{height}" ' if width > 0 else ""
        tag = f'<img loading="lazy" {size}{found[1]}src="{found[2]}"{found[3]}>'
        if path.suffix != ".svg" or "class=" in tag:
            return tag
        svg = path.read_text("utf-8")
        return "".join(
            _themed(tag, path, theme, text)
            for theme, text in (("light", clarify(svg)), ("dark", darken(svg)))
        )

    return IMAGE.sub(adapt, html)


def _themed(tag: str, path: Path, theme: str, svg: str) -> str:
    """``theme`` の配色でだけ見える図を書き、そのタグを返す。"""
    themed = path.with_stem(f"{path.stem}-{theme}")
    themed.write_text(svg, "utf-8")
    return tag.replace("<img ", f'<img class="only-{theme}" ').replace(path.name, themed.name)


def dark_color(color: str) -> str:
    """``#rrggbb`` の明るさを反転した色。

    Examples
    --------
    >>> dark_color("#ffffff"), dark_color("#000000"), dark_color("#cc79a7")
    ('#14181d', '#e0e0e0', '#ca73a3')
    """
    if color.lower() == "#ffffff":
        return BACKGROUND
    hue, lightness, saturation = _hls(color)
    if _is_vivid(color):
        inverted = max(VIVID, LIGHTEST - lightness * (LIGHTEST - DARKEST))
    else:
        inverted = LIGHTEST - lightness * (LIGHTEST - DARKEST)
        saturation *= 0.5  # 淡い塗りは、暗くするとけばけばしくなる
    return _hex(hue, inverted, saturation)


def readable_color(color: str) -> str:
    """白い地で読める濃さまで、``#rrggbb`` を暗くした色。

    Examples
    --------
    >>> readable_color("#d55e00"), readable_color("#0072b2")
    ('#c35600', '#0072b2')
    """
    hue, lightness, saturation = _hls(color)
    while 1.05 / (_luminance(color) + 0.05) < READABLE:
        lightness -= 0.005
        color = _hex(hue, lightness, saturation)
    return color


def _luminance(color: str) -> float:
    """WCAGの相対輝度。黒は0、白は1。"""
    red, green, blue = (
        level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4
        for level in (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _hex(hue: float, lightness: float, saturation: float) -> str:
    channels = colorsys.hls_to_rgb(hue, lightness, saturation)
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in channels)


def _hls(color: str) -> tuple[float, float, float]:
    return colorsys.rgb_to_hls(*(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)))


def _is_vivid(color: str) -> bool:
    _, lightness, saturation = _hls(color)
    return saturation > 0.2 and 0.2 < lightness < 0.8


def darken(svg: str) -> str:
    """SVGの色を、暗い配色にする。

    Examples
    --------
    >>> darken('<svg xmlns="http://www.w3.org/2000/svg"><path style="fill: #ffffff" /></svg>')
    '<svg xmlns="http://www.w3.org/2000/svg" fill="#e0e0e0"><path style="fill: #14181d" /></svg>'
    >>> square = '<path style="fill: {}" d="M 0 0 L 9 0 L 9 9 L 0 9" />'
    >>> text = '<g id="text_1"><g style="fill: #000000" transform="translate(4 4)" /></g>'
    >>> for color in ("#e69f00", "#ffffff"):  # 鮮やかな塗りと、地の上の字
    ...     figure = darken(f'<svg xmlns="{SVG}">{square.format(color)}{text}</svg>')
    ...     figure.partition("text_1")[2].count("#000000")
    2
    0
    """
    root = ElementTree.fromstring(svg)
    kept = set()
    for group, colored in _texts(root):
        if colored:
            group.set("fill", "#000000")
            kept |= set(group.iter())
    _recolor((element for element in root.iter() if element not in kept), dark_color)
    root.set("fill", dark_color("#000000"))  # 色の書かれていない図形は、黒
    return ElementTree.tostring(root, "unicode")


def clarify(svg: str) -> str:
    """SVGの白い地に書かれた文字を、読める濃さにする。

    Examples
    --------
    >>> square = '<path style="fill: #0072b2" d="M 0 0 L 9 0 L 9 9 L 0 9" />'
    >>> for place in ("4 4", "12 4"):  # 鮮やかな塗りの上と、白い地の上
    ...     text = f'<g id="text_1"><g style="fill: #d55e00" transform="translate({place})" /></g>'
    ...     figure = clarify(f'<svg xmlns="{SVG}">{square}{text}</svg>')
    ...     COLOR.findall(figure)
    ['#0072b2', '#d55e00']
    ['#0072b2', '#c35600']
    """
    root = ElementTree.fromstring(svg)
    for group, colored in _texts(root):
        if not colored:
            _recolor(group.iter(), readable_color)
    return ElementTree.tostring(root, "unicode")


def _texts(root: Element) -> list[tuple[Element, bool]]:
    """図の文字と、それが画像や鮮やかな塗りの上にあるか。"""
    grounds = [_box(image) for image in root.iter(f"{{{SVG}}}image")]
    grounds += [box for path in root.iter(f"{{{SVG}}}path") if (box := _vivid_box(path))]
    groups = [g for g in root.iter(f"{{{SVG}}}g") if g.get("id", "").startswith("text_")]
    return [(group, any(_on(group, box) for box in grounds)) for group in groups]


def _recolor(elements: Iterable[Element], change: Callable[[str], str]) -> None:
    for element in elements:
        for name in ("style", "fill", "stroke"):
            if name in element.attrib:
                value = element.attrib[name]
                element.attrib[name] = COLOR.sub(lambda found: change(found[0]), value)


def _box(image: Element) -> tuple[float, float, float, float]:
    """画像の左、上、右、下。matplotlibは、上下を反転して置くことがある。"""
    x, y, width, height = (float(image.get(name, 0)) for name in ("x", "y", "width", "height"))
    transform = image.get("transform", "")
    if "scale(1 -1)" in transform:
        moved = PLACE.search(transform)
        y = -(y + (float(moved[2]) if moved else 0)) - height
    return x, y, x + width, y + height


def _vivid_box(path: Element) -> tuple[float, float, float, float] | None:
    """鮮やかな色で塗った多角形の、左、上、右、下。"""
    found = FILL.search(path.get("style", ""))
    points = [(float(x), float(y)) for x, y in POINT.findall(path.get("d", ""))]
    if found is None or len(points) < 4 or not _is_vivid(found[1]):
        return None
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _on(group: Element, box: tuple[float, float, float, float]) -> bool:
    """文字が、画像か鮮やかな塗りの上に書かれているか。"""
    left, top, right, bottom = box
    return any(left <= x <= right and top <= y <= bottom for x, y in _places(group))


def _places(group: Element) -> Iterator[tuple[float, float]]:
    for element in group.iter():
        found = PLACE.search(element.get("transform", ""))
        if found:
            yield float(found[1]), float(found[2])
            return
