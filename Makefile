# `make` lists the targets. Everything is installed under .venv/ and var/, both ignored by Git.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
# Our own servers are on loopback, where no proxy of the surroundings may stand before them.
export no_proxy := $(or $(no_proxy),$(NO_PROXY),localhost),127.0.0.1
export NO_PROXY := $(no_proxy)

PYTHON ?= python3
OUT ?= var/pipeline
CORPUS ?=
GITHUB_REPOS ?=
PULLS ?= 3000
PORT ?= 8080
MODEL_ALIAS ?= champion

STAGES := data_fetch spark_preprocess ml_training model_serving drift_detection
LIBS_data_fetch := pr_features stage_runtime github_client
LIBS_spark_preprocess := pr_features stage_runtime
LIBS_ml_training := pr_features stage_runtime
LIBS_model_serving := pr_features stage_runtime github_client model_registry
LIBS_drift_detection := stage_runtime model_registry
LIBS_perf := stage_runtime model_registry
LIBS_local :=
UV := .venv/tools/bin/uv
PYTEST := tests/with_pytest.py

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z -]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

# --- set-up ---------------------------------------------------------------------------------------

.PHONY: setup prerequisites
ENVIRONMENTS := $(STAGES:%=.venv/%/.ready) .venv/perf/.ready .venv/local/.ready .venv/pytest/.ready
setup: prerequisites $(ENVIRONMENTS) var/cache/jars/.ready ## install everything: one environment a stage, one for tools

prerequisites:
	@PYTHON=$(PYTHON) bash local/prerequisites.sh

.venv/tools/.ready: tests/requirements-tools.lock | prerequisites
	$(PYTHON) -m venv --clear .venv/tools
	.venv/tools/bin/python -m pip install --quiet --require-hashes -r $<
	touch $@

.venv/pytest/.ready: tests/requirements.lock .venv/tools/.ready
	$(UV) pip install --quiet --compile-bytecode --python .venv/tools --target .venv/pytest --require-hashes -r $<
	touch $@

.SECONDEXPANSION:
.venv/%/.ready: $$*/requirements.lock $$*/pyproject.toml $$(foreach lib,$$(LIBS_$$*),libs/$$(lib)/pyproject.toml) .venv/tools/.ready
	$(UV) venv --quiet --clear --python $(PYTHON) .venv/$*
	$(UV) pip sync --quiet --compile-bytecode --python .venv/$* --require-hashes $*/requirements.lock
	$(UV) pip install --quiet --python .venv/$* --no-deps $(foreach lib,$(LIBS_$*),--editable libs/$(lib)) --editable $*
	touch $@

# What looks at argo-apps and .github; tests and linters of delivery run here.
.venv/delivery/.ready: tests/requirements-lint.lock .venv/tools/.ready
	$(UV) venv --quiet --clear --python $(PYTHON) .venv/delivery
	$(UV) pip sync --quiet --compile-bytecode --python .venv/delivery --require-hashes $<
	touch $@

# Baselines of the quality report: in the environment of training, never in its image.
.venv/ml_training/.evaluation: ml_training/requirements-evaluation.lock .venv/ml_training/.ready
	$(UV) pip install --quiet --compile-bytecode --python .venv/ml_training --require-hashes -r $<
	touch $@

# Java libraries of Spark and of the embedded MongoDB, by the Ivy inside PySpark; each side keeps its own pinned list.
var/cache/jars/.ready: .venv/spark_preprocess/.ready .venv/local/.ready \
		spark_preprocess/src/spark_preprocess/java/jars.sha256 local/src/local_setup/java/jars.sha256
	.venv/spark_preprocess/bin/python -m spark_preprocess.jars var/cache/jars/spark_preprocess
	.venv/spark_preprocess/bin/python -m spark_preprocess.jars var/cache/jars/local --java-files local/src/local_setup/java
	touch $@

.PHONY: lock
lock: .venv/tools/.ready ## bring the lock files in line with the pyprojects [ARGS=--upgrade for newer versions]
	@for stage in $(STAGES) perf local; do (cd $$stage && ../$(UV) pip compile pyproject.toml $(LOCK_FLAGS) $(ARGS) -o requirements.lock); done
	@cd ml_training && ../$(UV) pip compile pyproject.toml --extra evaluation -c requirements.lock --fork-strategy fewest $(LOCK_FLAGS) -o requirements-evaluation.lock
	@for name in requirements requirements-tools requirements-lint; do (cd tests && ../$(UV) pip compile $$name.in $(LOCK_FLAGS) $(ARGS) -o $$name.lock); done

# Hashes and no registry host: the same file works behind any mirror. Universal: any Python from 3.11 on.
LOCK_FLAGS := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	--no-annotate --no-emit-package pr-features --no-emit-package stage-runtime --no-emit-package github-client --no-emit-package model-registry

# --- the pipeline on one machine --------------------------------------------------------------------

RUNNER := .venv/local/bin/python -m local_setup.runner

.PHONY: demo demo-drift pipeline retrain fetch preprocess train evaluate serve mlflow-ui score
demo: setup ## the whole pipeline on a generated corpus, end to end, into var/demo
	.venv/local/bin/python -m local_setup.corpus --out var/demo/corpus.jsonl.gz --labels var/demo/labels.jsonl --pulls $(PULLS) --seed 7
	$(RUNNER) pipeline --out var/demo --corpus var/demo/corpus.jsonl.gz

demo-drift: setup ## the drift loop: normal traffic, changed traffic, alarm, one retraining, new version, no alarm; into var/demo-drift
	.venv/local/bin/python -m local_setup.drift_demo --out var/demo-drift

pipeline: setup ## the same on your input: CORPUS=a.jsonl.gz,b.jsonl | GITHUB_REPOS=owner/a,owner/b [OUT=var/pipeline]
	$(RUNNER) pipeline --out $(OUT) --corpus '$(CORPUS)' --github-repos '$(GITHUB_REPOS)'

retrain: setup ## fetch what is new, preprocess, train, evaluate; a running service takes what the gate lets pass [OUT=]
	$(RUNNER) retrain --out $(OUT) --corpus '$(CORPUS)' --github-repos '$(GITHUB_REPOS)'

fetch: setup ## one stage alone: GitHub -> MongoDB [OUT=, CORPUS= or GITHUB_REPOS=]
	$(RUNNER) fetch --out $(OUT) --corpus '$(CORPUS)' --github-repos '$(GITHUB_REPOS)'

preprocess train evaluate: setup ## one stage alone, over what OUT holds
	$(RUNNER) $@ --out $(OUT)

serve: setup ## the service with dashboard until Ctrl-C [OUT=, PORT=8080, MODEL_ALIAS=champion]
	$(RUNNER) serve --out $(OUT) --port $(PORT) --alias $(MODEL_ALIAS)

mlflow-ui: setup ## the experiments in a browser until Ctrl-C [OUT=, MLFLOW_PORT=5000]
	$(RUNNER) mlflow-ui --out $(OUT) --port $(MLFLOW_PORT)

score: setup ## score one pull request by the running service: PR=file.json or PR=https://github.com/owner/name/pull/1
	.venv/local/bin/python -m local_setup.score '$(PR)' --url http://127.0.0.1:$(PORT)

MLFLOW_PORT ?= 5000

# --- tests ------------------------------------------------------------------------------------------

# Each environment tests the packages that run in it. Extra pytest arguments: make test-model_serving ARGS='-k norms'.
ARGS ?=
TESTS_data_fetch := tests/stage_runtime tests/github_client tests/data_fetch
TESTS_spark_preprocess := tests/spark_preprocess
TESTS_ml_training := tests/ml_training
TESTS_model_serving := tests/pr_features tests/model_registry tests/model_serving
TESTS_drift_detection := tests/drift_detection
TESTS_perf := tests/perf
TESTS_local := tests/local_setup tests/contract tests/system
# Two at a time, the longest first. One that fails stops no other; what one printed comes in one piece at its end.
TESTED := local model_serving $(filter-out model_serving,$(STAGES)) perf
TESTED_LONG := local data_fetch model_serving ml_training spark_preprocess
TEST_JOBS ?= 2
SIDE_BY_SIDE = $(MAKE) --jobs=$(TEST_JOBS) --output-sync=target --keep-going
# A line that make takes for another make (+) is printed at once.
SAY_BEGUN = +@echo "$@ begins"

.PHONY: test test-long $(TESTED:%=test-%) $(TESTED_LONG:%=test-long-%)
test: setup .venv/ml_training/.evaluation ## every test that needs no cluster, at short sizes [PR_DATA_DIR=folder of real pull requests]
	+@$(SIDE_BY_SIDE) $(TESTED:%=test-%)

test-long: setup .venv/ml_training/.evaluation ## the large ones: histories, fuzz, reloads, peers, browser
	+@$(SIDE_BY_SIDE) $(TESTED_LONG:%=test-long-%)

$(TESTED:%=test-%): test-%:
	$(SAY_BEGUN)
	.venv/$*/bin/python $(PYTEST) $(TESTS_$*) $(ARGS)

$(TESTED_LONG:%=test-long-%): test-long-%:
	$(SAY_BEGUN)
	.venv/$*/bin/python $(PYTEST) $(TESTS_$*) -m long $(ARGS)

.PHONY: test-delivery
test-delivery: .venv/delivery/.ready .venv/pytest/.ready ## argo-apps as rendered: rules, golden files, alerts; needs kubectl, and promtool or Debian
	command -v promtool > /dev/null || tests/servers/build prometheus
	.venv/delivery/bin/python $(PYTEST) tests/manifests $(ARGS)

.PHONY: test-cluster
test-cluster: setup .venv/delivery/.ready ## delivery on real servers (Kubernetes API, Argo, Vault, S3), built once: needs Go, kubectl, root
	tests/servers/build
	tests/servers/run $(ARGS)

# --- measurements -----------------------------------------------------------------------------------

.PHONY: load bench-fetch bench-preprocess bench-training bench-serving bench-drift quality
load: setup ## load test of the service at PORT, with its gate
	.venv/perf/bin/python -m perf load --host http://127.0.0.1:$(PORT)

bench-fetch: setup ## fetching beside the blueprint's way: calls, points, seconds, memory
	.venv/local/bin/python perf/bench_fetch.py $(ARGS)

bench-preprocess: setup ## preprocessing 10,000 to 1,000,000 pull requests: seconds and memory
	.venv/local/bin/python perf/bench_preprocess.py $(ARGS)

bench-training: setup ## training on 10,000 to 1,000,000 rows: seconds and memory
	.venv/ml_training/bin/python perf/bench_training.py $(ARGS)

bench-serving: setup ## serving beside mlflow, MLServer and BentoML; needs wrk and a model in OUT
	.venv/model_serving/bin/python perf/bench_serving.py $(ARGS)

bench-drift: setup ## alarms on unchanged and on changed traffic [PR_DATA_DIR=folder of real pull requests]
	.venv/drift_detection/bin/python perf/bench_drift.py $(ARGS)

.PHONY: performance screenshot
performance: ## write PERFORMANCE.md from the latest figures
	$(PYTHON) perf/page.py

screenshot: setup ## the picture of the dashboard in model_serving/docs, over what make demo wrote; needs Chromium
	PYTHONPATH=.venv/pytest .venv/model_serving/bin/python tests/model_serving/picture.py \
	  --out-folder var/demo --picture model_serving/docs/dashboard.png

quality: setup .venv/ml_training/.evaluation ## quality report of CORPUS=file.jsonl.gz into OUT, all detectors side by side
	$(RUNNER) quality --out $(OUT) --corpus '$(CORPUS)'

# --- checks -----------------------------------------------------------------------------------------

RUFF := .venv/tools/bin/ruff

.PHONY: lint lint-delivery docs format clean
lint: setup .venv/delivery/.ready lint-delivery ## formatter, flake8, types, shell scripts, Dockerfiles, workflows, manifests; needs Go and kubectl
	$(RUFF) format --check .
	$(RUFF) check .
	.venv/tools/bin/flake8
	@for stage in $(STAGES) perf local; do echo "mypy $$stage"; \
	  .venv/tools/bin/mypy --python-executable .venv/$$stage/bin/python $$stage/src; done
	@for lib in pr_features stage_runtime github_client; do echo "mypy $$lib"; \
	  .venv/tools/bin/mypy --python-executable .venv/data_fetch/bin/python libs/$$lib/src; done
	.venv/tools/bin/mypy --python-executable .venv/model_serving/bin/python libs/model_registry/src
	.venv/tools/bin/shellcheck -x $$(git ls-files '*.sh') .ci/run tests/servers/build tests/servers/prerequisites tests/servers/run
	.venv/tools/bin/hadolint --ignore DL3008 $$(git ls-files '*Dockerfile')

lint-delivery: .venv/delivery/.ready .venv/tools/.ready ## workflows and manifests against their schemas; needs Go and kubectl
	LINT_BIN=.venv/delivery/bin:.venv/tools/bin .github/scripts/lint-delivery.sh

docs: setup ## write the tables of features and settings in the README files anew
	.venv/model_serving/bin/python -m pr_features.catalogue libs/pr_features/README.md
	@for stage in $(filter-out local,$(TESTED)); do .venv/$$stage/bin/python -m stage_runtime.readme $$stage/README.md; done

.PHONY: images test-image
images: ## build every image by docker or buildah [BASE_IMAGE=...]
	@for stage in $(STAGES) perf; do .github/scripts/build-image.sh $$stage; done

test-image: setup ## one image built from nothing without an engine, put to work and under load; needs root [STAGE=model_serving]
	.github/scripts/engineless-image.sh $(or $(STAGE),model_serving)

format: setup ## format all Python files
	$(RUFF) format .
	$(RUFF) check --fix .

clean: ## remove everything that was installed or written, data too
	rm -rf .venv var .pytest_cache .mypy_cache .ruff_cache .hypothesis
