# SPDX-License-Identifier: Apache-2.0
# Included by the Makefile.
#
#   make storm [STORM=600] [STORMERS=8]   processes killed and stopped at random for so many seconds
#   make races [PAIRS=10000000]          two free the same block at the same time, so often
#   make hostile [HOSTILE=120]           metadata damaged at random while processes work on it, under ASan
STORM   ?= 600
HOSTILE ?= 120
STORMERS ?= 8
PAIRS   ?= 10000000
MORE_TESTS += tests/storm/short.sh tests/storm/hostile.sh

$(O)/tests/storm/storm: $(O)/tests/storm/storm.o $(O)/libamx.a
	$(call say,LD)
	$(Q)$(LINK) $^ -lpthread -o $@

.PHONY: storm
storm: $(O)/tests/storm/storm
	@$(O)/tests/storm/storm $(STORM) $(STORMERS)

$(O)/tests/storm/races: $(O)/tests/storm/races.o $(O)/libamx.a
	$(call say,LD)
	$(Q)$(LINK) $^ -lpthread -o $@

.PHONY: races
races: $(O)/tests/storm/races
	@$(O)/tests/storm/races $(PAIRS)

# damage.o: what the fuzzing does to a segment at rest
$(O)/tests/storm/hostile: $(O)/tests/storm/hostile.o $(O)/tests/fuzz/damage.o $(O)/libamx.a
	$(call say,LD)
	$(Q)$(LINK) $^ -lpthread -o $@

.PHONY: hostile
hostile:
	$(SUB) $(BUILD)/gcc-asan/tests/storm/hostile CC=gcc SAN=address HOOK=
	@$(BUILD)/gcc-asan/tests/storm/hostile $(HOSTILE)
