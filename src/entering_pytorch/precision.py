"""計算の精度を、プロセッサーの命令と、測った速さから決める。"""

import torch

from entering_pytorch.distributed import sum_over_ranks
from entering_pytorch.speed import matmul_peak

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
CPU_CAPABILITIES = ("amx_bf16", "avx512_bf16", "bf16")  # 最後は、Armの命令の名前


def has_bf16(device: torch.device) -> bool:
    """``device`` に、bfloat16で計算する命令があるかどうかを返す。

    CPUでは ``torch.cpu.get_capabilities()`` に、CUDAでは ``torch.cuda.is_bf16_supported()`` に
    尋ねます。

    Examples
    --------
    >>> import torch
    >>> from entering_pytorch.precision import has_bf16
    >>> has_bf16(torch.device("meta"))
    False
    """
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name, False) for name in CPU_CAPABILITIES)
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return False


def faster_precision(device: torch.device) -> str:
    """大きな行列積が速いほうの精度の名前を返す。bf16の命令がなければ、いつも ``"fp32"``。

    プロセスが2つ以上のときは、すべてのプロセスの時間を足して、同じ答えにします。

    Examples
    --------
    >>> import torch
    >>> from entering_pytorch.precision import faster_precision
    >>> faster_precision(torch.device("cpu")) in ("fp32", "bf16")
    True
    """
    if not has_bf16(device):
        return "fp32"
    times = [1 / matmul_peak(device, dtype, size=1024) for dtype in DTYPES.values()]
    fp32, bf16 = sum_over_ranks(torch.tensor(times, device=device)).tolist()
    return "bf16" if bf16 < fp32 else "fp32"
