"""わざと誤りを植え、本の検証がそれを一つ残らず見つけるかを確かめるコマンドとSphinx拡張。

``python -m verified_book.mutants`` は、誤りを当てはまるすべての場所に一つずつ植え、
種類ごとに「見つけた数 of 植えた数」と、見つからなかった誤りの場所を表示する。
拡張は、最後に全部を確かめたときの数を載せる ``{mutants}`` をページに加える。
"""

from verified_book.mutants.page import setup

__all__ = ["setup"]
