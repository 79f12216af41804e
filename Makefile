# `make` lists the targets. Two commands set up everything on a fresh machine: `make demo`, `make test`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Two workers of one thread each fill two cores; more cores take more workers.
TEST_WORKERS ?= 2
DEMO_ARGS ?=
BENCH_ARGS ?=
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help install demo check test test-browser test-all bench docs serve clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "variables: VENV=$(VENV) PYTHON=$(PYTHON) TEST_WORKERS=$(TEST_WORKERS) DEMO_ARGS BENCH_ARGS"

install: $(INSTALLED) ## create the virtual environment VENV and install unreel with its developer tools

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "unreel needs Python 3.11 or later, PYTHON=$(PYTHON) is " + sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: install ## make sample videos, pre-train, extract, evaluate, search; prints a table (minutes)
	$(BIN)/python examples/demo.py $(DEMO_ARGS)

check: install ## formatting, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: check ## check, then the tests that need neither a GPU nor much patience, with coverage
	$(PYTEST) -m "not slow and not gpu and not browser" --cov --cov-report=term

test-browser: install ## the search page in a headless Chromium (Debian: chromium, chromium-driver)
	$(PYTEST) -m browser

test-all: check ## everything that this machine can run: slow tests too, and GPU tests when there is one
	@filter=$$($(BIN)/python -c 'import torch, importlib.util as u; print("not browser" + " and not gpu" * (not torch.cuda.is_available()) + " and not ray" * (u.find_spec("ray") is None))') && \
	  set -x && $(PYTEST) -m "$$filter" --cov --cov-report=term

bench: install ## speed against peers and floors, one table; BENCH_ARGS=--quick for a look
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,bench]'
	$(BIN)/python benchmarks/all.py $(BENCH_ARGS)

docs: install ## run the code blocks of the documentation and check its links
	$(PYTEST) tests/test_docs.py

serve: demo/videos.index ## the search page with the videos of the demo
	$(BIN)/unreel serve --index demo/videos.index --runs demo

demo/videos.index:
	$(MAKE) demo

clean: ## remove what was built and measured, keep the virtual environment
	rm -rf build dist demo htmlcov .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
