"""使い終えたメモリをOSに返さず、次のミニバッチで使い回す。"""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibcのmalloc.hの定数
LARGE = 32 * 2**20  # バイト。glibcが受け付ける、M_MMAP_THRESHOLDの最大値


def keep_freed_memory() -> bool:
    """32 MiBより小さいテンソルのメモリを、使い終えてもOSに返さずに残すようにする。

    何もしなければ、大きなテンソルを作るたびに、OSが新しいページを0で埋めて渡します。学習では
    同じ大きさのテンソルを何度も作るので、その時間が積み重なります。glibcの ``mallopt`` で
    設定します（https://man7.org/linux/man-pages/man3/mallopt.3.html）。

    Returns
    -------
    bool
        設定できたかどうか。glibcのLinuxでなければ、何もせずにFalseを返します。設定すると、
        プロセスは、いちばん多く使ったときのメモリを持ち続けます。

    Examples
    --------
    >>> from entering_pytorch.memory import keep_freed_memory
    >>> keep_freed_memory() in (True, False)
    True
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        return False
    return bool(libc.mallopt(M_MMAP_THRESHOLD, LARGE) and libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
