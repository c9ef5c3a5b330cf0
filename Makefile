# Each target makes the environment it needs, once; a changed pyproject.toml or constraints.txt makes it anew.
# Everything that is installed is checked against the hashes in constraints.txt.
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
EXTRAS_train := train
EXTRAS_dev := dev
EXTRAS_bench := bench
EXTRAS_docs := docs

# Without build isolation a build backend, too, is the one of the lock.
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check
LOCKED = --require-hashes --no-build-isolation --constraint constraints.txt \
  $(addprefix --constraint ,$(wildcard $(VENV)/constraints-cpu.txt))

.PHONY: help demo test test-all lint bench train docs wheelhouse release lock

help:
	@echo "make demo                    solve the bundled example into demo-output/"
	@echo "make test                    lint, types and every test but the slow ones"
	@echo "make test-all                the slow tests too"
	@echo "make bench                   time the code against others'"
	@echo "make docs                    the documentation, as pages in build/docs/"
	@echo "make train CONFIG=cpu        train a model from nothing"
	@echo "make wheelhouse              all wheels that a computer without network needs, in wheelhouse/"
	@echo "make release                 sdist, wheel and list of components (SBOM) in dist/"
	@echo "make lock                    constraints.txt anew from pyproject.toml; UPGRADE=--upgrade for the newest"

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
	for script in benchmarks/bench_*.py; do $(VENV)/bin/python "$$script"; done

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build
	@echo "open build/docs/index.html in a browser"

train: $(VENV)/.installed-train
	$(VENV)/bin/cbldm train $(CONFIG)

wheelhouse: $(VENV)/.installed-build
	rm -rf wheelhouse && mkdir wheelhouse
	$(VENV)/bin/python tools/direct_requirements.py > wheelhouse/requirements.txt
	$(PIP) wheel -qq $(LOCKED) -w wheelhouse -r wheelhouse/requirements.txt
	$(PIP) wheel -qq --no-deps --no-build-isolation --no-index -w wheelhouse .
	rm wheelhouse/requirements.txt
	@echo "there: python3.11 -m pip install --no-index --find-links wheelhouse cbldm"

release: $(VENV)/.installed-dev
	rm -rf dist
	$(VENV)/bin/python -m build --no-isolation
	$(VENV)/bin/python tools/sbom.py dist

lock: $(VENV)/.installed-build
	$(PIP) install -qq $(LOCKED) --group lock
	$(VENV)/bin/python tools/lock.py $(UPGRADE)

$(VENV)/bin/python:
	@[[ -n "$(PYTHON)" ]] && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	|| { echo "cbldm needs Python 3.11 or newer, got '$(PYTHON)': say make PYTHON=/path/to/python3.11" >&2; exit 2; }
	"$(PYTHON)" -m venv $(VENV)

# The pip that came with Python may be one that takes no hashes from a constraints file.
$(VENV)/.installed-build: constraints.txt constraints-cpu.txt | $(VENV)/bin/python
	awk '/^[a-z]/ { take = /^pip==/ } take' constraints.txt > $(VENV)/pip.txt
	$(PIP) install -qq --require-hashes -r $(VENV)/pip.txt
	$(PIP) install -qq --require-hashes --constraint constraints.txt --group build
	rm -f $(VENV)/constraints-cpu.txt
	@if $(PIP) install -qq --dry-run --ignore-installed --no-index --no-deps --require-hashes -r constraints-cpu.txt \
	2>/dev/null; then cp constraints-cpu.txt $(VENV); fi
	@touch $@

$(VENV)/.installed-%: pyproject.toml constraints.txt $(VENV)/.installed-build
	@echo "installing cbldm $(EXTRAS_$*) into $(VENV); the first time takes minutes"
	$(VENV)/bin/python tools/direct_requirements.py $(EXTRAS_$*) > $(VENV)/$*.txt
	$(PIP) install -qq $(LOCKED) -r $(VENV)/$*.txt
	$(PIP) install -qq --no-deps --no-build-isolation --no-index -e .
	@touch $@
