# Every target sets up what it needs; `make help` lists them.
SHELL := /bin/bash
VENV  := .venv
BIN   := $(VENV)/bin
GIT   ?=
# Byte code makes every process start faster; some shells switch it off.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test learning lint format bench docs clean

help: ## List the targets
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.stamp ## Make .venv with the pinned packages (uv when it is there, else pip)

$(VENV)/.stamp: pyproject.toml constraints.txt infra/dev/setup.sh
	@infra/dev/setup.sh $(VENV)
	@touch $@

demo: setup ## The main job, end to end: data, train, gate, register, approve, canary (GIT="clone1 clone2" for real data)
	@PATH="$(CURDIR)/$(BIN):$$PATH" infra/dev/demo.sh $(GIT)

test: setup ## Run the tests
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 -m "not learning" $(PYTEST_ARGS)

learning: setup ## Play the lab, the exit test and the tutorial through (a quarter of an hour)
	@$(BIN)/python -m pytest -m learning $(PYTEST_ARGS)

lint: setup ## Style, import contracts, committed pipelines and generated docs are current
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports
	@$(BIN)/platform-ctl pipeline compile --check

format: setup ## Format the code
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

bench: setup ## Ours beside the alternative, in one run; prints ratios
	@$(BIN)/python -m benchmarks

docs: setup ## Write the generated reference pages
	@$(BIN)/python -m platform_ctl.cli.reference docs/reference

clean: ## Stop what runs and remove .platform and .venv
	@[ ! -x $(BIN)/platform-ctl ] || infra/dev/stop-all.sh $(BIN)
	@rm -rf $(VENV) .platform .recipe-new-* .import_linter_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
	@find . -name __pycache__ -not -path "./.git/*" -prune -exec rm -rf {} +
