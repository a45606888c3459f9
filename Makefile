# One command per need.  The machine needs Python >= 3.11, make and git; everything else comes into .venv.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
WORKERS ?= 2

.PHONY: demo test check long bench bench-scale busybox clean install

demo: install  ## boot the pair, run one C program on both nodes, compare all designs on a sort that migrates
	$(BIN)/stramash run hello --os fused --on x86,arm -- from the demo
	$(BIN)/stramash compare is:S

test: install  ## everything that takes seconds or minutes, not hours
	$(BIN)/pytest -n $(WORKERS) --dist loadfile

check: install  ## format, lint, types, layers, conventions, unit tests: under a minute
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -q -n $(WORKERS) --dist loadfile tests/conventions tests/launch tests/kernel tests/timebase \
		--ignore tests/launch/test_build.py  # the C compiler's: `make test`

long: install  ## seeded random suites with millions of operations
	$(BIN)/pytest -n $(WORKERS) -m long

bench: install  ## simulated instructions per second, beside qemu-user and cachegrind where installed
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.also
	$(BIN)/python -m benchmarks.fused
	$(BIN)/python -m benchmarks.multiple
	$(BIN)/python -m benchmarks.remote

bench-scale: install  ## what turns, interrupts and instructions cost with 2 to 16 nodes; what more cores gain
	$(BIN)/python -m benchmarks.turns
	$(BIN)/python -m benchmarks.scale
	$(BIN)/python -m benchmarks.cores

busybox: build/busybox/busybox.arm64  ## Debian's busybox-static of both architectures, for tests/programs

build/busybox/busybox.arm64:
	.ci/busybox build/busybox

install: .venv/installed

.venv/installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
		{ rm -rf .venv; echo "python3-venv is missing: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build runs *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
