/**
 * 最適化手法の競走：同じ面の上を、手法ごとの点が一歩ずつ進む。
 *
 * データ：`steps`（歩数）と`surfaces`。
 * `surfaces`の一つは`name`、`frame`（左、右、下、上）、`goal`（谷の底）、`contours`（等高線の点の列）、`rates`。
 * `rates`の一つは`label`と`runs`。`runs`の一つは`name`、`lr`、`path`（一歩ごとの、横、縦、損失）。
 * 発散した手法の`path`は、枠から遠く離れた歩の手前で終わる。
 */
window.interactive.define('optimizer-race', (root, data, tools) => {
  'use strict';
  const { element, svg } = tools;
  const WIDTH = 320, HEIGHT = 224, FRAME = 120; // 図の大きさと、再生の一歩の時間（ミリ秒）
  const SHAPES = [
    'M0 -5.5 A5.5 5.5 0 1 1 0 5.5 A5.5 5.5 0 1 1 0 -5.5 Z', 'M-5 -5 H5 V5 H-5 Z',
    'M0 -6.5 L6 4.5 H-6 Z', 'M0 -7 L7 0 L0 7 L-7 0 Z',
  ];
  let surface = data.surfaces[0];
  let rate = surface.rates.find(({ label }) => label === '中') || surface.rates[0];
  let step = 0;
  let timer = null;

  // -- 部品 ------------------------------------------------------------------

  const contours = svg('g', { class: 'contours' });
  const goal = svg('path', { class: 'goal', d: 'M-5 -5 L5 5 M-5 5 L5 -5' });
  const racers = rate.runs.map((run, index) => ({
    trail: svg('polyline', { class: `trail racer-${index}` }),
    point: svg('path', { class: `point racer-${index}`, d: SHAPES[index] }),
    row: element('tr', {}),
    mark: svg('svg', { class: `shape racer-${index}`, viewBox: '-8 -8 16 16', 'aria-hidden': 'true' },
      svg('path', { d: SHAPES[index] })),
  }));
  const picture = svg('svg', { class: 'surface', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img' },
    contours, goal, ...racers.map(({ trail }) => trail), ...racers.map(({ point }) => point));
  const heads = ['手法', '学習率', '横，縦', '損失'].map((text) => element('th', { scope: 'col' }, text));
  const table = element('table', {},
    element('thead', {}, element('tr', {}, ...heads)),
    element('tbody', {}, ...racers.map(({ row }) => row)));
  const count = element('p', { class: 'count' });
  const message = tools.message();
  const play = tools.button('再生', () => (timer ? stop() : start()));
  const control = tools.steps({
    label: '歩数',
    count: data.steps + 1,
    onstep: (index) => { step = index; if (picture.isConnected) show(); },
  });
  control.node.insertBefore(play, control.node.lastChild);
  control.node.addEventListener('click', (event) => { if (event.target !== play) stop(); });
  control.node.addEventListener('input', stop);

  const choose = (label, items, value, onchange) => tools.choices({
    label, value, onchange, options: items.map((item) => ({ value: item, label: item })),
  });
  const surfaces = choose('面', data.surfaces.map(({ name }) => name), surface.name, (name) => {
    surface = data.surfaces.find((item) => item.name === name);
    change(rate.label);
  });
  const rates = choose('学習率', surface.rates.map(({ label }) => label), rate.label, change);

  // -- 動き ------------------------------------------------------------------

  function change(label) {
    stop();
    rate = surface.rates.find((item) => item.label === label);
    draw();
    show();
  }

  /** 動きを減らす設定なら、途中を見せずに最後の歩へ進む。 */
  function start() {
    if (step === data.steps) control.go(0);
    if (!tools.moves()) {
      control.go(data.steps);
      return;
    }
    play.textContent = '停止';
    timer = setInterval(() => {
      control.go(step + 1);
      if (step === data.steps) stop();
    }, FRAME);
    show();
  }

  function stop() {
    if (!timer) return;
    clearInterval(timer);
    timer = null;
    play.textContent = '再生';
    show();
  }

  // -- 表示 ------------------------------------------------------------------

  function place([x, y]) {
    const [left, right, bottom, top] = surface.frame;
    const across = (WIDTH * (x - left)) / (right - left);
    return [across, (HEIGHT * (top - y)) / (top - bottom)].map((value) => Math.round(value * 10) / 10);
  }

  function draw() {
    contours.replaceChildren(...surface.contours.map((line) =>
      svg('polyline', { points: line.map((point) => place(point).join()).join(' ') })));
    goal.setAttribute('transform', `translate(${place(surface.goal).join()})`);
  }

  const short = (value) => value.toFixed(2).replace(/^-(0\.00)$/, '$1').replace('-', '−');
  const tiny = (value) => (value > 0 && value < 0.001 ? value.toExponential(1) : String(value)).replace('-', '−');

  function show() {
    const losses = rate.runs.map(({ path }) => (step < path.length ? path[step][2] : Infinity));
    const best = Math.min(...losses);
    const leaders = rate.runs.filter((_, index) => losses[index] === best).map(({ name }) => name);
    const lost = rate.runs.filter(({ path }) => step >= path.length).map(({ name }) => name);
    rate.runs.forEach(({ name, lr, path }, index) => {
      const { trail, point, row, mark } = racers[index];
      const here = path[step];
      const seen = path.slice(0, step + 1).map(place);
      const [x, y] = place(here || path[path.length - 1]);
      trail.setAttribute('points', seen.map((pair) => pair.join()).join(' '));
      point.style.transform = `translate(${x}px, ${y}px)`;
      point.classList.toggle('is-lost', !here);
      row.classList.toggle('is-best', losses[index] === best);
      row.replaceChildren(
        element('th', { scope: 'row' }, mark, name),
        element('td', {}, tools.number(lr)),
        element('td', {}, here ? `${short(here[0])}, ${short(here[1])}` : '枠の外'),
        element('td', {}, here ? tiny(here[2]) : '発散'));
    });
    picture.setAttribute('aria-label', `${surface.name}の等高線の上を進む、四つの手法の道。${step}歩目`);
    count.textContent = `${step}歩目`;
    picture.parentNode.classList.toggle('is-playing', timer !== null);
    if (timer) message.say('再生しています。');
    else if (step === 0) message.say(`四つの手法が、同じ場所から出発します。損失は\`${best}\`です。`);
    else {
      const gone = lost.length ? `${lost.join('と')}は発散しました。` : '';
      message.say(`${step}歩目で損失が最も小さいのは、${leaders.join('と')}です。${gone}`);
    }
  }

  root.append(element('div', { class: 'optimizer-race' },
    element('div', { class: 'settings' }, surfaces, rates),
    element('div', { class: 'stage' }, element('div', { class: 'plot' }, picture),
      element('div', { class: 'story' }, count, table, message.node)),
    control.node));
  draw();
  show();
});
