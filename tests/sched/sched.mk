# SPDX-License-Identifier: Apache-2.0
# Included by the Makefile. The library under a deterministic scheduler: make schedules
#   make orders      the library with each of its orders weakened in turn: each must be noticed, and what does it
$(O)/tests/sched/schedules $(O)/tests/sched/litmus: %: %.o $(O)/libamx.a
	$(call say,LD)
	$(Q)$(LINK) $^ -lcmocka -lpthread -o $@

# The same about slot pools, and about message stores.
$(O)/tests/sched/pools.o: ABOUT := POOLS
$(O)/tests/sched/stores.o: ABOUT := STORES
$(O)/tests/sched/pools.o $(O)/tests/sched/stores.o: tests/sched/schedules.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(FLAGS) -Isrc -I. -D$(ABOUT) -MMD -MP -c $< -o $@
$(O)/tests/sched/pools $(O)/tests/sched/stores: %: %.o $(O)/libamx.a
	$(call say,LD)
	$(Q)$(LINK) $^ -lcmocka -lpthread -o $@

MORE_TESTS += tests/sched/short.sh tests/ordering.sh
.PHONY: schedules orders
schedules:
	@tests/need.sh test
	$(SUB) $(addprefix $(BUILD)/gcc-sched/tests/sched/,schedules pools stores) CC=gcc SAN= HOOK= SCHED=1
	@tests/sched/run.sh $(BUILD)/gcc-sched/tests/sched $(BUILD)/sched-mutants
orders:
	@tests/need.sh test
	@tests/sched/weaken.sh $(BUILD)/orders
