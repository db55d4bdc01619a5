# make setup, then make check: all that a new developer needs. CI runs the same.
.PHONY: setup check lint types contracts migrations test lock format

setup:
	uv sync

check: lint types contracts migrations test

lint:
	uv run ruff check .
	uv run ruff format --check .

types:
	uv run mypy

contracts:
	uv run lint-imports

migrations:
	uv run manage.py makemigrations --check --dry-run

test:
	uv run pytest

format:
	uv run ruff format .
	uv run ruff check --fix .

# Resolves every dependency anew and pins what was found: requirements.lock first, then pyproject.toml from it.
lock:
	uv pip compile pyproject.toml --group embedded --group dev --universal --no-config --upgrade --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" \
	  --quiet --output-file requirements.lock
	uv run --no-sync deploy/write_constraints.py
	uv sync
