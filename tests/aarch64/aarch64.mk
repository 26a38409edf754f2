# SPDX-License-Identifier: Apache-2.0
# Included by the Makefile.
#
#   make aarch64     the tests built for AArch64, run by qemu-user: with the atomic instructions of later processors, and
#                    without them. Says nothing about memory order: this machine keeps its own.
AARCH64 := aarch64-linux-gnu
CMOCKA_ARM64 = $(abspath $(BUILD))/$(AARCH64)-lib
MORE_TESTS += tests/aarch64/short.sh

.PHONY: aarch64
aarch64:
	@tests/need.sh test
	@tests/aarch64/cmocka.sh $(CMOCKA_ARM64)
	$(SUB) tool tests CC=$(AARCH64)-gcc SAN= HOOK= LDFLAGS="-L$(CMOCKA_ARM64) -Wl,-rpath,$(CMOCKA_ARM64)"
	@tests/aarch64/run.sh $(BUILD)
