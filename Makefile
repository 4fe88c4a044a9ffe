# Everything sets itself up: on a fresh Debian 12 with Python 3.11, `make demo` and `make test` need no preparation.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench bench-downtime bench-cluster bench-repository lock setup setup-test clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

demo: setup ## Show backup, disaster, restore and proof on real servers, e.g. ARGS="--files s3 --index opensearch"
	$(RUN) -m propolis_lab demo $(ARGS)

# Some environments forbid to keep compiled modules: each of some thousand processes would compile all of them again.
test: export PYTHONDONTWRITEBYTECODE =
test: setup-test check ## Run all checks and all tests
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

check: $(VENV)/.installed ## Check format, style, types and the direction of dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed ## Format the code and fix what can be fixed automatically
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: bench-downtime bench-cluster bench-repository ## Run all benchmarks; results go to bench/results/

bench-downtime: setup-test ## Compare the downtime of a cold backup with rsync's
	mkdir -p /var/tmp/propolis-bench
	$(RUN) -m bench.cold_vs_rsync --folder /var/tmp/propolis-bench --lab $(ARGS)

bench-cluster: setup-test ## Compare the downtime of a cluster's cold backup with stop, rsync and start by hand
	mkdir -p /var/tmp/propolis-bench
	$(RUN) -m bench.cluster_downtime --folder /var/tmp/propolis-bench $(ARGS)

bench-repository: setup-test ## Compare the repository with restic, borg, tar | zstd | age and cp, e.g. ARGS="--files 1000000"
	mkdir -p /var/tmp/propolis-bench/repository
	$(RUN) -m bench.repository --folder /var/tmp/propolis-bench/repository $(ARGS)

lock: $(VENV)/.installed ## Pin the newest versions of all dependencies
	$(BIN)/pip install -q uv
	$(BIN)/uv pip compile pyproject.toml --generate-hashes --no-header --no-annotate -q -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --group dev --generate-hashes --no-header --no-annotate -q -o requirements-dev.lock

setup: $(VENV)/.installed ## Install what the demo needs: Java, Maven and the default lab's servers
	$(RUN) -m propolis_lab fetch --install

setup-test: $(VENV)/.installed ## Install what the tests need: their tools and every server
	scripts/install-packages test
	$(RUN) -m propolis_lab fetch --install --all

$(VENV)/.installed: requirements-dev.lock pyproject.toml
	scripts/install-packages python
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

clean: ## Remove what was built in this folder (downloads are cached elsewhere)
	rm -rf $(VENV) build dist .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
