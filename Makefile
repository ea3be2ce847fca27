# The front door. Meson does the work: `meson setup build && meson compile -C build` builds the same, once the packages are there.
BUILD ?= build
ARGS ?=
NINJA = ninja -C $(BUILD) --quiet

# $(call configure,directory,options): once, and again when a statement came or went: meson lists those only when it configures.
define configure
@test -f $(1)/build.ninja || meson setup $(1) $(2)
@test -z "$$(find sql tests/unit/sql src/api/openapi -type d -newer $(1)/build.ninja)" || meson setup --reconfigure $(1)
endef
.DEFAULT_GOAL := help
.PHONY: help run test crash soak bench build format format-check lint fuzz clean

help:
	@echo 'make run [ARGS=…]  install what is missing, build, start picket serve on 127.0.0.1:8080 (try ARGS=--help)'
	@echo 'make test          install what is missing, build, run every test on real parts'
	@echo 'make crash         the long form of the crash tests: about an hour of killing, cutting and filling up; ends with a table'
	@echo 'make soak          half an hour of everything: no leak, no growth, no error under valgrind (ARGS="--seconds 60": two minutes)'
	@echo 'make bench         measure this machine, an hour long: rates, latencies, memory, disk, and the bars (QUICK=1: about 4 minutes;'
	@echo '                   SCENARIOS="accept drain" for some of it; ARGS="--json FILE --strict")'
	@echo 'make build         build $(BUILD)/picket and everything else'
	@echo 'make lint          check the layers, the rules of style, and what analysers find; make format: lay out the C files'
	@echo 'make fuzz          fuzz every parser of foreign bytes for FUZZ_SECONDS each (3600)'
	@echo 'make clean         remove the build directories'

run:
	@echo 'make run: install missing Debian packages, build $(BUILD)/picket, start it in the foreground'
	@docker/setup.sh build database
	$(call configure,$(BUILD))
	@$(NINJA) picket
	@exec $(BUILD)/picket serve $(ARGS)

# Unit tests run in a build with fault points, little optimised because it is compiled to be run once; the end-to-end tests against the very binary
# that `make build` makes.
test:
	@echo 'make test: install missing Debian packages, build, run all tests under tests/'
	@docker/setup.sh build database test
	$(call configure,$(BUILD))
	$(call configure,$(BUILD)-test,-Dfault_points=true -Doptimization=1)
	@$(NINJA) picket
	@ninja -C $(BUILD)-test --quiet
	@BUILD=$(BUILD)-test PICKET_BINARY=$(BUILD)/picket tests/run

crash:
	@echo 'make crash: install missing Debian packages, build, run the long form of the crash tests'
	@docker/setup.sh build database test
	$(call configure,$(BUILD))
	$(call configure,$(BUILD)-test,-Dfault_points=true -Doptimization=1)
	@$(NINJA) picket
	@ninja -C $(BUILD)-test --quiet
	@CRASH_FORM=long POWERCUT_STATES=10000 SUITES="powercut crash" BUILD=$(BUILD)-test PICKET_BINARY=$(BUILD)/picket PYTEST_ARGS="--timeout=1800 $(ARGS)" tests/run
	@LARGE_BODIES=200 SUITES=e2e BUILD=$(BUILD)-test PICKET_BINARY=$(BUILD)/picket PYTEST_ARGS="-k test_large_bodies_at_once" tests/run

soak:
	@echo 'make soak: install missing Debian packages, build, watch three Pickets for half an hour, two of them under valgrind'
	@docker/setup.sh build database soak
	$(call configure,$(BUILD))
	@python3 tests/bench/soak.py $(ARGS) $(BUILD)

bench:
	@echo 'make bench: install missing Debian packages, build, measure'
	@docker/setup.sh build database
	$(call configure,$(BUILD))
	@python3 tests/bench/bench.py $(if $(QUICK),--scale quick) $(if $(SCENARIOS),--scenarios "$(SCENARIOS)") $(ARGS) $(BUILD)

build:
	@echo 'make build: install missing Debian packages, build $(BUILD)/picket'
	@docker/setup.sh build
	$(call configure,$(BUILD))
	@ninja -C $(BUILD)

# git ls-files also names new files; a deleted one is left out by the test.
C_FILES = $$(git ls-files --cached --others --exclude-standard 'src/*.[ch]' 'include/*.h' 'tests/*.[ch]' | while read -r f; do test -e "$$f" && echo "$$f"; done)

format:
	@clang-format -i $(C_FILES)

format-check:
	@tests/lint/format.sh $(C_FILES)

lint:
	@python3 tests/lint/lint.py
	@docker/setup.sh build lint
	@python3 tests/lint/analyse.py

fuzz:
	@echo 'make fuzz: install missing Debian packages, fuzz two targets at a time'
	@docker/setup.sh build ci
	@tests/fuzz/run $(TARGETS)

clean:
	rm -rf build build-*/ tests/e2e/apps/node_modules tests/e2e/apps/node10/node_modules
