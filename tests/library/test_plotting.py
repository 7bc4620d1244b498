"""src/entering_pytorch/plotting.pyの試験。"""

import io

import matplotlib
import pytest
import torch

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


def test_images_stand_in_rows_of_five():
    images = torch.arange(12.0).reshape(12, 1, 1) * torch.eye(4)
    plotting.show_images(images, [f"題{n}" for n in range(12)])
    figure = plotting.plt.gcf()
    assert figure.get_size_inches() == pytest.approx([5, 4.05])
    assert len(figure.axes) == 12
    for n, axes in enumerate(figure.axes):
        row, column = divmod(n, 5)
        place = axes.get_subplotspec()
        assert (place.rowspan.start, place.colspan.start) == (row, column)
        assert (place.get_gridspec().nrows, place.get_gridspec().ncols) == (3, 5)
        assert (axes.get_title(), axes.title.get_fontsize()) == (f"題{n}", 13)
        assert not axes.axison
        (picture,) = axes.images
        assert picture.get_cmap().name == "gray_r"
        torch.testing.assert_close(torch.tensor(picture.get_array()), images[n])
    plotting.plt.close(figure)


def test_images_without_titles_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        plotting.show_images(torch.zeros(2, 4, 4), ["一つだけ"])
