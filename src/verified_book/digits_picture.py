"""MNISTの画像を並べた絵、imgs/mnist.jpgを作る。

リポジトリの一番上のフォルダーで ``python -m verified_book.digits_picture`` と実行します。
列は0から9のクラス、行は訓練データに現れる順で、選び方は乱数によりません。
"""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets import MNIST

ROWS = 6
SCALE = 3  # 1画素を3×3画素に拡大する
MARGIN = 2  # 数字のまわりの余白（拡大前の画素）


def grid(images: Tensor, labels: Tensor) -> Tensor:
    """画像 ``(N, 28, 28)`` （uint8）を、各クラス6枚ずつの1枚の絵に並べる。"""
    columns = []
    for digit in range(10):
        chosen = 255 - images[labels == digit][:ROWS]  # 白い紙に黒い字
        framed = torch.nn.functional.pad(chosen, [MARGIN] * 4, value=255)
        columns.append(framed.flatten(0, 1))
    return torch.cat(columns, dim=1)


def main() -> None:
    """data/からMNISTを読み、imgs/mnist.jpgに書く。"""
    dataset = MNIST("data", train=True)
    picture = Image.fromarray(grid(dataset.data, dataset.targets).numpy())
    picture = picture.resize(
        (picture.width * SCALE, picture.height * SCALE), Image.Resampling.NEAREST
    )
    path = Path("imgs/mnist.jpg")
    picture.save(path, quality=80, optimize=True)
    print(
        f"{path}を書きました（{picture.width}×{picture.height}画素、{path.stat().st_size:,}バイト）。"
    )


if __name__ == "__main__":
    main()
