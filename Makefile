# Everything from a fresh clone: `make demo`, `make test`. Needs Python 3.11 or newer and a package
# index; works in .venv, which it makes.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
LOWEST := .venv-lowest
NEWEST := .venv-newest
PACKAGE := .venv-package
BIN = $(VENV)/bin
PIP := -m pip --quiet --disable-pip-version-check install
# A test process a core, one thread each: more of either only makes them wait for one another.
JOBS ?= $(shell $(PYTHON) -c "import os; print(len(os.sched_getaffinity(0)))" 2>/dev/null || echo 2)

.PHONY: demo test long-tail test-all test-gpu gpu test-real coverage test-isa test-lowest test-newest torture check docs-check package release-check bench clean

demo: $(VENV)/.core
	$(BIN)/curate demo --output curate-demo

# One thread a test process: see JOBS.
PYTEST = OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest
SPREAD := -n $(JOBS) --dist loadfile --no-loadscope-reorder

# With COVERAGE=1 it is noted which lines and branches run.
NOTED = $(if $(COVERAGE),--cov --cov-append --cov-report=)

test: $(VENV)/.dev
	$(PYTEST) $(SPREAD) $(NOTED)

# The tests marked slow.
long-tail: $(VENV)/.dev
	$(PYTEST) $(SPREAD) $(NOTED) -m "slow and not torture"

test-all: test long-tail

# What a GPU computes, against the CPU; skipped without one. `make gpu` measures as well.
test-gpu: $(VENV)/.dev
	$(PYTEST) -m gpu tests/gpu

# The tests, encoding and real models (MODEL=DIRECTORY) on a GPU; ten minutes.
gpu: $(VENV)/.dev
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" sh examples/gpu.sh $(MODEL)

# What the library does with a real language model (MODEL=DIRECTORY), on the CPU; ten minutes at most.
test-real: $(VENV)/.dev
	CURATE_REAL_MODEL="$(abspath $(MODEL))" $(PYTEST) -m realmodel tests/real_models

# All tests, and how much of the code they run; what runs in processes that tests start is not counted.
coverage: $(VENV)/.dev
	rm -f .coverage
	$(MAKE) test-all COVERAGE=1
	mkdir -p out && $(BIN)/coverage json --quiet -o out/coverage.json
	$(BIN)/python tests/least_covered.py out/coverage.json

# What promises the same bits, under each instruction set of this CPU, with one thread and with two.
test-isa: $(VENV)/.dev
	TOKENIZERS_PARALLELISM=false $(BIN)/python tests/every_isa.py

# The same tests with the oldest versions that pyproject.toml allows of what it names, and with the
# newest ones that there are. TORCH=2.13.0 takes that version of torch instead, for instance because
# it is a CPU build on a machine without a GPU; PYTHON=python3.13 takes another Python.
test-lowest: BIN := $(LOWEST)/bin
test-lowest: $(LOWEST)/.dev
	$(PYTEST) $(SPREAD)

test-newest: BIN := $(NEWEST)/bin
test-newest:
	test -x $(BIN)/python || $(PYTHON) -m venv $(NEWEST)
	$(BIN)/python $(PIP) --upgrade --upgrade-strategy eager -e '.[dev]' $(TORCH:%=torch==%)
	$(PYTEST) $(SPREAD)

# Several hundred kills, full disks and damaged files, and hostile input; ten minutes; prints what was lost.
torture: $(VENV)/.dev
	TORTURE=1 $(PYTEST) -s -m torture tests/torture tests/hostile

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Everything that a page shows is run, and everything that it names exists.
docs-check: $(VENV)/.dev
	$(PYTEST) $(SPREAD) -m docs

# What a release would upload, in dist/: built, checked, and installed in an environment with nothing
# else, where the command lines that the README shows are run.
package:
	rm -rf dist build $(PACKAGE) && mkdir -p dist
	$(PYTHON) -m venv $(PACKAGE)/build
	$(PACKAGE)/build/bin/python $(PIP) -c constraints.txt build twine
	$(PACKAGE)/build/bin/python -m build
	$(PACKAGE)/build/bin/python -m twine check --strict dist/*
	$(PYTHON) -m venv $(PACKAGE)/installed
	$(PACKAGE)/installed/bin/python $(PIP) -c constraints.txt dist/*.whl
	mkdir $(PACKAGE)/run && grep '^curate ' README.md >$(PACKAGE)/run/commands
	cd $(PACKAGE)/run && PATH="$(CURDIR)/$(PACKAGE)/installed/bin:$$PATH" sh -ex commands

# Does the tag of a release (TAG=v0.1.0) name the version, and does CHANGELOG.md tell of it?
release-check:
	@version=$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' airrep/version.py); \
	test "$$TAG" = "v$$version" || { echo "the tag is '$$TAG' and the version v$$version" >&2; exit 1; }; \
	grep -qx "## $$version" CHANGELOG.md || \
	{ echo "CHANGELOG.md has no section '## $$version'" >&2; exit 1; }

bench: $(VENV)/.dev
	$(BIN)/python examples/benchmarks/greedy_speed.py
	$(BIN)/python examples/benchmarks/encoder_throughput.py
	$(BIN)/python examples/benchmarks/pass_size.py
	$(BIN)/python examples/benchmarks/task_precision.py
	$(BIN)/python examples/benchmarks/lds_speed.py
	$(BIN)/python examples/benchmarks/report_cost.py

clean:
	rm -rf $(VENV) $(LOWEST) $(NEWEST) $(PACKAGE) build dist *.egg-info out curate-demo

$(VENV)/.core: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/python $(PIP) -c constraints.txt -e '.[dev]'
	touch $@

# uv resolves, because pip has no notion of the lowest version; pip installs, from the indexes and files
# that it is configured with. CUDA's libraries are left to torch: a CPU build needs none of them.
$(LOWEST)/.dev: pyproject.toml
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python $(PIP) uv
	echo '$(TORCH:%=torch==%)' >$(LOWEST)/override.txt
	$(LOWEST)/bin/uv pip compile --quiet --only-binary :all: --resolution lowest-direct --extra dev \
	  --python $(LOWEST)/bin/python --override $(LOWEST)/override.txt pyproject.toml | \
	  grep -vE '^(nvidia-|triton=)' >$(LOWEST)/requirements.txt
	$(LOWEST)/bin/python $(PIP) -r $(LOWEST)/requirements.txt -e .
	touch $@
