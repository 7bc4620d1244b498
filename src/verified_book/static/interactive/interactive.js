/**
 * 動かせる図の、共通の部分。
 *
 * 読者が図に近づいたら、その種類のCSSとスクリプトを一度だけ読み込み、静止した図と入れ替える。
 * 読み込みや描画に失敗したら、静止した図のままにする。
 * 種類のスクリプトは`interactive.define("種類", (root, data, tools) => { … })`で登録する。
 */
(function () {
  'use strict';

  const SITE = `${document.documentElement.dataset.content_root || ''}_static/`;
  const FOLDER = `${SITE}interactive/`;
  const NEAR = '400px'; // 画面の外の、この距離まで近づいたら読み込む
  const SVG = 'http://www.w3.org/2000/svg';

  /** @type {Map<string, (root: HTMLElement, data: any, tools: object) => void>} */
  const kinds = new Map();
  /** @type {Map<string, Promise<void>>} */
  const loading = new Map();
  let groups = 0;

  // -- 部品：図を書く人が使う ------------------------------------------------

  /**
   * HTMLの要素を作る。`on`で始まる属性は、出来事の処理。値が`false`か`null`の属性は付けない。
   * @param {string} tag @param {object} [attributes] @param {...(Node|string)} children
   */
  function element(tag, attributes, ...children) {
    return fill(document.createElement(tag), attributes, children);
  }

  /** SVGの要素を作る。引数は`element`と同じ。 */
  function svg(tag, attributes, ...children) {
    return fill(document.createElementNS(SVG, tag), attributes, children);
  }

  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
      else if (value !== false && value != null) node.setAttribute(name, value === true ? '' : value);
    }
    node.append(...children);
    return node;
  }

  /** 数を、負の符号を全角幅のマイナスにして、短く書く。 */
  function number(value) {
    return String(Number(value.toPrecision(6))).replace('-', '−');
  }

  /** 動きを見せてよいか（読者が動きを減らす設定にしていないか）。 */
  function moves() {
    return !window.matchMedia('(prefers-reduced-motion: reduce)').matches;
  }

  /** 変わるたびに読み上げられる文。`say(文)`で書き換える。文の中の`…`はコードになる。 */
  function message() {
    const node = element('p', { class: 'interactive-message', 'aria-live': 'polite' });
    const say = (text) => node.replaceChildren(...text.split('`').map((part, index) =>
      (index % 2 ? element('code', {}, part) : part)));
    return { node, say };
  }

  /** ボタン。 */
  function button(label, onclick, attributes) {
    return element('button', { type: 'button', class: 'interactive-button', onclick, ...attributes }, label);
  }

  /**
   * 一つを選ぶ、横に並んだ選択肢。矢印キーでも選べる。読み上げる名前を`spoken`で変えられる。
   * @param {{label: string, spoken?: string, options: {value: string, label: string}[], value: string,
   *   onchange: (value: string) => void, class?: string}} settings
   */
  function choices({ label, spoken = label, options, value, onchange, class: name }) {
    const id = `interactive-choices-${(groups += 1)}`;
    const items = options.map((option) => element('label', { class: 'interactive-choice' },
      element('input', {
        type: 'radio', name: id, value: option.value, checked: option.value === value,
        onchange: () => onchange(option.value),
      }),
      element('span', {}, option.label)));
    return element('div', { class: `interactive-choices ${name || ''}`, role: 'radiogroup', 'aria-label': spoken },
      element('span', { class: 'interactive-label', 'aria-hidden': 'true' }, label), ...items);
  }

  /** 入り切りのできる設定。 */
  function toggle(label, checked, onchange) {
    const box = element('input', { type: 'checkbox', checked, onchange: () => onchange(box.checked) });
    return element('label', { class: 'interactive-toggle' }, box, element('span', {}, label));
  }

  /**
   * 段を一つずつ進めたり戻したりする。ボタン、つまみ、左右の矢印キーで動く。
   * @param {{label: string, count: number, start?: number, onstep: (index: number) => void}} settings
   * @returns {{node: HTMLElement, go: (index: number) => void}}
   */
  function steps({ label, count, start = 0, onstep }) {
    let index = -1;
    const back = button('前へ', () => go(index - 1));
    const forward = button('次へ', () => go(index + 1), { class: 'interactive-button is-primary' });
    const slider = element('input', {
      type: 'range', min: 1, max: count, step: 1, 'aria-label': label,
      oninput: () => go(slider.valueAsNumber - 1),
    });
    const place = element('span', { class: 'interactive-place', 'aria-hidden': 'true' });

    function go(wanted) {
      const next = Math.min(Math.max(wanted, 0), count - 1);
      if (next === index) return;
      index = next;
      slider.value = index + 1;
      slider.setAttribute('aria-valuetext', `${count}段のうち${index + 1}段目`);
      place.textContent = `${index + 1}／${count}`;
      back.setAttribute('aria-disabled', index === 0);
      forward.setAttribute('aria-disabled', index === count - 1);
      onstep(index);
    }

    const node = element('div', {
      class: 'interactive-steps', role: 'group', 'aria-label': label,
      onkeydown: (event) => {
        const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (move && event.target !== slider) {
          event.preventDefault();
          go(index + move);
        }
      },
    }, back, slider, place, forward);
    go(start);
    return { node, go };
  }

  const tools = { site: SITE, element, svg, number, moves, message, button, choices, toggle, steps };

  // -- 図：近づいたら読み込み、入れ替える --------------------------------------

  function load(kind) {
    if (!loading.has(kind)) {
      const style = element('link', { rel: 'stylesheet', href: `${FOLDER}${kind}.css` });
      const script = element('script', { src: `${FOLDER}${kind}.js` });
      const both = [style, script].map((node) => new Promise((done, failed) => {
        node.addEventListener('load', done);
        node.addEventListener('error', () => failed(new Error(`${node.src || node.href}が読めません`)));
        document.head.append(node);
      }));
      loading.set(kind, Promise.all(both).then(() => {
        if (!kinds.has(kind)) throw new Error(`図の種類${kind}が登録されていません`);
      }));
    }
    return loading.get(kind);
  }

  function replace(figure) {
    const source = figure.querySelector('script.interactive-data');
    const still = [...figure.children].filter((child) => !child.matches('script, noscript'));
    const caption = figure.closest('figure').querySelector('figcaption .caption-text');
    const root = element('div', { class: 'interactive', role: 'group', 'aria-label': caption.textContent });
    figure.prepend(root);
    try {
      kinds.get(figure.dataset.kind)(root, JSON.parse(source.textContent), tools);
    } catch (error) {
      root.remove();
      throw error;
    }
    for (const node of still) node.classList.add('interactive-still');
    figure.dataset.state = 'live';
  }

  async function open(figure) {
    try {
      await load(figure.dataset.kind);
      replace(figure);
    } catch (error) {
      figure.dataset.state = 'still';
      console.warn(`図を動かせないので、静止した図のままにします：${error.message}`);
    }
  }

  function watch() {
    const observer = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        if (isIntersecting) {
          observer.unobserve(target);
          open(target);
        }
      }
    }, { rootMargin: NEAR });
    document.querySelectorAll('.interactive-figure').forEach((figure) => observer.observe(figure));
  }

  window.interactive = { define: (kind, draw) => kinds.set(kind, draw) };
  if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', watch);
  else watch();
})();
