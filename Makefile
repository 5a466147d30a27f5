# What CI runs is `make check test`. Everything else a person needs is one word as well.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

# Debian packages: what the extension is built with, what the demo runs, what the tests are made with.
BUILD_PACKAGES := gcc g++ python3-venv python3-dev
DEMO_PACKAGES := mosquitto
TEST_PACKAGES := mosquitto mosquitto-clients prometheus mbpoll rt-tests libmodbus-dev pkg-config openssl systemd
NODE_PACKAGES := "modbus-serial@^8"

EXT_SOURCES := $(filter-out ext/codes.py ext/structs.py ext/memories.py ext/views.py ext/layout.py ext/reasons.py ext/__init__.py,$(wildcard ext/*.py)) $(wildcard ext/*.pyx ext/*.pxd)
MODULES := image tape loop link units decode expose

.PHONY: help setup test-setup demo test check format docs proto bench fuzz soak clean build dist
.SILENT: help

help:
	echo "make demo     set up, then a dispatch on a simulated hall, live in the terminal"
	echo "make test     set up, then all tests"
	echo "make check    ruff, mypy --strict, cython-lint, stubtest, docs in step"
	echo "make bench    all benchmarks; make -s bench-NAME prints one JSON line last: $(patsubst bench/%.py,%,$(wildcard bench/*.py))"
	echo "make fuzz     coverage-guided fuzzing of framing, planner, maps, lists and decoder, a minute each"
	echo "make docs     write the generated lists in docs/ and examples/"
	echo "make proto    write the messages of Braiins OS in drivers/miners/ from their .proto"
	echo "make soak     an hour of dispatches on 400 racks"
	echo "make dist     sdist and wheel in dist/"
	echo "make clean    remove everything that was built"

setup: $(VENV)/.demo-packages build

test-setup: setup $(VENV)/.test-packages $(VENV)/.miner-clients

build: $(VENV)/.built

# Installs only what is missing, so that a machine that has everything needs neither root nor network.
define apt
	missing=""; for package in $(1); do \
	  dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q "ok installed" || missing="$$missing $$package"; done; \
	if [ -n "$$missing" ]; then echo "installing$$missing" >&2; \
	  $(SUDO) apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing >&2; fi
endef

$(VENV)/.venv: Makefile
	$(PYTHON) -c 'import sys; sys.exit("rampd needs Python 3.11 or later, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(call apt,$(BUILD_PACKAGES))
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade "pip>=25.1"
	touch $@

# A stale extension hides edits of its source: on any change it is built from nothing.
$(VENV)/.built: $(VENV)/.venv pyproject.toml $(EXT_SOURCES)
	rm -rf build ext/*.c ext/*.cpp ext/*.so
	$(BIN)/python -m pip install -q --group dev
	$(BIN)/python -m pip install -q --no-build-isolation -e .
	touch $@

# Where no mosquitto can be installed, the demo uses a broker from the package index.
$(VENV)/.demo-packages: $(VENV)/.venv
	($(call apt,$(DEMO_PACKAGES))) || $(BIN)/python -m pip install -q "amqtt>=0.12,<0.13"
	touch $@

$(VENV)/.test-packages: $(VENV)/.venv
	$(call apt,$(TEST_PACKAGES))
	command -v npm >/dev/null || { $(call apt,nodejs npm); }
	npm install --silent --no-save --no-audit --no-fund --ignore-scripts --omit=optional --prefix $(VENV)/node $(NODE_PACKAGES)
	$(BIN)/python -m pip install -q "amqtt>=0.12,<0.13"
	touch $@

# Clients of miners that others wrote, in an environment of their own: they pin what rampd does not.
$(VENV)/.miner-clients: $(VENV)/.venv
	$(PYTHON) -m venv $(VENV)/miner-clients
	$(VENV)/miner-clients/bin/python -m pip install -q "pyasic>=0.79,<0.80" "whatsminer>=0.1.2,<0.2" "grpcio-tools==1.85.1"
	touch $@

# The messages of Braiins OS in Python; checked in, so that nothing is generated where rampd is installed.
proto: $(VENV)/.miner-clients
	$(VENV)/miner-clients/bin/python -m grpc_tools.protoc -I drivers/miners --python_out=drivers/miners \
	  --pyi_out=drivers/miners drivers/miners/braiins.proto

demo: setup
	$(BIN)/rampd demo

# What computes runs on two cores; what times real processes runs by itself.
test: test-setup
	$(BIN)/python -m pytest -n 2 --dist loadfile --ignore=tests/e2e --ignore=tests/faults
	$(BIN)/python -m pytest tests/e2e tests/faults

check: build
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/cython-lint ext
	$(BIN)/python -m mypy.stubtest $(addprefix rampd.ext.,$(MODULES))
	$(BIN)/python docs/generate.py --check

format: build
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: build
	$(BIN)/python docs/generate.py

bench: $(patsubst bench/%.py,bench-%,$(wildcard bench/*.py))

bench-%: test-setup
	$(BIN)/python bench/$*.py

# A corpus grows in the venv; the maps that ship are where the one of maps begins.
fuzz: test-setup
	mkdir -p $(addprefix $(VENV)/corpus/,feed plan map list answer) && cp drivers/maps/*.toml $(VENV)/corpus/map
	for target in feed plan map list answer; do PYTHONPATH=. $(BIN)/python tests/fuzz/run.py $$target \
	  -max_total_time=60 -max_len=4096 -verbosity=0 $(VENV)/corpus/$$target || exit 1; done

soak: setup
	$(BIN)/rampd demo --racks 400 --seconds 3600 --json

dist: build
	rm -rf dist
	$(BIN)/python -m build -q

clean:
	rm -rf build dist *.egg-info ext/*.c ext/*.cpp ext/*.so $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
