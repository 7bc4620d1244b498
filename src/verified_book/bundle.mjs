// サイトの素材をまとめる：CSSは使われる規則だけを残して一つに、スクリプトは順につないで一つにする。
// 標準入力に{styles, scripts, tokens, widgets, out}のJSONを受け取り、bundle.cssとbundle.jsをoutに書く。
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build, transform } from "esbuild";
import { PurgeCSS } from "purgecss";

const { styles, scripts, tokens, widgets, out } = JSON.parse(readFileSync(0, "utf-8"));

const bundled = await build({
  stdin: {
    contents: styles.map((path) => `@import ${JSON.stringify(path)};`).join("\n"),
    loader: "css",
    resolveDir: out,
  },
  bundle: true,
  write: false,
  outdir: out,
  assetNames: "[name]",
  loader: { ".woff2": "file", ".svg": "dataurl", ".png": "file" },
  logLevel: "error",
});
for (const file of bundled.outputFiles.slice(0, -1)) writeFileSync(file.path, file.contents);

const [purged] = await new PurgeCSS().purge({
  content: [{ raw: tokens.join(" "), extension: "html" }],
  css: [{ raw: bundled.outputFiles.at(-1).text }],
  defaultExtractor: (content) => content.split(" "),
  keyframes: true,
  variables: true,
});
const css = await transform(purged.css, { loader: "css", minify: true });
writeFileSync(join(out, "bundle.css"), css.code);

/** テーマの持つBootstrap全体の代わりに、ページが使う部品（`data-bs-toggle`の値）だけを作る。 */
async function bootstrap() {
  const names = { collapse: "Collapse", dropdown: "Dropdown", modal: "Modal", tab: "Tab", tooltip: "Tooltip" };
  const lines = [...new Set([...widgets, "tooltip"])].map(
    (name) => `export { default as ${names[name]} } from "bootstrap/js/src/${name}.js";`,
  );
  const stdin = { contents: lines.join("\n"), resolveDir: import.meta.dirname };
  const built = await build({
    stdin,
    bundle: true,
    write: false,
    minify: true,
    format: "iife",
    globalName: "bootstrap",
    legalComments: "none",
  });
  return built.outputFiles[0].text;
}

/** テーマのスクリプトから、開いたときに全部の大きさを測るところを除く（book.jsが後で測る）。 */
function theme(path) {
  const source = readFileSync(path, "utf-8");
  const measured = /\["pre",[^\]]*\]\.join\(", "\)/;
  if (!measured.test(source)) throw new Error("テーマの、大きさを測るところが見つかりません。");
  return source.replace(measured, '":not(*)"');
}

/** 書かれた順に置き換える。元の言葉がなければ、黙って英語に戻らないように止める。 */
function replaced(path, pairs) {
  return pairs.reduce((text, [old, after]) => {
    if (!text.includes(old)) throw new Error(`${path}に、置き換えるところがありません：${old}`);
    return text.replaceAll(old, after);
  }, readFileSync(path, "utf-8"));
}

/** コードを写すボタンの、英語の言葉。 */
const COPY = [
  ["'Copy'", "'コピー'"],
  ["'Copy to clipboard'", "'クリップボードにコピー'"],
  ["'Copied!'", "'コピーしました'"],
  ["'Failed to copy'", "'コピーできませんでした'"],
];

/** 解答を開くボタンの名前。見える言葉と同じにする。 */
const TOGGLE = [
  ['aria-label="Toggle hidden content"', 'aria-label="${toggleHintShow}"'],
  ["button.dataset.toggleHint = toggleHintHide;", "button.ariaLabel = button.dataset.toggleHint = toggleHintHide;"],
  ["button.dataset.toggleHint = toggleHintShow;", "button.ariaLabel = button.dataset.toggleHint = toggleHintShow;"],
];

/** 束に入れるスクリプトの中身。 */
function source(path) {
  if (path.endsWith("/scripts/bootstrap.js")) return bootstrap();
  if (path.endsWith("/scripts/pydata-sphinx-theme.js")) return theme(path);
  if (path.endsWith("/copybutton.js")) return replaced(path, COPY);
  if (path.endsWith("/togglebutton.js")) return replaced(path, TOGGLE);
  return readFileSync(path, "utf-8");
}

const sources = await Promise.all(scripts.map(source));
// 始めの;は、先頭のファイルの"use strict"を、つないだ全体に及ぼさないため
const { code } = await transform(";" + sources.join("\n;\n"), {
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: "none",
});
writeFileSync(join(out, "bundle.js"), code);
