# SPDX-License-Identifier: Apache-2.0
# The atomic accesses of C sources whose order is not relaxed, a line each: FILE FUNCTION HELPER, the helper without its
# "amxi_". With -v weak=NAME: the source itself, in which those of FUNCTION (-v function_=, "*": of each) by HELPER
# (-v helper=), or the one of them that is number -v nth=, are made by amxi_NAME instead.
FNR == 1 {
    within = "-"
    file = FILENAME
    sub(/.*\//, "", file)
}
/^[A-Za-z_].*\(/ {
    within = $0
    sub(/\(.*/, "", within)
    sub(/.*[ *]/, "", within)
}
weak != "" {
    left = $0
    done = ""
    while ((function_ == "*" || function_ == within) && match(left, "amxi_" helper "\\(")) {
        count++
        done = done substr(left, 1, RSTART - 1) "amxi_" (nth == "" || count == nth ? weak : helper) "("
        left = substr(left, RSTART + RLENGTH)
    }
    print done left
    next
}
{
    rest = $0
    while (match(rest, /amxi_(ld|st|cas|add|sub|or|and)(8|32|64)_(acq|rel|ar|sc|again)\(/)) {
        print file, within, substr(rest, RSTART + 5, RLENGTH - 6)
        rest = substr(rest, RSTART + RLENGTH)
    }
}
