# SPDX-License-Identifier: Apache-2.0
# Included by the Makefile. The library under a deterministic scheduler: make schedules
#   make orders      each atomic site with the next weaker order: the test that docs/ordering.md names must notice
$(O)/tests/sched/schedules $(O)/tests/sched/litmus $(O)/tests/sched/store_litmus: %: %.o $(O)/libamx.a
	$(call say,LD)
	$(Q)$(LINK) -Wl,--wrap=amxi_os_lock_test $^ -lcmocka -lpthread -o $@

# The same about slot pools, and about message stores.
$(O)/tests/sched/pools.o: ABOUT := POOLS
$(O)/tests/sched/stores.o: ABOUT := STORES
$(O)/tests/sched/pools.o $(O)/tests/sched/stores.o: tests/sched/schedules.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(FLAGS) -Isrc -I. -D$(ABOUT) -MMD -MP -c $< -o $@
$(O)/tests/sched/pools $(O)/tests/sched/stores: %: %.o $(O)/libamx.a
	$(call say,LD)
	$(Q)$(LINK) -Wl,--wrap=amxi_os_lock_test $^ -lcmocka -lpthread -o $@

MORE_TESTS += tests/sched/short.sh tests/ordering.sh
.PHONY: schedules orders
schedules:
	@tests/need.sh test
	$(SUB) $(addprefix $(BUILD)/gcc-sched/tests/sched/,schedules pools stores) CC=gcc SAN= HOOK= SCHED=1
	@tests/sched/run.sh $(BUILD)/gcc-sched/tests/sched $(BUILD)/sched-mutants
orders:
	@tests/need.sh test
	@tests/sched/weaken.sh $(BUILD)/orders
