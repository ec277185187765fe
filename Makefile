# SPDX-License-Identifier: BSD-2-Clause
BUILD ?= build

all: build

build: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	meson setup $(BUILD)

.PHONY: all build
