"use strict";

/**
 * 横に動くコードや表を、キーボードでも動かせるようにする。
 *
 * テーマも同じことをするが、開いたときに全部の大きさを測って、長い章の表示を待たせる。
 * ここでは、読者が近づいたものだけを測る。
 */
(() => {
  const SCROLLING = "pre, .cell_output > .output, .pst-scrollable-table-container";

  /** 大きさをまとめて読んでから、まとめて書く。 */
  const measure = (boxes) => {
    const wide = boxes.map((box) => box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight);
    boxes.forEach((box, index) => {
      if (wide[index]) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    });
  };

  const near = new IntersectionObserver(
    (entries) => measure(entries.filter((entry) => entry.isIntersecting).map((entry) => entry.target)),
    { rootMargin: "50%" },
  );
  const watch = () => {
    near.disconnect();
    document.querySelectorAll(SCROLLING).forEach((box) => near.observe(box));
  };

  let waiting;
  addEventListener("load", watch);
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(watch, 300);
  });
})();

/** 長い章で、右の目次を、読んでいるところまで動かす。 */
(() => {
  const list = document.getElementById("pst-page-toc-nav");
  const box = list?.closest(".bd-sidebar-secondary");
  const beside = matchMedia("(min-width: 1200px)"); // 狭い画面では、目次は隠れている
  if (!box) return;
  const follow = () => {
    const link = [...list.querySelectorAll(".nav-link.active")].at(-1);
    if (!link || !beside.matches) return;
    const [inside, around] = [link.getBoundingClientRect(), box.getBoundingClientRect()];
    const margin = around.height / 4;
    if (inside.top < around.top + margin || inside.bottom > around.bottom - margin)
      box.scrollTop += inside.top - around.top - around.height / 2; // ページは動かさない
  };
  new MutationObserver(follow).observe(list, { attributeFilter: ["class"], subtree: true });
})();

/** 暗い配色で読んでいても、明るい配色で印刷する。 */
(() => {
  const root = document.documentElement;
  let theme;
  addEventListener("beforeprint", () => {
    theme = root.dataset.theme;
    root.dataset.theme = "light";
  });
  addEventListener("afterprint", () => {
    root.dataset.theme = theme;
  });
})();
