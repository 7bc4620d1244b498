"""計算グラフの段：見える値と勾配を、torchの計算と比べる。"""

import torch
from opened_figure import Opened, outline

GRAPH = "start/autograd.html"


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


def test_the_graph_works_by_finger(opened) -> None:
    touched = opened(GRAPH, width=390, has_touch=True, is_mobile=True).live()
    touched.button("次へ").tap()
    touched.tap_the_end()
    assert boxes(touched) == calculated([[1.0, 1.0], [1.0, 1.0]])
