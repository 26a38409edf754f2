# SPDX-License-Identifier: Apache-2.0
# Included by the Makefile. The library under a deterministic scheduler: make schedules
$(O)/tests/sched/schedules: $(O)/tests/sched/schedules.o $(O)/libamx.a
	$(call say,LD)
	$(Q)$(LINK) $^ -lcmocka -lpthread -o $@

MORE_TESTS += tests/sched/short.sh
.PHONY: schedules
schedules:
	@tests/need.sh test
	$(SUB) $(BUILD)/gcc-sched/tests/sched/schedules CC=gcc SAN= HOOK= SCHED=1
	@tests/sched/run.sh $(BUILD)/gcc-sched/tests/sched/schedules $(BUILD)/sched-mutants
