# make run    install, then the main job: search NAS-Bench-101 cells and train them on digits
# make test   install, then the tests
# make docs   the documentation, in build/site
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# One thread a process: OpenMP threads that spin make small tensors many times slower on a busy machine.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
TRIALS ?= 40

.PHONY: run test test-slow lint docs clean

run: $(STAMP)
	$(ONE_THREAD) $(BIN)/graphnas search nasbench101 --task digits --trials $(TRIALS)

test: $(STAMP)
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2

test-slow: $(STAMP)
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 -m slow

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The stamp is touched last, so that an interrupted installation starts again on the next call.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "graphnas needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Set PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

$(VENV)/.docs: $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

$(VENV)/.lint: $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
