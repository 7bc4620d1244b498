"""手書き数字の画像（MNIST）の分類を、``mnist.py`` と同じモデルとデータで、速く学習する。

速くする工夫の一つひとつが、オプションになっています。初めの状態では、2巡目に、損失の大きかった
画像だけを見ます。表示する訓練の損失は、その巡で見た画像の平均です。

.. code-block:: text

   python -m entering_pytorch.fast

工夫をすべて切る次のオプションでは、``mnist.py`` と同じ計算になります。

.. code-block:: text

   --loading loader --layout contiguous --order relu_first --schedule constant
   --revisit all --adam default --allocator default --precision fp32
   --batch-size 100 --lr 0.001 --epochs 5

``torchrun`` は、PyTorchに付いてくるコマンドで、同じプログラムをいくつも同時に始めます。
それぞれがミニバッチの一部を受け持ち、勾配を平均します。GPUでは、プロセスの数をGPUの枚数までに
します。CPUでは、プロセスごとのスレッドの数を ``OMP_NUM_THREADS`` で指定します（指定しなければ1）。

.. code-block:: text

   torchrun --nproc-per-node=2 -m entering_pytorch.fast
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any

import torch

from entering_pytorch.checkpoint import load_checkpoint, save_checkpoint
from entering_pytorch.distributed import (
    own_device,
    process_group,
    rank,
    rank_zero_first,
    world_size,
)
from entering_pytorch.loading import BatchLoader, make_loader
from entering_pytorch.memory import keep_freed_memory
from entering_pytorch.mnist import save_weights
from entering_pytorch.options import parse_args
from entering_pytorch.precision import DTYPES, faster_precision, has_bf16
from entering_pytorch.speed import Speed, measure_speed
from entering_pytorch.training import (
    begin_epoch,
    build,
    count_seen,
    restore,
    state_of,
    test,
    train,
    train_step,
)

# 重みを変えるオプション。再開するときは、どれも始めたときと同じでなければならない
SETTINGS = ("epochs", "batch_size", "lr", "seed", "layout", "order", "schedule", "revisit")
SETTINGS += ("adam", "compile")
ENDLESS = 10_000  # 速さを測るだけのモデルの、学習率の予定の長さ


def load_data(args: argparse.Namespace) -> tuple[BatchLoader, BatchLoader]:
    """訓練データとテストデータを用意する。できなければ、一文で知らせて終わる。"""
    try:
        with rank_zero_first():  # データがないときに取得するのは、1つのプロセスだけ
            train_loader, test_loader = (
                make_loader(args.data, is_train, args.batch_size, args.loading, args.device)
                for is_train in (True, False)
            )
    except (OSError, RuntimeError, ValueError, AssertionError):
        sys.exit(
            f"MNISTを{args.data}に用意できませんでした。"
            "ネットワークにつないでもう一度実行するか、"
            "データのあるフォルダーを--dataで指定してください。"
        )
    return train_loader, test_loader


def load_state(args: argparse.Namespace) -> dict[str, Any] | None:
    """続きから学習するときは、チェックポイントを読む。なければNone。"""
    if not args.resume:
        return None
    try:
        state = load_checkpoint(args.checkpoint)
    except FileNotFoundError:
        if rank() == 0:
            print(f"{args.checkpoint}がないので、初めから学習します。")
        return None
    except ValueError:
        state = {}
    # mnist.pyが保存した重みや、オプションの違う版のチェックポイント
    if set(state.get("settings", ())) != {*SETTINGS, "precision"}:
        sys.exit(f"{args.checkpoint}は、チェックポイントとして読めません。")
    settings = state["settings"]
    if settings["precision"] == "bf16" and not has_bf16(args.device):
        sys.exit(
            f"{args.checkpoint}は、bf16で学習したものです。"
            "このデバイスではbf16を使えないので、続きを学習できません。"
        )
    if args.precision == "auto":
        args.precision = settings["precision"]
    for name in (*SETTINGS, "precision"):
        if settings[name] != getattr(args, name):
            option, first = f"--{name.replace('_', '-')}", settings[name]
            if isinstance(first, bool):
                sys.exit(f"{option}を{'付けて' if first else '外して'}ください。")
            sys.exit(f"{option}を、学習を始めたときの値（{first}）に戻してください。")
    return state


def decide_precision(args: argparse.Namespace) -> None:
    """``--precision`` を、``fp32`` か ``bf16`` に決める。使えなければ、一文で知らせて終わる。

    ``auto`` なら、別のモデルを何度か学習させて、速いほうを選びます。
    """
    if args.precision == "auto":
        args.precision = faster_precision(trial_step(args), args.device)
    if args.precision == "bf16" and not has_bf16(args.device):
        sys.exit("--precisionには、fp32を指定してください。このデバイスではbf16を使えません。")


def trial_step(args: argparse.Namespace) -> Callable[[str], object]:
    """精度の名前を受け取り、多くとも256枚の画像で、別のモデルを1回だけ学習する関数を返す。"""
    # torch.compileには時間がかかるので、使わずに比べる
    training = build(argparse.Namespace(**{**vars(args), "compile": False}), ENDLESS)
    size = min(args.batch_size, 256)
    images = torch.zeros(size, 1, 28, 28, device=args.device)
    labels = torch.zeros(size, dtype=torch.int64, device=args.device)

    def step(precision: str) -> None:
        training.precision = precision
        train_step(training, images, labels, size)

    return step


def try_to_save(save: Callable[[], None], path: object) -> None:
    """``save()`` を呼ぶ。保存できなければ、一文で知らせて終わる。"""
    try:
        save()
    except (OSError, RuntimeError):
        sys.exit(f"{path}に保存できませんでした。空き容量を確かめてください。")


def run(args: argparse.Namespace) -> None:
    """オプションのとおりに、学習と評価をエポックの数だけ繰り返す。"""
    args.device = own_device(args.device)
    state = load_state(args)
    decide_precision(args)
    torch.manual_seed(args.seed)
    if rank() == 0:
        print(
            f"{args.device.type}を使い、{args.precision}で学習します"
            f"（bf16の命令：{'あり' if has_bf16(args.device) else 'なし'}、"
            f"プロセス：{world_size()}、スレッド：{torch.get_num_threads()}）。",
            flush=True,
        )
    train_loader, test_loader = load_data(args)
    count = train_loader.batches.count
    training = build(args, count_steps(args, count))
    position = begin_epoch(0, torch.zeros(count), args.revisit)
    if state is not None:
        position = restore(training, state)
    settings = {name: getattr(args, name) for name in (*SETTINGS, "precision")}

    def save() -> None:
        if args.checkpoint is not None and rank() == 0:
            now = state_of(training, position, settings)
            try_to_save(lambda: save_checkpoint(now, args.checkpoint), args.checkpoint)

    while position.epoch < args.epochs:
        epoch = position.epoch
        train_loss = train(training, train_loader, position, save, args.checkpoint_every)
        test_loss, accuracy = test(training, test_loader, epoch)
        if rank() == 0:
            print(f"Epoch {epoch}: Train loss {train_loss:.4f}")
            print(
                f"Epoch {epoch}: Test loss {test_loss:.4f}, Accuracy {accuracy:.2f} %", flush=True
            )
        position = begin_epoch(epoch + 1, position.losses, args.revisit)
        save()

    if args.save_model is not None and rank() == 0:
        try_to_save(lambda: save_weights(training.net, args.save_model), args.save_model)
    if args.report:
        speed = report_speed(args, train_loader)
        if rank() == 0:
            print(speed)


def count_steps(args: argparse.Namespace, count: int) -> int:
    """``count`` 枚の訓練データで、学習の終わりまでにパラメータを更新する回数を返す。"""
    seen = [count_seen(epoch, count, args.revisit) for epoch in range(args.epochs)]
    return sum(-(-images // args.batch_size) for images in seen)


def report_speed(args: argparse.Namespace, loader: BatchLoader) -> Speed:
    """新しいモデルで、学習のループの最後の100ステップの速さと、計算機の限界を測る。

    手分けをするとき、演算の回数と行列積の速さは、1つのプロセスの分です。
    """
    batches = loader.batches
    batches.start, batches.chosen = 0, range(batches.count)
    start = max(len(batches) - 100, 0)
    size = batches.size(0)
    images, labels = next(iter(loader))
    images, labels = images.to(args.device), labels.to(args.device)
    training = build(args, ENDLESS)
    position = begin_epoch(0, torch.zeros(batches.count), args.revisit)

    def loop() -> int:
        position.batch = start
        train(training, loader, position)
        return batches.count - start * size

    def step() -> int:
        train_step(training, images, labels, size)
        return size

    return measure_speed(loop, step, len(batches) - start, args.device, DTYPES[args.precision])


def main(argv: list[str] | None = None) -> None:
    """コマンドラインから学習する。

    Parameters
    ----------
    argv
        コマンドラインのオプション。省略すると ``sys.argv`` から読みます。

    Raises
    ------
    SystemExit
        オプションが正しくないとき、データを用意できないとき、保存できないとき。チェックポイントを
        読めないとき、再開のオプションが、始めたときと違うとき。GPUがプロセスの数より少ないとき。
    RuntimeError
        手分けをするほかのプロセスが、止まったとき。

    Examples
    --------
    >>> from entering_pytorch.fast import main
    >>> main(["--precision", "fp16"])
    Traceback (most recent call last):
    ...
    SystemExit: --precisionには、auto、fp32かbf16を指定してください。
    """
    args = parse_args(argv)
    if args.allocator == "keep":
        keep_freed_memory()
    with process_group(args.device):
        run(args)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("\n中断しました。", file=sys.stderr)
        sys.exit(130)
