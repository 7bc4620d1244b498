"""添字の格子：見える値を、torchの計算と比べる。"""

import itertools
from pathlib import Path

import torch
from opened_figure import Opened, outline, planted_text, printed

GRID = "start/tensor.html"


def wrong_answers(opened: Opened, grid: torch.Tensor) -> list[str]:
    """選べる式をすべて選び、答えがtorchと違うものを集める。"""
    groups = [opened.widget.get_by_role("radiogroup", name=f"{axis}の添字") for axis in "行列"]
    labels = [group.locator("label").all() for group in groups]
    opened.widget.get_by_text("先に予想する").click()  # 予想せずに、すぐ見る
    found, seen = [], 0
    for row, column in itertools.product(*labels):
        row.click()
        column.click()
        expression = opened.widget.locator(".expression").inner_text()
        expected = eval(expression, {"grid": grid})
        shown = opened.widget.locator(".printed").inner_text()
        taken = printed(opened.widget.locator(".square.is-taken"))
        shape = opened.widget.locator(".shape").inner_text()
        right = (repr(expected), sorted(expected.reshape(-1).tolist()), str(list(expected.shape)))
        if (shown, taken, shape) != right:
            found.append(f"{expression}: {shown} {taken} {shape}")
        seen += 1
    assert seen == 30
    return found


def test_every_index_shows_what_torch_takes(opened) -> None:
    grid = 10 * torch.arange(4).reshape(4, 1) + torch.arange(6)
    tensor = opened(GRID).live()
    assert printed(tensor.widget.locator(".square")) == grid.reshape(-1).tolist()
    assert wrong_answers(tensor, grid) == []
    assert tensor.faults == []


def test_wrong_values_in_the_data_are_found(site: Path, opened) -> None:
    grid = 10 * torch.arange(4).reshape(4, 1) + torch.arange(6)
    planted = {
        '"text":"tensor([12])"': '"text":"tensor([13])"',
        '"shape":"[1, 3]"': '"shape":"[3]"',
        '"places":[6,8,10,12,14,16]': '"places":[6,8,10,12,14,17]',
    }
    tensor = opened(GRID, before=planted_text(site, GRID, planted)).live()
    assert len(wrong_answers(tensor, grid)) == 3


def test_a_prediction_is_judged(opened) -> None:
    tensor = opened(GRID).live()
    tensor.choice("行の添字", "1").click()
    assert tensor.widget.locator(".printed").inner_text() == "？"
    assert tensor.widget.locator(".is-taken").count() == 0
    for column in (0, 2, 3):
        tensor.square(1, column).click()
    tensor.square(1, 3).click()  # 選び直す
    tensor.square(2, 2).click()
    tensor.button("答えを見る").click()
    message = tensor.widget.locator("[aria-live=polite]")
    assert "合っていたのは2個、余分（破線）が1個、見落とし（点線）が1個" in message.inner_text()
    assert tensor.widget.locator(".is-missed").inner_text() == "14"
    assert tensor.widget.locator(".is-wrong").inner_text() == "22"
    tensor.square(3, 3).click()  # 答えを見た後は、印が付かない
    assert tensor.widget.locator(".is-marked").count() == 3
    tensor.button("もう一度予想する").click()
    for column in (0, 2, 4):
        tensor.square(1, column).click()
    tensor.button("答えを見る").click()
    assert message.inner_text() == "予想どおりです。取り出されるのは3個で、形は[3]です。"


def test_the_grid_works_by_keyboard_alone(opened) -> None:
    tensor = opened(GRID).live()
    press = tensor.page.keyboard.press
    tensor.widget.get_by_role("radio", checked=True).first.focus()
    press("ArrowLeft")
    assert outline(tensor) >= 2
    assert tensor.widget.locator(".expression").inner_text() == "grid[1:2, ::2]"
    press("Tab")
    press("ArrowRight")
    assert tensor.widget.locator(".expression").inner_text() == "grid[1:2, 3:]"
    press("Tab")
    assert 'role="gridcell"' in tensor.focused()
    for key in (
        "ArrowDown",
        "End",
        "Space",
        "ArrowLeft",
        "Enter",
        "ArrowLeft",
        " ",
        "ArrowUp",
        "Home",
    ):
        press(key)
        assert outline(tensor) >= 2
    assert printed(tensor.widget.locator(".is-marked")) == [13, 14, 15]
    assert tensor.widget.locator("[aria-selected=true]").count() == 3
    press("Tab")
    assert outline(tensor) >= 2
    press("Tab")
    assert outline(tensor) >= 2
    press("Enter")
    assert "予想どおりです" in tensor.widget.locator("[aria-live=polite]").inner_text()
    assert "button" in tensor.focused()  # 焦点を失わない


def test_the_grid_works_by_finger(opened) -> None:
    touched = opened(GRID, width=390, has_touch=True, is_mobile=True).live()
    touched.choice("行の添字", "::2").tap()
    touched.square(2, 4).tap()
    touched.button("答えを見る").tap()
    assert printed(touched.widget.locator(".is-taken.is-marked")) == [24]
