# SPDX-License-Identifier: Apache-2.0
# Included by the Makefile, whose rules compile bench/*.c.
#
#   make bench         all workloads, all systems, interleaved; also $(O)/bench.json and $(O)/bench.svg
#     REPS=5           repetitions
#     OPS=20000000     operations of the fastest system with one thread in the seed loop; all others follow
#     WORKLOAD="..."   only these workloads; SYSTEM="...": only these systems
#     LIMIT=60         seconds after which a run has failed
#   make bench-quick   one short repetition without counting instructions, for trying
#   make recovery      time of amx_recover after the death of a peer with 1,000 blocks
#   make fill          fill and heal; fails if a target is missed

REPS     ?= 5
OPS      ?= 20000000
WORKLOAD ?=
SYSTEM   ?=
LIMIT    ?= 60

BENCH   := $(O)/bench
SYSTEMS := amx glibc mimalloc jemalloc tcmalloc boost-rbtree boost-seqfit tlsf treiber pool ring rwlock loop
WORKERS := $(addprefix $(BENCH)/worker_,$(SYSTEMS))
DRIVER   = $(BENCH)/driver -d $(BENCH) -l $(LIMIT) -w "$(WORKLOAD)" -s "$(SYSTEM)" -o $(O)/bench

MORE_TESTS += bench/bench_test.sh

.PHONY: bench bench-quick bench-ready fill recovery workers
bench: bench-ready
	@$(DRIVER) -c -r $(REPS) -n $(OPS)

bench-quick: bench-ready
	@$(DRIVER) -r 1 -n 2000000

bench-ready:
	@sh bench/need.sh
	@$(MAKE) --no-print-directory -s -f $(firstword $(MAKEFILE_LIST)) workers

# By a second make: what need.sh has just installed counts.
workers: $(WORKERS) $(BENCH)/driver

fill: $(BENCH)/fill
	@$(BENCH)/fill

recovery: $(BENCH)/recover
	@$(BENCH)/recover $(REPS)

# Allocators are shared libraries all, so that each call pays the same way in. Boost.Interprocess has headers only.
$(BENCH)/%.so: bench/%.c
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CC) $(FLAGS) -fPIC -MMD -MP -MF $(@:.so=.d) $(LDFLAGS) -shared $< -lpthread -o $@

$(BENCH)/sys_boost-rbtree.o $(BENCH)/sys_boost-seqfit.o: bench/sys_boost.cc
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(CXX) $(WARN) -O2 -g -DNDEBUG $(EXTRA) -MMD -MP -c $< -o $@
$(BENCH)/sys_boost-seqfit.o: EXTRA := -DBOOST_SEQ_FIT

near   = -Wl,-rpath,$(abspath $(1))
$(BENCH)/sys_pool.o: bench/sys_amx.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(FLAGS) -DBENCH_POOL -MMD -MP -c $< -o $@
$(BENCH)/worker_amx $(BENCH)/worker_pool: $(BENCH)/worker_%: $(BENCH)/sys_%.o $(O)/libamx.so
$(BENCH)/worker_amx $(BENCH)/worker_pool $(BENCH)/fill $(BENCH)/recover: LIBS := -L$(O) -lamx $(call near,$(O))
$(BENCH)/fill $(BENCH)/recover: $(O)/libamx.so
$(BENCH)/worker_mimalloc: $(BENCH)/sys_mimalloc.o
$(BENCH)/worker_mimalloc: LIBS := -lmimalloc
$(BENCH)/worker_glibc $(BENCH)/worker_jemalloc $(BENCH)/worker_tcmalloc: $(BENCH)/sys_malloc.o
$(BENCH)/worker_jemalloc: LIBS := -ljemalloc
$(BENCH)/worker_tcmalloc: LIBS := -ltcmalloc_minimal
$(BENCH)/worker_boost-rbtree $(BENCH)/worker_boost-seqfit: $(BENCH)/worker_%: $(BENCH)/sys_%.o
$(BENCH)/worker_boost-rbtree $(BENCH)/worker_boost-seqfit: LIBS := -lstdc++ -lrt
PEERS := $(addprefix $(BENCH)/worker_,tlsf treiber ring)
$(PEERS): $(BENCH)/worker_%: $(BENCH)/sys_peer.o $(BENCH)/peer_%.so
$(BENCH)/worker_rwlock: $(BENCH)/sys_rwlock.o $(BENCH)/peer_rwlock.so
$(PEERS) $(BENCH)/worker_rwlock: LIBS = $(filter %.so,$^) $(call near,$(BENCH))
$(BENCH)/worker_loop: $(BENCH)/sys_loop.o

$(WORKERS): $(BENCH)/worker.o
	$(call say,LD)
	$(Q)$(LINK) $(filter %.o,$^) $(LIBS) -lpthread -o $@

DRIVER_OBJ := $(addprefix $(BENCH)/,driver.o run.o report.o plot.o)
$(BENCH)/driver: $(DRIVER_OBJ)
$(BENCH)/fill $(BENCH)/recover: $(BENCH)/%: $(BENCH)/%.o
$(BENCH)/driver $(BENCH)/fill $(BENCH)/recover:
	$(call say,LD)
	$(Q)$(LINK) $(filter %.o,$^) $(LIBS) -lpthread -lm -o $@

-include $(wildcard $(BENCH)/*.d)
