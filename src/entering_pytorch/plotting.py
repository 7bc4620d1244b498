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

import matplotlib.pyplot as plt
import matplotlib_fontja

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


apply_style()
