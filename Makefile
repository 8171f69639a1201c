# What you type. Everything here sets up .venv by itself, from Python 3.11 or newer and make alone.
#
#   make demo     watch real nodes find each other, whisper, fail and recover
#   make test     everything that must hold: make check, then all tests
#   make check    what needs no running: ruff, mypy, pyright, the floors of the house
#   make web      bundle the page for browsers, which the node serves at /
#   make format   put the code into its one form
#   make soak     the long version of the tests: a million fuzz inputs and more
#   make webrtc   a second .venv with aiolibdatachannel, if this machine has Python 3.12 or newer
#   make bench    measure the speed, and that of five other networks on the same machine
#   make lock     choose the versions of what we stand on anew
#   make clean    remove what the above has made

SHELL := /bin/sh
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	command -v $$python >/dev/null 2>&1 || continue; \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
		2>/dev/null && echo $$python && break; done)
VENV ?= .venv
BENCH_VENV ?= .bench-venv
WEBRTC_VENV ?= .venv-webrtc
BENCH_JS ?= .bench-js
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2
FUZZ_RUNS_SOAK ?= 1000000
SOAK_TIMEOUT_S ?= 14400

# The demo and the tests start hundreds of processes: none of them compiles anew what another has.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test check web format soak bench lock clean venv webrtc

help:
	@sed -n '/^# What/,/^$$/s/^# \{0,1\}//p' Makefile

venv: $(STAMP)

$(STAMP): pyproject.toml requirements-dev.lock
	@test -n "$(PYTHON)" || { echo "make: WhispurrNet needs Python 3.11 or newer with venv;" \
		"install it (Debian: apt-get install python3 python3-venv) or say" \
		"make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "setting up $(VENV) ($$($(PYTHON) --version))"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: \
		--require-hashes --requirement requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --editable .
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/python tools/make_web.py --if-possible
	$(BIN)/whispurr demo

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports --no-cache

test: check
	@$(BIN)/python tools/make_web.py --if-possible
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

web: $(STAMP)
	$(BIN)/python tools/make_web.py

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

soak: $(STAMP)
	SOAK=1 FUZZ_RUNS=$(FUZZ_RUNS_SOAK) HYPOTHESIS_PROFILE=soak \
		$(BIN)/python -m pytest -n $(WORKERS) --timeout $(SOAK_TIMEOUT_S) tests/fuzz tests/sim tests/interop/test_churn.py \
		tests/interop/test_send_kills.py tests/interop/test_object_kills.py \
		tests/interop/test_object_memory.py tests/interop/test_object_paths.py \
		tests/interop/test_object_whispers.py tests/interop/test_object_hostile.py

# aiolibdatachannel is for Python 3.12 and newer; the tests use this .venv when it is there.
webrtc: $(WEBRTC_VENV)/.installed

WEBRTC_PYTHONS = python3.12 python3.13 python3.14 $(wildcard $(HOME)/.pyenv/versions/3.1[2-4]*/bin/python3)

$(WEBRTC_VENV)/.installed: pyproject.toml requirements-dev.lock
	@python=$$(for one in $(WEBRTC_PYTHONS); do command -v $$one >/dev/null 2>&1 && \
		$$one -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && \
		echo $$one && break; done); \
	test -n "$$python" || { echo "make: there is no Python 3.12 or newer with venv here" >&2; \
		exit 1; }; \
	test -x $(WEBRTC_VENV)/bin/python || $$python -m venv $(WEBRTC_VENV)
	@sed -e 's/ *\\$$//' -e '/^ *--hash=/d' requirements-dev.lock > $(WEBRTC_VENV)/wanted.txt
	@$(WEBRTC_VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		--only-binary :all: --requirement $(WEBRTC_VENV)/wanted.txt aiortc aiolibdatachannel
	@$(WEBRTC_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --editable .
	@touch $@

bench: $(STAMP) $(BENCH_VENV)/.installed $(BENCH_JS)/.installed
	$(BIN)/python -m bench --peers

# The networks we compare ourselves with live apart: none of them is needed to run WhispurrNet.
$(BENCH_VENV)/.installed: bench/requirements.txt
	@test -x $(BENCH_VENV)/bin/python || $(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		--requirement bench/requirements.txt
	@touch $@

# js-libp2p, with the node it needs; where there is no npm, its figures are missing, and say so.
# The link is where node looks for packages from.
$(BENCH_JS)/.installed: bench/peers/js/package.json bench/peers/js/package-lock.json
	@mkdir -p $(BENCH_JS)
	@cp bench/peers/js/package.json bench/peers/js/package-lock.json $(BENCH_JS)/
	@ln -sf $(CURDIR)/bench/peers/js/gossip.mjs $(BENCH_JS)/gossip.mjs
	@if command -v npm >/dev/null; then \
		npm ci --prefix $(BENCH_JS) --ignore-scripts --no-audit --no-fund --loglevel error \
			&& touch $@; \
	else echo "make: without npm, js-libp2p is not measured" >&2; fi

# No index and no host is written into a lock file: who installs chooses where from.
COMPILE = $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --no-header --upgrade \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options

lock: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-tools
	$(COMPILE) --extra dev --extra l1 --extra mdns --extra cdc --extra zstd --output-file \
		requirements-dev.lock pyproject.toml
	$(COMPILE) --extra l1 --extra mdns --extra cdc --extra zstd --constraint requirements-dev.lock \
		--output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) $(WEBRTC_VENV) $(BENCH_VENV) $(BENCH_JS) .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		build dist browser/node_modules src/whispurrnet/gateway/web
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
