# One target per thing a person wants; each makes .venv and installs what it needs, once.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
BENCH = .venv-bench
LINT = .venv-lint
# Exact versions of the linters, those of the extra `lint`; they need no package installed.
PINS = import configparser as c; p = c.ConfigParser(); p.read('setup.cfg'); \
  print(*p['options.extras_require']['lint'].split())

# Two processes with one BLAS thread each beat one process with two on the sizes tested here.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: demo test bench lint docs linkcheck clean

$(STAMP): setup.cfg pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
	  { echo "jwst_fusion needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) --version`. Set PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip setuptools wheel
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test]"
	@touch $@

demo: $(STAMP)
	$(BIN)/python -m jwst_fusion.simulation.demo --output demo_output

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 15

# As a user has it: without the tools of the tests, some of which slow every import of asdf down.
bench:
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip setuptools wheel
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	$(BENCH)/bin/python benchmarks/bench_adaptive_trace_model.py --output docs/benchmarks

$(LINT)/.installed: setup.cfg
	$(PYTHON) -m venv $(LINT)
	$(LINT)/bin/python -m pip install --quiet --disable-pip-version-check `$(PYTHON) -c "$(PINS)"`
	@touch $@

lint: $(LINT)/.installed
	$(LINT)/bin/ruff check .
	$(LINT)/bin/ruff format --check .

docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[docs]"
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

# Links to other sites, which needs a network; those within the pages are checked by `make test`.
linkcheck: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[docs]"
	$(BIN)/python -m sphinx -b linkcheck docs docs/_build/linkcheck

clean:
	rm -rf build docs/_build demo_output $(BENCH) $(LINT)
