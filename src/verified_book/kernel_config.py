"""章を実行するカーネルの設定（IPythonの設定ファイル）。読者のスクリプトと同じ形の出力にする。"""

c = get_config()  # type: ignore[name-defined]  # noqa: F821  IPythonが与える

# 読者が `python file.py` で見るものと同じ、短いトレースバック
c.InteractiveShell.xmode = "Plain"
c.InteractiveShell.colors = "nocolor"
# 利用者の履歴や設定を読まず、書かない
c.HistoryManager.enabled = False
# 図はSVG。日付も乱数も入れず、同じ図はいつも同じファイルになる
c.InlineBackend.figure_formats = {"svg"}
c.InlineBackend.rc = {"svg.hashsalt": "book"}
c.InlineBackend.print_figure_kwargs = {"bbox_inches": "tight", "metadata": {"Date": None}}
