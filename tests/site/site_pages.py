"""組み立てたサイトのページの一覧。"""

from pathlib import Path


def names_of(site: Path) -> list[str]:
    """ファイルとして開けるページ。404のページは、公開された番地から素材を読むので除く。"""
    pages = (path for path in site.rglob("*.html") if "_static" not in path.parts)
    return sorted(str(p.relative_to(site)) for p in pages if p.name != "404.html")
