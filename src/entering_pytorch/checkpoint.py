"""学習の途中を1つのファイルに保存し、そこから再開する。"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


def save_checkpoint(state: Mapping[str, Any], path: str | Path) -> None:
    """辞書 ``state`` を ``path`` に保存する。

    隣の一時ファイルに書き終えてから名前を変えるので、いつ強制終了されても、``path`` には
    書き終えたチェックポイントだけがあります。書き込むのは、1つのプロセスに限ります。

    Parameters
    ----------
    state
        ``state_dict()``、テンソル、数、文字列などの辞書。

    Raises
    ------
    OSError, RuntimeError
        書き込めないとき。もとからあるファイルは変わりません。

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import torch
    >>> from entering_pytorch.checkpoint import load_checkpoint, save_checkpoint
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "checkpoint.pt"
    ...     save_checkpoint({"epoch": 1, "rng": torch.get_rng_state()}, path)
    ...     state = load_checkpoint(path)
    >>> state["epoch"], state["rng"].dtype
    (1, torch.uint8)
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        torch.save(dict(state), temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """:py:func:`save_checkpoint` が保存した辞書を、CPUのテンソルとして読む。

    ``weights_only=True`` で読むので、ファイルに仕込まれたコードが動くことはありません。確かめるのは
    辞書であることだけで、キーは確かめません。

    Raises
    ------
    FileNotFoundError
        ファイルがないとき。
    ValueError
        チェックポイントとして読めないとき。

    Examples
    --------
    >>> from entering_pytorch.checkpoint import load_checkpoint
    >>> load_checkpoint(__file__)
    Traceback (most recent call last):
    ...
    ValueError: ...はチェックポイントではありません
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # 壊れ方により、例外の種類はさまざま
        raise ValueError(f"{path}はチェックポイントではありません") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path}はチェックポイントではありません")
    return state
