"""名前の指す値から、同じ値なら同じになる要約を作る。番地によらず、別のプロセスとも比べられる。

値を奥までたどり、中身のほかに、ほかの名前と分け合うもの（``refs``）と、値が抱える
読者のコードが読む名前（``loads``）を集める。中身の見えないものに出会えば、``known`` を偽にする。
"""

import functools
import gc
import hashlib
import random
import sys
import types
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from re import Pattern

import numpy as np
import torch
from PIL import Image

from verified_book.mutants.arrays import Arrays
from verified_book.mutants.names import codes, is_ours, loaded, mentioned

NUMBERS = (int, float, complex, bool, str, bytes, type(None))
ATOMS = (*NUMBERS, range, slice, type(...), type(NotImplemented), np.generic, np.dtype)
ATOMS += (torch.dtype, torch.device, torch.layout, torch.memory_format, torch.finfo, torch.iinfo)
ATOMS += (PurePath, Pattern, date, timedelta, Decimal, Fraction)
BUILTIN = (object, dict, list, tuple, set, frozenset, OrderedDict)
OPAQUE = ("matplotlib", "mpl_toolkits", "IPython", "PIL", "multiprocessing", "subprocess")
DESCRIPTORS = (types.GetSetDescriptorType, types.MemberDescriptorType, types.WrapperDescriptorType)
HIDDEN = ("__dict__", "__weakref__", "_abc_impl", "__firstlineno__", "__static_attributes__")


class Value(Arrays):
    """一つの値の要約。``keep`` は、番地が使い回されないように手元に置くもの。"""

    def __init__(self, value: object) -> None:
        self.hash, self.known = hashlib.sha1(usedforsecurity=False), True
        self.refs: list[object] = []
        self.loads: set[str] = set()
        self.mentions: set[str] = set()
        self.keep: list[object] = []
        self.seen: dict[int, int] = {}
        with torch._C.DisableTorchFunctionSubclass():
            self.visit(value)
        self.token = self.hash.hexdigest()
        del self.hash, self.seen

    def put(self, *token: object) -> None:
        self.hash.update(repr(token).encode("utf-8", "backslashreplace"))

    def visit(self, value: object) -> None:
        kind = type(value)
        if kind in ATOMS or isinstance(value, ATOMS):
            self.put(kind.__qualname__, value)
            return
        if id(value) in self.seen:
            self.put("again", self.seen[id(value)])
            return
        self.seen[id(value)] = len(self.seen)
        self.keep.append(value)
        self.put(kind.__module__, kind.__qualname__)
        if not isinstance(value, tuple | type | types.FunctionType | types.ModuleType):
            self.refs.append(id(value))
        try:
            _method(value)(self, value)
        except (RuntimeError, TypeError, AttributeError, NotImplementedError, ValueError):
            self.unknown(value)

    def each(self, *values: object) -> None:
        for value in values:
            self.visit(value)

    def unknown(self, value: object) -> None:
        """中身は見えなくても、抱えている値はたどる。"""
        self.known = False
        package = type(value).__module__.partition(".")[0]
        if package in OPAQUE:
            self.refs.append(package)  # 隠れてつながるので、どれも一つのものとみなす
            return
        skipped = (types.ModuleType, types.CodeType, types.FrameType)
        for part in gc.get_referents(value):
            if not isinstance(part, skipped) and part is not vars(sys.modules["__main__"]):
                self.visit(part)

    def code(self, code: types.CodeType) -> None:
        for part in codes(code):
            plain = [c for c in part.co_consts if not isinstance(c, types.CodeType)]
            self.put(part.co_name, part.co_code, part.co_names, part.co_varnames, part.co_flags)
            self.put(part.co_freevars, part.co_argcount, plain)

    def function(self, value: types.FunctionType) -> None:
        self.put(value.__module__, value.__qualname__)
        self.code(value.__code__)
        cells = [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
        self.each(*cells)
        if is_ours(value.__module__):
            self.loads |= loaded(value.__code__)
            self.mentions |= mentioned(value.__code__)
            self.each(value.__defaults__, value.__kwdefaults__, value.__dict__)

    def cls(self, value: type) -> None:
        self.put(value.__module__, value.__qualname__)
        if is_ours(value.__module__):
            self.each(*value.__bases__)
            self.mapping({k: v for k, v in vars(value).items() if k not in HIDDEN})

    def module(self, value: types.ModuleType) -> None:
        self.put(value.__name__)
        if is_ours(value.__name__) and value.__name__ != "__main__":
            self.mapping({k: v for k, v in vars(value).items() if not k.startswith("__")})

    def mapping(self, value: dict) -> None:
        for key, item in dict.items(value):
            self.each(key, item)
        self.put(len(value))

    def sequence(self, value: list | tuple | set) -> None:
        if all(type(item) in NUMBERS for item in value):
            self.put(list(value))
        else:
            self.each(*value)
        self.put(len(value))

    def instance(self, value: object) -> None:
        """Pythonで書かれたクラスの値：組み込みの型から受け継いだ中身と、属性。"""
        kind = type(value)
        if kind.__module__.partition(".")[0] in OPAQUE or not all(map(_is_plain, kind.__mro__)):
            self.unknown(value)
            return
        self.visit(kind)
        if isinstance(value, dict):
            self.mapping(value)
        elif isinstance(value, list | tuple | set | frozenset):
            self.sequence(list(value.__iter__()))
        elif isinstance(value, BaseException):
            self.visit(value.args)
        self.mapping(getattr(value, "__dict__", {}))
        names = [name for part in kind.__mro__ for name in _slots(part)]
        self.each(*(getattr(value, name) for name in names if hasattr(value, name)))

    def parts(self, value: object) -> None:
        """ほかの値を包むもの。"""
        names = ("__func__", "__self__", "func", "args", "keywords", "fget", "fset", "fdel")
        names += ("default_factory", "maxlen", "__name__")
        self.each(*(getattr(value, name, None) for name in names))

    def collection(self, value: dict | deque) -> None:
        self.parts(value)
        self.mapping(value) if isinstance(value, dict) else self.sequence(value)

    def named(self, value: object) -> None:
        self.put(getattr(value, "__qualname__", None) or getattr(value, "name", None))

    def weak(self, value: weakref.ref) -> None:
        self.visit(value())


def _filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _slots(kind: type) -> list[str]:
    found = vars(kind).get("__slots__", ())
    names = [found] if isinstance(found, str) else list(found)
    return [name for name in names if not name.startswith("__")]


@functools.cache
def _is_plain(kind: type) -> bool:
    """Pythonで書かれた（見えない中身を持たない）クラスか、中身をたどれる組み込みの型。"""
    written = "__weakref__" in vars(kind) or "__slots__" in vars(kind)
    inherits = any("__weakref__" in vars(base) for base in kind.__mro__[1:])
    mutable = not kind.__flags__ & (1 << 8) and bool(kind.__flags__ & (1 << 9))
    return kind in BUILTIN or issubclass(kind, BaseException) or (mutable and (written or inherits))


METHODS = {
    torch.Tensor: Arrays.tensor,
    np.ndarray: Arrays.array,
    types.FunctionType: Value.function,
    type: Value.cls,
    types.ModuleType: Value.module,
    Image.Image: Arrays.picture,
    Enum: Value.named,
    weakref.ref: Value.weak,
    types.MethodType: Value.parts,
    types.BuiltinFunctionType: Value.parts,
    functools.partial: Value.parts,
    property: Value.parts,
    staticmethod: Value.parts,
    classmethod: Value.parts,
    defaultdict: Value.collection,
    deque: Value.collection,
    torch.Generator: Arrays.state,
    np.random.Generator: Arrays.state,
    np.random.RandomState: Arrays.state,
    random.Random: Arrays.state,
    types.MappingProxyType: Value.mapping,
}
EXACT = {
    dict: Value.mapping,
    OrderedDict: Value.mapping,
    list: Value.sequence,
    tuple: Value.sequence,
}
EXACT |= {set: Value.sequence, frozenset: Value.sequence}


def _method(value: object) -> Callable:
    kind = type(value)
    if kind in EXACT:
        return EXACT[kind]
    if isinstance(value, DESCRIPTORS):
        return Value.named
    if hasattr(kind, "next_functions"):
        return Value.node
    return next((m for base, m in METHODS.items() if isinstance(value, base)), Value.instance)
