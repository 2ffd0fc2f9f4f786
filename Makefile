# tenantplane: every command a newcomer needs. `make` alone lists them.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# one more than there are cores, since the longest tests wait; each has a PostgreSQL of its own
TEST_PROCESSES ?= $(shell $(PYTHON) -c 'import os; print(min(os.cpu_count() or 1, 4) + 1)')
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# compiled modules are kept: hundreds of processes of the tests import the same ones
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

help:  ## list the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or later is required; set PYTHON=/path/to/python3.11")'
	@echo "== Installing Python packages into $(VENV): once, a few minutes, about 950 MB"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps -e .
	@touch $(READY)

setup: $(READY)  ## install Python packages and the Pulumi CLI (built once, cached outside the tree)
	@echo "== Looking for the Pulumi CLI; if missing, it is built once (several minutes) and cached"
	@$(BIN)/python -m control_plane.adapters.pulumi.install

check: $(READY)  ## style, types, layers, migrations and everything that is generated
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m stacks.schemas --check
	@$(BIN)/python -m api.openapi --check
	@$(BIN)/python -m tools.draw_status --check
	@$(BIN)/python -m tools.draw_architecture --check
	@$(BIN)/python -m tools.draw_playbook --check
	@$(BIN)/python -m tools.requirements --check
	@$(BIN)/python -m tools.check_migrations

requirements: $(READY)  ## what of the owner's documents works, by document and priority
	@$(BIN)/python -m tools.requirements

test: setup  ## run every test, with the real engine, Terraform and PostgreSQL
	@$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

model: setup  ## search a tenant's life through in larger scopes, and drive every trace of it
	@$(BIN)/python -m tests.model
	@TESTS_TRACES=all $(BIN)/python -m pytest tests/model/test_traces.py -q

crash-matrix: setup  ## kill processes at engine events of every kind of run (POINTS=40 for some)
	@$(BIN)/python -m tests.crash_matrix $(if $(POINTS),--points $(POINTS)) $(MATRIX)

crash-trials: setup  ## kill writer, signer or database of the audit log, 10,000 times (N=500, SEED=7)
	@$(BIN)/python -m tests.crash_trials $(if $(N),--trials $(N)) $(if $(SEED),--seed $(SEED))

trials: setup  ## change the cloud by hand between approval and apply, in a hundred ways (TRIALS=300)
	@TESTS_TRIALS=$(or $(TRIALS),100) $(BIN)/python -m pytest -q \
		tests/stacks/test_every_type_is_compared.py tests/integration/test_cloud_that_moved.py

contracts: setup  ## 10,000 contracts come in badly while workers are killed (N=500, SEED=7)
	@$(BIN)/python -m tests.intake_run $(if $(N),--contracts $(N)) $(if $(SEED),--seed $(SEED))

demo: setup  ## run the main job, end to end, on this machine
	@$(BIN)/tenantctl demo

serve: setup  ## start everything; Ctrl-C stops it
	@$(BIN)/tenantctl serve

bench: setup  ## figures against their targets, in one table (AREAS="mode_a rest" for some)
	@$(BIN)/python -m benchmarks $(AREAS)

format: $(READY)  ## format the code
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format --quiet .

schemas: $(READY)  ## write what is generated: JSON Schemas, OpenAPI document, status page, picture
	@$(BIN)/python -m stacks.schemas
	@$(BIN)/python -m api.openapi
	@$(BIN)/python -m tools.draw_status
	@$(BIN)/python -m tools.draw_architecture
	@$(BIN)/python -m tools.draw_playbook

lock: $(READY)  ## resolve requirements.lock again, with uv
	@uv pip compile pyproject.toml --extra dev --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --quiet --output-file requirements.lock

clean:  ## remove the environment; keep the embedded data in var
	@rm -rf $(VENV)
	@test ! -d var || echo "var is kept: it holds keys, states and audit logs; make clean-data removes it"

clean-data:  ## remove the embedded data, with its keys and audit logs; asks first
	@test ! -d var || { printf 'Remove var with its keys, states and audit logs? [y/N] '; \
		read answer; test "$$answer" = y && rm -rf var; }

.PHONY: help setup check requirements test model crash-matrix crash-trials trials contracts demo serve bench format schemas lock clean clean-data
