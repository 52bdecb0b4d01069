# Everything here works on a machine with Python 3.11 or newer and make.
#   make setup   a virtual environment in .venv, with lineal and the tools in it
#   make test    the tests                  make demo    the example, from nothing
#   make check   all that must hold         make bench   the measurements
#   make torture   every fault and new stories; then runs killed at random moments, until one
#                  breaks a promise (KILLS=2000 SEED=0)
#   make foreman   200 assets of which a tenth fail, with workers and without (ASSETS=200 GRAPHS=3)
#   make crowd     processes that make, ask and are killed (PROCESSES=8 ASKERS=4 SECONDS=60 SEED=0)

.PHONY: setup test check demo bench torture crowd foreman
.DELETE_ON_ERROR:

BIN := .venv/bin
STAMP := .venv/.made-for-pyproject

setup: $(STAMP)

# PYTHON=… chooses the interpreter; else the first that is new enough and can make environments.
$(STAMP): pyproject.toml
	@found=; old=; bare=; \
	for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14 python; do \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	    || { old="$$old $$python"; continue; }; \
	  "$$python" -c 'import ensurepip, venv' 2>/dev/null \
	    || { bare="$$bare $$python"; continue; }; \
	  found=$$python; break; \
	done; \
	if [ -z "$$found" ] && [ -n "$$bare" ]; then \
	  echo "make: these Pythons can't make a virtual environment:$$bare" >&2; \
	  echo "make: install their venv module (Debian, Ubuntu: apt install python3-venv)," >&2; \
	  echo "make: or name another Python: make setup PYTHON=/path/to/python3" >&2; exit 1; \
	fi; \
	if [ -z "$$found" ]; then \
	  echo "make: there is no Python 3.11 or newer here; looked for$$old" >&2; \
	  echo "make: name one: make setup PYTHON=/path/to/python3" >&2; exit 1; \
	fi; \
	echo "setup: $$("$$found" --version), in .venv"; \
	"$$found" -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

test: setup
	@cores=$$($(BIN)/python -c 'import os; print(os.cpu_count() or 1)'); \
	parallel=; if [ "$$cores" -gt 1 ]; then parallel="-n auto --dist loadfile"; fi; \
	$(BIN)/python -m pytest -q $$parallel

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory test

demo: setup
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/flights/demo.sh

KILLS = 2000
SEED = 0
torture: setup
	LINEAL_EVERY_FAULT=1 $(BIN)/python -m pytest -q \
	  tests/faults/test_every_fault.py tests/faults/test_faulty_stories.py
	$(BIN)/python -m tests.torture --kills $(KILLS) --seed $(SEED) --minutes 120

PROCESSES = 8
ASKERS = 4
SECONDS = 60
crowd: setup
	$(BIN)/python -m tests.faults.crowd \
	  --processes $(PROCESSES) --askers $(ASKERS) --seconds $(SECONDS) --seed $(SEED)

ASSETS = 200
GRAPHS = 3
foreman: setup
	$(BIN)/python -m tests.faults.foreman --assets $(ASSETS) --graphs $(GRAPHS) --seed $(SEED)

bench: setup
	@for words in startup no_op cold content jobs "long_journal --materializations 100000"; do \
	  echo "== $$words"; $(BIN)/python -m benchmarks.$$words || exit 1; echo; \
	done
