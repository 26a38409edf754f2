# SPDX-License-Identifier: Apache-2.0
# find_package(amx) gives amx::amx (shared) and amx::static.
include("${CMAKE_CURRENT_LIST_DIR}/amxTargets.cmake")
