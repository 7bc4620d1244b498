"""src/entering_pytorch/training.pyの試験。"""

import copy
import io
import sys
from contextlib import nullcontext

import pytest
import torch
from torch import nn, optim
from torch.utils.data import TensorDataset

from entering_pytorch import training
from entering_pytorch.loading import Batches, BatchLoader
from entering_pytorch.options import parse_args
from entering_pytorch.training import Position

FP32 = ["--device", "cpu", "--precision", "fp32"]


class Terminal(io.StringIO):
    """端末のふりをする、書かれたものの記録。"""

    def isatty(self) -> bool:
        return True


def build(*options: str, steps: int = 100, device: str = "cpu") -> training.Training:
    torch.manual_seed(0)
    args = parse_args([*FP32, *options])
    args.device = torch.device(device)
    return training.build(args, steps=steps)


def loader(count: int = 25, shuffle: bool = False) -> BatchLoader:
    """乱数の画像を10枚ずつ返すDataLoader。"""
    generator = torch.Generator().manual_seed(count)
    images = torch.randn(count, 1, 28, 28, generator=generator)
    return BatchLoader(TensorDataset(images, torch.arange(count) % 10), Batches(count, 10, shuffle))


def begin(count: int = 25, **where) -> Position:
    position = training.begin_epoch(0, torch.zeros(count), "all")
    for name, value in where.items():
        setattr(position, name, value)
    return position


def still(made: training.Training) -> training.Training:
    """更新しても重みが変わらないようにする。"""
    made.optimizer = optim.SGD(made.net.parameters(), lr=0.0)
    made.scheduler = optim.lr_scheduler.ConstantLR(made.optimizer, factor=1.0)
    return made


def gradients(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> list[torch.Tensor]:
    loss = nn.functional.nll_loss(net(images), labels)
    return list(torch.autograd.grad(loss, list(net.parameters())))


# -- 組み立て -----------------------------------------------------------------


def test_the_schedule_rises_and_falls():
    options = ["--device", "cpu", "--schedule", "onecycle", "--lr", "0.01"]
    made = training.build(parse_args(options), steps=20)
    rates = []
    for _ in range(19):
        rates += made.scheduler.get_last_lr()
        made.optimizer.step()
        made.scheduler.step()
    assert max(rates) == pytest.approx(0.01, rel=0.02)
    assert rates[0] < 0.001
    assert rates[-1] < 0.001


def test_a_constant_schedule_keeps_the_rate():
    made = build("--schedule", "constant", "--lr", "0.01")
    rates = []
    for _ in range(20):
        rates += made.scheduler.get_last_lr()
        made.optimizer.step()
        made.scheduler.step()
    assert rates == [0.01] * 20


def test_the_layout_of_the_weights():
    for layout, channels_last in (("channels_last", True), ("contiguous", False)):
        weight = build("--layout", layout).net.base_net[3].weight
        assert weight.is_contiguous(memory_format=torch.channels_last) is channels_last
        assert weight.is_contiguous() is not channels_last


def test_the_order_of_pooling_and_relu_changes_no_result():
    first, second = (build("--order", name).net for name in ("pool_first", "relu_first"))
    assert [type(layer) for layer in first.base_net[:3]] == [nn.Conv2d, nn.MaxPool2d, nn.ReLU]
    assert [type(layer) for layer in second.base_net[:3]] == [nn.Conv2d, nn.ReLU, nn.MaxPool2d]
    assert list(first.state_dict()) == list(second.state_dict())
    images, labels = torch.randn(6, 1, 28, 28), torch.arange(6)
    assert torch.equal(first(images), second(images))
    pairs = zip(gradients(first, images, labels), gradients(second, images, labels), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_adam_is_fused_or_left_to_pytorch():
    assert build("--adam", "fused").optimizer.defaults["fused"] is True
    assert build("--adam", "default").optimizer.defaults["fused"] is None


def test_the_model_is_compiled_only_when_asked(monkeypatch):
    compiled = []
    monkeypatch.setattr(training.Net, "compile", lambda net: compiled.append(net))
    build()
    assert compiled == []
    made = build("--compile")
    assert compiled == [made.net]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_only_two_or_more_processes_wrap_the_model(count, monkeypatch):
    class Wrapped(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

    monkeypatch.setattr(training, "world_size", lambda: count)
    monkeypatch.setattr(training, "DistributedDataParallel", Wrapped)
    made = build()
    if count == 1:
        assert made.model is made.net
    else:
        assert isinstance(made.model, Wrapped)
        assert made.model.module is made.net


# -- 1ステップ ----------------------------------------------------------------


def test_a_step_updates_by_the_mean_loss_of_the_batch():
    made = build()
    other = copy.deepcopy(made.net)
    images, labels = torch.randn(6, 1, 28, 28), torch.arange(6)
    losses = training.train_step(made, images, labels, 6)
    each = nn.functional.nll_loss(other(images), labels, reduction="none")
    assert losses.shape == (6,)
    assert not losses.requires_grad
    torch.testing.assert_close(losses, each.detach())
    expected = gradients(other, images, labels)
    for (name, parameter), gradient in zip(made.net.named_parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
        assert not torch.equal(parameter, other.get_parameter(name))


def test_gradients_do_not_pile_up():
    made = still(build())
    images, labels = torch.randn(6, 1, 28, 28), torch.arange(6)
    for _ in range(2):
        training.train_step(made, images, labels, 6)
    for parameter, gradient in zip(
        made.net.parameters(), gradients(made.net, images, labels), strict=True
    ):
        torch.testing.assert_close(parameter.grad, gradient)


def test_the_mean_over_ranks_of_unequal_shares_is_that_of_the_batch(monkeypatch):
    monkeypatch.setattr(training, "world_size", lambda: 2)
    monkeypatch.setattr(training, "DistributedDataParallel", lambda net: net)
    made = still(build())
    images, labels = torch.randn(5, 1, 28, 28), torch.arange(5)
    shares = []
    for number in range(2):  # 3枚と2枚
        training.train_step(made, images[number::2], labels[number::2], 5)
        shares.append([parameter.grad.clone() for parameter in made.net.parameters()])
    for first, second, whole in zip(*shares, gradients(made.net, images, labels), strict=True):
        torch.testing.assert_close((first + second) / 2, whole)


def test_the_rate_moves_with_every_step():
    made = build("--schedule", "onecycle", steps=10)
    before = made.scheduler.get_last_lr()
    training.train_step(made, torch.randn(2, 1, 28, 28), torch.arange(2), 2)
    assert made.scheduler.get_last_lr() > before


def test_a_rank_without_images_takes_part():
    made = training.build(parse_args(["--device", "cpu", "--precision", "fp32"]), steps=10)
    none = torch.empty(0, 1, 28, 28), torch.empty(0, dtype=torch.int64)
    assert training.train_step(made, *none, 1).shape == (0,)
    assert all(p.grad is not None and not p.grad.any() for p in made.net.parameters())


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_the_precision_of_the_products(precision, dtype):
    made, kinds = build("--precision", precision), set()
    for layer in made.net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(lambda *call: kinds.add(call[-1].dtype))
    training.train_step(made, torch.randn(2, 1, 28, 28), torch.arange(2), 2)
    assert kinds == {dtype}
    kinds.clear()
    training.test(made, loader(), 0)
    assert kinds == {dtype}
    assert {parameter.dtype for parameter in made.net.parameters()} == {torch.float32}


@pytest.mark.filterwarnings("ignore:.*CUDA is not available")
def test_a_gpu_computes_in_bfloat16_too():
    made = build("--precision", "bf16")
    made.device = torch.device("cuda")
    assert training.autocast(made).fast_dtype == torch.bfloat16  # 何も言わなければfloat16


# -- 学習 ---------------------------------------------------------------------


def test_training_returns_the_mean_loss_of_the_images():
    made, data = still(build()), loader(25)
    images, labels = data.dataset.tensors
    with torch.no_grad():
        whole = nn.functional.nll_loss(made.net(images), labels).item()
    position = begin()
    assert training.train(made, data, position) == pytest.approx(whole, abs=1e-5)
    assert (position.epoch, position.batch) == (0, 3)
    with torch.no_grad():
        each = nn.functional.nll_loss(made.net(images), labels, reduction="none")
    torch.testing.assert_close(position.losses, each)


def test_training_sees_only_the_chosen_images():
    made, data = still(build()), loader(25, shuffle=True)
    position = begin(chosen=torch.arange(0, 25, 2))
    images, labels = data.dataset.tensors
    with torch.no_grad():
        each = nn.functional.nll_loss(made.net(images), labels, reduction="none")
    mean = training.train(made, data, position)
    assert mean == pytest.approx(each[::2].mean().item(), abs=1e-5)
    assert position.batch == 2
    torch.testing.assert_close(position.losses[::2], each[::2])
    assert torch.equal(position.losses[1::2], torch.zeros(12))


def test_training_goes_on_from_its_position():
    made, data = still(build()), loader(25)
    images, labels = data.dataset.tensors
    with torch.no_grad():
        rest = nn.functional.nll_loss(made.net(images[20:]), labels[20:], reduction="sum").item()
    position = begin(epoch=4, batch=2, losses=torch.tensor([2.5] * 20 + [0.0] * 5))
    assert training.train(made, data, position) == pytest.approx((50 + rest) / 25, abs=1e-5)
    assert (position.epoch, position.batch) == (4, 3)


def test_only_the_first_rank_carries_the_loss_so_far(monkeypatch):
    made, data = build(), loader(25)
    losses = torch.full((25,), 2.0)
    for number, carried in ((0, 2.0), (1, 0.0), (2, 0.0)):
        monkeypatch.setattr(training, "rank", lambda number=number: number)
        assert training.train(made, data, begin(batch=3, losses=losses)) == carried


def test_the_loss_of_all_ranks_is_returned(monkeypatch):
    made, data = still(build()), loader(25)
    alone = training.train(made, data, begin())
    monkeypatch.setattr(training, "sum_over_ranks", lambda total: 3 * total)
    assert training.train(made, data, begin()) == pytest.approx(3 * alone)


def test_every_batch_is_learned_with_its_whole_size(monkeypatch):
    sizes = []
    monkeypatch.setattr(
        training, "train_step", lambda *call: (sizes.append(call[-1]), torch.zeros(call[-1]))[1]
    )
    training.train(build(), loader(25), begin())
    assert sizes == [10, 10, 5]


def test_training_turns_training_mode_on():
    made = build()
    made.net.eval()
    training.train(made, loader(), begin())
    assert made.net.training


@pytest.mark.parametrize(("every", "expected"), [(1, [1, 2, 3]), (2, [2]), (4, [])])
def test_the_position_is_saved_at_every_interval(every, expected):
    made, data, seen = still(build()), loader(25), []
    images, labels = data.dataset.tensors
    position = begin()
    training.train(
        made, data, position, lambda: seen.append((position.batch, position.losses)), every
    )
    assert [batch for batch, _ in seen] == expected
    with torch.no_grad():
        each = nn.functional.nll_loss(made.net(images), labels, reduction="none")
    for batch, losses in seen:
        torch.testing.assert_close(losses[: 10 * batch], each[: 10 * batch])
        assert torch.equal(losses[10 * batch :], torch.zeros(25)[10 * batch :])


def test_the_saved_position_does_not_change_with_the_next_steps():
    saved, position = [], begin()
    given = position.losses
    training.train(build(), loader(25), position, lambda: saved.append(position.losses), 1)
    assert torch.equal(given, torch.zeros(25))
    assert [int((losses > 0).sum()) for losses in saved] == [10, 20, 25]


# -- もう一度見る画像 ---------------------------------------------------------


@pytest.mark.parametrize(
    ("epoch", "revisit", "chosen"),
    [(0, "hard", 7), (1, "hard", 3), (2, "hard", 7), (3, "hard", 3), (1, "all", 7)],
)
def test_every_other_epoch_sees_the_third_with_the_largest_losses(epoch, revisit, chosen):
    losses = torch.tensor([0.5, 3.0, 1.0, 0.1, 2.0, 0.0, 0.2])
    assert training.count_seen(epoch, 7, revisit) == chosen
    torch.manual_seed(3)
    position = training.begin_epoch(epoch, losses, revisit)
    assert position.chosen.tolist() == ([1, 2, 4] if chosen == 3 else list(range(7)))
    assert torch.equal(position.losses, torch.zeros(7))
    assert torch.equal(position.rng, torch.get_rng_state())
    assert (position.epoch, position.batch) == (epoch, 0)


def test_a_single_image_is_always_seen():
    assert [training.count_seen(epoch, 1, "hard") for epoch in (0, 1)] == [1, 1]


# -- 評価 ---------------------------------------------------------------------


def test_evaluation_returns_the_mean_loss_and_the_accuracy():
    made, data = build(), loader(25)
    images, labels = data.dataset.tensors
    made.net.eval()
    with torch.no_grad():
        output = made.net(images)
    labels.copy_((output.argmax(dim=1) + 1) % 10)
    labels[[0, 7, 24]] = output[[0, 7, 24]].argmax(dim=1)  # 3枚だけ正解する
    loss, accuracy = training.test(made, data, 0)
    assert loss == pytest.approx(nn.functional.nll_loss(output, labels).item(), abs=1e-5)
    assert accuracy == pytest.approx(12.0)


def test_evaluation_adds_up_the_shares_of_all_ranks(monkeypatch):
    made, data = build(), loader(25)
    alone = training.test(made, data, 0)
    monkeypatch.setattr(training, "sum_over_ranks", lambda values: 2 * values)
    assert training.test(made, data, 0) == pytest.approx([2 * value for value in alone])


def test_evaluation_builds_no_graph_and_restores_training_mode():
    made, seen = build(), []
    made.net.register_forward_hook(
        lambda net, x, y: seen.append((net.training, torch.is_inference(y)))
    )
    training.test(made, loader(), 0)
    assert set(seen) == {(False, True)}
    assert made.net.training


# -- デバイスと表示 -----------------------------------------------------------


def test_everything_is_computed_on_the_device(monkeypatch):
    devices = []

    def sum_over_ranks(values):
        devices.append(values.device.type)
        return torch.zeros(values.shape)

    monkeypatch.setattr(training, "sum_over_ranks", sum_over_ranks)
    monkeypatch.setattr(training, "autocast", lambda made: nullcontext())  # metaにはない
    made = build("--adam", "default", device="meta")
    assert {parameter.device.type for parameter in made.net.parameters()} == {"meta"}
    training.train(made, loader(), begin())
    training.test(made, loader(), 0)
    assert devices == ["meta", "meta"]


def test_the_progress_is_shown_on_a_terminal_and_wiped(monkeypatch):
    made, terminal = build(), Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    training.train(made, loader(25), begin(epoch=4, batch=1))
    shown = terminal.getvalue()
    assert "\rEpoch 4: Train:  33%" in shown
    assert " 1/3 [" in shown
    training.test(made, loader(25), 4)
    shown = terminal.getvalue()
    assert "\rEpoch 4: Test:   0%" in shown
    assert " 0/3 [" in shown
    assert "\n" not in shown
    assert shown.endswith(" \r")


def test_only_the_first_rank_shows_the_progress(monkeypatch):
    made, terminal = build(), Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(training, "rank", lambda: 1)
    training.train(made, loader(), begin())
    training.test(made, loader(), 0)
    assert terminal.getvalue() == ""


def test_a_file_receives_no_progress(capsys):
    made = build()
    training.train(made, loader(), begin())
    training.test(made, loader(), 0)
    assert capsys.readouterr() == ("", "")


# -- 状態 ---------------------------------------------------------------------


def test_restoring_the_state_goes_on_with_the_same_steps():
    first, second = build(), build()
    images, labels = torch.randn(4, 1, 28, 28), torch.arange(4)
    training.train_step(first, images, labels, 4)
    position = begin(chosen=torch.tensor([4, 2]), losses=torch.rand(25), epoch=3, batch=2)
    state = copy.deepcopy(training.state_of(first, position, {"lr": 0.006}))
    assert state["settings"] == {"lr": 0.006}
    drawn = torch.rand(3)
    restored = training.restore(second, state)
    assert torch.equal(torch.rand(3), drawn)
    assert torch.equal(restored.rng, position.rng)
    assert (restored.epoch, restored.batch) == (3, 2)
    assert torch.equal(restored.chosen, position.chosen)
    assert torch.equal(restored.losses, position.losses)
    assert second.scheduler.get_last_lr() == first.scheduler.get_last_lr()
    for made in (first, second):
        training.train_step(made, images, labels, 4)
    for name, weight in first.net.state_dict().items():
        assert torch.equal(second.net.state_dict()[name], weight)
