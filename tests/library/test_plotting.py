"""src/entering_pytorch/plotting.pyの試験。"""

import io

import matplotlib
import pytest

from entering_pytorch import plotting


@pytest.fixture(autouse=True)
def style():
    """ほかの試験に見た目を残さない。"""
    with matplotlib.rc_context():
        matplotlib.use("svg")
        plotting.apply_style()
        yield


def draw() -> bytes:
    figure, axes = plotting.plt.subplots()
    axes.plot([0, 1], [1, 0], label="損失")
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg")
    plotting.plt.close(figure)
    return buffer.getvalue()


def test_figures_are_the_same_bytes_every_time():
    first = draw()
    assert first == draw()
    assert b"1970-01-01" in first or b"dc:date" not in first


def test_japanese_has_a_glyph(recwarn):
    draw()
    assert not [w for w in recwarn if "Glyph" in str(w.message)]


def test_readable_on_a_phone():
    width, _ = matplotlib.rcParams["figure.figsize"]
    assert width <= 6
    assert matplotlib.rcParams["font.size"] >= 10
