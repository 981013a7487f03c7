# The two commands of the README, make demo and make test, do everything on a bare Debian 12: system packages, the virtual
# environment, the build.  Stamps in .stamp keep a second run from doing any of it again.

.DELETE_ON_ERROR:
.PHONY: demo test soak conformance lint bench bench-load bench-storm bench-peers bench-latency bench-control bench-ingest bench-intake bench-rtmps bench-broadcast bench-reliability bench-api \
    bench-siege bench-restart bench-page instructions sanitize sanitize-threads fuzz build clean

PYTHON := .venv/bin/python
SECONDS ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 600
FUZZ_TARGETS ?=

EXTENSIONS := $(sort $(basename $(notdir $(wildcard ext/pushcast/*.pyx))))
EXT_SOURCES := $(wildcard ext/pushcast/*) setup.py
# Tests of an extension carry its name; these run with the address sanitizer too.
EXT_TESTS := $(wildcard $(EXTENSIONS:%=tests/test_%.py) tests/test_fuzz_corpus.py tests/test_sink.py tests/test_ingest_srt.py tests/test_ingest_mpegts.py)
# These have several threads in them, and run with the thread sanitizer.
THREAD_TESTS := tests/races $(patsubst %,tests/test_%.py,sender fanout intake srtconnector srttransport tls)

demo: .stamp/build
	$(PYTHON) -m pushcast demo $(if $(SECONDS),--seconds $(SECONDS))

# The last summary printed is pytest's own over the whole suite.
test: .stamp/system-test .stamp/build lint sanitize sanitize-threads
	$(PYTHON) -m pytest $(PYTEST_ARGS)

# Every input, every codec, every output, and docs/media.md from it: five minutes.
conformance: .stamp/system-test .stamp/build
	PYTHONPATH=tests $(PYTHON) -m conformance

# Minutes of what the tests do for seconds.
soak: .stamp/system-test .stamp/build
	$(PYTHON) -m pytest $(PYTEST_ARGS) tests/soak

lint: .stamp/build
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -m mypy.stubtest --concise --mypy-config-file pyproject.toml --allowlist tools/stubtest-allowlist \
	    --ignore-unused-allowlist --ignore-disjoint-bases $(EXTENSIONS:%=pushcast.%)

bench: .stamp/system-test .stamp/build
	$(PYTHON) bench/run.py

# 300 pushes of 2.5 Mbit/s for a minute, and 300 starts at once beside dead destinations; each fails when a line does not hold.
bench-load: .stamp/system-test .stamp/build
	$(PYTHON) -m bench.load

bench-storm: .stamp/system-test .stamp/build
	$(PYTHON) -m bench.storm

# pushcast and the rivals that Debian ships, in turns: about an hour; BENCH_ARGS=--quick takes three minutes,
# BENCH_ARGS="--again FILE ..." measures some of them anew.
bench-peers: .stamp/system-bench .stamp/build
	$(PYTHON) -m bench.peers $(BENCH_ARGS)

# docs/performance.md and its plots, from the newest files in bench/results; BENCH_ARGS="--peers FILE" takes another one.
bench-page: .stamp/page
	$(PYTHON) -m bench.page $(BENCH_ARGS)

# Counts the instructions of the hot paths anew and keeps them as what tests/instructions expects.
instructions: .stamp/system-test .stamp/build
	PYTHONPATH=tests $(PYTHON) -m instructions.figures

# Frames through the whole server; starts in storms and the API beside running pushes; 200 streams at once.  Each fails when a
# line does not hold.
bench-latency: .stamp/system-bench .stamp/build
	$(PYTHON) -m bench.latency

bench-control: .stamp/system-bench .stamp/build
	$(PYTHON) -m bench.control

bench-rtmps: .stamp/system-bench .stamp/build
	$(PYTHON) -m bench.rtmps

# A constant rate by the clock of its receiver, and large keyframes that are spread; fails when a line does not hold.
bench-broadcast: .stamp/system-bench .stamp/build
	$(PYTHON) -m bench.broadcast

# Pushes over bad paths, and docs/reliability.md from it; needs root, a quarter of an hour for each round.
bench-reliability: .stamp/system-bench .stamp/build
	$(PYTHON) -m bench.reliability $(BENCH_ARGS)

# 100 streams that come in and go nowhere, beside nginx-rtmp (RTMP) and ffmpeg (SRT).
bench-intake: .stamp/system-bench .stamp/build
	$(PYTHON) -m bench.intake $(BENCH_ARGS)

bench-ingest: .stamp/system-bench .stamp/build
	$(PYTHON) -m bench.ingest

# The API beside a bare Sanic handler; under attack while pushes run; killed in the middle of 500 starts.
bench-api: .stamp/system-bench .stamp/build
	$(PYTHON) -m bench.api

bench-siege: .stamp/system-bench .stamp/build
	$(PYTHON) -m bench.siege

bench-restart: .stamp/system-bench .stamp/build
	$(PYTHON) -m bench.restart

# The extensions' tests once more, on a copy of the tree whose extensions stop at the first invalid access.
sanitize: .stamp/sanitize-address
	cd build/sanitize-address && \
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so)" \
	ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc PYTHONPATH=src \
	$(CURDIR)/$(PYTHON) -m pytest -q -p no:cacheprovider $(EXT_TESTS)

# And those with threads, on a copy whose extensions tell what is not ordered.  It says so on stderr, which stays visible.
sanitize-threads: .stamp/sanitize-thread
	cd build/sanitize-thread && PYTHONPATH=src tools/thread-sanitizer \
	$(CURDIR)/$(PYTHON) -m pytest -q -p no:cacheprovider --capture=sys $(THREAD_TESTS)

# Each parser of bytes from outside against libFuzzer, FUZZ_SECONDS each, JOBS at once; the corpora of tests/fuzz are renewed.
fuzz: .stamp/sanitize-fuzz
	PYTHONPATH=tests $(PYTHON) -m fuzz.campaign --seconds $(FUZZ_SECONDS) --jobs $(JOBS) $(FUZZ_TARGETS)

build: .stamp/build

.stamp/system-build: tools/system-packages tools/find-python
	tools/system-packages build
	@mkdir -p .stamp && touch $@

.stamp/system-test: tools/system-packages tools/find-python
	tools/system-packages test
	@mkdir -p .stamp && touch $@ .stamp/system-build

.stamp/system-bench: tools/system-packages tools/find-python
	tools/system-packages bench
	@mkdir -p .stamp && touch $@ .stamp/system-build

.stamp/system-fuzz: tools/system-packages tools/find-python
	tools/system-packages fuzz
	@mkdir -p .stamp && touch $@ .stamp/system-build

# The project itself is installed as a link to src; MODULES=none leaves the extensions to the rule below.
.stamp/venv: requirements.lock pyproject.toml | .stamp/system-build
	test -x $(PYTHON) || "$$(tools/find-python)" -m venv .venv
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements.lock
	MODULES=none $(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@mkdir -p .stamp && touch $@

# What draws the plots: only for that, and not in requirements.lock.
.stamp/page: .stamp/venv bench/page/requirements.lock
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements.lock -r bench/page/requirements.lock
	@touch $@

# What drives the fuzzer: only for that, and not in requirements.lock.
.stamp/atheris: .stamp/venv tests/fuzz/requirements.lock
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements.lock -r tests/fuzz/requirements.lock
	@touch $@

.stamp/build: .stamp/venv $(EXT_SOURCES)
	$(PYTHON) setup.py -q build_ext --inplace --parallel $(JOBS)
	@touch $@

.stamp/sanitize-fuzz: .stamp/system-fuzz .stamp/atheris
.stamp/sanitize-address .stamp/sanitize-thread: .stamp/system-test
.stamp/sanitize-address .stamp/sanitize-thread .stamp/sanitize-fuzz: .stamp/sanitize-%: .stamp/build $(EXT_SOURCES) \
    $(shell find src tests tools -name '*.py' -o -name '*.pyi' -o -name suppressions.txt -o -name thread-sanitizer)
	rm -rf build/sanitize-$*/tests
	mkdir -p build/sanitize-$*
	tar -c --exclude='*.so' --exclude=__pycache__ ext src tests tools setup.py pyproject.toml README.md LICENSE | \
	    tar -x -C build/sanitize-$*
	cd build/sanitize-$* && SANITIZE=$* $(CURDIR)/$(PYTHON) setup.py -q build_ext --inplace --parallel $(JOBS)
	@touch $@

clean:
	rm -rf build .stamp .mypy_cache .ruff_cache .pytest_cache .hypothesis src/*.egg-info
	find src -name '*.so' -delete
	find src tests bench -name __pycache__ -type d -exec rm -rf {} +
