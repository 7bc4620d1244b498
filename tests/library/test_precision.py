"""src/entering_pytorch/precision.pyの試験。時間は、偽の時計で決める。"""

import pytest
import torch
from programs import SMALL
from torch import nn

from entering_pytorch import fast, precision
from entering_pytorch.precision import DTYPES, faster_precision, has_bf16

CPU, CUDA, META = (torch.device(name) for name in ("cpu", "cuda", "meta"))


@pytest.fixture
def timed(monkeypatch):
    """bf16の命令がある計算機で、名前ごとに決めた時間の順にかかったことにする。"""
    monkeypatch.setattr(precision, "has_bf16", lambda device: True)

    def choose(device=CPU, **times):
        steps, waiting = [], {name: list(values) for name, values in times.items()}

        def seconds(run, on):
            assert on == device
            run()
            return waiting[steps[-1]].pop(0)

        monkeypatch.setattr(precision, "seconds", seconds)
        rounds = len(times["fp32"])
        return faster_precision(steps.append, device, rounds=rounds), steps

    return choose


def test_bf16_is_refused_where_the_processor_lacks_it(root, monkeypatch, capsys):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    options = ["--data", str(root), *SMALL]
    with pytest.raises(SystemExit, match="このデバイスではbf16を使えません"):
        fast.main([*options, "--precision", "bf16"])
    fast.main([*options, "--precision", "auto"])
    assert capsys.readouterr().out.startswith("cpuを使い、fp32で学習します（bf16の命令：なし")


@pytest.mark.parametrize("name", ["amx_bf16", "avx512_bf16", "bf16"])
def test_bf16_is_used_where_the_processor_has_it(name, root, monkeypatch, capsys):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {name: True})
    kinds = []
    log_softmax = nn.LogSoftmax.forward
    monkeypatch.setattr(
        nn.LogSoftmax, "forward", lambda self, x: (kinds.append(x.dtype), log_softmax(self, x))[1]
    )
    fast.main(["--data", str(root), *SMALL, "--precision", "bf16"])
    assert set(kinds) == {torch.bfloat16}
    assert capsys.readouterr().out.startswith("cpuを使い、bf16で学習します（bf16の命令：あり")


@pytest.mark.parametrize("name", ["amx_bf16", "avx512_bf16", "bf16"])
def test_an_instruction_that_is_listed_as_absent_does_not_count(name, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {name: False, "avx2": True})
    assert not has_bf16(CPU)


def test_a_gpu_that_only_emulates_bf16_does_not_count(monkeypatch):
    def supported(including_emulation=True):
        return including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert not has_bf16(CUDA)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert has_bf16(CUDA)
    assert not has_bf16(META)


def test_nothing_is_timed_without_bf16(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert faster_precision(lambda name: pytest.fail("測った"), CPU) == "fp32"


def test_the_faster_precision_is_chosen(timed):
    assert timed(fp32=[2.0, 2.0], bf16=[1.0, 1.0])[0] == "bf16"
    assert timed(fp32=[1.0, 1.0], bf16=[2.0, 2.0])[0] == "fp32"
    assert timed(fp32=[1.0, 1.0], bf16=[1.0, 1.0])[0] == "fp32"  # 同じなら、正確なほう


def test_a_disturbed_measurement_does_not_decide(timed):
    assert timed(fp32=[2.0, 2.0, 2.0], bf16=[9.0, 1.0, 9.0])[0] == "bf16"


def test_the_precisions_take_turns_after_a_warm_up(timed):
    _, steps = timed(fp32=[1.0, 1.0], bf16=[1.0, 1.0])
    assert steps == [*DTYPES, *DTYPES, *DTYPES]


def test_choosing_takes_at_most_twelve_steps(monkeypatch):
    monkeypatch.setattr(precision, "has_bf16", lambda device: True)
    steps = []
    assert faster_precision(steps.append, CPU) in DTYPES
    assert 6 <= len(steps) <= 12


def test_all_processes_choose_by_the_sum_of_their_times(timed, monkeypatch):
    devices = []

    def sum_over_ranks(times):  # もう一つのプロセスでは、bf16が4秒遅い
        devices.append(times.device)
        assert times.shape == (2,)
        return torch.tensor([1.0, 1.0 + 4.0])

    monkeypatch.setattr(precision, "sum_over_ranks", sum_over_ranks)
    assert timed(META, fp32=[2.0], bf16=[1.0])[0] == "fp32"
    assert devices == [META]  # NCCLは、GPUのテンソルだけを足せる
