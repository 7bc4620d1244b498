"""学習の速さを測る：元のプログラムとの比、工夫ごとの分、計算機の限界との比、正解率。

動かすのは、利用者と同じ ``python -m entering_pytorch.mnist`` と ``python -m entering_pytorch.fast``
である。時間は、プロセスを始めてから最後の評価が終わるまでで、読み込みも含む。どれも同じスレッドの
数で、交互に動かす。
"""

import os
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from table import Row, positive

from entering_pytorch.precision import has_bf16

ROOT = Path(__file__).resolve().parents[2]
ACCURACY = re.compile(r"Accuracy (\d+\.\d+) %")
SHARES = re.compile(r"(\d+\.\d+) %）")
PLAIN = "mnist.py"

# すべて切ると、元のプログラムと同じ計算をする。一つずつ重ねると、既定の設定になる
OFF = {
    "--loading": "loader",
    "--allocator": "default",
    "--layout": "contiguous",
    "--order": "relu_first",
    "--adam": "default",
    "--schedule": "constant",
    "--revisit": "all",
    "--precision": "fp32",
    "--batch-size": "100",
    "--lr": "0.001",
    "--epochs": "5",
}
STEPS: list[tuple[str, dict[str, str]]] = [
    ("画像をメモリに置く", {"--loading": "memory"}),
    ("メモリを使い回す", {"--allocator": "keep"}),
    ("重みの並べ方を変える", {"--layout": "channels_last"}),
    ("プーリングをReLUの前に置く", {"--order": "pool_first"}),
    ("Adamをまとめる", {"--adam": "fused"}),
    ("ミニバッチを128枚にする", {"--batch-size": "128"}),
    (
        "学習率を上げ下げし、2エポックにする",
        {"--schedule": "onecycle", "--lr": "0.006", "--epochs": "2"},
    ),
    ("2巡目は、損失の大きかった画像だけを見る", {"--revisit": "hard"}),
]
LAST: list[tuple[str, dict[str, str]]] = [  # それまでの全部と比べる
    ("bf16", {"--precision": "bf16"}),
    ("モデルを変換する", {"--compile": ""}),
]


@dataclass(frozen=True)
class Run:
    """一度の実行。"""

    seconds: float
    accuracy: float
    text: str


def run(module: str, *options: str) -> Run:
    command = [sys.executable, "-m", f"entering_pytorch.{module}", "--device", "cpu", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TQDM_DISABLE": "1"}
    start = time.perf_counter()
    result = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    seconds = time.perf_counter() - start
    return Run(seconds, float(ACCURACY.findall(result.stdout)[-1]), result.stdout)


def words(options: dict[str, str]) -> list[str]:
    return [word for pair in options.items() for word in pair if word]


def precisions() -> list[str]:
    """測る精度。bf16は、この計算機に命令があるときだけ。"""
    return ["fp32", "bf16"] if has_bf16(torch.device("cpu")) else ["fp32"]


def compare(seeds: int) -> list[Row]:
    """元のプログラムと速いプログラムを、精度ごとに交互に、同じシードで動かす。"""
    plain: list[Run] = []
    fast: dict[str, list[Run]] = {name: [] for name in precisions()}
    for seed in map(str, range(seeds)):
        plain.append(run("mnist", "--seed", seed))
        for name, runs in fast.items():
            runs.append(run("fast", "--seed", seed, "--precision", name))
    rows = []
    for name, runs in fast.items():
        pairs = [[one.seconds for one in side] for side in (runs, plain)]
        rows.append(Row(f"学習の全体、{name}", "秒", pairs[0], PLAIN, pairs[1]))
    for name, runs in fast.items():
        own, other = ([one.accuracy for one in side] for side in (runs, plain))
        title = f"正解率、{name}、シード{seeds}つの平均は{statistics.mean(own):.3f}"
        against = f"{PLAIN}（平均は{statistics.mean(other):.3f}）"
        rows.append(Row(title, "%", own, against, other, smaller=False))
    return rows


def limits() -> list[Row]:
    """学習のループが、計算だけの速さと行列積の速さに占める割合。"""
    rows = []
    for name in precisions():
        text = run("fast", "--epochs", "1", "--precision", name, "--report").text
        loop, peak = map(float, SHARES.findall(text)[-2:])
        rows += [
            Row(f"計算だけに対するループの速さ、{name}", "%", [loop]),
            Row(f"行列積に対するループの演算の速さ、{name}", "%", [peak]),
        ]
    return rows


def chain(rounds: int) -> list[Row]:
    """工夫を一つずつ重ね、直前の段と並べる。すべてを一巡して、それを繰り返す。"""
    options, stages = dict(OFF), [("すべて切る", words(OFF))]
    for name, change in STEPS:
        options |= change
        stages.append((name, words(options)))
    base = len(stages) - 1
    for name, change in LAST:
        if change.get("--precision", "fp32") in precisions():
            stages.append((name, words(options | change)))
    taken = [[run("fast", *chosen).seconds for _, chosen in stages] for _ in range(rounds)]
    times = [list(column) for column in zip(*taken, strict=True)]
    rows = []
    for place, (name, _) in enumerate(stages[1:], 1):
        before = min(place - 1, base)
        rows.append(Row(f"工夫：{name}", "秒", times[place], stages[before][0], times[before]))
    return rows


def measure(seeds: str = "5", chains: str = "2") -> tuple[list[Row], dict[str, str]]:
    """``seeds`` は比べるシードの数、``chains`` は工夫を重ねて一巡する回数。"""
    one, two = positive(seeds), positive(chains)
    says = run("fast", "--epochs", "1").text.splitlines()[0]
    rows = [*compare(one), *limits(), *chain(two)]
    return rows, {"精度を選ばせたとき": says.removesuffix("。")}
