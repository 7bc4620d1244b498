"""src/entering_pytorch/options.pyの試験。"""

import re
import sys
from pathlib import Path

import pytest
import torch
from torchvision import datasets

from entering_pytorch import fast
from entering_pytorch.options import parse_args

HELP = """\
使い方: python -m entering_pytorch.fast [オプション]

手書き数字の分類を、速く学習します。torchrunから始めると、手分けをして学習します。

オプション:
  --epochs 1以上の整数
      訓練データを何巡するか（既定値は2）
  --batch-size 1以上の整数
      一度に使う画像の枚数（既定値は128）
  --lr 0より大きい数
      学習率。onecycleではその最大値（既定値は0.006）
  --seed 0以上の整数
      乱数のシード（既定値は0、2の63乗未満）
  --data フォルダー
      MNISTを置くフォルダー（既定値はdata）
  --device この環境で使えるデバイス
      cpu、cudaなど（既定は自動）
  --save-model 書き込めるファイル
      学習した重みの保存先
  --loading memoryかloader
      画像をまとめてメモリに置くか、1枚ずつ読むか（既定値はmemory）
  --layout channels_lastかcontiguous
      重みを、チャンネルが隣り合う順に並べるか、並べないか（既定値はchannels_last）
  --order pool_firstかrelu_first
      最初のReLUを、プーリングのあとで計算するか、前で計算するか。結果は同じ（既定値はpool_first）
  --schedule onecycleかconstant
      学習率を小さく始めて上げ、終わりへ下げるか、一定にするか（既定値はonecycle）
  --revisit hardかall
      偶数回目の巡では、直前の巡で損失の大きかった3分の1だけを見るか、すべてを見るか（既定値はhard）
  --adam fusedかdefault
      Adamの更新を一つの処理にまとめるか、PyTorchの既定のままか（既定値はfused）
  --allocator keepかdefault
      使い終えたメモリを残すか、OSに返すか。LinuxのCPUだけに効く（既定値はkeep）
  --precision auto、fp32かbf16
      計算の精度。autoは、始めに両方を試して速いほうを選ぶ（既定値はauto）
  --checkpoint 書き込めるファイル
      途中の保存先。--resumeがなければ上書きする
  --checkpoint-every 1以上の整数
      何回の更新ごとに保存するか。エポックの終わりにも保存する（既定値は100）
  --resume
      --checkpointのファイルがあれば、同じオプションで、その続きから学習する
  --compile
      torch.compileでモデルを変換する。変換に時間がかかるので、長い学習に向く
  --report
      学習のあとに、別のモデルで、速さと計算機の限界を測って表示する
  -h, --help
      この説明を表示して終わる
"""


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--epochs", "0"], "--epochsには、1以上の整数を指定してください。"),
        (["--lr", "nan"], "--lrには、0より大きい数を指定してください。"),
        (["--device", "gpu"], "--deviceには、この環境で使えるデバイスを指定してください。"),
        (["--precision", "fp16"], "--precisionには、auto、fp32かbf16を指定してください。"),
        (["--loading", "disk"], "--loadingには、memoryかloaderを指定してください。"),
        (["--layout", "nhwc"], "--layoutには、channels_lastかcontiguousを指定してください。"),
        (["--order", "pool"], "--orderには、pool_firstかrelu_firstを指定してください。"),
        (["--revisit", "0.5"], "--revisitには、hardかallを指定してください。"),
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


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_is_japanese(option, capsys):
    with pytest.raises(SystemExit) as raised:
        fast.main([option])
    assert raised.value.code == 0
    assert capsys.readouterr().out == HELP


def test_the_defaults_are_those_of_the_help(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert vars(parse_args([])) == {
        "epochs": 2,
        "batch_size": 128,
        "lr": 0.006,
        "seed": 0,
        "data": Path("data"),
        "device": torch.device("cpu"),
        "save_model": None,
        "loading": "memory",
        "layout": "channels_last",
        "order": "pool_first",
        "schedule": "onecycle",
        "revisit": "hard",
        "adam": "fused",
        "allocator": "keep",
        "precision": "auto",
        "checkpoint": None,
        "checkpoint_every": 100,
        "resume": False,
        "compile": False,
        "report": False,
    }


def test_without_arguments_the_command_line_is_read(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["fast.py", "--epochs", "7", "--compile"])
    args = parse_args()
    assert args.epochs == 7
    assert args.compile


def test_the_accelerator_is_used_unless_another_device_is_named(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    assert parse_args([]).device == torch.device("cuda")
    assert parse_args(["--device", "cpu"]).device == torch.device("cpu")


@pytest.mark.parametrize("option", re.findall(r"(--\w+) ([a-z_、か\d]+)\n", HELP))
def test_every_offered_choice_is_accepted(option):
    name, values = option
    for value in re.split("、|か", values):
        assert vars(parse_args([name, value]))[name[2:]] == value


def test_resuming_needs_only_the_name_of_the_checkpoint(tmp_path):
    path = tmp_path / "checkpoint.pt"
    args = parse_args(["--resume", "--checkpoint", str(path)])
    assert args.resume
    assert args.checkpoint == path
