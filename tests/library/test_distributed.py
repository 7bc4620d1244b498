"""src/entering_pytorch/distributed.pyの試験。速いものは、通信を偽のものに置き換える。"""

import re
import time

import pytest
import torch
import torch.distributed as dist
from programs import KILLED, SMALL, torchrun, weights

from entering_pytorch import distributed, fast

CPU, CUDA = torch.device("cpu"), torch.device("cuda")

# torchrunが動かすプログラム。誤りを植えながら、同じ学習を3回行う
SHARED = """
import os, sys, torch
from torch import nn
from entering_pytorch import distributed, fast, loading, training
from entering_pytorch.distributed import process_group, rank, sum_over_ranks
from entering_pytorch.options import parse_args

class Alone(nn.Module):  # 勾配を揃えない。植えた誤り
    def __init__(self, net):
        super().__init__()
        self.net = net
    def forward(self, x):
        return self.net(x)

step, save_weights = training.train_step, fast.save_weights
found = {}
with process_group(torch.device("cpu")):
    for fault in ["none", "unsharded", "unsynchronised"]:
        losses, saves = [], []
        def recorded(t, images, labels, size):
            loss = step(t, images, labels, size)
            losses.append(sum_over_ranks(loss.sum()).item() / size)
            return loss
        training.train_step = recorded
        fast.save_weights = lambda net, path: (saves.append(path), save_weights(net, path))
        if fault == "unsharded":
            loading.rank, loading.world_size = lambda: 0, lambda: 1
        if fault == "unsynchronised":
            loading.rank, loading.world_size = distributed.rank, distributed.world_size
            training.DistributedDataParallel = Alone
        fast.run(parse_args(sys.argv[2:]))
        found[fault] = {"losses": losses, "saves": len(saves)}
        if saves:
            found[fault]["weights"] = torch.load(saves[0], weights_only=True)
torch.save(found, f"{sys.argv[1]}/rank{os.environ['RANK']}.pt")
"""


def numbers(line: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+\.\d+", line)]


@pytest.fixture
def alone():
    """1つのプロセスだけのグループ。"""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.fixture
def launched(monkeypatch):
    """torchrunから始まったことにして、通信の呼び出しを順に記録する。"""
    calls = []
    monkeypatch.setattr(dist, "is_torchelastic_launched", lambda: True)
    monkeypatch.setattr(dist, "init_process_group", calls.append)
    monkeypatch.setattr(dist, "barrier", lambda: calls.append("barrier"))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: calls.append("destroy"))
    monkeypatch.setattr(distributed.time, "sleep", lambda seconds: calls.append("sleep"))
    return calls


# -- 番号と通信 ---------------------------------------------------------------


def test_numbers_come_from_the_group(alone):
    assert (distributed.rank(), distributed.world_size()) == (0, 1)


def test_the_sum_leaves_the_values_as_they_are(alone, monkeypatch):
    values = torch.tensor([1.0, 2.0])
    assert torch.equal(distributed.sum_over_ranks(values), values)
    monkeypatch.setattr(dist, "all_reduce", lambda total: total.mul_(3))  # 3つが同じ値のとき
    assert distributed.sum_over_ranks(values).tolist() == [3.0, 6.0]
    assert values.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("number", "count", "expected"),
    [
        (0, 1, ["work"]),
        (0, 2, ["work", "barrier"]),
        (1, 2, ["barrier", "work"]),
        (2, 3, ["barrier", "work"]),
    ],
)
def test_the_first_rank_works_before_the_others(number, count, expected, launched, monkeypatch):
    monkeypatch.setattr(distributed, "rank", lambda: number)
    monkeypatch.setattr(distributed, "world_size", lambda: count)
    with distributed.rank_zero_first():
        launched.append("work")
    assert launched == expected


@pytest.mark.parametrize("kind", ["cuda", "xpu"])
def test_a_gpu_is_chosen_by_the_number_from_torchrun(kind, launched, monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.accelerator, "set_device_index", chosen.append)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 4)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert distributed.own_device(torch.device(kind)) == torch.device(kind, 3)
    assert chosen == [3]
    assert distributed.own_device(CPU) == CPU
    assert chosen == [3]


def test_more_processes_than_devices_are_refused(launched, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)
    monkeypatch.setattr(torch.accelerator, "set_device_index", lambda index: None)
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert distributed.own_device(CUDA) == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(SystemExit) as raised:
        distributed.own_device(CUDA)
    assert raised.value.code == (
        "プロセスの数が、GPUの枚数（1）より多すぎます。"
        "--nproc-per-nodeを減らすか、--device cpuを付けてください。"
    )


def test_a_single_process_keeps_its_device(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert distributed.own_device(CUDA) == CUDA


# -- グループの始まりと終わり -------------------------------------------------


def test_a_single_process_opens_no_group(launched, monkeypatch):
    monkeypatch.setattr(dist, "is_torchelastic_launched", lambda: False)
    with distributed.process_group(CPU):
        pass
    assert launched == []


@pytest.mark.parametrize(("device", "backend"), [(CPU, "gloo"), (CUDA, "nccl")])
def test_the_group_closes_after_all_have_finished(device, backend, launched):
    with distributed.process_group(device):
        launched.append("work")
    assert launched == [backend, "work", "barrier", "destroy"]


@pytest.mark.parametrize("message", ["Connection closed by peer [127.0.0.1]:1", "Peer is gone"])
def test_a_rank_that_loses_another_waits_for_the_end(message, launched, monkeypatch, capsys):
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    with pytest.raises(RuntimeError, match=re.escape(message)), distributed.process_group(CPU):
        raise RuntimeError(message)
    assert launched == ["gloo", "sleep", "destroy"]
    printed = capsys.readouterr()
    assert printed.err == f"プロセス1は、ほかのプロセスとの通信を失いました：{message}\n"
    assert printed.out == ""


@pytest.mark.parametrize("error", [RuntimeError("shapes cannot be multiplied"), SystemExit("no")])
def test_a_fault_of_its_own_ends_the_rank_at_once(error, launched):
    with pytest.raises(type(error), match=str(error)), distributed.process_group(CPU):
        raise error
    assert launched == ["gloo", "destroy"]


# -- 本物のtorchrun -----------------------------------------------------------


def test_two_processes_learn_as_one(root, tmp_path, losses, capfd):
    options = ["--data", str(root), *SMALL]
    fast.main([*options, "--save-model", str(tmp_path / "one.pt")])
    lines = capfd.readouterr().out.splitlines()[1:]
    (tmp_path / "shared.py").write_text(SHARED, encoding="utf-8")
    saved = ["--save-model", tmp_path / "two.pt"]
    with torchrun(tmp_path / "shared.py", tmp_path, *options, *saved) as running:
        out = running.communicate(timeout=120)[0]
    assert running.returncode == 0, out
    ranks = [torch.load(tmp_path / f"rank{number}.pt") for number in (0, 1)]
    assert ranks[0]["none"]["losses"] == pytest.approx(losses, abs=1e-5)
    assert [found["none"]["saves"] for found in ranks] == [1, 0]
    printed = [line for line in out.splitlines() if line.startswith("Epoch")][: len(lines)]
    for line, expected in zip(printed, lines, strict=True):
        # 最後の桁は、丸める前のわずかな差で変わることがある
        assert numbers(line) == pytest.approx(numbers(expected), abs=1.01e-4)
    one, two = weights(tmp_path / "one.pt"), ranks[0]["none"]["weights"]
    for name in one:
        torch.testing.assert_close(two[name], one[name], atol=1e-4, rtol=0)
    for fault in ("unsharded", "unsynchronised"):  # 植えた誤りは、損失に表れる
        assert ranks[0][fault]["losses"] != pytest.approx(losses, abs=1e-5)


def test_a_rank_that_dies_ends_the_job(root, tmp_path):
    (tmp_path / "killed.py").write_text(KILLED, encoding="utf-8")
    options = [3, tmp_path / "time", "--data", root, *SMALL, "--epochs", "100000"]
    with torchrun(tmp_path / "killed.py", *options) as running:
        out = running.communicate(timeout=120)[0]
    assert time.time() - float((tmp_path / "time").read_text()) < 10
    assert running.returncode != 0
    cause = out[out.index("Root Cause") :]
    assert re.search(r"rank +: 1 ", cause), out
    assert "Signal 9 (SIGKILL)" in cause
