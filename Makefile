# Two commands are all a newcomer needs: `make run` and `make test`. Both set up everything they need in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup run test lint clients lock docs clean bench crash soak year

# `run` needs the gateway alone (requirements-run.lock); `setup` adds the test tools (requirements.lock). Both locks
# hold every package with its version and hashes, so pip has nothing to resolve.
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
INSTALL := $(PIP) install --no-compile --no-deps --require-hashes -r
INSTALL_SELF := $(PIP) install --no-compile --no-deps --no-build-isolation -e .
# Byte code is made here, on all cores: without it (or where PYTHONDONTWRITEBYTECODE is set) every start takes seconds.
# What the gateway never imports is left out.
UNUSED := /(pip|setuptools|pygments/lexers|sqlalchemy/dialects/(mysql|oracle|mssql)|tests?)/
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '$(UNUSED)' .venv/lib || true

setup: .venv/.ready

# A Python without ensurepip (Debian's without python3-venv) leaves half a .venv, on which the next try would stumble.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; this is " \
	  + sys.version.split()[0] + ". Name another one: make PYTHON=python3.11 …")'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/.runnable: requirements-run.lock pyproject.toml | .venv/bin/python
	@echo "# Fetching the packages into .venv, this once; it takes a minute."
	@$(INSTALL) requirements-run.lock
	@$(INSTALL_SELF)
	@$(COMPILE)
	@touch $@

.venv/.ready: requirements.lock pyproject.toml | .venv/bin/python
	@echo "# Fetching the packages and the test tools into .venv, this once; it takes a minute or two."
	@$(INSTALL) requirements.lock
	@$(INSTALL_SELF)
	@$(COMPILE)
	@touch .venv/.runnable $@

run: .venv/.runnable
	@$(BIN)/python -m compileall -qq gateway
	@exec $(BIN)/python -m gateway.demo

lint: setup
	$(BIN)/ruff check gateway tests
	$(BIN)/ruff format --check gateway tests
	$(BIN)/mypy
	$(BIN)/lint-imports

# The programs that the tests drive; as root they are installed, as a plain user the tests say by name what is missing.
clients:
	@tests/install-clients

test: setup clients lint
	@$(BIN)/python -m compileall -qq gateway
	$(BIN)/pytest $(PYTEST)

# Measures the gateway beside Pure-FTPd and Postfix (as root: both are Debian's packages) and writes docs/benchmarks.md; about
# half an hour. Only some cases, without writing: make bench BENCH="big8 s4k --reps 3".
bench: setup clients
	PYTHONPATH=tests $(BIN)/python -m bench $(or $(BENCH),--write docs/benchmarks.md)

# The crash tests at length: 500 uploads by mixed clients, 20 kills, under three seeds; the suite has them in a short form.
crash: setup clients
	for seed in 1 2 3; do GATEWAY_CRASH_UPLOADS=500 GATEWAY_CRASH_KILLS=20 GATEWAY_CRASH_SEED=$$seed $(BIN)/pytest -q tests/crash || exit 1; done

# Half an hour of customers who come and go; the suite has it in a short form.
soak: setup clients
	GATEWAY_SOAK_LAPS=40 GATEWAY_SOAK_SECONDS=40 $(BIN)/pytest -q -s tests/soak

# Both locks name the same versions: the second is the first without the test tools.
RESOLVE := uv pip compile --quiet --no-emit-index-url --no-header --generate-hashes --universal --python-version 3.11
lock:
	$(RESOLVE) --all-extras pyproject.toml -o requirements.lock
	$(RESOLVE) $(foreach extra,postgres mailauth tnef web checkout,--extra $(extra)) -c requirements.lock pyproject.toml -o requirements-run.lock

# A simulated year of 1,000 accounts on two hosts' housekeeping that is killed again and again, and 10,000 accounts that
# are due at once; the suite lives a year of 24, and resets 2,000.
year: setup
	GATEWAY_DUE_ACCOUNTS=10000 $(BIN)/pytest -q -s tests/year/test_ten_thousand.py
	GATEWAY_YEAR_ACCOUNTS=1000 GATEWAY_YEAR_KILLS=3 $(BIN)/pytest -q -s tests/year/test_two_hosts.py

# The pages and the example that are written from the code itself; a test fails while one of them is stale.
docs: setup
	$(BIN)/python tests/docs/pages.py

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
