"""Sphinxの設定。働きはsrc/verified_book/の拡張に書き、ここには設定だけを置く。"""

import sys
from importlib.metadata import version as installed  # `version`はSphinxの設定名なので避ける
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parent / "src"))  # 複製した木でも、その木のsrcを使う

from verified_book import pytorch_docs

# -- 本 ----------------------------------------------------------------------

repository = "https://github.com/convergence-lab/Entering-PyTorch"
site = "https://convergence-lab.github.io/Entering-PyTorch/"

project = "Entering PyTorch"
author = "Convergence Lab and contributors"
copyright = "2026 Convergence Lab and contributors"
version = installed("entering-pytorch")
language = "ja"
locale_dirs = ["../src/verified_book/locale"]  # Sphinxとテーマに訳のない、画面の言葉
exclude_patterns = ["**/.ipynb_checkpoints"]

extensions = [
    "myst_nb",
    "notfound.extension",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_exercise",
    "sphinx_togglebutton",
    "sphinxcontrib.bibtex",
    "verified_book.api_links",
    "verified_book.assets",
    "verified_book.bench_table",
    "verified_book.chapter_numbers",
    "verified_book.citation_styles",
    "verified_book.docstrings",
    "verified_book.epub",
    "verified_book.expectations",
    "verified_book.interactive_figures",
    "verified_book.katex",
    "verified_book.latex_book",
    "verified_book.measured",
    "verified_book.mutants",
    "verified_book.notebooks",
    "verified_book.provenance",
    "verified_book.rebuild",
    "verified_book.report_link",
    "verified_book.search",
    "verified_book.sharing",
]

# -- 本文 --------------------------------------------------------------------

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath", "substitution"]
myst_heading_anchors = 3
myst_footnote_sort = False  # 文献は「次に読むもの」の中に置く
myst_substitutions = {
    "repository": repository,
    "files": f"[PDF]({site}EnteringPyTorch.pdf)と[EPUB]({site}EnteringPyTorch.epub)",
    "torch": installed("torch").partition("+")[0],  # CPU版の`+cpu`は本文に要らない
    "torchvision": installed("torchvision").partition("+")[0],
}
numfig = True
numfig_format = {"figure": "図%s", "table": "表%s", "code-block": "コード%s"}
bibtex_bibfiles = ["docs/references.bib"]
bibtex_reference_style = "author_year"
html_math_renderer = "katex"  # verified_book.katex
copybutton_selector = "div:not(.output) > div.highlight > pre"  # 出力は写さない
copybutton_prompt_text = r">>> |\.\.\. |\$ |> "
copybutton_line_continuation_character = "\\"
copybutton_prompt_is_regexp = True
togglebutton_hint = "解答を見る"
togglebutton_hint_hide = "解答を隠す"

# -- 実行と検証（条件はpyproject.tomlの[tool.verified_book]） -------------------

nb_output_stderr = "remove-warn"  # 思わぬ警告を、`-W`で誤りにする
nb_mime_priority_overrides = [("latex", "image/svg+xml", 5)]  # PDFにしてから載せる
nb_code_prompt_show = "コードを見る"
nb_code_prompt_hide = "コードを隠す"

# -- APIの名前 ---------------------------------------------------------------

api_links_packages = ["torch", "torchvision"]
api_links_aliases = {"nn": "torch.nn", "F": "torch.nn.functional", "optim": "torch.optim"}
api_links_address = pytorch_docs.address
report_link_repository = repository
notebooks_repository = repository

napoleon_google_docstring = False
napoleon_use_rtype = False
autodoc_inherit_docstrings = False  # nn.Moduleの長い英語を写さない
autodoc_preserve_defaults = True  # 長い値ではなく、書かれたままの式を見せる
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
add_module_names = False  # モジュールの名前は見出しにある

# -- HTML --------------------------------------------------------------------

html_theme = "sphinx_book_theme"
html_title = "Entering PyTorch"
html_baseurl = site
sharing_publisher = "Convergence Lab"
sharing_license = "https://creativecommons.org/licenses/by/4.0/"
html_context = {"default_mode": "auto"}  # 端末の明暗に合わせる
html_favicon = "src/verified_book/static/mark.svg"
html_static_path = ["src/verified_book/static"]
html_static_path += [  # ブラウザーでモデルを動かす部品。読者が使うときだけ読み込む
    f"src/verified_book/node_modules/onnxruntime-web/dist/{name}"
    for name in ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
]
html_css_files = ["book.css"]
html_js_files = ["book.js"]
templates_path = ["src/verified_book/templates"]
html_use_index = False  # 漢字の一字ずつに分かれて引けない。用語集と検索がある
html_domain_indices = False
html_copy_source = False  # 原稿はリポジトリにある。期待値の混じった写しは置かない
html_sidebars = {
    "**": [
        "navbar-logo.html",
        "search-button-field.html",
        "search-noscript.html",
        "sbt-sidebar-nav.html",
    ]
}
html_theme_options = {
    "repository_url": repository,
    "use_repository_button": True,
    "use_download_button": False,  # 原稿の.mdはColabで開けない
    "use_fullscreen_button": False,
    "show_toc_level": 2,
    "search_bar_text": "サイト内を検索",
    "icon_links_label": "関連するサイト",
    "logo": {"text": project, "image_light": "_static/mark.svg", "image_dark": "_static/mark.svg"},
    "navbar_persistent": [],  # 検索は左の目次と、上のボタンにある
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "article_footer_items": ["report-link.html"],
    "footer_content_items": ["licence.html"],
}
# 404のページはどの深さの番地にも現れるので、絶対パスで書かれる
notfound_urls_prefix = urlsplit(site).path
notfound_context = {
    "title": "ページが見つかりません",
    "body": "<h1>ページが見つかりません</h1><p>番地が変わったか、まだ書かれていないページです。"
    "左の目次か検索から、読みたい章を探してください。</p>",
}

# -- EPUB（verified_book.epub） ------------------------------------------------

pygments_style = "a11y-high-contrast-light"  # サイトの配色は、テーマの設定が決める
epub_title = "Entering PyTorch：動かして学ぶPyTorch入門"
epub_description = "Pythonを知っている人のための、実行例が検証される日本語のPyTorch入門書"
epub_contributor = "Convergence Lab"
epub_identifier = site
epub_scheme = "URL"
epub_uid = "book"
epub_tocscope = "includehidden"
epub_tocdepth = 2
epub_tocdup = False
epub_show_urls = "no"  # リンクは押せるので、番地を本文に並べない
epub_cover = ("_images/cover.png", "epub-cover.html")

# -- PDF（verified_book.latex_book、verified_book.pdf） --------------------------

latex_engine = "lualatex"
latex_docclass = {"manual": "ltjsbook"}
latex_documents = [("index", "EnteringPyTorch.tex", "動かして学ぶPyTorch入門", author, "manual")]
latex_additional_files = ["src/verified_book/latex/verifiedbook.sty"]
latex_domain_indices = False  # 索引は、目次と用語集で足りる
latex_use_xindy = False
latex_elements = {
    "babel": "",
    "polyglossia": "",
    "fncychap": "",
    "papersize": "a4paper",
    "pointsize": "10pt",
    "extraclassoptions": "oneside,openany",
    "fontpkg": r"\usepackage{luatexja-fontspec}\usepackage[haranoaji]{luatexja-preset}",
    "makeindex": "",
    "printindex": "",
    "figure_align": "H",  # 図は、本文で触れた場所に置く
    "sphinxsetup": "verbatimforcewraps=true, hmargin={24mm,24mm}, vmargin={26mm,26mm},"
    "verbatimwithframe=true, VerbatimColor={HTML}{F5F7FA}, VerbatimBorderColor={HTML}{C9D2DC},"
    "InnerLinkColor={HTML}{005F9E}, OuterLinkColor={HTML}{005F9E}, TitleColor={HTML}{14181D}",
    "preamble": r"\usepackage{verifiedbook}",
}
