# Two commands for a new user: `make train` and `make test`. Each makes .venv and installs what it needs.
PYTHON ?= python3
OUT ?= runs/half-cheetah-vel-maml-quick-$(shell date +%Y%m%d-%H%M%S)
BIN := .venv/bin

.PHONY: train test test-faults test-metaworld lint docs build wheel-check clean
.DELETE_ON_ERROR:

train: .venv/installed
	$(BIN)/metarl train half-cheetah-vel-maml --quick --out $(OUT)
	$(BIN)/metarl evaluate $(OUT) --json $(OUT)/evaluation.json
	$(BIN)/metarl plot $(OUT) --out $(OUT)/plot.png

test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto

# Every case of tests/faults, some 15 minutes on two cores; `make test` runs a sample of them.
test-faults: .venv/installed
	METARL_FAULTS=all OMP_NUM_THREADS=1 $(BIN)/pytest -n auto tests/faults

# The tests of Meta-World, and some of other tasks, with the older MuJoCo that it pins.
test-metaworld: .venv-metaworld/installed
	OMP_NUM_THREADS=1 .venv-metaworld/bin/pytest tests/meta_world tests/rl/test_workers.py tests/rl/test_own_environment.py \
	  "tests/test_docs.py::test_code_runs[environments/meta_world.md]"

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/mypy

# The site, in build/docs; a warning is an error.
docs: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	rm -rf docs/api/generated  # modules may have gone
	$(BIN)/sphinx-build --quiet --jobs auto --fail-on-warning --keep-going docs build/docs

# The sdist, and the wheel made from it, in dist/.
build: .venv/installed
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

# The wheel trains and evaluates in an environment that has nothing else, away from this folder.
wheel-check: build
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && cd "$$folder" && \
	$(CURDIR)/$(BIN)/python -m venv alone && \
	alone/bin/pip install --quiet --no-compile -c $(CURDIR)/constraints.txt $(CURDIR)/dist/*.whl && \
	alone/bin/metarl train sinusoid-maml --iterations 20 --out run && \
	alone/bin/metarl evaluate run --tasks 20

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

.venv-metaworld/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-metaworld
	grep -v '^mujoco' constraints.txt > .venv-metaworld/constraints.txt
	.venv-metaworld/bin/python -m pip install --quiet --disable-pip-version-check \
	  -c .venv-metaworld/constraints.txt -e ".[metaworld,test]"
	touch $@

clean:
	rm -rf .venv .venv-metaworld build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
