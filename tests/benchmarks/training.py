"""学習の速さを測る。元のプログラムと速いプログラムを、同じスレッドの数で交互に動かす。

    python tests/benchmarks/training.py             時間の比、工夫ごとの分、限界との比
    python tests/benchmarks/training.py --quick     1エポックずつ、1組だけ（比は目安）
    python tests/benchmarks/training.py --accuracy  5つのシードの正解率も（数十分）

時間は、プロセスを始めてから最後の評価が終わるまでで、読み込みも含む。動かすのは、利用者と同じ
``python -m entering_pytorch.mnist`` と ``python -m entering_pytorch.fast`` である。
"""

import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from entering_pytorch.precision import has_bf16

ROOT = Path(__file__).resolve().parents[2]
ACCURACY = re.compile(r"Accuracy (\d+\.\d+) %")
SHARES = re.compile(r"(\d+\.\d+) %）")
SEEDS = range(5)

# 元のプログラムから、一つずつ工夫を重ねる。最後の2つは、使える計算機でだけ動く
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
    ("すべて切る", {}),
    ("画像をメモリに", {"--loading": "memory"}),
    ("メモリを使い回す", {"--allocator": "keep"}),
    ("channels_last", {"--layout": "channels_last"}),
    ("Adamをまとめる", {"--adam": "fused"}),
    ("ミニバッチを128枚に", {"--batch-size": "128"}),
    ("OneCycleLRで2エポック", {"--schedule": "onecycle", "--lr": "0.006", "--epochs": "2"}),
    ("bf16", {"--precision": "bf16"}),
    ("torch.compile", {"--precision": "fp32", "--compile": ""}),
]


def run(module: str, *options: str) -> tuple[float, float, str]:
    """``module`` を動かし、かかった秒数、最後の正解率（%）、出力を返す。"""
    command = [sys.executable, "-m", f"entering_pytorch.{module}", "--device", "cpu", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TQDM_DISABLE": "1"}
    start = time.perf_counter()
    result = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    seconds = time.perf_counter() - start
    return seconds, float(ACCURACY.findall(result.stdout)[-1]), result.stdout


def words(options: dict[str, str]) -> list[str]:
    return [word for pair in options.items() for word in pair if word]


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def line(name: str, values: dict[str, float], note: str = "") -> None:
    print(
        f"{name}：{values['median']:.2f}（{values['min']:.2f}〜{values['max']:.2f}）{note}",
        flush=True,
    )


def compare(precision: str, pairs: int, epochs: list[str]) -> dict:
    """2つのプログラムを交互に ``pairs`` 組動かし、時間とその比を返す。"""
    plain, fast = [], []
    for _ in range(pairs):
        plain.append(run("mnist", *epochs))
        fast.append(run("fast", "--precision", precision, *epochs))
    ratios = [a[0] / b[0] for a, b in zip(plain, fast, strict=True)]
    result = {
        "plain_s": spread([a[0] for a in plain]),
        "fast_s": spread([b[0] for b in fast]),
        "ratio": spread(ratios),
        "accuracy": {"plain": plain[-1][1], "fast": fast[-1][1]},
        "says": fast[-1][2].splitlines()[0],
    }
    print(result["says"])
    line(f"元のプログラム（{precision}と交互）、秒", result["plain_s"])
    line(f"速いプログラム（{precision}）、秒", result["fast_s"])
    line(f"時間の比（{precision}）、倍", result["ratio"])
    return result


def steps(pairs: int, epochs: list[str]) -> list[dict]:
    """工夫を一つずつ重ね、直前と交互に ``pairs`` 組動かして、その工夫だけの比を返す。"""
    rows, options = [], dict(OFF)
    for name, change in STEPS:
        if "bf16" in change.values() and not has_bf16(torch.device("cpu")):
            print("bf16：この計算機に命令がないので、動かしていない")
            continue
        before, options = options, {**options, **change}
        times = [
            (run("fast", *words(before), *epochs)[0], run("fast", *words(options), *epochs))
            for _ in range(pairs)
        ]
        row = {
            "name": name,
            "options": words(change),
            "seconds": spread([after[0] for _, after in times]),
            "ratio": spread([first / after[0] for first, after in times]),
            "accuracy": times[-1][1][1],
        }
        rows.append(row)
        line(f"{name}、秒", row["seconds"], f" 直前の{row['ratio']['median']:.2f}倍の速さ")
    return rows


def limit(precision: str) -> dict[str, float]:
    """学習のループが、計算だけの速さと行列積の速さに占める割合（%）を返す。"""
    out = run("fast", "--epochs", "1", "--precision", precision, "--report")[2]
    print("\n".join(out.splitlines()[-2:]), flush=True)
    loop, peak = map(float, SHARES.findall(out)[-2:])
    return {"loop_share": loop, "peak_share": peak}


def accuracies() -> dict[str, dict]:
    """5つのシードの正解率と、その平均を返す。"""
    result = {}
    for module in ("mnist", "fast"):
        values = [run(module, "--seed", str(seed))[1] for seed in SEEDS]
        result[module] = {"values": values, "mean": statistics.mean(values)}
        print(f"正解率（{module}）：{values}、平均{statistics.mean(values):.3f} %", flush=True)
    return result


def measure(quick: bool = False, accuracy: bool = False) -> dict:
    """表を表示し、その中身を辞書で返す。時間の単位は秒、割合の単位は%。"""
    epochs = ["--epochs", "1"] if quick else []
    pairs = 1 if quick else 3
    precisions = ["fp32"] + (["bf16"] if has_bf16(torch.device("cpu")) else [])
    result: dict = {
        "quick": quick,
        "threads": torch.get_num_threads(),
        "load": os.getloadavg(),
        "compare": {name: compare(name, pairs, epochs) for name in ["auto", *precisions]},
        "limit": {name: limit(name) for name in precisions},
        "steps": steps(1 if quick else 2, epochs),
    }
    if accuracy:
        result["accuracies"] = accuracies()
    return result


if __name__ == "__main__":
    flags = set(sys.argv[1:])
    if flags - {"--quick", "--accuracy"}:
        sys.exit("使えるオプションは、--quickと--accuracyです。")
    found = measure("--quick" in flags, "--accuracy" in flags)
    (ROOT / "_build").mkdir(exist_ok=True)
    path = ROOT / "_build" / "bench-training.json"
    path.write_text(json.dumps(found, ensure_ascii=False, indent=1), "utf-8")
