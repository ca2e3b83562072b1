# Everything the project does for its developers. Needs Python 3.11+, make and a package index; `make` alone lists it.
PYTHON ?= python3
VENV ?= .venv
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help demo test clients lint fmt bench soak lock clean

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet
COMPILE := $(BIN)/uv --no-config pip compile --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make lock" --quiet $(if $(UPGRADE),--upgrade)

help: ## list what make can do
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.installed ## make a video from start to end at the built-in simulator: no key, no cost
	$(BIN)/sora-mcp demo

test: $(VENV)/.installed-dev ## run the tests, and measure what they cover
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -n 3 $(ARGS)
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

clients: $(VENV)/.installed-dev ## drive the server with clients that are fetched from npm
	$(BIN)/python -m pytest tests/clients -m npm $(ARGS)

lint: $(VENV)/.installed-dev ## check format, style, types and the direction of imports
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-logo

fmt: $(VENV)/.installed-dev ## put the code into its format
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(VENV)/.installed-dev ## measure start-up, calls and memory against a bare server; fails beyond the limits
	$(BIN)/python tests/bench/bench_server.py $(ARGS)

soak: $(VENV)/.installed-dev ## run the long tests: many seeded random schedules
	$(BIN)/python -m pytest -n 3 -m soak $(ARGS)

lock: $(VENV)/.installed-dev ## bring the lock files up to pyproject.toml (UPGRADE=1: to the newest versions)
	$(COMPILE) pyproject.toml --output-file requirements.lock
	$(COMPILE) pyproject.toml --group dev --group build --constraints requirements.lock --output-file requirements-dev.lock
	$(COMPILE) --group build --constraints requirements-dev.lock --output-file requirements-build.lock

clean: ## remove what make has made
	rm -rf $(VENV) .coverage .coverage.* .hypothesis .import_linter_cache .ruff_cache build dist

# Installing takes nothing but what the lock files name, to the byte; the project itself is one path into this folder.
$(VENV)/.installed: $(VENV)/.made requirements.lock requirements-build.lock pyproject.toml
	$(PIP) --require-hashes -r requirements.lock -r requirements-build.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	"sora-mcp needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ": make PYTHON=/path/to/a/newer/one")'
	$(PYTHON) -m venv $(VENV)
	@touch $@
