# make run    set up what is missing, then start Chatzilla on http://127.0.0.1:5000
# make test   set up what is missing, then run every check and every test
# make lock   pin the newest versions that pyproject.toml and package.json allow

PYTHON ?= python3
BIN := .venv/bin

.PHONY: run setup test check lock clean

run: setup
	@$(BIN)/python run_server.py $(ARGS)

setup: .setup/run

test: check
	$(BIN)/python -m pytest

check: .setup/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	npm run --silent check
	npm run --silent test

lock:
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --upgrade --universal --generate-hashes --python-version 3.11 \
		--quiet --custom-compile-command "make lock" --output-file requirements.txt
	$(BIN)/uv pip compile pyproject.toml --group dev --upgrade --universal --generate-hashes --python-version 3.11 \
		--quiet --custom-compile-command "make lock" --output-file requirements-dev.txt
	npm update --save

clean:
	rm -rf .venv .setup node_modules static/vendor build dist

.setup/run: requirements.txt package.json package-lock.json
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Chatzilla needs Python 3.11 or newer; 'make run PYTHON=python3.12' names another one."; exit 1; }
	@command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20)' \
		|| { echo "Chatzilla needs Node.js 20 or newer, with npm, to set up the browser's half."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	npm ci --omit=dev --loglevel=error
	@mkdir -p .setup && touch $@

.setup/test: .setup/run requirements-dev.txt
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
		|| if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; \
		else \
			echo "The browser tests need Chromium, and it is not installed."; exit 1; \
		fi
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	npm ci --loglevel=error
	@touch $@
