"""計算の精度を、プロセッサーの命令と、測った速さから決める。"""

from collections.abc import Callable
from functools import partial

import torch

from entering_pytorch.distributed import sum_over_ranks
from entering_pytorch.speed import seconds

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
CPU_CAPABILITIES = ("amx_bf16", "avx512_bf16", "bf16")  # 最後は、Armの命令の名前


def has_bf16(device: torch.device) -> bool:
    """``device`` に、bfloat16で計算する命令があるかどうかを返す。

    CPUでは ``torch.cpu.get_capabilities()`` に、CUDAでは ``torch.cuda.is_bf16_supported()`` に
    尋ねます。ほかのデバイスでは、調べずにFalseを返します。

    Examples
    --------
    >>> import torch
    >>> from entering_pytorch.precision import has_bf16
    >>> has_bf16(torch.device("meta"))
    False
    """
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name) for name in CPU_CAPABILITIES)
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return False


def faster_precision(step: Callable[[str], object], device: torch.device, rounds: int = 5) -> str:
    """``step("fp32")`` と ``step("bf16")`` のうち、速いほうの精度の名前を返す。

    交互に測り、それぞれのいちばん短い時間を比べます。bf16の命令がなければ、測らずに ``"fp32"`` を
    返します。プロセスが2つ以上のときは、すべてのプロセスの時間を足して、同じ答えにします。

    Parameters
    ----------
    step
        精度の名前を受け取り、その精度で ``device`` に計算させる関数。
    rounds
        精度ごとに測る回数。

    Examples
    --------
    >>> import torch
    >>> from entering_pytorch.precision import DTYPES, faster_precision
    >>> a = torch.ones(256, 256)
    >>> def step(precision):
    ...     return a.to(DTYPES[precision]) @ a.to(DTYPES[precision])
    >>> faster_precision(step, a.device) in ("fp32", "bf16")
    True
    """
    if not has_bf16(device):
        return "fp32"
    for name in DTYPES:
        step(name)  # 初回だけの準備を、測る前に済ませる
    times = [[seconds(partial(step, name), device) for name in DTYPES] for _ in range(rounds)]
    best = torch.tensor(times, device=device).amin(dim=0)  # (rounds, 2) -> (2,)
    fp32, bf16 = sum_over_ranks(best).tolist()
    return "bf16" if bf16 < fp32 else "fp32"
