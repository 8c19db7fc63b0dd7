# make run    the tour: a step that cuts a gradient is found, bridged and judged, and a network learns; a minute, real digits
# make gallery   every worked problem, quickly, with a page that shows them all: gallery-out/index.html
# make test   the tests, some of every kind for every part, in some 15 minutes    (PYTEST_ARGS="-x tests/gallery" narrows them)
# make test-all   the tests that make test leaves out: more of the same kinds, in another 20
# make mutants    plants faults in the package, and runs the tests of their parts: all have to be caught
# make test-newest   both with the newest Python of Debian, JAX and PyTorch, in a chroot: as root, with debootstrap
# make fuzz   1,000 random programs against exact enumeration, under 15 minutes (FUZZ_ARGS="--seed 7 --count 200" for others)
# make lint   ruff, pyright, and how hard the code is to enter (.ci/house.py)
# make docs   the documentation, into site/
# make wheel  the wheel, into dist/, installed and tried in an environment that holds nothing else
# make bench  side by side with hand-written JAX and with Storchastic
# Each makes .venv and installs what it needs; a second call finds that done.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PYTEST_ARGS ?= -n 2 --dist worksteal
MUTANTS_ARGS ?=
RUN_ARGS ?=
GALLERY_ARGS ?=
FUZZ_ARGS ?=
BENCHMARKS ?= $(filter-out _%,$(patsubst benchmarks/%.py,%,$(sort $(wildcard benchmarks/*.py))))

# The first Python that runs, is 3.11 or newer and can make a virtual environment.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)

.PHONY: run gallery test test-all test-newest mutants fuzz lint bench docs wheel clean

run: $(VENV)/.gallery
	$(BIN)/spanax gallery tour $(RUN_ARGS)

gallery: $(VENV)/.gallery
	$(BIN)/spanax gallery --all --quick $(GALLERY_ARGS)

test: $(VENV)/.test
	$(BIN)/python -m pytest -m "not slow" $(PYTEST_ARGS)

test-all: $(VENV)/.test
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

mutants: $(VENV)/.test
	$(BIN)/python -m tests.mutants $(MUTANTS_ARGS)

test-newest:
	.ci/test-newest $(PYTEST_ARGS)

fuzz: $(VENV)/.test
	$(BIN)/python -m tests.stochastic.programs $(FUZZ_ARGS)

lint: $(VENV)/.dev
	$(BIN)/python .ci/house.py
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(VENV)/.bench
	@for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python -m benchmarks.$$name || exit 1; done

docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict

wheel: $(BIN)/python
	rm -rf dist build/bare
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	$(BIN)/python -m venv build/bare
	@echo "installing the wheel and what it depends on into build/bare (a minute or two)"
	@build/bare/bin/python -m pip install --quiet --disable-pip-version-check dist/*.whl
	build/bare/bin/python -I .ci/check_wheel.py

clean:
	rm -rf $(VENV) build dist site

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "no Python >= 3.11 with venv: install python3 and python3-venv, or say make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# What users of the gallery install.
$(VENV)/.gallery: pyproject.toml | $(BIN)/python
	@echo "installing spanax[gallery] into $(VENV) (minutes, the first time)"
	@$(PIP) --editable '.[gallery]'
	@touch $@

# A dependency group, beside all extras. Only pip 25.1 and newer know groups: a new environment has the pip of its Python.
$(VENV)/.%: pyproject.toml | $(BIN)/python
	@echo "installing spanax[all] and the group $* into $(VENV) (minutes, the first time)"
	@$(PIP) 'pip>=25.1'
	@$(PIP) --editable '.[all]' --group $*
	@touch $@
