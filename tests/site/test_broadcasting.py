"""ブロードキャストの段：見える形と値を、torchの計算と比べる。"""

import re
from pathlib import Path

import pytest
import torch
from opened_figure import Opened, outline, planted_text

PAGE = "start/shape.html"
UNABLE = "計算できない"


def pairs(opened: Opened) -> list[tuple[str, list[tuple[int, ...]]]]:
    """選べる組の名前と、二つの形。"""
    group = opened.widget.get_by_role("radiogroup", name="形の組")
    names = group.locator("label").all_inner_texts()
    return [(name, [tuple(eval(part)) for part in name.split("＋")]) for name in names]


def operands(shapes: list[tuple[int, ...]]) -> list[torch.Tensor]:
    """左は10、20、30……、右は1、2、3……。"""
    return [
        scale * torch.arange(1, torch.Size(shape).numel() + 1).reshape(shape)
        for scale, shape in zip((10, 1), shapes, strict=True)
    ]


def seen_sizes(opened: Opened) -> list[list[str]]:
    """左、右、結果の行に見える、大きさの箱（空いた場所は空文字）。"""
    cells = opened.widget.locator(".board > *").all_inner_texts()
    columns = len(cells) // 3
    return [cells[row * columns + 1 : (row + 1) * columns] for row in range(3)]


def seen_values(opened: Opened, name: str) -> list[int]:
    return [int(text) for text in opened.widget.locator(f".values.{name} .value").all_inner_texts()]


def expected_sizes(shapes: list[tuple[int, ...]], step: int) -> list[list[str]]:
    columns = 3
    ndim = max(map(len, shapes))
    try:
        result = torch.broadcast_shapes(*shapes)
    except RuntimeError:
        result = None
    rows = []
    for shape in shapes:
        padded = (1,) * (ndim - len(shape)) + shape
        if step >= 3 and result:
            sizes = [
                str(size) if size == wide else f"{size}→{wide}"
                for size, wide in zip(padded, result, strict=True)
            ]
        else:
            sizes = [str(size) for size in (padded if step >= 2 else shape)]
        empty = [""] * (columns - len(sizes))
        aligned_left = step == 0
        start = [""] * (columns - ndim)
        rows.append([*start, *sizes, *empty[len(start) :]] if aligned_left else [*empty, *sizes])
    known = ["？"] * ndim
    if step >= 3:
        left, right = ((1,) * (ndim - len(shape)) + shape for shape in shapes)
        bad = [a != b and 1 not in (a, b) for a, b in zip(left, right, strict=True)]
        known = [str(size) for size in result] if result else ["✗" if b else "？" for b in bad]
    return [*rows, [""] * (columns - ndim) + known]


def mistakes(opened: Opened) -> list[str]:
    """すべての組のすべての段を見て、torchと違うところを集める。"""
    found = []
    assert len(pairs(opened)) == 5
    for name, shapes in pairs(opened):
        opened.choice("形の組", name).click()
        left, right = operands(shapes)
        try:
            total, error = left + right, ""
        except RuntimeError as problem:
            total, error = None, str(problem)
        for step in range(5):
            if seen_sizes(opened) != expected_sizes(shapes, step):
                found.append(f"{name} {step}: {seen_sizes(opened)}")
            sides = [left, right]
            if step >= 3 and total is not None:
                sides = [side.expand(total.shape) for side in sides]
            for css, side in zip(("is-left", "is-right"), sides, strict=True):
                if seen_values(opened, css) != side.reshape(-1).tolist():
                    found.append(f"{name} {step}: {css} {seen_values(opened, css)}")
            wanted = total.reshape(-1).tolist() if step == 4 and total is not None else []
            if seen_values(opened, "is-result") != wanted:
                found.append(f"{name} {step}: {seen_values(opened, 'is-result')}")
            message = opened.widget.locator("[aria-live=polite]").inner_text()
            if (error in message) != (step == 4 or not error):
                found.append(f"{name} {step}: {message}")
            opened.button("次へ").click(force=True)
    return found


def test_every_step_shows_what_torch_computes(opened) -> None:
    figure = opened(PAGE).live()
    assert mistakes(figure) == []
    assert figure.faults == []


def test_wrong_values_in_the_data_are_found(site: Path, opened) -> None:
    planted = {
        '"result":{"shape":[2,3],"values":[[11,12,13],[21,22,23]]}': (
            '"result":{"shape":[2,3],"values":[[11,12,13],[21,22,24]]}'
        ),
        '"expanded":[[[10,20,30],[10,20,30],[10,20,30]]': (
            '"expanded":[[[10,20,30],[10,20,30],[10,20,31]]'
        ),
        "The size of tensor a (3) must match": "The size of tensor a (4) must match",
    }
    figure = opened(PAGE, before=planted_text(site, PAGE, planted)).live()
    # 引き伸ばした値は、二つの段に見える。例外の文は、本文の図の外にもある
    assert len(mistakes(figure)) >= 3


def test_copies_are_marked(opened) -> None:
    figure = opened(PAGE).live()
    for name, shapes in pairs(figure):
        figure.choice("形の組", name).click()
        for _ in range(3):
            figure.button("次へ").click()
        try:
            result = torch.broadcast_shapes(*shapes)
        except RuntimeError:
            assert figure.widget.locator(".is-copy").count() == 0
            continue
        copies = sum(result.numel() - torch.Size(shape).numel() for shape in shapes)
        assert figure.widget.locator(".is-copy").count() == copies


@pytest.mark.parametrize("right", [True, False])
def test_a_prediction_is_judged(opened, right: bool) -> None:
    figure = opened(PAGE).live()
    message = figure.widget.locator("[aria-live=polite]")
    for name, shapes in pairs(figure):
        figure.choice("形の組", name).click()
        guesses = figure.widget.get_by_role("radiogroup", name="結果の形の予想")
        assert guesses.get_by_role("radio", checked=True).count() == 0
        try:
            answer = str(list(torch.broadcast_shapes(*shapes)))
        except RuntimeError:
            answer = UNABLE
        candidates = guesses.locator("label").all_inner_texts()
        assert candidates.count(answer) == 1
        guess = answer if right else next(text for text in candidates if text != answer)
        figure.choice("結果の形の予想", guess).click()
        for step in range(5):
            told = "予想どおりです。" in message.inner_text()
            missed = f"予想は{guess}でした。" in message.inner_text()
            assert (told, missed) == ((step >= 3 and right), (step >= 3 and not right))
            figure.button("次へ").click(force=True)


def test_it_works_by_keyboard_alone(opened) -> None:
    figure = opened(PAGE).live()
    press, slider = figure.page.keyboard.press, figure.widget.get_by_role("slider")
    figure.widget.get_by_role("radio", checked=True).focus()
    press("ArrowRight")
    press("ArrowRight")
    assert outline(figure) >= 2
    press("Tab")
    press("Space")
    press("ArrowDown")
    press("ArrowDown")
    assert outline(figure) >= 2
    press("Tab")
    press("ArrowRight")  # 「前へ」の上でも、矢印で段が進む
    assert outline(figure) >= 2
    assert slider.input_value() == "2"
    press("Tab")
    press("End")
    assert slider.input_value() == "5"
    assert slider.get_attribute("aria-valuetext") == "5段のうち5段目"
    assert outline(figure) >= 2
    left, right = operands([(3,), (3, 1)])
    assert seen_values(figure, "is-result") == (left + right).reshape(-1).tolist()
    assert "予想どおりです" in figure.widget.locator("[aria-live=polite]").inner_text()


def test_it_works_by_finger(opened) -> None:
    touched = opened(PAGE, width=390, has_touch=True, is_mobile=True).live()
    touched.choice("形の組", "[2, 1, 3]＋[2, 1]").tap()
    touched.choice("結果の形の予想", "[2, 2, 3]").tap()
    touched.tap_the_end()
    left, right = operands([(2, 1, 3), (2, 1)])
    assert seen_values(touched, "is-result") == (left + right).reshape(-1).tolist()
    spoken = touched.widget.locator(".values.is-result").get_attribute("aria-label")
    assert re.findall(r"\d+", spoken) == [str(v) for v in (left + right).reshape(-1).tolist()]
