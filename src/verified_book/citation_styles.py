"""文献の書式を一度だけ探すSphinx拡張。

pybtexは引用のたびに、入っているすべてのパッケージの目録から書式を探す。先に登録すると、探さない。
"""

from importlib.metadata import entry_points

from pybtex.plugin import register_plugin
from sphinx.application import Sphinx

GROUPS = (
    "pybtex.backends",
    "pybtex.style.formatting",
    "pybtex.style.labels",
    "pybtex.style.names",
    "pybtex.style.sorting",
)


def setup(app: Sphinx) -> dict[str, object]:
    for group in GROUPS:
        for entry in entry_points(group=group):
            register_plugin(group, entry.name, entry.load(), force=True)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
