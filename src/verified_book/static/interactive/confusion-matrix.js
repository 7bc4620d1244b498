/**
 * 混同行列：マスを選ぶと、そのマスに入った画像が開く。
 *
 * データ：`labels`（クラスの名前）、`counts`（行が正解、列が答えの枚数）、`images`（「正解,答え」ごとの、
 * 画素`pixels`と答えの確率`confidence`。正解は確率の低い順、間違いは高い順）。画素は16段階の16進数で、続く0は`g`（1個）から`z`（20個）の
 * 一文字に縮めてある。
 */
window.interactive.define('confusion-matrix', (root, data, tools) => {
  'use strict';
  const { element } = tools;
  const { labels, counts } = data;
  const SIDE = 28;
  const numbers = labels.map((_, index) => index);
  const total = (values) => values.reduce((sum, value) => sum + value, 0);
  const rows = counts.map(total);
  const columns = numbers.map((answer) => total(counts.map((row) => row[answer])));
  const places = numbers.flatMap((truth) => numbers.map((answer) => ({ truth, answer })));
  const errors = places.filter(({ truth, answer }) => truth !== answer && counts[truth][answer])
    .sort((one, two) => counts[two.truth][two.answer] - counts[one.truth][one.answer]);
  const most = counts[errors[0].truth][errors[0].answer];
  const at = (truth, answer) => truth * labels.length + answer;
  let current = {};

  // -- 部品 ------------------------------------------------------------------

  const shade = ({ truth, answer }) => {
    const share = truth === answer ? 0 : counts[truth][answer] / most;
    return `--shade: ${share ? 0.06 + 0.34 * share : 0}`;
  };
  const kind = ({ truth, answer }) =>
    (truth === answer ? 'is-right' : counts[truth][answer] ? 'is-error' : 'is-empty');

  const heads = ['rowheader', 'columnheader'].map((role) => labels.map((label) =>
    element('div', { role, class: 'head' }, label)));
  const cells = places.map((place) => element('div', {
    role: 'gridcell',
    class: `square ${kind(place)}`,
    style: shade(place),
    'aria-label': `正解${labels[place.truth]}、答え${labels[place.answer]}、${counts[place.truth][place.answer]}枚`,
    onclick: () => select(place),
  },
  element('span', { class: 'to', 'data-answer': labels[place.answer] }),
  element('span', { class: 'count' }, String(counts[place.truth][place.answer]))));
  const lines = numbers.map((truth) => element('div', { role: 'row', class: 'strip' },
    heads[0][truth], ...cells.slice(at(truth, 0), at(truth + 1, 0))));
  const grid = element('div', {
    class: 'grid', role: 'grid', 'aria-label': '混同行列。行が正解、列が答え', onkeydown: move,
    style: `--columns: ${labels.length}`,
  },
  element('div', { role: 'row', class: 'strip is-head' },
    element('div', { role: 'columnheader', class: 'corner' }, element('span', {}, '答→'),
      element('span', {}, '正↓')), ...heads[1]),
  ...lines);

  // 狭い画面で全体を見せる、小さな地図。押す場所としては、選択肢とマスが同じ働きをする
  const dots = places.map((place) => element('i', {
    class: kind(place), style: shade(place), onclick: () => select(place),
  }));
  const map = element('div', { class: 'map', 'aria-hidden': 'true', style: `--columns: ${labels.length}` },
    ...dots);

  const picker = tools.choices({
    label: '正解の数字',
    class: 'picker',
    options: labels.map((label, truth) => ({ value: String(truth), label })),
    value: '0',
    onchange: (truth) => select({ truth: Number(truth), answer: current.answer }),
  });
  const radios = [...picker.querySelectorAll('input')];
  const title = element('p', { class: 'title' });
  const pictures = element('div', { class: 'pictures' });
  const message = tools.message();

  // -- 操作 ------------------------------------------------------------------

  function select(place) {
    const rank = errors.findIndex(({ truth, answer }) => truth === place.truth && answer === place.answer);
    if (rank >= 0) control.go(rank);
    show(place);
  }

  function move(event) {
    const { truth, answer } = current;
    const last = labels.length - 1;
    const next = {
      ArrowUp: [Math.max(truth - 1, 0), answer],
      ArrowDown: [Math.min(truth + 1, last), answer],
      ArrowLeft: [truth, Math.max(answer - 1, 0)],
      ArrowRight: [truth, Math.min(answer + 1, last)],
      Home: [truth, 0],
      End: [truth, last],
    }[event.key];
    if (!next) return;
    event.preventDefault();
    select({ truth: next[0], answer: next[1] });
    cells[at(...next)].focus();
  }

  // -- 表示 ------------------------------------------------------------------

  function show({ truth, answer }) {
    if (truth === current.truth && answer === current.answer) return;
    current = { truth, answer };
    heads.forEach((line, axis) => line.forEach((head, index) =>
      head.classList.toggle('is-chosen', index === [truth, answer][axis])));
    lines.forEach((line, index) => line.classList.toggle('is-open', index === truth));
    [cells, dots].forEach((squares) => squares.forEach((square, index) => {
      const chosen = index === at(truth, answer);
      square.classList.toggle('is-chosen', chosen);
      square.classList.toggle('in-row', places[index].truth === truth);
      square.classList.toggle('in-column', places[index].answer === answer);
    }));
    cells.forEach((cell, index) => {
      cell.tabIndex = index === at(truth, answer) ? 0 : -1;
      cell.setAttribute('aria-selected', index === at(truth, answer));
    });
    radios[truth].checked = true;

    const images = data.images[`${truth},${answer}`] || [];
    const count = counts[truth][answer];
    title.textContent = truth === answer ? `正しく${labels[truth]}と答えた画像と、その確率`
      : `${labels[truth]}を${labels[answer]}と答えた画像と、その確率`;
    pictures.replaceChildren(...images.map(({ pixels, confidence }) => element('div', { class: 'picture' },
      drawn(pixels, `正解は${labels[truth]}、答えは${labels[answer]}の画像`),
      element('span', {}, confidence.toFixed(3)))));
    message.say(sentence(truth, answer, count, images.length));
    if (tools.moves()) {
      [...pictures.children].forEach((node, order) => node.animate(
        [{ opacity: 0, transform: 'scale(0.8)' }, { opacity: 1, transform: 'none' }],
        { duration: 250, delay: 30 * order, easing: 'ease-out', fill: 'backwards' },
      ));
    }
  }

  function sentence(truth, answer, count, shown) {
    const share = (whole) => `${(100 * count / whole).toFixed(1)}%`;
    const [name, said] = [labels[truth], labels[answer]];
    if (!count) return `正解が${name}の${rows[truth]}枚の中に、${said}と答えた画像はありません。`;
    const facts = `正解が${name}の${rows[truth]}枚の${share(rows[truth])}、`
      + `${said}と答えた${columns[answer]}枚の${share(columns[answer])}です。`;
    if (truth === answer) return `${count}枚（図は確率の低い${shown}枚）。${facts}前者が再現率、後者が適合率です。`;
    return `${count}枚。${facts}${count > shown ? `確率の高い${shown}枚を並べました。` : ''}`;
  }

  /** 縮めた画素を広げ、黒の濃さで描く。 */
  function drawn(pixels, label) {
    const canvas = element('canvas', { width: SIDE, height: SIDE, role: 'img', 'aria-label': label });
    const context = canvas.getContext('2d');
    const picture = context.createImageData(SIDE, SIDE);
    let place = 0;
    for (const letter of pixels) {
      const zeros = letter.charCodeAt(0) - 'f'.charCodeAt(0);
      if (zeros > 0) place += zeros;
      else {
        picture.data[4 * place + 3] = 17 * parseInt(letter, 16);
        place += 1;
      }
    }
    context.putImageData(picture, 0, 0);
    return canvas;
  }

  const control = tools.steps({
    label: '間違いの多い順', count: errors.length, onstep: (index) => show(errors[index]),
  });
  root.append(element('div', { class: 'confusion-matrix' }, map, picker, grid,
    element('div', { class: 'panel' }, title, pictures),
    message.node,
    element('div', { class: 'order' }, element('span', { class: 'interactive-label', 'aria-hidden': 'true' },
      '間違いの多い順'), control.node)));
});
