"""同じ機械で初めから二度組み立てると、実行環境の箱を除いて、同じHTMLと図になる。"""

import re
import shutil

from small_book import CONF, SmallBook

CHAPTER = """\
```{code-cell} python
---
mystnb:
  image:
    alt: 右上がりの直線
---
import matplotlib.pyplot as plt

plt.plot([0, 1], [0, 1], label="line")
plt.legend()
plt.show()
```

```{code-cell} python
{"b", "a", "c"} == {*"abc"}, hash("a") == hash("a"), sorted({"x": 1, "y": 2})
```
```{expect}
(True, True, ['x', 'y'])
```

```{code-cell} python
list({"apple", "orange", "grape", "melon"})
```
"""


def files(book: SmallBook) -> dict[str, bytes]:
    out = book.root / "_build/html"
    found = [*out.rglob("*.html"), *out.rglob("*.svg")]
    box = re.compile(rb'<div class="provenance.*?</dl>\s*</div>', re.DOTALL)
    return {str(path.relative_to(out)): box.sub(b"", path.read_bytes()) for path in found}


def test_two_cold_builds_are_the_same(book: SmallBook) -> None:
    (book.root / "conf.py").write_text(
        CONF.replace('"myst_nb"', '"myst_nb", "verified_book.provenance"')
    )
    book.write(CHAPTER)
    assert book.accept().status == 0
    shutil.rmtree(book.root / "_build")
    assert book.html().status == 0
    first = files(book)
    shutil.rmtree(book.root / "_build")
    run = book.html()
    assert (run.status, run.executed) == (0, 1), run.text
    second = files(book)
    assert any(name.endswith(".svg") for name in first)
    assert "provenance" in (book.root / "_build/html/chapter.html").read_text("utf-8")
    assert first == second
