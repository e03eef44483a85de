# Everything runs in .venv, which the first goal creates. Another interpreter: make PYTHON=python3.12 test
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help demo app test test-slow test-adversary bench bench-full check docs format clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: .venv/.installed  ## Train a small model from scratch on words and pictures, and see both count (minutes)
	HF_HUB_OFFLINE=1 $(BIN)/python -m experiments.demo

# The page has its own environment, because gradio holds pillow below 13.
.venv-demo/.installed: demo/requirements.txt constraints.txt
	$(PYTHON) -m venv .venv-demo
	.venv-demo/bin/python -m pip install --quiet --upgrade pip
	.venv-demo/bin/python -m pip install --quiet --constraint constraints.txt --requirement demo/requirements.txt
	@touch $@

app: .venv-demo/.installed  ## Open a page in the browser with the model of the demonstration
	@test -f runs/demo/config.json || { echo "There is no model yet: run 'make demo' first."; exit 1; }
	HF_HUB_OFFLINE=1 .venv-demo/bin/python demo/app.py --model runs/demo

test: .venv/.installed  ## Run the tests (minutes, offline)
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --quiet

test-slow: .venv/.installed .venv-demo/.installed  ## Run the tests that need minutes, a server under load or a browser
	$(BIN)/python -m pip install --quiet playwright
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 DEMO_PYTHON=$(CURDIR)/.venv-demo/bin/python $(BIN)/python -m pytest -m slow --ignore tests/adversary --quiet

test-adversary: .venv/.installed  ## Attack files, pictures, requests and processes, and print what held (10 minutes)
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow --quiet tests/adversary

# The authors' sentences, if there are any: make MMNERD=../MMNERD bench
CONLL := $(if $(MMNERD),--conll $(MMNERD)/train_valid_test/train_valid_test_en/test_conll_format.txt)

bench: .venv/.installed  ## Time the work beside plain references, with small networks (10 minutes on idle cores)
	$(BIN)/python -W ignore benchmarks/crf.py --repeats 31
	$(BIN)/python -W ignore benchmarks/side_by_side.py $(CONLL) --output benchmarks/side_by_side.json

bench-full: .venv/.installed  ## The same with the paper's networks, and the goals (an hour on idle cores)
	$(BIN)/python -W ignore benchmarks/side_by_side.py --full $(CONLL) --output benchmarks/side_by_side_full.json

check: .venv/.installed  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/.installed  ## Build the documentation's site in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: .venv/.installed  ## Mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove what the goals above made
	rm -rf .venv .venv-demo site mmnerd-mini runs/demo runs/demo-text-only
