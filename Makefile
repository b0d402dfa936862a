# The one vocabulary: what CI runs is what a laptop runs. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
AUDIT := $(VENV)/audit

.DEFAULT_GOAL := help
.PHONY: help setup demo test check audit wheel slow gpu browser notebook bench chaos fuzz coverage docs pictures lowest clean

help:  ## List these commands.
	@sed -nE 's/^([a-z]+):.*  ## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(READY)  ## Make .venv with everything in it, pinned by constraints.txt.

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is too old: visionlib needs Python 3.11; name a newer one: make setup PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup  ## Train, test and show a small network on the built-in shapes: offline, a minute or two.
	$(BIN)/visionlib demo

test: setup  ## Run the tests that take seconds.
	@# Threads that wait do not spin: they would take the cores from the other tests. Bytecode is written, also where the
	@# environment forbids it: each of 200 commands would compile the library anew. The tests of a file share a process,
	@# and what its fixtures train and export.
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n auto --dist loadscope

check: setup  ## Lint, types, formatting, import direction and declared dependencies.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry visionlib
	@$(MAKE) --no-print-directory audit

audit:  ## Look for known vulnerabilities of the pinned dependencies, where an index tells them.
	@{ [ -x $(AUDIT)/bin/pip-audit ] || { $(PYTHON) -m venv $(AUDIT) && $(AUDIT)/bin/pip install --quiet pip-audit; }; } \
		>/dev/null 2>&1 || { echo "audit: pip-audit cannot be had here, skipped"; exit 0; }; \
	rm -f $(AUDIT)/found.json; \
	$(AUDIT)/bin/pip-audit --progress-spinner off --disable-pip --no-deps --timeout 10 --requirement constraints.txt \
		--format json --output $(AUDIT)/found.json >$(AUDIT)/log 2>&1; code=$$?; \
	if [ ! -s $(AUDIT)/found.json ]; then echo "audit: no index tells vulnerabilities here, skipped"; \
	elif [ $$code -ne 0 ]; then cat $(AUDIT)/log $(AUDIT)/found.json; exit 1; \
	else echo "audit: no known vulnerability in constraints.txt"; fi

wheel: setup  ## Build the wheel twice, and check that the bytes are the same.
	rm -rf dist build
	for at in 1 2; do rm -rf build; SOURCE_DATE_EPOCH=315532800 \
		$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist/$$at . && sleep 2 || exit 1; done
	cmp dist/1/*.whl dist/2/*.whl
	@sha256sum dist/1/*.whl

coverage: setup  ## Check that tests reach every branch of the code that reads archives, pickles, checkpoints and runs.
	OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest -q tests/runs tests/data/test_archives.py tests/data/pickles \
		tests/models/test_checkpoints.py tests/inference/test_trust.py tests/training/test_failing_disk.py \
		tests/training/test_resume.py
	$(BIN)/coverage report

slow: setup  ## Run the tests that take minutes.
	$(BIN)/pytest -m slow

gpu: setup  ## Run the tests that need a CUDA device.
	$(BIN)/pytest -m gpu

browser: setup  ## Test the page in headless Chromium, which Debian's package `chromium` brings.
	OMP_NUM_THREADS=1 $(BIN)/pytest -m browser -n auto

notebook: setup  ## Execute the notebooks in short form on drawn pictures, in under three minutes.
	$(BIN)/pytest -m slow tests/notebooks

bench: setup  ## Measure, and print tables; docs/results.md and docs/experiments.md keep them.
	$(BIN)/python bench/data.py
	$(BIN)/python bench/summary.py
	$(BIN)/python bench/training.py
	$(BIN)/python bench/kernels.py
	$(BIN)/python bench/explanation.py
	$(BIN)/python bench/inspection.py

chaos: setup  ## Kill tiny trainings, and let each of their writes fail: at most 20 minutes each; FLAGS="--kills 50" takes two.
	$(BIN)/python -m bench.chaos $(FLAGS)
	$(BIN)/python -m bench.failing_writes

fuzz: setup  ## Give damaged inputs to every reader, a minute each; FLAGS="--seconds 10 --reader images" chooses.
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[fuzz]' || \
		echo "atheris cannot be had here: mutations are drawn blindly"
	$(BIN)/python -m bench.fuzz $(FLAGS)

docs: $(VENV)/.docs  ## Write the commands page anew, and build the site into site/, offline, in seconds.
	$(BIN)/python docs/make.py
	@echo "open site/index.html"

$(VENV)/.docs: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@

pictures: setup  ## Make the pictures of docs/ anew that need no run from elsewhere, in some minutes.
	$(BIN)/python docs/make.py pictures

lowest:  ## Run the tests with the lowest versions that pyproject.toml allows, in an environment of their own.
	$(PYTHON) -m venv $(VENV)/lowest
	$(VENV)/lowest/bin/python -m pip install --quiet --constraint constraints-lowest.txt '.[dev]'
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(VENV)/lowest/bin/python -m pytest -n auto --dist loadscope \
		-W ignore::DeprecationWarning # of old packages among new ones

clean:  ## Remove what setup and the tests made; runs/ stays.
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
