# One environment, .venv, made from requirements.lock; every target makes it first when it is missing or out of date.
# Needs Python 3.11 or newer with pip, and make. No compiler, no root, no Node.

PYTHON ?= python3
BIN := .venv/bin
UV := .tools/uv/bin/uv
STAMP := .venv/.installed
PROJECTS := engine/pyproject.toml mcp/pyproject.toml sandbox/pyproject.toml
ARGS ?=

export UV_PYTHON_DOWNLOADS := never
export UV_NO_PROGRESS := 1

.DEFAULT_GOAL := help
.PHONY: help up test lint types bench generate picture lock format env clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

up: env ## start the engine and its tool server on 127.0.0.1, in local mode
	@$(BIN)/python -m src.api.up $(ARGS)

test: env ## run every test, two files at a time; ARGS="engine/tests/unit -k name" narrows it
	@$(BIN)/pytest $(or $(ARGS),--numprocesses=2 --dist=loadfile)

lint: env ## ruff, black (checked, not changed), import-linter
	@$(BIN)/ruff check .
	@$(BIN)/black --quiet --check --diff .
	@$(BIN)/lint-imports

types: env ## mypy, strict
	@$(BIN)/mypy

format: env ## let black and ruff rewrite the sources
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/black --quiet .

bench: env ## measure, and compare with the floors (bench/)
	@$(BIN)/python -m bench $(ARGS)

generate: env ## write docs/openapi.json, docs/events.schema.json, docs/guarantees.md
	@$(BIN)/python -m src.api.generate
	@$(BIN)/python -m tests.guarantees

picture: env ## draw the README's terminal session anew, from a real one on the sandbox
	@cd engine && ../$(BIN)/python -m tests.support.first_minute

lock: $(UV) ## resolve the dependencies anew; ARGS=--upgrade takes newer releases
	@$(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-emit-index-url \
		--extra dev $(PROJECTS) --output-file requirements.lock $(ARGS)

env: $(STAMP) ## make the environment (every target does)

$(STAMP): requirements.lock $(PROJECTS) | $(UV)
	@echo "Bringing .venv in line with requirements.lock (the first time that takes a moment)" >&2
	@test -x $(BIN)/python || $(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes --no-build requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e engine -e mcp -e sandbox
	@touch $@

# uv itself: the version and hashes that requirements.lock names, installed by pip into the checkout.
$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than 3.11: name a newer one, for instance: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@mkdir -p .tools
	@awk '/^uv==/ { found = 1 } found { print } found && !/\\$$/ { exit }' requirements.lock > .tools/uv.txt
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --require-hashes \
		--target .tools/uv --upgrade -r .tools/uv.txt

clean: ## remove the environment, the tools and every cache
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis htmlcov .coverage
