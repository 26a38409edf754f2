/* SPDX-License-Identifier: Apache-2.0 */
/* The times as an SVG picture: a panel for each configuration, a bar for each system, all on one logarithmic scale. */
#include <math.h>

#include "bench.h"

enum { COLUMNS = 3, PANEL = 400, LABELS = 95, BAR = 15, HEAD = 40, TOP = 70, GAP = 26 };
#define AXIS  (PANEL - LABELS - 70.0) /* pixels from LEAST to MOST; the rest is for numbers */

#define LEAST 1.0 /* ns */
#define MOST  1e6

static double place(double ns)
{
    double v = ns < LEAST ? LEAST : ns > MOST ? MOST : ns;

    return log10(v / LEAST) / log10(MOST / LEAST) * AXIS;
}

static void bar(FILE *f, const struct bench *b, int sys, int cfg, double x, double y)
{
    const struct cell *cell = &b->cell[sys][cfg];
    struct spread ns = spread_of(cell->ns, cell->reps);
    bool failed = *cell->failed[TIMED] || *cell->failed[VERIFIED];
    double left = x + LABELS;

    fprintf(f, "<text x='%.1f' y='%.1f' text-anchor='end' class='%s'>%s</text>\n", left - 5, y + BAR - 4.5,
            sys == AMX || sys == POOL ? "us" : "peer", systems[sys].name);
    if (failed || !cell->reps) {
        fprintf(f, "<text x='%.1f' y='%.1f' class='bad'>FAILED</text>\n", left + 4, y + BAR - 4.5);
        return;
    }
    fprintf(f, "<rect x='%.1f' y='%.1f' width='%.1f' height='%d' fill='%s'/>\n", left, y + 1, place(ns.median), BAR - 3,
            sys == AMX || sys == POOL ? "#0b6e4f"
            : systems[sys].shared     ? "#c1666b"
                                      : "#8d99ae");
    fprintf(f, "<path d='M%.1f %.1fH%.1f' stroke='#222' stroke-width='1.5'/>\n", left + place(ns.min), y + BAR / 2.0,
            left + place(ns.max));
    fprintf(f, "<text x='%.1f' y='%.1f'>%.*f</text>\n", left + place(ns.max) + 4, y + BAR - 4.5,
            ns.median < 100 ? 1 : 0, ns.median);
}

static int bars_of(const struct bench *b, int cfg)
{
    int n = 0;

    for (int s = 0; s < LOOP; s++)
        n += takes_part(b, s, cfg);
    return n;
}

static void panel(FILE *f, const struct bench *b, int cfg, double x, double y)
{
    char text[64];
    int n = 0;

    fprintf(f, "<text x='%.1f' y='%.1f' class='title'>%s</text>\n", x, y + 14, config_text(cfg, text));
    for (double ns = LEAST; ns <= MOST; ns *= 10)
        fprintf(f, "<path d='M%.1f %.1fv%d' stroke='#ddd'/>\n", x + LABELS + place(ns), y + HEAD - 10,
                bars_of(b, cfg) * BAR + 10);
    for (double ns = LEAST; ns <= MOST; ns *= 1000)
        fprintf(f, "<text x='%.1f' y='%.1f' class='axis'>%s</text>\n", x + LABELS + place(ns), y + HEAD - 13,
                ns < 1e3   ? "1 ns"
                : ns < 1e6 ? "1 us"
                           : "1 ms");
    for (int s = 0; s < LOOP; s++)
        if (takes_part(b, s, cfg))
            bar(f, b, s, cfg, x, y + HEAD + BAR * n++);
}

int plot_svg(const struct bench *b, const char *path)
{
    double y = TOP, row = 0;
    int column = 0, panels = 0;
    FILE *f = fopen(path, "w");

    if (!f) {
        perror(path);
        return -1;
    }
    for (int c = 0, n = 0; c < CONFIGS; c++) { /* the height of the page, as below */
        if (!bars_of(b, c))
            continue;
        row = HEAD + BAR * bars_of(b, c) > row ? HEAD + BAR * bars_of(b, c) : row;
        if (++n % COLUMNS == 0) {
            y += row + GAP;
            row = 0;
        }
        panels = n;
    }
    y += panels % COLUMNS ? row + GAP : 0;
    fprintf(
        f,
        "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%.0f' font-family='sans-serif' font-size='11'>\n"
        "<style>.title{font-size:13px;font-weight:bold}.us{font-weight:bold}.axis{fill:#888;text-anchor:middle;"
        "font-size:9px}.bad{fill:#b00}</style>\n<rect width='100%%' height='100%%' fill='#fff'/>\n"
        "<text x='20' y='28' font-size='18'>Time per operation, wall, median and range of %u repetitions</text>\n"
        "<text x='20' y='46'>ns on a logarithmic scale; green: amx; red: other allocators in shared memory; grey: "
        "heaps of one process</text>\n",
        COLUMNS * PANEL + 20, y, b->reps);
    y = TOP;
    row = 0;
    for (int c = 0; c < CONFIGS; c++) {
        if (!bars_of(b, c))
            continue;
        panel(f, b, c, 20 + PANEL * column, y);
        row = HEAD + BAR * bars_of(b, c) > row ? HEAD + BAR * bars_of(b, c) : row;
        if (++column == COLUMNS) {
            y += row + GAP;
            row = column = 0;
        }
    }
    fputs("</svg>\n", f);
    return fclose(f);
}
