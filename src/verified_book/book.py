"""本の設定：pyproject.tomlの ``[tool.verified_book]`` を、どのコマンドも同じように読む。"""

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Book:
    """本の場所と実行条件。

    Parameters
    ----------
    root : Path
        pyproject.tomlのあるフォルダー。以下のパスはすべてここからの相対パス。
    chapters : str
        章のMarkdownを置くフォルダー。
    sources : str
        章がimportするパッケージを置くフォルダー。
    cache : str
        実行結果を置くフォルダー。
    inputs : tuple of str
        セルの作業フォルダーから見えるファイルとフォルダー。
    digest : tuple of str
        内容が変われば再実行するデータ（globのパターン）。
    versions : tuple of str
        版が変われば再実行する配布パッケージの名前。
    threads : int
        1章の計算が使うスレッドの数。
    """

    root: Path
    chapters: str = "docs"
    sources: str = "src"
    cache: str = "_build/executed"
    inputs: tuple[str, ...] = ()
    digest: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    threads: int = 1

    @classmethod
    def load(cls, root: Path) -> "Book":
        """``root`` のpyproject.tomlから読む。知らない項目はTypeErrorになる。"""
        settings = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
        table = settings.get("tool", {}).get("verified_book", {})
        frozen = {key: tuple(v) if isinstance(v, list) else v for key, v in table.items()}
        return cls(root=root.resolve(), **frozen)

    def chapter_paths(self) -> list[Path]:
        """章の候補（Markdownファイル）を名前順に返す。"""
        return sorted((self.root / self.chapters).rglob("*.md"))

    def name(self, path: Path) -> str:
        """``docs/start/tensor.md`` のように、``root`` から見た名前を返す。"""
        return path.resolve().relative_to(self.root).as_posix()
