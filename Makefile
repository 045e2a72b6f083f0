# The project's own commands. `make demo` and `make test` do all the set-up they need.
PYTHON := .venv/bin/python
UV := .tools/uv/bin/uv

# The Azure CLI, hosts and commands are started hundreds of times: a shell that forbids bytecode has
# each of them compile thousands of modules first (of the tests' time that is the half).
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help env tools vendor screenshots demo cloud tutorial deploy-local check collected test live soak chaos infra requirements clean

help:
	@echo "make demo          play the tutorial on this machine (needs only Python)"
	@echo "make test          the whole gate: lint, types, architecture, every test"
	@echo "make check         the gate without the tests"
	@echo "make soak          four times 100 rounds of 250 random steps, and 10,000 events, with everything failing"
	@echo "make chaos         real processes killed, stopped, flooded, on broken stores (PART=kills, STORE=sqlite)"
	@echo "make cloud         local cloud, Functions host and operators' page for developing; Ctrl-C ends it all"
	@echo "make tutorial      the whole tutorial, typed with the real Azure CLI"
	@echo "make deploy-local  infra/ deployed on the local cloud with the real Azure CLI, and a rebuild (EVENTS=queue)"
	@echo "make tools         what the tests use and PyPI and npm have not (apt: buildah, skopeo, git, chromium)"
	@echo "make infra         build the templates and snapshots of infra/ (needs the Bicep compiler)"
	@echo "make screenshots   the operators' page, every page, wide and narrow, light and dark (needs Chromium)"
	@echo "make docs          write docs/cli.md and what tells of the settings"
	@echo "make live          ask Azure what its documentation leaves open (tests/live/README.md)"
	@echo "make requirements  export requirements.txt from uv.lock, with hashes"

env: .venv/env.done

.venv/env.done: pyproject.toml uv.lock tools/env.py
	@echo "Setting up .venv ..."
	@python3 tools/env.py
	@touch $@

.tools/azurite/done: .venv/env.done tools/azurite.py tools/azurite/package.json tools/azurite/package-lock.json \
		tools/azurite/applicationinsights/index.js
	@python3 tools/azurite.py

.tools/kusto/done: .venv/env.done tools/kusto.py tools/azurite.py tools/kusto/package.json tools/kusto/package-lock.json
	@python3 tools/kusto.py

tools:
	@sh tools/apt.sh

.tools/azure-cli/done: .venv/env.done tools/pinned.py tools/azure-cli/requirements.txt
	@echo "Installing the Azure CLI ..."
	@python3 tools/pinned.py azure-cli

.tools/checkov/done: .venv/env.done tools/pinned.py tools/checkov/requirements.txt
	@echo "Installing Checkov ..."
	@python3 tools/pinned.py checkov

demo: env
	@$(PYTHON) -m localcloud.demo

# The Azure CLI that is on PATH, or one of our own.
cloud: env .tools/azurite/done $(if $(shell command -v az),,.tools/azure-cli/done)
	@$(PYTHON) -m localcloud $(foreach source,$(MAP),--map '$(source)')

tutorial: env .tools/azure-cli/done
	@$(PYTHON) -m localcloud.tutorial

deploy-local: env .tools/azurite/done .tools/azure-cli/done
	@EVENTS=$(EVENTS) $(PYTHON) -m localcloud.deploy

check: env
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports

# What pytest makes of a test's file is kept beside it; without this, each of its processes would
# make all of it, at the same time. A file that cannot be read is told of by the tests themselves.
collected: env
	@$(PYTHON) -m pytest --collect-only -qq >/dev/null || true

# Two at a time: each of them is one process that computes, or waits for packages, for a minute.
test: env
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target check collected .tools/azurite/done \
		.tools/azure-cli/done .tools/checkov/done .tools/kusto/done
	@$(PYTHON) -m pytest -n 5 --dist loadfile --no-loadscope-reorder --cov --cov-report=term

# The page's libraries, as npm has them: pinned by hash in tools/vendor.py.
vendor:
	@python3 tools/vendor.py

screenshots: env
	@PYTHONPATH=. $(PYTHON) -m tests.browser

live: env
	@$(PYTHON) -m pytest tests/live

infra: env
	@$(PYTHON) tools/infra.py

docs: env
	@PYTHONPATH=. $(PYTHON) tools/manual.py
	@PYTHONPATH=. $(PYTHON) tools/settings.py

# Seeded: a round that fails tells how to play it again.
soak: env
	@$(PYTHON) -m tests.soak --seed 1 --rounds 100 --steps 250
	@$(PYTHON) -m tests.soak --seed 2 --rounds 100 --steps 250
	@$(PYTHON) -m tests.soak --seed 1 --rounds 100 --steps 250 --steered
	@$(PYTHON) -m tests.soak --seed 2 --rounds 100 --steps 250 --steered
	@$(PYTHON) -m tests.soak --events 10000
	@$(PYTHON) -m tests.soak --stories

# All of it takes at most 20 minutes; PART and STORE choose, SEED varies.
chaos: .tools/azurite/done
	@$(PYTHON) -m tests.chaos $(PART) $(if $(STORE),--store $(STORE)) $(if $(SEED),--seed $(SEED))

# With hashes: pip then takes nothing whose hash is not here, in Azure's remote build, too.
requirements: env
	@$(UV) export --frozen --quiet --no-dev --group functions --extra messages --no-emit-project --prune click --prune rich --output-file requirements.txt

clean:
	rm -rf .venv .tools .coverage .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
