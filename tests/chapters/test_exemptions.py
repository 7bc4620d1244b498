"""本全体の約束：検証しないセルは5 %まで。章ごとの例は、pytestプラグインが一つずつ確かめる。"""

from pathlib import Path

from verified_book.book import Book
from verified_book.expectations import too_many_exemptions, verify_book

ROOT = Path(__file__).resolve().parents[2]


def test_exemptions_stay_within_the_limit() -> None:
    assert too_many_exemptions(verify_book(Book.load(ROOT))) is None
