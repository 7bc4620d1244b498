"""本文のコード体の名前が、確かめられ、公式文書へつながるか。"""

import io
import re
import time
from functools import partial
from pathlib import Path

import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from verified_book import api_links, pytorch_docs

TORCH = pytorch_docs.TORCH


def make(root: Path, text: str, **options: object) -> tuple[str, str]:
    """`index.md`を組み立て、`(HTML、警告)`を返す。"""
    (root / "index.md").write_text(text, "utf-8")
    if not (root / "other.md").exists():
        (root / "other.md").write_text("---\norphan: true\n---\n# ほかのページ\n", "utf-8")
    warnings = io.StringIO()
    with docutils_namespace():  # 組み立てるたびに、登録を元に戻す
        app = Sphinx(
            root,
            None,
            root / "html",
            root / "doctrees",
            "html",
            confoverrides={
                "extensions": ["myst_parser", "verified_book.api_links"],
                "nitpicky": True,
                "html_theme": "basic",
                "api_links_packages": ["torch", "torchvision"],
                "api_links_aliases": {"nn": "torch.nn", "F": "torch.nn.functional"},
                "api_links_address": pytorch_docs.address,
                **options,
            },
            status=None,
            warning=warnings,
        )
        app.build()
    html = Path(root, "html", "index.html").read_text("utf-8")
    warned = re.sub(r"\x1b\[[0-9;]*m", "", warnings.getvalue()).replace(f"{root}/", "")
    return html, warned


@pytest.fixture
def build(tmp_path: Path):
    return partial(make, tmp_path)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("torch.tensor", "generated/torch.tensor.html#torch.tensor"),
        ("torch.zeros(2, 3)", "generated/torch.zeros.html#torch.zeros"),
        ("torch.tensor([1, 2]).sum()", "generated/torch.tensor.html#torch.tensor"),
        ("torch.Tensor", "tensors.html#torch.Tensor"),
        ("torch.Tensor.backward", "generated/torch.Tensor.backward.html#torch.Tensor.backward"),
        ("torch.Tensor.T", "tensors.html#torch.Tensor.T"),
        ("torch.float32", "tensor_attributes.html#torch.dtype"),
        ("nn.Linear", "generated/torch.nn.Linear.html#torch.nn.Linear"),
        ("nn.Linear.weight", "generated/torch.nn.Linear.html#torch.nn.Linear.weight"),
        ("nn.Module.eval()", "generated/torch.nn.Module.html#torch.nn.Module.eval"),
        (
            "nn.Parameter",
            "generated/torch.nn.parameter.Parameter.html#torch.nn.parameter.Parameter",
        ),
        ("F.celu", "generated/torch.nn.functional.celu.html#torch.nn.functional.celu"),
        ("torch.nn", "nn.html"),
        ("torch.nn.functional", "nn.functional.html"),
        ("torch.utils.data", "data.html"),
        ("torch.utils.data.DataLoader", "data.html#torch.utils.data.DataLoader"),
        ("torch.optim.Optimizer", "optim.html#torch.optim.Optimizer"),
        (
            "torch.optim.Optimizer.step",
            "generated/torch.optim.Optimizer.step.html#torch.optim.Optimizer.step",
        ),
        (
            "torch.inference_mode",
            "generated/torch.autograd.grad_mode.inference_mode.html"
            "#torch.autograd.grad_mode.inference_mode",
        ),
        ("torch.autograd.Function", "autograd.html#torch.autograd.Function"),
    ],
)
def test_existing_name_has_its_page(text: str, address: str) -> None:
    class config:
        api_links_packages = ("torch",)
        api_links_aliases = {"nn": "torch.nn", "F": "torch.nn.functional"}  # noqa: RUF012

    name = api_links.name_in(text, config)
    assert pytorch_docs.address(name, *api_links.resolve(name)) == TORCH + address


def test_name_becomes_a_link_and_stays_code(build) -> None:
    html, warnings = build("# T\n\n`torch.zeros(2, 3)`と`torchvision.datasets.MNIST`を使います。\n")
    link = (
        f'<a class="api reference external" href="{TORCH}generated/torch.zeros.html#torch.zeros">'
    )
    assert f"{link}<code" in html
    assert f'href="{pytorch_docs.VISION}generated/torchvision.datasets.MNIST.html' in html
    assert warnings == ""


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("torch.tensr", "torch.tensr"),
        ("torch.tensr(1)", "torch.tensr"),
        ("torch.Tensor.backwards()", "torch.Tensor.backwards"),
        ("nn.Liner", "torch.nn.Liner"),
        ("torch.nm.Linear", "torch.nm"),
        ("torchvision.dataset.MNIST", "torchvision.dataset"),
    ],
)
def test_missing_name_is_a_warning_at_its_line(build, text: str, missing: str) -> None:
    html, warnings = build(f"# T\n\n一段落目。\n\n- 項目と`{text}`\n")
    assert warnings.startswith("index.md:5: WARNING:")
    assert f"（見つからないのは{missing}）" in warnings
    assert '<a class="api' not in html


def test_a_name_once_found_is_remembered_until_every_page_is_read(
    build, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    resolve = api_links.resolve
    monkeypatch.setattr(api_links, "resolve", lambda name: (asked.append(name), resolve(name))[1])
    first, _ = build("# T\n\n`torch.zeros`。\n")
    assert asked == ["torch.zeros"]
    time.sleep(0.01)  # 直した時刻で、変わったページを見分ける
    edited, warnings = build("# T\n\n直した`torch.zeros`、`torch.tensr`。\n")
    assert asked == ["torch.zeros", "torch.tensr"]
    link = re.search(r'<a class="api.*?</a>', first)[0]
    assert link in edited
    assert "（見つからないのはtorch.tensr）" in warnings
    build("# T\n\n`torch.zeros`。\n", api_links_aliases={})
    assert asked == ["torch.zeros", "torch.tensr", "torch.zeros"]


def test_other_code_is_left_alone(build) -> None:
    html, warnings = build(
        "# `torch.zeros`の見出し\n\n"
        "{code}`torch.foo` `torch.py` `x.grad` `torch` `pip install torch` `torch.__version__`\n"
    )
    assert warnings == ""
    assert '<a class="api' not in html


def test_annotations_are_resolved_for_nitpicky_builds(build) -> None:
    html, warnings = build(
        "# T\n\n{py:class}`torch.nn.modules.module.Module` {py:class}`pathlib.Path` "
        "{py:class}`int` {py:class}`None` {py:exc}`ValueError` {py:meth}`pathlib.Path.exists`\n"
    )
    assert warnings == ""
    assert f'href="{TORCH}generated/torch.nn.Module.html#torch.nn.Module"' in html
    for page in (
        "pathlib.html#pathlib.Path",
        "functions.html#int",
        "constants.html#None",
        "exceptions.html#ValueError",
        "pathlib.html#pathlib.Path.exists",
    ):
        assert f'href="{pytorch_docs.PYTHON}{page}"' in html


def test_unknown_annotation_is_still_a_warning(build) -> None:
    _, warnings = build(
        "# T\n\n{py:class}`torch.nn.Modul` {py:class}`entering_pytorch.mnist.Net`\n"
    )
    assert warnings.count("index.md:3: WARNING: py:class reference target not found") == 2
