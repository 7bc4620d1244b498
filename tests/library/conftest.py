"""ライブラリの試験が使う、小さなデータと記録。"""

import pytest
from tiny_mnist import write_split
from torch import nn


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
