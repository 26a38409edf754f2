# SPDX-License-Identifier: Apache-2.0
# Included by the Makefile. The library under a deterministic scheduler: make schedules
#   make orders      the library with each of its orders weakened in turn: each must be noticed, and what does it
$(O)/tests/sched/schedules $(O)/tests/sched/litmus: %: %.o $(O)/libamx.a
	$(call say,LD)
	$(Q)$(LINK) $^ -lcmocka -lpthread -o $@

MORE_TESTS += tests/sched/short.sh tests/ordering.sh
.PHONY: schedules orders
schedules:
	@tests/need.sh test
	$(SUB) $(BUILD)/gcc-sched/tests/sched/schedules CC=gcc SAN= HOOK= SCHED=1
	$(SUB) $(BUILD)/gcc-sched-narrow4/tests/sched/schedules CC=gcc SAN= HOOK= SCHED=1 NARROW=4
	@tests/sched/run.sh $(BUILD)/gcc-sched/tests/sched/schedules $(BUILD)/gcc-sched-narrow4/tests/sched/schedules \
	    $(BUILD)/sched-mutants
orders:
	@tests/need.sh test
	@tests/sched/weaken.sh $(BUILD)/orders
