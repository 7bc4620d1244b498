"""失敗した組み立ては、直すまで何度でも失敗する。"""

from small_book import SmallBook


def test_a_warning_stays_red_until_it_is_mended(book: SmallBook) -> None:
    path = book.write("[](#no-such-place)\n", head="# 章\n\n")
    for _ in range(3):
        run = book.html()
        assert run.status == 1
        assert "no-such-place" in run.text
    path.write_text("# 章\n\n直した。\n")
    assert book.html().status == 0
    run = book.html()
    assert run.status == 0
    assert "0 added, 0 changed, 0 removed" in run.text
