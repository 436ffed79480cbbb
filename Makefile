# Everything runs from a bare machine with Python 3.11 or newer (with its venv module) and make.
#
#   PYTHON=python3.12   the interpreter that makes the virtual environment
#   VENV=path           where the environment lives (default .venv)
#   JOBS=2              test workers (default: one per core)
#   ARGS="-k growth"    further arguments of pytest
#   OUT=results/name    the result folder that `make report` rebuilds (default: the newest)

PYTHON ?= python3
VENV ?= .venv
JOBS ?= auto
ARGS ?=
OUT ?= $(patsubst %/,%,$(firstword $(shell ls -td results/*/ 2>/dev/null)))

RUN := $(VENV)/bin/python
UV := 0.13.9
LOCK := .cache/lock

.PHONY: help install demo test check lint types imports verify bench report lock clean
.DEFAULT_GOAL := help

help:            ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' Makefile

install: $(VENV)/.stamp   ## the virtual environment: locked packages, this clone in place

$(VENV)/.locked: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; $(PYTHON) is %d.%d. Try: make PYTHON=python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.stamp: $(VENV)/.locked pyproject.toml
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: install    ## compare the manual and the automated HiCM-188 line, 20 replications each
	$(RUN) simulate.py compare hicm188_manual hicm188_automated --reps 20

test: install    ## the tests, without the long statistical ones
	$(RUN) -m pytest -n $(JOBS) --dist loadfile $(ARGS)

check: lint types imports   ## ruff, mypy --strict and the import contracts

lint: install
	$(RUN) -m ruff check .

types: install
	$(RUN) -m mypy

imports: install
	$(VENV)/bin/lint-imports --no-logo --cache-dir .cache/import_linter

verify: install  ## the long statistical checks against theory
	$(RUN) -m pytest -n $(JOBS) -m verify --timeout 3600 $(ARGS)

bench: install   ## cost of an engine event and of whole studies, as JSON; the rivals need: pip install '.[bench]'
	$(RUN) benchmarks/engine.py
	$(RUN) benchmarks/twin.py
	$(RUN) benchmarks/study.py

report: install  ## rebuild the report of a result folder: OUT=results/name, else the newest
	@test -n "$(OUT)" || { echo "no result folder under results/; run 'make demo' first or give OUT=folder" >&2; exit 2; }
	$(RUN) simulate.py report $(OUT)

lock:            ## write requirements.lock anew for pyproject.toml; UPGRADE=1 raises every version
	$(PYTHON) -m venv $(LOCK)
	$(LOCK)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV)
	$(LOCK)/bin/uv pip compile pyproject.toml --extra dev --universal --fork-strategy fewest --python-version 3.11 \
	    --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command "make lock" \
	    $(if $(UPGRADE),--upgrade) --quiet --output-file requirements.lock

clean:           ## remove the environment, caches and build output; results stay
	rm -rf .venv .cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
