"""各ページの終わりに「誤りを報告」のリンクを置く。題とページの番地は記入済みになる。

設定
----
report_link_repository
    GitHubのリポジトリの番地。
"""

from urllib.parse import urlencode

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

BODY = """\
ページ：{page}

どこに、どのような誤りがありましたか：


正しくはどうなるか（分かれば）：

"""


def report_url(repository: str, title: str, page: str) -> str:
    """題とページを記入した、新しい報告の番地を返す。

    Examples
    --------
    >>> from verified_book.report_link import report_url
    >>> report_url("https://github.com/o/r", "Tensor", "https://o.github.io/r/t.html")[:61]
    'https://github.com/o/r/issues/new?title=%E8%AA%A4%E3%82%8A%EF'
    """
    query = urlencode({"title": f"誤り：{title}", "body": BODY.format(page=page)})
    return f"{repository}/issues/new?{query}"


def add_to_page(
    app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None
) -> None:
    """テンプレート`report-link.html`に、そのページの番地を渡す。"""
    address = app.config.html_baseurl + app.builder.get_target_uri(page)
    title = context.get("pagetitle") or context.get("title") or page
    context["report_url"] = report_url(app.config.report_link_repository, title, address)


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_config_value("report_link_repository", "", "html")
    app.connect("html-page-context", add_to_page, priority=600)  # テーマがpagetitleを入れた後
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
