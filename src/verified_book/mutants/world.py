"""章の名前と、その外の状態（乱数、ファイル、設定）を見張り、何が変わったかを答える。"""

import hashlib
import os
import pickle
import random
import re
import sys
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from verified_book.mutants.digest import Value

RNG = {
    "乱数：torch": (torch.get_rng_state, torch.set_rng_state),
    "乱数：numpy": (np.random.get_state, np.random.set_state),
    "乱数：random": (random.getstate, random.setstate),
}
FILES, SETTINGS = "ファイル", "設定"
UNKNOWN = "?"  # どれとも等しくない値の要約
# IPythonが使う名前
SHELL = re.compile(r"_+|_+\d+|_i+|_i\d+|_[io]h|_dh|In|Out|get_ipython|exit|quit|open|__\w+__")


class World:
    """ある時点の名前と、その値の要約。"""

    def __init__(self, names: dict) -> None:
        self.names = names
        self.values: dict[str, Value] = {}
        self.outside: dict[str, str] = {}
        self.digests: dict[str, str] = {}
        self.refresh(self.visible())

    def visible(self) -> set[str]:
        return {name for name in self.names if not SHELL.fullmatch(name)}

    def refresh(self, touched: Iterable[str]) -> set[str]:
        """``touched`` の名前と、現れた名前、消えた名前を見直し、要約の変わった名前を返す。"""
        before, visible = self.digests, self.visible()
        for name in set(self.values) - visible:
            del self.values[name]
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(50_000)
        for name in visible.intersection(touched) | (visible - set(self.values)):
            self.values[name] = Value(self.names[name])
        sys.setrecursionlimit(limit)
        self.digests = {**self._shared(), FILES: files(), SETTINGS: settings()}
        self.digests |= {name: rng_digest(name) for name in RNG}
        both = {*before, *self.digests}
        return {name for name in both if before.get(name) != self.digests.get(name)}

    def _shared(self) -> dict[str, str]:
        """どの名前とどこを分け合うかも含めた要約。"""
        counts = Counter(ref for value in self.values.values() for ref in set(value.refs))
        owners: dict[object, object] = {}
        digests = {}
        for name in sorted(self.values):
            value = self.values[name]
            shared = []
            for place, ref in enumerate(value.refs):
                if counts[ref] > 1:
                    shared.append((place, owners.setdefault(ref, (name, place))))
            known = _short(repr((value.token, shared)))
            digests[name] = known if value.known else f"{UNKNOWN}{known}{id(value)}"
        return digests

    def closure(self, names: Iterable[str]) -> set[str]:
        """``names`` から届く名前：中のコードが読む名前と、同じものを分け合う名前。"""
        holders: dict[object, list[str]] = {}
        for name, value in self.values.items():
            for ref in set(value.refs):
                holders.setdefault(ref, []).append(name)
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            found.add(name)
            if value := self.values.get(name):
                waiting += value.loads
                waiting += [other for ref in set(value.refs) for other in holders[ref]]
        return found

    def mentions(self, names: Iterable[str]) -> set[str]:
        """``names`` の値が抱えるコードに現れる、すべての名前。"""
        return {m for n in names if (value := self.values.get(n)) for m in value.mentions}


def rng_digest(name: str) -> str:
    state = RNG[name][0]()
    plain = state.numpy() if isinstance(state, torch.Tensor) else state
    return hashlib.sha1(pickle.dumps(plain)).hexdigest()[:16]


def rng_state() -> dict[str, object]:
    return {name: get() for name, (get, _) in RNG.items()}


def set_rng(state: dict[str, object], names: Iterable[str]) -> None:
    for name in names:
        RNG[name][1](state[name])


def files() -> str:
    """作業フォルダーのファイルの名前と中身。リンクした先のデータは変わらない。"""
    found = []
    for folder, folders, names in os.walk("."):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        found += [f"{folder}/{name}" for name in folders]
        for path in (Path(folder, name) for name in sorted(names)):
            found.append((str(path), path.is_symlink() or zlib.crc32(path.read_bytes())))
    return _short(repr(found))


def settings() -> str:
    """セルが変えられる、プロセスに一つの設定。"""
    parts = [
        (torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads()),
        (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_anomaly_enabled()),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        (torch.get_float32_matmul_precision(), torch.is_autocast_enabled("cpu")),
        vars(torch._tensor_str.PRINT_OPTS),
        (np.get_printoptions(), np.geterr(), dict(os.environ), warnings.filters, sys.path),
    ]
    if "matplotlib" in sys.modules:
        parts.append(sorted(dict.items(sys.modules["matplotlib"].rcParams)))
    return _short(repr(parts))


def _short(text: str) -> str:
    return hashlib.sha1(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]
