"""混同行列：見える枚数と画像を、章と同じ学習をしたモデルの答えと比べる。"""

import re
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from opened_figure import Opened, outline, planted_text, printed
from torch import nn
from torchvision import datasets

PAGE = "learn/evaluation.html"
DATA = Path(__file__).resolve().parents[2] / "data"
ALPHA = """(root) => [...root.querySelectorAll('canvas')].map((canvas) =>
  [...canvas.getContext('2d').getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 === 3))"""


class Answers(NamedTuple):
    """検証データの画像と、その正解、答え、答えの確率。"""

    images: torch.Tensor
    truth: torch.Tensor
    answer: torch.Tensor
    confidence: torch.Tensor

    def counts(self) -> list[int]:
        return (10 * self.truth + self.answer).bincount(minlength=100).tolist()

    def shown(self, truth: int, answer: int) -> list[int]:
        """図に並ぶはずの画像の番号。"""
        inside = (self.truth == truth) & (self.answer == answer)
        numbers = inside.nonzero().flatten().tolist()
        numbers.sort(key=lambda i: self.confidence[i], reverse=truth != answer)
        return numbers[:6]


@pytest.fixture(scope="module")
def answers() -> Answers:
    torch.manual_seed(0)
    order = torch.randperm(60_000)
    digits = datasets.MNIST(DATA, train=True)
    pixels = digits.data[order[:12_000]].flatten(1).double() / 255
    x, y = (pixels - 0.1307) / 0.3081, digits.targets[order[:12_000]]
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    torch.set_default_dtype(torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.001, weight_decay=0.1)
    for _ in range(12):
        for batch in torch.randperm(10_000).split(100):
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    with torch.inference_mode():
        confidence, answer = model(x[10_000:]).softmax(dim=1).max(dim=1)
    return Answers(digits.data[order[10_000:12_000]], y[10_000:], answer, confidence)


def wrong_cells(opened: Opened, answers: Answers) -> list[str]:
    """マスをすべて選び、枚数、画像、確率が違うものを集める。"""
    squares = opened.widget.locator(".square")
    found = []
    for place, count in enumerate(answers.counts()):
        truth, answer = divmod(place, 10)
        squares.nth(place).click()
        shown = answers.shown(truth, answer)
        pixels = [(17 * (answers.images[i] // 16)).flatten().tolist() for i in shown]
        numbers = [f"{answers.confidence[i]:.3f}" for i in shown]
        message = opened.widget.locator("[aria-live=polite]").inner_text()
        right = (
            squares.nth(place).inner_text() == str(count)
            and squares.nth(place).get_attribute("aria-selected") == "true"
            and opened.widget.evaluate(ALPHA) == pixels
            and opened.widget.locator(".picture span").all_inner_texts() == numbers
            and (message.startswith(f"{count}枚") or (not count and "ありません" in message))
        )
        if not right:
            found.append(f"正解{truth}、答え{answer}")
    return found


def test_every_cell_shows_what_the_model_answers(opened, answers: Answers) -> None:
    matrix = opened(PAGE).live()
    assert printed(matrix.widget.locator(".square")) == answers.counts()
    assert wrong_cells(matrix, answers) == []
    assert matrix.faults == []


def test_wrong_values_in_the_data_are_found(site: Path, opened, answers: Answers) -> None:
    text = (site / PAGE).read_text("utf-8")
    four_nine = re.search(r'"4,9":\[\{"pixels":"(\w+)","confidence":([\d.]+)', text)
    planted = {
        '"counts":[[': '"counts":[[1',
        f'"{four_nine[1]}"': f'"{four_nine[1][::-1]}"',  # 上下左右が逆さま
        '"3,9":[{"pixels":"z': '"3,9":[{"pixels":"y',
    }
    matrix = opened(PAGE, before=planted_text(site, PAGE, planted)).live()
    assert wrong_cells(matrix, answers) == ["正解0、答え0", "正解3、答え9", "正解4、答え9"]


def test_shares_are_recall_and_precision(opened, answers: Answers) -> None:
    matrix = opened(PAGE).live()
    counts = torch.tensor(answers.counts()).reshape(10, 10)
    matrix.square(8, 8).click()
    row, column = counts[8].sum(), counts[:, 8].sum()
    recall, precision = 100 * counts[8, 8] / row, 100 * counts[8, 8] / column
    said = matrix.widget.locator("[aria-live=polite]").inner_text()
    assert f"正解が8の{row}枚の{recall:.1f}%、8と答えた{column}枚の{precision:.1f}%です" in said


def test_errors_open_from_the_most_frequent(opened, answers: Answers) -> None:
    matrix = opened(PAGE).live()
    counts, seen = answers.counts(), []
    for _ in range(5):
        chosen = matrix.widget.locator("[role=gridcell][aria-selected=true]")
        seen.append(int(chosen.inner_text()))
        matrix.button("次へ").click()
    assert seen == sorted((n for i, n in enumerate(counts) if i % 11), reverse=True)[:5]


def chosen_cell(opened: Opened) -> str:
    cell = opened.widget.locator("[role=gridcell][aria-selected=true]")
    return re.match(r"正解\d、答え\d", cell.get_attribute("aria-label"))[0]


@pytest.mark.parametrize("width", [1280, 390])
def test_the_matrix_works_by_keyboard_alone(opened, width: int) -> None:
    matrix = opened(PAGE, width=width).live()
    press = matrix.page.keyboard.press
    matrix.widget.locator("[role=gridcell][tabindex='0']").focus()
    assert chosen_cell(matrix) == "正解4、答え9"
    for key, cell in {
        "ArrowRight": "正解4、答え9",  # 端では止まる
        "ArrowUp": "正解3、答え9",
        "ArrowLeft": "正解3、答え8",
        "Home": "正解3、答え0",
        "ArrowDown": "正解4、答え0",
        "End": "正解4、答え9",
    }.items():
        press(key)
        assert chosen_cell(matrix) == cell
        assert 'role="gridcell"' in matrix.focused()
        assert outline(matrix) >= 2
    press("Tab")
    assert 'type="range"' in matrix.focused() or "button" in matrix.focused()


def test_the_matrix_works_by_finger(opened, answers: Answers) -> None:
    touched = opened(PAGE, width=390, has_touch=True, is_mobile=True).live()
    touched.choice("正解の数字", "9").tap()
    assert chosen_cell(touched) == "正解9、答え9"
    rows = touched.widget.locator(".strip.is-open")
    assert rows.count() == 1
    rows.get_by_role("gridcell").nth(7).tap()
    assert chosen_cell(touched) == "正解9、答え7"
    assert touched.widget.locator("canvas").count() == len(answers.shown(9, 7))
    touched.button("次へ").tap()
    assert chosen_cell(touched) != "正解9、答え7"
    touched.tap_the_end()
    assert len(answers.shown(*map(int, re.findall(r"\d", chosen_cell(touched))))) == 1
