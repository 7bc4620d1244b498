"""src/entering_pytorch/speed.pyの試験。時間は、偽の時計で決める。"""

import pytest
import torch

from entering_pytorch import speed, training
from entering_pytorch.options import parse_args
from entering_pytorch.speed import Speed, count_flops

CPU, CUDA, META = (torch.device(name) for name in ("cpu", "cuda", "meta"))


@pytest.fixture
def clock(monkeypatch):
    """``clock.now`` を進めたときだけ進む時計。"""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(speed.time, "perf_counter", lambda: Clock.now)
    return Clock


def test_flops_of_a_step_agree_with_a_count_by_hand(capsys):
    made = training.build(parse_args(["--device", "cpu", "--precision", "fp32"]), steps=10)
    images, labels = torch.zeros(8, 1, 28, 28), torch.zeros(8, dtype=torch.int64)
    convolutions = [2 * 20 * 25 * 24**2, 2 * 40 * 20 * 25 * 8**2]
    linears = [2 * 2560 * 100, 2 * 100 * 10]
    # 順伝播、重みの勾配、入力の勾配。最初の畳み込みは、入力の勾配がいらない
    by_hand = 8 * (3 * sum(convolutions + linears) - convolutions[0])
    assert count_flops(lambda: training.train_step(made, images, labels, 8)) == by_hand
    assert capsys.readouterr().out == ""


def test_the_shares():
    found = Speed(loop=900.0, alone=1000.0, flops_per_image=2e6, peak=3.6e9)
    assert found.loop_share == pytest.approx(90)
    assert found.peak_share == pytest.approx(50)
    assert str(found).splitlines() == [
        "1秒あたりの画像：ループ 900枚、計算だけ 1000枚（90.0 %）",
        "1秒あたりの演算：ループ 1.8 GFLOP/s、行列積 3.6 GFLOP/s（50.0 %）",
    ]


def test_work_on_the_cpu_is_timed(clock, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda device: pytest.fail("待った"))

    def run():
        clock.now += 2.5

    assert speed.seconds(run, CPU) == 2.5


def test_work_on_a_gpu_is_timed_to_its_end(clock, monkeypatch):
    waiting = [40.0]  # 測る前から残っている計算の秒数

    def synchronize(device):
        assert device == CUDA
        clock.now += waiting.pop() if waiting else 0.0

    def run():
        clock.now += 0.5
        waiting.append(3.0)  # あとから終わる計算

    monkeypatch.setattr(torch.accelerator, "synchronize", synchronize)
    assert speed.seconds(run, CUDA) == 3.5


def test_the_peak_is_that_of_the_fastest_product(monkeypatch):
    durations, products = [0.5, 0.25, 0.5], []

    def seconds(run, device):
        assert device == META
        products.append(run())
        return durations[len(products) - 1]

    monkeypatch.setattr(speed, "seconds", seconds)
    assert speed.matmul_peak(META, torch.bfloat16, size=100, times=3) == 2 * 100**3 / 0.25
    for product in products:
        assert product.shape == (100, 100)
        assert product.dtype == torch.bfloat16
        assert product.device == META
    assert len(products) == 3


def test_the_medians_of_the_loop_and_of_the_steps_are_compared(clock, monkeypatch):
    durations = iter([99.0, 2.0, 8.0, 4.0])  # 初回、それから3回
    asked = []

    def loop():
        clock.now += next(durations)
        return 80

    def step():
        clock.now += 0.25
        torch.ones(3, 5) @ torch.ones(5, 7)
        return 10

    def matmul_peak(device, dtype):
        asked.append((device, dtype))
        return 1e12

    monkeypatch.setattr(speed, "matmul_peak", matmul_peak)
    found = speed.measure_speed(loop, step, 8, CPU, torch.bfloat16, rounds=3)
    assert found == Speed(loop=20.0, alone=40.0, flops_per_image=2 * 3 * 5 * 7 / 10, peak=1e12)
    assert asked == [(CPU, torch.bfloat16)]
    assert list(durations) == []
