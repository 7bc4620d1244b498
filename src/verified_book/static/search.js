/* 本の中を探す。探すデータはverified_book.searchが作り、初めて使うときに読み込む。 */

(() => {
  'use strict';

  const BATCH = 20; // 窓に出す結果の数。検索のページでは、この数ずつ並べていく
  const AROUND = 70; // 長い文で、見つけた語の前後に見せる文字の数
  const START = '日本語、英語、コードの一部で探せます。↑と↓で選び、Enterで開きます。';
  const LOADING = '検索のデータを読み込んでいます。';
  const FAILED = '検索のデータを読み込めません。ページを読み込み直してください。';

  const forms = document.querySelectorAll('form.bd-search');
  if (!forms.length) return;
  const root = new URL('.', forms[0].action); // search.htmlのある、サイトの根
  let sections;
  let loading;

  // -- 探す --------------------------------------------------------------

  /** 全角と半角、大文字と小文字、横棒の種類の違いをなくす。 */
  const normalize = (text) =>
    text.normalize('NFKC').toLowerCase().replace(/[\u2010-\u2015\u2212]/g, '-');

  /** 語を探す正規表現。三字以上の片仮名の終わりにある長音は、あってもなくてもよい。 */
  const pattern = (word) => {
    const escaped = word.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
    const source = escaped.replace(/[ァ-ヺー]{3,}/g, (run, at) => {
      const stem = run.replace(/ー$/, '');
      if (stem.length < 3 || stem.endsWith('ー')) return run;
      if (stem !== run) return `${stem}(?:ー|(?![ァ-ヺー]))`;
      return at + run.length < escaped.length ? `${run}ー?` : run;
    });
    return new RegExp(source, 'g');
  };

  const has = (text, test) => text.search(test) >= 0;

  /** 読み込んだデータを、節の並びにする。 */
  const prepare = (pages) =>
    pages.flatMap(([page, parts]) =>
      parts.map(([anchor, heading, text = '', terms = '', glossary = 0]) => ({
        url: anchor ? `${page}#${anchor}` : page,
        title: parts[0][1],
        heading,
        text,
        glossary,
        terms: normalize(terms),
        bare: normalize(heading).replace(/^[\d.]+ /, ''),
        norm: normalize(`${heading}\n${text}`),
      })),
    );

  /** 並べる順。題が同じ、題に含む、用語集の項目、初出の説明、その他。 */
  const rank = (section, tests, query) => {
    if (section.bare === query) return 4;
    if (tests.every((test) => has(section.bare, test))) return 3;
    if (section.glossary) return 2;
    return tests.every((test) => has(section.terms, test)) ? 1 : 0;
  };

  /** すべての語を含む節を、並べる順に返す。 */
  const find = (words) => {
    const tests = words.map(pattern);
    const found = [];
    for (const section of sections) {
      let hits = 0;
      for (const test of tests) {
        const matches = section.norm.match(test);
        hits = matches ? hits + matches.length : NaN;
      }
      if (hits) found.push({ section, hits, rank: rank(section, tests, words.join(' ')) });
    }
    return found.sort((a, b) => b.rank - a.rank || b.hits - a.hits).map((f) => f.section);
  };

  const element = (tag, ...children) => {
    const node = document.createElement(tag);
    node.append(...children);
    return node;
  };

  // -- 見つけた文 --------------------------------------------------------

  /** 語が現れる範囲を、元の文字列での[始め, 終わり]で返す。 */
  const spans = (text, tests) => {
    let norm = '';
    const at = [];
    for (const { 0: letter, index } of text.matchAll(/[^][\p{M}\uff9e\uff9f]*/gu)) {
      norm += normalize(letter);
      while (at.length < norm.length) at.push([index, index + letter.length]);
    }
    return tests
      .flatMap((test) => [...norm.matchAll(test)])
      .map(({ 0: hit, index }) => [at[index][0], at[index + hit.length - 1][1]])
      .sort((a, b) => a[0] - b[0]);
  };

  /** 語が現れる部分を<mark>で囲む。 */
  const highlight = (text, tests) => {
    const nodes = [];
    let end = 0;
    for (const [from, to] of spans(text, tests)) {
      if (from < end) continue;
      nodes.push(text.slice(end, from), element('mark', text.slice(from, to)));
      end = to;
    }
    return [...nodes, text.slice(end)];
  };

  /** 範囲のある一文を切り出す。長ければ、範囲の前後だけにする。 */
  const sentence = (line, [from, to]) => {
    let start = 0;
    let stop = line.length;
    for (const { index } of line.matchAll(/[。？！]/g)) {
      if (index < from) start = index + 1;
      else if (index + 1 >= to) stop = Math.min(stop, index + 1);
    }
    const first = Math.max(start, from - AROUND);
    const last = Math.min(stop, to + AROUND);
    return (first > start ? '…' : '') + line.slice(first, last) + (last < stop ? '…' : '');
  };

  /** 語のそれぞれについて、本文でその語を含む文を選ぶ。見出しにしかなければ、本文の初めにする。 */
  const excerpts = ({ text }, tests) => {
    const lines = text.split('\n');
    const chosen = [];
    for (const test of tests) {
      if (chosen.some((one) => has(normalize(one), test))) continue;
      const line = lines.find((one) => has(normalize(one), test));
      if (line) chosen.push(sentence(line, spans(line, [test])[0]));
    }
    return chosen.length ? chosen : [sentence(lines[0], [0, Math.min(AROUND, lines[0].length)])];
  };

  // -- 見せる ------------------------------------------------------------

  const anchor = (href, ...children) => Object.assign(element('a', ...children), { href });

  const item = (section, tests) => {
    const link = anchor(new URL(section.url, root), ...highlight(section.heading, tests));
    if (section.heading !== section.title) link.prepend(`${section.title} › `);
    return element(
      'li',
      link,
      ...excerpts(section, tests).map((text) => element('p', ...highlight(text, tests))),
    );
  };

  const load = () => {
    loading ??= new Promise((resolve, reject) => {
      const script = element('script');
      script.src = new URL('_static/search-data.js', root);
      script.onload = () => resolve((sections ??= prepare(window.bookSearchData)));
      script.onerror = () => reject((loading = undefined));
      document.head.append(script);
    });
    return loading;
  };

  const attach = (form) => {
    const input = form.querySelector('input');
    const dialog = form.closest('dialog');
    const box = dialog?.appendChild(element('div')) ?? document.getElementById('search-results');
    if (!box) return;
    dialog?.setAttribute('aria-label', '検索');
    const status = element('p', START);
    const list = element('ol');
    const more = element('p');
    status.setAttribute('role', 'status');
    status.setAttribute('aria-live', 'polite');
    box.className = 'book-search';
    box.append(status, list, more);

    let waiting;
    const append = (found, tests) => {
      list.append(...found.slice(0, BATCH).map((section) => item(section, tests)));
      const rest = found.slice(BATCH);
      if (rest.length) waiting = setTimeout(append, 0, rest, tests);
    };

    const show = () => {
      clearTimeout(waiting);
      const query = input.value.trim();
      const words = normalize(query).split(/\s+/).filter(Boolean);
      list.replaceChildren();
      more.replaceChildren();
      if (!words.length) {
        status.textContent = START;
      } else if (!sections) {
        status.textContent = LOADING;
        load().then(show, () => (status.textContent = FAILED));
      } else {
        answer(query, words);
      }
    };

    const answer = (query, words) => {
      const found = find(words);
      const shown = dialog ? found.slice(0, BATCH) : found;
      append(shown, words.map(pattern));
      if (!found.length) {
        const advice = words.length > 1 ? '語を減らす' : '短い語や別の言い方にする';
        status.textContent = `「${query}」を含む節はありません。${advice}と、見つかることがあります。`;
        more.append(anchor(new URL('appendix/glossary.html', root), '用語集から探す'));
        return;
      }
      status.textContent = `「${query}」を含む節：${found.length}件`;
      if (found.length > shown.length) {
        const all = new URL('search.html', root);
        all.searchParams.set('q', query);
        more.append(anchor(all, `${found.length}件すべてを見る`));
      }
    };

    const move = (event) => {
      if (event.key === 'Escape') dialog?.close(); // Sphinxのスクリプトが、初めからの動きを止める
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const stops = [input, ...box.querySelectorAll('a')];
      const next = stops[stops.indexOf(document.activeElement) + step];
      if (!next) return;
      event.preventDefault();
      next.focus();
    };

    for (const node of [form, box]) node.addEventListener('keydown', move);
    input.addEventListener('input', (event) => event.isComposing || show());
    input.addEventListener('compositionend', show);
    if (dialog) {
      input.addEventListener('focus', () => load().catch(() => {}), { once: true });
      box.addEventListener('click', (event) => event.target.closest('a') && dialog.close());
    } else {
      input.value = new URLSearchParams(location.search).get('q') ?? '';
      if (input.value) show();
      else input.focus();
    }
  };

  // 変換中のEnterとEscは、かな漢字変換のもの。送信にも、窓を閉じるのにも使わない
  const guard = (event) => {
    const composing = event.isComposing || event.keyCode === 229;
    if (!composing || !event.target.closest?.('form.bd-search')) return;
    event.stopImmediatePropagation();
    if (event.key === 'Enter') event.preventDefault();
  };

  window.addEventListener('keydown', guard, true);
  forms.forEach(attach);
})();
