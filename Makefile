# Everything starts from a bare clone: each target makes .venv first, with the versions of constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= runs/digits
BENCH_VENV := .venv-bench
PRESET ?= figures
THREADS ?= 1
export MPLBACKEND := Agg

.PHONY: help install compare test test-all test-quick check format notebook reproduce torture bench bench-engine clean

help:
	@echo "make compare     digits: quantum, noisy quantum and classical models, about 5 minutes; report in $(OUT)"
	@echo "make test        the whole test suite, on all cores"
	@echo "make test-all    the same with the cluster engines: installs Ray and Spark; wants Java 17 or newer; what CI runs"
	@echo "make test-quick  the suite without its slow cases"
	@echo "make check       format, lint, types, import floors"
	@echo "make notebook    run the notebook and keep its output"
	@echo "make reproduce   published results beside ours, about 3 minutes; docs/reproductions.md"
	@echo "make torture     trainings killed at random moments, 50 times here and 100 times at a provider, which must end with the same bits"
	@echo "make bench       one parameter-shift step on Aer beside the raw Aer calls"
	@echo "make bench-engine  the engine beside its peers, in $(BENCH_VENV); PRESET=figures|sweep|large|memory|cold|all THREADS=1"

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 11) else 'qnn needs Python 3.11 or newer; try make PYTHON=python3.11')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[braket,compress,ibm,logs,notebooks,onnx,test]"
	@touch $@

# Ray and Spark are large, and only the tests of cluster engines need them.
$(VENV)/.installed-all: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[ray,spark]"
	@touch $@

install: $(VENV)/.installed

compare: install
	$(BIN)/qnn compare --task digits --out $(OUT)

test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

test-all: $(VENV)/.installed-all
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

test-quick: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

notebook: install
	$(BIN)/python -m jupyter execute --inplace notebooks/*.ipynb

reproduce: install
	for name in reuploading barren_plateau fourier_spectrum natural_gradient; do \
	  OMP_NUM_THREADS=1 $(BIN)/python reproductions/$$name.py || exit 1; \
	done

torture: install
	OMP_NUM_THREADS=1 $(BIN)/python tests/killed_training.py --kills 50
	OMP_NUM_THREADS=1 $(BIN)/python tests/killed_jobs.py --kills 100 --write docs/jobs.md

bench: install
	$(BIN)/python benchmarks/shot_step_perf.py

# The peers stand in an environment of their own, beside the versions that qnn is tested with.
$(BENCH_VENV)/.installed: pyproject.toml constraints.txt benchmarks/constraints.txt
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet -c constraints.txt -c benchmarks/constraints.txt -e ".[bench]"
	@touch $@

bench-engine: $(BENCH_VENV)/.installed
	$(BENCH_VENV)/bin/python benchmarks/engine_perf.py --preset $(PRESET) --threads $(THREADS)

clean:
	rm -rf $(VENV) $(BENCH_VENV) build dist *.egg-info
