# SPDX-License-Identifier: BSD-2-Clause
# The front door. Meson and ninja do the work; this finds them, and names what there is to do.
BUILD ?= build
PREFIX ?= /usr/local
LIBDIR ?= lib
MESON_ARGS ?=
SECONDS ?= 60
STEPS ?=
# Recipes read these from the environment, in quotes: a path may have spaces in it.
export BUILD PREFIX LIBDIR MESON_ARGS

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
	@echo 'make lint       layout (clang-format), who includes whom'
	@echo 'make install    install under PREFIX=$(PREFIX)'
	@echo 'make uninstall  remove what make install put there'
	@echo 'make deb        Debian packages in build-deb/, from what is committed or would be'
	@echo 'make fuzz       run every fuzz target for SECONDS=$(SECONDS)'
	@echo 'make clean      remove the builds'

packages-%:
	@scripts/packages $*

build: packages-build
	@scripts/build "$$BUILD"

demo: build
	@"$$BUILD/cli/kmcl" demo

demo-linux: packages-guest build
	@scripts/demo-linux --kmcl "$$BUILD/cli/kmcl"

check: packages-build packages-check packages-deb packages-guest
	@scripts/check $(STEPS)

test: packages-check build
	@meson configure "$$BUILD" -Dtests=true
	@meson test -C "$$BUILD" --print-errorlogs

bench: packages-bench packages-build
	@scripts/bench

bench-guest: packages-build packages-guest
	@MESON_ARGS=--buildtype=release scripts/build build-bench-guest cli/kmcl bench/bench-guest-kit
	@bench/guest

docs: packages-check
	@scripts/docs

lint: packages-check
	@scripts/lint

fuzz: packages-build packages-check
	@scripts/fuzz --seconds $(SECONDS)

install: build
	@meson configure "$$BUILD" -Dprefix="$$(realpath -m -- "$$PREFIX")" -Dlibdir="$$LIBDIR"
	@meson install -C "$$BUILD"

uninstall:
	@scripts/uninstall "$$BUILD"

deb: packages-build packages-check packages-deb
	@scripts/deb

clean:
	rm -rf "$$BUILD" build-*

.PHONY: all help build demo demo-linux check test bench bench-guest docs lint fuzz install uninstall deb clean packages-%
