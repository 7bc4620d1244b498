"""src/entering_pytorch/fast.pyの、プログラム全体の試験。ごく小さなデータを使う。"""

import io
import re
import runpy
import shutil
import sys
from pathlib import Path

import pytest
import torch
from programs import KILLED, SMALL, command, weights
from tiny_mnist import write_split

from entering_pytorch import fast, mnist, options, training
from entering_pytorch.checkpoint import load_checkpoint, save_checkpoint
from entering_pytorch.speed import Speed

PLAIN = ["--loading", "loader", "--layout", "contiguous", "--order", "relu_first"]
PLAIN += ["--schedule", "constant", "--revisit", "all"]
PLAIN += ["--adam", "default", "--allocator", "default", "--precision", "fp32", "--lr", "0.001"]
FIVES = [*SMALL, "--batch-size", "5"]  # エポック1で見る9枚も、2つのミニバッチになる
NO_DATA = (
    "MNISTを{}に用意できませんでした。ネットワークにつないでもう一度実行するか、"
    "データのあるフォルダーを--dataで指定してください。"
)
LINE = r"Epoch \d: Train loss \d\.\d{4}\nEpoch \d: Test loss \d\.\d{4}, Accuracy \d+\.\d\d %\n"


def stopped(*options: object) -> str | int:
    """``fast.main`` が終わるときの、一文か終了コード。"""
    with pytest.raises(SystemExit) as raised:
        fast.main([str(option) for option in options])
    return raised.value.code


# -- データと表示 -------------------------------------------------------------


def test_truncated_data(root):
    with open(root / "MNIST" / "raw" / "train-images-idx3-ubyte", "r+b") as file:
        file.truncate(700)
    assert stopped(*SMALL, "--data", root) == NO_DATA.format(root)


@pytest.mark.parametrize("error", [OSError, RuntimeError, ValueError, AssertionError])
def test_data_that_cannot_be_prepared(error, root, monkeypatch):
    def make_loader(*arguments):
        raise error

    monkeypatch.setattr(fast, "make_loader", make_loader)
    assert stopped(*SMALL, "--data", root) == NO_DATA.format(root)


def test_what_is_printed(root, monkeypatch, capsys):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    fast.main([*SMALL, "--data", str(root)])
    first, rest = capsys.readouterr().out.split("\n", 1)
    threads = torch.get_num_threads()
    assert first == (
        f"cpuを使い、fp32で学習します（bf16の命令：なし、プロセス：1、スレッド：{threads}）。"
    )
    assert re.fullmatch(LINE * 2, rest)
    assert re.findall(r"Epoch (\d)", rest) == ["0", "0", "1", "1"]


def test_what_is_printed_is_visible_at_once_in_a_file(root, monkeypatch):
    raw, seen, train = io.BytesIO(), [], fast.train

    def watched(*arguments):
        seen.append(raw.getvalue().decode())
        return train(*arguments)

    monkeypatch.setattr(fast, "train", watched)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="utf-8"))
    fast.main([*SMALL, "--data", str(root)])
    assert seen[0].endswith("）。\n")
    assert re.fullmatch(LINE, seen[1].removeprefix(seen[0]))


def test_the_seed_decides_everything(root, losses):
    for seed in ("0", "0", "1"):
        fast.main([*SMALL, "--data", str(root), "--seed", seed])
    assert len(losses) == 12  # 25枚で3回、その3分の1の9枚で1回
    assert losses[:4] == losses[4:8]
    assert losses[:4] != losses[8:]


def test_only_the_first_rank_prints_and_saves(root, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fast, "rank", lambda: 1)
    monkeypatch.setattr(fast, "report_speed", lambda args, loader: "速さ")
    files = ["--save-model", tmp_path / "mnist.pt", "--checkpoint", tmp_path / "checkpoint.pt"]
    fast.main([*map(str, [*SMALL, "--data", root, *files]), "--resume", "--report"])
    assert capsys.readouterr().out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_freed_memory_is_kept_only_when_asked(root, monkeypatch):
    kept = []
    monkeypatch.setattr(fast, "keep_freed_memory", lambda: kept.append(True))
    monkeypatch.setattr(fast, "run", lambda args: None)
    fast.main([*SMALL, "--allocator", "default"])
    assert kept == []
    fast.main(SMALL)
    assert kept == [True]


def test_it_runs_as_a_program(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fast.py", "--lr", "0"])
    with pytest.raises(SystemExit, match="--lrには、0より大きい数を指定してください。"):
        runpy.run_path(fast.__file__, run_name="__main__")
    with pytest.raises(SystemExit, match="--lrには、0より大きい数を指定してください。"):
        fast.main()


def test_an_interrupted_program_ends_with_one_sentence(monkeypatch, capsys):
    def interrupted(argv):
        raise KeyboardInterrupt

    monkeypatch.setattr(options, "parse_args", interrupted)
    with pytest.raises(SystemExit) as raised:
        runpy.run_path(fast.__file__, run_name="__main__")
    assert raised.value.code == 130
    assert capsys.readouterr() == ("", "\n中断しました。\n")


# -- 精度 ---------------------------------------------------------------------


@pytest.mark.parametrize("faster", ["fp32", "bf16"])
def test_auto_trains_in_the_faster_precision(faster, root, losses, monkeypatch, capsys):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    fast.main([*SMALL, "--data", str(root), "--precision", faster])
    expected, printed = losses.copy(), capsys.readouterr().out
    tried = []

    def faster_precision(step, device):
        assert device == torch.device("cpu")
        for name in ("fp32", "bf16"):
            step(name)
        tried.extend(losses)
        losses.clear()
        return faster

    monkeypatch.setattr(fast, "faster_precision", faster_precision)
    losses.clear()
    fast.main([*SMALL, "--data", str(root), "--precision", "auto"])
    assert len(tried) == 2
    assert losses == expected  # 試したことは、学習に影響しない
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize(("batch_size", "size"), [(10, 10), (1000, 256)])
def test_a_trial_is_a_small_step_in_each_precision(batch_size, size, monkeypatch):
    compiled, steps = [], []
    monkeypatch.setattr(training.Net, "compile", lambda net: compiled.append(net))

    def train_step(made, images, labels, count):
        assert images.shape == (count, 1, 28, 28)
        assert labels.shape == (count,)
        steps.append((made.precision, count, images.device.type, labels.device.type))
        return training.train_step(made, images, labels, count)

    monkeypatch.setattr(fast, "train_step", train_step)
    args = options.parse_args(["--device", "cpu", "--batch-size", str(batch_size), "--compile"])
    step = fast.trial_step(args)
    for name in ("fp32", "bf16", "fp32"):
        step(name)
    assert steps == [(name, size, "cpu", "cpu") for name in ("fp32", "bf16", "fp32")]
    assert compiled == []
    assert (args.compile, args.precision) == (True, "auto")


def test_a_trial_and_the_report_compute_on_the_device(root, monkeypatch):
    devices = []

    def train_step(made, images, labels, size):
        devices.extend((made.device.type, images.device.type, labels.device.type))

    monkeypatch.setattr(fast, "train_step", train_step)
    args = options.parse_args([*SMALL, "--adam", "default", "--data", str(root)])
    loader = fast.load_data(args)[0]
    args.device = torch.device("meta")
    fast.trial_step(args)("fp32")
    monkeypatch.setattr(fast, "measure_speed", lambda loop, step, *rest: step())
    fast.report_speed(args, loader)
    assert devices == ["meta"] * 6


def test_bf16_without_the_instruction_is_refused(root, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert stopped(*SMALL, "--data", root, "--precision", "bf16") == (
        "--precisionには、fp32を指定してください。このデバイスではbf16を使えません。"
    )


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


@pytest.mark.parametrize("option", ["--loading", "--layout", "--order", "--adam", "--allocator"])
def test_these_switches_do_not_change_what_is_computed(option, root, losses, capsys):
    other = {"--loading": "memory", "--layout": "channels_last", "--adam": "fused"}
    other["--order"] = "pool_first"
    common = ["--data", str(root), *SMALL, *PLAIN]
    fast.main(common)
    off = losses.copy()
    losses.clear()
    fast.main([*common, option, other.get(option, "keep")])
    assert losses == pytest.approx(off, abs=1e-4)


# -- チェックポイント ---------------------------------------------------------


@pytest.fixture
def killed(root, tmp_path):
    """エポック1の途中（6ステップ目のあと）で強制終了された学習の、チェックポイント。"""
    (tmp_path / "killed.py").write_text(KILLED, encoding="utf-8")
    path = tmp_path / "checkpoint.pt"
    options = ["--data", root, *FIVES, "--checkpoint", path, "--checkpoint-every", 1]
    with command(tmp_path / "killed.py", 7, tmp_path / "time", *options) as running:
        out = running.communicate(timeout=120)[0]
    assert running.returncode == -9, out
    return path


def resumed(root: Path, checkpoint: Path, saved: Path) -> dict[str, torch.Tensor]:
    options = ["--data", str(root), *FIVES, "--checkpoint-every", "1", "--resume"]
    fast.main([*options, "--checkpoint", str(checkpoint), "--save-model", str(saved)])
    return weights(saved)


def test_killed_and_resumed_ends_with_the_same_weights(
    killed, root, tmp_path, monkeypatch, capsys, losses
):
    fast.main(["--data", str(root), *FIVES, "--save-model", str(tmp_path / "whole.pt")])
    whole, lines = weights(tmp_path / "whole.pt"), capsys.readouterr().out.splitlines()
    assert len(losses) == 7
    assert load_checkpoint(killed)["position"]["batch"] == 1  # エポックの途中だった
    copy = shutil.copy(killed, tmp_path / "copy.pt")
    losses.clear()
    again = resumed(root, killed, tmp_path / "again.pt")
    assert len(losses) == 1  # 残りだけを学んだ
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
    broken = f"{path}は、チェックポイントとして読めません。"
    assert stopped(*common, "--resume") == broken


@pytest.mark.parametrize(
    ("option", "other", "first"),
    [
        ("--epochs", "3", "2"),
        ("--batch-size", "5", "10"),
        ("--seed", "1", "0"),
        ("--layout", "contiguous", "channels_last"),
        ("--order", "relu_first", "pool_first"),
        ("--schedule", "constant", "onecycle"),
        ("--revisit", "all", "hard"),
        ("--adam", "default", "fused"),
        ("--precision", "bf16", "fp32"),
    ],
)
def test_every_option_that_changes_the_weights_must_stay(option, other, first, root, tmp_path):
    path = tmp_path / "checkpoint.pt"
    common = ["--data", str(root), *SMALL, "--checkpoint", str(path)]
    fast.main(common)
    assert stopped(*common, "--resume", option, other) == (
        f"{option}を、学習を始めたときの値（{first}）に戻してください。"
    )


@pytest.mark.parametrize(("compiled", "wanted"), [(False, "外して"), (True, "付けて")])
def test_a_flag_must_stay_as_it_was(compiled, wanted, root, tmp_path):
    path = tmp_path / "checkpoint.pt"
    common = ["--data", str(root), *SMALL, "--checkpoint", str(path)]
    fast.main(common)
    state = load_checkpoint(path)
    state["settings"]["compile"] = compiled
    save_checkpoint(state, path)
    flag = [] if compiled else ["--compile"]
    assert stopped(*common, "--resume", *flag) == f"--compileを{wanted}ください。"


def test_weights_alone_are_no_checkpoint(root, tmp_path):
    path = tmp_path / "mnist.pt"
    mnist.save_weights(mnist.Net(), path)
    common = ["--data", str(root), *SMALL, "--checkpoint", str(path)]
    assert stopped(*common, "--resume") == f"{path}は、チェックポイントとして読めません。"


@pytest.mark.parametrize("change", [{"newer": 1}, {"revisit": None}])
def test_a_checkpoint_of_another_version_is_refused(change, root, tmp_path):
    path = tmp_path / "checkpoint.pt"
    common = ["--data", str(root), *SMALL, "--checkpoint", str(path)]
    fast.main(common)
    state = load_checkpoint(path)
    settings = {**state["settings"], **change}
    state["settings"] = {name: value for name, value in settings.items() if value is not None}
    save_checkpoint(state, path)
    assert stopped(*common, "--resume") == f"{path}は、チェックポイントとして読めません。"


def test_a_bf16_run_is_not_resumed_where_bf16_is_missing(root, tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    common = ["--data", str(root), *SMALL, "--checkpoint", str(path)]
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    fast.main([*common, "--precision", "bf16"])
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    for precision in ("auto", "bf16", "fp32"):
        assert stopped(*common, "--resume", "--precision", precision) == (
            f"{path}は、bf16で学習したものです。"
            "このデバイスではbf16を使えないので、続きを学習できません。"
        )


def test_an_fp32_run_is_resumed_where_bf16_is_missing(root, tmp_path, monkeypatch, capsys):
    path = tmp_path / "checkpoint.pt"
    common = ["--data", str(root), *SMALL, "--checkpoint", str(path)]
    fast.main(common)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    capsys.readouterr()
    fast.main([*common, "--resume"])
    assert "bf16の命令：なし" in capsys.readouterr().out


def test_other_options_may_change(root, tmp_path):
    path = tmp_path / "checkpoint.pt"
    common = ["--data", str(root), *SMALL, "--checkpoint", str(path)]
    fast.main(common)
    others = ["--loading", "loader", "--allocator", "default", "--checkpoint-every", "7"]
    fast.main([*common, "--resume", *others])


def test_auto_resumes_in_the_precision_it_began_with(root, tmp_path, monkeypatch, capsys):
    path = tmp_path / "checkpoint.pt"
    common = ["--data", str(root), *SMALL, "--checkpoint", str(path)]
    fast.main(common)
    capsys.readouterr()
    monkeypatch.setattr(fast, "faster_precision", lambda *call: pytest.fail("測り直した"))
    fast.main([*common, "--resume", "--precision", "auto"])
    assert capsys.readouterr().out.startswith("cpuを使い、fp32で学習します")


@pytest.mark.parametrize(
    ("every", "expected"),
    [("2", [(0, 2), (1, 0), (2, 0)]), ("100", [(1, 0), (2, 0)])],
)
def test_checkpoints_are_saved_between_and_after_the_steps(
    every, expected, root, tmp_path, monkeypatch
):
    saved = []

    def save_checkpoint(state, path):
        assert path == tmp_path / "checkpoint.pt"
        assert state["settings"]["batch_size"] == 10
        saved.append((state["position"]["epoch"], state["position"]["batch"]))

    monkeypatch.setattr(fast, "save_checkpoint", save_checkpoint)
    options = ["--checkpoint", str(tmp_path / "checkpoint.pt"), "--checkpoint-every", every]
    fast.main(["--data", str(root), *SMALL, *options])
    assert saved == expected


def test_a_failed_checkpoint_is_reported_and_keeps_the_last(tmp_path, root, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint({"epoch": 1}, path)

    def half_written(state, path):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", half_written)
    sentence = f"{path}に保存できませんでした。空き容量を確かめてください。"
    assert stopped("--data", root, *SMALL, "--checkpoint", path) == sentence
    assert load_checkpoint(path) == {"epoch": 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.pt", "data"]


@pytest.mark.parametrize("error", [OSError, RuntimeError])
def test_weights_that_cannot_be_saved_are_reported(error, root, tmp_path, monkeypatch):
    def save_weights(net, path):
        raise error

    monkeypatch.setattr(fast, "save_weights", save_weights)
    path = tmp_path / "mnist.pt"
    sentence = f"{path}に保存できませんでした。空き容量を確かめてください。"
    assert stopped("--data", root, *SMALL, "--save-model", path) == sentence


# -- 速さ ---------------------------------------------------------------------


def test_the_report(root, capsys):
    fast.main(["--data", str(root), *SMALL, "--report"])
    assert re.search(r"ループ \d+枚、計算だけ \d+枚（\d+\.\d %）", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("count", "batch_size", "measured"),
    [(25, "10", 25), (25, "100", 25), (1005, "10", 995)],  # 101個のうちの、最後の100個
)
def test_the_report_measures_the_last_100_steps(
    count, batch_size, measured, root, monkeypatch, capsys
):
    write_split(root / "MNIST" / "raw", "train", count)
    options = ["--data", str(root), *SMALL, "--batch-size", batch_size, "--epochs", "1"]
    steps, speed = [], Speed(loop=2.0, alone=4.0, flops_per_image=1e9, peak=8e9)

    def train_step(made, images, labels, size):
        steps.append(size)
        return torch.zeros(len(images))

    def measure_speed(loop, step, count, device, dtype):
        steps.clear()
        assert loop() == sum(steps) == measured
        assert count == len(steps) <= 100
        assert step() == steps[-1] == steps[0]
        assert (device, dtype) == (torch.device("cpu"), torch.float32)
        return speed

    monkeypatch.setattr(training, "train_step", train_step)
    monkeypatch.setattr(fast, "train_step", train_step)
    monkeypatch.setattr(fast, "measure_speed", measure_speed)
    fast.main([*options, "--report"])
    assert capsys.readouterr().out.endswith(f" %\n{speed}\n")


@pytest.mark.parametrize(
    ("revisit", "epochs", "expected"), [("hard", "1", 3), ("hard", "3", 7), ("all", "3", 9)]
)
def test_the_schedule_is_as_long_as_the_training(revisit, epochs, expected, root, monkeypatch):
    lengths, build = [], fast.build
    monkeypatch.setattr(
        fast, "build", lambda args, steps: (lengths.append(steps), build(args, steps))[1]
    )
    choice = ["--revisit", revisit, "--epochs", epochs]
    fast.main(["--data", str(root), *SMALL, *choice])
    assert lengths == [expected]


def test_the_images_with_large_losses_are_seen_again(root, monkeypatch):
    seen, train = [], fast.train

    def watched(made, loader, position, *rest):
        seen.append(position.chosen.tolist())
        mean = train(made, loader, position, *rest)
        position.losses = torch.arange(25.0)
        return mean

    monkeypatch.setattr(fast, "train", watched)
    fast.main(["--data", str(root), *SMALL, "--epochs", "3"])
    assert seen == [list(range(25)), list(range(16, 25)), list(range(25))]


def test_the_report_after_resuming_measures_whole_batches(root, monkeypatch):
    args = options.parse_args([*SMALL, "--data", str(root)])
    loader = fast.load_data(args)[0]
    loader.batches.start = 2  # 最後のミニバッチから再開したあと
    loader.batches.chosen = [3, 4]  # 一部だけを見たあと
    monkeypatch.setattr(fast, "measure_speed", lambda loop, step, *rest: (step(), loop()))
    assert fast.report_speed(args, loader) == (10, 25)
