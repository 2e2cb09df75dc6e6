# `make demo` and `make test` are all that a newcomer needs: both make .venv first, with whatever goes into it.
#
#   make demo      compress real fields, verify them, open them with plain xarray, draw a picture
#   make test      lint, types, import rules and all tests
#   make lint      only the first three
#   make docs      the documentation, into site/
#   make bench     the measurements behind docs/benchmarks.md (minutes)
#   make clean     remove everything that these made
#
# PYTHON=/path/to/python chooses the interpreter; the default is python3.11 where there is one.

VENV   ?= .venv
PYTHON ?=
# Two workers: numba's kernels compile once for both, and a laptop stays usable.
PYTEST ?= -n 2

BIN   := $(VENV)/bin
STAMP := $(VENV)/installed
DOCS  := $(VENV)/installed-docs
PEERS := $(VENV)/installed-peers

.PHONY: demo test lint docs bench clean
.DELETE_ON_ERROR:

demo: $(STAMP)
	@$(BIN)/frazil demo

test: lint
	$(BIN)/python -m pytest $(PYTEST)

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

docs: $(DOCS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(PEERS)
	@for script in $$(grep -l __main__ benchmarks/*.py | grep -v make_test_data); do \
		echo "== $$script"; $(BIN)/python "$$script" || exit 1; \
	done

clean:
	rm -rf $(VENV) .venv313 site build dist demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt .ci/install .ci/find-python
	@sh .ci/install "$(VENV)" "$(PYTHON)"
	@echo "compiling the kernels once (a few minutes)"
	@$(BIN)/python -m frazil.warming
	@touch $@

$(DOCS): $(STAMP)
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

$(PEERS): $(STAMP)
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e '.[peers]'
	@touch $@
