"""MNISTを読み、ミニバッチにして返す。プロセスが2つ以上のときは、ミニバッチを分け合う。"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler, Sampler, TensorDataset
from torchvision import datasets, transforms

from entering_pytorch.distributed import rank, world_size

MEAN, STD = 0.1307, 0.3081  # 訓練データの画素の平均と標準偏差


class Batches(Sampler[list[int]]):
    """1エポック分のミニバッチを、画像の番号のリストで返す。

    プロセスが2つ以上のときは、同じミニバッチの別々の画像を受け持ちます。全体で見たミニバッチは、
    プロセスの数によりません。混ぜる順は、``DataLoader(shuffle=True)`` と同じです。乱数のシードは、
    どのプロセスでも同じにしておきます。

    Parameters
    ----------
    count
        画像の枚数。
    batch_size
        すべてのプロセスを合わせた、ミニバッチの枚数。
    shuffle
        エポックごとに順を混ぜるかどうか。

    Examples
    --------
    >>> from entering_pytorch.loading import Batches
    >>> batches = Batches(5, batch_size=2, shuffle=False)
    >>> list(batches)
    [[0, 1], [2, 3], [4]]
    >>> batches.start = 2
    >>> list(batches)
    [[4]]
    >>> batches.size(2)
    1

    ``chosen`` を変えると、次のエポックからは、その番号の画像だけを返します。

    >>> batches.start, batches.chosen = 0, [3, 1, 4]
    >>> list(batches)
    [[3, 1], [4]]
    """

    def __init__(self, count: int, batch_size: int, shuffle: bool) -> None:
        self.count = count
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.chosen: Sequence[int] = range(count)  # このエポックで見る、画像の番号
        self.order: list[int] = []  # chosenを混ぜたもの。エポックごとに作る
        self.start = 0  # 途中から再開するときに飛ばす、ミニバッチの数

    def __len__(self) -> int:
        return -(-len(self.chosen) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        places = RandomSampler(self.chosen) if self.shuffle else range(len(self.chosen))
        self.order = [self.chosen[place] for place in places]
        for batch in range(self.start, len(self)):
            yield self.own(batch)

    def own(self, batch: int) -> list[int]:
        """今のエポックの ``batch`` 番目のミニバッチのうち、このプロセスが受け持つ番号を返す。"""
        first = batch * self.batch_size
        return self.order[first : first + self.batch_size][rank() :: world_size()]

    def size(self, batch: int) -> int:
        """``batch`` 番目のミニバッチの、すべてのプロセスを合わせた枚数を返す。"""
        return min(self.batch_size, len(self.chosen) - batch * self.batch_size)


def images_in_memory(dataset: datasets.MNIST, device: torch.device) -> TensorDataset:
    """画像を一度だけ変換し、``device`` のメモリに置く。

    ``ToTensor`` と ``Normalize`` を1枚ずつ呼んだときと、同じ値になります。

    Returns
    -------
    TensorDataset
        画像 ``(N, 1, 28, 28)`` （float32）と正解 ``(N,)`` （int64）。
    """
    images: Tensor = dataset.data.unsqueeze(1).float()  # (N, 28, 28) -> (N, 1, 28, 28)
    images.div_(255).sub_(MEAN).div_(STD)
    return TensorDataset(images.to(device), dataset.targets.to(device))


class BatchLoader(DataLoader):
    """:py:class:`Batches` のとおりにミニバッチを返すDataLoader。"""

    def __init__(self, dataset: Dataset, batches: Batches) -> None:
        self.batches = batches
        if isinstance(dataset, TensorDataset):
            # batch_sizeをNoneにすると、番号のリストがそのままデータセットに渡る
            super().__init__(dataset, sampler=batches, batch_size=None)
        else:
            super().__init__(dataset, batch_sampler=batches)


def make_loader(
    root: str | Path, train: bool, batch_size: int, loading: str, device: torch.device
) -> BatchLoader:
    """MNISTのミニバッチを返すDataLoaderを作る。

    Parameters
    ----------
    root
        ``torchvision.datasets.MNIST`` に渡す ``root``。なければ、ここに取得します。
    train
        訓練データならTrue、テストデータならFalse。順を混ぜるのは、訓練データだけです。
    batch_size
        すべてのプロセスを合わせた、ミニバッチの枚数。
    loading
        ``"memory"`` は、変換した画像を ``device`` のメモリに置き、ミニバッチごとに一度に取り出す。
        ``"loader"`` は、:py:mod:`entering_pytorch.mnist` と同じく、画像を1枚ずつ読んで変換する。
    device
        画像を置くデバイス。

    Returns
    -------
    BatchLoader
        画像 ``(n, 1, 28, 28)`` （float32）と正解 ``(n,)`` （int64）の組を返すもの。
        nは、このプロセスが受け持つ枚数です。

    Raises
    ------
    OSError, RuntimeError, ValueError, AssertionError
        データを用意できないとき。

    Examples
    --------
    >>> import torch
    >>> from entering_pytorch.loading import make_loader
    >>> loader = make_loader("data", False, 256, "memory", torch.device("cpu"))
    >>> images, labels = next(iter(loader))
    >>> images.shape, labels[:4]
    (torch.Size([256, 1, 28, 28]), tensor([7, 2, 1, 0]))
    """
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))])
    dataset: Dataset = datasets.MNIST(root, train=train, download=True, transform=transform)
    batches = Batches(len(dataset), batch_size, shuffle=train)
    if loading == "memory":
        dataset = images_in_memory(dataset, device)
    return BatchLoader(dataset, batches)
