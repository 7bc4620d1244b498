"""サイトの中のリンクとアンカーが、すべて行き先を持つか。"""

import subprocess
import sys
from pathlib import Path

LYCHEE = Path(sys.executable).with_name("lychee")


def broken_links(site: Path) -> list[str]:
    """行き先のない、サイトの中のリンク。404のページは公開時の番地で書かれるので除く。"""
    pages = [p for p in sorted(site.rglob("*.html")) if p.name != "404.html"]
    pages = [p for p in pages if "_static" not in p.parts]  # テーマの部品
    done = subprocess.run(
        [LYCHEE, "--offline", "--include-fragments", "--no-progress", "--format=json", *pages],
        capture_output=True,
        text=True,
    )
    lines = [line.strip() for line in done.stdout.splitlines() if '"url": "file:' in line]
    assert done.returncode == 0 or lines, done.stderr
    return lines if done.returncode else []


def test_every_internal_link_has_its_target(site: Path) -> None:
    assert broken_links(site) == []


def test_broken_link_and_anchor_are_found(site_copy: Path) -> None:
    index = site_copy / "index.html"
    links = '<a href="start/nowhere.html">a</a><a href="start/tensor.html#nowhere">b</a></main>'
    index.write_text(index.read_text("utf-8").replace("</main>", links, 1), "utf-8")
    (site_copy / "start" / "about_pytorch.html").unlink()
    found = "\n".join(broken_links(site_copy))
    for target in ("nowhere.html", "tensor.html#nowhere", "about_pytorch.html"):
        assert target in found
