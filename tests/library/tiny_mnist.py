"""MNISTと同じ形式の、ごく小さなデータ。"""

import struct
from pathlib import Path

import torch


def write_split(raw: Path, split: str, count: int) -> None:
    """``count`` 枚の乱数の画像を、MNISTと同じ形式で書く。"""
    generator = torch.Generator().manual_seed(count)
    images = torch.randint(256, (count, 28, 28), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count, dtype=torch.uint8) % 10
    header = struct.pack(">4i", 0x803, count, 28, 28)
    (raw / f"{split}-images-idx3-ubyte").write_bytes(header + images.numpy().tobytes())
    header = struct.pack(">2i", 0x801, count)
    (raw / f"{split}-labels-idx1-ubyte").write_bytes(header + labels.numpy().tobytes())
