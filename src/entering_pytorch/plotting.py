"""章の図の見た目を揃える。``from entering_pytorch import plotting`` と読み込むだけでよい。

日本語のフォント、色覚によらず見分けやすい色、スマートフォンでも読める大きさを
matplotlibに設定します。その後は、いつものmatplotlibで図を描けます。

Examples
--------
>>> import matplotlib.pyplot as plt
>>> from entering_pytorch import plotting
>>> plt.rcParams["figure.figsize"]
[6.0, 3.4]
>>> plotting.COLORS["blue"]
'#0072B2'
"""

import os
from collections.abc import Sequence

import matplotlib.pyplot as plt
import matplotlib_fontja
import torch

COLORS = {
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "orange": "#E69F00",
    "black": "#000000",
}
"""色の名前と値。岡部・伊藤の配色から、白い背景に映える7色を選んだもの。"""


def apply_style() -> None:
    """本書の見た目をmatplotlibに設定する。このモジュールを読み込むと一度だけ呼ばれる。

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from entering_pytorch import plotting
    >>> plt.rcdefaults()
    >>> plotting.apply_style()
    >>> plt.rcParams["font.size"]
    11.0
    """
    os.environ.setdefault("SOURCE_DATE_EPOCH", "0")  # 図に今日の日付を書き込まない
    matplotlib_fontja.japanize()
    plt.rcParams.update(
        {
            "figure.figsize": (6.0, 3.4),
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "figure.constrained_layout.use": True,
            "font.size": 11,
            "legend.frameon": False,
            "axes.prop_cycle": plt.cycler(color=list(COLORS.values())),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "lines.linewidth": 2,
            "lines.markersize": 6,
            "svg.hashsalt": "entering-pytorch",  # 何度描いても同じSVGになる
        }
    )


def show_images(images: torch.Tensor, titles: Sequence[str]) -> None:
    """白黒の画像を、見出しをつけて5枚ずつ並べた図を描く。

    Parameters
    ----------
    images : torch.Tensor
        形が(N, 高さ, 幅)の画像。値の大きい所ほど黒く描く。
    titles : Sequence[str]
        N枚の画像の見出し。

    Raises
    ------
    ValueError
        画像の枚数と見出しの数が違うとき。

    Examples
    --------
    >>> import torch
    >>> from entering_pytorch import plotting
    >>> plotting.show_images(torch.rand(7, 28, 28), list("ABCDEFG"))
    >>> [axes.get_title() for axes in plotting.plt.gcf().axes]
    ['A', 'B', 'C', 'D', 'E', 'F', 'G']
    >>> plotting.plt.close()
    """
    rows = -(-len(images) // 5)
    figure = plt.figure(figsize=(5, 1.35 * rows))
    for position, (image, title) in enumerate(zip(images.numpy(), titles, strict=True), 1):
        axes = figure.add_subplot(rows, 5, position)
        axes.imshow(image, cmap="gray_r")
        axes.set_title(title, fontsize=13)
        axes.set_axis_off()


apply_style()
