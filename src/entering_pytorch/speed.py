"""学習の速さを、同じ計算機の限界と比べる。"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """``run()`` にかかる時間を秒で返す。アクセラレーターの計算が終わるのも待つ。

    Examples
    --------
    >>> import time, torch
    >>> from entering_pytorch.speed import seconds
    >>> 0.01 <= seconds(lambda: time.sleep(0.01), torch.device("cpu")) < 5
    True
    """
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    start = time.perf_counter()
    run()
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter() - start


def count_flops(run: Callable[[], object]) -> int:
    """``run()`` が行う浮動小数点の演算の回数を数える。

    行列積と畳み込みを、``torch.utils.flop_counter`` で数えます。積と和を別々に数えるので、
    (M, K) と (K, N) の行列積は2MKN回です。

    Examples
    --------
    >>> import torch
    >>> from entering_pytorch.speed import count_flops
    >>> a, b = torch.ones(2, 3), torch.ones(3, 4)
    >>> count_flops(lambda: a @ b)
    48
    """
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def matmul_peak(
    device: torch.device, dtype: torch.dtype, size: int = 2048, times: int = 5
) -> float:
    """大きな行列積で出る、1秒あたりの演算の回数（FLOP/s）を測る。

    Parameters
    ----------
    size
        正方行列の一辺。演算の回数は、2 × ``size`` の3乗です。
    times
        測る回数。いちばん速かったものを採ります。

    Examples
    --------
    >>> import torch
    >>> from entering_pytorch.speed import matmul_peak
    >>> matmul_peak(torch.device("cpu"), torch.float32, size=64) > 0
    True
    """
    a, b = torch.randn(2, size, size, device=device, dtype=dtype)
    torch.mm(a, b)  # 初回だけの準備を、測る前に済ませる
    return 2 * size**3 / min(seconds(lambda: torch.mm(a, b), device) for _ in range(times))


@dataclass
class Speed:
    """学習の速さと、その限界。``print`` すると、2行にまとめて表示する。"""

    loop: float
    """学習のループが1秒に学ぶ画像の枚数。"""
    alone: float
    """順伝播、逆伝播、更新だけを繰り返したときの、1秒あたりの枚数。"""
    flops_per_image: float
    """画像1枚を学ぶための演算の回数。"""
    peak: float
    """同じ精度の行列積で出る、1秒あたりの演算の回数。"""

    @property
    def loop_share(self) -> float:
        """計算だけの速さに対する、ループの速さの割合（%）。"""
        return 100 * self.loop / self.alone

    @property
    def peak_share(self) -> float:
        """行列積の速さに対する、ループの演算の速さの割合（%）。"""
        return 100 * self.loop * self.flops_per_image / self.peak

    def __str__(self) -> str:
        flops = self.loop * self.flops_per_image
        return (
            f"1秒あたりの画像：ループ {self.loop:.0f}枚、"
            f"計算だけ {self.alone:.0f}枚（{self.loop_share:.1f} %）\n"
            f"1秒あたりの演算：ループ {flops / 1e9:.1f} GFLOP/s、"
            f"行列積 {self.peak / 1e9:.1f} GFLOP/s（{self.peak_share:.1f} %）"
        )


def measure_speed(
    loop: Callable[[], int],
    step: Callable[[], int],
    steps: int,
    device: torch.device,
    dtype: torch.dtype,
    rounds: int = 5,
) -> Speed:
    """学習のループと計算だけとを、交互に測って中央値を比べる。

    Parameters
    ----------
    loop
        ``steps`` 個のミニバッチを、データを取り出すところから学び、その枚数を返す関数。
    step
        すでに置いてある1つのミニバッチを学び、その枚数を返す関数。
    steps
        ``loop`` が学ぶミニバッチの数。
    dtype
        行列積の限界を測る型。
    rounds
        それぞれを測る回数。

    Examples
    --------
    >>> import torch
    >>> from entering_pytorch.speed import measure_speed
    >>> def step():
    ...     torch.ones(8, 8) @ torch.ones(8, 8)
    ...     return 8
    >>> def loop():
    ...     return sum(step() for _ in range(10))
    >>> speed = measure_speed(loop, step, 10, torch.device("cpu"), torch.float32)
    >>> speed.flops_per_image
    128.0
    """
    images_of_loop, images_of_step = loop(), step()  # 初回だけの準備を、測る前に済ませる
    loops, alones = [], []
    for _ in range(rounds):
        loops.append(images_of_loop / seconds(loop, device))
        alones.append(
            steps * images_of_step / seconds(lambda: [step() for _ in range(steps)], device)
        )
    return Speed(
        loop=statistics.median(loops),
        alone=statistics.median(alones),
        flops_per_image=count_flops(step) / images_of_step,
        peak=matmul_peak(device, dtype),
    )
