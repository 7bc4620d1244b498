"""src/entering_pytorch/mnist.pyの試験。MNISTと同じ形式の、ごく小さなデータを使う。"""

import copy
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
import torch
from tiny_mnist import write_split
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset
from torchvision import datasets

from entering_pytorch import mnist

CPU = torch.device("cpu")
LINE = re.compile(r"Epoch \d+: (Train loss \d\.\d{4}|Test loss \d\.\d{4}, Accuracy \d+\.\d\d %)")


@pytest.fixture
def ragged():
    """5枚を2枚ずつ返すDataLoader。最後のミニバッチだけが1枚になる。"""
    torch.manual_seed(0)
    x = torch.randn(5, 1, 28, 28)
    t = torch.tensor([3, 1, 4, 1, 5])
    return x, t, DataLoader(TensorDataset(x, t), batch_size=2)


def mean_of_batch_means(model, criterion, loader) -> float:
    """ミニバッチの平均を、大きさを見ずに平均する。植えた誤り。"""
    losses = [criterion(model(x), t).item() for x, t in loader]
    return sum(losses) / len(losses)


# -- モデル -------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
def test_shapes_and_parameters():
    model = mnist.Net()
    output = model(torch.randn(3, 1, 28, 28))
    assert output.shape == (3, 10)
    assert output.dtype == torch.float32
    torch.testing.assert_close(output.exp().sum(dim=1), torch.ones(3))
    assert sum(p.numel() for p in model.parameters()) == 277_670


def test_another_image_size_is_refused():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        mnist.Net()(torch.randn(4, 1, 44, 44))


# -- 学習と評価 ---------------------------------------------------------------


def test_one_step_lowers_the_loss():
    torch.manual_seed(0)
    x, t = torch.randn(8, 1, 28, 28), torch.arange(8)
    model, criterion = mnist.Net(), nn.NLLLoss()
    loader = DataLoader(TensorDataset(x, t), batch_size=8)
    before = criterion(model(x), t).item()
    returned = mnist.train(model, CPU, loader, optim.Adam(model.parameters()), criterion, 0)
    assert returned == pytest.approx(before)
    assert criterion(model(x), t).item() < before


def test_training_takes_the_steps_of_a_plain_loop(ragged):
    *_, loader = ragged
    model = mnist.Net()
    other = copy.deepcopy(model)
    mnist.train(model, CPU, loader, optim.SGD(model.parameters(), lr=0.1), nn.NLLLoss(), 0)
    for x, t in loader:
        gradients = torch.autograd.grad(nn.NLLLoss()(other(x), t), list(other.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(other.parameters(), gradients, strict=True):
                parameter -= 0.1 * gradient
    for trained, expected in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(trained, expected)


def test_a_ragged_last_batch_is_weighted_in_training(ragged, capsys):
    x, t, loader = ragged
    model, criterion = mnist.Net(), nn.NLLLoss()
    truth = criterion(model(x), t).item()
    still = optim.SGD(model.parameters(), lr=0.0)
    loss = mnist.train(model, CPU, loader, still, criterion, 7)
    assert loss == pytest.approx(truth, abs=1e-5)
    assert abs(mean_of_batch_means(model, criterion, loader) - truth) > 1e-3
    assert capsys.readouterr().out == f"Epoch 7: Train loss {loss:.4f}\n"


def test_a_ragged_last_batch_is_weighted_in_evaluation(ragged, capsys):
    x, t, loader = ragged
    model, criterion = mnist.Net(), nn.NLLLoss()
    t[4] = model(x)[4].argmax()  # 1枚だけ正解する
    t[:4] = (model(x)[:4].argmax(dim=1) + 1) % 10
    loss, accuracy = mnist.test(model, CPU, loader, criterion, 7)
    truth = criterion(model(x), t).item()
    assert loss == pytest.approx(truth, abs=1e-5)
    assert accuracy == pytest.approx(20.0)  # ミニバッチごとの平均なら33.33 %になる
    assert abs(mean_of_batch_means(model, criterion, loader) - truth) > 1e-3
    assert capsys.readouterr().out == f"Epoch 7: Test loss {loss:.4f}, Accuracy 20.00 %\n"


def test_evaluation_builds_no_graph(ragged):
    *_, loader = ragged
    outputs = []

    def criterion(output, target):
        outputs.append(output)
        return nn.functional.nll_loss(output, target)

    mnist.test(mnist.Net(), CPU, loader, criterion, 0)
    assert len(outputs) == 3
    assert all(o.is_inference() and o.grad_fn is None for o in outputs)


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_restores_the_mode(ragged, training):
    *_, loader = ragged
    modes = []

    class Recorder(mnist.Net):
        def forward(self, x):
            modes.append(self.training)
            return super().forward(x)

    model = Recorder().train(training)
    mnist.test(model, CPU, loader, nn.NLLLoss(), 0)
    assert modes == [False, False, False]
    assert model.training is training


def test_training_turns_training_mode_on(ragged):
    *_, loader = ragged
    model = mnist.Net().eval()
    mnist.train(model, CPU, loader, optim.Adam(model.parameters()), nn.NLLLoss(), 0)
    assert model.training


# -- プログラム全体 -----------------------------------------------------------


HELP = """\
使い方: python mnist.py [オプション]

手書き数字の分類を学習します。

オプション:
  --epochs 1以上の整数
      訓練データを何巡するか（既定値は5）
  --batch-size 1以上の整数
      一度に使う画像の枚数（既定値は100）
  --lr 0より大きい数
      学習率（既定値は0.001）
  --seed 0以上の整数
      乱数のシード（既定値は0、2の63乗未満）
  --data フォルダー
      MNISTを置くフォルダー（既定値はdata）
  --device この環境で使えるデバイス
      cpu、cudaなど（既定は自動）
  --save-model 書き込めるファイル
      学習した重みの保存先
  -h, --help
      この説明を表示して終わる
"""


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help(option, capsys):
    with pytest.raises(SystemExit) as raised:
        mnist.main([option])
    assert raised.value.code == 0
    assert capsys.readouterr().out == HELP


def test_without_options_it_is_the_loop_of_the_chapter(root, monkeypatch, capsys):
    write_split(root / "MNIST" / "raw", "train", 250)
    monkeypatch.chdir(root.parent)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    monkeypatch.setattr(mnist, "tqdm", partial(mnist.tqdm, disable=False))
    mnist.main([])
    printed = capsys.readouterr()

    torch.manual_seed(0)
    splits = []
    for train in (True, False):
        digits = datasets.MNIST("data", train=train)
        images = (digits.data[:, None] / 255 - 0.1307) / 0.3081
        splits.append(TensorDataset(images, digits.targets))
    train_loader = DataLoader(splits[0], batch_size=100, shuffle=True)
    model = mnist.Net()
    optimizer = optim.Adam(model.parameters(), lr=0.001)
    for epoch in range(5):
        mnist.train(model, CPU, train_loader, optimizer, nn.NLLLoss(), epoch)
        mnist.test(model, CPU, DataLoader(splits[1], batch_size=15), nn.NLLLoss(), epoch)
    assert printed.out == capsys.readouterr().out
    assert printed.err.startswith("\rEpoch 0: Train:   0%|          | 0/3 ")
    assert "\rEpoch 4: Test:   0%|          | 0/1 " in printed.err
    assert "\n" not in printed.err  # 進み具合の棒は、終われば消える


class Placed:
    """置かれた場所を覚える、テンソルの代わり。"""

    def __init__(self, value: torch.Tensor, places: list) -> None:
        self.value, self.places = value, places

    def to(self, *place: torch.device) -> torch.Tensor:
        self.places.append(place)
        return self.value


def test_model_and_data_are_put_where_told(root, monkeypatch):
    places: list[tuple] = []
    x, t = torch.randn(4, 1, 28, 28), torch.arange(4)
    loader = [(Placed(x, places), Placed(t, places))]
    model = mnist.Net()
    mnist.train(model, CPU, loader, optim.Adam(model.parameters()), nn.NLLLoss(), 0)
    mnist.test(model, CPU, loader, nn.NLLLoss(), 0)
    assert places == [(CPU,)] * 4

    def to(model, *place):
        places.append(place)
        raise KeyboardInterrupt

    other = torch.device("cpu", 0)
    monkeypatch.setattr(mnist.Net, "to", to)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: other)
    for options in ([], ["--device", "cpu"]):
        with pytest.raises(KeyboardInterrupt):
            mnist.main(["--data", str(root), *options])
    assert places[4:] == [(other,), (CPU,)]


def test_the_data_are_downloaded_and_the_rate_is_used(root, monkeypatch, capsys):
    splits, kept = [], datasets.MNIST

    def recorded(*args, **options):
        splits.append((args, options["train"], options["download"]))
        return kept(*args, **options)

    monkeypatch.setattr(datasets, "MNIST", recorded)
    small_run(root, "--epochs", "1")
    usual = capsys.readouterr().out
    assert splits == [((root,), True, True), ((root,), False, True)]
    small_run(root, "--epochs", "1", "--lr", "0.5")
    assert capsys.readouterr().out != usual


@pytest.mark.parametrize(
    ("read", "good", "bad"),
    [
        (mnist.positive_int, {"1": 1, "12": 12}, ["0", "-1", "1.5", "x"]),
        (mnist.seed_int, {"0": 0, str(2**63 - 1): 2**63 - 1}, ["-1", str(2**63), "x"]),
        (mnist.positive_float, {"0.5": 0.5, "1e-9": 1e-9}, ["0", "-1", "inf", "nan"]),
        (mnist.usable_device, {"cpu": CPU}, ["gpu", "meta"]),
        (mnist.writable_path, {"new.pt": Path("new.pt")}, ["..", "no/x.pt"]),
    ],
)
def test_values_are_read(read, good, bad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {text: read(text) for text in good} == good
    for text in bad:
        with pytest.raises(ValueError, match=re.escape(text)):
            read(text)
    assert not list(tmp_path.iterdir())


def test_a_place_is_tried_beside_the_file(tmp_path, monkeypatch):
    touched = []
    monkeypatch.setattr(Path, "touch", lambda path: touched.append(path.name))
    monkeypatch.setattr(Path, "unlink", lambda path: None)
    mnist.writable_path(str(tmp_path / "mnist.pt"))
    assert touched == [f"mnist.pt.{os.getpid()}.tmp"]


def test_options_come_from_the_command_line(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mnist.py", "--seed", "7"])
    assert mnist.parse_args().seed == 7


def small_run(root: Path, *options: str) -> None:
    mnist.main(["--data", str(root), "--device", "cpu", "--batch-size", "10", *options])


def test_the_same_seed_gives_the_same_run(root, tmp_path, capsys):
    def run(seed: str) -> tuple[str, dict]:
        path = tmp_path / "mnist.pt"
        small_run(root, "--epochs", "2", "--seed", seed, "--save-model", str(path))
        return capsys.readouterr().out, torch.load(path, weights_only=True)

    (first, weights), (second, same), (other, _) = run("0"), run("0"), run("1")
    assert [LINE.fullmatch(line) is not None for line in first.splitlines()] == [True] * 4
    assert first == second
    assert first != other
    assert all(torch.equal(weights[name], same[name]) for name in weights)


def test_saved_weights_load(root, tmp_path):
    path = tmp_path / "mnist.pt"
    small_run(root, "--epochs", "1", "--save-model", str(path))
    mnist.Net().load_state_dict(torch.load(path, weights_only=True))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "mnist.pt"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--epochs", "0"], "--epochsには、1以上の整数を指定してください。"),
        (["--epochs", "1.5"], "--epochsには、1以上の整数を指定してください。"),
        (["--epochs"], "--epochsには、1以上の整数を指定してください。"),
        (["--batch-size", "-3"], "--batch-sizeには、1以上の整数を指定してください。"),
        (["--lr", "nan"], "--lrには、0より大きい数を指定してください。"),
        (["--lr", "inf"], "--lrには、0より大きい数を指定してください。"),
        (["--lr", "0"], "--lrには、0より大きい数を指定してください。"),
        (["--seed", "-1"], "--seedには、0以上の整数を指定してください。"),
        (["--seed", str(2**64)], "--seedには、0以上の整数を指定してください。"),
        (["--device", "gpu"], "--deviceには、この環境で使えるデバイスを指定してください。"),
        (["--device", "meta"], "--deviceには、この環境で使えるデバイスを指定してください。"),
        (["--device", "cuda:99"], "--deviceには、この環境で使えるデバイスを指定してください。"),
        (["--save-model", "."], "--save-modelには、書き込めるファイルを指定してください。"),
        (["--save-model", "no/x.pt"], "--save-modelには、書き込めるファイルを指定してください。"),
        (["--save-model", os.devnull], "--save-modelには、書き込めるファイルを指定してください。"),
        (["--epoch", "3"], "--epochというオプションはありません。--helpで一覧を表示できます。"),
        (["extra"], "extraというオプションはありません。--helpで一覧を表示できます。"),
    ],
)
def test_a_wrong_value_gets_one_sentence_before_any_training(
    options, sentence, root, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "MNIST", lambda *a, **k: pytest.fail("データを読み始めた"))
    with pytest.raises(SystemExit) as raised:
        small_run(root, *options)
    assert raised.value.code == sentence
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_no_data_and_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(SystemExit) as raised:
        small_run(tmp_path)
    assert raised.value.code == (
        f"MNISTを{tmp_path}に用意できませんでした。ネットワークにつないでもう一度実行するか、"
        "データのあるフォルダーを--dataで指定してください。"
    )


@pytest.mark.parametrize("size", [0, 3, 700])
def test_truncated_data(root, size):
    with open(root / "MNIST" / "raw" / "train-images-idx3-ubyte", "r+b") as file:
        file.truncate(size)
    with pytest.raises(SystemExit, match=r"MNISTを.*用意できませんでした"):
        small_run(root)


def half_written(state_dict, path):
    """半分だけ書いたところで、ディスクが一杯になる。植えた故障。"""
    assert path.name == f"mnist.pt.{os.getpid()}.tmp"  # 同時に動くほかのプロセスと重ならない
    Path(path).write_bytes(b"half")
    raise OSError(28, "No space left on device")


def test_a_failed_save_leaves_nothing_half_written(tmp_path, monkeypatch):
    path = tmp_path / "mnist.pt"
    path.write_bytes(b"before")
    monkeypatch.setattr(torch, "save", half_written)
    with pytest.raises(OSError, match="No space"):
        mnist.save_weights(mnist.Net(), path)
    assert path.read_bytes() == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["mnist.pt"]


def test_a_failed_save_is_reported(root, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "save", half_written)
    path = tmp_path / "mnist.pt"
    with pytest.raises(SystemExit) as raised:
        small_run(root, "--epochs", "1", "--save-model", str(path))
    sentence = f"重みを{path}に保存できませんでした。空き容量を確かめてください。"
    assert raised.value.code == sentence
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


# -- 読者が1つのファイルだけを手に入れて、端末から動かすとき -------------------


@pytest.fixture
def command(tmp_path):
    """ほかに何もないフォルダーに写したmnist.pyを動かすコマンド。"""
    shutil.copy(mnist.__file__, tmp_path / "mnist.py")
    return [sys.executable, "mnist.py"]


def outside() -> dict[str, str]:
    """このリポジトリのパッケージが見つからない環境変数。"""
    names = {"PYTHONPATH", "TQDM_DISABLE"}
    rest = {name: value for name, value in os.environ.items() if name not in names}
    return {**rest, "PYTHONUNBUFFERED": "1"}


def test_a_wrong_value_ends_with_status_1(command, tmp_path):
    result = subprocess.run(
        [*command, "--lr", "nan"], cwd=tmp_path, env=outside(), capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr == "--lrには、0より大きい数を指定してください。\n"
    assert result.stdout == ""


def test_interrupt_ends_cleanly(command, root, tmp_path):
    write_split(root / "MNIST" / "raw", "train", 2500)  # 止めるのは、学習の途中
    options = ["--epochs", "100000", "--device", "cpu", "--save-model", "mnist.pt"]
    with subprocess.Popen(
        [*command, *options],
        cwd=tmp_path,
        env=outside(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        late = threading.Timer(60, running.kill)  # 待つ表示が出なくても、終わるように
        late.start()
        lines = [running.stdout.readline() for _ in range(2)]
        while (line := running.stderr.readline()) and not re.search("Epoch 1: Train: +[1-9]", line):
            pass
        running.send_signal(signal.SIGINT)
        out, err = running.communicate()
        late.cancel()
    assert running.returncode == 130
    assert "Traceback" not in err
    assert re.search(r"\n *\n中断しました。\n$", err)
    assert all(LINE.fullmatch(line.rstrip("\n")) for line in [*lines, *out.splitlines()])
    assert not (tmp_path / "mnist.pt").exists()
