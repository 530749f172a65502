# `make help` says what there is. Set-up is a prerequisite of everything and may be interrupted at any point.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# What outlives a checkout: the Horovod wheel and the jars.
export METACON_CACHE ?= $(HOME)/.cache/metacon
# The folder of the real data sets (README says how it must look).
DATA ?= $(firstword $(wildcard data ../shared/data) data)
override DATA := $(abspath $(DATA))
export DATA
STARTED := $(shell date +%s)
# Training seeds: `make adult68 SEEDS="0 1 2"` gives their mean in place of one report.
SEEDS ?=
# The part of the tests to run, and more options for pytest.
TESTS ?= tests

PYTHON := .venv/bin/python
UV := .venv/bin/uv
# A finished step of set-up leaves a stamp. Stamps of a .venv that was moved, or whose Python is gone, do not count.
STAMPS := .venv/.setup-$(shell pwd | cksum | cut -d ' ' -f 1)
ifeq ($(wildcard $(PYTHON)),)
$(shell rm -rf .venv/.setup-*)
endif

RUN = $(PYTHON) -m jobs.run --set 'run.data=$(DATA)'
EXPERIMENT = $(PYTHON) -m jobs.experiment --seeds $(SEEDS) --set 'run.data=$(DATA)'

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  DATA=$(DATA) (the real data sets), METACON_CACHE=$(METACON_CACHE)"

# --- set-up -------------------------------------------------------------------------------------------------------
.PHONY: setup system dependencies jars
setup: $(STAMPS)/project jars ## Make .venv, build or reuse the Horovod wheel, fetch the jars

system:
	@docker/system_packages.sh

$(STAMPS)/packages: constraints.txt docker/make_venv.sh | system
	@docker/make_venv.sh $@

$(STAMPS)/horovod: $(STAMPS)/packages docker/build_horovod_wheel.sh
	@wheel=$$(docker/build_horovod_wheel.sh $(PYTHON) "$$METACON_CACHE"); \
	docker/with_progress.sh "installing the Horovod wheel" $(PYTHON) -m pip install -q --no-deps --force-reinstall "$$wheel"
	@$(PYTHON) -c 'import horovod.torch'
	@touch $@

$(STAMPS)/project: $(STAMPS)/horovod setup.py pyproject.toml
	@docker/with_progress.sh "installing jobs, pipeline and models" \
	    $(PYTHON) -m pip install -q --no-deps --no-build-isolation -e .
	@docker/with_progress.sh "checking the set of packages" $(PYTHON) -m pip check
	@touch $@

dependencies: $(STAMPS)/horovod # all but what the checkout's own code has a part in, for the layers of an image

jars: | $(STAMPS)/project
	@$(PYTHON) docker/fetch_jars.py

.PHONY: lock
lock: ## Resolve constraints.txt anew from setup.py (keeps what it can of the old pins)
	@cp constraints.txt constraints.new
	@$(UV) pip compile -q --system-certs --universal --python-version 3.11 --extra horovod --extra dev \
	    --annotation-style line --no-header -o constraints.new setup.py >/dev/null
	@{ grep '^#' constraints.txt; sed 's/metacon (setup.py)/ours/' constraints.new; } >constraints.whole
	@rm constraints.new; mv constraints.whole constraints.txt

# --- runs ---------------------------------------------------------------------------------------------------------
.PHONY: demo ml100k adult68 a9a funnel ml1m-chain quality
demo: setup ## Simulate 20,000 people, predict 68 segments and write a report: under 10 minutes on 2 cores
	@$(RUN) --config conf/demo.yaml; \
	echo "report: $(CURDIR)/out/demo/report/report.html"; \
	echo "demo took $$SECONDS s after set-up"

ml100k adult68 a9a funnel ml1m-chain: CONFIGURED = $(subst -,_,$@)
ml100k adult68 a9a funnel ml1m-chain: setup
	@$(if $(strip $(SEEDS)),$(EXPERIMENT),$(RUN)) --config conf/$(CONFIGURED).yaml; \
	echo "report: $(CURDIR)/out/$(CONFIGURED)/report/$(if $(strip $(SEEDS)),experiment.md,report.html)"; \
	echo "$@ took $$SECONDS s after set-up"
ml100k: ## MovieLens-100K with its knowledge graph (SEEDS="0 1 2" for the mean of three)
adult68: ## UCI Adult as 68 segments (SEEDS as above)
funnel: ## A simulated funnel: clicks, conversions after clicks, measured against the truth (SEEDS as above)
ml1m-chain: ## MovieLens-1M as a chain: rated, with 4 or 5, with 5, of new users (SEEDS as above)
a9a: ## LIBSVM a9a: one label and an auxiliary task a concept (SEEDS as above)

quality: SEEDS = 0 1 2
quality: setup ## Three seeds at the size of the design: share of the gap to the oracle that is closed
	@$(EXPERIMENT) --config conf/quality.yaml; \
	echo "report: $(CURDIR)/out/quality/report/experiment.md"; \
	echo "quality took $$SECONDS s after set-up"

.PHONY: compare
# What to compare, and on which data: `make compare CONFIG=conf/compare/adult68.yaml MODELS="mmoe metaaug"`.
CONFIG ?= conf/compare/adult68.yaml
MODELS ?=
# A folder of tuned values, as `make tune` writes it: TUNED=conf/tuned/adult68.
TUNED ?=
compare: SEEDS = 0 1 2
compare: setup ## Every model of CONFIG with three seeds: tables, tests and plots (MODELS="a b": only these)
	@$(PYTHON) -m jobs.compare --seeds $(SEEDS) $(if $(strip $(MODELS)),--models $(MODELS)) \
	    --set 'run.data=$(DATA)' $(if $(TUNED),--set 'compare.tuned=$(TUNED)') --config $(CONFIG); \
	echo "compare took $$SECONDS s after set-up"

.PHONY: tune
# Best values of equally many trials for each of MODELS, on validation; compare.tuned names their folder.
MODEL ?= $(MODELS)
tune: setup ## Tune MODEL="a b" (default: all) of CONFIG on validation; the values go to conf/tuned/RUN (TRIALS=5 TO=folder)
	@$(PYTHON) -m jobs.tune $(if $(strip $(MODEL)),--models $(MODEL)) $(if $(TO),--to $(TO)) \
	    $(if $(TRIALS),--set tune.trials=$(TRIALS)) --set 'run.data=$(DATA)' --config conf/tune/spaces.yaml --config $(CONFIG); \
	echo "tune took $$SECONDS s after set-up"

# --- checks -------------------------------------------------------------------------------------------------------
.PHONY: test lint
test: setup ## Run the tests (TESTS=tests/pipeline for a part): under 15 minutes on 2 cores
	@echo "set-up took $$(($$(date +%s) - $(STARTED))) s; the last line says how long the tests took after it"
	@OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n 2 $(TESTS)

.PHONY: cutoff-check
CASES ?= 10000
cutoff-check: setup ## No feature sees its future: CASES=10000 generated entities, every rule, window and aggregate
	@OMP_NUM_THREADS=1 CUTOFF_CASES=$(CASES) $(PYTHON) -m pytest -v --timeout=0 \
	    tests/pipeline/unfold/test_cutoff.py tests/pipeline/unfold/test_examples.py -k "by_no_aggregate or cutoff_alone"

.PHONY: vocabulary-check
CONCEPTS ?= 5000000
vocabulary-check: setup ## CONCEPTS=5000000: built and used with a driver of 1 GiB, checked against DuckDB
	@$(PYTHON) -m tests.pipeline.unfold.vocabulary_check --concepts $(CONCEPTS)

.PHONY: postgres-check
postgres-check: setup ## A database over JDBC: against a PostgreSQL server started for the test
	@OMP_NUM_THREADS=1 $(PYTHON) -m pytest -v -rs tests/pipeline/forms/test_postgres.py

.PHONY: sparql-check
QUERIES ?= 5000
sparql-check: setup ## QUERIES=5000 generated SPARQL queries: our answers against rdflib's
	@OMP_NUM_THREADS=1 $(PYTHON) -m tests.pipeline.sparql.differential --queries $(QUERIES)

.PHONY: daily
ENTITIES ?= 200
daily: setup ## Ten simulated days one by one, late, doubled and killed ones too, against all of them at once
	@OMP_NUM_THREADS=1 $(PYTHON) -m tests.pipeline.daily.check --entities $(ENTITIES)

lint: setup ## ruff check, ruff format --check and mypy
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

# --- benchmarks: side by side in one run, results in benchmarks/README.md -------------------------------------------
.PHONY: bench-mask bench-reading bench-scoring bench-unfold bench-sync bench-daily bench-adapt
bench-mask: BENCHMARK = mask_trick
bench-reading: BENCHMARK = reading
bench-scoring: BENCHMARK = scoring
bench-unfold: BENCHMARK = unfold --events 1000000 10000000 --rounds 3 1 --skew --stages
bench-sync: BENCHMARK = sync_every
bench-daily: BENCHMARK = daily
bench-adapt: BENCHMARK = adaptation
bench-mask bench-reading bench-scoring bench-unfold bench-sync bench-daily bench-adapt: setup
	@$(PYTHON) -m benchmarks.$(BENCHMARK) $(if $(filter bench-adapt,$@),--set 'run.data=$(DATA)' --seeds $(SEEDS))
bench-mask: ## Training step: all tasks against one task and against the naive form
bench-reading: ## Shard reading: ours against raw pyarrow and stock petastorm
bench-scoring: ## Bulk scoring: ours against a forward pass a task and predict_batch_udf
bench-unfold: ## Unfold: ours against MLlib and DuckDB, at two sizes, with skew, with Spark's own metrics
bench-sync: ## Two ranks that agree every 1, 4 and 16 steps: quality and bytes
bench-adapt: ## Adaptation of each of 68 segments: share of the training's time, what it changes (SEEDS as above)
bench-daily: ## Daily: one more day after 2, 10 and 30 days of history

# --- shipping -----------------------------------------------------------------------------------------------------
.PHONY: package clean
package: setup ## dist/metacon.zip for spark-submit --py-files
	@rm -rf build dist
	@$(PYTHON) -m pip wheel -q --no-deps --no-build-isolation -w dist .
	@cp dist/metacon-*.whl dist/metacon.zip # a wheel of Python alone is a zip that Spark can put on the path
	@rm -rf build
	@echo "dist/metacon.zip"

clean: ## Remove what runs and tools wrote (not .venv, not the cache)
	rm -rf out dist build spark-warehouse metastore_db derby.log .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find jobs pipeline models tests benchmarks docker -name __pycache__ -type d -prune -exec rm -rf {} +
