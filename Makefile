# The two commands of set-up: `make run` (a capacity report in under a minute after set-up) and `make test`.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TOOLS := $(VENV)/.tools-installed
COVERAGE_FLOOR := 85
MEASURED := tests/harness/quotas tests/reports --cov --cov-report=term:skip-covered --cov-fail-under=$(COVERAGE_FLOOR)
PIP := PYTHONUNBUFFERED=1 $(BIN)/python -m pip install --disable-pip-version-check --no-color

# What pip says, as one line that counts where somebody watches, else as a line for every 20 packages.
PROGRESS = awk -v all=$$(grep -c '^[a-z].*==' $(1)) -v tty=$$([ -t 1 ] && echo 1 || echo 0) ' \
	/^Collecting/ { n++; if (tty) printf "\r\033[K  fetching %d of about %d: %s", n, all, $$2; \
	  else if (n % 20 == 0) printf "  fetching %d of about %d\n", n, all; fflush() } \
	/^Installing/ { printf "%s  unpacking ...\n", tty ? "\r\033[K" : ""; fflush() } \
	/^ERROR|^error/ { print > "/dev/stderr" }'

.DEFAULT_GOAL := help
.PHONY: help install run test test-slow coverage check bench lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

# Rebuilt from nothing when the lock or the entry points change: a half-updated environment hides a missing step.
$(STAMP): requirements.lock pyproject.toml
	@rm -rf $(VENV)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11; use make PYTHON=python3.12" >&2; exit 1; }
	@echo "Setting up $(VENV), once: it takes a minute or two"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --require-hashes --requirement requirements.lock | $(call PROGRESS,requirements.lock)
	@$(PIP) --quiet --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(TOOLS): $(STAMP) requirements-dev.lock
	@echo "Adding the test tools to $(VENV)"
	@$(PIP) --require-hashes --requirement requirements-dev.lock | $(call PROGRESS,requirements-dev.lock)
	@touch $@

install: $(STAMP) ## the environment for running, in .venv: locked versions, checked hashes

run: $(STAMP) ## a run against the embedded emulator that meets both limits, and its capacity report
	@$(BIN)/chatquota demo

test: $(TOOLS) ## the test suite, without what builds something first or takes long
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(TOOLS) ## the rest: the wheel, the image, and long runs
	$(BIN)/python -m pytest -m slow --numprocesses=2

coverage: $(TOOLS) ## branch coverage of the inference and of the reports by their tests, which may not fall below its floor
	$(BIN)/python -m pytest -m "not slow" $(MEASURED)

check: $(TOOLS) ## ruff, mypy strict, the import walls
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(TOOLS) ## every benchmark table (minutes; see benchmarks/README.md)
	$(BIN)/python -m benchmarks

lock: ## resolve both locks anew (needs uv)
	uv pip compile --quiet --universal --no-strip-extras --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  --extra otel --group dev pyproject.toml --output-file requirements-dev.lock
	uv pip compile --quiet --universal --no-strip-extras --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  --extra otel --group build --constraint requirements-dev.lock pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage* *.egg-info
