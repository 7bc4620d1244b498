/**
 * 計算グラフの段：順伝播で値が、逆伝播で勾配が、一段ずつ現れる。
 *
 * データ：`runs`（入力ごとに、`label`、`nodes`、`edges`）。
 * `nodes`の一つは`name`、`function`、`value`、`gradient`と、そのときの一文`forward`、`backward`。
 * `edges`の一つは、前の値から次の値への計算`forward`、その微分`backward`と、実際の値`local`。
 * `saved`は、その計算が逆伝播のために、前の値を覚えたか。
 */
window.interactive.define('graph-steps', (root, data, tools) => {
  'use strict';
  const { element, svg } = tools;
  let run = data.runs[0];
  let step = 0;
  const count = run.nodes.length;
  const last = count - 1;

  // -- 部品 ------------------------------------------------------------------

  const rowsOf = (values) => (Array.isArray(values) ? values : [[values]]);

  function matrix(values, name) {
    const rows = rowsOf(values);
    const spoken = rows.map((row) => row.map(tools.number).join('、')).join('。');
    return element('span', { class: `matrix ${name || ''}`, role: 'img', 'aria-label': spoken, style: `--columns: ${rows[0].length}` },
      ...rows.flat().map((value) => element('span', {}, tools.number(value))));
  }

  function arrow(name) {
    return svg('svg', { class: `arrow ${name}`, viewBox: '0 0 12 34', 'aria-hidden': 'true' },
      svg('path', { d: 'M6 1 V28', pathLength: 1 }), svg('path', { class: 'tip', d: 'M2 24 L6 32 L10 24 Z' }));
  }

  const boxes = run.nodes.map(() => ({
    value: element('div', { class: 'box is-value' }),
    gradient: element('div', { class: 'box is-gradient' }),
    row: element('div', { class: 'middle' }),
  }));
  const links = run.edges.map((edge) => ({
    value: element('div', { class: 'link is-value' }, arrow('is-down'), element('span', {}, edge.forward)),
    saved: element('div', { class: 'saved' }),
    gradient: element('div', { class: 'link is-gradient' }, arrow('is-up'), element('span', {}, edge.backward)),
  }));
  const graph = element('div', { class: 'graph' },
    element('span', { class: 'title is-value' }, '順伝播の値'),
    element('span', { class: 'title' }, '計算'),
    element('span', { class: 'title is-gradient' }, '逆伝播の勾配'),
    ...boxes.flatMap(({ value, row, gradient }, index) => {
      const link = links[index];
      return [value, row, gradient, ...(link ? [link.value, link.saved, link.gradient] : [])];
    }));

  const phase = element('p', { class: 'phase' });
  const equation = element('div', { class: 'equation' });
  const message = tools.message();
  const control = tools.steps({ label: '計算の段', count: 2 * count, onstep: (index) => { step = index; show(); } });
  const inputs = tools.choices({
    label: 'x',
    spoken: '入力x',
    class: 'inputs',
    options: data.runs.map(({ label }) => ({ value: label, label })),
    value: run.label,
    onchange: (label) => {
      run = data.runs.find((item) => item.label === label);
      show();
    },
  });

  // -- 表示 ------------------------------------------------------------------

  /** 段の場所：順伝播なら`[番号, false]`、逆伝播なら`[番号, true]`。 */
  function place(index) {
    return index < count ? [index, false] : [2 * count - 1 - index, true];
  }

  function show() {
    const [now, back] = place(step);
    const [next, nextBack] = place(step + 1);
    run.nodes.forEach((node, index) => {
      const { value, gradient, row } = boxes[index];
      fill(value, node.value, back || index <= now, !back && index === now);
      fill(gradient, node.gradient, back && index >= now, back && index === now);
      value.classList.toggle('is-next', !nextBack && index === next);
      gradient.classList.toggle('is-next', nextBack && index === next);
      row.replaceChildren(element('code', {}, node.name), element('span', {}, node.function));
    });
    links.forEach(({ value, saved, gradient }, index) => {
      state(value, back || index < now, !back && index + 1 === now);
      state(gradient, back && index >= now, back && index === now);
      const keeps = run.edges[index].saved;
      saved.textContent = keeps ? `${run.nodes[index].name}を記憶` : '';
      state(saved, keeps && (back ? index <= now : index < now), index === (back ? now : now - 1));
    });
    phase.textContent = back ? '逆伝播' : '順伝播';
    phase.className = back ? 'phase is-gradient' : 'phase is-value';
    equation.replaceChildren(...(back ? backward(now) : forward(now)));
    message.say(back ? run.nodes[now].backward : run.nodes[now].forward);
  }

  function fill(box, values, done, here) {
    const shown = done ? matrix(values) : element('span', { class: 'unknown' }, '？');
    box.replaceChildren(shown);
    state(box, done, here);
  }

  function state(node, done, here) {
    node.classList.toggle('is-done', done);
    node.classList.toggle('is-here', here);
  }

  function term(name, values, kind) {
    return element('span', { class: `term ${kind}` }, matrix(values), element('span', { class: 'name' }, name));
  }

  function sign(text) {
    return element('span', { class: 'sign' }, text);
  }

  function forward(index) {
    const node = run.nodes[index];
    const result = term(node.name, node.value, 'is-value is-result');
    if (index === 0) return [result];
    const before = run.nodes[index - 1];
    return [term(before.name, before.value, 'is-value'), sign(`→ ${run.edges[index - 1].forward} →`), result];
  }

  function backward(index) {
    const node = run.nodes[index];
    const result = term(`${node.name}の勾配`, node.gradient, 'is-gradient is-result');
    if (index === last) return [result];
    const { local, derivative } = run.edges[index];
    const after = run.nodes[index + 1];
    return [term(`${after.name}の勾配`, after.gradient, 'is-gradient'), sign('×'), term(derivative, local, 'is-local'), sign('＝'), result];
  }

  root.append(element('div', { class: 'graph-steps' },
    inputs,
    element('div', { class: 'stage' }, graph, element('div', { class: 'story' }, phase, equation, message.node)),
    control.node));
});
