"""MNISTの画像を1画素の細い線にし、ページの枠に、ポインターで一画ずつ書く。"""

from functools import partial
from math import hypot
from pathlib import Path

import numpy as np
from playwright.sync_api import Page
from skimage.morphology import skeletonize
from torchvision import datasets

DATA = Path(__file__).resolve().parents[2] / "data"
PAGE = "start/mnist.html"
CHOSEN = range(0, 10_000, 50)
"""書かせるテスト画像。全体から等しい間隔で選ぶ。"""
Point = tuple[int, int]


def strokes(image: np.ndarray) -> list[list[Point]]:
    """画像の細い線を、行と列の並びに分ける。

    線の端から始め、なるべくまっすぐ進む。行き止まりになったら、残りの線の端から始める。
    """
    left = set(map(tuple, np.argwhere(skeletonize(image >= 128)).tolist()))
    whole, lines = set(left), []
    while left:
        ends = [point for point in left if len(_around(point, whole)) == 1]
        line = [min(ends or left)]
        left.remove(line[0])
        while following := _around(line[-1], left):
            line.append(min(following, key=partial(_turn, line)))
            left.remove(line[-1])
        lines.append(line)
    return [_joined(line, whole) for line in lines]


def _around(point: Point, points: set[Point]) -> list[Point]:
    row, column = point
    near = [(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    return sorted(set(near) & points - {point})


def _turn(line: list[Point], point: Point) -> tuple[float, Point]:
    """曲がる大きさ。始めの一歩では、隣までの距離。"""
    step = (point[0] - line[-1][0], point[1] - line[-1][1])
    if len(line) == 1:
        return hypot(*step), point
    before = (line[-1][0] - line[-2][0], line[-1][1] - line[-2][1])
    along = step[0] * before[0] + step[1] * before[1]
    return -along / hypot(*step) / hypot(*before), point


def _joined(line: list[Point], whole: set[Point]) -> list[Point]:
    """両端を、隣り合うほかの線までのばす。"""
    others = whole - set(line)
    first, last = _around(line[0], others)[:1], _around(line[-1], others)[:1]
    return first + line + last


def draw(page: Page, image: np.ndarray) -> str:
    """画像を書き、答えた数字を返す。画素は渡さず、ポインターを動かすだけ。"""
    page.get_by_role("button", name="消す").click(force=True)
    box = page.locator(".draw-digit .pad").bounding_box()
    for line in strokes(image):
        places = [
            (
                box["x"] + box["width"] * (column + 0.5) / 28,
                box["y"] + box["height"] * (row + 0.5) / 28,
            )
            for row, column in line
        ]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in [*places[1:-1:2], places[-1]]:
            page.mouse.move(*place)
        now = page.evaluate("performance.now()")
        page.mouse.up()
    return answer(page, now)


def answer(page: Page, since: float = 0) -> str:
    """``since`` （ミリ秒）より後に書き終えた字への答え。"""
    page.wait_for_function(
        "since => performance.getEntriesByName('draw-digit').some(it => it.startTime >= since)",
        arg=since,
    )
    said = page.locator(".draw-digit .interactive-message").inner_text()
    return said.partition("と読みました")[0]


def waits(page: Page) -> list[float]:
    """書き終えてから答えるまでの時間（ミリ秒）。"""
    return page.evaluate("performance.getEntriesByName('draw-digit').map(it => it.duration)")


def right_answers(page: Page) -> list[bool]:
    """``CHOSEN`` のそれぞれを、正しく読んだか。"""
    digits = datasets.MNIST(DATA, train=False)
    images, targets = digits.data.numpy(), digits.targets.tolist()
    return [draw(page, images[index]) == str(targets[index]) for index in CHOSEN]
