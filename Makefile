# The commands of the README. Everything is installed into .venv; nothing else is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8
EXTRAS := slurm network column posterior baseline recordings dev
REQUIREMENTS ?= envs/requirements-cpu.txt

# hnn-core compiles its mechanisms while it is built, below uv's cache: nrnivmodl takes no path with a space or a letter
# beyond ASCII, and builds nothing, without an error
PLAIN_CACHE = case "$$($(BIN)/uv cache dir)" in *[!a-zA-Z0-9/._+@%,=-]*) \
	  UV_CACHE_DIR=$$(mktemp -d /tmp/neuroinverse-uv.XXXXXX); export UV_CACHE_DIR; trap 'rm -rf "$$UV_CACHE_DIR"' EXIT;; esac;

.PHONY: help setup demo test slurm-test lint format bench records lock clean
.DEFAULT_GOAL := help

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.installed ## install everything, pinned, into .venv

$(VENV)/.installed: $(REQUIREMENTS) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "neuroinverse needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@case "$$PWD" in *[:{}$$]*) echo "$$PWD: Python's tools take no folder with : { } or \$$ in its path; move the clone"; exit 1;; esac
	@for tool in gcc make; do command -v $$tool > /dev/null || \
	  { echo "NEURON compiles its mechanisms with gcc and make; $$tool is missing"; exit 1; }; done
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	$(PLAIN_CACHE) $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r $(REQUIREMENTS)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@$(BIN)/python -c 'import importlib.util as u, pathlib, sys; found = u.find_spec("hnn_core"); sys.exit(found is not None \
	  and not any(pathlib.Path(found.origin).parent.glob("mod/**/*nrnmech*")))' || \
	  { echo "hnn-core was built without its mechanisms. Try: make setup UV_CACHE_DIR=/tmp/uv TMPDIR=/tmp"; exit 1; }
	@touch $@

demo: setup ## the studies of config/config.yaml, from the prior to results/index.html
	$(BIN)/snakemake --profile profiles/local

test: setup ## all tests, the linters among them, in two processes
	$(BIN)/python -m pytest --numprocesses 2 --no-loadscope-reorder

slurm-test: setup ## the smoke studies and faults through a real one-node Slurm, installed where it is missing; needs root
	$(BIN)/python tests/slurm/cluster.py install
	$(BIN)/python -m pytest tests/slurm

lint: setup ## ruff, snakefmt, snakemake --lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/snakemake --lint

format: setup ## write files as lint wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow/rules

bench: setup ## benchmarks against peers, recorded in docs/records
	$(BIN)/python benchmarks/point_batch.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/cell_convergence.py
	$(BIN)/python benchmarks/brunel_engines.py engines
	$(BIN)/python benchmarks/brunel_engines.py equivalence
	$(BIN)/python benchmarks/brunel_kernel.py
	$(BIN)/python benchmarks/mainen_firing.py
	$(BIN)/python benchmarks/cells_throughput.py speed
	$(BIN)/python benchmarks/cells_throughput.py profile
	$(BIN)/python benchmarks/user_cells.py
	$(BIN)/python benchmarks/fuzz.py
	$(BIN)/python benchmarks/guard.py
	$(BIN)/python benchmarks/neuron_9.py

records: setup ## the figures of the docs, from finished results and benchmarks
	$(BIN)/snakemake --profile profiles/local all results/izhikevich/demo/cnn/scaling.json \
	  results/izhikevich/demo/cnn/search/stability.html results/mainen_10/demo/cnn/cross.json \
	  results/mainen_10/comparison/cnn/scaling.json results/mainen_10/comparison/golden_203@3000/metrics.json \
	  results/mainen_10/comparison/golden_203/metrics.json \
	  results/ball_and_sticks_10/comparison/cnn@2000/metrics.json \
	  results/ball_and_sticks_10/comparison/golden_203@2000/metrics.json \
	  results/ball_and_sticks_10/comparison/golden_203/metrics.json \
	  results/brunel_lfp_large/workstation/cnn/scaling.json results/brunel_lfp_large/workstation/report.html \
	  results/brunel_lfp_small/workstation/report.html \
	  results/mainen_10/workstation/cnn/scaling.json results/ball_and_sticks_10/workstation/cnn/scaling.json
	$(BIN)/python benchmarks/out_of_range.py demo
	$(BIN)/python benchmarks/studies.py
	$(BIN)/python docs/tables.py

lock: setup ## resolve the pinned requirements anew
	$(BIN)/uv pip compile --quiet pyproject.toml $(EXTRAS:%=--extra %) -o envs/requirements-cpu.txt \
	  --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command "make lock"
	$(BIN)/uv pip compile --quiet pyproject.toml $(EXTRAS:%=--extra %) --extra gpu -o envs/requirements-gpu.txt \
	  --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command "make lock"

clean: ## remove results and the environment
	rm -rf $(VENV) .snakemake
	find results -mindepth 1 ! -name .gitkeep -delete
