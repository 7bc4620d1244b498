"""PyTorchとPythonの公式文書で、ある名前の説明がどの番地にあるか。

多くの名前は`generated/名前.html`に一つずつページがある。表にあるのは、そこから外れるものだけで、
PyTorchの文書の原稿（pytorch/pytorchの`docs/source`）と公開されたページから読み取った。
"""

import builtins
import sys
import types

TORCH = "https://docs.pytorch.org/docs/stable/"
VISION = "https://docs.pytorch.org/vision/stable/"
PYTHON = "https://docs.python.org/ja/3/library/"
NUMPY = "https://numpy.org/doc/stable/reference/generated/"

# 一つの名前：別の名前で説明されるもの
DOCUMENTED_AS = {
    "torch.inference_mode": "torch.autograd.grad_mode.inference_mode",
    "torch.set_grad_enabled": "torch.autograd.grad_mode.set_grad_enabled",
    "torch.autograd.no_grad": "torch.no_grad",
    "torch.autograd.enable_grad": "torch.enable_grad",
    "torch.autograd.gradcheck": "torch.autograd.gradcheck.gradcheck",
    "torch.autograd.gradgradcheck": "torch.autograd.gradcheck.gradgradcheck",
    "torch.nn.Parameter": "torch.nn.parameter.Parameter",
    "torch.nn.Buffer": "torch.nn.parameter.Buffer",
    "torch.autocast": "torch.amp.autocast",
}
# 一つの名前か、その下の名前すべて：一枚のページにまとまっているもの（長い名前から順に当てる）
SHARED_PAGES = {
    "torch.Size": "size.html",
    "torch.Tensor": "tensors.html",
    "torch.device": "tensor_attributes.html",
    "torch.dtype": "tensor_attributes.html",
    "torch.finfo": "type_info.html",
    "torch.iinfo": "type_info.html",
    "torch.layout": "tensor_attributes.html",
    "torch.memory_format": "tensor_attributes.html",
    "torch.amp": "amp.html",
    "torch.autograd.Function": "autograd.html",
    "torch.autograd.graph": "autograd.html",
    "torch.backends": "backends.html",
    "torch.distributed": "distributed.html",
    "torch.export": "export/api_reference.html",
    "torch.nn.init": "nn.init.html",
    "torch.optim.Optimizer": "optim.html",
    "torch.profiler": "profiler.html",
    "torch.testing": "testing.html",
    "torch.utils.checkpoint": "checkpoint.html",
    "torch.utils.data": "data.html",
}
# メソッドごとに`generated/`のページがあるクラス
ONE_PAGE_A_METHOD = {"torch.Tensor", "torch.autograd.Function", "torch.optim.Optimizer"}
# Tensorの属性のうち、クラスのページで説明されるもの
ON_TENSOR_PAGE = {"torch.Tensor.T", "torch.Tensor.H", "torch.Tensor.mT", "torch.Tensor.mH"}
# 組み込みの型は`functions.html`、残りは`stdtypes.html`にある
ON_FUNCTIONS_PAGE = {"bool", "dict", "float", "int", "list", "object", "range", "tuple", "type"}


def address(name: str, value: object, owner: object) -> str | None:
    """`name`の説明の番地を返す。ページがない名前（`torch.__version__`など）なら`None`。

    Parameters
    ----------
    name
        完全な名前。例：`torch.nn.Linear`。
    value
        名前が指すもの。
    owner
        一つ手前の名前が指すもの。クラスなら、`name`はその一員である。
    """
    package = name.partition(".")[0]
    if package in ("torch", "torchvision"):
        return _pytorch(name, value, owner)
    if package == "numpy":
        return f"{NUMPY}{name}.html#{name}"
    if owner is builtins:
        return f"{PYTHON}{_builtin_page(name, value)}.html#{name}"
    if package in sys.stdlib_module_names:
        module = name.rpartition(".")[0]
        if isinstance(owner, type):
            module = module.rpartition(".")[0]
        return f"{PYTHON}{module}.html#{name}"
    return None


def _builtin_page(name: str, value: object) -> str:
    if value is None:
        return "constants"
    if isinstance(value, type) and issubclass(value, BaseException):
        return "exceptions"
    return "functions" if name in ON_FUNCTIONS_PAGE else "stdtypes"


def _pytorch(name: str, value: object, owner: object) -> str | None:
    base = VISION if name.startswith("torchvision") else TORCH
    last = name.rpartition(".")[2]
    if last.startswith("_") or name.startswith("torch.version"):
        return None
    if type(value).__module__ == "torch" and type(value).__name__ in ("dtype", "layout"):
        return f"{base}tensor_attributes.html#torch.{type(value).__name__}"
    name = DOCUMENTED_AS.get(name, name)
    if isinstance(value, types.ModuleType):
        return base + _module_page(name)
    if isinstance(owner, type):
        cls = name.rpartition(".")[0]
        cls = DOCUMENTED_AS.get(cls, cls)
        if cls in ONE_PAGE_A_METHOD and name not in ON_TENSOR_PAGE:
            return f"{base}generated/{name}.html#{name}"
        return f"{base}{_shared_page(cls) or f'generated/{cls}.html'}#{cls}.{last}"
    return f"{base}{_shared_page(name) or f'generated/{name}.html'}#{name}"


def _shared_page(name: str) -> str | None:
    for prefix in sorted(SHARED_PAGES, key=len, reverse=True):
        if name == prefix or name.startswith(prefix + "."):
            return SHARED_PAGES[prefix]
    return None


def _module_page(name: str) -> str:
    if name == "torchvision":
        return "index.html"
    if page := _shared_page(name):
        return page if name in SHARED_PAGES else f"{page}#module-{name}"
    if name.startswith("torch.autograd."):
        return f"autograd.html#module-{name}"
    return f"{name.partition('.')[2] or name}.html"
