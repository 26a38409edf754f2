# SPDX-License-Identifier: Apache-2.0
# Included by the Makefile. A library that tells valgrind and AddressSanitizer about blocks: make CHECKED=1 lib
MORE_TESTS += tests/checked/checked.sh

$(O)/tests/checked/faults: $(O)/tests/checked/faults.o $(O)/libamx.a
	$(call say,LD)
	$(Q)$(LINK) $^ -lpthread -o $@
