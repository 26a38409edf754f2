# SPDX-License-Identifier: Apache-2.0
# Manual pages from the comments of the public headers and from `amx help`. Run by man.sh, which passes
#   out      directory that man1, man3 and man7 are in
#   date, version
#   mode     "headers": the files are include/*.h, amx.h first; "verb", "tool": the file is what `amx help` prints
#   verb     whose help it is
#   verbs    all of them
# Plain awk: mawk has no gensub, no length of arrays.

# --- roff ------------------------------------------------------------------------------------------------------------

function esc(s)
{
    gsub(/\\/, "\\e", s)
    gsub(/-/, "\\-", s)
    gsub(/'/, "\\(aq", s)
    gsub(/\^/, "\\(ha", s)
    gsub(/~/, "\\(ti", s)
    return s
}

# Escaped, with `code` and amx_calls() in bold.
function rich(s,    r)
{
    s = esc(s)
    r = ""
    while (match(s, /`[^`]*`|amx_[a-z_]+\(\)/)) {
        r = r substr(s, 1, RSTART - 1) "\\fB"
        r = r (substr(s, RSTART, 1) == "`" ? substr(s, RSTART + 1, RLENGTH - 2) : substr(s, RSTART, RLENGTH)) "\\fP"
        s = substr(s, RSTART + RLENGTH)
    }
    return r s
}

# A heading begins a paragraph already.
function put(line)
{
    if (last ~ /^\.S[HS]/)
        sub(/^\.PP\n?/, "", line)
    last = line
    if (line != "")
        print line >file
}

# Text to be filled: words on lines of their own choice; none begins with a control character.
function fill(text,    n, word, i, line)
{
    n = split(text, word, / +/)
    line = ""
    for (i = 1; i <= n; i++) {
        if (line != "" && length(line) + length(word[i]) > 76) {
            put(line)
            line = ""
        }
        line = line == "" ? (word[i] ~ /^[.]/ ? "\\&" : "") word[i] : line " " word[i]
    }
    if (line != "")
        put(line)
}

# A paragraph: what begins with one of the headers' labels stands out.
function paragraph(text, begin,    first, at, end, label, next_label)
{
    sub(/^ +/, "", text)
    first = 1
    while (begin == ".PP" && match(text, /(^|[.;)] +)(Errors also|Errors|Killed inside|Time|Memory|Sources|Source|Process|Progress|Bound|Release): /)) {
        at = RSTART
        end = RSTART + RLENGTH
        if (substr(text, at, 1) ~ /[.;)]/)
            at++
        next_label = substr(text, at, end - at)
        gsub(/^ +|: *$/, "", next_label)
        if (at > 1) {
            put(first ? begin : ".TP\n.B " label)
            fill(rich(substr(text, 1, at - 1)))
        }
        first = 0
        label = next_label
        text = substr(text, end)
    }
    put(first ? begin : ".TP\n.B " label)
    fill(rich(text))
}

# The text of a comment: paragraphs, "- " lists, tables of "|", headings underlined with "---".
function prose(text, begin,    n, line, i, k, para, item, indent, as_is)
{
    n = split(text, line, "\n")
    para = ""
    item = as_is = 0
    for (i = 1; i <= n + 1; i++) {
        match(line[i], /^ */)
        indent = RLENGTH
        if (as_is && line[i] !~ /^ *\|/) {
            put(".EE")
            begin = ".PP"
            as_is = 0
        }
        if (i > n || line[i] == "" || line[i] ~ /^ *(- |\|)/ || line[i + 1] ~ /^---/ || (item && indent < item)) {
            if (para != "") {
                paragraph(para, begin)
                begin = ".PP"
            }
            para = ""
            item = 0
        }
        if (i > n)
            break
        if (line[i + 1] ~ /^---/) {
            k = index(line[i] " (", " (")
            put(".SH " toupper(substr(line[i], 1, k - 1)))
            if (k < length(line[i]))
                fill(rich(toupper(substr(line[i], k + 2, 1)) substr(line[i], k + 3, length(line[i]) - k - 3) "."))
            i++
            begin = ".PP"
        } else if (line[i] ~ /^ *\|/) {
            if (!as_is++)
                put(".PP\n.EX")
            sub(/^ */, "", line[i])
            if (line[i] !~ /^\|--/)
                put(esc(line[i]))
        } else {
            if (line[i] ~ /^ *- /) {
                begin = ".IP \\(bu 2"
                item = indent + 1
                sub(/^ *- /, "", line[i])
            }
            sub(/^ */, "", line[i])
            para = para == "" ? line[i] : para " " line[i]
        }
    }
}

function title(page, section)
{
    file = out "/man" section "/" page "." section
    put(".TH " toupper(esc(page)) " " section " " date " \"amx " version "\" \"amx\"")
    put(".SH NAME")
}

function see_also(list)
{
    put(".SH SEE ALSO")
    fill(list)
    close(file)
}

# --- headers ---------------------------------------------------------------------------------------------------------

# Call groups that do not have a header of their own: a page, what it is about, what of the headers belongs to it.
function init()
{
    group("amx_errors", "answers of the calls, version, basic types", "")
    group("amx_states", "states of a block: look at them, set them, move from one to the next",
          "amx_get_state amx_set_state amx_transition amx_state amx_order")
    group("amx_ownership", "who owns a block: publish, adopt, give", "amx_publish amx_adopt amx_give amx_owner amx_id")
    group("amx_recovery", "take back what dead processes held", "amx_recover amx_kept amx_kept_how amx_recovery")
}

function group(page, about, names,    n, name)
{
    title_of[page] = about
    n = split(names, name, " ")
    while (n)
        page_of[name[n--]] = page
}

# The text inside of a comment.
function inside(comment)
{
    sub(/^\/\*+<? */, "", comment)
    sub(/ *\*\/$/, "", comment)
    gsub(/\n \* ?/, "\n", comment)
    gsub(/\n +\n/, "\n\n", comment)
    gsub(/^\n+|[ \n]+$/, "", comment)
    return comment
}

function entry(text, at)
{
    gsub(/^ +| +$/, "", text)
    gsub(/ +/, " ", text)
    if (text == "")
        return
    e_text[++entries] = text
    e_depth[entries] = at
    e_note[entries] = ""
}

function note(text)
{
    gsub(/\n */, " ", text)
    if (text !~ /^clang-format/)
        e_note[entries] = text
}

# Takes code apart: e_text[1..entries], each a declaration, a field, a name of an enum, a macro; with the comment behind it.
function take_apart(code,    c, cur, depth, k, is_enum, late)
{
    entries = depth = 0
    cur = ""
    while (code != "") {
        c = substr(code, 1, 1)
        if (substr(code, 1, 2) == "/*") {
            k = index(code, "*/")
            if (cur ~ /[^ ]/)
                late = inside(substr(code, 1, k + 1))
            else
                note(inside(substr(code, 1, k + 1)))
            code = substr(code, k + 2)
            continue
        }
        if (c == "#" && cur !~ /[^ ]/) {
            k = index(code, "\n")
            cur = substr(code, 1, k - 1)
            code = substr(code, k)
            if (match(cur, /\/\*/)) {
                code = substr(cur, RSTART) code
                cur = substr(cur, 1, RSTART - 1)
            }
            if (cur ~ /^#define/ && cur !~ /^#define (AMX_API|[A-Z_]*_\()/)
                entry(cur, depth)
            cur = ""
            continue
        }
        code = substr(code, 2)
        if (c == "}") {
            entry(cur, depth)
            if (late != "")
                note(late)
            late = ""
            cur = ""
            depth--
        }
        cur = cur (c == "\n" ? " " : c)
        if (c == "{")
            is_enum = cur ~ /^ *enum/
        if (c == "{" || c == ";" || (c == "," && depth && is_enum)) {
            entry(cur, depth)
            if (late != "")
                note(late)
            late = ""
            cur = ""
        }
        depth += c == "{"
    }
}

# The name that an entry declares, if it stands at the top.
function name_of(text)
{
    if (match(text, /^#define [A-Z_0-9a-z]+/))
        return substr(text, 9, RLENGTH - 8)
    if (match(text, /amx_[a-z0-9_]+\(/))
        return substr(text, RSTART, RLENGTH - 1)
    if (match(text, /(struct|enum) [a-z_]+ \{/))
        return substr(text, index(text, " ") + 1, RLENGTH - index(text, " ") - 2)
    if (match(text, /[a-z_0-9]+;$/))
        return substr(text, RSTART, RLENGTH - 1)
    return ""
}

# A declaration, broken behind commas where it is long.
function declare(text,    line, k)
{
    line = ""
    while (length(text) > 74 && match(substr(text, 1, 74), /.*, /)) {
        put("\\fB" line esc(substr(text, 1, RLENGTH - 1)) "\\fP")
        text = substr(text, RLENGTH + 1)
        line = "        "
    }
    put("\\fB" line esc(text) "\\fP")
}

# Types and macros as code, their comments behind them or below.
function listing(    i, any, left, n, word, k, line, indent)
{
    any = 0
    for (i = 1; i <= entries; i++) {
        if (e_text[i] ~ /^AMX_API/)
            continue
        if (!any++)
            put(".PP\n.EX")
        left = sprintf("%" 4 * e_depth[i] "s%s", "", e_text[i])
        if (e_note[i] == "") {
            put(esc(left))
            continue
        }
        if (length(left) > 34) {
            put(esc(left))
            left = ""
        }
        n = split("/* " e_note[i] " */", word, / +/)
        line = ""
        for (k = 1; k <= n; k++) {
            if (line != "" && length(line) + length(word[k]) > 40) {
                put(esc(sprintf("%-35s%s", left, line)))
                left = ""
                line = "  "
            }
            line = line (line ~ /[^ ]/ ? " " : "") word[k]
        }
        put(esc(sprintf("%-35s%s", left, line)))
    }
    if (any)
        put(".EE")
}

# What stands together in a header, with no blank line between. Remembered until the page is written.
function chunk(comment, code,    i, name, page, to)
{
    take_apart(code)
    if (!entries && (comment == "" || comment ~ /^\/\* ---/))
        return
    page = ""
    for (i = 1; i <= entries; i++) {
        name = name_of(e_text[i])
        if (page == "" && !e_depth[i] && name in page_of)
            page = page_of[name]
    }
    if (page == "")
        page = own_page
    if (!(page in page_chunks))
        order[++all] = page
    to = ++page_chunks[page]
    chunk_comment[page, to] = inside(comment)
    chunk_code[page, to] = code
    if (!(page in header_of))
        header_of[page] = header in included ? "amx.h" : header
}

function heading(    i, name, s)
{
    s = ""
    for (i = 1; i <= entries; i++) {
        name = name_of(e_text[i])
        if (e_depth[i] || name == "" || e_text[i] ~ /^(typedef int|[}])/)
            continue
        if (e_text[i] ~ /^(struct|enum)/)
            name = substr(e_text[i], 1, index(e_text[i], " ")) name
        else if (e_text[i] ~ /^AMX_API/)
            name = name "()"
        if (length(s) + length(name) > 60) {
            s = s ", ..."
            break
        }
        s = s (s == "" ? "" : ", ") name
    }
    return s == "" && e_text[1] ~ /^enum [{]/ ? substr(e_text[2], 1, index(e_text[2] " ", " ") - 1) ", ..." : s
}

function write_page(page,    i, k, name, names, n, s, others)
{
    n = 0
    for (i = 1; i <= page_chunks[page]; i++) {
        take_apart(chunk_code[page, i])
        for (k = 1; k <= entries; k++)
            if (e_text[k] ~ /^AMX_API/)
                names[++n] = name_of(e_text[k])
    }
    title(page, 3)
    s = page
    for (i = 1; i <= n; i++)
        if (names[i] != page)
            s = s ", " names[i]
    fill(s " \\- " esc(title_of[page]))
    put(".SH SYNOPSIS\n.nf")
    put("\\fB#include <" header_of[page] ">\\fP")
    for (i = 1; i <= page_chunks[page]; i++) {
        take_apart(chunk_code[page, i])
        for (k = 1; k <= entries; k++)
            if (e_text[k] ~ /^AMX_API/) {
                if (!(i in told))
                    put(".sp")
                told[i] = 1
                declare(substr(e_text[k], 9))
            }
    }
    for (i in told)
        delete told[i]
    put(".fi\n.PP\nLink with \\fB\\-lamx\\fP.")
    put(".SH DESCRIPTION")
    for (i = 1; i <= page_chunks[page]; i++) {
        take_apart(chunk_code[page, i])
        s = heading()
        if (s != "")
            put(".SS \"" esc(s) "\"")
        if (chunk_comment[page, i] != "")
            prose(chunk_comment[page, i], ".PP")
        for (k = 1; k <= entries; k++)
            if (e_text[k] ~ /^AMX_API/ && e_note[k] != "") {
                put(".TP\n.B " name_of(e_text[k]) "()")
                fill(rich(e_note[k]))
            }
        listing()
    }
    put(".SH RETURN VALUE")
    fill("What returns \\fBint\\fP returns \\fBAMX_OK\\fP (0) or a negative code of \\fBenum amx_err\\fP, see amx_errors(3), " \
         "unless its description says otherwise. Rules that hold for every call are in amx(7).")
    others = "amx(1), amx(7)"
    for (i = 1; i <= all; i++)
        if (order[i] != page)
            others = others ", " order[i] "(3)"
    see_also(others)
    for (i = 1; i <= n; i++)
        if (names[i] != page) {
            file = out "/man3/" names[i] ".3"
            put(".so man3/" page ".3")
            close(file)
        }
}

function first_sentence(text)
{
    gsub(/\n/, " ", text)
    if (match(text, /\. /))
        text = substr(text, 1, RSTART - 1)
    sub(/\.$/, "", text)
    return tolower(substr(text, 1, 1)) substr(text, 2)
}

mode == "headers" && FNR == 1 {
    if (NR == 1)
        init()
    else
        chunk(comment, code)
    comment = code = ""
    in_comment = 0
    header = FILENAME
    sub(/.*\//, "", header)
    own_page = header == "amx.h" ? "amx_errors" : substr(header, 1, length(header) - 2)
    introduced = 0
    next # the licence
}
mode == "headers" {
    if (header == "amx.h" && /^#include "/)
        included[substr($2, 2, length($2) - 2)] = 1
    if (!in_comment && code != "" && /^\/\*/) {
        chunk(comment, code)
        comment = code = ""
    }
    if (in_comment || /^\/\*/) {
        if (!in_comment && comment != "") # two comments: the first is not about what follows
            chunk(comment, "")
        comment = in_comment ? comment "\n" $0 : $0
        in_comment = !/\*\/$/
        if (!in_comment && !introduced++) { # the comment about the whole header
            if (header == "amx.h") {
                overview = inside(comment)
                comment = ""
            } else {
                if (!(own_page in title_of))
                    title_of[own_page] = first_sentence(inside(comment))
                if (comment !~ /\n/) # what there is besides the title and where to find it
                    sub(/[^.]*[.] (Included by amx\.h\.)?/, "", comment)
                if (comment ~ /[a-z]/)
                    chunk(comment, "")
                comment = ""
            }
        }
    } else if (/^$/) {
        chunk(comment, code)
        comment = code = ""
    } else if (!/^(#(if|else|elif|endif|include|define AMX(_[A-Z]+)?_H$)|extern "C"|[}]$)/) {
        code = code $0 "\n"
    }
    next
}

function write_overview(    i, k, part, v, n)
{
    title("amx", 7)
    match(overview, /[^\n]*/)
    k = substr(overview, 1, RLENGTH)
    sub(/^amx - /, "", k)
    sub(/\.$/, "", k)
    fill("amx \\- " esc(k))
    put(".SH DESCRIPTION")
    fill("The library \\fBlibamx\\fP (\\fB#include <amx.h>\\fP, link with \\fB\\-lamx\\fP) lets several processes allocate, " \
         "share, change and free blocks in one segment of shared memory, without waiting for each other. " \
         "The tool amx(1) makes segments and looks at them.")
    prose(substr(overview, RLENGTH + 1), ".PP")
    put(".SH PAGES")
    for (i = 1; i <= all; i++) {
        put(".TP\n.BR " order[i] " (3)")
        fill(esc(title_of[order[i]]))
    }
    put(".SH FILES\n.TP\n.I /dev/shm/amx.NAME")
    fill("the segment NAME, unless a program or \\fBAMX_DIR\\fP names another directory")
    put(".SH ENVIRONMENT\n.TP\n.B AMX_DIR")
    fill("directory of named segments, instead of /dev/shm")
    n = split(verbs, v, " ")
    k = "amx(1)"
    for (i = 1; i <= n; i++)
        k = k ", amx\\-" v[i] "(1)"
    see_also(k)
}

# --- amx help ----------------------------------------------------------------------------------------------------------

function environment()
{
    put(".SH ENVIRONMENT\n.TP\n.B AMX_DIR")
    fill("directory of named segments, instead of /dev/shm")
}

function synopsis(usage,    n, word, i, s)
{
    put(".SH SYNOPSIS")
    n = split(usage, word, " ")
    s = ".B amx"
    for (i = 2; i <= n; i++)
        s = s (i == 2 && mode == "verb" ? " " : (i == 2 ? "\n.I " : (i == 3 && mode == "verb" ? "\n.I " : " "))) esc(word[i])
    put(s)
}

# "  -s, --size N   text" begins an option or a list entry; what is indented deeper goes on.
function close_para()
{
    if (para == "")
        return
    if (tag != "") {
        put(".TP\n.B " esc(tag))
        fill(rich(para))
    } else {
        paragraph(para, ".PP")
    }
    para = tag = ""
}

mode == "verb" || mode == "tool" {
    line[NR] = $0
    next
}

function write_verb(    i, page, k, s, deep, n, v)
{
    page = mode == "verb" ? "amx-" verb : "amx"
    title(page, 1)
    s = line[2]
    if (mode == "tool") {
        s = "segments of shared memory: make them, look at them, remove them"
    }
    put(esc(page) " \\- " esc(s))
    sub(/^usage: /, "", line[1])
    synopsis(line[1])
    put(".SH DESCRIPTION")
    if (mode == "tool")
        para = line[2]
    else
        para = toupper(substr(line[2], 1, 1)) substr(line[2], 2) "."
    close_para()
    for (i = 3; i <= NR; i++) {
        if (line[i] ~ /^$/) {
            close_para()
        } else if (match(line[i], /^ +(-[^ ]*,? ?)*(--[^ ]*)?( [A-Z]+)? +/) && line[i] ~ /^ +-/) {
            deep = RLENGTH
            close_para()
            if (!in_options++)
                put(".SH OPTIONS")
            tag = substr(line[i], 1, deep)
            gsub(/^ +| +$/, "", tag)
            para = substr(line[i], deep + 1)
        } else if (mode == "tool" && match(line[i], /^  [a-z]+ +/)) {
            deep = RLENGTH
            close_para()
            if (!in_verbs++)
                put(".SH VERBS")
            tag = substr(line[i], 3, deep - 2)
            sub(/ +$/, "", tag)
            para = substr(line[i], deep + 1)
            if (tag != "help")
                para = para "; see amx-" tag "(1)"
        } else if (line[i] ~ /^Exit: /) {
            close_para()
            put(".SH EXIT STATUS")
            para = substr(line[i], 7)
        } else {
            s = line[i]
            if (s !~ /^ / && (tag != "" || in_options == 1 || in_verbs == 1)) {
                close_para()
                if (in_options || in_verbs) {
                    put(".SH NOTES")
                    in_options = in_verbs = 2
                }
            }
            sub(/^ +/, "", s)
            para = para (para == "" ? "" : " ") s
        }
    }
    close_para()
    if (mode == "verb") {
        put(".SH EXIT STATUS")
        fill(esc(exits))
    }
    environment()
    k = mode == "verb" ? "amx(1), amx(7)" : "amx(7)"
    if (mode == "tool") {
        n = split(verbs, v, " ")
        for (i = 1; i <= n; i++)
            k = k ", amx\\-" v[i] "(1)"
    }
    see_also(k)
}

END {
    if (mode == "headers") {
        chunk(comment, code)
        for (p = 1; p <= all; p++)
            write_page(order[p])
        write_overview()
    } else {
        write_verb()
    }
}
