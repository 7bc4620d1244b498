"""src/entering_pytorch/fast.pyと、それが使うモジュールの試験。ごく小さなデータを使う。"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from test_mnist import write_split
from torch import nn
from torchvision import datasets

from entering_pytorch import fast, loading, mnist, training
from entering_pytorch.checkpoint import load_checkpoint, save_checkpoint
from entering_pytorch.options import parse_args
from entering_pytorch.speed import Speed, count_flops

SRC = Path(fast.__file__).parents[1]
CPU = torch.device("cpu")
PLAIN = ["--loading", "loader", "--layout", "contiguous", "--schedule", "constant"]
PLAIN += ["--adam", "default", "--allocator", "default", "--precision", "fp32", "--lr", "0.001"]
SMALL = ["--device", "cpu", "--precision", "fp32", "--batch-size", "10", "--epochs", "2"]

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
            losses.append(sum_over_ranks(loss).item() / size)
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

# 決まったステップで、自分を強制終了するプログラム
KILLED = """
import os, signal, sys, time
from pathlib import Path
from entering_pytorch import fast, training
step, count = training.train_step, 0
def killed(*arguments):
    global count
    count += 1
    if count == int(sys.argv[1]) and os.environ.get("RANK", "1") == "1":
        Path(sys.argv[2]).write_text(str(time.time()))
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*arguments)
training.train_step = killed
fast.main(sys.argv[3:])
"""


@pytest.fixture
def root(tmp_path):
    """訓練データ25枚、テストデータ15枚だけの、小さなMNIST。"""
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    write_split(raw, "train", 25)
    write_split(raw, "t10k", 15)
    return tmp_path / "data"


@pytest.fixture
def losses(monkeypatch):
    """学習で計算した、ミニバッチの平均の損失を記録する。"""
    recorded = []
    nll_loss = nn.functional.nll_loss

    def record(output, target, *arguments, **options):
        loss = nll_loss(output, target, *arguments, **options)
        if output.requires_grad:
            recorded.append(nll_loss(output, target).item())
        return loss

    monkeypatch.setattr(nn.functional, "nll_loss", record)
    return recorded


def command(*words: str | Path) -> subprocess.Popen:
    """このリポジトリのライブラリを使う、別のプロセスを始める。"""
    environment = {
        **os.environ,
        "PYTHONPATH": str(SRC),
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
        "TQDM_DISABLE": "1",
    }
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def torchrun(script: Path, *options: str | Path) -> subprocess.Popen:
    """2つのプロセスで ``script`` を動かす。"""
    run = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    return command(*run, script, *options)


def numbers(line: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+\.\d+", line)]


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)


# -- オプション ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--epochs", "0"], "--epochsには、1以上の整数を指定してください。"),
        (["--lr", "nan"], "--lrには、0より大きい数を指定してください。"),
        (["--device", "gpu"], "--deviceには、この環境で使えるデバイスを指定してください。"),
        (["--precision", "fp16"], "--precisionには、auto、fp32かbf16を指定してください。"),
        (["--loading", "disk"], "--loadingには、memoryかloaderを指定してください。"),
        (["--layout", "nhwc"], "--layoutには、channels_lastかcontiguousを指定してください。"),
        (["--schedule", "step"], "--scheduleには、onecycleかconstantを指定してください。"),
        (["--checkpoint", "no/x.pt"], "--checkpointには、書き込めるファイルを指定してください。"),
        (["--checkpoint-every", "0"], "--checkpoint-everyには、1以上の整数を指定してください。"),
        (["--resume"], "--resumeには、--checkpointも指定してください。"),
        (["--compile=1"], "--compileには、値を付けないでください。"),
        (["--epoch", "3"], "--epochというオプションはありません。--helpで一覧を表示できます。"),
    ],
)
def test_a_wrong_value_gets_one_sentence_before_any_training(options, sentence, monkeypatch):
    monkeypatch.setattr(datasets, "MNIST", lambda *a, **k: pytest.fail("データを読み始めた"))
    with pytest.raises(SystemExit) as raised:
        fast.main(options)
    assert raised.value.code == sentence


def test_help_is_japanese(capsys):
    with pytest.raises(SystemExit) as raised:
        fast.main(["--help"])
    assert raised.value.code == 0
    assert not re.search("usage|options:|show this|exit", capsys.readouterr().out)


def test_truncated_data(root):
    with open(root / "MNIST" / "raw" / "train-images-idx3-ubyte", "r+b") as file:
        file.truncate(700)
    with pytest.raises(SystemExit, match=r"MNISTを.*用意できませんでした"):
        fast.main([*SMALL, "--data", str(root)])


# -- 元のプログラムとの比べ合わせ ---------------------------------------------


def test_all_switches_off_is_the_plain_program(root, tmp_path, losses, capsys):
    common = ["--data", str(root), "--device", "cpu", "--batch-size", "10", "--epochs", "2"]
    mnist.main([*common, "--save-model", str(tmp_path / "plain.pt")])
    plain_losses, plain_lines = losses.copy(), capsys.readouterr().out.splitlines()
    losses.clear()
    fast.main([*common, *PLAIN, "--save-model", str(tmp_path / "fast.pt")])
    assert len(plain_losses) == 6
    assert losses == pytest.approx(plain_losses, abs=1e-6)
    assert capsys.readouterr().out.splitlines()[1:] == plain_lines
    plain, same = weights(tmp_path / "plain.pt"), weights(tmp_path / "fast.pt")
    for name in plain:
        torch.testing.assert_close(same[name], plain[name], atol=1e-5, rtol=0)


@pytest.mark.parametrize("option", ["--loading", "--layout", "--adam", "--allocator"])
def test_these_switches_do_not_change_what_is_computed(option, root, losses, capsys):
    other = {"--loading": "memory", "--layout": "channels_last", "--adam": "fused"}
    common = ["--data", str(root), *SMALL, *PLAIN]
    fast.main(common)
    off = losses.copy()
    losses.clear()
    fast.main([*common, option, other.get(option, "keep")])
    assert losses == pytest.approx(off, abs=1e-4)


def test_the_schedule_rises_and_falls(root):
    options = ["--device", "cpu", "--schedule", "onecycle", "--lr", "0.01"]
    made = training.build(parse_args(options), steps=20)
    rates = []
    for _ in range(19):
        rates += made.scheduler.get_last_lr()
        made.optimizer.step()
        made.scheduler.step()
    assert max(rates) == pytest.approx(0.01, rel=0.02)
    assert rates[0] < 0.001
    assert rates[-1] < 0.001


def test_images_in_memory_equal_the_transformed_ones(root):
    batches = [
        list(loading.make_loader(root, False, 4, name, CPU)) for name in ("memory", "loader")
    ]
    for (images, labels), (expected, expected_labels) in zip(*batches, strict=True):
        assert torch.equal(images, expected)
        assert torch.equal(labels, expected_labels)


# -- 精度 ---------------------------------------------------------------------


def test_bf16_is_refused_where_the_processor_lacks_it(root, monkeypatch, capsys):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    options = ["--data", str(root), *SMALL]
    with pytest.raises(SystemExit, match="bf16を計算する命令がありません"):
        fast.main([*options, "--precision", "bf16"])
    fast.main([*options, "--precision", "auto"])
    assert capsys.readouterr().out.startswith("cpuで、fp32で学習します（bf16の命令はない")


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
    assert capsys.readouterr().out.startswith("cpuで、bf16で学習します（bf16の命令はある")


# -- 複数のプロセス -----------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3])
def test_ranks_share_every_batch(count, monkeypatch):
    monkeypatch.setattr(loading, "world_size", lambda: count)
    shares = []
    for number in range(count):
        monkeypatch.setattr(loading, "rank", lambda number=number: number)
        torch.manual_seed(0)
        shares.append(list(loading.Batches(25, 10, shuffle=True)))
    torch.manual_seed(0)
    order = list(torch.utils.data.RandomSampler(range(25)))
    for batch, parts in enumerate(zip(*shares, strict=True)):
        together = sorted(index for part in parts for index in part)
        assert together == sorted(order[10 * batch : 10 * batch + 10])


def test_a_rank_without_images_takes_part():
    made = training.build(parse_args(["--device", "cpu", "--precision", "fp32"]), steps=10)
    none = torch.empty(0, 1, 28, 28), torch.empty(0, dtype=torch.int64)
    assert training.train_step(made, *none, 1) == 0
    assert all(p.grad is not None and not p.grad.any() for p in made.net.parameters())


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


# -- チェックポイント ---------------------------------------------------------


@pytest.fixture
def killed(root, tmp_path):
    """エポック1の途中（4ステップ目のあと）で強制終了された学習の、チェックポイント。"""
    (tmp_path / "killed.py").write_text(KILLED, encoding="utf-8")
    path = tmp_path / "checkpoint.pt"
    options = ["--data", root, *SMALL, "--checkpoint", path, "--checkpoint-every", 1]
    with command(tmp_path / "killed.py", 5, tmp_path / "time", *options) as running:
        out = running.communicate(timeout=120)[0]
    assert running.returncode == -9, out
    return path


def resumed(root: Path, checkpoint: Path, saved: Path) -> dict[str, torch.Tensor]:
    options = ["--data", str(root), *SMALL, "--checkpoint-every", "1", "--resume"]
    fast.main([*options, "--checkpoint", str(checkpoint), "--save-model", str(saved)])
    return weights(saved)


def test_killed_and_resumed_ends_with_the_same_weights(
    killed, root, tmp_path, monkeypatch, capsys, losses
):
    fast.main(["--data", str(root), *SMALL, "--save-model", str(tmp_path / "whole.pt")])
    whole, lines = weights(tmp_path / "whole.pt"), capsys.readouterr().out.splitlines()
    assert len(losses) == 6
    assert load_checkpoint(killed)["position"]["batch"] == 1  # エポックの途中だった
    copy = shutil.copy(killed, tmp_path / "copy.pt")
    losses.clear()
    again = resumed(root, killed, tmp_path / "again.pt")
    assert len(losses) == 2  # 残りだけを学んだ
    assert all(torch.equal(again[name], whole[name]) for name in whole)
    assert capsys.readouterr().out.splitlines() == [lines[0], *lines[3:]]
    monkeypatch.setattr(torch, "set_rng_state", lambda state: None)  # 植えた誤り
    wrong = resumed(root, copy, tmp_path / "wrong.pt")
    assert not all(torch.equal(wrong[name], whole[name]) for name in whole)


def test_resuming_a_finished_run_keeps_its_weights(root, tmp_path, capsys):
    path = tmp_path / "checkpoint.pt"
    first = resumed(root, path, tmp_path / "first.pt")
    assert f"{path}がないので、初めから学習します。" in capsys.readouterr().out
    second = resumed(root, path, tmp_path / "second.pt")
    assert "Epoch" not in capsys.readouterr().out
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_another_option_or_a_broken_file_is_refused(root, tmp_path):
    path = tmp_path / "checkpoint.pt"
    common = ["--data", str(root), *SMALL, "--checkpoint", str(path)]
    fast.main(common)
    with pytest.raises(SystemExit) as raised:
        fast.main([*common, "--resume", "--lr", "0.5"])
    assert raised.value.code == "--lrを、学習を始めたときの値（0.006）に戻してください。"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(SystemExit, match="チェックポイントとして読めません"):
        fast.main([*common, "--resume"])


def test_a_failed_checkpoint_is_reported_and_keeps_the_last(tmp_path, root, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint({"epoch": 1}, path)

    def half_written(state, path):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", half_written)
    with pytest.raises(SystemExit, match="に保存できませんでした。空き容量を確かめてください。"):
        fast.main(["--data", str(root), *SMALL, "--checkpoint", str(path)])
    assert load_checkpoint(path) == {"epoch": 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.pt", "data"]


# -- 速さ ---------------------------------------------------------------------


def test_flops_of_a_step_agree_with_a_count_by_hand():
    made = training.build(parse_args(["--device", "cpu", "--precision", "fp32"]), steps=10)
    images, labels = torch.zeros(8, 1, 28, 28), torch.zeros(8, dtype=torch.int64)
    convolutions = [2 * 20 * 25 * 24**2, 2 * 40 * 20 * 25 * 8**2]
    linears = [2 * 2560 * 100, 2 * 100 * 10]
    # 順伝播、重みの勾配、入力の勾配。最初の畳み込みは、入力の勾配がいらない
    by_hand = 8 * (3 * sum(convolutions + linears) - convolutions[0])
    assert count_flops(lambda: training.train_step(made, images, labels, 8)) == by_hand


def test_the_shares():
    speed = Speed(loop=900.0, alone=1000.0, flops_per_image=2e6, peak=3.6e9)
    assert speed.loop_share == pytest.approx(90)
    assert speed.peak_share == pytest.approx(50)
    assert str(speed).splitlines() == [
        "1秒あたりの画像：ループ 900枚、計算だけ 1000枚（90.0 %）",
        "1秒あたりの演算：ループ 1.8 GFLOP/s、行列積 3.6 GFLOP/s（50.0 %）",
    ]


def test_the_report(root, capsys):
    fast.main(["--data", str(root), *SMALL, "--report"])
    assert re.search(r"ループ \d+枚、計算だけ \d+枚（\d+\.\d %）", capsys.readouterr().out)
