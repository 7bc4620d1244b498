"""章の番号を、部が替わっても通しで付けるSphinx拡張。

Sphinxは目次の枠（``toctree``）ごとに1から数える。番号の付け方はsphinx-multitoc-numberingのもので、
ここでは、並列に組み立てても安全なことをSphinxに伝える。
"""

from sphinx.application import Sphinx
from sphinx.environment.collectors.toctree import TocTreeCollector
from sphinx.util.typing import ExtensionMetadata
from sphinx_multitoc_numbering import assign_section_numbers


def setup(app: Sphinx) -> ExtensionMetadata:
    TocTreeCollector.assign_section_numbers = assign_section_numbers
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
