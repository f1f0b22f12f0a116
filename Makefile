# Two commands for a new user: `make train` and `make test`. Each makes .venv and installs what it needs.
PYTHON ?= python3
OUT ?= runs/half-cheetah-vel-maml-quick-$(shell date +%Y%m%d-%H%M%S)
BIN := .venv/bin

.PHONY: train test clean
.DELETE_ON_ERROR:

train: .venv/installed
	$(BIN)/metarl train half-cheetah-vel-maml --quick --out $(OUT)
	$(BIN)/metarl evaluate $(OUT) --json $(OUT)/evaluation.json
	$(BIN)/metarl plot $(OUT) --out $(OUT)/plot.png

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
