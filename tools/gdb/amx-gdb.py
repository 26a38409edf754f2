# SPDX-License-Identifier: Apache-2.0
"""gdb commands that look at amx segments in a process or in a core file, where no code of the library can run.

    (gdb) source amx-gdb.py
    (gdb) amx-segments          the segments that are mapped
    (gdb) amx-stat [ADDRESS]    how full one is, as `amx stat` tells it
    (gdb) amx-blocks [ADDRESS]  its blocks, as `amx blocks` lists them

ADDRESS is where a segment is mapped; it may be left out if there is one only. For `amx check --image FILE`:
    (gdb) dump binary memory FILE ADDRESS ADDRESS+SIZE

The kernel leaves segments that have a name out of cores unless bit 3 of /proc/PID/coredump_filter is set, as by
`echo 0x3b >/proc/self/coredump_filter` before the program starts. Those in a memfd, or whose name was removed, are in
a core always. A mapping does not tell the name of its segment, but the id is the one that `amx info NAME` tells.

The numbers are those of docs/format.md."""

import re
import struct
import uuid

import gdb

MAGIC = 0x314765735F786D61
LAYOUT = 3
UNIT = 16
SECTORS, DATA = 5, 10  # regions
ABSENT, IDLE, HELD, HEAD, CONT, QUARANTINED = range(6)  # kinds of sectors
FREE, ALLOCATED, ACKED, COALESCING, CACHED = range(5)  # states of blocks
STATES = ("free", "allocated", "acked", "coalescing", "cached", "stored", "claimed", "writing", "poisoned")
USER, KEPT = 49, 2048


def read(address, length, format):
    """Numbers from memory, little-endian."""
    return struct.unpack_from("<" + format, gdb.selected_inferior().read_memory(address, length).tobytes())


def mappings():
    """(address, file) of each mapping that begins where its file does."""
    for line in gdb.execute("info proc mappings", to_string=True).splitlines():
        word = line.split()
        if len(word) >= 5 and word[0].startswith("0x") and int(word[3], 16) == 0:
            # A live process also has permissions here.
            file = re.sub(r"^[-rwxsp]{4} +", "", line.split(None, 4)[4])
            yield int(word[0], 16), file


class Block:
    def __init__(self, segment, sector, unit, units, sectors, w0):
        self.offset = segment.data + (sector << segment.log2) + unit * UNIT
        self.bytes = units * UNIT
        self.state = w0 & 0xFFF
        self.owner = w0 >> 12 & 0xFFF
        self.generation = w0 >> 24
        self.sector = sector
        self.sectors = sectors
        self.live = self.state == ALLOCATED or self.state >= USER

    def row(self):
        if self.state < len(STATES):
            state = STATES[self.state]
        else:
            state = str(self.state) + (" kept" if self.state >= KEPT else "")
        ref = (self.offset + UNIT) // UNIT << 32 | self.generation & 0xFFFFFFFF
        return (hex(self.offset), str(self.bytes), state, str(self.owner or "-"), str(self.generation),
                "0x%016x" % ref if self.live else "-", str(self.sector), str(self.sectors))


class Segment:
    def __init__(self, base):
        self.base = base
        magic, self.layout = read(base, 12, "QI")
        if magic != MAGIC:
            raise gdb.GdbError("no segment begins at %#x" % base)
        if self.layout != LAYOUT:
            raise gdb.GdbError("the segment at %#x has layout %d, this script knows %d" % (base, self.layout, LAYOUT))
        self.id = uuid.UUID(bytes=gdb.selected_inferior().read_memory(base + 48, 16).tobytes())
        self.size, = read(base + 80, 8, "Q")
        self.log2, self.sectors = read(base + 112, 8, "II")
        _, self.stride, self.table = read(base + 160 + 24 * (SECTORS - 1), 16, "IIQ")
        _, _, self.data = read(base + 160 + 24 * (DATA - 1), 16, "IIQ")
        self.units = (1 << self.log2) // UNIT  # of a sector

    def header(self, sector, unit):
        return read(self.base + self.data + (sector << self.log2) + unit * UNIT, 16, "QQ")

    def look(self):
        """(sector, kind, start, first, blocks, end, trouble) for each sector. Units up to start belong to a large
        block of a sector before, from there to first they are free, behind end they are not known."""
        covered = 0
        for i in range(self.sectors):
            word, _, _, first, _, length, tail = read(self.base + self.table + i * self.stride, 40, "QQQIIII")
            kind = word & 0xF
            start = min(max(covered - i * self.units, 0), self.units)
            blocks, end, trouble = [], start, None
            if kind == IDLE and start <= first < self.units:
                end = first
                while end < self.units and not trouble:
                    w0, w1 = self.header(i, end)
                    size = w1 & 0xFFFFF
                    if 2 <= size <= self.units - end:
                        blocks.append(Block(self, i, end, size, 1, w0))
                        end += size
                    else:
                        trouble = "damaged at unit %d" % end
            elif kind == HEAD and not start and 0 < length <= self.sectors - i and max(first, tail) < self.units:
                w0, _ = self.header(i, first)
                reach = length * self.units + tail
                blocks.append(Block(self, i, first, reach - first, length + (tail > 0), w0))
                covered, end = i * self.units + reach, self.units
            elif kind == CONT and start == self.units:
                end = start
            elif kind == HELD:
                trouble = "handle %d is inside" % (word >> 4 & 0xFFFF)
                first = start
            else:
                trouble = "quarantined" if kind == QUARANTINED else "damaged"
                first = start
            yield i, kind, start, first, blocks, end, trouble


def find(argument):
    """The segment that is meant."""
    if argument:
        return Segment(int(gdb.parse_and_eval(argument)))
    found = list(segments())
    if len(found) != 1:
        raise gdb.GdbError("%d segments are mapped; say at which ADDRESS: amx-segments lists them" % len(found))
    return Segment(found[0][0])


def segments():
    """(address, file) of what begins as a segment does."""
    for address, file in mappings():
        try:
            if read(address, 8, "Q")[0] == MAGIC:
                yield address, file
        except gdb.MemoryError:
            pass  # not in the core


class Segments(gdb.Command):
    """amx-segments: the amx segments that are mapped."""

    def __init__(self):
        super().__init__("amx-segments", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        found = list(segments())
        if not found:
            print("no segment; those with a name are in a core only if bit 3 of coredump_filter was set")
        for address, file in found:
            try:
                s = Segment(address)
                print("%#x %d bytes, %d sectors, id %s, %s" % (address, s.size, s.sectors, s.id, file))
            except gdb.GdbError as error:  # of another layout
                print("%s, %s" % (error, file))


class Blocks(gdb.Command):
    """amx-blocks [ADDRESS]: the blocks of the amx segment that is mapped at ADDRESS."""

    def __init__(self):
        super().__init__("amx-blocks", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        form = "%12s %12s  %-10s  %5s %13s  %18s %6s %7s"
        print(form % ("OFFSET", "BYTES", "STATE", "OWNER", "GENERATION", "REFERENCE", "SECTOR", "SECTORS"))
        for i, _, _, _, blocks, _, trouble in find(argument).look():
            for block in blocks:
                print(form % block.row())
            if trouble:
                print("# sector %d: %s" % (i, trouble))


class Stat(gdb.Command):
    """amx-stat [ADDRESS]: how full the amx segment is that is mapped at ADDRESS."""

    def __init__(self):
        super().__init__("amx-stat", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        segment = find(argument)
        names = ("data_bytes", "free_bytes", "live_bytes", "cached_bytes", "acked_bytes", "lost_bytes", "unseen_bytes",
                 "free_blocks", "live_blocks", "cached_blocks", "acked_blocks", "published_blocks", "kept_blocks",
                 "large_blocks", "sectors_held", "sectors_large", "sectors_bad")
        n = dict.fromkeys(names, 0)
        n["data_bytes"] = segment.sectors << segment.log2
        for _, kind, start, first, blocks, end, trouble in segment.look():
            large = kind in (HEAD, CONT)
            if not large:
                n["free_bytes"] += (first - start) * UNIT
            for b in blocks:
                gap = first * UNIT if large else 0  # in front of an aligned large block: part of it
                name = ("live" if b.live else "free" if b.state == FREE else "cached" if b.state == CACHED else
                        "acked" if b.state in (ACKED, COALESCING) else "lost")
                n[name + "_bytes"] += b.bytes + gap
                if name != "lost":
                    n[name + "_blocks"] += 1
                if b.live:
                    n["published_blocks"] += b.owner == 0
                    n["kept_blocks"] += b.state >= KEPT
                    n["large_blocks"] += large
            n["unseen_bytes" if kind == HELD else "lost_bytes"] += (segment.units - end) * UNIT
            n["sectors_held"] += kind == HELD
            n["sectors_large"] += large and not trouble
            n["sectors_bad"] += kind == QUARANTINED
        for name in names:
            print("%-16s %d" % (name, n[name]))


Segments()
Blocks()
Stat()
