# The project's verbs. `make help` lists them; CI calls the same ones.
PYTHON ?= python3
BIN := .venv/bin
# Settings for commands that load Django without serving anything (linters, migrations, the schema).
CHECK_ENV := DATABASE_URL=postgres://check@127.0.0.1:1/check REDIS_URL=redis://127.0.0.1:1/0 \
  PULUMI_BACKEND_URL=file:///dev/null FREEHOLD_SECRET_KEY=check-check-check-check-check-check-check \
  FREEHOLD_ENCRYPTION_KEYS=check-check-check-check-check-check-check

.PHONY: help install up down clean run format check schema messages test test-crash test-fast bench

help: ## list the verbs
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: ## virtual environment, locked dependencies, the Pulumi CLI
	@$(PYTHON) tools/bootstrap.py

up: install ## everything running, the tenant acme provisioned, an agent run, its usage and invoice shown
	@$(BIN)/freehold up

down: ## stop everything `up` started, tenants' processes too; data stays
	@if [ -x $(BIN)/freehold ]; then $(BIN)/freehold down; else echo "Nothing is installed, so nothing runs."; fi

clean: ## down, and remove all state (.freehold/)
	@if [ -x $(BIN)/freehold ]; then $(BIN)/freehold down --remove-data; \
	elif [ -e "$${FREEHOLD_HOME:-.freehold}" ]; then \
	  echo "There is state, but nothing is installed that could stop and remove it: make install, then make clean."; exit 1; \
	else echo "Nothing is installed, and there is no state."; fi

run: up ## the same as up

format: ## format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

check: ## formatter, linter, types, import directions, migrations, OpenAPI drift
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .
	@$(CHECK_ENV) $(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/architecture
	@out=$$($(CHECK_ENV) $(BIN)/python manage.py makemigrations --check --dry-run 2>&1) || { echo "$$out"; exit 1; }
	@$(CHECK_ENV) $(BIN)/python manage.py spectacular --file .freehold-schema.yaml --fail-on-warn && \
	  diff -u docs/openapi.yaml .freehold-schema.yaml; status=$$?; rm -f .freehold-schema.yaml; \
	  [ $$status -eq 0 ] || { echo "docs/openapi.yaml is out of date: run make schema"; exit 1; }

schema: ## refresh docs/openapi.yaml and docs/configuration.md
	@$(CHECK_ENV) $(BIN)/python manage.py spectacular --file docs/openapi.yaml --fail-on-warn
	@$(CHECK_ENV) $(BIN)/python tools/configuration_table.py > docs/configuration.md

messages: ## refresh and compile the portal's catalogues (controlplane/portal/locale)
	@$(CHECK_ENV) $(BIN)/python tools/messages.py

test: install ## the whole suite: unit, integration, crash, browser
	@sh tools/install-chromium
	@$(PYTHON) tools/install-helm
	@$(PYTHON) tools/install-weaviate
	@$(PYTHON) tools/install-kubernetes
	@# Scenarios share one running Freehold.
	@$(BIN)/python tools/run-suite tests/scenarios
	@# Engines, servers and leases are waited for most of the time: two files share the machine.
	@$(BIN)/python tools/run-suite -n 2 --dist loadfile --ignore=tests/scenarios

test-crash: install ## every life of crashes and what watches them, half an hour
	@FREEHOLD_CRASH_LIVES=all $(BIN)/python -m pytest -n 2 --dist load tests/crash

test-fast: ## what needs no engine, no browser and no running Freehold
	@$(BIN)/python -m pytest -q -m "not engine and not browser and not scenario"

bench: install ## every benchmark; writes benchmarks/results/*.json
	@$(BIN)/python -m benchmarks
