PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test check bench bench-quick bench-aa bench-planted bench-publish speed gpu reports docs clean

run: .venv/installed
	$(BIN)/nisbench run

test: .venv/installed
	$(BIN)/python -m pytest

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/asv check --python=same

# BASE=REF compares with another commit than the merge base; BENCH='--bench REGEX' with some of the benchmarks.
bench: .venv/installed
	$(BIN)/python -m pytest tests/performance -n 0 --benchmark-enable --benchmark-only --benchmark-storage=.asv/micro \
		--benchmark-autosave --benchmark-compare -W default
	$(BIN)/python -m benchmarks.gate $(if $(BASE),--base $(BASE)) $(BENCH)

bench-quick: .venv/installed
	test -f ~/.asv-machine.json || $(BIN)/python -m asv machine --yes
	$(BIN)/python -m asv run --quick --dry-run --python=same --show-stderr

RUNS ?= 10
bench-aa: .venv/installed
	$(BIN)/python -m benchmarks.false_alarms --runs $(RUNS) $(BENCH)

bench-planted: .venv/installed
	$(BIN)/python -m tests.performance.slowdown

bench-publish: .venv/installed
	$(BIN)/python -m benchmarks.publish

# How fast the networks draw and train beside the machine's matrix products; docs/dev/performance.md has the results.
speed: .venv/installed
	$(BIN)/python -m tests.performance.speed

# Everything that a GPU is needed for, with the Python at hand: nothing is installed. docs/gpu.md describes it.
MINUTES ?= 8
gpu:
	PYTHONPATH=.:plugins:build/packages $(PYTHON) -m benchmarks.gpu --minutes $(MINUTES) $(if $(OUT),--out $(OUT)) $(if $(STAGES),--stages $(STAGES)) $(if $(DRY),--dry)

# RUN=runs/<run> NAME=<name> adds one; without them all are rebuilt. Full pages: build/reports/<name>/report.html.
reports: .venv/installed
	$(BIN)/python reports/make.py $(RUN) $(NAME)

# Builds build/site/index.html, which needs no network; its search works on a web server only.
docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

.venv/installed-docs: .venv/installed
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build *.egg-info
