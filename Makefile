# One target per thing a person wants; each makes .venv and installs what it needs, once.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
BENCH = .venv-bench
LINT = .venv-lint
DIST = .venv-dist
WHEEL = .venv-wheel
AUDIT = .venv-audit
VERSION ?=
# What else pip is told when it installs the package: other versions, say.
WITH ?=
PIP = -m pip install --quiet --disable-pip-version-check
# Files of tests, all if empty.
TESTS ?=
PYTEST = -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 15 $(TESTS)
# Exact versions of the linters, those of the extra `lint`; they need no package installed.
PINS = import configparser as c; p = c.ConfigParser(); p.read('setup.cfg'); \
  print(*p['options.extras_require']['lint'].split())

# Two processes with one BLAS thread each beat one process with two on the sizes tested here.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: demo test search fuzz coverage test-oldest test-newest test-jwst-main test-cubeviz dist test-wheel bench lint audit recipe changes docs linkcheck clean

$(STAMP): setup.cfg pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
	  { echo "jwst_fusion needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) --version`. Set PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) --upgrade pip setuptools
	$(BIN)/python $(PIP) --editable ".[test]" $(WITH)
	@touch $@

demo: $(STAMP)
	$(BIN)/python -m jwst_fusion.command.demo_run --output demo_output

test: $(STAMP)
	$(BIN)/python $(PYTEST)

# Damaged input of every step, other damage each time; SEED repeats it.
FUZZ_SECONDS ?= 3600
search: $(STAMP)
	$(BIN)/python tests/fuzz/search.py $(FUZZ_SECONDS) $(SEED)

# The same, and each step disturbed at 20 moments.
fuzz: search
	CRASH_RUNS=20 $(BIN)/python -m pytest -n 0 tests/fuzz tests/steps/test_crash.py

# The lines that the tests run, as a table and in coverage.xml; code run in processes of its own is not counted.
coverage: $(STAMP)
	$(BIN)/python $(PIP) --editable ".[coverage]"
	$(BIN)/python $(PYTEST) --cov --cov-report term:skip-covered --cov-report xml

# The oldest versions that setup.cfg allows, to be run on the oldest Python.
test-oldest:
	$(MAKE) test VENV=.venv-oldest WITH="--constraint .github/oldest.txt"

# The newest versions, those before a release included.
test-newest:
	$(MAKE) test VENV=.venv-newest WITH="--pre --upgrade --upgrade-strategy eager"

# jwst as it will be, which needs Python 3.12.
test-jwst-main:
	$(MAKE) test VENV=.venv-jwst-main WITH="jwst@git+https://github.com/spacetelescope/jwst"

# A fused cube in Cubeviz, which brings a hundred packages: in an environment of its own.
test-cubeviz:
	$(MAKE) test VENV=.venv-cubeviz WITH="--editable .[cubeviz]" TESTS=tests/datamodels/test_ecosystem.py

dist:
	$(PYTHON) -m venv $(DIST)
	$(DIST)/bin/python $(PIP) build
	rm -rf dist
	$(DIST)/bin/python -m build

# The tests with the package as users install it: the source tree is not on the path of imports.
test-wheel: dist
	$(PYTHON) -m venv --clear $(WHEEL)
	$(WHEEL)/bin/python $(PIP) --upgrade pip setuptools
	$(WHEEL)/bin/python $(PIP) "`ls dist/*.whl`[test]"
	PYTHONSAFEPATH=1 $(WHEEL)/bin/python -c "import jwst_fusion as f; print(f.__file__); assert 'site-packages' in f.__file__"
	PYTHONSAFEPATH=1 $(WHEEL)/bin/python $(PYTEST)

# As a user has it: without the tools of the tests, some of which slow every import of asdf down.
bench:
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python $(PIP) --upgrade pip setuptools
	$(BENCH)/bin/python $(PIP) --editable .
	$(BENCH)/bin/python benchmarks/bench_adaptive_trace_model.py --output docs/benchmarks

$(LINT)/.installed: setup.cfg
	$(PYTHON) -m venv $(LINT)
	$(LINT)/bin/python $(PIP) `$(PYTHON) -c "$(PINS)"`
	@touch $@

lint: $(LINT)/.installed
	$(LINT)/bin/ruff check .
	$(LINT)/bin/ruff format --check .
	$(LINT)/bin/ruff check --preview --select DOC102,DOC202 jwst_fusion
	$(LINT)/bin/numpydoc lint `find jwst_fusion -name "*.py" | sort`

# Known faults of everything that an installation brings, and its list (software bill of materials).
audit:
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python $(PIP) --upgrade pip setuptools
	$(AUDIT)/bin/python $(PIP) ".[audit]"
	$(AUDIT)/bin/cyclonedx-py environment --output-format JSON --output-file sbom.json
	$(AUDIT)/bin/pip-audit --local --skip-editable

# The recipe for conda-forge, read and rendered by rattler-build, which refuses what it does not know.
RENDER = import rattler_build as r, pathlib as p; text = p.Path('.github/conda-forge/recipe.yaml').read_text(); \
  print(*r.Stage0Recipe.from_yaml(text).render(r.VariantConfig.from_yaml('python_min: [\'3.11\']')))
recipe:
	$(PYTHON) -m venv $(LINT)
	$(LINT)/bin/python $(PIP) "py-rattler-build>=0.73"
	$(LINT)/bin/python -c "$(RENDER)"

# The fragments of changes/ as a section of CHANGES.rst: make changes VERSION=0.2.0
changes:
	$(PYTHON) -m venv $(LINT)
	$(LINT)/bin/python $(PIP) "towncrier>=24.8"
	$(LINT)/bin/towncrier build --yes --version $(VERSION)

docs: $(STAMP)
	$(BIN)/python $(PIP) --editable ".[docs]"
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

# Links to other sites, which needs a network; those within the pages are checked by `make test`.
linkcheck: $(STAMP)
	$(BIN)/python $(PIP) --editable ".[docs]"
	$(BIN)/python -m sphinx -b linkcheck docs docs/_build/linkcheck

clean:
	rm -rf build dist docs/_build demo_output coverage.xml sbom.json .coverage* .venv-*
