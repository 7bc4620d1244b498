"""src/entering_pytorch/checkpoint.pyの試験。"""

from pathlib import Path

import pytest
import torch

from entering_pytorch.checkpoint import load_checkpoint, save_checkpoint


class Trap:
    """読むだけでファイルを作る、仕込まれたコード。"""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.pt"


def test_what_was_saved_comes_back(path):
    state = {"epoch": 3, "name": "fp32", "lr": [0.1, 0.2], "rng": torch.get_rng_state()}
    save_checkpoint(state, str(path))
    loaded = load_checkpoint(str(path))
    assert torch.equal(loaded.pop("rng"), state.pop("rng"))
    assert loaded == state


def test_only_the_finished_file_remains(path):
    leftover = path.with_name("checkpoint.pt.tmp")
    leftover.write_bytes(b"half")  # 前に強制終了されたときの書きかけ
    save_checkpoint({"epoch": 1}, path)
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint.pt"]


def test_a_failed_save_keeps_the_last(path, monkeypatch):
    save_checkpoint({"epoch": 1}, path)

    def half_written(state, path):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", half_written)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint({"epoch": 2}, path)
    assert load_checkpoint(path) == {"epoch": 1}
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint.pt"]


def test_a_missing_file_is_told_from_a_broken_one(path):
    with pytest.raises(FileNotFoundError):
        load_checkpoint(path)
    save_checkpoint({"weight": torch.zeros(1000)}, path)
    whole = path.read_bytes()
    for broken in (b"", b"half", whole[:1000], whole[:-100]):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="はチェックポイントではありません") as raised:
            load_checkpoint(path)
        assert str(raised.value) == f"{path}はチェックポイントではありません"


def test_a_file_of_something_else_is_refused(path):
    torch.save(torch.zeros(3), path)
    with pytest.raises(ValueError, match="はチェックポイントではありません") as raised:
        load_checkpoint(path)
    assert str(raised.value) == f"{path}はチェックポイントではありません"


@pytest.mark.parametrize("default", ["0", "1"])  # torch.loadの既定を緩める環境変数
def test_code_in_the_file_never_runs(default, path, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", default)
    torch.save({"trap": Trap(tmp_path / "sprung")}, path)
    with pytest.raises(ValueError, match="はチェックポイントではありません"):
        load_checkpoint(path)
    assert not (tmp_path / "sprung").exists()


def test_tensors_of_a_gpu_are_loaded_on_the_cpu(path, monkeypatch):
    with monkeypatch.context() as patch:  # GPUのある計算機が書いたことにする
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        save_checkpoint({"weight": torch.ones(3)}, path)
    weight = load_checkpoint(path)["weight"]
    assert weight.device == torch.device("cpu")
    assert torch.equal(weight, torch.ones(3))
