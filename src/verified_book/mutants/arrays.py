"""テンソル、計算グラフ、配列、乱数の生成器、画像の要約。"""

import numpy as np
import torch
from PIL import Image


class Arrays:
    """:class:`verified_book.mutants.digest.Value` のうち、数の並びを読む部分。"""

    def tensor(self, value: torch.Tensor) -> None:
        self.put(value.dtype, value.device, value.layout, value.requires_grad, value.is_leaf)
        self.put(tuple(value.shape), value.is_inference() or value._version, value.is_shared())
        if value.is_meta:
            self.put(value.stride(), value.storage_offset())
        elif value.layout is torch.strided:
            storage = value.untyped_storage()
            self.put(value.stride(), value.storage_offset(), storage.nbytes())
            self.refs += [("memory", storage.data_ptr())] if storage.nbytes() else []
            flat = value.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
            self.hash.update(flat.view(torch.uint8).numpy())
        else:
            parts = value.detach().to_sparse_coo().coalesce()
            self.each(parts.indices(), parts.values())
        self.each(value.__dict__, value._backward_hooks, value.grad_fn)
        self.visit(getattr(value, "_post_accumulate_grad_hooks", None))
        if value.is_leaf or value.retains_grad:
            self.visit(value.grad)

    def node(self, value: object) -> None:
        """計算グラフの節：覚えた値と、その先の節。"""
        self.put(value.name())
        for name in dir(value):
            if name.startswith("_saved_") or name in ("variable", "saved_tensors"):
                try:
                    self.visit(getattr(value, name))
                except RuntimeError as error:  # 使い終わって捨てた、書き換わった
                    self.put(name, str(error))
        self.each(getattr(value, "__dict__", None), *value.next_functions)

    def array(self, value: np.ndarray) -> None:
        self.put(value.dtype, value.shape, value.strides, value.flags.writeable)
        if value.dtype.hasobject:
            self.sequence(value.ravel().tolist())
        else:
            self.hash.update(np.ascontiguousarray(value))
        base = value
        while isinstance(base, np.ndarray):
            self.refs.append(("memory", base.__array_interface__["data"][0]))
            base = base.base
        self.visit(base)

    def state(self, value: object) -> None:
        """乱数の生成器。"""
        bits = getattr(value, "bit_generator", None)
        read = getattr(value, "get_state", getattr(value, "getstate", None))
        self.put(bits.state if bits else bytes(read()) if _is_torch(value) else read())

    def picture(self, value: Image.Image) -> None:
        """PILの画像。まだファイルから読んでいないものは、中身が見えない。"""
        if getattr(value, "fp", None) is not None:
            self.unknown(value)
            return
        self.put(value.mode, value.size)
        self.hash.update(value.tobytes())
        self.visit(value.info)


def _is_torch(value: object) -> bool:
    return isinstance(value, torch.Generator)
