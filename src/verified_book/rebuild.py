"""失敗した組み立ては、直すまで何度でも失敗させるSphinx拡張。

Sphinxは読み終えたページを覚えておくので、警告で失敗した組み立てをもう一度行うと成功してしまう。
始めに印を置き、成功したときだけ消す。印が残っていたら（失敗しても、途中で止められても）全部読み直す。
このパッケージのコードが変わったときも、前の組み立てのページは使わない。消した章のページも、残さない。
読み直すページが少なければ、プロセスを分けない。分けて結果を送り返すほうが、時間がかかる。
"""

import hashlib
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

MARK = "unfinished"
FEW = 5  # 読み直すページがこれより多ければ、プロセスを分けて読み、書く


def _begin(app: Sphinx) -> None:
    mark = Path(app.doctreedir) / MARK
    if mark.exists():
        # 環境は作り直すが、実行結果は残るので、セルは動かない
        app.env.all_docs.clear()
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


def _alone(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    if 0 < len(docnames) <= FEW:  # 読み直さずに、EPUBなどのすべてのページを書くこともある
        app.parallel = 1


def _end(app: Sphinx, exception: Exception | None) -> None:
    # 終了状態はこの後で決まるので、警告の数を見る（-W では警告が一つでもあれば失敗になる）
    if exception is None and app._warncount == 0:
        (Path(app.doctreedir) / MARK).unlink(missing_ok=True)


def _remove_left_pages(app: Sphinx, exception: Exception | None) -> None:
    if exception or app.builder.name != "html":
        return
    site = Path(app.outdir)
    made = {"search", "404"} | ({"genindex"} if app.config.html_use_index else set())
    kept = {f"{name}.html" for name in made | set(app.env.all_docs)}
    for path in site.rglob("*.html"):
        name = path.relative_to(site).as_posix()
        left = not name.startswith("_") and name not in kept
        if left and not (app.config.html_domain_indices and name.endswith("index.html")):
            path.unlink()


def _code() -> str:
    here = Path(__file__).parent
    folders = [here, *(f for f in here.iterdir() if f.is_dir() and f.name != "node_modules")]
    files = sorted(path for folder in folders for path in folder.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def setup(app: Sphinx) -> dict[str, object]:
    app.add_config_value("rebuild_code", _code(), "env", types=str)
    app.connect("builder-inited", _begin)
    app.connect("env-before-read-docs", _alone)
    app.connect("build-finished", _remove_left_pages)  # 素材をまとめる前
    app.connect("build-finished", _end, priority=999)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
