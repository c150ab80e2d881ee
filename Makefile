# `make repro` and `make test` are all a new user needs; both create the environment on first use.
VENV := .venv
BIN := $(VENV)/bin
# The first of these that runs: a name that is there may only say that its version is not installed.
PYTHON ?= $(shell for python in $(BIN)/python python3.11 python3.12 python3.13 python3; do \
  $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$python && break; \
  done || echo python3.11)
export PATH := $(CURDIR)/$(BIN):$(PATH)
export HF_HUB_DISABLE_TELEMETRY := 1
export TOKENIZERS_PARALLELISM := true

.PHONY: repro test lint plots profile demo rehearsal fuzz torture search compare docs clean

repro: $(VENV)/.installed $(VENV)/.params-checked  ## run what is not up to date, JOBS stages side by side, then print the results
	@python -m pipeline.parallel $(if $(JOBS),--jobs $(JOBS))
	@python -m pipeline results

test: $(VENV)/.installed-dev  ## the whole test suite
	@python -m pytest

lint: $(VENV)/.installed-dev
	ruff check . && ruff format --check . && mypy

plots: $(VENV)/.installed  ## the page of all DVC plots
	@dvc plots show

profile:  ## make profile NAME=laptop: put a complete parameter file in place
	@test -f "profiles/$(NAME).yaml" || { echo "usage: make profile NAME=$$(ls profiles | sed 's/.yaml//' | paste -sd'|')"; exit 1; }
	cp "profiles/$(NAME).yaml" params.yaml

demo: $(VENV)/.installed  ## a pre-trained model on a part of the sample, in the folder demo/: ten pairs and a sonnet
	@test -d demo || (git clone --quiet . demo && rm -r demo/dvc.lock demo/metrics demo/plots)
	@cp profiles/demo.yaml demo/params.yaml
	@cd demo && python -m pipeline.parallel $(if $(JOBS),--jobs $(JOBS)) && python -m pipeline demo

rehearsal: $(VENV)/.installed-dev  ## the profile gpt2 from download to report, with tiny models from a hub on this machine
	@python -m pytest tests/test_rehearsal.py -rA

fuzz: $(VENV)/.installed-dev  ## make fuzz N=10000: so many broken files and settings, each used or refused in one line
	@FUZZ=$(or $(N),500) python -m pytest tests/fuzz.py -n 0

torture: $(VENV)/.installed-dev  ## make torture N=50: end the sample by force so often, then compare with what is committed
	@python tests/torture.py $(or $(N),50)

search: $(VENV)/.installed  ## make search ROW=paraphrase/baseline TRIALS=12: tune any row on select, each trial a DVC experiment
	@python -m pipeline search $(ROW) $(TRIALS)

compare: $(VENV)/.installed  ## make compare BASE=main: what changed in metrics/ against a commit
	@python -m pipeline compare $(BASE)

docs: $(VENV)/.installed  ## put the measured figures into README.md and docs/
	@python -m pipeline docs

$(VENV)/.installed: requirements.txt
	@$(PYTHON) -c '' 2>/dev/null || { echo "$(PYTHON) does not run: install Python 3.11, 3.12 or 3.13, or set PYTHON="; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

$(VENV)/.params-checked: $(VENV)/.installed params.yaml $(wildcard pipeline/config/*.py pipeline/objectives/*.py)
	@python -m pipeline.checks params
	@touch $@

clean:  ## delete everything that can be made again
	rm -rf checkpoints demo models predictions data/raw data/prepared search .dvc/tmp/search
