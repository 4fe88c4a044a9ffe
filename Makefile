# Everything sets itself up: on a fresh Debian 12 with Python 3.11, `make demo` and `make test` just run.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench bench-downtime bench-repository lock setup setup-test clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

demo: setup ## The main job on real servers: backup, disaster, restore, proof (ARGS="--files s3 --index opensearch")
	$(RUN) -m propolis_lab demo $(ARGS)

test: setup-test check ## All checks and all tests
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

check: $(VENV)/.installed ## Format, lint, types, dependency direction
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed ## Rewrite the code as the checks want it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: bench-downtime bench-repository ## All side-by-side benchmarks; results go to bench/results/

bench-downtime: setup-test ## A cold backup's downtime beside rsync's
	mkdir -p /var/tmp/propolis-bench
	$(RUN) -m bench.cold_vs_rsync --folder /var/tmp/propolis-bench --lab $(ARGS)

bench-repository: setup-test ## The repository beside restic, borg, tar | zstd | age and cp (ARGS="--files 1000000")
	mkdir -p /var/tmp/propolis-bench/repository
	$(RUN) -m bench.repository --folder /var/tmp/propolis-bench/repository $(ARGS)

lock: $(VENV)/.installed ## Pin all dependencies anew
	$(BIN)/pip install -q uv
	$(BIN)/uv pip compile pyproject.toml --generate-hashes --no-header --no-annotate -q -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --group dev --generate-hashes --no-header --no-annotate -q -o requirements-dev.lock

setup: $(VENV)/.installed ## What the demo needs: Java, Maven and the default lab's servers
	$(RUN) -m propolis_lab fetch --install

setup-test: $(VENV)/.installed ## What the tests need: their tools and every server
	scripts/install-packages test
	$(RUN) -m propolis_lab fetch --install --all

$(VENV)/.installed: requirements-dev.lock pyproject.toml
	scripts/install-packages python
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

clean: ## Remove what was built in the work tree (caches lie outside of it)
	rm -rf $(VENV) build dist .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
