"""著者のパッケージの試験が使う、小さな本。"""

from pathlib import Path

import pytest
from small_book import SmallBook


@pytest.fixture
def book(tmp_path: Path) -> SmallBook:
    return SmallBook(tmp_path / "book")
