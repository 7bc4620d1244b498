"""src/entering_pytorch/loading.pyの試験。"""

import shutil

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset
from torchvision import datasets

from entering_pytorch import loading

CPU = torch.device("cpu")


def test_images_in_memory_equal_the_transformed_ones(root):
    batches = [
        list(loading.make_loader(root, False, 4, name, CPU)) for name in ("memory", "loader")
    ]
    for (images, labels), (expected, expected_labels) in zip(*batches, strict=True):
        assert torch.equal(images, expected)
        assert torch.equal(labels, expected_labels)


@pytest.mark.parametrize("name", ["memory", "loader"])
def test_batches_hold_normalized_images_and_labels(name, root):
    loader = loading.make_loader(str(root), False, 4, name, CPU)
    digits = datasets.MNIST(root, train=False)
    images = (digits.data.unsqueeze(1) / 255 - 0.1307) / 0.3081
    assert len(loader) == 4
    for batch, (x, t) in enumerate(loader):
        assert x.dtype == torch.float32
        assert t.dtype == torch.int64
        torch.testing.assert_close(x, images[4 * batch : 4 * batch + 4])
        assert torch.equal(t, digits.targets[4 * batch : 4 * batch + 4])


def test_only_the_loader_that_keeps_images_in_memory_converts_them_once(root):
    kinds = [
        type(loading.make_loader(root, False, 4, name, CPU).dataset)
        for name in ("memory", "loader")
    ]
    assert kinds == [TensorDataset, datasets.MNIST]


def test_images_are_kept_on_the_device(root):
    loader = loading.make_loader(root, False, 4, "memory", torch.device("meta"))
    assert [tensor.device.type for tensor in loader.dataset.tensors] == ["meta", "meta"]


def test_only_training_batches_are_shuffled(root):
    torch.manual_seed(0)
    shuffled, ordered = (
        loading.make_loader(root, is_train, 10, "memory", CPU) for is_train in (True, False)
    )
    first, second = (torch.cat([t for _, t in shuffled]).tolist() for _ in range(2))
    assert first != second
    assert sorted(first) == sorted(second) == sorted(n % 10 for n in range(25))
    assert torch.cat([t for _, t in ordered]).tolist() == [n % 10 for n in range(15)]


@pytest.mark.parametrize("name", ["memory", "loader"])
def test_the_order_is_that_of_a_shuffled_loader(name, root):
    digits = datasets.MNIST(root, transform=lambda image: 0)
    torch.manual_seed(3)
    expected = [t.tolist() for _, t in DataLoader(digits, batch_size=10, shuffle=True)]
    torch.manual_seed(3)
    loader = loading.make_loader(root, True, 10, name, CPU)
    assert [t.tolist() for _, t in loader] == expected


def test_missing_data_is_downloaded(root, tmp_path, monkeypatch):
    def download(self):
        shutil.copytree(root / "MNIST", tmp_path / "new" / "MNIST")

    monkeypatch.setattr(datasets.MNIST, "download", download)
    assert loading.make_loader(tmp_path / "new", True, 10, "memory", CPU).batches.count == 25


def test_the_number_of_batches_and_their_sizes():
    batches = loading.Batches(25, 10, shuffle=True)
    assert len(batches) == 3
    assert [batches.size(number) for number in range(3)] == [10, 10, 5]
    assert [len(share) for share in batches] == [10, 10, 5]
    assert len(loading.Batches(20, 10, shuffle=False)) == 2
    assert len(loading.Batches(3, 10, shuffle=False)) == 1


def test_starting_later_gives_the_rest_of_the_same_order():
    batches = loading.Batches(25, 10, shuffle=True)
    torch.manual_seed(0)
    whole = list(batches)
    batches.start = 1
    torch.manual_seed(0)
    assert list(batches) == whole[1:]


def test_only_the_chosen_images_are_seen():
    batches = loading.Batches(25, 10, shuffle=True)
    batches.chosen = list(range(0, 25, 2))
    torch.manual_seed(0)
    shares = list(batches)
    assert [len(share) for share in shares] == [10, 3]
    assert len(batches) == 2
    assert [batches.size(number) for number in range(2)] == [10, 3]
    seen = [index for share in shares for index in share]
    assert sorted(seen) == batches.chosen
    assert seen != batches.chosen
    assert [batches.own(number) for number in range(2)] == shares
    batches.chosen = range(25)
    assert [len(share) for share in batches] == [10, 10, 5]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_ranks_share_every_batch(count, monkeypatch):
    monkeypatch.setattr(loading, "world_size", lambda: count)
    shares = []
    for number in range(count):
        monkeypatch.setattr(loading, "rank", lambda number=number: number)
        torch.manual_seed(0)
        shares.append(list(loading.Batches(25, 10, shuffle=True)))
    torch.manual_seed(0)
    order = list(torch.utils.data.RandomSampler(range(25)))
    for batch, parts in enumerate(zip(*shares, strict=True)):
        together = sorted(index for part in parts for index in part)
        assert together == sorted(order[10 * batch : 10 * batch + 10])
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
