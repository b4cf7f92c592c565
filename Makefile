# The whole set-up: `make run`. Every target works in a fresh clone with Python 3.11+, git and make.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
unexport PYTHONDONTWRITEBYTECODE  # pip compiles nothing, since most modules are never used: what is imported is compiled once
# One process more than cores for the slow tests, since some of them wait.
CORES = $(shell $(PYTHON) -c "import os; print(min(os.cpu_count() or 1, 4))")
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup run check types fast test test-all serve deploy clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.installed  ## create .venv with the pinned set (about 6 GB, some minutes)

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Ratchet needs Python 3.11 or newer: make run PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	@echo "Installing the pinned set into .venv: about 6 GB, some minutes the first time."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[dev]'
	@touch $@

run: setup  ## improve the model on the dataset of params.yaml, end to end
	@$(BIN)/python -m flows.improve

check: setup  ## ruff, format, mypy and the fast tests
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(MAKE) --no-print-directory -j2 types fast

types: setup
	@$(BIN)/mypy

fast: setup
	@$(PYTEST) -q -n $(CORES) --dist=loadfile -m 'not slow and not nightly'

test: setup  ## the slow tests, which check leaves out: they train, serve and click
	@$(PYTEST) -n $$(($(CORES) + 1)) --dist=loadscope -m 'slow and not nightly'

test-all: setup  ## every test, those about scale too
	@$(PYTEST) -n $$(($(CORES) + 1)) --dist=loadscope

serve: setup  ## Prefect's server, UI, a worker and the deployments on this machine, until Ctrl-C
	@$(BIN)/python -m flows.serve

deploy: setup  ## put the deployments on the server of PREFECT_API_URL; CLONE=URL: runs clone it; POOL=TYPE NAME=NAME: a work pool
	@$(BIN)/python -m flows.deploy $(if $(CLONE),--clone '$(CLONE)') $(if $(POOL),--pool '$(POOL)') $(if $(NAME),--name '$(NAME)')

clean:  ## remove what a run leaves in the workspace; versions in git and the DVC cache stay
	@rm -rf runs data/sample models/baseline models/finetune models/export models/registered reports/*.json reports/*.csv reports/*.npz reports/*.md reports/*.html reports/*.svg
