# Two commands do all their own set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help demo serve test test-slow check format bundle bench clean

help:
	@echo "make demo       set up, fill a store with simulated data, ask four questions, serve on 127.0.0.1:8000"
	@echo "make test       set up and run the default test suite"
	@echo "make test-slow  run the tests marked slow (CI runs them too)"
	@echo "make check      lint, types, docstrings, import contracts"
	@echo "make bundle     train the shipped model bundle anew (docs/how-to/train-a-bundle.md)"
	@echo "make bench      run the benchmarks"

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say which with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX_URL),$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --constraint constraints.txt --index-url $(TORCH_INDEX_URL) torch)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(INSTALLED)
	$(BIN)/chandra-search demo $(DEMO)

# Without stilts, VOTables are checked by pyvo and astropy only; CI installs it first.
test: $(INSTALLED)
	@command -v stilts >/dev/null || echo "stilts is missing, its tests are skipped: apt-get install stilts"
	$(if $(shell command -v stilts),,CHANDRA_WITHOUT_STILTS=1) $(BIN)/python -m pytest -m "not slow" --numprocesses auto --dist worksteal $(PYTEST)

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow --numprocesses auto --dist loadfile tests/integration tests/contract $(PYTEST)
	$(BIN)/python -m pytest -m slow tests/unit $(PYTEST)

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/numpydoc lint $$(git ls-files 'common/*.py' 'ingest/*.py' 'encoders/*.py' 'search/*.py' 'workers/*.py' 'cli/*.py' 'chandra_client/*.py')

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Real words and real catalogue values are not part of the project; DATA is where they lie.
DATA ?= ../shared/data
bundle: $(INSTALLED)
	rm -rf build/simulated build/bundle
	$(BIN)/chandra-search simulate --n 100000 --seed 1 --population mixed --out build/simulated
	$(BIN)/chandra-search train build/simulated --start none --out build/bundle \
		--corpus $(DATA)/papers/corpus/*.jsonl.gz --exclude $(DATA)/realbench \
		--calibrate-on $(DATA)/csc/csc20_fits.npz
	rm -rf encoders/bundles/simulated && cp -r build/bundle encoders/bundles/simulated

bench: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python benchmarks/ingest_spectra.py
	$(BIN)/python benchmarks/encode_spectra.py
	$(BIN)/python benchmarks/search_at_scale.py
	$(BIN)/python benchmarks/other_stores.py
	PYTHONPATH=tests/support $(BIN)/python benchmarks/ingest_through_celery.py
	PYTHONPATH=tests/support $(BIN)/python benchmarks/soak.py

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis
