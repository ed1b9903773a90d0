SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

PYTHON ?= python3
BIN := .venv/bin

# Programs from outside Python that the tests use: DEBIAN-PACKAGE=PROGRAM, one a line.
PROGRAMS := \
  nodejs=node \
  npm=npm \
  openssl=openssl \
  redis-server=redis-server

# Named after what it was made from, so that a change of either file installs again and nothing else does.
INSTALLED := .venv/installed-$(shell cat requirements.lock pyproject.toml | sha256sum | cut -c1-16)
KERNELS := .venv/kernels-$(shell cat engine/*.py engine/kernels/*.py | sha256sum | cut -c1-16)

# Folders that hold Python code; mypy refuses those that hold none.
python_dirs = $(foreach dir,engine adapters proto tests benchmarks deploy,\
  $(if $(shell find $(dir) -name '*.py' -print -quit 2>/dev/null),$(dir)))

IN_PLAIN_PYTHON := -m 'not compiled_only' tests/acting tests/deciding tests/engine tests/forecasting tests/policy tests/sensing tests/simulation
# Lanes that take about as long as each other: servers mostly wait, so that three of them keep two cores busy.
COMPUTES := tests/acting tests/deciding tests/engine tests/forecasting tests/policy tests/protocol tests/sensing \
  tests/simulation
SECOND_LANE := tests/adapters tests/examples tests/faults tests/test_readme.py tests/end_to_end/test_contract_on_redis.py \
  tests/end_to_end/test_rolling_upgrade.py \
  $(wildcard tests/end_to_end/test_redis*.py tests/end_to_end/test_crossing*.py)
AFTER_COMPUTING := tests/end_to_end/test_kill.py

.PHONY: help setup proto lint test test-core test-nojit vopr chaos bench demo serve lock programs clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r target text; do \
	  printf '  make %-11s %s\n' "$$target" "$$text"; done

setup: $(INSTALLED) proto $(KERNELS) ## Make .venv with everything from requirements.lock

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Headgate needs Python 3.11 or newer; name one with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "$(PYTHON) cannot make environments. On Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "setup: making .venv"
	@$(PYTHON) -m venv .venv

# The first time pip installs, and uv with the rest; from then on uv does it in a tenth of the time. The
# build tools are in the lock as well, so nothing is fetched outside it.
$(INSTALLED): | $(BIN)/python
	@echo "setup: installing requirements.lock"
	@{ [ -x $(BIN)/uv ] && $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock; } \
	  || $(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@rm -f .venv/installed-* .venv/kernels-*
	@touch $@

# After every change of a kernel, for two minutes or so.
$(KERNELS): | $(INSTALLED)
	@echo "setup: compiling the kernels, once"
	@$(BIN)/headgate warm
	@rm -f .venv/kernels-*
	@touch $@

proto: $(INSTALLED) ## Make the Python modules of the .proto files
	@$(BIN)/python proto/generate_stubs.py

lint: $(INSTALLED) proto ## Formatting, lint, types, layers and the wire contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(strip $(python_dirs))
	$(BIN)/lint-imports --no-logo
	$(BIN)/buf format --diff --exit-code proto
	$(BIN)/buf lint proto
	@.ci/breaking

programs:
	@.ci/need $(PROGRAMS)

# Types are checked while kernels compile. What computes runs with the kernels as plain Python as well.
test: $(INSTALLED) proto programs ## Everything CI checks
	@.ci/lanes '$(MAKE) --no-print-directory lint' '$(MAKE) --no-print-directory $(KERNELS)'
	@.ci/lanes '$(BIN)/pytest $(addprefix --ignore=,$(COMPUTES) $(AFTER_COMPUTING) $(SECOND_LANE)) $(subst ','\'',$(ARGS))' \
	  '$(BIN)/pytest -q $(SECOND_LANE)' \
	  "NUMBA_DISABLE_JIT=1 $(BIN)/pytest -q $(IN_PLAIN_PYTHON); one=\$$?; $(BIN)/pytest -q $(COMPUTES) $(AFTER_COMPUTING) && exit \$$one"

test-core: setup ## Tests that need no program outside Python
	$(BIN)/pytest --without-programs $(ARGS)

test-nojit: setup ## Tests of engine and simulator with the kernels as plain Python
	NUMBA_DISABLE_JIT=1 $(BIN)/pytest $(IN_PLAIN_PYTHON) $(ARGS)

vopr: setup ## Simulated faults: SEEDS=1000 of them, or one SEED again
	$(BIN)/python -m tests.faults.run $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),1000)) $(ARGS)

chaos: setup ## Real faults on real servers, partitions too; needs root. ROUNDS=5 of each
	.ci/need redis-server=redis-server iproute2=ip util-linux=nsenter
	$(BIN)/python -m tests.chaos.run --rounds $(or $(ROUNDS),5) $(ARGS)

bench: setup ## Benchmarks
	$(BIN)/python -m benchmarks.run $(ARGS)

demo: setup ## Play a bank's day through the engine
	@$(BIN)/python deploy/examples/bank_day/play.py $(ARGS)

serve: setup ## Run the engine
	@$(BIN)/headgate serve $(ARGS)

lock: $(BIN)/python ## Resolve requirements.lock again; newest versions with ARGS=--upgrade
	@[ -x $(BIN)/uv ] || $(BIN)/python -m pip install -qq --disable-pip-version-check uv
	UV_CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/uv pip compile pyproject.toml --quiet \
	  --universal --python-version 3.11 --all-extras --group dev --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --output-file requirements.lock $(ARGS)

clean: ## Remove everything made here
	rm -rf .venv dist build .benchmarks .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf proto/.stubs-* proto/headgate/.stubs
	find proto/headgate \( -name '*_pb2.py*' -o -name '*_pb2_grpc.py*' \) -delete
	find engine adapters proto tests benchmarks deploy -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
