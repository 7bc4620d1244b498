"use strict";

/** 畳まれていたコードが開いたとき、横に動くものを、キーボードでも動かせるようにする。 */
document.addEventListener(
  "toggle",
  (event) => {
    for (const code of event.target.querySelectorAll("pre")) {
      if (code.scrollWidth > code.clientWidth || code.scrollHeight > code.clientHeight) code.tabIndex = 0;
    }
  },
  true,
);
