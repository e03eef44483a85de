# Everything runs in .venv, which the first goal creates. Another interpreter: make PYTHON=python3.12 test
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow check format clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: .venv/.installed  ## Train a small model from scratch on words and pictures, and see both count (minutes)
	HF_HUB_OFFLINE=1 $(BIN)/python -m experiments.demo

test: .venv/.installed  ## Run the tests (minutes, offline)
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --quiet

test-slow: .venv/.installed  ## Run the tests that need minutes or a full-size network
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m slow --quiet

check: .venv/.installed  ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/.installed  ## Mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove what the goals above made
	rm -rf .venv mmnerd-mini runs/demo runs/demo-text-only
