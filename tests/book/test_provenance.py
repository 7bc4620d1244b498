"""実行環境の箱は、実行の記録から作られる。"""

import re

from small_book import CONF, SmallBook


def test_the_box_tells_what_was_run_and_verified(book: SmallBook) -> None:
    extensions = CONF.replace('"verified_book.rebuild"', '"verified_book.provenance"')
    (book.root / "conf.py").write_text(extensions)
    book.write("```{code-cell} python\n1 + 1\n```\n```{expect}\n2\n```\n")
    book.write("文だけの章\n", "chapter2")
    assert book.html().status == 0
    text = re.sub(r"<[^>]+>", "", book.page())
    assert "検証した例" in text
    assert "1個（検証しない例：0個）" in text
    assert re.search(r"Python 3\.\d+\.\d+", text)
    assert re.search(r"20\d\d-\d\d-\d\d、\d+\.\d秒", text)
    assert "provenance" not in book.page("chapter2")
