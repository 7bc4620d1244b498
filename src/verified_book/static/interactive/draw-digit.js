/**
 * 数字を書くと、章が学習したモデルが、ブラウザーの中で答える。
 *
 * データ：`files`（`mnist.onnx`の名前）、`mean`と`std`（入力の正規化）、`samples`（見本の画像。
 * 28×28画素の明るさ0から255を、base64で）。モデルは`image`（1, 1, 28, 28）を受け取り、
 * `log_probs`（1, 10）と、最初の畳み込みの出力`maps`（1, 20, 24, 24）を返す。
 * モデルと、それを動かすonnxruntime-webは、読者が初めて書くか見本を選んだときに読み込む。
 */
window.interactive.define('draw-digit', (root, data, tools) => {
  'use strict';
  const { element } = tools;
  const PAD = 280; // 書く枠の一辺
  const BRUSH = 18; // 書く枠での線の太さ
  const [SIDE, BOX] = [28, 20]; // MNISTの画像の一辺と、数字を収める四角の一辺（画素）
  const PEN = 2.2; // MNISTの画像での線の太さ（画素）
  const FINE = 8; // 線の縁をなめらかにするため、この倍率で描いてから縮める
  const WIDE = FINE * SIDE;
  const SMALLEST = PAD / 4; // これより小さく書いた字（点など）は、広げすぎない
  const MAP = 24;
  const digits = [...Array(10).keys()];

  let strokes = [];
  let sample = null; // 選ばれた見本の番号
  let values = null; // モデルの見る画像。何も書かれていなければnull
  let session = null; // 読み込み中はPromise
  let busy = false;
  let again = false;
  let ended = 0; // 最後の一画を書き終えた時刻
  let waiting = 0; // 次の画面の更新で描く約束

  // -- 部品 ------------------------------------------------------------------

  const pad = element('canvas', {
    class: 'pad', width: PAD, height: PAD, role: 'img', 'aria-label': '数字を書く枠',
    onpointerdown: begin, onpointermove: follow, onpointerup: end, onpointercancel: end,
  });
  const seen = element('canvas', {
    class: 'seen', width: SIDE, height: SIDE, role: 'img', 'aria-label': 'モデルの見る28×28画素の画像',
  });
  const maps = element('canvas', {
    class: 'maps', width: 5 * (MAP + 1) - 1, height: 4 * (MAP + 1) - 1, role: 'img',
    'aria-label': '最初の畳み込みの、20枚の出力',
  });
  const fine = element('canvas', { width: WIDE, height: WIDE })
    .getContext('2d', { willReadFrequently: true });
  const rows = digits.map((digit) => {
    const bar = element('span', { class: 'bar' });
    const share = element('span', { class: 'share' });
    return { bar, share, node: element('li', {}, element('span', { class: 'digit' }, String(digit)), bar, share) };
  });
  const message = tools.message();
  const undo = tools.button('一画戻す', () => change(() => strokes.pop()));
  const clear = tools.button('消す', () => change(() => { strokes = []; }));
  const picker = tools.choices({
    label: '見本',
    class: 'picker',
    options: digits.map((digit) => ({ value: String(digit), label: String(digit) })),
    value: null,
    onchange: (value) => {
      strokes = [];
      sample = Number(value);
      ended = performance.now();
      draw();
    },
  });

  // -- 書く ------------------------------------------------------------------

  /** 枠の中の場所。枠は画面の幅に合わせて縮む。 */
  function place(event) {
    const box = pad.getBoundingClientRect();
    return { x: (event.clientX - box.left) * PAD / box.width, y: (event.clientY - box.top) * PAD / box.height };
  }

  function begin(event) {
    if (event.button) return;
    event.preventDefault();
    pad.setPointerCapture(event.pointerId);
    change(() => strokes.push([place(event)]));
  }

  function follow(event) {
    if (!pad.hasPointerCapture(event.pointerId)) return;
    const events = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    strokes.at(-1).push(...(events.length ? events : [event]).map(place));
    waiting = waiting || requestAnimationFrame(draw);
  }

  function end(event) {
    if (!pad.hasPointerCapture(event.pointerId)) return;
    pad.releasePointerCapture(event.pointerId);
    ended = performance.now();
    draw();
  }

  function change(edit) {
    edit();
    if (sample !== null) picker.querySelector('input:checked').checked = false;
    sample = null;
    ended = 0;
    draw();
  }

  // -- 描く ------------------------------------------------------------------

  /** 線を、`scale`倍して、枠の点`from`が`to`に来るように描く。 */
  function line(context, color, width, scale, from, to) {
    context.setTransform(scale, 0, 0, scale, to.x - scale * from.x, to.y - scale * from.y);
    Object.assign(context, {
      strokeStyle: color, lineWidth: width / scale, lineCap: 'round', lineJoin: 'round',
    });
    context.beginPath();
    for (const [first, ...rest] of strokes) {
      context.moveTo(first.x, first.y);
      (rest.length ? rest : [first]).forEach(({ x, y }) => context.lineTo(x, y));
    }
    context.stroke();
    context.setTransform(1, 0, 0, 1, 0, 0);
  }

  /** 28×28の明るさ（0から1）を、濃さで描く。 */
  function shade(context, shades, side, left, top, most) {
    const image = context.createImageData(side, side);
    const [red, green, blue] = ink();
    shades.forEach((value, index) => image.data.set([red, green, blue, 255 * value / most], 4 * index));
    context.putImageData(image, left, top);
  }

  /** 今の配色の、インクの色。 */
  function ink() {
    return getComputedStyle(pad).color.match(/\d+/g).slice(0, 3).map(Number);
  }

  function draw() {
    cancelAnimationFrame(waiting);
    waiting = 0;
    values = sample === null ? prepared() : pixels(data.samples[sample]);
    const context = pad.getContext('2d');
    context.clearRect(0, 0, PAD, PAD);
    if (sample === null && !strokes.length) {
      invite(context);
    } else if (sample === null) {
      line(context, getComputedStyle(pad).color, BRUSH, 1, { x: 0, y: 0 }, { x: 0, y: 0 });
    } else {
      const small = element('canvas', { width: SIDE, height: SIDE });
      shade(small.getContext('2d'), values, SIDE, 0, 0, 1);
      context.imageSmoothingEnabled = false;
      context.drawImage(small, 0, 0, PAD, PAD);
    }
    undo.setAttribute('aria-disabled', !strokes.length);
    clear.setAttribute('aria-disabled', !strokes.length && sample === null);
    shade(seen.getContext('2d'), values || new Float32Array(SIDE * SIDE), SIDE, 0, 0, 1);
    if (values) ask();
    else rest();
  }

  function invite(context) {
    const { fontFamily } = getComputedStyle(root);
    Object.assign(context, { fillStyle: getComputedStyle(undo).color, font: `18px ${fontFamily}`, textAlign: 'center' });
    context.fillText('ここに数字を書く', PAD / 2, PAD / 2);
  }

  function pixels(text) {
    return Float32Array.from(atob(text), (letter) => letter.charCodeAt(0) / 255);
  }

  // -- 前処理：MNISTの画像と同じ作り方 -----------------------------------------

  /** 書いた線を、20×20の四角に収め、重心を28×28の中央に置く。 */
  function prepared() {
    const points = strokes.flat();
    if (!points.length) return null;
    const [left, right] = range(points.map(({ x }) => x));
    const [top, bottom] = range(points.map(({ y }) => y));
    const scale = FINE * (BOX - PEN) / Math.max(right - left, bottom - top, SMALLEST);
    const from = { x: (left + right) / 2, y: (top + bottom) / 2 };
    const middle = WIDE / 2;
    const weight = fineAlpha(scale, from, { x: middle, y: middle });
    const centre = centreOf(weight);
    const moved = fineAlpha(scale, from, { x: 2 * middle - centre.x, y: 2 * middle - centre.y });
    const image = new Float32Array(SIDE * SIDE);
    for (let index = 0; index < moved.length; index += 1) {
      const [row, column] = [Math.floor(index / WIDE), index % WIDE];
      image[SIDE * Math.floor(row / FINE) + Math.floor(column / FINE)] += moved[index] / 255 / FINE ** 2;
    }
    return image;
  }

  function range(numbers) {
    return [Math.min(...numbers), Math.max(...numbers)];
  }

  function fineAlpha(scale, from, to) {
    fine.clearRect(0, 0, WIDE, WIDE);
    line(fine, '#000', FINE * PEN, scale, from, to);
    const { data: colors } = fine.getImageData(0, 0, WIDE, WIDE);
    return Uint8Array.from({ length: WIDE * WIDE }, (_, index) => colors[4 * index + 3]);
  }

  function centreOf(weight) {
    let [total, x, y] = [0, 0, 0];
    for (let index = 0; index < weight.length; index += 1) {
      total += weight[index];
      x += weight[index] * (index % WIDE + 0.5);
      y += weight[index] * (Math.floor(index / WIDE) + 0.5);
    }
    return { x: x / total, y: y / total };
  }

  // -- 答える ----------------------------------------------------------------

  /** モデルを読み込む。失敗したら、次に書いたときにやり直す。 */
  async function load() {
    if (!window.ort) {
      await new Promise((done, failed) => document.head.append(
        element('script', { src: `${tools.site}ort.wasm.min.js`, onload: done, onerror: failed })));
    }
    Object.assign(window.ort.env.wasm, { numThreads: 1, wasmPaths: new URL(tools.site, location.href).href });
    const answer = await fetch(`${tools.site}files/${data.files['mnist.onnx']}`);
    if (!answer.ok) throw new Error(answer.statusText);
    return window.ort.InferenceSession.create(new Uint8Array(await answer.arrayBuffer()));
  }

  /** 答えを求める。求めているあいだに書き足されたら、終わってから最新の字で求め直す。 */
  async function ask() {
    again = true;
    if (busy || unable()) return;
    busy = true;
    if (!session) message.say('モデルを読み込んでいます…');
    try {
      session = await (session || load());
      while (again) {
        again = false;
        await infer();
      }
    } catch {
      session = null;
      message.say('モデルを読み込めませんでした。通信を確かめてから、もう一度書いてください。');
    }
    busy = false;
  }

  async function infer() {
    if (!values) return;
    const input = values.map((value) => (value - data.mean) / data.std);
    const image = new window.ort.Tensor('float32', input, [1, 1, SIDE, SIDE]);
    const { log_probs: logs, maps: found } = await session.run({ image });
    if (again) return;
    show([...logs.data].map(Math.exp), found.data);
  }

  function show(probabilities, found) {
    const order = [...digits].sort((one, two) => probabilities[two] - probabilities[one]);
    rows.forEach(({ node, bar, share }, digit) => {
      node.classList.toggle('is-best', digit === order[0]);
      bar.style.setProperty('--share', probabilities[digit]);
      share.textContent = percent(probabilities[digit]);
    });
    const context = maps.getContext('2d');
    const most = found.reduce((one, two) => Math.max(one, two), 1e-6);
    for (let index = 0; index < found.length / MAP ** 2; index += 1) {
      const map = found.subarray(index * MAP ** 2, (index + 1) * MAP ** 2);
      shade(context, map, MAP, (index % 5) * (MAP + 1), Math.floor(index / 5) * (MAP + 1), most);
    }
    if (!ended) return;
    performance.measure('draw-digit', { start: ended });
    const [best, second] = order;
    message.say(`${best}と読みました（${percent(probabilities[best])}）。`
      + `次に高いのは${second}です（${percent(probabilities[second])}）。`);
  }

  function percent(share) {
    return `${(100 * share).toFixed(1)}%`;
  }

  /** まだ何も書かれていないときの見た目。 */
  function rest() {
    again = false;
    rows.forEach(({ node, bar, share }) => {
      node.classList.remove('is-best');
      bar.style.setProperty('--share', 0);
      share.textContent = '';
    });
    maps.getContext('2d').clearRect(0, 0, maps.width, maps.height);
    if (!unable()) {
      message.say('枠の中に数字を書くか、見本を選んでください。'
        + '初めの一度だけ、モデルとそれを動かす部品（約5 MB）を読み込みます。');
    }
  }

  /** モデルを動かせないなら、その理由を表示する。 */
  function unable() {
    const reason = (location.protocol === 'file:'
      && '保存したファイルとして開いたページでは、ブラウザーがモデルの読み込みを許しません。公開されているサイトで開くと、ここで答えます。')
      || (!window.WebAssembly
        && 'このブラウザーではWebAssemblyが使えないので、モデルを動かせません。');
    if (reason) message.say(reason);
    return Boolean(reason);
  }

  root.append(element('div', { class: 'draw-digit' },
    element('div', { class: 'write' }, pad, element('div', { class: 'buttons' }, undo, clear)),
    element('ol', { class: 'shares', 'aria-label': '数字ごとの確率' }, ...rows.map(({ node }) => node)),
    element('div', { class: 'inside' },
      element('div', {}, element('p', { class: 'title' }, 'モデルの見る画像'), seen),
      element('div', {}, element('p', { class: 'title' }, '最初の畳み込みの出力'), maps)),
    message.node,
    picker));
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ['data-theme'] });
  draw();
});
