/**
 * 損失の曲面：等高線の上に、勾配降下法の道のりを一歩ずつ描く。学習率は、つまみで選ぶ。
 *
 * データ：`surfaces`（谷の一つごとに、`label`、見える範囲`b`と`w`、谷底`minimum`、等高線`contours`、
 * 学習率ごとの`runs`、入力を`(広さ − shift) / scale`で求める`shift`と`scale`）。
 * `runs`の一つは`lr`と`path`で、`path`は更新ごとの`[w, b, 損失]`。等高線と谷底は`[b, w]`の並び。
 * `rooms`は`[広さ, 家賃]`の並び、`view`は散布図の範囲`area`と`rent`。
 */
window.interactive.define('loss-surface', (root, data, tools) => {
  'use strict';
  const { element, svg } = tools;
  const WIDTH = 340;
  const AREA = { left: 44, right: 330, top: 10 };
  let surface = data.surfaces[0];
  let chosen = 2;
  let step = 5;

  // -- 部品 ------------------------------------------------------------------

  const short = (value) => tools.number(Number(value.toPrecision(4)));

  /** 目盛りの値：範囲の中の、きりのよい数を三つから五つ。 */
  function ticks([low, high]) {
    const width = [0.2, 0.25, 0.5, 1, 2, 5, 10, 20].find((size) => (high - low) / size <= 5);
    const first = Math.ceil(low / width - 1e-9);
    return Array.from({ length: Math.floor(high / width + 1e-9) - first + 1 }, (_, i) => (first + i) * width);
  }

  /** 星の形。 */
  function star([cx, cy], name, radius) {
    const points = Array.from({ length: 10 }, (_, i) => {
      const [r, angle] = [i % 2 ? radius * 0.4 : radius, (i * Math.PI) / 5];
      return `${(cx + r * Math.sin(angle)).toFixed(1)},${(cy - r * Math.cos(angle)).toFixed(1)}`;
    });
    return svg('polygon', { points: points.join(' '), class: name });
  }

  /** 軸と枠のある図。`draw`に渡す座標は、データの単位。 */
  function plot(name, height, label) {
    const bottom = height - 42;
    const clip = `loss-surface-${name}`;
    const axes = svg('g', { class: 'axes' });
    const marks = svg('g', { 'clip-path': `url(#${clip})` });
    const frame = { x: AREA.left, y: AREA.top, width: AREA.right - AREA.left, height: bottom - AREA.top };
    const node = svg('svg', { class: name, viewBox: `0 0 ${WIDTH} ${height}`, role: 'img', 'aria-label': label },
      svg('clipPath', { id: clip }, svg('rect', frame)), svg('rect', { class: 'frame', ...frame }), axes, marks);
    let place;

    function scale(xRange, yRange, xName, yName) {
      const x = (value) => AREA.left + ((value - xRange[0]) / (xRange[1] - xRange[0])) * frame.width;
      const y = (value) => bottom - ((value - yRange[0]) / (yRange[1] - yRange[0])) * frame.height;
      place = ([a, b]) => [Number(x(a).toFixed(1)), Number(y(b).toFixed(1))];
      axes.replaceChildren(
        ...ticks(xRange).map((value) => svg('text', { class: 'tick', x: x(value), y: bottom + 17, 'text-anchor': 'middle' }, short(value))),
        ...ticks(yRange).map((value) => svg('text', { class: 'tick', x: AREA.left - 6, y: y(value) + 4, 'text-anchor': 'end' }, short(value))),
        svg('text', { x: (AREA.left + AREA.right) / 2, y: height - 7, 'text-anchor': 'middle' }, xName),
        svg('text', { x: 14, y: AREA.top + frame.height / 2, 'text-anchor': 'middle', transform: `rotate(-90 14 ${AREA.top + frame.height / 2})` }, yName),
      );
    }

    return { node, marks, scale, at: (point) => place(point), frame };
  }

  const line = (points, name, more) => svg('polyline', { points: points.map((p) => p.join(',')).join(' '), class: name, ...more });
  const dot = ([cx, cy], name, r) => svg('circle', { cx, cy, r, class: name });

  const map = plot('map', 250, '損失の等高線と、更新の道のり');
  const rooms = plot('rooms', 190, '広さと家賃の散布図と、いまの直線');
  rooms.scale(data.view.area, data.view.rent, '広さ（平方メートル）', '家賃（万円）');

  const output = element('output', { class: 'rate' });
  const slider = element('input', {
    type: 'range', min: 1, max: surface.runs.length, step: 1, value: chosen + 1, 'aria-label': '学習率',
    oninput: () => { chosen = slider.valueAsNumber - 1; show(); },
  });
  const inputs = tools.choices({
    label: '入力',
    class: 'inputs',
    options: data.surfaces.map(({ label }) => ({ value: label, label })),
    value: surface.label,
    onchange: (label) => {
      surface = data.surfaces.find((item) => item.label === label);
      show();
    },
  });
  const values = ['損失', 'w', 'b'].map((name) => ({ name, node: element('dd', {}) }));
  const readout = element('div', { class: 'readout' }, element('dl', {},
    ...values.map(({ name, node }) => element('div', {}, element('dt', {}, name), node))));
  const message = tools.message();

  // -- 表示 ------------------------------------------------------------------

  function show() {
    const { lr, path } = surface.runs[chosen];
    const rate = tools.number(lr);
    output.textContent = rate;
    slider.setAttribute('aria-valuetext', rate);
    showMap(path.slice(0, step + 1));
    showLine(path[step]);
    const [w, b, loss] = path[step];
    [loss, w, b].forEach((value, index) => { values[index].node.textContent = short(value); });
    message.say(story(path, [b, w]));
  }

  function showMap(path) {
    map.scale(surface.b, surface.w, 'b', 'w');
    const points = path.map(([w, b]) => map.at([b, w]));
    const last = points.length - 1;
    map.marks.replaceChildren(
      ...surface.contours.toReversed().map((ring) => line(ring.map(map.at), 'ring')),
      star(map.at(surface.minimum), 'minimum', 9),
      line(points, 'trail'),
      ...points.slice(0, last).map((point) => dot(point, 'visited', 3.5)),
      ...(last ? [line(points.slice(last - 1), 'newest', { pathLength: 1 })] : []),
      dot(edge(points[last]), inside([path[last][1], path[last][0]]) ? 'here' : 'here is-outside', 7),
    );
  }

  /** 図の外に出た点は、枠の上に置く。 */
  function edge([x, y]) {
    const { x: left, y: top, width, height } = map.frame;
    return [Math.min(Math.max(x, left + 8), left + width - 8), Math.min(Math.max(y, top + 8), top + height - 8)];
  }

  function inside([b, w]) {
    return b >= surface.b[0] && b <= surface.b[1] && w >= surface.w[0] && w <= surface.w[1];
  }

  function showLine([w, b]) {
    const predict = (area) => (w * (area - surface.shift)) / surface.scale + b;
    rooms.marks.replaceChildren(
      ...data.rooms.map(([area, rent]) => line([rooms.at([area, rent]), rooms.at([area, predict(area)])], 'gap')),
      line(data.view.area.map((area) => rooms.at([area, predict(area)])), 'fit'),
      ...data.rooms.map((room) => dot(rooms.at(room), 'room', 4)),
    );
  }

  function story(path, place) {
    if (step === 0) return '出発点です。`w`も`b`も0なので、どの部屋の家賃も0と予測しています。';
    const [before, now] = [path[step - 1][2], path[step][2]].map(short);
    const change = path[step][2] < path[step - 1][2] ? '減りました' : '増えました';
    const moved = before === now ? `損失は${now}のままです。` : `損失は${before}から${now}へ${change}。`;
    return `更新${step}回。${moved}${inside(place) ? '' : '点は、図の外へ出ています。'}`;
  }

  const control = tools.steps({
    label: '更新の回数', count: surface.runs[0].path.length, start: step,
    onstep: (index) => { step = index; show(); },
  });
  root.append(element('div', { class: 'loss-surface' },
    inputs,
    element('label', { class: 'rates' }, element('span', { class: 'interactive-label' }, '学習率'), slider, output),
    element('div', { class: 'stage' }, map.node, element('div', { class: 'side' }, rooms.node, readout)),
    message.node, control.node));
});
