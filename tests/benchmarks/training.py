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
from table import Row

from entering_pytorch.precision import has_bf16

ROOT = Path(__file__).resolve().parents[2]
ACCURACY = re.compile(r"Accuracy (\d+\.\d+) %")
SHARES = re.compile(r"(\d+\.\d+) %）")
PLAIN = "mnist.py"
PAIRS, CHAINS, SEEDS = 3, 2, 5

# すべて切ると、元のプログラムと同じ計算をする。一つずつ重ねると、既定の設定になる
OFF = {
    "--loading": "loader",
    "--allocator": "default",
    "--layout": "contiguous",
    "--adam": "default",
    "--schedule": "constant",
    "--precision": "fp32",
    "--batch-size": "100",
    "--lr": "0.001",
    "--epochs": "5",
}
STEPS: list[tuple[str, dict[str, str]]] = [
    ("画像をメモリに置く", {"--loading": "memory"}),
    ("メモリを使い回す", {"--allocator": "keep"}),
    ("channels_last", {"--layout": "channels_last"}),
    ("Adamをまとめる", {"--adam": "fused"}),
    ("ミニバッチを256枚にする", {"--batch-size": "256"}),
    (
        "OneCycleLRで2エポックにする",
        {"--schedule": "onecycle", "--lr": "0.008", "--epochs": "2"},
    ),
]
LAST: list[tuple[str, dict[str, str]]] = [  # それまでの全部と比べる
    ("bf16", {"--precision": "bf16"}),
    ("torch.compile", {"--compile": ""}),
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


def compare() -> list[Row]:
    """元のプログラムと速いプログラムを、精度ごとに交互に動かす。"""
    plain, fast = [], {name: [] for name in precisions()}
    for _ in range(PAIRS):
        plain.append(run("mnist").seconds)
        for name, times in fast.items():
            times.append(run("fast", "--precision", name).seconds)
    return [Row(f"学習の全体、{name}", "秒", times, PLAIN, plain) for name, times in fast.items()]


def limits() -> list[Row]:
    """学習のループが、計算だけの速さと行列積の速さに占める割合。"""
    rows = []
    for name in precisions():
        text = run("fast", "--epochs", "1", "--precision", name, "--report").text
        loop, peak = map(float, SHARES.findall(text)[-2:])
        rows += [
            Row(f"ループの速さ、{name}", "%", [loop], "計算だけを100 %として"),
            Row(f"ループの演算の速さ、{name}", "%", [peak], "行列積を100 %として"),
        ]
    return rows


def chain() -> list[Row]:
    """工夫を一つずつ重ね、直前の段と並べる。すべてを一巡して、それを繰り返す。"""
    options, stages = dict(OFF), [("すべて切る", words(OFF))]
    for name, change in STEPS:
        options |= change
        stages.append((name, words(options)))
    base = len(stages) - 1
    for name, change in LAST:
        if change.get("--precision", "fp32") in precisions():
            stages.append((name, words(options | change)))
    rounds = [[run("fast", *chosen).seconds for _, chosen in stages] for _ in range(CHAINS)]
    times = [list(column) for column in zip(*rounds, strict=True)]
    rows = []
    for place, (name, _) in enumerate(stages[1:], 1):
        before = min(place - 1, base)
        rows.append(Row(f"工夫：{name}", "秒", times[place], stages[before][0], times[before]))
    return rows


def accuracies() -> list[Row]:
    """シードごとの正解率。相手は、元のプログラムを同じシードで動かしたもの。"""
    plain = [run("mnist", "--seed", str(seed)).accuracy for seed in range(SEEDS)]
    rows = []
    for name in precisions():
        fast = [
            run("fast", "--seed", str(seed), "--precision", name).accuracy for seed in range(SEEDS)
        ]
        title = f"シード{SEEDS}つの正解率、{name}、平均{statistics.mean(fast):.3f}"
        against = f"{PLAIN}、平均{statistics.mean(plain):.3f}、"
        rows.append(Row(title, "%", fast, against, plain, smaller=False))
    return rows


def measure() -> tuple[list[Row], dict[str, str]]:
    says = run("fast", "--epochs", "1").text.splitlines()[0]
    rows = [*compare(), *limits(), *chain(), *accuracies()]
    return rows, {"選ばれた精度": says}
