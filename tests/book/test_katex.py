"""数式がビルド時に組まれ、誤った数式がその行の警告になるか。"""

import io
import re
from pathlib import Path

import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace


def build(root: Path, text: str) -> tuple[str, str]:
    (root / "index.md").write_text(text, "utf-8")
    settings = {
        "extensions": ["myst_parser", "verified_book.katex"],
        "myst_enable_extensions": ["dollarmath"],
        "html_math_renderer": "katex",
        "html_theme": "basic",
    }
    warnings = io.StringIO()
    with docutils_namespace():
        app = Sphinx(
            root,
            None,
            root / "html",
            root / "doctrees",
            "html",
            confoverrides=settings,
            status=None,
            warning=warnings,
        )
        app.build()
    html = (root / "html" / "index.html").read_text("utf-8")
    return html, re.sub(r"\x1b\[[0-9;]*m", "", warnings.getvalue()).replace(f"{root}/", "")


def test_formulas_become_html_without_scripts(tmp_path: Path) -> None:
    html, warnings = build(
        tmp_path, "# 題\n\n式は$x^2$です。\n\n$$\ny = \\frac{1}{2}\n$$ (eq-half)\n\n{eq}`eq-half`\n"
    )
    assert warnings == ""
    assert html.count('class="katex"') == 2
    assert html.count('class="katex-display"') == 1
    assert '<span class="eqno">(1)' in html
    assert "<math" in html, "読み上げのためのMathMLがありません"
    assert "MathJax" not in html
    assert 'href="_static/katex/katex.min.css' in html


def test_css_and_fonts_are_served_by_the_book(tmp_path: Path) -> None:
    build(tmp_path, "# 題\n\n$x$\n")
    katex = tmp_path / "html" / "_static" / "katex"
    css = (katex / "katex.min.css").read_text("utf-8")
    fonts = re.findall(r"url\((fonts/[\w-]+\.woff2)\)", css)
    assert len(fonts) > 10
    assert all((katex / font).is_file() for font in fonts)


@pytest.mark.parametrize("formula", [r"$\frac{1}$", r"$$\nosuchcommand$$", r"$\left( x$"])
def test_wrong_formula_is_a_warning_at_its_line(tmp_path: Path, formula: str) -> None:
    _, warnings = build(tmp_path, f"# 題\n\n正しい$x$です。\n\n{formula}\n")
    assert warnings.startswith("index.md:5: WARNING: 数式を組めません")
