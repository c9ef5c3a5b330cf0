# Each target makes the environment it needs, once; a changed pyproject.toml or constraints.txt makes it anew.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
CONFIG ?= cpu
EXAMPLE := src/cbldm/examples/pt_example.gr

# More threads than this slow down matrices of a few hundred atoms.
export OMP_NUM_THREADS ?= 2

# Two processes of one thread each; the tests of a file share what it sets up.
PYTEST = OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n 2 --dist loadfile

EXTRAS_core :=
EXTRAS_train := [train]
EXTRAS_dev := [dev]
EXTRAS_bench := [bench]

.PHONY: help demo test test-all lint bench train

help:
	@echo "make demo                    solve the bundled example into demo-output/"
	@echo "make test                    lint, types and every test but the slow ones"
	@echo "make test-all                the slow tests too"
	@echo "make bench                   time the code against others'"
	@echo "make train CONFIG=cpu  train a model from nothing"

demo: $(VENV)/.installed-core
	$(VENV)/bin/cbldm solve $(EXAMPLE) --out demo-output

lint: $(VENV)/.installed-dev
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m ruff format --check .
	$(VENV)/bin/python -m mypy

test: lint
	$(PYTEST) -m "not slow"

test-all: lint
	$(PYTEST)

bench: $(VENV)/.installed-bench
	for script in benchmarks/*.py; do $(VENV)/bin/python "$$script"; done

train: $(VENV)/.installed-train
	$(VENV)/bin/cbldm train $(CONFIG)

$(VENV)/bin/pip:
	@[[ -n "$(PYTHON)" ]] && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	|| { echo "cbldm needs Python 3.11 or newer, got '$(PYTHON)': say make PYTHON=/path/to/python3.11" >&2; exit 2; }
	"$(PYTHON)" -m venv $(VENV)

$(VENV)/.installed-%: pyproject.toml constraints.txt | $(VENV)/bin/pip
	@echo "installing cbldm$(EXTRAS_$*) into $(VENV); the first time takes minutes"
	$(VENV)/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e ".$(EXTRAS_$*)"
	@touch $@
