# SPDX-License-Identifier: Apache-2.0
# GNU make. `make help` lists the targets; docs are in README.md.
#
#   make [CC=clang] [SAN=address|thread] [HOOK=1] [SCHED=1] [CHECKED=1] [USDT=1] [BUILD=dir] [V=1] TARGET
#
# Plain builds go to $(BUILD); every variant has a directory of its own below it: $(BUILD)/gcc-asan, ...

BUILD   ?= build
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
BINDIR  ?= $(PREFIX)/bin
INCLUDEDIR ?= $(PREFIX)/include
DATADIR ?= $(PREFIX)/share
DESTDIR ?=
SAN     ?=
HOOK    ?=
SCHED   ?=
CHECKED ?=
USDT    ?=

VERSION_PARTS := $(shell awk '/define AMX_VERSION_(MAJOR|MINOR|PATCH) / {print $$3}' include/amx.h)
MAJOR     := $(word 1,$(VERSION_PARTS))
MINOR     := $(word 2,$(VERSION_PARTS))
VERSION   := $(MAJOR).$(MINOR).$(word 3,$(VERSION_PARTS))
SOVERSION := 1

# --- variants --------------------------------------------------------------------------------------------------------

SAN_NAME_address := -asan
SAN_NAME_thread  := -tsan
SAN_FLAGS_address := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SAN_FLAGS_thread  := -fsanitize=thread -fno-omit-frame-pointer
ifneq ($(SAN),)
ifeq ($(SAN_FLAGS_$(SAN)),)
$(error SAN is address or thread)
endif
endif

VARIANT := $(notdir $(firstword $(CC)))$(SAN_NAME_$(SAN))$(if $(HOOK),-hook)$(if $(SCHED),-sched)$(if $(CHECKED),-checked)$(if $(USDT),-usdt)
O := $(BUILD)$(if $(filter-out cc,$(VARIANT)),/$(VARIANT))

CFLAGS ?= $(if $(SAN),-O1,-O2) -g
WARN   := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror
FLAGS   = -std=c11 -D_GNU_SOURCE -Iinclude $(WARN) -fvisibility=hidden $(if $(PLAIN),,$(SAN_FLAGS_$(SAN))) \
          $(if $(HOOK)$(SCHED),-DAMX_HOOK) $(if $(SCHED),-DAMX_SCHED) $(if $(CHECKED),-DAMX_CHECKED) $(if $(USDT),-DAMX_USDT) $(CFLAGS) $(CPPFLAGS)
LINK    = $(CC) $(CFLAGS) $(SAN_FLAGS_$(SAN)) $(LDFLAGS)
Q := $(if $(V),,@)
say = $(if $(V),,@echo '  $(1) $@')

# --- files -----------------------------------------------------------------------------------------------------------

HEADERS  := $(wildcard include/*.h)
LIB_OBJ  := $(patsubst %.c,$(O)/%.o,$(wildcard src/*.c))
TOOL_OBJ := $(patsubst %.c,$(O)/%.o,$(wildcard tools/*.c))
KINDS    ?= $(if $(HOOK),hook,unit process stress)
TESTS    := $(patsubst %.c,$(O)/%,$(wildcard $(KINDS:%=tests/%/*_test.c)))
FORMAT   := $(wildcard include/*.h src/*.[ch] tools/*.[ch] tests/*.[ch] tests/*/*.[ch] bench/*.[ch] bench/*.cc examples/*.c)

.PHONY: all lib tool tests test quick workloads endurance copies torture torture-others mutants demo install uninstall format format-check clean help
.DELETE_ON_ERROR:
.SECONDARY:

all: lib tool
lib: $(O)/libamx.a $(O)/libamx.so
tool: $(O)/amx
tests: $(TESTS)

# --- rules -----------------------------------------------------------------------------------------------------------

# The same objects serve both libraries. No semantic interposition: our calls of our own public functions stay direct.
$(O)/src/%.o: EXTRA := -fPIC -fno-semantic-interposition
# A checked library tells the sanitizer about blocks, and so must not be looked at itself.
$(O)/src/%.o: PLAIN := $(CHECKED)
# Tests may look behind the curtain; tools may not.
$(O)/tests/%.o: EXTRA := -Isrc -I.

$(O)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(FLAGS) $(EXTRA) -MMD -MP -c $< -o $@

$(O)/libamx.a: $(LIB_OBJ)
	$(call say,AR)
	$(Q)rm -f $@ && ar rcs $@ $^

$(O)/libamx.so.$(SOVERSION): $(LIB_OBJ) amx.map
	$(call say,LD)
	$(Q)$(LINK) -shared -Wl,-soname,$(@F) -Wl,--version-script,amx.map $(if $(SAN)$(HOOK)$(SCHED),,-Wl,-z,defs) \
	    $(LIB_OBJ) -lpthread -o $@

$(O)/libamx.so: $(O)/libamx.so.$(SOVERSION)
	$(Q)ln -sf $(<F) $@

$(O)/amx: $(TOOL_OBJ) $(O)/libamx.a
	$(call say,LD)
	$(Q)$(LINK) $^ -lpthread -o $@

$(O)/tests/%_test: $(O)/tests/%_test.o $(O)/libamx.a
	$(call say,LD)
	$(Q)$(LINK) $^ -lcmocka -lpthread -o $@

# The actor is one file, so that every instruction that may change a segment has an address in it.
$(O)/tests/torture/actor: $(O)/tests/torture/actor.o $(O)/libamx.a
	$(call say,LD)
	$(Q)$(LINK) -static-pie $^ -lpthread -o $@

$(O)/tests/torture/torture: $(O)/tests/torture/torture.o $(O)/libamx.a
	$(call say,LD)
	$(Q)$(LINK) $^ -lcmocka -lpthread -o $@

# --- tests -----------------------------------------------------------------------------------------------------------

JOBS = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))
SUB  = @$(MAKE) --no-print-directory $(JOBS) BUILD=$(BUILD)
# MORE_TESTS: scripts that the files included below add to `make test`.
# Sanitizers multiply the time of every operation, so that their share of the operations is smaller.
SCALE_ASAN ?= 25
SCALE_TSAN ?= 15

test:
	@tests/need.sh test
	$(SUB) all tests CC=cc SAN= HOOK=
	$(SUB) tool tests CC=gcc SAN=address HOOK=
	$(SUB) tests CC=clang SAN=address HOOK=
	$(SUB) tests CC=gcc SAN=thread HOOK= KINDS="unit stress"
	$(SUB) tests CC=clang SAN=thread HOOK= KINDS="unit stress"
	$(SUB) tests $(TORTURE) CC=gcc SAN= HOOK=1
	$(SUB) $(ACTOR) $(OTHERS) CC=cc SAN= HOOK=
	@tests/run.sh BUILD=$(BUILD) tests/format.sh tests/layers.sh tests/origins.sh tests/readme.sh tests/install_test.sh \
	    AMX=$(BUILD)/amx $(BUILD)/tests/unit $(BUILD)/tests/process $(BUILD)/tests/stress tests/tool \
	    $(BUILD)/gcc-hook/tests/hook tests/torture/short.sh tests/torture/others.sh $(MORE_TESTS) \
	    AMX_TEST_SCALE=$(SCALE_ASAN) AMX=$(BUILD)/gcc-asan/amx tests/tool \
	    $(addprefix $(BUILD)/gcc-asan/tests/,unit process stress) \
	    $(addprefix $(BUILD)/clang-asan/tests/,unit process stress) \
	    AMX_TEST_SCALE=$(SCALE_TSAN) $(addprefix $(BUILD)/gcc-tsan/tests/,unit stress) \
	    $(addprefix $(BUILD)/clang-tsan/tests/,unit stress)

# For the time between two edits: one compiler, no sanitizer.
quick: all tests
	@tests/run.sh BUILD=$(BUILD) AMX=$(O)/amx $(addprefix $(O)/tests/,unit process stress) tests/tool

# What takes longer than a test may: the same programs with more to do. Verified payloads, 10 million operations each:
workloads: tests
	@AMX_TEST_TIMEOUT=7200 AMX_TEST_JOBS=1 tests/run.sh AMX_TEST_SCALE=10000 \
	    $(filter $(O)/tests/stress/workload% $(O)/tests/process/workload%,$(TESTS))

# The published endurance test for its 600 seconds.
endurance: $(O)/tests/stress/endurance_test
	@AMX_TEST_TIMEOUT=1200 tests/run.sh AMX_TEST_SECONDS=600 $<

# A copy of the segment before every store of every operation, each one checked.
copies:
	$(SUB) tests CC=$(CC) SAN= HOOK=1
	@AMX_TEST_TIMEOUT=7200 tests/run.sh AMX_TEST_SCALE=1000 $(BUILD)/$(notdir $(firstword $(CC)))-hook/tests/hook

# Each public call killed and stopped at each of its instructions that change the segment. Minutes.
TORTURE = $(BUILD)/gcc-hook/tests/torture/torture
ACTOR   = $(BUILD)/tests/torture/actor
torture:
	@tests/need.sh test
	$(SUB) $(TORTURE) CC=gcc SAN= HOOK=1
	$(SUB) $(ACTOR) CC=cc SAN= HOOK=
	@tests/torture/run.sh $(dir $(TORTURE)) $(dir $(ACTOR))

# The kill sweep on other allocators, through an adapter each: one that is sound, one in which it must find the fault.
$(O)/tests/torture/sweep $(O)/tests/torture/slots: %: %.o
	$(call say,LD)
	$(Q)$(LINK) $^ $(if $(filter %sweep,$@),$(O)/libamx.a -lcmocka) -lpthread -o $@
$(O)/tests/torture/slots_list: tests/torture/slots.c
	$(call say,LD)
	$(Q)$(CC) $(FLAGS) -DLIST $< -o $@
OTHERS = $(addprefix $(BUILD)/tests/torture/,sweep slots slots_list)
torture-others:
	@tests/need.sh test
	$(SUB) lib $(OTHERS) CC=cc SAN= HOOK=
	@tests/torture/others.sh $(BUILD)/tests/torture

# Broken on purpose: the campaign must notice.
mutants:
	@tests/need.sh test
	@tests/torture/mutants.sh $(BUILD)/mutants

demo: tool
	@$(O)/amx demo $(FILES)

clean:
	rm -rf $(BUILD)

# --- installation ----------------------------------------------------------------------------------------------------

D := $(DESTDIR)
CMAKE_DIR := $(LIBDIR)/cmake/amx
subst_file = sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
    -e 's|@VERSION@|$(VERSION)|' -e 's|@MAJOR@|$(MAJOR)|' -e 's|@MINOR@|$(MINOR)|' -e 's|@SOVERSION@|$(SOVERSION)|' \
    -e "s|@INCLUDE_FROM_LIB@|$$(realpath -m --relative-to=$(LIBDIR) $(INCLUDEDIR))|"

BASH_DIR  ?= $(DATADIR)/bash-completion/completions
ZSH_DIR   ?= $(DATADIR)/zsh/site-functions
install: all man
	install -d $(D)$(INCLUDEDIR) $(D)$(BINDIR) $(D)$(LIBDIR)/pkgconfig $(D)$(CMAKE_DIR) $(D)$(DATADIR)/amx \
	    $(D)$(BASH_DIR) $(D)$(ZSH_DIR) $(addprefix $(D)$(DATADIR)/man/,man1 man3 man7)
	install -m 644 $(HEADERS) $(D)$(INCLUDEDIR)
	install -m 755 $(O)/amx $(D)$(BINDIR)
	install -m 644 $(O)/libamx.a $(D)$(LIBDIR)
	install -m 755 $(O)/libamx.so.$(SOVERSION) $(D)$(LIBDIR)
	ln -sf libamx.so.$(SOVERSION) $(D)$(LIBDIR)/libamx.so
	$(subst_file) amx.pc.in > $(D)$(LIBDIR)/pkgconfig/amx.pc
	$(subst_file) cmake/amxTargets.cmake.in > $(D)$(CMAKE_DIR)/amxTargets.cmake
	$(subst_file) cmake/amxConfigVersion.cmake.in > $(D)$(CMAKE_DIR)/amxConfigVersion.cmake
	install -m 644 cmake/amxConfig.cmake $(D)$(CMAKE_DIR)
	install -m 644 tools/gdb/amx-gdb.py $(D)$(DATADIR)/amx
	install -m 644 packaging/completion/amx.bash $(D)$(BASH_DIR)/amx
	install -m 644 packaging/completion/_amx $(D)$(ZSH_DIR)
	for n in 1 3 7; do install -m 644 $(O)/man/man$$n/* $(D)$(DATADIR)/man/man$$n || exit; done

# What `make install` with the same variables would put there, and the directories that are amx's alone.
uninstall:
	@t=$$(mktemp -d) && trap 'rm -rf "$$t"' EXIT && $(MAKE) -s install DESTDIR="$$t" >/dev/null && \
	    (cd "$$t" && find . ! -type d) | (cd "$(D)/" && xargs rm -f) && \
	    (cd "$$t" && find . -depth -type d -name amx) | (cd "$(D)/" && xargs rmdir --ignore-fail-on-non-empty)

# --- style -----------------------------------------------------------------------------------------------------------

format:
	clang-format -i $(FORMAT)

format-check:
	clang-format --dry-run -Werror $(FORMAT)

help:
	@echo 'all          libamx.a, libamx.so.$(SOVERSION) and the tool amx, in $(BUILD)'
	@echo 'demo         count the words of FILES with several processes, one killed, one stopped; needs no package'
	@echo 'test         everything, with both compilers and their sanitizers; installs what it misses'
	@echo 'quick        the tests once, without sanitizers'
	@echo 'workloads    10 million verified operations, with threads and with processes'
	@echo 'endurance    600 seconds of the published endurance test'
	@echo 'copies       the segment checked before every store of every operation'
	@echo 'torture      each call killed and stopped at each instruction that changes the segment; mutants: it notices'
	@echo 'schedules    every pair of operations in every order, up to three preemptions and deaths'
	@echo 'orders       each acquire, release and seq_cst of the library weakened in turn; each must be noticed'
	@echo 'storm, races  processes killed and stopped at random for STORM seconds; racing frees'
	@echo 'hostile      metadata damaged at random while processes work on it, for HOSTILE seconds'
	@echo 'aarch64      the tests built for AArch64, run by qemu-user'
	@echo 'torture-others  the kill sweep on two simple allocators, through adapters'
	@echo 'fuzz-segments  10000 (MUTATIONS) damaged segments under every call and verb; SEED=n: one of them again'
	@echo 'fuzz-libfuzzer, fuzz-afl  the same led by coverage, for SECONDS'
	@echo 'bench        all workloads against eight other allocators, messages against locks, minutes; bench-quick: one short repetition'
	@echo 'fill         how much of a segment can be handed out; recovery: how long amx_recover takes'
	@echo 'install      to DESTDIR, PREFIX, LIBDIR, INCLUDEDIR, BINDIR, DATADIR; uninstall'
	@echo 'amalgamation the library in two files; man: the manual pages; deb: Debian packages. In $(BUILD)'
	@echo 'format       clang-format; format-check only looks'

include $(sort $(wildcard bench/*.mk packaging/*.mk tests/*/*.mk))
-include $(patsubst %.o,%.d,$(LIB_OBJ) $(TOOL_OBJ)) $(wildcard $(O)/tests/*/*.d)
