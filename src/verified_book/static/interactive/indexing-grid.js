/**
 * 添字の格子：行の添字と列の添字を選び、表のどのマスが取り出されるかを、予想してから見る。
 *
 * データ：`name`（変数名）、`values`（表）、`rows`と`columns`（添字ごとに、選ぶ番号`chosen`と、
 * 次元が残るか`kept`）、`results`（式ごとに、位置`places`、表示`text`、形`shape`）、`start`。
 */
window.interactive.define('indexing-grid', (root, data, tools) => {
  'use strict';
  const { element } = tools;
  const AXES = [
    { key: 'rows', label: '行', name: 'is-rows' },
    { key: 'columns', label: '列', name: 'is-columns' },
  ];
  const sizes = [data.values.length, data.values[0].length];
  const at = (row, column) => row * sizes[1] + column;

  const picked = { rows: data.start[0], columns: data.start[1] };
  const marked = new Set();
  let hidden = false;
  let first = true;
  let focused = 0;

  // -- 部品 ------------------------------------------------------------------

  const parts = AXES.map(({ name }) => element('span', { class: `part ${name}` }));
  const comma = element('span', {}, ', ');
  const expression = element('p', { class: 'expression' },
    element('code', {}, `${data.name}[`, parts[0], comma, parts[1], ']'));

  const pickers = AXES.map(({ key, label, name }) => tools.choices({
    label,
    spoken: `${label}の添字`,
    class: name,
    options: data[key].map(({ text }) => ({ value: text, label: text || '省略' })),
    value: picked[key],
    onchange: (value) => {
      picked[key] = value;
      marked.clear();
      hidden = predicts;
      first = false;
      show();
    },
  }));

  const heads = AXES.map(({ label, name }, axis) => Array.from({ length: sizes[axis] }, (_, index) =>
    element('div', { role: axis ? 'columnheader' : 'rowheader', class: `head ${name}` }, `${label}${index}`)));
  const cells = data.values.flatMap((line, row) => line.map((value, column) => element('div', {
    role: 'gridcell', class: 'square', onclick: () => mark(at(row, column)),
    onfocus: () => { focused = at(row, column); },
  }, tools.number(value))));
  const grid = element('div', {
    class: 'grid', role: 'grid', 'aria-label': data.name, style: `--columns: ${sizes[1]}`, onkeydown: move,
  },
  element('div', { role: 'row', class: 'strip' },
    element('div', { role: 'columnheader', class: 'corner' }, data.name), ...heads[1]),
  ...data.values.map((_, row) => element('div', { role: 'row', class: 'strip' },
    heads[0][row], ...cells.slice(at(row, 0), at(row + 1, 0)))));

  const note = (label, content) => element('p', { class: 'note' },
    element('span', { class: 'axis' }, label), content);
  const text = element('pre', { class: 'printed' });
  const shape = element('code', { class: 'shape' });
  const notes = AXES.map(({ name }) => element('span', { class: name }));
  const result = element('div', { class: 'result' }, text, element('div', { class: 'notes' },
    ...AXES.map(({ label }, axis) => note(label, notes[axis])), note('形', shape)));

  const message = tools.message();
  let predicts = true;
  const answer = tools.button('答えを見る', () => {
    hidden = !hidden;
    if (hidden) marked.clear();
    first = false;
    show({ moved: !hidden });
  }, { class: 'interactive-button is-primary' });
  const toggle = tools.toggle('先に予想する', predicts, (checked) => {
    predicts = checked;
    hidden = hidden && checked;
    show();
  });

  // -- 操作 ------------------------------------------------------------------

  function mark(place) {
    if (!hidden) return;
    if (!marked.delete(place)) marked.add(place);
    show();
  }

  function move(event) {
    const [rows, columns] = sizes;
    const [row, column] = [Math.floor(focused / columns), focused % columns];
    const next = {
      ArrowUp: at(Math.max(row - 1, 0), column),
      ArrowDown: at(Math.min(row + 1, rows - 1), column),
      ArrowLeft: at(row, Math.max(column - 1, 0)),
      ArrowRight: at(row, Math.min(column + 1, columns - 1)),
      Home: at(row, 0),
      End: at(row, columns - 1),
      ' ': focused,
      Enter: focused,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    if (next === focused) mark(focused);
    cells[focused].tabIndex = -1;
    cells[next].tabIndex = 0;
    cells[next].focus();
  }

  // -- 表示 ------------------------------------------------------------------

  function show({ moved = false } = {}) {
    const index = [picked.rows, picked.columns].filter(Boolean).join(', ');
    const { places, text: shown, shape: size } = data.results[index];
    const chosen = AXES.map(({ key }) => data[key].find((part) => part.text === picked[key]));
    const taken = new Set(places);

    parts[0].textContent = picked.rows;
    parts[1].textContent = picked.columns;
    comma.hidden = !picked.columns;

    root.classList.toggle('is-hidden', hidden);
    AXES.forEach((_, axis) => heads[axis].forEach((head, number) =>
      head.classList.toggle('is-chosen', !hidden && chosen[axis].chosen.includes(number))));
    cells.forEach((cell, place) => {
      const [row, column] = [Math.floor(place / sizes[1]), place % sizes[1]];
      const right = !hidden && taken.has(place);
      cell.classList.toggle('in-rows', !hidden && chosen[0].chosen.includes(row));
      cell.classList.toggle('in-columns', !hidden && chosen[1].chosen.includes(column));
      cell.classList.toggle('is-taken', right);
      cell.classList.toggle('is-marked', marked.has(place));
      cell.classList.toggle('is-wrong', !hidden && marked.has(place) && !right);
      cell.classList.toggle('is-missed', marked.size > 0 && right && !marked.has(place));
      cell.setAttribute('aria-selected', hidden ? marked.has(place) : right);
      cell.tabIndex = place === focused ? 0 : -1;
    });
    grid.setAttribute('aria-readonly', !hidden);

    const numbers = fillText(hidden ? '？' : shown, places.length);
    shape.textContent = hidden ? '？' : size;
    notes.forEach((node, axis) => { node.textContent = hidden ? '？' : describe(chosen[axis], axis); });
    answer.textContent = hidden ? '答えを見る' : first ? '予想する' : 'もう一度予想する';
    message.say(sentence(taken, size));
    if (moved && tools.moves()) fly(numbers, places);
  }

  /** 実際の表示を、数を一つずつ動かせるようにして書く。 */
  function fillText(shown, count) {
    const pieces = shown.split(/(-?\d+(?:\.\d*)?)/);
    const numbers = [];
    text.replaceChildren(...pieces.map((piece, index) => {
      if (index % 2 === 0) return piece;
      numbers.push(element('span', {}, piece));
      return numbers.at(-1);
    }));
    return numbers.length === count ? numbers : [];
  }

  function describe({ text: part, chosen, kept }, axis) {
    const { label } = AXES[axis];
    const every = chosen.length === sizes[axis];
    const which = every ? `すべての${label}` : chosen.map((index) => `${label}${index}`).join('、');
    const size = kept ? `大きさ${chosen.length}で残る` : '番号なので消える';
    return part ? `${which}。${size}` : `${which}（省略）。${size}`;
  }

  function sentence(taken, size) {
    if (first) return '添字を選び直すと、答えが隠れます。残るマスを予想してください。';
    if (hidden) {
      const count = marked.size ? `（いま${marked.size}個）` : '';
      return `残るはずのマスをすべて選び${count}、形も予想してから、答えを見てください。`;
    }
    const right = [...marked].filter((place) => taken.has(place)).length;
    const [extra, missing] = [marked.size - right, taken.size - right];
    const fact = `取り出されるのは${taken.size}個で、形は\`${size}\`です。`;
    if (!marked.size) return fact;
    if (!extra && !missing) return `予想どおりです。${fact}`;
    const misses = [extra && `余分（破線）が${extra}個`, missing && `見落とし（点線）が${missing}個`].filter(Boolean);
    return `合っていたのは${right}個、${misses.join('、')}でした。${fact}`;
  }

  /** 選ばれた数が、表から結果へ移る。 */
  function fly(numbers, places) {
    const delay = Math.min(25, 300 / numbers.length);
    numbers.forEach((node, order) => {
      const [from, to] = [cells[places[order]].getBoundingClientRect(), node.getBoundingClientRect()];
      const x = from.left + from.width / 2 - to.left - to.width / 2;
      const y = from.top + from.height / 2 - to.top - to.height / 2;
      node.animate(
        [{ transform: `translate(${x}px, ${y}px) scale(1.3)` }, { transform: 'none' }],
        { duration: 500, delay: delay * order, easing: 'cubic-bezier(0.3, 0, 0.2, 1)', fill: 'backwards' },
      );
    });
  }

  root.append(
    element('div', { class: 'indexing-grid' },
      element('div', { class: 'pickers' }, expression, ...pickers),
      element('div', { class: 'stage' }, grid, result),
      element('div', { class: 'bottom' }, message.node, toggle, answer)),
  );
  show();
});
