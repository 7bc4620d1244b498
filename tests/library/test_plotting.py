"""src/entering_pytorch/plotting.pyの試験。"""

import io
import os

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


def test_colours_are_those_of_okabe_and_ito():
    """https://jfly.uni-koeln.de/color/ の8色から、白では見えない黄を除いたもの。"""
    published = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]
    names = ["blue", "vermilion", "green", "purple", "sky", "orange", "black"]
    assert dict(zip(names, published, strict=True)) == plotting.COLORS
    assert [style["color"] for style in matplotlib.rcParams["axes.prop_cycle"]] == published


def test_the_style_of_every_figure():
    figure, axes = plotting.plt.subplots()
    (line,) = axes.plot([0, 1], [1, 0], "o-", label="損失")
    assert tuple(figure.get_size_inches()) == (6.0, 3.4)
    assert matplotlib.colors.same_color(figure.get_facecolor(), "white")
    assert matplotlib.rcParams["savefig.facecolor"] == "white"
    assert figure.get_constrained_layout()
    assert not axes.legend().get_frame_on()
    assert [side for side, spine in axes.spines.items() if spine.get_visible()] == [
        "left",
        "bottom",
    ]
    assert (line.get_linewidth(), line.get_markersize()) == (2, 6)
    assert axes.xaxis.label.get_size() == 11
    assert matplotlib.rcParams["svg.hashsalt"] == "entering-pytorch"
    plotting.plt.close(figure)


def test_the_date_is_left_to_who_set_it(monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    plotting.apply_style()
    assert os.environ["SOURCE_DATE_EPOCH"] == "0"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    plotting.apply_style()
    assert os.environ["SOURCE_DATE_EPOCH"] == "86400"


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
