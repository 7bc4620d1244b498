"""日本語の検索。見つかるべき節がすべて見つかり、語を含まない節は一つも出ないか。

正解は、search_reference.pyがサイトのHTMLから求める。検索は、本物のブラウザーで`file://`のページを
開き、検索の欄に入れて、並んだ結果を読む。
"""

import gzip
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, Locator, Page, expect
from search_reference import Where, holds, normalize, read_site
from sphinx.util.inventory import InventoryFile
from test_accessibility import AXE, RUN
from test_browser import served

QUERIES = tomllib.loads((Path(__file__).parent / "queries.toml").read_text("utf-8"))
DIALOG = "#pst-search-dialog"
API_NAME = re.compile(r"(?:torch|torchvision|nn|F|optim)(?:\.\w+)+")
# 語を順に入れ、結果が並び終わるのを待って読む
ASK = """
async queries => {
  const input = document.querySelector(".bd-search-container input");
  const box = document.querySelector(".bd-search-container .book-search");
  const [status, list] = [box.querySelector("[role=status]"), box.querySelector("ol")];
  const pause = () => new Promise(resolve => setTimeout(resolve));
  const answers = [];
  for (const query of queries) {
    input.value = query;
    input.dispatchEvent(new Event("input"));
    for (let n = 0; n < 1000 && !status.textContent.startsWith("「"); n++) await pause();
    const count = Number(/：(\\d+)件$/.exec(status.textContent)?.[1] ?? 0);
    for (let n = 0; n < 1000 && list.children.length < count; n++) await pause();
    answers.push([...list.children].map(item => ({
      url: item.querySelector("a").href,
      shown: [...item.children].map(part => part.textContent),
      marks: [...item.querySelectorAll("mark")].map(mark => mark.textContent),
    })));
  }
  return answers;
}
"""
Answers = dict[str, list[dict]]


@pytest.fixture(scope="module")
def sections(site: Path) -> dict[Where, tuple[str, str]]:
    return read_site(site)


@pytest.fixture(scope="module")
def ask(browser: Browser) -> Iterator[Callable[..., Answers]]:
    """サイトの検索のページに語を入れ、語ごとの結果を返す関数。"""
    context = browser.new_context(locale="ja-JP")

    def run(site: Path, queries: list[str], fault: str = "") -> Answers:
        page = context.new_page()
        page.add_init_script(fault)
        page.goto((site / "search.html").as_uri())
        answers = dict(zip(queries, page.evaluate(ASK, queries), strict=True))
        page.close()
        for results in answers.values():
            for result in results:
                result["place"] = place(result["url"], site)
        return answers

    yield run
    context.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(locale="ja-JP")
    yield context.new_page()
    context.close()


def place(url: str, site: Path) -> Where:
    parts = urlsplit(url)
    path = Path(unquote(parts.path)).relative_to(site.resolve())
    return str(path), unquote(parts.fragment)


def marks_fit(words: list[str], marked: list[str]) -> bool:
    """印のついた部分が、どれも入れた語の一つで、一つはあるか。長音のありなしだけは違ってよい。"""
    known = {word.replace("ー", "") for word in words}
    return bool(marked) and {mark.replace("ー", "") for mark in marked} <= known


def faults(sections: dict[Where, tuple[str, str]], answers: Answers) -> list[str]:
    """見つからない節、語を含まない結果、語の見えない結果。"""
    texts = {where: "\n".join(section) for where, section in sections.items()}
    found = []
    for query, results in answers.items():
        right = {where for where, text in texts.items() if holds(text, query)}
        places = [result["place"] for result in results]
        found += [f"{query}: 見つからない {where}" for where in sorted(right - set(places))]
        found += [f"{query}: 含まない {where}" for where in places if where not in right]
        found += [f"{query}: 二度 {where}" for where in set(places) if places.count(where) > 1]
        words = normalize(query).split()
        for result in results:
            marked = [normalize(mark) for mark in result["marks"]]
            if not holds("\n".join(result["shown"]), query) or not marks_fit(words, marked):
                found.append(f"{query}: 語が見えない {result}")
    return found


def names_in_book(site: Path) -> set[tuple[str, str]]:
    """本文に現れる用語とその英語、見出し、APIの名前を、現れるページとともに集める。"""
    found = set()
    for path in sorted(site.rglob("*.html")):
        page = BeautifulSoup(path.read_text("utf-8"), "html.parser")
        name, article = str(path.relative_to(site)), page.select_one("article")
        if article is None or name == "404.html":
            continue
        for node in article.select(".headerlink, .katex"):
            node.decompose()
        for term in article.select("dl.glossary dt"):
            english = term.find_next_sibling("dd").get_text(" ", strip=True).partition("。")[0]
            found |= {(term.get_text(), name), (english, name)}
        found |= {(h.get_text(), name) for h in article.select("h1, h2, h3, h4, h5, h6")}
        codes = (API_NAME.match(code.get_text()) for code in article.select("code"))
        found |= {(code[0], name) for code in codes if code}
    objects = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    for kind, items in objects.data.items():
        if kind.startswith("py:"):
            found |= {(name, item.uri.partition("#")[0]) for name, item in items.items()}
    return found


def data(site: Path) -> list:
    script = (site / "_static" / "search-data.js").read_text("utf-8")
    return json.loads(script.removeprefix("window.bookSearchData=").removesuffix(";\n"))


def test_data_holds_every_section_as_the_pages_show_it(
    site: Path, sections: dict[Where, tuple[str, str]]
) -> None:
    def letters(text: str) -> str:
        return "".join(normalize(text).split())

    held = {
        (url, part[0]): (letters(part[1]), letters("".join(part[2:3])))
        for url, parts in data(site)
        for part in parts
    }
    assert held == {where: (letters(h), letters(t)) for where, (h, t) in sections.items()}


def test_every_term_heading_and_api_name_is_found(site: Path, sections, ask) -> None:
    names = names_in_book(site)
    answers = ask(site, sorted({query for query, _ in names}))
    assert len(answers) > 300
    assert faults(sections, answers) == []
    for query, name in names:
        assert name in {result["place"][0] for result in answers[query]}, query


def test_hundred_queries_by_hand(site: Path, sections, ask) -> None:
    pages = {query: right for group in QUERIES.values() for query, right in group.items()}
    assert len(pages) >= 100
    answers = ask(site, list(pages))
    assert faults(sections, answers) == []
    for query, right in pages.items():
        found = {result["place"][0].removesuffix(".html") for result in answers[query]}
        assert set(right) <= found, query
        assert bool(right) == bool(found), query


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("損失関数", "8. 損失関数"),
        ("loss function", "用語集 › 損失関数"),
        ("学習率", "用語集 › 学習率"),
        ("自動微分", "5. 自動微分"),
        ("テンソルの操作", "3. テンソルの操作"),
        ("ensure_mnist", "ライブラリのAPI › entering_pytorch.data.ensure_mnist"),
        ("zero_grad", "2. 手書き数字の認識 › zero_gradの忘れ"),
    ],
)
def test_the_best_result_comes_first(site: Path, ask, query: str, first: str) -> None:
    assert ask(site, [query])[query][0]["shown"][0] == first


def test_result_shows_the_sentence(site: Path, ask) -> None:
    ((result,),) = ask(site, ["ﾊﾟﾗﾒｰﾀｰ(parameter)を動かす"]).values()
    title, sentence = result["shown"]
    assert title == "5. 自動微分 › 損失を減らす向き"
    assert sentence.startswith("学習とは、損失関数（loss function）の値が減る向きへパラメータ（")
    assert sentence.endswith("を動かす作業です。")
    assert result["marks"] == ["パラメータ（parameter）を動かす"]


# -- 植えた誤り --------------------------------------------------------------


def plant(site: Path, change: Callable[[list], object]) -> None:
    pages = data(site)
    change(pages)
    text = json.dumps(pages, ensure_ascii=False)
    (site / "_static" / "search-data.js").write_text(f"window.bookSearchData={text};\n", "utf-8")


def test_lost_section_is_found(site_copy: Path, sections, ask) -> None:
    def lose(pages: list) -> None:
        parts = next(parts for url, parts in pages if url == "appendix/glossary.html")
        parts.remove(next(part for part in parts if part[1] == "損失関数"))

    plant(site_copy, lose)
    (fault,) = faults(sections, ask(site_copy, ["損失関数"]))
    assert "見つからない ('appendix/glossary.html', 'term-" in fault


def test_section_without_the_query_is_found(site_copy: Path, sections, ask) -> None:
    plant(site_copy, lambda pages: pages[0][1].append(["id9", "余計な節", "損失関数の話。"]))
    (fault,) = faults(sections, ask(site_copy, ["損失関数"]))
    assert "含まない ('index.html', 'id9')" in fault


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("String.prototype.normalize = function () { return `${this}`; }", "見つからない"),
        ("String.prototype.toLowerCase = function () { return `${this}`; }", "見つからない"),
        ("String.prototype.match = () => ['どこにでもある']", "含まない"),
        ("String.prototype.search = () => -1", "語が見えない"),
        ("String.prototype.slice = function () { return ''; }", "語が見えない"),
    ],
)
def test_broken_script_is_found(site: Path, sections, ask, fault: str, message: str) -> None:
    answers = ask(site, ["損失関数", "Ｂａｃｋｗａｒｄ", "勾配 累積"], fault)
    assert message in "\n".join(faults(sections, answers))


# -- 軽さ ------------------------------------------------------------------


def test_data_is_small(site: Path) -> None:
    packed = gzip.compress((site / "_static" / "search-data.js").read_bytes(), 9, mtime=0)
    letters = sum(len(part[1]) + len("".join(part[2:3])) for _, ps in data(site) for part in ps)
    assert letters > 100_000
    assert len(packed) / letters <= 1.0


def test_data_is_loaded_on_first_use_and_sphinx_search_is_gone(site: Path, page: Page) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url.rpartition("/")[2]))
    page.goto((site / "start" / "tensor.html").as_uri())
    assert "search-data.js" not in requests
    page.keyboard.press("Control+k")
    page.wait_for_function("window.bookSearchData")
    assert requests.count("search-data.js") == 1
    for name in ("searchindex.js", "_static/searchtools.js", "_static/language_data.js"):
        assert not (site / name).exists()
        assert Path(name).name not in "".join(requests)


# -- 使い方 ----------------------------------------------------------------


@pytest.fixture
def dialog(site: Path, page: Page) -> Page:
    """テンソルの章で、Ctrl+Kを押したところ。"""
    page.goto((site / "start" / "tensor.html").as_uri())
    page.keyboard.press("Control+k")
    expect(page.locator(f"{DIALOG} input")).to_be_focused()
    return page


def status(page: Page) -> Locator:
    return page.locator(f"{DIALOG} [role=status][aria-live=polite]")


def test_results_appear_while_typing_and_keys_choose_one(dialog: Page, site: Path) -> None:
    dialog.keyboard.type("学習")
    expect(status(dialog)).to_have_text(re.compile(r"^「学習」を含む節：\d+件$"))
    dialog.keyboard.type("率")
    expect(status(dialog)).to_have_text(re.compile("^「学習率」"))
    links = dialog.locator(f"{DIALOG} li a")
    dialog.keyboard.press("ArrowDown")
    expect(links.nth(0)).to_be_focused()
    dialog.keyboard.press("ArrowDown")
    expect(links.nth(1)).to_be_focused()
    outline = "getComputedStyle(document.activeElement, '::after').outlineStyle"
    assert dialog.evaluate(outline) == "solid"
    dialog.keyboard.press("ArrowUp")
    dialog.keyboard.press("ArrowUp")
    expect(dialog.locator(f"{DIALOG} input")).to_be_focused()
    dialog.keyboard.press("ArrowDown")
    dialog.keyboard.press("Enter")
    dialog.wait_for_url("**/appendix/glossary.html#*")
    target = dialog.locator(":target")
    assert target.inner_text().startswith("学習率")


def test_result_on_the_same_page_closes_the_dialog(dialog: Page) -> None:
    dialog.keyboard.type("市松模様")
    result = dialog.locator(f"{DIALOG} li").first
    box = result.bounding_box()
    result.click(position={"x": 30, "y": box["height"] - 15})  # 文のところを押しても開く
    dialog.wait_for_url("**/start/tensor.html#tensor-ex-board")
    expect(dialog.locator(DIALOG)).not_to_be_visible()


def test_enter_without_a_choice_opens_the_search_page(dialog: Page) -> None:
    dialog.keyboard.type("勾配 累積")
    dialog.keyboard.press("Enter")
    dialog.wait_for_url("**/search.html?q=*")
    expect(dialog.locator(".bd-search-container input")).to_have_value("勾配 累積")
    expect(dialog.locator(".bd-search-container [role=status]")).to_contain_text("「勾配 累積」")
    assert dialog.locator(".bd-search-container li").count() >= 3


@pytest.mark.parametrize("inside", [False, True])
def test_escape_closes_the_dialog(dialog: Page, inside: bool) -> None:
    dialog.keyboard.type("損失")
    expect(status(dialog)).to_contain_text("件")
    if inside:
        dialog.keyboard.press("ArrowDown")
    dialog.keyboard.press("Escape")
    expect(dialog.locator(DIALOG)).not_to_be_visible()


def test_dialog_leads_to_all_results(dialog: Page) -> None:
    dialog.keyboard.type("の")
    more = dialog.get_by_role("link", name="件すべてを見る")
    count = int(re.match(r"\d+", more.inner_text())[0])
    assert count > 100
    assert dialog.locator(f"{DIALOG} li").count() == 20
    more.click()
    expect(dialog.locator(".bd-search-container li")).to_have_count(count)


def test_nothing_found_says_what_to_try(dialog: Page) -> None:
    dialog.keyboard.type("クーバネティス")
    expect(status(dialog)).to_have_text(
        "「クーバネティス」を含む節はありません。短い語や別の言い方にすると、見つかることがあります。"
    )
    dialog.keyboard.type(" 勾配")
    expect(status(dialog)).to_contain_text("語を減らすと")
    dialog.keyboard.press("ArrowDown")
    dialog.keyboard.press("Enter")
    dialog.wait_for_url("**/appendix/glossary.html")


def test_composition_is_left_to_the_input_method(dialog: Page) -> None:
    cdp = dialog.context.new_cdp_session(dialog)
    start = status(dialog).inner_text()
    cdp.send(
        "Input.imeSetComposition", {"text": "そんしつ", "selectionStart": 4, "selectionEnd": 4}
    )
    expect(dialog.locator(f"{DIALOG} input")).to_have_value("そんしつ")
    for key in ("Enter", "Escape", "ArrowDown"):  # 変換の確定、取り消し、候補の選択
        prevented = dialog.evaluate(
            """key => !document.activeElement.dispatchEvent(new KeyboardEvent("keydown",
                 {key, isComposing: true, bubbles: true, cancelable: true}))""",
            key,
        )
        assert prevented == (key == "Enter")
    expect(dialog.locator(DIALOG)).to_be_visible()
    expect(dialog.locator(f"{DIALOG} input")).to_be_focused()
    expect(status(dialog)).to_have_text(start)
    cdp.send("Input.insertText", {"text": "損失"})
    expect(status(dialog)).to_contain_text("「損失」を含む節")
    assert "search.html" not in dialog.url


def test_search_works_on_a_server_and_on_the_missing_page(site: Path, page: Page) -> None:
    with served(site) as base:
        for name in ("start/tensor.html", "404.html"):
            page.goto(base + name)
            page.keyboard.press("Control+k")
            page.keyboard.type("市松模様")
            expect(status(page)).to_contain_text("件")
            link = page.locator(f"{DIALOG} li a").first
            assert link.evaluate("a => a.href").startswith(f"{base}start/tensor.html#")
            page.keyboard.press("Enter")
            page.wait_for_url(f"{base}search.html?q=*")


def test_data_that_does_not_load_is_told(site_copy: Path, page: Page) -> None:
    (site_copy / "_static" / "search-data.js").unlink()
    page.goto((site_copy / "index.html").as_uri())
    page.keyboard.press("Control+k")
    page.keyboard.type("損失")
    expect(status(page)).to_contain_text("読み込めません")


@pytest.mark.parametrize("width", [390, 1280])
def test_results_fit_the_width(site: Path, browser: Browser, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844}, locale="ja-JP")
    page = context.new_page()
    page.goto((site / "search.html").as_uri() + "?q=torch")
    expect(page.locator(".bd-search-container li").nth(10)).to_be_attached()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.goto((site / "index.html").as_uri())
    if width == 390:
        page.locator(".search-button__button:visible").click()
    else:
        page.locator(".search-button-field").click()
    page.keyboard.type("torch")
    expect(status(page)).to_contain_text("件")
    box = page.locator(DIALOG).bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert box["y"] + box["height"] <= 844
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_the_results(site: Path, browser: Browser, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme, locale="ja-JP")
    page = context.new_page()
    page.goto((site / "start" / "tensor.html").as_uri())
    page.keyboard.press("Control+k")
    page.keyboard.type("勾配")
    expect(status(page)).to_contain_text("件")
    page.add_script_tag(path=AXE)
    assert page.evaluate(RUN.replace("document", f"'{DIALOG}'")) == []
    context.close()


def test_without_javascript_the_page_says_so(site: Path, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False, locale="ja-JP")
    page = context.new_page()
    page.goto((site / "search.html").as_uri())
    sentence = page.locator(".bd-search-container p", has_text="検索にはJavaScriptが必要です。")
    assert sentence.is_visible()
    for label, name in (("用語集", "appendix/glossary.html"), ("目次", "index.html")):
        assert sentence.get_by_role("link", name=label).get_attribute("href") == name
        assert (site / name).exists()
    page.goto((site / "start" / "tensor.html").as_uri())
    expect(page.locator(".bd-sidebar-primary noscript p")).to_be_visible()
    context.close()
