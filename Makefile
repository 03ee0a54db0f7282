# The only interpreter that is looked up outside .venv; override with `make setup PYTHON=python3.12`.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
BENCH_STAMP := .venv/.bench-installed
MUTANTS_STAMP := .venv/.mutants-installed
# An environment of its own, so that `make lock` does not find the auditor among what is locked.
AUDIT := .venv/audit
CODE := pkd_core tasks flows tests benchmarks

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all faults hosts mutants golden settings check bench bench-gpu audit lock clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv with the versions of requirements.lock (minutes, once)

demo: $(STAMP) ## Run the complete pipeline on generated data in ./demo
	$(BIN)/pkd demo

# By files: the tests of one share its fixtures, whole runs among them. A process takes about 1.5 GB of memory.
test: $(STAMP) ## Run the tests that take seconds each, in up to 4 processes
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

test-all: $(STAMP) ## Run all tests, the slow ones too
	$(BIN)/python -m pytest -m ''

faults: $(STAMP) ## Kill real runs, damage their files, limit their resources, and count what is lost (an hour)
	PYTHONPATH=tests $(BIN)/python -m faults

hosts: $(STAMP) ## Run over several hosts (namespaces, as root), lose one, and compare with one host: CASE=s3-cut
	PYTHONPATH=tests $(BIN)/python -m cluster $(if $(CASE),--case $(CASE))

mutants: $(MUTANTS_STAMP) ## Put small faults into pkd_core, and list those that no test notices: PACKAGE=store EVERY=5
	OMP_NUM_THREADS=1 PYTHONPATH=tests $(BIN)/python -m mutation $(if $(PACKAGE),--package $(PACKAGE)) \
	  $(if $(EVERY),--every $(EVERY)) $(if $(JOBS),--jobs $(JOBS)) $(if $(SECONDS),--seconds $(SECONDS))

golden: $(STAMP) ## Record the results of each kind of stage, after a code version was raised
	PYTHONPATH=tests $(BIN)/python tests/pipeline/golden.py

settings: $(STAMP) ## Write docs/settings.md, after a setting was changed
	PYTHONPATH=tests $(BIN)/python tests/config/settings_page.py

check: $(STAMP) ## Run linter, formatter (as a check), type checker and tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@$(MAKE) --no-print-directory test

bench: $(BENCH_STAMP) ## Measure training steps and extraction beside their limits and alternatives (half an hour)
	$(BIN)/python -m benchmarks

bench-gpu: $(STAMP) ## The same for BERT-base on a GPU, and the time of all GLUE tasks
	$(BIN)/python -m benchmarks.gpu

# Without --strict, pip-audit calls it no vulnerability when the database knows none of the packages.
audit: $(AUDIT)/.installed ## Look up the locked versions in PyPI's advisories (needs the network)
	@rm -f $(AUDIT)/found
	@$(AUDIT)/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off \
	  -r requirements.lock -o $(AUDIT)/found 2> $(AUDIT)/log || { \
	  if [ -s $(AUDIT)/found ]; then cat $(AUDIT)/found; tail -n 1 $(AUDIT)/log; \
	  else echo "The locked versions were not audited, as PyPI's advisories did not answer: run make audit where they do." \
	    "The last line of $(AUDIT)/log: $$(tail -n 1 $(AUDIT)/log)"; fi >&2; exit 1; }
	@tail -n 1 $(AUDIT)/log

lock: $(STAMP) ## Write the versions that stand in .venv to requirements.lock
	@{ sed -n '/^#/p' requirements.lock; $(BIN)/pip freeze --exclude-editable | sed 's/+[^+]*$$//'; } > .venv/lock
	@if grep -n ' @ ' .venv/lock; then echo "Those packages were not installed by name and version: install them so first."; exit 1; fi
	@cp .venv/lock requirements.lock && touch $(STAMP)

clean: ## Remove .venv and caches; data and artifacts stay
	rm -rf .venv build mutants *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "pkd needs Python 3.11 or newer, and $(PYTHON) is not: name one with 'make setup PYTHON=/path/to/python3.11'." >&2; exit 1; }
	@echo "Setting up .venv: pip fetches PyTorch, Prefect, MLflow and what they need. This takes some minutes, once."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c requirements.lock -e '.[dev]'
	@touch $@
	@echo "Done: .venv is ready."

$(BENCH_STAMP): $(STAMP)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c requirements.lock -e '.[dev,bench]'
	@touch $@

$(MUTANTS_STAMP): $(STAMP)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c requirements.lock -e '.[mutants]'
	@touch $@

$(AUDIT)/.installed:
	@$(PYTHON) -m venv $(AUDIT)
	@$(AUDIT)/bin/python -m pip install -qq --disable-pip-version-check 'pip-audit>=2.7'
	@touch $@
