# make run    set up what is missing, then start Chatzilla on http://127.0.0.1:5000   (ARGS="--port 8080" for others)
# make test   set up what is missing, then run every check and every test
# make check  the checks and the JavaScript's tests alone, which need no browser
# make bench  measure Chatzilla beside its peers (ARGS="--rounds 1 --quick" to try it; needs gcc and zlib's headers)
# make torture  drive a server through faults for 90 minutes (ARGS="--faults 300 --minutes 5" to try it)
# make lock   pin the newest versions that pyproject.toml and package.json allow

PYTHON ?= python3
BIN := .venv/bin
CLIENT := static/vendor/socket.io.esm.min.js
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
COMPILE := $(BIN)/python -m uv pip compile pyproject.toml --upgrade --universal --generate-hashes \
	--python-version 3.11 --quiet --custom-compile-command "make lock"

# A server that may not keep what it has compiled compiles itself at each start, which takes a second; the tests start many.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run setup test check advisories bench torture lock clean system again

run: setup
	@$(BIN)/python run_server.py $(ARGS)

setup: .setup/run

test: check system
	$(BIN)/python -m pytest -m "not alone" --numprocesses logical --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m pytest -m alone

check: .setup/dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	npm run --silent check
	npm run --silent test

advisories: .setup/run
	@$(BIN)/python -m tests.advisories

bench: .setup/run
	$(BIN)/python -m benchmarks $(ARGS)

torture: .setup/dev system
	@$(BIN)/python -m tests.torture $(ARGS)

lock: .setup/run
	$(PIP) install uv
	$(COMPILE) --output-file requirements.txt
	$(COMPILE) --group dev --output-file requirements-dev.txt
	npm update --save

clean:
	rm -rf .venv .setup node_modules static/vendor build dist

# The stamps say when it was set up; these say whether it is still there, and whether its Python still runs.
ifneq ($(shell $(BIN)/python -c '' 2>/dev/null && test -s $(CLIENT) && echo whole),whole)
.setup/run: again
endif
ifneq ($(shell test -x $(BIN)/ruff && test -x node_modules/.bin/tsc && echo whole),whole)
.setup/dev: again
endif

.setup/run: requirements.txt package.json package-lock.json
	@command -v $(PYTHON) >/dev/null && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Chatzilla needs Python 3.11 or newer; 'make run PYTHON=python3.12' names another one."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "This Python cannot make virtual environments; Debian and Ubuntu have that in python3-venv."; exit 1; }
	@command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' \
		|| { echo "Chatzilla needs Node.js 20 or newer, with npm, to set up the browser's half."; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(PIP) install --require-hashes -r requirements.txt
	npm ci --omit=dev --loglevel=error
	@mkdir -p .setup && touch $@

.setup/dev: .setup/run requirements-dev.txt
	$(PIP) install --require-hashes -r requirements-dev.txt
	npm ci --loglevel=error
	@touch $@

# What the tests need besides Python and Node.js: a browser, openssl for a certificate, a relay and Janus for calls.
system:
	@missing=""; \
	command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
		|| missing="$$missing chromium"; \
	command -v openssl >/dev/null || missing="$$missing openssl"; \
	command -v turnserver >/dev/null || missing="$$missing coturn"; \
	[ "$$(uname)" != Linux ] || command -v janus >/dev/null || missing="$$missing janus"; \
	[ "$$(uname)" != Linux ] || command -v strace >/dev/null || missing="$$missing strace"; \
	if [ -z "$$missing" ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq; \
		case "$$missing" in *chromium*) ! apt-cache show chromium-headless-shell >/dev/null 2>&1 \
			|| missing="$$missing chromium-headless-shell";; esac; \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	else \
		echo "The tests need, and do not find:$$missing"; exit 1; \
	fi
