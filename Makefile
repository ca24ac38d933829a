# The only commands to learn. Each sets up what it needs in $(VENV); a second run starts at once.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

VENV ?= .venv
BIN = $(VENV)/bin
PIP_INSTALL = -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

# The first Python that is new enough and can make a virtual environment.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2> /dev/null \
	&& echo "$$name" && break; done)

.PHONY: help demo serve test test-speechbrain check bench docs constraints

help: ## List these commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.base ## Watch a household be asked, enrolled, recognized and forgotten; ARGS="--mic" to speak yourself
	$(BIN)/voiceid demo $(ARGS)

serve: $(VENV)/.base ## Run the service on this machine; it prints the link to start from
	$(BIN)/voiceid serve $(ARGS)

test: $(VENV)/.test ## Run every test that needs no torch, the notebooks included; ARGS="-k gate" for a few
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

test-speechbrain: $(VENV)-speechbrain/.speechbrain ## Run the tests of the extra `speechbrain` (installs 6 GB)
	$(VENV)-speechbrain/bin/python -m pytest -m torch $(ARGS)

check: $(VENV)/.dev ## Lint, types, import order, docs: what must hold before a commit
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile
	$(BIN)/python -m pytest --quiet tests/test_layout.py tests/test_docs.py

bench: $(VENV)/.test ## Measure speed and size on this machine; ARGS="--quick --json"
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/.dev ## Write the generated pages and pictures anew
	$(BIN)/python tools/make_docs.py $(ARGS)

constraints: ## Resolve all dependencies anew into constraints.txt
	$(call need-python)
	scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	$(PYTHON) -m venv "$$scratch/venv"; \
	"$$scratch/venv/bin/python" tools/make_constraints.py constraints.txt

# One stamp for each level of what is installed, so that `make demo` does not wait for the test tools.
$(VENV)/.base: EXTRAS =
$(VENV)/.test: EXTRAS = [test]
$(VENV)/.dev: EXTRAS = [dev]
$(VENV)-speechbrain/.speechbrain: EXTRAS = [test,speechbrain]

$(VENV)/.base $(VENV)/.test $(VENV)/.dev: $(BIN)/python
$(VENV)-speechbrain/.speechbrain: $(VENV)-speechbrain/bin/python
$(VENV)/.base $(VENV)/.test $(VENV)/.dev $(VENV)-speechbrain/.speechbrain: pyproject.toml constraints.txt
	@echo "Installing voiceid$(EXTRAS) into $(@D)"
	$(@D)/bin/python $(PIP_INSTALL) --editable '.$(EXTRAS)'
	@touch $@

# A new interpreter behind the link is newer than the stamps, so everything is installed again.
%/bin/python:
	$(call need-python)
	$(PYTHON) -m venv --clear $*

define need-python
@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with its venv module is needed (Debian: apt install python3-venv)" >&2; exit 1; }
endef
