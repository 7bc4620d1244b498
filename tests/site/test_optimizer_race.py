"""最適化手法の競走：見える場所と損失を、torchの計算と比べる。"""

import math

import torch
from opened_figure import Opened, outline
from torch import optim

RACE = "learn/optimizer.html"
STEPS = 50
TILT = math.sqrt(0.5)


def valley(w: torch.Tensor) -> torch.Tensor:
    return 0.5 * w[0] ** 2 + 50 * w[1] ** 2


SURFACES = {  # 面の式と出発点
    "まっすぐな谷": (valley, [-4.0, 0.4]),
    "斜めの谷": (
        lambda w: valley(torch.stack([TILT * (w[0] + w[1]), TILT * (w[1] - w[0])])),
        [TILT * -4.4, TILT * -3.6],
    ),
    "曲がった谷": (lambda w: (1 - w[0]) ** 2 + 10 * (w[1] - w[0] ** 2) ** 2, [-1.5, 1.5]),
}
RACERS = {
    "SGD": (optim.SGD, 0.018, {}),
    "Momentum": (optim.SGD, 0.01, {"momentum": 0.9}),
    "RMSprop": (optim.RMSprop, 0.1, {}),
    "Adam": (optim.Adam, 0.3, {}),
}
FACTORS = {"小": 0.25, "中": 1.0, "大": 1.25}


def calculated(surface: str, name: str, size: str) -> list[tuple[float, float, float]]:
    """一つの手法の、一歩ごとの場所と損失。枠から遠く離れたら終わる。"""
    function, start = SURFACES[surface]
    kind, lr, options = RACERS[name]
    w = torch.tensor(start, requires_grad=True, dtype=torch.float64)
    optimizer = kind([w], lr=lr * FACTORS[size], **options)
    path = []
    for _ in range(STEPS + 1):
        loss = function(w)
        path.append((*w.tolist(), loss.item()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    lost = next((index for index, point in enumerate(path) if max(map(abs, point[:2])) >= 10), None)
    return path[:lost]


def rows(opened: Opened) -> dict[str, list[str]]:
    """表に見える行。手法の名前から、学習率、場所、損失へ。"""
    texts = [
        row.locator("th, td").all_inner_texts() for row in opened.widget.locator("tbody tr").all()
    ]
    return {name.strip(): values for name, *values in texts}


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def close(seen: float, real: float, digits: float) -> bool:
    return abs(seen - real) <= digits * 1.001


def go(opened: Opened, step: int) -> None:
    opened.widget.get_by_role("slider").fill(str(step + 1))


def test_every_race_shows_what_torch_computes(opened) -> None:
    race = opened(RACE).live()
    for surface in SURFACES:
        race.choice("面", surface).click()
        for size, factor in FACTORS.items():
            race.choice("学習率", size).click()
            paths = {name: calculated(surface, name, size) for name in RACERS}
            for step in (0, 1, 2, 7, 20, STEPS):
                go(race, step)
                seen = rows(race)
                assert list(seen) == list(RACERS)
                for name, (lr, place, loss) in seen.items():
                    assert math.isclose(number(lr), RACERS[name][1] * factor)
                    if step >= len(paths[name]):
                        assert (place, loss) == ("枠の外", "発散")
                        continue
                    x, y, real = paths[name][step]
                    assert all(
                        close(number(text), value, 0.0055)
                        for text, value in zip(place.split(", "), (x, y), strict=True)
                    ), (surface, size, step, name, place, x, y)
                    assert close(number(loss) / real, 1, 0.05 if real < 0.001 else 0.005), (
                        name,
                        loss,
                    )
                best = min(
                    (path[step][2], name) for name, path in paths.items() if step < len(path)
                )[1]
                message = race.widget.locator("[aria-live=polite]").inner_text()
                assert step == 0 or f"最も小さいのは、{best}です" in message
    assert race.faults == []


def test_the_large_rate_drives_sgd_out_of_the_valley(opened) -> None:
    race = opened(RACE).live()
    race.choice("学習率", "大").click()
    go(race, STEPS)
    assert rows(race)["SGD"][1:] == ["枠の外", "発散"]
    assert "SGDは発散しました" in race.widget.locator("[aria-live=polite]").inner_text()
    assert not race.widget.locator("path.point.racer-0").is_visible()
    race.choice("学習率", "小").click()
    assert race.widget.locator("path.point.racer-0").is_visible()


def test_each_trail_has_one_point_a_step(opened) -> None:
    race = opened(RACE).live()
    for step in (0, 3, STEPS):
        go(race, step)
        trails = race.widget.locator("polyline.trail").all()
        assert [len(trail.get_attribute("points").split()) for trail in trails] == [step + 1] * 4


def test_the_race_plays_to_the_end_and_stops(opened) -> None:
    race = opened(RACE).live()
    slider = race.widget.get_by_role("slider")
    race.button("再生").click()
    race.page.wait_for_timeout(500)
    assert 1 < int(slider.input_value()) < STEPS
    race.button("停止").click()
    stopped = slider.input_value()
    race.page.wait_for_timeout(400)
    assert slider.input_value() == stopped
    go(race, STEPS - 2)
    race.button("再生").click()
    race.button("再生").wait_for()
    assert slider.input_value() == str(STEPS + 1)
    race.button("再生").click()  # 終わりからは、初めに戻る
    race.page.wait_for_timeout(300)
    assert int(slider.input_value()) < STEPS
    race.choice("面", "斜めの谷").click()  # 面を選ぶと止まる
    race.button("再生").wait_for()
    assert race.faults == []


def test_reduced_motion_shows_the_end_at_once(opened) -> None:
    race = opened(RACE, reduced_motion="reduce").live()
    race.button("再生").click()
    assert race.widget.get_by_role("slider").input_value() == str(STEPS + 1)
    assert race.button("停止").count() == 0


def test_the_race_works_by_keyboard_alone(opened) -> None:
    race = opened(RACE).live()
    press, slider = race.page.keyboard.press, race.widget.get_by_role("slider")
    race.widget.get_by_role("radio", checked=True).first.focus()
    press("ArrowRight")
    assert outline(race) >= 2
    press("Tab")
    press("ArrowRight")
    assert [
        radio.get_attribute("value")
        for radio in race.widget.get_by_role("radio", checked=True).all()
    ] == ["斜めの谷", "大"]
    press("Tab")
    press("ArrowRight")
    press("ArrowRight")
    assert slider.input_value() == "3"
    assert outline(race) >= 2
    press("Tab")
    press("End")
    assert slider.input_value() == str(STEPS + 1)
    press("Home")
    press("Tab")
    assert "再生" in race.page.evaluate("document.activeElement.textContent")
    assert outline(race) >= 2
    press("Tab")
    press("Space")
    assert slider.input_value() == "2"


def test_the_race_works_by_finger(opened) -> None:
    touched = opened(RACE, width=390, has_touch=True, is_mobile=True).live()
    touched.choice("面", "曲がった谷").tap()
    touched.button("次へ").tap()
    assert touched.widget.get_by_role("slider").input_value() == "2"
    touched.tap_the_end()
    assert number(rows(touched)["Momentum"][2]) < 0.1
