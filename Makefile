# make test is all a fresh clone needs: it installs what is missing (as root, on Debian and Ubuntu, system packages too).

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
USABLE := $(VENV)/usable
PYTEST_ARGS ?=
DEMO := .demo

.DEFAULT_GOAL := help
.PHONY: help setup test lint format types sample docs demo bench clean

help:  ## this list
	@awk -F':.*## ' '/^[a-z ]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml tools/setup.sh
	@bash tools/setup.sh $(VENV) test
	@touch $(USABLE) $@

# Less than the tests need: nobody wants a hypervisor for a first look.
$(USABLE): pyproject.toml tools/setup.sh
	@bash tools/setup.sh $(VENV) use
	@touch $@

setup: $(STAMP)  ## .venv with everything that the tests need

test: $(STAMP)  ## all tests, two at a time
	@bash tools/libvirt_up.sh
	$(BIN)/pytest -n 2 --dist loadgroup $(PYTEST_ARGS)

lint: $(STAMP)  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)  ## let ruff format everything
	$(BIN)/ruff format .

types: $(STAMP)  ## mypy --strict
	$(BIN)/mypy --strict
	$(BIN)/mypy --strict tools benchmarks

sample docs: $(STAMP)  ## write the sample configuration and docs/configuration.md from the options
	$(BIN)/python tools/generate_docs.py

demo: $(USABLE)  ## this host in a real Placement: diff, sync, diff, show
	@bash tools/demo.sh $(BIN)/placement-reporter $(DEMO)

bench: $(STAMP)  ## measure; takes minutes
	$(BIN)/python -m benchmarks

clean:  ## remove what make made
	rm -rf $(VENV) $(DEMO) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
