# SPDX-License-Identifier: Apache-2.0
# Included by the Makefile, whose rules compile tests/fuzz/*.c.
#
#   make fuzz-segments [MUTATIONS=10000] [SEED=n]   damaged segments under every call and every verb; SEED alone: that one
#   make fuzz-libfuzzer [SECONDS=60]                the same, led by coverage
#   make fuzz-afl [SECONDS=60]

FUZZ := $(O)/tests/fuzz
FUZZ_OBJ := $(addprefix $(FUZZ)/,damage.o calls.o verbs.o)

.PHONY: fuzz-segments fuzz-libfuzzer fuzz-afl fuzz-build

# With AMX_HOOK: damage may come between two stores of a call, and each store is looked at.
$(FUZZ)/segments: $(FUZZ)/main.o $(FUZZ_OBJ) $(filter-out %/main.o,$(TOOL_OBJ)) $(O)/libamx.a
	$(call say,LD)
	$(Q)$(LINK) $^ -lcmocka -lpthread -o $@

fuzz-build:
	$(SUB) tool CC=gcc SAN=address HOOK=
	$(SUB) $(BUILD)/gcc-asan-hook/tests/fuzz/segments CC=gcc SAN=address HOOK=1

fuzz-segments: fuzz-build
	@AMX=$(BUILD)/gcc-asan/amx $(BUILD)/gcc-asan-hook/tests/fuzz/segments
