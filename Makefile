# Two commands matter: `make demo` runs everything, `make test` tests everything; `make check` is quick.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install --disable-pip-version-check

.PHONY: demo serve check quick-tests test fuzz screenshots faults chaos load cost bench lint lock clean
.DELETE_ON_ERROR:

demo: $(VENV)/installed
	@exec $(BIN)/breakhis demo

serve: $(VENV)/installed
	@$(BIN)/breakhis build
	@exec $(BIN)/breakhis serve

# Lint, types, and every test that starts no service and is not slow: a minute.
check: $(VENV)/installed-dev
	@$(MAKE) --no-print-directory -j 2 --output-sync=target quick-tests lint

quick-tests: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 -m "not (service or browser or ray or slow)"

# Three at a time: while some wait for a service, others work.
test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 3 --no-loadscope-reorder --durations 20

# Damaged images and odd requests, as many as show that nothing breaks or grows.
fuzz: $(VENV)/installed-dev
	$(BIN)/python -m pytest --randomly-dont-reorganize tests/fuzz --fuzz-inputs 100000 --fuzz-requests 5000

# The pictures in the README.
screenshots: $(VENV)/installed-dev
	$(BIN)/python -m pytest --randomly-dont-reorganize tests/gradio_ui --screenshots docs/screenshots -k "verdict_bar or bad_one or heat_map_and_best or film"

bench: $(VENV)/installed-dev
	$(BIN)/python -m scripts.bench

# Faults on a running service under load; writes the table of what came of them.
faults: $(VENV)/installed-dev
	$(BIN)/python -m pytest --randomly-dont-reorganize tests/faults --faults docs/reports/faults.md

# Everything at once: load, kills, deployments, hostile files, visitors; MINUTES long.
MINUTES := 30
chaos: $(VENV)/installed-dev
	$(BIN)/python -m pytest --randomly-dont-reorganize tests/faults/test_chaos.py --chaos $(MINUTES) --chaos-report docs/reports/chaos.md

# Ten times what the service can answer, and a long run; SOAK is its minutes.
SOAK := 10
load: $(VENV)/installed-dev
	$(BIN)/python -m scripts.load --soak $(SOAK)

# What thousands of images and a slide take, and an estimate for millions. Half an hour.
cost: $(VENV)/installed-dev
	$(BIN)/python -m scripts.cost

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What pyproject.toml pins, and in which version all that needs comes with it. Versions that still
# fit stay as they are. A build such as +cpu is this machine's choice, and no address of it belongs
# into what is committed.
COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --strip-extras \
	--unsafe-package pip --annotation-style line \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links pyproject.toml
lock: $(VENV)/installed-dev
	$(COMPILE) --all-extras --output-file requirements-dev.txt
	$(COMPILE) --extra page,slides --constraint requirements-dev.txt --output-file requirements.txt
	sed -i -e 's/^\([^ ]*==[^ +]*\)+[^ ]*/\1/' -e 's/-c requirements-dev.txt, //' requirements*.txt

clean:
	rm -rf $(VENV) .run *.egg-info model_store/*.mar

# Installed as a folder, in which the model store and the run folder are.
$(VENV)/installed: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "Python 3.11 is needed: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -r requirements.txt
	$(INSTALL) --no-deps -e .
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	$(INSTALL) -r requirements-dev.txt
	@touch $@
