# Two commands are all a newcomer needs: `make run` and `make test`. Both set up everything they need in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup run test lint clients lock clean

setup: .venv/.ready

.venv/.ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

run: setup
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
	$(BIN)/pytest $(PYTEST)

lock:
	uv pip compile --quiet --no-emit-index-url --generate-hashes --universal --python-version 3.11 --all-extras pyproject.toml -o requirements.lock

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
