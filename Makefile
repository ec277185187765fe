# SPDX-License-Identifier: BSD-2-Clause
# The front door. Meson and ninja do the work; this finds them, and names what there is to do.
BUILD ?= build
PREFIX ?= /usr/local
MESON_ARGS ?=
SECONDS ?= 60
STEPS ?=

all: build

help:
	@echo 'make            build the library and the kmcl command in $(BUILD)/'
	@echo 'make demo       serve a disk image from one process to another, verify and measure it'
	@echo 'make demo-linux boot a stock Debian kernel on our disk and network'
	@echo 'make check      run the whole test suite: gcc, clang, sanitizers, valgrind, fuzzing (STEPS=...)'
	@echo 'make test       run the tests of the $(BUILD)/ build only'
	@echo 'make bench      measure it against the machine and against what else there is'
	@echo 'make bench-guest a stock guest on our devices next to one on QEMU virtio'
	@echo 'make docs       docs/api-status.md from the tests; check that the documents are current'
	@echo 'make lint       layout (clang-format), who includes whom, freestanding core'
	@echo 'make install    install under PREFIX=$(PREFIX)'
	@echo 'make fuzz       run every fuzz target for SECONDS=$(SECONDS)'
	@echo 'make clean      remove the builds'

packages-%:
	@scripts/packages $*

$(BUILD)/build.ninja: | packages-build
	@meson setup $(BUILD) -Dtests=false $(MESON_ARGS) >$(BUILD).log 2>&1 || { cat $(BUILD).log >&2; exit 1; }
	@rm -f $(BUILD).log

build: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet

demo: build
	@$(BUILD)/cli/kmcl demo

demo-linux: packages-guest build
	@scripts/demo-linux --kmcl $(BUILD)/cli/kmcl

check: packages-build packages-check packages-guest
	@scripts/check $(STEPS)

test: packages-check build
	@meson configure $(BUILD) -Dtests=true
	@meson test -C $(BUILD) --print-errorlogs

bench: packages-bench packages-build
	@scripts/bench

bench-guest: packages-build packages-guest
	@[ -f build-bench-guest/build.ninja ] || \
		meson setup build-bench-guest --buildtype=release -Dtests=false >/dev/null
	@ninja -C build-bench-guest --quiet cli/kmcl
	@bench/guest

docs: packages-check
	@scripts/docs

lint: packages-check
	@scripts/lint

fuzz: packages-build packages-check
	@scripts/fuzz --seconds $(SECONDS)

install: build
	@meson configure $(BUILD) -Dprefix=$(abspath $(PREFIX))
	@meson install -C $(BUILD)

clean:
	rm -rf $(BUILD) build-*

.PHONY: all help build demo demo-linux check test bench bench-guest docs lint fuzz install clean packages-%
