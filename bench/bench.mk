# SPDX-License-Identifier: Apache-2.0
# Included by the Makefile, whose rules compile bench/*.c.
#
#   make bench [REPS=7] [OPS=20000000]   seed loop against mimalloc and Boost; rows also in $(O)/bench.json
#   make recovery                        time of amx_recover after the death of a peer with 1,000 blocks
#   make fill                            fill and heal; fails if a target is missed

REPS ?= 7
OPS  ?= 20000000

BENCH := $(O)/bench
WORKERS := $(addprefix $(BENCH)/worker_,amx mimalloc boost glibc loop)

.PHONY: bench fill recovery workers
bench:
	@sh bench/need.sh
	@$(MAKE) --no-print-directory -f $(firstword $(MAKEFILE_LIST)) workers
	@BENCH_JSON=$(O)/bench.json $(BENCH)/seed_loop $(BENCH) $(REPS) $(OPS)

# By a second make: what need.sh has just installed counts.
workers: $(WORKERS) $(BENCH)/seed_loop

fill: $(BENCH)/fill
	@$(BENCH)/fill

recovery: $(BENCH)/recover
	@$(BENCH)/recover $(REPS)

$(BENCH)/%.o: bench/%.cc
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(CXX) $(WARN) -O2 -g -DNDEBUG -MMD -MP -c $< -o $@

# Allocators are shared libraries all, so that each call pays the same way in.
$(BENCH)/worker_amx $(BENCH)/fill $(BENCH)/recover: $(O)/libamx.so
$(BENCH)/worker_amx $(BENCH)/fill $(BENCH)/recover: LIBS := -L$(O) -lamx -Wl,-rpath,$(abspath $(O))
$(BENCH)/worker_mimalloc: LIBS := -lmimalloc
$(BENCH)/worker_boost: LIBS := -lstdc++ -lrt

$(BENCH)/worker_%: $(BENCH)/worker.o $(BENCH)/sys_%.o
	$(call say,LD)
	$(Q)$(LINK) $(filter %.o,$^) $(LIBS) -lpthread -o $@

$(BENCH)/seed_loop $(BENCH)/fill $(BENCH)/recover: $(BENCH)/%: $(BENCH)/%.o
	$(call say,LD)
	$(Q)$(LINK) $(filter %.o,$^) $(LIBS) -lpthread -o $@

-include $(wildcard $(BENCH)/*.d)
