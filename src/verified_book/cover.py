"""EPUBの表紙を、本の題と手書き数字の図から描く。"""

from pathlib import Path

import matplotlib_fontja  # noqa: F401  日本語の書体を使えるようにする
from matplotlib.figure import Figure
from PIL import Image

INK, PAPER, EDGE = "#14181d", "#ffffff", "#0072b2"


def draw_cover(path: Path, picture: Path) -> None:
    """表紙を ``path`` に書く（1600×2400の画素）。"""
    figure = Figure(figsize=(8, 12), facecolor=PAPER)
    figure.text(0.1, 0.88, "動かして学ぶ", size=34, color=INK)
    figure.text(0.1, 0.80, "PyTorch入門", size=58, color=INK)
    figure.text(0.1, 0.745, "Entering PyTorch", size=26, color=EDGE)
    band = figure.add_axes((0, 0.2, 1, 0.5))
    with Image.open(picture) as digits:
        band.imshow(digits, cmap="gray", aspect="auto")
    band.set_axis_off()
    figure.text(0.1, 0.12, "実行例が検証される教科書", size=20, color=INK)
    figure.text(0.1, 0.07, "Convergence Lab", size=20, color=EDGE)
    figure.savefig(path, dpi=200)
