"""モデルを組み立て、学習し、評価する。途中の状態を取り出し、そこへ戻す。"""

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.nn.parallel import DistributedDataParallel
from torch.optim import lr_scheduler
from tqdm import tqdm

from entering_pytorch.distributed import rank, sum_over_ranks, world_size
from entering_pytorch.loading import BatchLoader
from entering_pytorch.mnist import Net


@dataclass
class Training:
    """学習に使うもの一式。"""

    net: Net
    model: nn.Module
    """学習で呼び出すもの。プロセスが1つなら ``net``、2つ以上ならそれを包んだもの。"""
    optimizer: optim.Optimizer
    scheduler: lr_scheduler.LRScheduler
    device: torch.device
    precision: str
    """``"fp32"`` か ``"bf16"`` 。``"auto"`` のままなら、fp32で計算する。"""


@dataclass
class Position:
    """学習がどこまで進んだか。"""

    rng: Tensor
    """このエポックの順を混ぜる前の ``torch.get_rng_state()`` 。同じ順を、もう一度作れる。"""
    chosen: Tensor
    """このエポックで見る画像の番号 ``(n,)`` （int64）。"""
    losses: Tensor
    """このエポックで求めた、画像ごとの損失 ``(N,)`` （float32）。まだ見ていなければ0。
    すべてのプロセスの分を合わせてある。"""
    epoch: int
    """0から数えたエポック。"""
    batch: int = 0
    """このエポックで終えた、ミニバッチの数。"""


def count_seen(epoch: int, count: int, revisit: str) -> int:
    """``count`` 枚のうち、``epoch`` で見る画像の枚数を返す。``revisit`` はオプションの値。

    Examples
    --------
    >>> from entering_pytorch.training import count_seen
    >>> [count_seen(epoch, 25, "hard") for epoch in range(4)]
    [25, 9, 25, 9]
    """
    return -(-count // 3) if revisit == "hard" and epoch % 2 == 1 else count


def begin_epoch(epoch: int, losses: Tensor, revisit: str) -> Position:
    """エポックの初めの位置を返す。

    ``revisit`` が ``"hard"`` なら、エポック1、3、5、…では、直前のエポックで損失が大きかった
    3分の1の画像だけを選びます。損失の小さい画像からの勾配は小さく、飛ばしても、あまり変わりません。
    更新のたびに損失の大きい例を選ぶ方法が、次の論文にあります。
    https://arxiv.org/abs/1910.00762

    Parameters
    ----------
    losses
        直前のエポックの、画像ごとの損失 ``(N,)`` 。

    Examples
    --------
    >>> import torch
    >>> from entering_pytorch.training import begin_epoch
    >>> losses = torch.tensor([0.1, 2.0, 0.0, 0.5, 0.3])
    >>> begin_epoch(1, losses, "hard").chosen
    tensor([1, 3])
    >>> begin_epoch(2, losses, "hard").chosen
    tensor([0, 1, 2, 3, 4])
    """
    chosen = losses.topk(count_seen(epoch, len(losses), revisit)).indices.sort().values
    return Position(torch.get_rng_state(), chosen.cpu(), torch.zeros_like(losses), epoch)


def build(args: argparse.Namespace, steps: int) -> Training:
    """オプションのとおりに、モデル、オプティマイザー、スケジューラーを作る。

    Parameters
    ----------
    args
        :py:func:`entering_pytorch.options.parse_args` が返したもの。
    steps
        学習の終わりまでに、パラメータを更新する回数。

    Examples
    --------
    onecycleは、最大値の25分の1の学習率から始めます。

    >>> from entering_pytorch.training import build
    >>> from entering_pytorch.options import parse_args
    >>> training = build(parse_args(["--device", "cpu", "--lr", "0.01"]), steps=100)
    >>> training.scheduler.get_last_lr()
    [0.0004]
    """
    net = Net().to(args.device)
    if args.order == "pool_first":
        # 最大値を選んでからReLUを通しても結果は同じで、通す値の数は4分の1になる
        net.base_net[1], net.base_net[2] = net.base_net[2], net.base_net[1]
    if args.layout == "channels_last":
        net.to(memory_format=torch.channels_last)
    if args.compile:
        net.compile()
    optimizer = optim.Adam(net.parameters(), lr=args.lr, fused=args.adam == "fused" or None)
    if args.schedule == "onecycle":
        scheduler = lr_scheduler.OneCycleLR(optimizer, max_lr=args.lr, total_steps=steps)
    else:
        scheduler = lr_scheduler.ConstantLR(optimizer, factor=1.0)
    model = DistributedDataParallel(net) if world_size() > 1 else net
    return Training(net, model, optimizer, scheduler, args.device, args.precision)


def train_step(training: Training, images: Tensor, labels: Tensor, size: int) -> Tensor:
    """受け持ちの画像から勾配を求め、ミニバッチ全体の平均の勾配で、パラメータを1回更新する。

    Parameters
    ----------
    images
        受け持ちの画像 ``(n, 1, 28, 28)`` （float32）。
    labels
        その正解 ``(n,)`` （int64）。
    size
        すべてのプロセスを合わせた、ミニバッチの枚数。

    Returns
    -------
    Tensor
        更新する前の、受け持ちの画像ごとの損失 ``(n,)`` （float32）。

    Examples
    --------
    >>> import torch
    >>> from entering_pytorch.training import build, train_step
    >>> from entering_pytorch.options import parse_args
    >>> _ = torch.manual_seed(0)
    >>> training = build(parse_args(["--device", "cpu", "--precision", "fp32"]), steps=100)
    >>> images, labels = torch.randn(8, 1, 28, 28), torch.arange(8)
    >>> losses = [train_step(training, images, labels, 8).sum().item() for _ in range(5)]
    >>> losses[0] > losses[-1]
    True
    """
    training.optimizer.zero_grad()
    with autocast(training):
        output = training.model(images)  # (n, 10)
        losses = nn.functional.nll_loss(output, labels, reduction="none")  # (n,)
    # DistributedDataParallelは勾配をプロセスの数で平均する。受け持ちの枚数が違っても
    # ミニバッチ全体の平均になるように、和を全体の枚数で割り、プロセスの数を掛けておく
    (losses.sum() * (world_size() / size)).backward()
    training.optimizer.step()
    training.scheduler.step()
    return losses.detach()


def autocast(training: Training) -> torch.autocast:
    """精度が ``bf16`` なら、畳み込みと行列積をbfloat16で計算させる。重みはfloat32のまま。"""
    return torch.autocast(
        training.device.type, torch.bfloat16, enabled=training.precision == "bf16"
    )


def train(
    training: Training,
    loader: BatchLoader,
    position: Position,
    save: Callable[[], None] = lambda: None,
    save_every: int = 100,
) -> float:
    """``position`` からエポックの終わりまで学習する。

    Parameters
    ----------
    loader
        :py:func:`entering_pytorch.loading.make_loader` が返したもの。
    position
        始める位置。``batch`` は更新のたびに、``losses`` は保存のときと終わりに書き換えます。
    save
        ``save_every`` 回の更新ごとに呼ぶ関数。

    Returns
    -------
    float
        このエポックで見る画像の、1枚あたりの平均の損失。``position`` までの損失も含みます。

    Examples
    --------
    >>> import torch
    >>> from entering_pytorch.training import begin_epoch, build, train
    >>> from entering_pytorch.loading import make_loader
    >>> from entering_pytorch.options import parse_args
    >>> training = build(parse_args(["--device", "cpu", "--precision", "fp32"]), steps=235)
    >>> loader = make_loader("data", True, 256, "memory", training.device)
    >>> position = begin_epoch(0, torch.zeros(60000), "all")
    >>> position.batch = 230
    >>> _ = train(training, loader, position)
    >>> position.batch
    235
    """
    training.model.train()
    batches = loader.batches
    batches.start, batches.chosen = position.batch, position.chosen.tolist()
    # 再開するまでの損失は、すべてのプロセスの分を、先頭のプロセスが引き継ぐ
    losses = position.losses.to(training.device)
    losses = losses.clone() if rank() == 0 else torch.zeros_like(losses)
    progress = tqdm(
        loader,
        desc=f"Epoch {position.epoch}: Train",
        initial=position.batch,
        leave=False,
        disable=rank() > 0 or None,
    )
    for images, labels in progress:
        images, labels = images.to(training.device), labels.to(training.device)
        own, size = batches.own(position.batch), batches.size(position.batch)
        losses[own] = train_step(training, images, labels, size)
        position.batch += 1
        if position.batch % save_every == 0:
            position.losses = sum_over_ranks(losses)
            save()
    position.losses = sum_over_ranks(losses)
    return position.losses.sum().item() / len(batches.chosen)


@torch.inference_mode()
def test(training: Training, loader: BatchLoader, epoch: int) -> tuple[float, float]:
    """テストデータで評価し、画像1枚あたりの平均の損失と、正解率（%）を返す。

    プロセスが2つ以上のときは、手分けをして、合わせた値を返します。終わると、訓練モードになります。
    ``epoch`` は、表示に使う番号です。

    Examples
    --------
    >>> from entering_pytorch import training as T
    >>> from entering_pytorch.loading import make_loader
    >>> from entering_pytorch.options import parse_args
    >>> training = T.build(parse_args(["--device", "cpu", "--precision", "fp32"]), steps=100)
    >>> loader = make_loader("data", False, 1000, "memory", training.device)
    >>> loss, accuracy = T.test(training, loader, epoch=0)
    >>> 2 < loss < 3 and 0 <= accuracy <= 100
    True
    """
    training.net.eval()
    total_loss = torch.tensor(0.0, device=training.device)
    correct = torch.tensor(0.0, device=training.device)
    progress = tqdm(loader, desc=f"Epoch {epoch}: Test", leave=False, disable=rank() > 0 or None)
    for images, labels in progress:
        images, labels = images.to(training.device), labels.to(training.device)
        with autocast(training):
            output = training.net(images)
            total_loss += nn.functional.nll_loss(output, labels, reduction="sum")
        correct += (output.argmax(dim=1) == labels).sum()
    training.net.train()
    loss, right = sum_over_ranks(torch.stack([total_loss, correct])).tolist()
    return loss / loader.batches.count, 100 * right / loader.batches.count


def state_of(training: Training, position: Position, settings: dict) -> dict[str, Any]:
    """チェックポイントの辞書を作る。``settings`` は、再開のときに照らし合わせるオプション。"""
    return {
        "model": training.net.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "scheduler": training.scheduler.state_dict(),
        "position": asdict(position),
        "settings": settings,
    }


def restore(training: Training, state: dict[str, Any]) -> Position:
    """:py:func:`state_of` の辞書のとおりに、乱数の状態まで戻し、続きを始める位置を返す。

    Raises
    ------
    KeyError, RuntimeError
        辞書のキーが足りないとき。モデルの形が違うとき。
    """
    training.net.load_state_dict(state["model"])
    training.optimizer.load_state_dict(state["optimizer"])
    training.scheduler.load_state_dict(state["scheduler"])
    torch.set_rng_state(state["position"]["rng"])
    return Position(**state["position"])
