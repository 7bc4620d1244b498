"""手書き数字の画像（MNIST）を見分けるニューラルネットワークを学習する。

このファイルだけで動きます。必要なパッケージはtorch、torchvision、tqdmの3つです。
"""

import argparse
import math
import os
import sys
from pathlib import Path

import torch
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader
from torchvision import datasets, transforms
from tqdm import tqdm


class Net(nn.Module):
    """28×28画素の数字の画像を、0から9の10クラスに分類するモデル。

    入力は形が ``(N, 1, 28, 28)`` のfloat32のテンソル、出力は形が ``(N, 10)`` の
    float32のテンソルです。出力の各行は、10クラスの確率の対数です。

    Raises
    ------
    RuntimeError
        入力のチャンネル数が1でないとき。画像の大きさのために、``base_net`` の出力が
        1枚あたり2560個にならないとき。

    Examples
    --------
    >>> import torch
    >>> from entering_pytorch.mnist import Net
    >>> model = Net()
    >>> model(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    >>> sum(p.numel() for p in model.parameters())
    277670
    """

    def __init__(self) -> None:
        super().__init__()
        self.base_net = nn.Sequential(
            nn.Conv2d(1, 20, 5, 1),  # (N, 1, 28, 28) -> (N, 20, 24, 24)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 20, 24, 24) -> (N, 20, 12, 12)
            nn.Conv2d(20, 40, 5, 1),  # (N, 20, 12, 12) -> (N, 40, 8, 8)
            nn.ReLU(),
        )
        self.classifier = nn.Sequential(
            nn.Linear(40 * 8 * 8, 100),
            nn.ReLU(),
            nn.Linear(100, 10),
            nn.LogSoftmax(dim=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.base_net(x)  # (N, 40, 8, 8)
        x = x.flatten(1)  # (N, 2560)
        return self.classifier(x)  # (N, 10)


def train(
    model: nn.Module,
    device: torch.device,
    train_loader: DataLoader,
    optimizer: optim.Optimizer,
    criterion: nn.Module,
    epoch: int,
) -> float:
    """訓練データを一巡して学習し、平均の損失を表示して返す。

    Parameters
    ----------
    model
        学習するモデル。訓練モードになります。
    device
        計算に使うデバイス。モデルのパラメータもここに置いておきます。
    train_loader
        画像 ``(N, 1, 28, 28)`` （float32）と正解 ``(N,)`` （int64）の組を返すもの。
    optimizer
        モデルのパラメータを更新するオプティマイザー。
    criterion
        ミニバッチの平均を返す損失関数。
    epoch
        表示に使うエポックの番号。

    Returns
    -------
    float
        画像1枚あたりの平均の損失。学習の途中で測るので、パラメータは変わり続けています。

    Raises
    ------
    ZeroDivisionError
        ``train_loader`` が空のとき。

    Examples
    --------
    >>> import torch
    >>> from torch import nn, optim
    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> from entering_pytorch.mnist import Net, train
    >>> _ = torch.manual_seed(0)
    >>> dataset = TensorDataset(torch.randn(8, 1, 28, 28), torch.arange(8))
    >>> loader = DataLoader(dataset, batch_size=3)
    >>> model = Net()
    >>> optimizer = optim.Adam(model.parameters(), lr=0.001)
    >>> loss = train(model, torch.device("cpu"), loader, optimizer, nn.NLLLoss(), epoch=0)
    Epoch 0: Train loss 2.52
    """
    model.train()
    total_loss = 0.0
    total = 0
    progress = tqdm(train_loader, desc=f"Epoch {epoch}: Train", leave=False)
    for data, target in progress:
        data, target = data.to(device), target.to(device)
        optimizer.zero_grad()
        output = model(data)
        loss = criterion(output, target)
        loss.backward()
        optimizer.step()
        # 最後のミニバッチは小さいことがあるので、枚数で重みを付ける
        total_loss += loss.item() * len(data)
        total += len(data)
    train_loss = total_loss / total
    print(f"Epoch {epoch}: Train loss {train_loss:.4f}")
    return train_loss


@torch.inference_mode()
def test(
    model: nn.Module,
    device: torch.device,
    test_loader: DataLoader,
    criterion: nn.Module,
    epoch: int,
) -> tuple[float, float]:
    """学習に使わないデータで評価し、平均の損失と正解率を表示して返す。

    計算グラフは作りません。モデルは、呼び出す前のモード（訓練または評価）に戻ります。

    Parameters
    ----------
    model
        評価するモデル。
    device
        計算に使うデバイス。モデルのパラメータもここに置いておきます。
    test_loader
        画像 ``(N, 1, 28, 28)`` （float32）と正解 ``(N,)`` （int64）の組を返すもの。
    criterion
        ミニバッチの平均を返す損失関数。
    epoch
        表示に使うエポックの番号。

    Returns
    -------
    tuple of float
        画像1枚あたりの平均の損失と、正解率（単位は%）。

    Raises
    ------
    ZeroDivisionError
        ``test_loader`` が空のとき。

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> from entering_pytorch import mnist
    >>> _ = torch.manual_seed(0)
    >>> dataset = TensorDataset(torch.randn(8, 1, 28, 28), torch.arange(8))
    >>> loader = DataLoader(dataset, batch_size=3)
    >>> model = mnist.Net()
    >>> loss, accuracy = mnist.test(model, torch.device("cpu"), loader, nn.NLLLoss(), epoch=0)
    Epoch 0: Test loss 2.3..., Accuracy ... %
    >>> model.training
    True
    """
    was_training = model.training
    model.eval()
    total_loss = 0.0
    correct = 0
    total = 0
    progress = tqdm(test_loader, desc=f"Epoch {epoch}: Test", leave=False)
    for data, target in progress:
        data, target = data.to(device), target.to(device)
        output = model(data)
        total_loss += criterion(output, target).item() * len(data)
        correct += (output.argmax(dim=1) == target).sum().item()
        total += len(data)
    model.train(was_training)
    test_loss = total_loss / total
    accuracy = 100 * correct / total
    print(f"Epoch {epoch}: Test loss {test_loss:.4f}, Accuracy {accuracy:.2f} %")
    return test_loss, accuracy


def save_weights(model: nn.Module, path: str | Path) -> None:
    """モデルの重みを ``path`` に保存する。

    隣の一時ファイルに書き終えてから名前を変えるので、書きかけのファイルは残りません。

    Raises
    ------
    OSError, RuntimeError
        書き込めないとき。もとからあるファイルは変わりません。

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import torch
    >>> from entering_pytorch.mnist import Net, save_weights
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "mnist.pt"
    ...     save_weights(Net(), path)
    ...     state_dict = torch.load(path, weights_only=True)
    >>> list(state_dict)[0]
    'base_net.0.weight'
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        torch.save(model.state_dict(), temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def positive_int(text: str) -> int:
    """1以上の整数を読む。ほかの文字列なら :py:exc:`ValueError` を出す。"""
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def seed_int(text: str) -> int:
    """乱数のシードになる整数を読む。ほかの文字列なら :py:exc:`ValueError` を出す。"""
    value = int(text)
    if not 0 <= value < 2**63:
        raise ValueError(text)
    return value


def positive_float(text: str) -> float:
    """0より大きい有限の数を読む。ほかの文字列なら :py:exc:`ValueError` を出す。"""
    value = float(text)
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(text)
    return value


def usable_device(text: str) -> torch.device:
    """この環境で計算できるデバイスを読む。ほかの文字列なら :py:exc:`ValueError` を出す。"""
    try:
        device = torch.device(text)
        torch.zeros(1, device=device).item()  # 実際に使ってみる
    except Exception as error:  # 使えない理由により、例外の種類はさまざま
        raise ValueError(text) from error
    return device


def writable_path(text: str) -> Path:
    """ファイルを書き込めるパスを読む。ほかの文字列なら :py:exc:`ValueError` を出す。"""
    path = Path(text)
    trial = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        if path.exists() and not path.is_file():
            raise ValueError(text)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise ValueError(text) from error
    return path


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """コマンドラインのオプションを読む。正しくなければ、一文で知らせて終わる。"""
    parser = argparse.ArgumentParser(
        usage=argparse.SUPPRESS,
        description="使い方: python mnist.py [オプション]\n\n手書き数字の分類を学習します。",
        # 全角の文字があると桁が揃わないので、説明は次の行に置く
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
            prog, max_help_position=6
        ),
        add_help=False,
        allow_abbrev=False,
        exit_on_error=False,
    )
    # （名前、値の読み方、既定値、値の説明、オプションの説明）
    table = [
        ("--epochs", positive_int, 5, "1以上の整数", "訓練データを何巡するか（既定値は5）"),
        ("--batch-size", positive_int, 100, "1以上の整数", "一度に使う画像の枚数（既定値は100）"),
        ("--lr", positive_float, 0.001, "0より大きい数", "学習率（既定値は0.001）"),
        ("--seed", seed_int, 0, "0以上の整数", "乱数のシード（既定値は0、2の63乗未満）"),
        ("--data", Path, Path("data"), "フォルダー", "MNISTを置くフォルダー（既定値はdata）"),
        (
            "--device",
            usable_device,
            None,
            "この環境で使えるデバイス",
            "cpu、cudaなど（既定は自動）",
        ),
        ("--save-model", writable_path, None, "書き込めるファイル", "学習した重みの保存先"),
    ]
    options = parser.add_argument_group("オプション")
    for name, read, default, value, text in table:
        options.add_argument(name, type=read, default=default, metavar=value, help=text)
    options.add_argument("-h", "--help", action="help", help="この説明を表示して終わる")

    wanted = {name: value for name, _, _, value, _ in table}
    try:
        args, unknown = parser.parse_known_args(argv)
    except argparse.ArgumentError as error:
        name = error.argument_name
        sys.exit(f"{name}には、{wanted.get(name, '正しい値')}を指定してください。")
    if unknown:
        sys.exit(f"{unknown[0]}というオプションはありません。--helpで一覧を表示できます。")
    return args


def main(argv: list[str] | None = None) -> None:
    """データを用意し、学習と評価をエポックの数だけ繰り返す。

    Parameters
    ----------
    argv
        コマンドラインのオプション。省略すると ``sys.argv`` から読みます。

    Raises
    ------
    SystemExit
        オプションが正しくないとき、データを用意できないとき、重みを保存できないとき。

    Examples
    --------
    >>> from entering_pytorch.mnist import main
    >>> main(["--epochs", "0"])
    Traceback (most recent call last):
    ...
    SystemExit: --epochsには、1以上の整数を指定してください。
    """
    args = parse_args(argv)
    torch.manual_seed(args.seed)

    device = torch.device("cpu")
    if args.device is not None:
        device = args.device
    elif torch.accelerator.is_available():
        device = torch.accelerator.current_accelerator()

    transform = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]
    )
    try:
        train_data = datasets.MNIST(args.data, train=True, download=True, transform=transform)
        test_data = datasets.MNIST(args.data, train=False, download=True, transform=transform)
    except (OSError, RuntimeError, ValueError, AssertionError):
        sys.exit(
            f"MNISTを{args.data}に用意できませんでした。"
            "ネットワークにつないでもう一度実行するか、"
            "データのあるフォルダーを--dataで指定してください。"
        )
    train_loader = DataLoader(train_data, batch_size=args.batch_size, shuffle=True)
    test_loader = DataLoader(test_data, batch_size=args.batch_size)

    model = Net().to(device)
    optimizer = optim.Adam(model.parameters(), lr=args.lr)
    criterion = nn.NLLLoss()

    for epoch in range(args.epochs):
        train(model, device, train_loader, optimizer, criterion, epoch)
        test(model, device, test_loader, criterion, epoch)

    if args.save_model is not None:
        try:
            save_weights(model, args.save_model)
        except (OSError, RuntimeError):
            sys.exit(f"重みを{args.save_model}に保存できませんでした。空き容量を確かめてください。")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("\n中断しました。", file=sys.stderr)
        sys.exit(130)
