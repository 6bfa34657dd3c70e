# Everything from a fresh clone: `make demo`, `make test`. Needs Python 3.11 or newer and a package
# index; works in .venv, which it makes.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# A test process a core, one thread each: more of either only makes them wait for one another.
JOBS ?= $(shell $(PYTHON) -c "import os; print(len(os.sched_getaffinity(0)))" 2>/dev/null || echo 2)

.PHONY: demo test test-all torture check bench clean

demo: $(VENV)/.core
	$(BIN)/curate demo --output curate-demo

# One thread a test process: see JOBS.
PYTEST := OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest
SPREAD := -n $(JOBS) --dist loadfile --no-loadscope-reorder

test: $(VENV)/.dev
	$(PYTEST) $(SPREAD)

# With the long tail: the tests marked slow.
test-all: $(VENV)/.dev
	$(PYTEST) $(SPREAD) -m "not torture"

# Several hundred kills, full disks and damaged files, and hostile input; ten minutes; prints what was lost.
torture: $(VENV)/.dev
	TORTURE=1 $(PYTEST) -s -m torture tests/torture tests/hostile

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	$(BIN)/python examples/benchmarks/greedy_speed.py
	$(BIN)/python examples/benchmarks/encoder_throughput.py
	$(BIN)/python examples/benchmarks/task_precision.py
	$(BIN)/python examples/benchmarks/lds_speed.py
	$(BIN)/python examples/benchmarks/report_cost.py

clean:
	rm -rf $(VENV) build dist *.egg-info out curate-demo

$(VENV)/.core: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
