# SPDX-License-Identifier: Apache-2.0
# Included by the Makefile. The library under a deterministic scheduler: make schedules
$(O)/tests/sched/schedules: $(O)/tests/sched/schedules.o $(O)/libamx.a
	$(call say,LD)
	$(Q)$(LINK) $^ -lcmocka -lpthread -o $@
