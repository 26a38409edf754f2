# SPDX-License-Identifier: Apache-2.0
# Included by the Makefile: the forms in which amx reaches those who use it.
#
#   make amalgamation     the library in two files, $(O)/amalgamation/amx.h and amx.c
#   make man              manual pages, in $(O)/man
#   make deb              Debian packages libamx1, libamx-dev and amx-tools, in $(O)/deb

.PHONY: amalgamation man deb
amalgamation:
	$(Q)packaging/amalgamate.sh $(O)/amalgamation

man: $(O)/man/made
$(O)/man/made: packaging/man.sh packaging/man.awk $(HEADERS) $(O)/amx
	$(call say,MAN)
	$(Q)packaging/man.sh $(@D) $(O)/amx $(VERSION)
	$(Q)touch $@

deb:
	$(call say,DEB)
	$(Q)packaging/deb.sh $(O)/deb $(VERSION)

MORE_TESTS += tests/examples.sh tests/amalgamation.sh tests/man.sh tests/completion.sh tests/gdb.sh tests/deb.sh
