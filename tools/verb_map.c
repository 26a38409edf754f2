/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A picture of a segment. Its bytes run through cells of equal size, row by row; a cell shows what most of its bytes
 * are. Sizes of cells, sectors and rows are powers of two, so that sectors end where cells or rows end. The legend
 * counts blocks and bytes, not cells.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "out.h"
#include "tool.h"

enum what { FREE, CACHED, QUEUED, PUBLISHED, KEPT, DAMAGED, UNSEEN, OWNED, KINDS = OWNED + AMX_PEERS_MAX };
enum {
    SVG_COLS = 256,
    SVG_ROWS = 128,
    TERM_COLS = 64,
    TERM_ROWS = 32,
    CELL_W = 4, /* pixels */
    CELL_H = 6,
    LINE = 20, /* of the legend */
    MARGIN = 16,
    COLORS = 8
};

static const struct look {
    const char *name, *utf8, *ascii, *color, *ansi;
} looks[OWNED] = {
    {"free", "\u00b7", ".", "#eeeeee", "90"},        {"in caches", "\u2591", ":", "#c5ced6", "37"},
    {"in queues", "\u2592", "~", "#96a3ad", "36"},   {"published", "\u2593", "#", "#1f77b4", "34"},
    {"kept state", "\u2588", "@", "#7b4bb3", "35"},  {"damaged", "!", "!", "#d62728", "31"},
    {"not seen, in use", "?", "?", "#f2c94c", "33"},
};
static const char *const owner_color[COLORS] = {"#2ca02c", "#ff7f0e", "#17a3b8", "#8c564b",
                                                "#e377c2", "#a8a81e", "#e15759", "#4b5d16"};

struct sector {
    bool held, bad;
    uint64_t live;
};

struct picture {
    struct amx_segment_info info;
    struct sector *sector;
    uint64_t blocks[KINDS], bytes[KINDS];
    char owner[AMX_PEERS_MAX][48];
    /* the cell under way */
    uint64_t at; /* bytes of the data so far */
    uint64_t in_cell[KINDS];
    uint64_t cell_bytes, cells, cols;
    uint16_t *cell; /* enum what */
};

static enum what kind_of(const struct amx_block *b)
{
    switch (b->state) {
    case AMX_STATE_FREE:
        return FREE;
    case AMX_STATE_CACHED:
        return CACHED;
    case AMX_STATE_ACKED:
    case AMX_STATE_COALESCING:
        return QUEUED;
    default:
        break;
    }
    if (b->state >= AMX_STATE_KEPT)
        return KEPT;
    return b->owner && b->peer < AMX_PEERS_MAX ? OWNED + b->peer : PUBLISHED;
}

static uint16_t most(const struct picture *p)
{
    uint16_t best = FREE;

    for (uint16_t k = 1; k < KINDS; k++)
        if (p->in_cell[k] > p->in_cell[best])
            best = k;
    return best;
}

/* The next n bytes of the data are of this kind. */
static void run_on(struct picture *p, enum what kind, uint64_t n)
{
    p->bytes[kind] += n;
    while (n) {
        uint64_t room = p->cell_bytes - p->at % p->cell_bytes, part = n < room ? n : room;

        p->in_cell[kind] += part;
        p->at += part;
        n -= part;
        if (part == room || p->at == p->info.data_bytes) {
            p->cell[p->cells++] = most(p);
            memset(p->in_cell, 0, sizeof p->in_cell);
        }
    }
}

/* What no block covers, up to `end`: sectors that were not seen or are damaged, or units not yet collected. */
static void gap(struct picture *p, uint64_t end)
{
    while (p->at < end) {
        uint64_t size = p->info.sector_size, to = (p->at / size + 1) * size;
        const struct sector *s = &p->sector[p->at / size];

        run_on(p, s->bad ? DAMAGED : s->held ? UNSEEN : FREE, (to < end ? to : end) - p->at);
    }
}

static int add_block(const struct amx_block *b, void *ctx)
{
    struct picture *p = ctx;
    uint64_t begin = b->offset - p->info.data_offset, size = p->info.sector_size;
    uint64_t front = begin % size, whole = b->bytes + front;
    enum what kind = kind_of(b);

    if (begin < p->at || begin + b->bytes > p->info.data_bytes)
        return 0; /* changed while it was read: told by the block in front */
    /* in front of an aligned large block: part of it */
    bool part = front && begin - p->at <= front && whole >= size && p->sector[begin / size].live == whole;
    gap(p, part ? begin - front : begin);
    p->blocks[kind]++;
    run_on(p, kind, begin + b->bytes - p->at);
    return 0;
}

static int add_sector(const struct amx_group *g, void *ctx)
{
    struct picture *p = ctx;

    if (g->index < p->info.sectors)
        p->sector[g->index] = (struct sector){g->held, g->bad, g->live_bytes};
    return 0;
}

static int add_peer(const struct amx_peer *peer, void *ctx)
{
    struct picture *p = ctx;

    if (peer->index < AMX_PEERS_MAX) {
        snprintf(p->owner[peer->index], sizeof *p->owner, "%.15s (%u)%s", peer->name, peer->pid,
                 !peer->alive    ? ", dead"
                 : peer->stopped ? ", stopped"
                                 : "");
        out_tame(p->owner[peer->index]);
    }
    return 0;
}

static const char *name_of(const struct picture *p, unsigned kind)
{
    return kind < OWNED ? looks[kind].name : *p->owner[kind - OWNED] ? p->owner[kind - OWNED] : "a process that left";
}

static const char *color_of(unsigned kind)
{
    return kind < OWNED ? looks[kind].color : owner_color[(kind - OWNED) % COLORS];
}

/* 0, AMX_E_PARTIAL, AMX_E_CORRUPT: drawn; else not. */
static int draw(const amx_t *h, struct picture *p, uint64_t cols, uint64_t rows)
{
    int err;

    p->info.struct_size = sizeof p->info;
    err = amx_info(h, &p->info);
    if (err)
        return err;
    p->cols = cols;
    for (p->cell_bytes = 16; p->info.data_bytes > p->cell_bytes * cols * rows;)
        p->cell_bytes *= 2;
    p->cell = tool_realloc(NULL, cols * rows + 1, sizeof *p->cell);
    p->sector = tool_realloc(NULL, p->info.sectors, sizeof *p->sector);
    memset(p->sector, 0, p->info.sectors * sizeof *p->sector);
    err = amx_stat_by(h, AMX_BY_SECTOR, add_sector, p);
    if (!err || err == AMX_E_PARTIAL || err == AMX_E_CORRUPT)
        err = amx_peers(h, add_peer, p);
    if (err)
        return err;
    err = amx_walk(h, add_block, p);
    if (!err || err == AMX_E_PARTIAL || err == AMX_E_CORRUPT)
        gap(p, p->info.data_bytes);
    return err;
}

/* --- As SVG ----------------------------------------------------------------------------------------------------- */

static void escaped(FILE *f, const char *s)
{
    for (; *s; s++)
        if (*s == '&' || *s == '<' || *s == '>' || *s == '"')
            fprintf(f, "&#%d;", *s);
        else
            fputc(*s, f);
}

static bool in_legend(const struct picture *p, unsigned kind)
{
    return kind == FREE || p->bytes[kind] || p->blocks[kind];
}

static void svg_cells(FILE *f, const struct picture *p)
{
    uint64_t per_sector = p->info.sector_size / p->cell_bytes; /* 0: a cell is several sectors */

    for (uint64_t i = 0, n; i < p->cells; i += n) {
        for (n = 1; i + n < p->cells && (i + n) % p->cols && p->cell[i + n] == p->cell[i];)
            n++;
        fprintf(f, "<rect x=\"%" PRIu64 "\" y=\"%" PRIu64 "\" width=\"%" PRIu64 "\" height=\"%d\" fill=\"%s\"/>\n",
                MARGIN + i % p->cols * CELL_W, MARGIN + LINE + i / p->cols * CELL_H, n * CELL_W, CELL_H,
                color_of(p->cell[i]));
    }
    if (per_sector * CELL_W < 8)
        return;
    fputs("<path stroke=\"#ffffff\" stroke-width=\"1\" d=\"", f);
    for (uint64_t i = 0; i < p->cells; i += per_sector) {
        uint64_t x = MARGIN + i % p->cols * CELL_W, y = MARGIN + LINE + i / p->cols * CELL_H;

        fprintf(f, "M%" PRIu64 " %" PRIu64 "v%d", x, y, CELL_H);
        if (per_sector >= p->cols) /* rows of one sector: a line above it */
            fprintf(f, "M%" PRIu64 " %" PRIu64 "h%" PRIu64, x, y, p->cols * CELL_W);
    }
    fputs("\"/>\n", f);
}

static int svg(const struct picture *p, const char *name, const char *path)
{
    uint64_t rows = (p->cells + p->cols - 1) / p->cols, y = MARGIN + LINE + rows * CELL_H + LINE;
    unsigned lines = 0;
    char human[OUT_HUMAN];
    FILE *f = fopen(path, "we");

    if (!f)
        return -1;
    for (unsigned k = 0; k < KINDS; k++)
        lines += in_legend(p, k);
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%" PRIu64
            "\" font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%%\" height=\"100%%\" "
            "fill=\"#ffffff\"/>\n<text x=\"%d\" y=\"%d\">",
            2 * MARGIN + SVG_COLS * CELL_W, y + (uint64_t)lines * LINE + MARGIN, MARGIN, MARGIN + 4);
    escaped(f, name);
    fprintf(f, ": %s in %u sectors", out_human(human, p->info.data_bytes), p->info.sectors);
    fprintf(f, " of %s, a cell is %" PRIu64 " bytes</text>\n", out_human(human, p->info.sector_size), p->cell_bytes);
    svg_cells(f, p);
    for (unsigned k = 0; k < KINDS; k++) {
        if (!in_legend(p, k))
            continue;
        fprintf(f,
                "<g data-blocks=\"%" PRIu64 "\" data-bytes=\"%" PRIu64 "\"><rect x=\"%d\" y=\"%" PRIu64
                "\" width=\"14\" height=\"14\" fill=\"%s\" stroke=\"#888888\"/><text x=\"%d\" y=\"%" PRIu64 "\">",
                p->blocks[k], p->bytes[k], MARGIN, y, color_of(k), MARGIN + 22, y + 12);
        escaped(f, name_of(p, k));
        fprintf(f, ": %" PRIu64 " blocks, %s (%" PRIu64 " bytes, %u %%)</text></g>\n", p->blocks[k],
                out_human(human, p->bytes[k]), p->bytes[k], out_percent(p->bytes[k], p->info.data_bytes));
        y += LINE;
    }
    fputs("</svg>\n", f);
    return ferror(f) | fclose(f) ? -1 : 0;
}

/* --- On a terminal, and as JSON ------------------------------------------------------------------------------------ */

static void mark_of(char buf[8], unsigned kind)
{
    if (kind < OWNED)
        snprintf(buf, 8, "%s", out_utf8() ? looks[kind].utf8 : looks[kind].ascii);
    else
        snprintf(buf, 8, "%c", (char)('a' + (kind - OWNED) % 26));
}

static void terminal(const struct picture *p)
{
    static const struct out_col columns[] = {
        {"", false}, {"WHAT", false}, {"BLOCKS", true}, {"BYTES", true}, {"SHARE", true}};
    struct out_table t;
    bool color = out_color(stdout);
    char mark[8];

    for (uint64_t i = 0; i < p->cells; i++) {
        unsigned k = p->cell[i];

        mark_of(mark, k);
        if (color)
            printf("\033[%sm%s\033[0m", k < OWNED ? looks[k].ansi : "32", mark);
        else
            fputs(mark, stdout);
        if ((i + 1) % p->cols == 0 || i + 1 == p->cells)
            putchar('\n');
    }
    printf("\na cell is %" PRIu64 " bytes, a row %" PRIu64 "\n\n", p->cell_bytes, p->cell_bytes * p->cols);
    out_table_begin(&t, columns, sizeof columns / sizeof *columns, true);
    for (unsigned k = 0; k < KINDS; k++) {
        if (!in_legend(p, k))
            continue;
        mark_of(mark, k);
        out_table_cell(&t, "%s", mark);
        out_table_cell(&t, "%s", name_of(p, k));
        out_table_cell(&t, "%" PRIu64, p->blocks[k]);
        out_table_cell(&t, "%" PRIu64, p->bytes[k]);
        out_table_cell(&t, "%u %%", out_percent(p->bytes[k], p->info.data_bytes));
    }
    out_table_end(&t);
}

static void json(const struct picture *p, const char *name)
{
    static const char *const key[OWNED] = {"free", "cached", "queued", "published", "kept", "damaged", "unseen"};
    struct out_json j;

    out_json_begin(&j, "amx.map/1");
    out_json_text(&j, "name", name);
    out_json_number(&j, "cell_bytes", p->cell_bytes);
    out_json_number(&j, "data_bytes", p->info.data_bytes);
    out_json_open(&j, "legend", '[');
    for (unsigned k = 0; k < KINDS; k++) {
        if (!in_legend(p, k))
            continue;
        out_json_open(&j, NULL, '{');
        out_json_text(&j, "what", k < OWNED ? key[k] : "owned");
        if (k >= OWNED) {
            out_json_number(&j, "peer", k - OWNED);
            out_json_text(&j, "owner", name_of(p, k));
        }
        out_json_number(&j, "blocks", p->blocks[k]);
        out_json_number(&j, "bytes", p->bytes[k]);
        out_json_close(&j);
    }
    out_json_close(&j);
    out_json_end(&j);
}

/* --- The verb --------------------------------------------------------------------------------------------------- */

static int show(const amx_t *h, const char *name, bool as_json, const char *path)
{
    struct picture *p = tool_realloc(NULL, 1, sizeof *p);
    int err, code = TOOL_OK;

    memset(p, 0, sizeof *p);
    err = draw(h, p, path ? SVG_COLS : TERM_COLS, path ? SVG_ROWS : TERM_ROWS);
    if (!err || err == AMX_E_PARTIAL || err == AMX_E_CORRUPT) {
        if (path && svg(p, name, path))
            code = tool_fail(TOOL_FAILED, "map", "%s: cannot write the picture", path);
        else if (as_json)
            json(p, name);
        else if (!path)
            terminal(p);
    }
    if (err && err != AMX_E_PARTIAL)
        code = tool_fail_amx("map", name, err, NULL);
    free(p->sector);
    free(p->cell);
    free(p);
    return code;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"dir", required_argument, NULL, 'd'},
                                            {0}};
    const char *dir = NULL, *path = NULL;
    bool as_json = false;
    int letter, code;
    amx_t *h;

    while ((letter = getopt_long(argc, argv, "o:d:", options, NULL)) != -1) {
        if (letter == '?')
            return tool_usage("map", NULL);
        as_json |= letter == 'j';
        if (letter == 'o')
            path = optarg;
        if (letter == 'd')
            dir = optarg;
    }
    if (argc - optind != 1)
        return tool_usage("map", "one NAME is needed, there are %d", argc - optind);
    code = tool_look("map", argv[optind], dir, &h);
    if (code)
        return code;
    code = show(h, argv[optind], as_json, path);
    amx_close(h);
    return code;
}

const struct verb verb_map = {
    "map", "NAME [options]", "a picture of a segment, by state and owner",
    "  -o, --output FILE  as SVG, into FILE; else drawn on the terminal\n"
    "  -d, --dir DIR      directory instead of $AMX_DIR or /dev/shm\n"
    "      --json         the numbers of the legend as JSON, schema amx.map/1\n\n"
    "A cell shows what most of its bytes are; the legend counts blocks and bytes, with headers. Blocks in a\n"
    "kept state (2048 and above) and published ones are shown as such, others by the process that owns them.\n"
    "Exit 4 if part of the segment is damaged.\n",
    run};
