"""``make latex`` の結果から、LuaLaTeXでPDFを作るコマンド。

``python -m verified_book.pdf check`` は、要るプログラムとパッケージがそろっているかだけを確かめる。
"""

import shutil
import subprocess
import sys
from pathlib import Path

NAME = "EnteringPyTorch"
SOURCE, TARGET = Path("_build/latex"), Path("_build/pdf")
PROGRAMS = {"lualatex": "texlive-luatex", "latexmk": "latexmk", "rsvg-convert": "librsvg2-bin"}
TEX_FILES = {
    "ltjsbook.cls": "texlive-lang-japanese",
    "HaranoAjiMincho-Regular.otf": "texlive-lang-japanese",
    "tabulary.sty": "texlive-latex-extra",
    "pgf.sty": "texlive-latex-recommended",
}
FONTS = {"DejaVuSansMono.ttf": "fonts-dejavu-core"}


def missing() -> dict[str, str]:
    """足りないものと、それを入れるDebianのパッケージ。"""
    lacking = {name: deb for name, deb in PROGRAMS.items() if shutil.which(name) is None}
    for name, package in (TEX_FILES | FONTS).items():
        if shutil.which("kpsewhich") is None or not _finds(name):
            lacking[name] = package
    return lacking


def _finds(name: str) -> bool:
    return bool(subprocess.run(["kpsewhich", name], capture_output=True).stdout.strip())


def advice(lacking: dict[str, str]) -> str:
    """足りないものを入れるコマンドを示す文。

    Examples
    --------
    >>> advice({"latexmk": "latexmk"}).partition("sudo")[0]
    'PDFを作るのに要るlatexmkがないので、'
    """
    packages = " ".join(sorted(set(lacking.values())))
    return (
        f"PDFを作るのに要る{'、'.join(lacking)}がないので、"
        f"sudo apt-get install -y --no-install-recommends {packages} を実行してください。"
    )


def typeset() -> str | None:
    """PDFを組み、組めなければ、その理由を返す。途中のものは ``TARGET`` に残さない。"""
    TARGET.mkdir(parents=True, exist_ok=True)
    (TARGET / f"{NAME}.pdf").unlink(missing_ok=True)
    command = ["latexmk", "-lualatex", "-interaction=nonstopmode", "-halt-on-error", "-silent"]
    done = subprocess.run([*command, f"{NAME}.tex"], cwd=SOURCE, capture_output=True, text=True)
    log = SOURCE / f"{NAME}.log"
    lines = log.read_text("utf-8", errors="replace").splitlines() if log.is_file() else []
    if done.returncode:
        start = next((i for i, line in enumerate(lines) if line.startswith("!")), len(lines) - 20)
        return "\n".join(["PDFを組めません。", *lines[start : start + 20]])
    broken = [line for line in lines if "Hyper reference" in line]
    if broken:
        return "\n".join(["PDFの中のリンクに、行き先がありません。", *broken])
    lost = sorted({line for line in lines if line.startswith("Missing character")})
    if lost:
        return "\n".join(["PDFの書体にない字があります。", *lost])
    (SOURCE / f"{NAME}.pdf").replace(TARGET / f"{NAME}.pdf")
    return None


def main(arguments: list[str]) -> int:
    lacking = missing()
    if lacking:
        print(advice(lacking), file=sys.stderr)
        return 1
    problem = None if arguments == ["check"] else typeset()
    if problem:
        print(problem, file=sys.stderr)
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
