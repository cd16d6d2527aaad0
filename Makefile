# One environment, .venv, made from requirements.lock; every target makes it first when it is missing or out of date.
# Needs Python 3.11 or newer with pip, and make. No compiler, no root, no Node.

PYTHON ?= python3
BIN := .venv/bin
UV := .tools/uv/bin/uv
STAMP := .venv/.installed
PROJECTS := common/pyproject.toml engine/pyproject.toml mcp/pyproject.toml sandbox/pyproject.toml
ARGS ?=
TAG ?= local

export UV_PYTHON_DOWNLOADS := never
# Empty counts as unset: without compiled modules, which some images forbid, each process compiles all sources at its start.
export PYTHONDONTWRITEBYTECODE :=
export UV_NO_PROGRESS := 1

.DEFAULT_GOAL := help
.PHONY: help up page test test-fast lint types bench soak generate ui ui-test picture image release-check wheels lock format env clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

up: env page ## start the engine and its tool server on 127.0.0.1, in local mode
	@$(BIN)/python -m src.api.up $(ARGS)

test: env ## run every test, four files at a time; ARGS="engine/tests/unit -k name" selects some
	@$(BIN)/pytest $(or $(ARGS),--numprocesses=4 --dist=loadfile --no-loadscope-reorder)

test-fast: env ## run the tests that start no service, cluster or other process: for the inner loop
	@$(BIN)/pytest --fast $(or $(ARGS),--numprocesses=2 --dist=worksteal)

lint: env ## ruff, black (checked, not changed), import-linter, odd words in prose
	@$(BIN)/ruff check .
	@$(BIN)/black --quiet --check --diff .
	@$(BIN)/lint-imports
	@$(BIN)/python scripts/check_prose.py

types: env ## mypy, strict
	@$(BIN)/mypy

format: env ## apply black and ruff's automatic fixes
	@$(BIN)/black --quiet .
	@$(BIN)/ruff check --fix --quiet .

bench: env ## measure, beside the floors; ARGS="--against ../other" also measures the engine of another checkout
	@$(BIN)/python -m bench $(ARGS)

soak: env ## run 100 people for half an hour while parts of the installation fail (ARGS="--minutes 10")
	@$(BIN)/python -m bench.soak $(ARGS)

generate: env ## write docs/openapi.json, docs/*.schema.json, docs/guarantees.md, docs/reference/ and the types of ui/
	@$(BIN)/python -m src.api.generate
	@$(BIN)/python scripts/reference.py
	@$(BIN)/python -m tests.guarantees
	@if test -d ui/node_modules; then npm --prefix ui run --silent generate; fi

# The engine starts without the page; with Node, the page is built when its sources changed.
page:
	@if node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' \
		2>/dev/null && command -v npm >/dev/null; then \
		$(MAKE) --silent --no-print-directory ui/dist/index.html || \
			echo "! The web page could not be built; the engine starts without it. Try: make ui" >&2; \
	elif test ! -f ui/dist/index.html; then \
		echo "! No web page: it is built by Node 20.19 or newer, with npm. The engine starts without it." >&2; \
	fi

ui/dist/index.html: $(shell find ui/src ui/public ui/index.html ui/vite.config.ts ui/package.json -type f 2>/dev/null) \
		| ui/node_modules/.package-lock.json
	@echo "Building the web page (the first time that takes a moment)" >&2
	@npm --prefix ui run --silent bundle >/dev/null

ui: ui/node_modules/.package-lock.json ## build the Command Center into ui/dist; needs Node 20.19 or newer
	@npm --prefix ui run --silent build

ui-test: ui/node_modules/.package-lock.json ## check the Command Center: lint, types, unit tests
	@npm --prefix ui run --silent lint
	@npm --prefix ui run --silent types
	@npm --prefix ui run --silent test

ui/node_modules/.package-lock.json: ui/package-lock.json
	@npm --prefix ui ci --silent --no-audit --no-fund
	@touch $@

picture: env ## record the README's terminal session again, on the sandbox
	@cd engine && ../$(BIN)/python -m tests.support.first_minute

# Docker may be installed without an engine that it reaches. HEALTHCHECK is no part of the OCI format.
BUILD ?= $(shell if docker info >/dev/null 2>&1; then echo docker build; \
	elif command -v podman >/dev/null; then echo podman build --format docker; \
	elif command -v buildah >/dev/null; then echo buildah build --layers --format docker; fi)

image: ## build the images skyflo-engine:TAG and skyflo-tools:TAG (TAG=local) by docker, podman or buildah
	@build="$(BUILD)"; \
	test -n "$$build" || { echo "No docker engine, podman or buildah answers: install one of them" >&2; exit 1; }; \
	for part in tools engine; do \
		$$build --file deployment/Dockerfile --target $$part --tag skyflo-$$part:$(TAG) $(ARGS) . || exit 1; \
	done

release-check: ## check that all versions and the changelog agree; ARGS="--tag v1.2.3" also checks the tag
	@$(PYTHON) scripts/release.py check $(ARGS)

wheels: env ## build a wheel of every package into dist/
	@rm -rf dist
	@for package in $(PROJECTS:/pyproject.toml=); do \
		(cd $$package && ../$(BIN)/python -m hatchling build --target wheel --directory ../dist) || exit 1; \
	done

lock: $(UV) ## resolve all dependencies again, also without development packages; ARGS=--upgrade takes newer releases
	@$(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-emit-index-url \
		--extra dev $(PROJECTS) --output-file requirements.lock $(ARGS)
	@$(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-emit-index-url \
		--constraints requirements.lock $(PROJECTS) --output-file requirements-runtime.lock
	@$(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-emit-index-url \
		--constraints requirements-runtime.lock common/pyproject.toml mcp/pyproject.toml \
		--output-file requirements-tools.lock
	@$(UV) pip compile --quiet --universal --generate-hashes --no-deps --no-header --no-annotate --no-emit-index-url \
		deployment/image-tools.in --output-file deployment/image-tools.lock

env: $(STAMP) ## make the environment (every target does)

$(STAMP): requirements.lock $(PROJECTS) | $(UV)
	@echo "Bringing .venv in line with requirements.lock (the first time that takes a moment)" >&2
	@test -x $(BIN)/python || $(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes --no-build requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e common -e engine -e mcp -e sandbox
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
	rm -rf .venv .tools ui/node_modules ui/dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis htmlcov .coverage
