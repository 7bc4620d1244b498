"""別のプロセスで動かす試験のための、オプションとプログラム。"""

import os
import subprocess
import sys
from pathlib import Path

import torch

from entering_pytorch import fast

SRC = Path(fast.__file__).parents[1]
SMALL = ["--device", "cpu", "--precision", "fp32", "--batch-size", "10", "--epochs", "2"]

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


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)
