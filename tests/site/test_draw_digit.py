"""数字を書く図：モデルの答えをPyTorchと比べ、指、キーボード、動かせないときを確かめる。"""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from bs4 import BeautifulSoup
from drawing import CHOSEN, DATA, PAGE, answer, draw, right_answers, strokes
from onnx import numpy_helper
from opened_figure import FIGURES, Opened
from playwright.sync_api import Browser, Page
from test_browser import served
from torchvision import datasets

from entering_pytorch.mnist import Net

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "docs/appendix/drawing.json"
GOAL = 0.97
ASK = """async ([address, images]) => {
  const ort = window.ort;
  const bytes = new Uint8Array(await (await fetch(address)).arrayBuffer());
  const session = await ort.InferenceSession.create(bytes);
  const answers = [];
  for (const image of images) {
    const values = Float32Array.from(image, (value) => (value / 255 - 0.1307) / 0.3081);
    const found = await session.run({ image: new ort.Tensor('float32', values, [1, 1, 28, 28]) });
    answers.push([...found.log_probs.data]);
  }
  return answers;
}"""


@pytest.fixture(scope="module")
def digits() -> datasets.MNIST:
    return datasets.MNIST(DATA, train=False)


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with served(site) as found:
        yield found


@pytest.fixture
def pad(address: str, browser: Browser) -> Iterator[Opened]:
    """サーバーから開いたページの、数字を書く図。"""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="ja-JP")
    yield opened_pad(context.new_page(), address)
    context.close()


def opened_pad(page: Page, address: str, name: str = PAGE) -> Opened:
    opened = Opened(page, FIGURES[name])
    page.goto(f"{address}{name}#{FIGURES[name]}")
    return opened.live()


def model_file(site: Path) -> Path:
    (path,) = (site / "_static/files").glob("*.onnx")
    return path


def trained(site: Path) -> Net:
    """ONNXのファイルに書き出された重みを持つ、PyTorchのモデル。"""
    found = onnx.load(str(model_file(site))).graph.initializer
    weights = {
        item.name.removeprefix("model."): torch.tensor(numpy_helper.to_array(item))
        for item in found
        if item.name.startswith("model.")
    }
    model = Net()
    model.load_state_dict(weights)
    return model.eval()


def test_the_browser_answers_like_pytorch(pad, site: Path, digits) -> None:
    draw(pad.page, digits.data[0].numpy())
    images = digits.data[:1000]
    file = f"../_static/files/{model_file(site).name}"
    found = torch.tensor(pad.page.evaluate(ASK, [file, images.flatten(1).tolist()])).exp()
    model, inputs = trained(site), (images.unsqueeze(1) / 255 - 0.1307) / 0.3081
    with torch.inference_mode():
        assert (found - model(inputs).exp()).abs().max() <= 1e-5
        model.classifier[2].bias[3] += 1e-3
        assert (found - model(inputs).exp()).abs().max() > 1e-5


def test_the_weights_are_those_that_the_chapter_trained(site: Path, digits) -> None:
    text = (site / PAGE).read_text("utf-8")
    shown = re.search(r'10,000枚のうち、<span class="measured">(9\d\.\d\d)</span>', text)[1]
    inputs = (digits.data.unsqueeze(1) / 255 - 0.1307) / 0.3081
    with torch.inference_mode():
        right = trained(site)(inputs).argmax(dim=1) == digits.targets
    assert f"{100 * right.float().mean().item():.2f}" == shown


def test_drawn_digits_are_read(pad) -> None:
    right = right_answers(pad.page)
    assert len(right) == len(CHOSEN) == 200
    assert sum(right) >= GOAL * len(right)
    assert pad.faults == [] or all(fault.startswith("http://127.0.0.1") for fault in pad.faults)


def test_the_page_shows_what_was_measured(site: Path) -> None:
    record = json.loads(RECORD.read_text("utf-8"))
    assert record["total"] == len(CHOSEN)
    assert record["right"] >= GOAL * record["total"]
    page = BeautifulSoup((site / PAGE).read_text("utf-8"), "html.parser")
    assert f"モデルは{record['right']}枚を正しく読みました。" in page.text
    assert record["when"] in page.text


def test_strokes_keep_every_pixel_of_the_thin_line() -> None:
    image = np.zeros((28, 28), np.uint8)
    image[5, 5:20] = image[5:20, 19] = 255
    points = {point for line in strokes(image) for point in line}
    assert {(5, 6), (5, 18), (6, 19), (18, 19)} <= points
    assert all(
        max(abs(one[0] - two[0]), abs(one[1] - two[1])) == 1
        for line in strokes(image)
        for one, two in pairwise(line)
    )


# -- 書き方 -------------------------------------------------------------------


def seen(opened: Opened) -> list[int]:
    """モデルの見る画像の、濃さ。"""
    return opened.page.evaluate(
        """() => [...document.querySelector('.draw-digit .seen').getContext('2d')
          .getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 === 3)"""
    )


def line(opened: Opened, *places: tuple[float, float]) -> None:
    """枠の中の割合で、一画を書く。"""
    box = opened.widget.locator(".pad").bounding_box()
    points = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in places]
    opened.page.mouse.move(*points[0])
    opened.page.mouse.down()
    for point in points[1:]:
        opened.page.mouse.move(*point, steps=5)
    opened.page.mouse.up()


def test_a_small_digit_in_a_corner_is_scaled_and_centred(pad) -> None:
    line(pad, (0.05, 0.05), (0.3, 0.05), (0.15, 0.35))
    image = np.array(seen(pad)).reshape(28, 28)
    rows, columns = np.nonzero(image > 60)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20, 21)
    weight = image / image.sum()
    centre = (weight * np.indices((28, 28))).sum(axis=(1, 2))
    assert centre == pytest.approx([13.5, 13.5], abs=0.1)
    assert answer(pad.page) == "7"


def test_a_stroke_can_be_taken_back(pad) -> None:
    line(pad, (0.3, 0.2), (0.7, 0.2), (0.45, 0.8))
    first = seen(pad)
    line(pad, (0.3, 0.5), (0.7, 0.5))
    assert seen(pad) != first
    pad.button("一画戻す").click()
    assert seen(pad) == first
    pad.button("消す").click()
    assert set(seen(pad)) == {0}
    pad.button("一画戻す").click(force=True)  # 何もない枠では、何も起こらない
    assert set(seen(pad)) == {0}


def test_a_sample_is_chosen_by_keyboard(pad, digits) -> None:
    radios = pad.widget.get_by_role("radiogroup", name="見本").get_by_role("radio")
    radios.first.focus()
    pad.page.keyboard.press("Space")
    assert answer(pad.page) == "0"
    now = pad.page.evaluate("performance.now()")
    pad.page.keyboard.press("ArrowRight")
    assert answer(pad.page, now) == "1"
    wanted = digits.data[(digits.targets == 1).nonzero()[0].item()].flatten().tolist()
    assert seen(pad) == wanted
    shares = pad.widget.locator(".share").all_inner_texts()
    assert len(shares) == 10
    assert sum(float(share.rstrip("%")) for share in shares) == pytest.approx(100, abs=0.6)


def test_a_finger_draws_without_scrolling_the_page(address: str, browser: Browser) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, locale="ja-JP"
    )
    page = context.new_page()
    opened = opened_pad(page, address, "index.html")
    opened.widget.locator(".pad").evaluate("node => node.scrollIntoView({block: 'center'})")
    box = opened.widget.locator(".pad").bounding_box()
    top = page.evaluate("scrollY")
    session = context.new_cdp_session(page)
    places = [(0.5, 0.15 + 0.07 * step) for step in range(11)]
    for kind, (x, y) in zip(["touchStart"] + ["touchMove"] * 10, places, strict=True):
        point = {"x": box["x"] + box["width"] * x, "y": box["y"] + box["height"] * y}
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert answer(page) == "1"
    assert page.evaluate("scrollY") == top
    context.close()


# -- 読み込み -----------------------------------------------------------------


def heavy(opened: Opened) -> list[str]:
    return [url for url in opened.faults if "ort" in url or url.endswith(".onnx")]


def test_nothing_heavy_is_loaded_before_the_first_touch(pad) -> None:
    pad.page.wait_for_timeout(300)
    assert heavy(pad) == []
    line(pad, (0.5, 0.2), (0.5, 0.8))
    assert answer(pad.page) == "1"
    assert len(heavy(pad)) == 4


def test_a_page_opened_from_a_file_says_why_it_cannot_answer(opened) -> None:
    found = opened(PAGE).live()
    line(found, (0.5, 0.2), (0.5, 0.8))
    said = found.widget.locator("[aria-live=polite]").inner_text()
    assert "ファイルとして開いたページでは" in said
    assert max(seen(found)) > 200  # 前処理までは動く
    assert found.faults == []


def test_a_browser_without_webassembly_is_told_so(address: str, browser: Browser) -> None:
    page = browser.new_page()
    page.add_init_script("delete window.WebAssembly")
    opened = opened_pad(page, address)
    line(opened, (0.5, 0.2), (0.5, 0.8))
    assert "WebAssemblyが使えない" in opened.widget.locator("[aria-live=polite]").inner_text()
    assert heavy(opened) == []
    page.close()


def test_a_lost_model_is_asked_for_again(address: str, browser: Browser) -> None:
    page = browser.new_page()
    page.route("**/*.onnx", lambda route: route.abort())
    opened = opened_pad(page, address)
    line(opened, (0.5, 0.2), (0.5, 0.8))
    message = opened.widget.locator("[aria-live=polite]")
    message.filter(has_text="読み込めませんでした").wait_for()
    page.unroute("**/*.onnx")
    line(opened, (0.4, 0.2), (0.6, 0.2))
    answer(page)
    assert "と読みました" in message.inner_text()
    page.close()
