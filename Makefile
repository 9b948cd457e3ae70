# The two commands of set-up: `make run` (a capacity report in about a minute) and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help run test check bench lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

# Rebuilt from nothing when the lock or the entry points change: a half-updated environment hides a missing step.
$(STAMP): requirements.lock pyproject.toml
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
	touch $@

run: $(STAMP) ## a run against the embedded emulator that meets both limits, and its capacity report
	$(BIN)/chatquota demo

test: $(STAMP) ## the whole test suite
	$(BIN)/python -m pytest

check: $(STAMP) ## ruff, mypy strict, the import walls
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP) ## every benchmark table (minutes; see benchmarks/README.md)
	$(BIN)/python -m benchmarks

lock: ## resolve requirements.lock anew (needs uv)
	uv pip compile --universal --generate-hashes --no-header --group dev \
	  --extra otel --python-version 3.11 pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info
