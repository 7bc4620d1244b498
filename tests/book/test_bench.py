"""測った値の表：中央値、範囲、比、途中で止めても残る記録、ページの表。"""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup
from small_book import ROOT, SmallBook

BENCHMARKS = ROOT / "tests/benchmarks"
CONDITIONS = {
    "date": "2026-01-02",
    "processor": "P",
    "cores": 2,
    "load": 0.1,
    "versions": {"python": "3.11.7", "torch": "2.15.0"},
}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench

    monkeypatch.setattr(bench, "FILES", (tmp_path / "docs.json", tmp_path / "build/bench.json"))
    monkeypatch.setattr(bench, "conditions", lambda: CONDITIONS)
    return bench


def parts(bench) -> dict[str, dict]:
    first, second = (path.read_text("utf-8") for path in bench.FILES)
    assert first == second
    return {part["name"]: part for part in json.loads(first)["parts"]}


def test_a_row_shows_medians_ranges_and_the_ratio_of_pairs(bench) -> None:
    row = bench.Row("学習", "秒", [1.0, 2.0, 4.0], "plain", [10.0, 18.0, 44.0])
    # 比は組ごと：10、9、11。中央値どうしの比（9）ではない
    assert row.cells() == (
        "学習（秒）",
        "2.00 (1.00–4.00)",
        "plain 18.00 (10.00–44.00)",
        "10.00 (9.00–11.00)",
    )
    alone = bench.Row("重さ", "KB", [1234.5])
    assert alone.cells() == ("重さ（KB）", "1,234", "", "")
    points = bench.Row("正解率", "%", [99.2, 99.1], "plain", [99.0, 99.1], smaller=False)
    assert points.ratio() == ""


def test_values_that_were_not_taken_in_pairs_are_refused(bench) -> None:
    with pytest.raises(ValueError, match="zip"):
        bench.Row("学習", "秒", [1.0, 2.0], "plain", [10.0]).ratio()


def test_a_part_is_measured_again_and_the_others_stay(bench, monkeypatch) -> None:
    seconds = iter([1.0, 2.0, 3.0])

    def measure(*names: str):
        return [bench.Row("".join(names) or "全部", "秒", [next(seconds)])], {"道具": "1.0"}

    monkeypatch.setattr(bench, "import_module", lambda name: SimpleNamespace(measure=measure))
    assert bench.main(["build"]) == 0
    assert bench.main(["page", "tensor"]) == 0
    assert bench.main(["build"]) == 0
    found = parts(bench)
    assert list(found) == ["build", "page"]
    assert found["build"]["rows"][0]["ours"] == [3.0]
    assert found["page"]["rows"][0]["cells"] == ["tensor（秒）", "2.00", "", ""]
    assert found["page"]["date"] == "2026-01-02"


def test_what_was_measured_before_a_failure_stays(bench, monkeypatch) -> None:
    def module(name: str):
        def measure():
            if name != "training":
                raise KeyboardInterrupt
            return [bench.Row("学習", "秒", [1.0])], {}

        return SimpleNamespace(measure=measure)

    monkeypatch.setattr(bench, "import_module", module)
    with pytest.raises(KeyboardInterrupt):
        bench.main([])
    assert list(parts(bench)) == ["training"]


def test_an_unknown_part_is_refused(bench, capsys) -> None:
    assert bench.main(["trainig"]) == 1
    assert capsys.readouterr().err.startswith("測れるのは、training、build、")
    assert not bench.FILES[0].exists()


@pytest.mark.parametrize("words", [["build", "x"], ["training", "1", "1", "1"]])
def test_too_many_words_are_refused_before_anything_runs(words, bench, capsys) -> None:
    assert bench.main(words) == 1
    assert capsys.readouterr().err == f"{words[0]}に渡す引数が多すぎます。\n"


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", "２", ""])
def test_a_number_of_rounds_is_a_positive_integer(text: str, bench) -> None:
    with pytest.raises(SystemExit, match="1以上の整数を指定してください"):
        bench.main(["training", text])
    assert not any(path.exists() for path in bench.FILES)


def test_what_was_committed_last_is_added_to(bench, monkeypatch) -> None:
    def module(name: str):
        return SimpleNamespace(measure=lambda: ([bench.Row(name, "秒", [1.0])], {}))

    monkeypatch.setattr(bench, "import_module", module)
    bench.main(["build"])
    text = bench.FILES[0].read_text("utf-8")
    bench.main(["page"])
    bench.FILES[0].write_text(text, "utf-8")  # ほかの人が測ったものを受け取った
    bench.main(["search"])
    assert list(parts(bench)) == ["build", "search"]


def test_every_part_has_its_module(bench) -> None:
    assert all((BENCHMARKS / f"{name}.py").is_file() for name, _ in bench.PARTS)


def test_the_page_shows_the_table_without_empty_columns(book: SmallBook) -> None:
    row = {"cells": ["学習（秒）", "1.00", "", ""]}
    part = {"name": "training", "title": "学習の部", **CONDITIONS, "others": {"x": "y"}}
    data = {"parts": [part | {"rows": [row]}]}
    book.write("```{bench} bench.json\n```\n", head="# 章\n\n")
    with (book.root / "conf.py").open("a") as conf:
        conf.write('extensions += ["verified_book.bench_table"]\n')
    (book.root / "docs/bench.json").write_text(json.dumps(data), "utf-8")
    run = book.html()
    assert run.status == 0, run.text
    page = BeautifulSoup((book.root / "_build/html/chapter.html").read_text("utf-8"), "html.parser")
    section = page.find("section", id="bench-training")
    assert section.h2.get_text().startswith("学習の部")
    assert "2026-01-02に、Pの2コアで測りました" in section.p.get_text()
    assert [cell.get_text() for cell in section.table("th")] == ["測ったもの", "この本"]
    assert [cell.get_text() for cell in section.table("td")] == ["学習（秒）", "1.00"]
