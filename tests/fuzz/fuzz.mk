# SPDX-License-Identifier: Apache-2.0
# Included by the Makefile, whose rules compile tests/fuzz/*.c.
#
#   make fuzz-segments [MUTATIONS=10000] [SEED=n]   damaged segments under every call and every verb; SEED alone: that one
#   make fuzz-libfuzzer [SECONDS=60]                the same, led by coverage, from tests/fuzz/corpus on
#   make fuzz-afl [SECONDS=60]
#   make fuzz-corpus                                writes tests/fuzz/corpus anew, after a change of what an input means

FUZZ := $(O)/tests/fuzz
FUZZ_OBJ := $(addprefix $(FUZZ)/,damage.o calls.o verbs.o)
FUZZ_LIB := $(filter-out %/main.o,$(TOOL_OBJ)) $(O)/libamx.a
SECONDS ?= 60
MORE_TESTS += tests/fuzz/short.sh

.PHONY: fuzz-segments fuzz-libfuzzer fuzz-afl fuzz-corpus fuzz-build

# With AMX_HOOK: damage may come between two stores of a call, and each store is looked at.
$(FUZZ)/segments: $(FUZZ)/main.o $(FUZZ_OBJ) $(FUZZ_LIB)
	$(call say,LD)
	$(Q)$(LINK) $^ -lcmocka -lpthread -o $@

$(FUZZ)/target: $(FUZZ)/target.o $(FUZZ_OBJ) $(FUZZ_LIB)
	$(call say,LD)
	$(Q)$(LINK) -fsanitize=fuzzer $^ -lcmocka -lpthread -o $@

SEGMENTS = $(BUILD)/gcc-asan-hook/tests/fuzz/segments
test: fuzz-build
fuzz-build:
	@tests/need.sh test
	$(SUB) tool CC=gcc SAN=address HOOK=
	$(SUB) $(SEGMENTS) CC=gcc SAN=address HOOK=1

fuzz-segments: fuzz-build
	@AMX=$(BUILD)/gcc-asan/amx $(SEGMENTS)

fuzz-libfuzzer:
	@sh tests/fuzz/need.sh libfuzzer
	$(SUB)/libfuzzer $(BUILD)/libfuzzer/clang-asan-hook/tests/fuzz/target CC=clang SAN=address HOOK=1 \
	    CFLAGS="-O1 -g -fsanitize=fuzzer-no-link"
	@SECONDS_=$(SECONDS) tests/fuzz/fuzzer.sh libfuzzer $(BUILD)/libfuzzer/clang-asan-hook/tests/fuzz/target

fuzz-afl:
	@sh tests/fuzz/need.sh afl
	$(SUB)/afl $(BUILD)/afl/afl-clang-fast-asan-hook/tests/fuzz/target CC=afl-clang-fast SAN=address HOOK=1 CFLAGS="-O1 -g"
	@SECONDS_=$(SECONDS) tests/fuzz/fuzzer.sh afl $(BUILD)/afl/afl-clang-fast-asan-hook/tests/fuzz/target

fuzz-corpus: fuzz-build
	@rm -f tests/fuzz/corpus/*
	@SEED=1 $(SEGMENTS) -r 64 tests/fuzz/corpus
