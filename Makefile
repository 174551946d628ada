# Everything a person or CI runs. `make help` is made from the comments behind the targets.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: chaos help setup tflite-env demo test lint format bench bench-cloud bench-cloud-full bench-emu bench-gate bench-link fuzz fuzz-compiler verify-compiler bench-compiler firmware picture probe-bakery probe-shift lock clean

help: ## Show this list
	@grep -hE '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(STAMP) ## Create .venv and install everything that demo and tests need (about 2 GB)

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is missing: apt-get install python3.11 python3.11-venv, or make PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || { echo "creating $(VENV)"; $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "make: the venv module is missing: apt-get install python3.11-venv"; exit 1; }; }
	@echo "installing torch (1 of 2)"
	@$(PIP) install -c constraints.txt torch==2.13.0
	@echo "installing crustwatch and what it needs (2 of 2)"
	@$(PIP) install -c constraints.txt --editable '.[all-cpu]'
	@touch $@

tflite-env: .venv-tflite/.installed ## Create .venv-tflite: tflite-runtime wants numpy < 2, so it lives apart

.venv-tflite/.installed:
	@test -x .venv-tflite/bin/python || $(PYTHON) -m venv .venv-tflite
	@.venv-tflite/bin/pip --disable-pip-version-check --quiet install tflite-runtime==2.14.0 numpy==1.26.4
	@touch $@

demo: setup ## Run the main job: emulated RP2040, broker, gateway and cloud worker on rendered pizzas
	@$(BIN)/crustwatch demo

test: setup tflite-env ## Run all tests
	@$(BIN)/python -m pytest

lint: setup ## Formatting, lint, types and import arrows
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup ## Format the Python sources
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

SEEDS ?= 20
FIRST ?= 0
BAKES ?= 500
chaos: setup ## Break every part of the link by seed and count what is lost: SEEDS=200 campaigns, RECORD=FILE to go on later
	@$(BIN)/python tests/chaos/run.py campaigns --seeds $(SEEDS) --first $(FIRST) --bakes $(BAKES) $(if $(RECORD),--record $(RECORD))

bench: setup ## Everything that takes long: figures of emulator, firmware and renderer, and 100,000,000 random instructions (half an hour)
	@$(BIN)/crustwatch emu bench
	@$(BIN)/crustwatch firmware speed
	@$(BIN)/crustwatch render --count 20 --seed 1 --out "$$(mktemp -d)/bakes"
	@printf '%s\n' 1 2 3 4 | CRUSTWATCH_DIFFERENTIAL_INSTRUCTIONS=100000000 xargs -P 2 -I SEED $(BIN)/python -m pytest -q \
		"tests/emulator/test_rp2040_differential.py::test_random_blocks_equal_unicorn[SEED]"

bench-link: setup ## Hold the link against raw paho, end an outage of 50,000 bakes, run 1,000 gateways for 5 minutes (20 minutes)
	@$(BIN)/python tests/bench/bench_link.py request
	@$(BIN)/python tests/bench/bench_link.py recovery
	@$(BIN)/python tests/bench/bench_link.py fleet

fuzz: setup .venv-fuzz/.installed ## Fuzz every parser with atheris: 10,000,000 executions in all (an hour)
	@.venv-fuzz/bin/python tests/fuzz/campaign.py --executions $(or $(EXECUTIONS),10000000)

.venv-fuzz/.installed: constraints.txt
	@test -x .venv-fuzz/bin/python || $(PYTHON) -m venv .venv-fuzz
	@.venv-fuzz/bin/pip --disable-pip-version-check --quiet install -c constraints.txt atheris==3.0.0 \
	  ai-edge-litert cryptography flatbuffers msgspec numpy paho-mqtt pillow pyelftools pynacl pyserial
	@touch $@

bench-emu: setup ## Measure the emulator: one core, both cores, asleep, start-up (a minute)
	@$(BIN)/crustwatch emu bench

bench-gate: setup ## Compare the gate with the usual rules on rendered bakes and photographs, before the cloud, and with mapie (an hour the first time)
	@$(BIN)/crustwatch edge compare
	@$(BIN)/crustwatch edge compare --task elpv
	@$(BIN)/crustwatch cloud eval bakes --count 1000 --seed 3000 --out .bench/answers.jsonl
	@$(BIN)/crustwatch edge compare --cascade .bench/answers.jsonl
	@$(PIP) install -c constraints.txt 'mapie==1.6.0'
	@$(BIN)/python -m pytest -q tests/unit/test_certification_mapie.py

bench-cloud: setup ## Measure the cloud model: batches, one geometry pass, kept layers, the cache (a minute)
	@$(BIN)/crustwatch cloud bench

bench-cloud-full: setup ## Run the full-size network once with random weights in bfloat16 (wants 20 GB of memory)
	@$(BIN)/crustwatch cloud bench --size full --random-weights

fuzz-compiler: setup ## Damage 50,000 .tflite files: each must be refused clearly or compile (half an hour)
	@CRUSTWATCH_DAMAGED_MODELS=50000 $(BIN)/python -m pytest -q tests/contract/test_compiler_damaged.py

verify-compiler: setup ## 1,000 inputs each through the networks of CRUSTWATCH_MODELS and those trained here, on one core and two
	@for model in $${CRUSTWATCH_MODELS:?names no folder}/*.tflite edge/models/*/model.tflite tests/golden/edge_models/*.tflite; do \
	  for cores in 1 2; do $(BIN)/crustwatch firmware verify $$model --inputs 1000 --cores $$cores || exit 1; done; done

bench-compiler: setup ## Measure the MLPerf Tiny networks of the folder CRUSTWATCH_MODELS beside CMSIS-NN
	@$(BIN)/crustwatch firmware compare

firmware: setup ## Rebuild the default firmware from the committed model (needs arm-none-eabi-gcc)
	@$(BIN)/crustwatch firmware release

picture: setup ## Make the README's pictures: the running demo, and what the camera sees
	@$(BIN)/crustwatch demo --bakes 40 --picture docs/demo.svg
	@$(BIN)/crustwatch render --count 10 --seed 7 --contact-sheet docs/bakes.jpg

probe-bakery: setup ## Ask an ImageNet classifier whether rendered pizzas look like pizza (development only)
	@$(BIN)/python tests/probe/bakery_probe.py

probe-shift: setup ## Say what a shift of the rendered bakery does to the shipped models
	@$(BIN)/python tests/probe/shift_probe.py

lock: ## Write constraints.txt anew from what .venv holds
	@{ echo '# Every package that demo, tests and lint install, pinned. Regenerate with `make lock`.'; \
	  $(BIN)/pip --disable-pip-version-check freeze --exclude-editable | sed 's/+cpu$$//' | sort -f; } > constraints.txt

clean: ## Remove .venv and caches
	@rm -rf $(VENV) .venv-tflite .venv-fuzz .fuzz .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
