# SPDX-License-Identifier: Apache-2.0
MORE_TESTS += tests/bare/bare.sh
