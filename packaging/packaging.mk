# SPDX-License-Identifier: Apache-2.0
# Included by the Makefile: the forms in which amx reaches those who use it.
#
#   make amalgamation     the library in two files, $(O)/amalgamation/amx.h and amx.c

.PHONY: amalgamation
amalgamation:
	$(Q)packaging/amalgamate.sh $(O)/amalgamation

MORE_TESTS += tests/examples.sh tests/amalgamation.sh
