# 本のコマンド。読者と著者が使うものは `make help` に出る。
PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)
# 複製した木が元の木の.venvを借りていても、この木のコードを動かす
export PYTHONPATH := $(CURDIR)/src
export PYTHONUNBUFFERED := 1
K ?=
READY := .venv/ready
NODE_READY := src/verified_book/node_modules/.package-lock.json
SPHINX := python -m sphinx -W -n -j auto -c . -d _build/doctrees
.DEFAULT_GOAL := help
.NOTPARALLEL: # HTML、EPUB、PDFは、読み終えたページ（doctrees）を共有する
.PHONY: help html epub pdf test doctest accept serve matrix mutants bench draw lint links data lock clean

help: ## この一覧を表示する
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

html: $(READY) $(NODE_READY) data ## 本を組み立てる（初めての時は、必要なものもすべて用意する）
	@$(SPHINX) docs _build/html
	@echo "できました。make serve で読むか、$(CURDIR)/_build/html/index.html をブラウザーで開いてください。"

epub: $(READY) $(NODE_READY) data ## 本を電子書籍のファイル（EPUB）にする
	@rm -rf _build/epub && { $(SPHINX) -b epub docs _build/epub || { rm -rf _build/epub; exit 1; }; }
	@echo "できました：$(CURDIR)/_build/epub/EnteringPyTorch.epub"

pdf: $(READY) $(NODE_READY) data ## 本をPDFにする（LuaLaTeXを使う）
	@python -m verified_book.pdf check && rm -rf _build/latex && $(SPHINX) -b latex docs _build/latex && python -m verified_book.pdf
	@echo "できました：$(CURDIR)/_build/pdf/EnteringPyTorch.pdf"

test: html epub ## ライブラリ、章、サイトをすべて確かめる
	@python -m pytest

doctest: $(READY) data ## 本文とdocstringの例を確かめる（K=tensor で章を選ぶ）
	@python -m pytest docs src tests/chapters $(if $(K),-k "$(K)")

accept: $(READY) data ## 実際の出力を期待値に書き込む（K=tensor で章を選ぶ）
	@python -m verified_book.accept $(K)

serve: $(READY) $(NODE_READY) data ## 組み立てて127.0.0.1で開き、変更のたびに組み立て直す
	@python -m sphinx_autobuild --host 127.0.0.1 --watch src --watch imgs -n -c . -d _build/doctrees docs _build/html

matrix: $(READY) data ## ほかの版のPyTorchとPythonで、すべての例を確かめる（K=3.13 で環境を選ぶ）
	@python -m verified_book.matrix $(K)

mutants: $(READY) $(NODE_READY) data ## 誤りを植え、検証が見つけた数を数える（K=tensor で章を、SAMPLE=60 で標本を選ぶ）
	@python -m verified_book.mutants --chapter "$(K)" $(if $(SAMPLE),--sample $(SAMPLE))

bench: html ## 速さと軽さを測り、表にする（K=training で部を、K="page tensor" でページも選ぶ）
	@PYTHONPATH=$(PYTHONPATH):tests/site python tests/benchmarks/bench.py $(K)

draw: html ## 数字を書く図に200枚を書かせ、正しく読めた数を測り直す
	@PYTHONPATH=$(PYTHONPATH):tests/site python tests/benchmarks/draw.py

lint: $(READY) $(NODE_READY) ## コードと日本語の書き方を確かめる
	@ruff format --check --quiet . && ruff check --quiet .
	@cd src/verified_book && npx --no-install textlint --config textlint/textlintrc.json "../../docs/**/*.md" ../../README.md
	@python -m verified_book.lint

links: html ## できあがったサイトの内部リンクとアンカーを確かめる
	@lychee --offline --include-fragments --no-progress _build/html

data: $(READY) ## MNISTをdata/に置き、中身を確かめる
	@python -m entering_pytorch.data --root data

lock: $(READY) ## requirements.lockを作り直す
	@uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-header --no-annotate -o requirements.lock.part pyproject.toml
	@grep -vE '^(nvidia-|cuda-|triton)' requirements.lock.part > requirements.lock && rm requirements.lock.part

clean: ## 組み立てたものと実行結果を消す（.venvとdataは残す）
	@rm -rf _build

# 途中で止められたインストールは信用せず、初めからやり直す
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11以上が必要です。make PYTHON=python3.12 のように指定してください。")'
	@if [ -e .venv/installing ]; then rm -rf .venv; fi; $(PYTHON) -m venv .venv && touch .venv/installing
	python -m pip install --disable-pip-version-check -r requirements.lock && python -m pip install --quiet --disable-pip-version-check --no-deps -e . && mv .venv/installing $@

$(NODE_READY): src/verified_book/package.json src/verified_book/package-lock.json $(READY)
	npm ci --prefix src/verified_book --no-audit --no-fund && touch $@
