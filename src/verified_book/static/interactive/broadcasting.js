/**
 * ブロードキャストの段：右端をそろえ、1を補い、引き伸ばし、計算する。結果の形を予想してから進む。
 *
 * データ：`pairs`（形の組ごとに、`label`、元の形`shapes`、1を補った形`padded`と値`values`、
 * 引き伸ばした値`expanded`、結果`result`（`shape`と`values`、失敗なら`null`）、例外の文`error`、
 * 予想の候補`candidates`（最後は「計算できない」））。`shapes`などは、左、右の順に並ぶ。
 */
window.interactive.define('broadcasting', (root, data, tools) => {
  'use strict';
  const { element } = tools;
  const SIDES = [{ label: '左', name: 'is-left' }, { label: '右', name: 'is-right' }];
  const TITLES = ['二つの形', '右端をそろえる', '左に1を補う', '大きさ1を引き伸ばす', '同じ位置を計算する'];
  const [GIVEN, ALIGNED, PADDED, STRETCHED, CALCULATED] = TITLES.keys();
  const COLUMNS = Math.max(...data.pairs.map(({ padded }) => padded[0].length));

  let pair = data.pairs[0];
  let step = GIVEN;
  let guess = null;

  const text = (shape) => `[${shape.join(', ')}]`;
  const answer = () => (pair.result ? text(pair.result.shape) : pair.candidates.at(-1));
  const clash = ([left, right]) => left !== right && left !== 1 && right !== 1;
  const columns = () => pair.padded[0].map((_, index) => pair.padded.map((shape) => shape[index]));

  // -- 部品 ------------------------------------------------------------------

  const title = element('p', { class: 'title' });
  const board = element('div', { class: 'board', style: `--columns: ${COLUMNS}` });
  const tables = element('div', { class: 'tables' });
  const message = tools.message();
  const guesses = element('div', { class: 'guesses' });
  const control = tools.steps({
    label: 'ブロードキャストの段', count: TITLES.length, onstep: (index) => { step = index; show(); },
  });
  const pairs = tools.choices({
    label: '形',
    spoken: '形の組',
    class: 'pairs',
    options: data.pairs.map(({ label }) => ({ value: label, label })),
    value: pair.label,
    onchange: (label) => {
      pair = data.pairs.find((item) => item.label === label);
      guess = null;
      ask();
      control.go(GIVEN);
      show();
    },
  });

  function ask() {
    guesses.replaceChildren(tools.choices({
      label: '予想',
      spoken: '結果の形の予想',
      options: pair.candidates.map((text) => ({ value: text, label: text })),
      value: guess,
      onchange: (chosen) => { guess = chosen; show(); },
    }));
  }

  // -- 形 --------------------------------------------------------------------

  function row(label, name, boxes) {
    const cells = Array.from({ length: COLUMNS }, (_, index) => boxes[index] || element('span', {}));
    return [element('span', { class: `side ${name}` }, label), ...cells];
  }

  function sizes(side) {
    const { label, name } = SIDES[side];
    const start = COLUMNS - pair.padded[side].length;
    const missing = pair.padded[side].length - pair.shapes[side].length;
    const boxes = Array.from({ length: COLUMNS });
    pair.padded[side].forEach((size, index) => {
      const added = index < missing;
      if (added && step < PADDED) return;
      const stretched = step >= STRETCHED && pair.result && size !== pair.result.shape[index];
      const shift = step > GIVEN ? 0 : missing;
      boxes[start + index - shift] = element('span', {
        class: `size ${name} ${added ? 'is-added' : ''} ${stretched ? 'is-stretched' : ''} ${
          (step === ALIGNED && missing) || (added && step === PADDED) ? 'is-new' : ''}`,
        style: `--shift: ${step === ALIGNED ? missing : 0}`,
      }, stretched ? `${size}→${pair.result.shape[index]}` : String(size));
    });
    return row(label, name, boxes);
  }

  function outcome() {
    const boxes = Array.from({ length: COLUMNS });
    columns().forEach((both, index) => {
      const bad = step >= STRETCHED && clash(both);
      const known = step >= STRETCHED && pair.result;
      boxes[COLUMNS - pair.padded[0].length + index] = element('span', {
        class: `size ${bad ? 'is-bad' : ''} ${known ? 'is-known' : ''}`,
      }, bad ? '✗' : known ? String(pair.result.shape[index]) : '？');
    });
    return row('結果', '', boxes);
  }

  // -- 値 --------------------------------------------------------------------

  function deep(values) {
    return Array.isArray(values) ? 1 + deep(values[0]) : 0;
  }

  /** 何次元の値も、2次元の表の並びにする。 */
  function sheets(values) {
    const depth = deep(values);
    if (depth <= 2) return [depth === 2 ? values : [values]];
    return values.flatMap(sheets);
  }

  /** 引き伸ばされて増えた値か：元の大きさが1の次元で、添字が0でない。 */
  function isCopy(shape, sheet, line, column) {
    const source = [1, 1, ...shape].slice(-3);
    return [sheet, line, column].some((index, axis) => source[axis] === 1 && index > 0);
  }

  function table(values, name, spoken, shape) {
    const all = sheets(values);
    return element('div', { class: `values ${name}`, role: 'img', 'aria-label': `${spoken}：${all.flat().map((line) => line.map(tools.number).join('、')).join('。')}` },
      ...all.map((lines, sheet) => element('div', { class: 'sheet', style: `--columns: ${lines[0].length}` },
        ...lines.flatMap((line, at) => line.map((value, column) => element('span', {
          class: `value ${shape && isCopy(shape, sheet, at, column) ? 'is-copy' : ''}`,
        }, tools.number(value)))))));
  }

  function draw() {
    const wide = step >= STRETCHED && pair.result;
    const sides = SIDES.map(({ label, name }, side) => table(
      (wide ? pair.expanded : pair.values)[side],
      `${name} ${step === STRETCHED ? 'is-stretching' : ''}`, `${label}の値`, wide && pair.padded[side],
    ));
    const done = step === CALCULATED && pair.result;
    const bad = step >= STRETCHED && !pair.result;
    const result = done ? table(pair.result.values, 'is-result', '結果の値')
      : element('span', { class: `unknown ${bad ? 'is-bad' : ''}` }, bad ? '✗' : '？');
    const sign = (mark) => element('span', { class: 'sign' }, mark);
    tables.replaceChildren(sides[0], sign('＋'), sides[1], sign('＝'), result);
  }

  // -- 言葉 ------------------------------------------------------------------

  function sentence() {
    const [left, right] = pair.shapes.map(text);
    if (step === GIVEN) {
      return `左は\`${left}\`、右は\`${right}\`です。${guess ? '「次へ」で確かめましょう。' : '結果の形を予想してから、進んでください。'}`;
    }
    if (step === ALIGNED) return '右端をそろえました。大きさは、右の次元から順に比べます。';
    if (step === PADDED) {
      const side = pair.shapes.findIndex((shape, index) => shape.length < pair.padded[index].length);
      if (side < 0) return '次元の数は同じなので、補う1はありません。';
      return `足りない左に1を補い、${SIDES[side].label}は\`${text(pair.padded[side])}\`になりました。値は変わりません。`;
    }
    const verdict = guess && (guess === answer() ? '予想どおりです。' : `予想は\`${guess}\`でした。`);
    return `${step === STRETCHED ? comparison() : calculation()}${verdict || ''}`;
  }

  function comparison() {
    if (pair.result) return `大きさ1を、相手に合わせて引き伸ばしました。結果の形は\`${answer()}\`です。`;
    const at = columns().findLastIndex(clash);
    const [left, right] = columns()[at];
    return `右から${pair.padded[0].length - at}番目は${left}と${right}で、どちらも1ではありません。引き伸ばせないので、ここで止まります。`;
  }

  function calculation() {
    if (!pair.result) return `PyTorchの例外：\`${pair.error}\`。`;
    return '同じ位置どうしを足しました。十の位は左から、一の位は右から来ています。';
  }

  function show() {
    title.textContent = TITLES[step];
    const spoken = SIDES.map(({ label }, side) => `${label}の形は${text(step < PADDED ? pair.shapes[side] : pair.padded[side])}`);
    board.setAttribute('role', 'img');
    board.setAttribute('aria-label', `${spoken.join('、')}。結果の形は${step < STRETCHED ? '？' : answer()}`);
    board.replaceChildren(...sizes(0), ...sizes(1), ...outcome());
    draw();
    message.say(sentence());
    guesses.classList.toggle('is-right', step >= STRETCHED && guess === answer());
    guesses.classList.toggle('is-wrong', step >= STRETCHED && guess !== null && guess !== answer());
  }

  ask();
  root.append(element('div', { class: 'broadcasting' },
    pairs, guesses, element('div', { class: 'stage' }, element('div', { class: 'shapes' }, title, board), tables),
    message.node, control.node));
});
