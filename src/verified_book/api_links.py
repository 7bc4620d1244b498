"""本文のコード体の名前（`torch.zeros`など）を、入っているパッケージで確かめ、公式文書へつなぐ。

名前が存在しなければ、その行の警告になる（`-W`なら組み立てが失敗する）。存在しない名前を
わざと見せるときは、``{code}`torch.foo` ``と書けば確かめない。

設定
----
api_links_packages
    確かめるパッケージの名前。
api_links_aliases
    本文で使う短い名前。`{"nn": "torch.nn"}`なら`nn.Linear`を`torch.nn.Linear`と読む。
api_links_address
    `(名前, 値, 一つ手前の値) -> 番地またはNone`の関数。
"""

import builtins
import importlib
import importlib.metadata
import re
from functools import cache

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.nodes import get_node_line
from sphinx.util.typing import ExtensionMetadata

LOGGER = logging.getLogger(__name__)
DOTTED = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*", re.ASCII)


@cache
def resolve(name: str) -> tuple[object, object]:
    """`(名前が指すもの, 一つ手前の名前が指すもの)`を返す。

    Raises
    ------
    LookupError
        入っているパッケージに、その名前がない。

    Examples
    --------
    >>> from verified_book.api_links import resolve
    >>> resolve("collections.Counter.elements")[1]
    <class 'collections.Counter'>
    """
    first, *rest = name.split(".")
    try:
        value = importlib.import_module(first)
    except ImportError as error:
        if hasattr(builtins, first):
            value, owner = getattr(builtins, first), builtins
        else:
            raise LookupError(first) from error
    else:
        owner = value
    path = first
    for part in rest:
        path, owner = f"{path}.{part}", value
        value = _member(path, owner, part)
    return value, owner


def _member(path: str, owner: object, part: str) -> object:
    if hasattr(owner, part):
        return getattr(owner, part)
    if isinstance(owner, type):  # `nn.Linear.weight`のように、型だけが宣言された属性
        declared = {key for base in owner.__mro__ for key in vars(base).get("__annotations__", ())}
        if part in declared:
            return None
    try:
        return importlib.import_module(path)
    except ImportError as error:
        raise LookupError(path) from error


def public_name(name: str) -> str:
    """内部のモジュールにあるクラスを、公開されている最も短い名前で呼び直す。

    Examples
    --------
    >>> from verified_book.api_links import public_name
    >>> public_name("torch.nn.modules.module.Module")
    'torch.nn.Module'
    """
    value, _ = resolve(name)
    *modules, last = name.split(".")
    for depth in range(1, len(modules)):
        shorter = ".".join([*modules[:depth], last])
        try:
            if resolve(shorter)[0] is value:
                return shorter
        except LookupError:
            continue
    return name


def name_in(text: str, config: Config) -> str | None:
    """コード体の文字列が、確かめるべき名前で始まっていれば、その完全な名前を返す。"""
    match = DOTTED.match(text)
    if match is None or "." not in match[0]:
        return None
    first, _, rest = match[0].partition(".")
    if (match.end() < len(text) and text[match.end()] not in "([") or rest == "py":
        return None  # `torch.py`や`nn.Linearの説明`のような、式でないもの
    if first in config.api_links_aliases:
        return f"{config.api_links_aliases[first]}.{rest}"
    return match[0] if first in config.api_links_packages else None


def link_literals(app: Sphinx, doctree: nodes.document) -> None:
    """コード体の名前を確かめ、説明のページがあればリンクにする。"""
    for literal in list(doctree.findall(nodes.literal)):
        if literal["classes"] or _inside(literal, pending_xref):
            continue
        name = name_in(literal.astext(), app.config)
        if name is None:
            continue
        try:
            uri = _address(app, name)
        except LookupError as error:
            LOGGER.warning(
                "%sは入っているパッケージにありません（見つからないのは%s）",
                name,
                error.args[0],
                location=(app.env.docname, get_node_line(literal)),
                type="api_links",
            )
            continue
        if uri and not _inside(literal, nodes.reference | nodes.title):
            link = nodes.reference("", "", internal=False, refuri=uri, classes=["api"])
            literal.replace_self(link)
            link += literal


def _address(app: Sphinx, name: str) -> str | None:
    """名前の説明のページ。一度確かめた名前は覚え、パッケージを読み込まずに答える。"""
    known = app.env.api_links_known
    if name not in known:
        known[name] = app.config.api_links_address(name, *resolve(name))
    return known[name]


def _inside(node: nodes.Node, kinds: type) -> bool:
    while node := node.parent:
        if isinstance(node, kinds):
            return True
    return False


def link_reference(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """Sphinxが解決できなかったPythonの名前（型注釈など）を、公式文書へつなぐ。"""
    if node.get("refdomain") != "py":
        return None
    try:
        name = public_name(node["reftarget"])
        uri = app.config.api_links_address(name, *resolve(name))
    except LookupError:
        return None
    if uri is None:
        return None
    shown = content.astext()
    if shown == node["reftarget"] != name:
        content = type(content)("", name, **content.attributes)
    return nodes.reference("", "", content, internal=False, refuri=uri, classes=["api"])


def forget(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    """パッケージの版や設定が変わり、すべての文書を読み直すときは、覚えた番地を捨てる。"""
    if not hasattr(env, "api_links_known") or len(docnames) == len(env.found_docs):
        env.api_links_known = {}


def merge(app: Sphinx, env: BuildEnvironment, docnames: set[str], other: BuildEnvironment) -> None:
    """並行して読んだプロセスが確かめた名前も、覚えておく。"""
    env.api_links_known |= other.api_links_known


def remember_versions(app: Sphinx, config: Config) -> None:
    """パッケージの版が変わったら、すべての文書を読み直させる。"""
    config.api_links_versions = {
        package: importlib.metadata.version(package) for package in config.api_links_packages
    }


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_config_value("api_links_packages", [], "env")
    app.add_config_value("api_links_aliases", {}, "env")
    app.add_config_value("api_links_address", None, "")
    app.add_config_value("api_links_versions", {}, "env")
    app.connect("config-inited", remember_versions)
    app.connect("env-before-read-docs", forget)
    app.connect("env-merge-info", merge)
    app.connect("doctree-read", link_literals)
    app.connect("missing-reference", link_reference)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
