# Every target sets up what it needs; `make help` lists them.
SHELL := /bin/bash
VENV  := .venv
BIN   := $(VENV)/bin
GIT   ?=
# Byte code makes every process start faster; some shells switch it off.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all cluster-test tier6-render tier6-digests image kind-demo lint check-pipelines upload format bench docs clean

help: ## List the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.stamp ## Make .venv with the pinned packages (uv when it is there, else pip)

$(VENV)/.stamp: pyproject.toml constraints.txt infra/dev/setup.sh
	@infra/dev/setup.sh $(VENV)
	@touch $@

demo: setup ## The main job, end to end: data, train, gate, register, approve, canary (GIT="clone1 clone2" for real data)
	@PATH="$(CURDIR)/$(BIN):$$PATH" infra/dev/demo.sh $(GIT)

test: setup ## Run the tests that need no browser, no kill -9 and no quarter of an hour
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 -m "not slow and not cluster" $(PYTEST_ARGS)

test-all: setup ## Run all tests of the local target
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 -m "not cluster" $(PYTEST_ARGS)

cluster-test: setup ## Run the cluster suites on the cluster of PLATFORM_TEST_KUBECONFIG
	@$(BIN)/python -m pytest -m cluster $(PYTEST_ARGS)

image: ## Build the image of the kubernetes target with docker (IMAGE=name)
	docker build --file infra/image/Containerfile --tag $(or $(IMAGE),localhost/platform-ctl/platform:dev) .

kind-demo: setup ## The main job on a kind cluster: needs docker, kind and kubectl (DRY_RUN=1: print only)
	@PATH="$(CURDIR)/$(BIN):$$PATH" infra/kind/demo.sh $(if $(DRY_RUN),--dry-run)

lint: setup ## Style, import contracts, committed pipelines and generated docs are current
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports
	@$(BIN)/platform-ctl pipeline compile --check
	@$(BIN)/python .ci/lint.py
	@$(BIN)/python infra/tier6/render.py --check --local

check-pipelines: setup ## Committed pipelines and schedules are current and valid (what a pull request runs)
	@$(BIN)/platform-ctl pipeline compile --check
	@$(BIN)/platform-ctl schedule check

upload: setup ## Upload the committed pipelines to KFP (PLATFORM_CTL_KUBERNETES__KFP_URL), as CI does
	@python3 .ci/compile_upload.py $(BIN)/platform-ctl

format: setup ## Format the code
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

bench: setup ## Ours beside the alternative, in one run; prints ratios
	@$(BIN)/python -m benchmarks

docs: setup ## Write the generated reference pages
	@$(BIN)/python -m platform_ctl.cli.reference docs/reference

tier6-render: setup ## Write what infra/tier6 renders to (CHECK=1: say what would change, LOCAL=1: without remote bases)
	@$(BIN)/python infra/tier6/render.py $(if $(CHECK),--check) $(if $(LOCAL),--local)

tier6-digests: setup ## Write the digests of images that the cluster of the settings has pulled
	@$(BIN)/python infra/tier6/render.py --digests

clean: ## Stop what runs and remove .platform and .venv
	@[ ! -x $(BIN)/platform-ctl ] || infra/dev/stop-all.sh $(BIN)
	@rm -rf $(VENV) .platform .recipe-new-* .import_linter_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
	@find . -name __pycache__ -not -path "./.git/*" -prune -exec rm -rf {} +
