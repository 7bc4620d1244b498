"""``python -m entering_pytorch.fast`` のオプションを読む。"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from entering_pytorch.mnist import (
    positive_float,
    positive_int,
    seed_int,
    usable_device,
    writable_path,
)

# （名前、値の読み方、既定値、値の説明、オプションの説明）
Row = tuple[str, Callable[[str], object], object, str, str]


def choice(*names: str) -> Callable[[str], str]:
    """``names`` のどれかを読む関数を返す。ほかの文字列なら :py:exc:`ValueError` を出す。

    Examples
    --------
    >>> from entering_pytorch.options import choice
    >>> choice("fp32", "bf16")("fp16")
    Traceback (most recent call last):
    ...
    ValueError: fp16
    """

    def read(text: str) -> str:
        if text not in names:
            raise ValueError(text)
        return text

    return read


def choices(name: str, names: list[str], text: str) -> Row:
    """``names`` のどれかを選ぶオプションの行。既定値は、先頭のもの。"""
    wanted = f"{'、'.join(names[:-1])}か{names[-1]}"
    return name, choice(*names), names[0], wanted, f"{text}（既定値は{names[0]}）"


VALUES: list[Row] = [
    ("--epochs", positive_int, 2, "1以上の整数", "訓練データを何巡するか（既定値は2）"),
    ("--batch-size", positive_int, 128, "1以上の整数", "一度に使う画像の枚数（既定値は128）"),
    (
        "--lr",
        positive_float,
        0.006,
        "0より大きい数",
        "学習率。onecycleではその最大値（既定値は0.006）",
    ),
    ("--seed", seed_int, 0, "0以上の整数", "乱数のシード（既定値は0、2の63乗未満）"),
    ("--data", Path, Path("data"), "フォルダー", "MNISTを置くフォルダー（既定値はdata）"),
    ("--device", usable_device, None, "この環境で使えるデバイス", "cpu、cudaなど（既定は自動）"),
    ("--save-model", writable_path, None, "書き込めるファイル", "学習した重みの保存先"),
    choices("--loading", ["memory", "loader"], "画像をまとめてメモリに置くか、1枚ずつ読むか"),
    choices(
        "--layout",
        ["channels_last", "contiguous"],
        "重みを、チャンネルが隣り合う順に並べるか、並べないか",
    ),
    choices(
        "--order",
        ["pool_first", "relu_first"],
        "最初のReLUを、プーリングのあとで計算するか、前で計算するか。結果は同じ",
    ),
    choices(
        "--schedule",
        ["onecycle", "constant"],
        "学習率を小さく始めて上げ、終わりへ下げるか、一定にするか",
    ),
    choices(
        "--revisit",
        ["hard", "all"],
        "偶数回目の巡では、直前の巡で損失の大きかった3分の1だけを見るか、すべてを見るか",
    ),
    choices(
        "--adam", ["fused", "default"], "Adamの更新を一つの処理にまとめるか、PyTorchの既定のままか"
    ),
    choices(
        "--allocator",
        ["keep", "default"],
        "使い終えたメモリを残すか、OSに返すか。LinuxのCPUだけに効く",
    ),
    choices(
        "--precision",
        ["auto", "fp32", "bf16"],
        "計算の精度。autoは、始めに両方を試して速いほうを選ぶ",
    ),
    (
        "--checkpoint",
        writable_path,
        None,
        "書き込めるファイル",
        "途中の保存先。--resumeがなければ上書きする",
    ),
    (
        "--checkpoint-every",
        positive_int,
        100,
        "1以上の整数",
        "何回の更新ごとに保存するか。エポックの終わりにも保存する（既定値は100）",
    ),
]

FLAGS = [
    ("--resume", "--checkpointのファイルがあれば、同じオプションで、その続きから学習する"),
    ("--compile", "torch.compileでモデルを変換する。変換に時間がかかるので、長い学習に向く"),
    ("--report", "学習のあとに、別のモデルで、速さと計算機の限界を測って表示する"),
]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """コマンドラインのオプションを読む。正しくなければ、一文で知らせて終わる。

    Raises
    ------
    SystemExit
        オプションが正しくないとき。

    Examples
    --------
    >>> from entering_pytorch.options import parse_args
    >>> parse_args(["--loading", "loader"]).layout
    'channels_last'
    >>> parse_args(["--loading", "disk"])
    Traceback (most recent call last):
    ...
    SystemExit: --loadingには、memoryかloaderを指定してください。
    """
    parser = argparse.ArgumentParser(
        usage=argparse.SUPPRESS,
        description="使い方: python -m entering_pytorch.fast [オプション]\n\n"
        "手書き数字の分類を、速く学習します。torchrunから始めると、手分けをして学習します。",
        # 全角の文字があると桁が揃わないので、説明は次の行に置く
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
            prog, max_help_position=6
        ),
        add_help=False,
        allow_abbrev=False,
        exit_on_error=False,
    )
    options = parser.add_argument_group("オプション")
    for name, read, default, value, text in VALUES:
        options.add_argument(name, type=read, default=default, metavar=value, help=text)
    for name, text in FLAGS:
        options.add_argument(name, action="store_true", help=text)
    options.add_argument("-h", "--help", action="help", help="この説明を表示して終わる")

    wanted = {name: f"には、{value}を指定して" for name, _, _, value, _ in VALUES}
    try:
        args, unknown = parser.parse_known_args(argv)
    except argparse.ArgumentError as error:
        name = error.argument_name
        sys.exit(f"{name}{wanted.get(name, 'には、値を付けないで')}ください。")
    if unknown:
        sys.exit(f"{unknown[0]}というオプションはありません。--helpで一覧を表示できます。")
    if args.resume and args.checkpoint is None:
        sys.exit("--resumeには、--checkpointも指定してください。")
    if args.device is None:
        args.device = torch.device("cpu")
        if torch.accelerator.is_available():
            args.device = torch.accelerator.current_accelerator()
    return args
