"""複数のプロセスで手分けをして学習する。torchrunから始めたときだけ、2つ以上になる。"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

PATIENCE = 30.0  # 秒。ほかのプロセスが止まったあと、torchrunが自分を終わらせるのを待つ時間


def rank() -> int:
    """このプロセスの番号を返す。1つだけで動くときは0。

    Examples
    --------
    >>> from entering_pytorch import distributed
    >>> distributed.rank()
    0
    """
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """手分けをするプロセスの数を返す。1つだけで動くときは1。

    Examples
    --------
    >>> from entering_pytorch import distributed
    >>> distributed.world_size()
    1
    """
    return dist.get_world_size() if dist.is_initialized() else 1


def sum_over_ranks(values: Tensor) -> Tensor:
    """すべてのプロセスの ``values`` を、要素ごとに足したテンソルを返す。

    すべてのプロセスが、同じ順で呼び出します。

    Parameters
    ----------
    values
        どのプロセスでも形が同じテンソル。変わりません。

    Returns
    -------
    Tensor
        ``values`` と同じ形のテンソル。どのプロセスでも同じ値です。

    Examples
    --------
    >>> import torch
    >>> from entering_pytorch.distributed import sum_over_ranks
    >>> sum_over_ranks(torch.tensor([1.5, 2.0]))
    tensor([1.5000, 2.0000])
    """
    total = values.clone()
    if dist.is_initialized():
        dist.all_reduce(total)
    return total


def own_device(device: torch.device) -> torch.device:
    """このプロセスが使うデバイスを返す。GPUは、torchrunが付けた番号のものを使う。

    ``cuda:1`` のように番号を付けても、torchrunから始めたときは、torchrunの番号に従います。

    Raises
    ------
    SystemExit
        その番号のGPUがないとき。

    Examples
    --------
    >>> import torch
    >>> from entering_pytorch.distributed import own_device
    >>> own_device(torch.device("cpu"))
    device(type='cpu')
    """
    if device.type == "cpu" or not dist.is_torchelastic_launched():
        return device
    index, count = int(os.environ["LOCAL_RANK"]), torch.accelerator.device_count()
    if index >= count:
        sys.exit(
            f"プロセスの数が、GPUの枚数（{count}）より多すぎます。"
            "--nproc-per-nodeを減らすか、--device cpuを付けてください。"
        )
    torch.accelerator.set_device_index(index)
    return torch.device(device.type, index)


@contextmanager
def rank_zero_first() -> Iterator[None]:
    """先頭のプロセスが終えてから、ほかのプロセスが進む。

    Examples
    --------
    >>> from entering_pytorch.distributed import rank_zero_first
    >>> with rank_zero_first():
    ...     print("データを用意します。")
    データを用意します。
    """
    if rank() > 0:
        dist.barrier()
    yield
    if rank() == 0 and world_size() > 1:
        dist.barrier()


def wait_for_the_end(error: RuntimeError) -> None:
    """相手を失ったプロセスとして、torchrunに終わらされるのを待つ。

    先に終わると、止まった相手ではなくこのプロセスが原因だと報告されてしまいます。
    """
    print(f"プロセス{rank()}は、ほかのプロセスとの通信を失いました：{error}", file=sys.stderr)
    time.sleep(PATIENCE)


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """torchrunから始めたときは、プロセスどうしの通信を始め、終わったら閉じる。

    通信には、GPUではNCCLを、ほかではGlooを使います。

    Raises
    ------
    RuntimeError
        ほかのプロセスが止まり、通信を続けられないとき。原因のプロセスが先に報告されるように、
        30秒まで待ってから出します。

    Examples
    --------
    >>> import torch
    >>> from entering_pytorch.distributed import process_group, world_size
    >>> with process_group(torch.device("cpu")):
    ...     world_size()
    1
    """
    if not dist.is_torchelastic_launched():
        yield
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
        dist.barrier()  # 相手が終わる前に通信を閉じない
    except RuntimeError as error:
        if "peer" in str(error).lower():  # Glooは "Connection closed by peer" などと知らせる
            wait_for_the_end(error)
        raise
    finally:
        dist.destroy_process_group()
