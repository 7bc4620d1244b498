"""動かせる図を、本物のブラウザーで動かす。

見える値は、この試験がtorchで計算した値と比べる。どのページも、サーバーなしで（file://で）開く。
"""

import gzip
import itertools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, Locator, Page

ROOT = Path(__file__).resolve().parents[2]
FIGURES = {"start/tensor.html": "fig-tensor-grid", "start/autograd.html": "fig-autograd-graph"}
GRID, GRAPH = FIGURES
FILES = "_static/interactive/"
SOURCE, SUFFIXES = ROOT / "src/verified_book/static/interactive", ("js", "css")
LIMIT = 60 * 1024  # 一つのページのスクリプトを圧縮した大きさ
FINGER = 44  # 指で押せる大きさ


class Opened:
    """開いたページと、その動かせる図。``faults`` は、誤り、警告、ほかのサイトへの要求。"""

    def __init__(self, page: Page, figure: str) -> None:
        self.page, self.figure = page, page.locator(f"#{figure}")
        self.faults: list[str] = []
        self.loaded: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._on_console)
        page.on("request", self._on_request)

    def _on_console(self, message: object) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(message.text)

    def _on_request(self, request: object) -> None:
        if not request.url.startswith(("file:", "data:")):
            self.faults.append(request.url)
        if FILES in request.url:
            self.loaded.append(request.url.partition(FILES)[2].partition("?")[0])

    @property
    def widget(self) -> Locator:
        return self.figure.locator(".interactive")

    @property
    def picture(self) -> Locator:
        """静止した図（明るい配色のもの）。"""
        return self.figure.locator("img.only-light")

    def live(self) -> "Opened":
        self.figure.scroll_into_view_if_needed()
        self.widget.wait_for()
        return self

    def button(self, name: str | re.Pattern[str]) -> Locator:
        return self.widget.get_by_role("button", name=name)

    def choice(self, group: str, name: str) -> Locator:
        """選択肢の、目に見える部分。"""
        radios = self.widget.get_by_role("radiogroup", name=group)
        return radios.locator("label").filter(has=self.page.get_by_text(name, exact=True))

    def square(self, row: int, column: int) -> Locator:
        return self.widget.get_by_role("row").nth(row + 1).get_by_role("gridcell").nth(column)

    def focused(self) -> str:
        return self.page.evaluate("document.activeElement.outerHTML").partition(">")[0]


@pytest.fixture
def opened(site: Path, browser: Browser) -> Iterator[Callable[..., Opened]]:
    contexts = []

    def run(
        name: str,
        *,
        width: int = 1280,
        at_top: bool = False,
        before: Callable | None = None,
        **options,
    ) -> Opened:
        options = {"viewport": {"width": width, "height": 900}, "locale": "ja-JP", **options}
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        found = Opened(page, FIGURES[name])
        if before:
            before(page)
        page.goto((site / name).as_uri() + ("" if at_top else f"#{FIGURES[name]}"))
        return found

    yield run
    for context in contexts:
        context.close()


def printed(squares: Locator) -> list[int]:
    return [int(text) for text in squares.all_inner_texts()]


# -- 値：torchの計算と同じか ---------------------------------------------------


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


def planted_text(site: Path, name: str, changes: dict[str, str]) -> Callable[[Page], None]:
    """ページの、それぞれ初めの一か所を書き換える。"""
    text = (site / name).read_text("utf-8")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new, 1)
    return lambda page: page.route(
        f"**/{name}", lambda route: route.fulfill(body=text, content_type="text/html")
    )


def test_wrong_values_in_the_data_are_found(site: Path, opened) -> None:
    grid = 10 * torch.arange(4).reshape(4, 1) + torch.arange(6)
    planted = {
        '"text":"tensor([12])"': '"text":"tensor([13])"',
        '"shape":"[1, 3]"': '"shape":"[3]"',
        '"places":[6,8,10,12,14,16]': '"places":[6,8,10,12,14,17]',
    }
    tensor = opened(GRID, before=planted_text(site, GRID, planted)).live()
    assert len(wrong_answers(tensor, grid)) == 3


def calculated(values: list[list[float]]) -> tuple[list[str], list[str]]:
    """xからyまでの値と勾配を、図の箱と同じ書き方で返す。"""
    x = torch.tensor(values, requires_grad=True)
    gradients: dict[str, torch.Tensor] = {}
    tensors = {"x": x, "a": x + 1}
    tensors["b"] = tensors["a"] ** 2
    tensors["y"] = tensors["b"].sum()
    for name, tensor in tensors.items():
        tensor.register_hook(lambda gradient, name=name: gradients.update({name: gradient}))
    tensors["y"].backward()
    write = [
        " ".join(f"{v:g}".replace("-", "−") for v in tensor.detach().reshape(-1).tolist())
        for tensor in (*tensors.values(), *(gradients[name] for name in tensors))
    ]
    return write[:4], write[4:]


def boxes(opened: Opened) -> tuple[list[str], list[str]]:
    """値の箱と勾配の箱に見える文字。"""
    texts = [
        [" ".join(text.split()) for text in opened.widget.locator(css).all_inner_texts()]
        for css in (".box.is-value", ".box.is-gradient")
    ]
    return texts[0], texts[1]


def test_every_step_shows_what_autograd_computes(opened) -> None:
    graph = opened(GRAPH).live()
    inputs = graph.widget.get_by_role("radiogroup").locator("label")
    assert inputs.count() == 2
    for chosen in range(inputs.count()):
        inputs.nth(chosen).click()
        x = torch.tensor(eval(inputs.nth(chosen).inner_text()), dtype=torch.float32)
        values, gradients = calculated(x.tolist())
        stages = []
        for step in range(8):
            forward, backward = min(step + 1, 4), max(step - 3, 0)
            expected = (
                values[:forward] + ["？"] * (4 - forward),
                ["？"] * (4 - backward) + gradients[4 - backward :],
            )
            assert boxes(graph) == expected, step
            stages.append(graph.widget.inner_text())
            graph.button("次へ").click(force=True)  # 端でも押してみる
        assert graph.widget.get_by_role("slider").input_value() == "8"
        for step in reversed(range(8)):  # 戻しても、同じところを通る
            assert graph.widget.inner_text() == stages[step]
            graph.button("前へ").click(force=True)
    assert graph.faults == []


def test_the_equation_of_each_step_is_true(opened) -> None:
    graph = opened(GRAPH).live()
    graph.choice("入力x", "[[0, 1], [-1, -2]]").click()
    for _ in range(4):
        graph.button("次へ").click()
    for _ in range(3):
        graph.button("次へ").click()
        terms = graph.widget.locator(".equation .matrix").all()
        after, local, here = (
            torch.tensor([float(t.replace("−", "-")) for t in term.inner_text().split()])
            for term in terms
        )
        assert torch.equal(after * local, here)


# -- 予想してから見る ----------------------------------------------------------


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


# -- キーボードと指 ------------------------------------------------------------


def outline(opened: Opened) -> float:
    """焦点のある部品を囲む線の太さ。選択肢の線は、隣の見える部分に付く。"""
    return opened.page.evaluate(
        """() => {
          const node = document.activeElement;
          const style = getComputedStyle(node.type === 'radio' ? node.nextElementSibling : node);
          return style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth);
        }"""
    )


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


def test_the_graph_works_by_keyboard_alone(opened) -> None:
    graph = opened(GRAPH).live()
    press, slider = graph.page.keyboard.press, graph.widget.get_by_role("slider")
    graph.widget.get_by_role("radio", checked=True).focus()
    press("Tab")
    assert "前へ" in graph.page.evaluate("document.activeElement.textContent")
    press("ArrowRight")
    press("ArrowRight")
    assert slider.input_value() == "3"
    press("ArrowLeft")
    assert slider.input_value() == "2"
    press("Enter")
    press("Enter")  # 端では止まる
    assert slider.input_value() == "1"
    assert outline(graph) >= 2
    press("Tab")
    press("End")
    assert slider.input_value() == "8"
    assert slider.get_attribute("aria-valuetext") == "8段のうち8段目"
    assert outline(graph) >= 2
    press("ArrowLeft")
    assert slider.input_value() == "7"
    press("Tab")
    press("Space")
    assert slider.input_value() == "8"
    assert boxes(graph) == calculated([[1.0, 1.0], [1.0, 1.0]])


def small_targets(opened: Opened) -> list[str]:
    """指で押すには小さい部品。"""
    css = "button, label, [role=gridcell], input[type=range]"
    found = []
    for node in opened.widget.locator(css).all():
        box = node.bounding_box()
        if min(box["width"], box["height"]) < FINGER - 0.01:
            found.append(f"{node.inner_text()}: {box}")
    return found


@pytest.mark.parametrize("name", FIGURES)
def test_a_finger_can_press_everything(opened, name: str) -> None:
    touched = opened(name, width=390, has_touch=True, is_mobile=True).live()
    assert small_targets(touched) == []
    if name == GRID:
        touched.choice("行の添字", "::2").tap()
        touched.square(2, 4).tap()
        touched.button("答えを見る").tap()
        assert printed(touched.widget.locator(".is-taken.is-marked")) == [24]
    else:
        touched.button("次へ").tap()
        box = touched.widget.get_by_role("slider").bounding_box()
        touched.page.touchscreen.tap(box["x"] + box["width"] - 5, box["y"] + box["height"] / 2)
        assert boxes(touched) == calculated([[1.0, 1.0], [1.0, 1.0]])
    assert touched.page.evaluate("document.documentElement.scrollWidth") <= 390
    touched.page.add_style_tag(content=".interactive button { min-height: 0 }")
    assert small_targets(touched)


# -- 読み込み -----------------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_of_the_figure_is_loaded_before_the_reader_comes_near(opened, name: str) -> None:
    away = opened(name, at_top=True)
    kind = away.figure.locator(".interactive-figure").get_attribute("data-kind")
    files = {f"{kind}.css", f"{kind}.js"}
    away.page.wait_for_timeout(300)
    assert files.isdisjoint(away.loaded)
    assert away.picture.is_visible()
    away.live()
    assert files <= set(away.loaded)
    assert len(away.loaded) == len(set(away.loaded))  # どれも一度だけ


def test_pages_without_figures_load_nothing(site: Path) -> None:
    pages = {str(path.relative_to(site)): path.read_text("utf-8") for path in site.rglob("*.html")}
    with_figures = {name for name, text in pages.items() if 'class="interactive-data"' in text}
    assert with_figures == set(FIGURES)
    assert {name for name, text in pages.items() if FILES in text} <= with_figures


def weight(paths: list[Path]) -> int:
    return sum(len(gzip.compress(path.read_bytes())) for path in paths)


@pytest.mark.parametrize("name", FIGURES)
def test_scripts_of_a_page_stay_light(site: Path, tmp_path: Path, name: str) -> None:
    kinds = re.findall(
        r'interactive-figure" data-kind="([\w-]+)"', (site / name).read_text("utf-8")
    )
    paths = [SOURCE / f"{part}.{suffix}" for part in ("interactive", *kinds) for suffix in SUFFIXES]
    assert len(kinds) == 1
    assert weight(paths) <= LIMIT
    (tmp_path / "heavy.js").write_bytes(os.urandom(LIMIT))
    assert weight([*paths, tmp_path / "heavy.js"]) > LIMIT


def heights(opened: Opened) -> tuple[float, float]:
    """図の場所の高さ：動かせる図に替わる前と、替わった後。"""
    frame = opened.figure.locator(".interactive-figure")
    before = frame.bounding_box()["height"]
    assert opened.widget.count() == 0
    opened.live()
    return before, frame.bounding_box()["height"]


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", FIGURES)
def test_nothing_moves_when_the_figure_comes_or_changes(opened, name: str, width: int) -> None:
    seen = opened(name, width=width, at_top=True)
    before, after = heights(seen)
    assert after == pytest.approx(before, abs=2)
    assert after == pytest.approx(seen.widget.bounding_box()["height"], abs=2)
    for group in seen.widget.get_by_role("radiogroup").all():
        group.locator("label").last.click()
    wide = "(root) => root.scrollWidth > root.clientWidth"
    for _ in range(7):
        (seen.button("次へ") if name == GRAPH else seen.button(re.compile("予想|答え"))).click()
        assert seen.widget.bounding_box()["height"] <= after, seen.widget.inner_text()
        assert not seen.widget.evaluate(wide)


def test_a_figure_without_its_place_would_move_the_page(opened) -> None:
    plant = """document.addEventListener('DOMContentLoaded', () => document.head.insertAdjacentHTML(
      'beforeend', '<style>.interactive-figure { min-height: 0 !important }</style>'))"""
    seen = opened(GRAPH, at_top=True, before=lambda page: page.add_init_script(plant))
    before, after = heights(seen)
    assert after != pytest.approx(before, abs=2)


def test_the_example_of_the_guide_works(site: Path, opened) -> None:
    guide = (ROOT / "docs/appendix/authors_guide.md").read_text("utf-8")
    code = re.search(r"```js\n(.*?)```", guide, re.DOTALL)[1].replace("'dots'", "'graph-steps'")
    data = re.search(r'"graph-steps">(.*?)</script>', (site / GRAPH).read_text("utf-8"))[1]
    new_data = planted_text(site, GRAPH, {data: '{"values":[1,-2.5]}'})

    def before(page: Page) -> None:
        new_data(page)
        page.route("**/graph-steps.js", lambda route: route.fulfill(body=code))

    dots = opened(GRAPH, before=before).live()
    message = dots.widget.locator("[aria-live=polite]")
    assert message.inner_text() == "値は1です。"
    dots.button("次へ").click()
    assert message.inner_text() == "値は−2.5です。"
    assert dots.faults == []


# -- 静止した図のまま -----------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
def test_without_javascript_the_still_figure_is_there(opened, name: str) -> None:
    still = opened(name, java_script_enabled=False)
    picture = still.picture
    assert picture.is_visible()
    assert still.figure.locator("img:visible").count() == 1
    assert len(picture.get_attribute("alt")) > 20
    assert "JavaScript" in still.figure.locator("noscript").inner_text()
    frame = still.figure.locator(".interactive-figure").bounding_box()["height"]
    assert frame < picture.bounding_box()["height"] + 60  # 使わない場所を空けない


@pytest.mark.parametrize(
    ("pattern", "body"),
    [
        ("**/indexing-grid.js", None),
        ("**/indexing-grid.css", None),
        ("**/indexing-grid.js", ""),
        (
            "**/indexing-grid.js",
            "window.interactive.define('indexing-grid', () => { nothing(); });",
        ),
    ],
)
def test_a_figure_that_fails_stays_still(opened, pattern: str, body: str | None) -> None:
    def plant(page: Page) -> None:
        page.route(
            pattern, lambda route: route.abort() if body is None else route.fulfill(body=body)
        )

    broken = opened(GRID, before=plant)
    broken.figure.locator("[data-state=still]").wait_for()
    assert broken.picture.is_visible()
    assert broken.widget.count() == 0
    assert any("静止した図のまま" in fault for fault in broken.faults)
    frame = broken.figure.locator(".interactive-figure").bounding_box()["height"]
    assert frame < broken.picture.bounding_box()["height"] + 30


@pytest.mark.parametrize("name", FIGURES)
def test_the_still_figure_is_printed(opened, name: str) -> None:
    paper = opened(name).live()
    assert not paper.picture.is_visible()
    paper.page.emulate_media(media="print")
    assert paper.picture.is_visible()
    assert not paper.widget.is_visible()


# -- 見た目 -------------------------------------------------------------------


CONTRAST = """(root) => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = (text) => channels(text).slice(0, 3)
    .reduce((sum, c, i) => sum + linear(c / 255) * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    const color = getComputedStyle(node).backgroundColor;
    return channels(color)[3] === 0 ? ground(node.parentElement) : color;
  };
  const found = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const seen = node.checkVisibility({visibilityProperty: true});
    if (!seen || !walker.currentNode.textContent.trim()) continue;
    const pair = [light(getComputedStyle(node).color), light(ground(node))];
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (ratio < 4.5) found.push(`${node.textContent} ${ratio.toFixed(2)}`);
  }
  return found;
}"""


def contrast(opened: Opened) -> list[str]:
    """地との比が4.5に足りない文字。"""
    opened.page.wait_for_timeout(300)  # 色の移り変わりを待つ
    return opened.widget.evaluate(CONTRAST)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", FIGURES)
def test_text_can_be_read_in_every_state(opened, name: str, scheme: str) -> None:
    seen = opened(name, color_scheme=scheme).live()
    states = []
    for step in range(8):
        if name == GRAPH:
            seen.button("次へ").click(force=True)
        elif step % 2 == 0:
            seen.widget.get_by_role("radiogroup").nth(0).locator("label").nth(step // 2).click()
            seen.square(1, 2).click()
            seen.square(3, 3).click()
        else:
            seen.button("答えを見る").click()
        states += contrast(seen)
    assert states == []
    assert seen.faults == []
    seen.page.add_style_tag(content=".interactive * { color: #888 !important }")
    assert contrast(seen)


def test_colours_follow_the_theme_at_once(opened) -> None:
    seen = opened(GRID, color_scheme="light").live()
    color = "(node) => getComputedStyle(node).backgroundColor"
    before = seen.widget.evaluate(color)
    seen.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert seen.widget.evaluate(color) != before


MOVING = "document.getAnimations().filter((a) => a.effect.target.closest('.interactive')).length"


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize(("motion", "moves"), [("no-preference", True), ("reduce", False)])
def test_reduced_motion_is_honoured(opened, name: str, motion: str, moves: bool) -> None:
    seen = opened(name, reduced_motion=motion).live()
    seen.page.wait_for_timeout(600)
    assert seen.page.evaluate(MOVING) == 0
    if name == GRID:
        seen.button("予想する").click()
    seen.button("答えを見る" if name == GRID else "次へ").click()
    assert (seen.page.evaluate(MOVING) > 0) == moves


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", FIGURES)
def test_text_is_large_enough(opened, name: str, width: int) -> None:
    seen = opened(name, width=width).live()
    sizes = seen.widget.evaluate(
        """(root) => [...root.querySelectorAll('*')].filter((node) => node.textContent.trim())
          .map((node) => parseFloat(getComputedStyle(node).fontSize))"""
    )
    assert min(sizes) >= 12
