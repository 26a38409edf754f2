# SPDX-License-Identifier: Apache-2.0
# The atomic accesses of C sources whose order is not relaxed, a line each: FILE FUNCTION HELPER, the helper without its
# "amxi_". With -v weak=NAME: the source itself, in which those of FUNCTION (-v function_=, "*": of each) by HELPER
# (-v helper=) are made by amxi_NAME instead.
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
    if (function_ == "*" || function_ == within)
        gsub("amxi_" helper "\\(", "amxi_" weak "(")
    print
    next
}
{
    rest = $0
    while (match(rest, /amxi_(ld|st|cas|add|sub|or|and)(8|32|64)_(acq|rel|ar|sc)\(/)) {
        print file, within, substr(rest, RSTART + 5, RLENGTH - 6)
        rest = substr(rest, RSTART + RLENGTH)
    }
}
