"""損失の曲面：見える損失、w、b、点の位置を、torchの計算と比べる。"""

import json
import re
from pathlib import Path

import pytest
import torch
from opened_figure import Opened, outline

PAGE = "learn/linear_regression.html"
RAW, STANDARD = "広さのまま", "標準化した広さ"


@pytest.fixture(scope="module")
def data(site: Path) -> dict:
    text = (site / PAGE).read_text("utf-8")
    return json.loads(re.search(r'"loss-surface">(.*?)</script>', text)[1])


def inputs(data: dict, label: str) -> tuple[torch.Tensor, torch.Tensor]:
    area, rent = torch.tensor(data["rooms"], dtype=torch.float64).T
    if label == STANDARD:
        area = (area - area.mean()) / area.std(correction=0)
    return area, rent


def descended(data: dict, label: str, lr: float, steps: int) -> list[float]:
    """stepsの更新の後の損失、w、b。勾配は自動微分で求める。"""
    x, y = inputs(data, label)
    parameters = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    for _ in range(steps + 1):
        loss = ((parameters[0] * x + parameters[1] - y) ** 2).mean()
        (gradient,) = torch.autograd.grad(loss, parameters)
        now = [loss.item(), *parameters.tolist()]
        with torch.no_grad():
            parameters -= lr * gradient
    return now


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def readout(opened: Opened) -> list[float]:
    return [number(text) for text in opened.widget.locator("dd").all_inner_texts()]


def rate(opened: Opened) -> float:
    return number(opened.widget.locator("output").inner_text())


def choose(opened: Opened, label: str, run: int, step: int) -> None:
    opened.choice("入力", label).click()
    opened.widget.get_by_role("slider", name="学習率").fill(str(run + 1))
    opened.widget.get_by_role("slider", name="更新の回数").fill(str(step + 1))


def test_every_rate_shows_what_torch_computes(opened, data: dict) -> None:
    live = opened(PAGE).live()
    seen = set()
    for label in (STANDARD, RAW):
        runs = next(s["runs"] for s in data["surfaces"] if s["label"] == label)
        for run in range(len(runs)):
            for step in (0, 1, 7, 20):
                choose(live, label, run, step)
                expected = descended(data, label, rate(live), step)
                assert readout(live) == pytest.approx(expected, rel=6e-4, abs=2e-6)
            seen.add((label, rate(live)))
    assert len(seen) == 20
    assert live.faults == []


def place(opened: Opened, label: str, data: dict) -> list[float]:
    """いまの点の位置を、枠の目盛りで読んだ[b, w]。"""
    surface = next(s for s in data["surfaces"] if s["label"] == label)
    frame = opened.widget.locator(".map .frame").bounding_box()
    box = opened.widget.locator(".map .here").bounding_box()
    across = (box["x"] + box["width"] / 2 - frame["x"]) / frame["width"]
    up = 1 - (box["y"] + box["height"] / 2 - frame["y"]) / frame["height"]
    (b0, b1), (w0, w1) = surface["b"], surface["w"]
    return [b0 + across * (b1 - b0), w0 + up * (w1 - w0)]


def test_the_point_stands_where_w_and_b_say(opened, data: dict) -> None:
    live = opened(PAGE).live()
    for label, run in ((STANDARD, 2), (STANDARD, 6), (RAW, 6)):
        surface = next(s for s in data["surfaces"] if s["label"] == label)
        for step in (0, 3, 9):
            choose(live, label, run, step)
            _, w, b = readout(live)
            found_b, found_w = place(live, label, data)
            assert found_b == pytest.approx(b, abs=(surface["b"][1] - surface["b"][0]) / 100)
            assert found_w == pytest.approx(w, abs=(surface["w"][1] - surface["w"][0]) / 100)
    choose(live, STANDARD, 9, 20)  # 発散して、図の外へ出る
    assert live.widget.locator(".here.is-outside").count() == 1
    assert "図の外" in live.widget.locator("[aria-live=polite]").inner_text()


def test_contours_join_places_of_equal_loss(data: dict) -> None:
    for surface in data["surfaces"]:
        x, y = inputs(data, surface["label"])

        def loss(b: float, w: float, x=x, y=y) -> float:
            return ((w * x + b - y) ** 2).mean().item()

        lowest = loss(*surface["minimum"])
        heights = [[loss(b, w) - lowest for b, w in ring] for ring in surface["contours"]]
        for ring in heights:
            assert max(ring) == pytest.approx(min(ring), rel=1e-3)
        assert [round(ring[0]) for ring in heights] == [1, 4, 16, 49, 100, 196]


def test_it_works_by_keyboard_alone(opened, data: dict) -> None:
    live = opened(PAGE).live()
    press = live.page.keyboard.press
    live.widget.get_by_role("radio", checked=True).focus()
    press("ArrowRight")
    assert outline(live) >= 2
    press("Tab")
    press("End")
    assert outline(live) >= 2
    press("ArrowLeft")
    assert rate(live) == 0.00047
    press("Tab")
    assert "前へ" in live.page.evaluate("document.activeElement.textContent")
    press("Enter")
    press("ArrowLeft")
    assert readout(live) == pytest.approx(descended(data, RAW, 0.00047, 3), rel=6e-4)


def test_it_works_by_finger(opened, data: dict) -> None:
    touched = opened(PAGE, width=390, has_touch=True, is_mobile=True).live()
    touched.button("次へ").tap()
    assert readout(touched) == pytest.approx(descended(data, STANDARD, 0.1, 6), rel=6e-4)
    touched.tap_the_end()
    assert readout(touched) == pytest.approx(descended(data, STANDARD, 1.05, 20), rel=6e-4)
