# Two commands for a new user: `make train` and `make test`. Each makes .venv and installs what it needs.
PYTHON ?= python3
OUT ?= runs/half-cheetah-vel-maml-quick-$(shell date +%Y%m%d-%H%M%S)
BIN := .venv/bin

.PHONY: train test lint clean
.DELETE_ON_ERROR:

train: .venv/installed
	$(BIN)/metarl train half-cheetah-vel-maml --quick --out $(OUT)
	$(BIN)/metarl evaluate $(OUT) --json $(OUT)/evaluation.json
	$(BIN)/metarl plot $(OUT) --out $(OUT)/plot.png

test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto

# mypy has to see the package as it installs: with envs/ and experiments/ inside metarl/.
lint: .venv/installed
	$(BIN)/ruff check .
	rm -rf .venv/tree && mkdir .venv/tree && cp -R metarl .venv/tree/ && cp -R envs experiments .venv/tree/metarl/
	cd .venv/tree && ../bin/mypy --config-file ../../pyproject.toml

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
