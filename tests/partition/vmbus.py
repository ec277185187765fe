# SPDX-License-Identifier: BSD-2-Clause
"""VMBus messages and rings as bytes, for campaign.py. Layouts are those of Linux' include/linux/hyperv.h
and OpenVMM's vmbus_core protocol.rs, and OpenVMM's vmbus_ring for the rings."""

import struct
import uuid

OFFER, RESCIND, REQUEST_OFFERS, ALL_OFFERS = 1, 2, 3, 4
OPEN, OPEN_RESULT, CLOSE = 5, 6, 7
GPADL_HEADER, GPADL_BODY, GPADL_CREATED, GPADL_TEARDOWN, GPADL_TORNDOWN = 8, 9, 10, 11, 12
RELEASED, CONTACT, VERSION_RESPONSE, UNLOAD, UNLOAD_COMPLETE = 13, 14, 15, 16, 17
CLOSE_RESERVED_RESPONSE = 20
TL_CONNECT, MODIFY, TL_RESULT, MODIFY_RESPONSE = 21, 22, 23, 24
TYPES = 30

INBAND, TRANSFER_PAGES, GPA_DIRECT, COMPLETION = 6, 7, 9, 11
WANTS_COMPLETION = 1
PAGE = 4096

SCSI = uuid.UUID("ba6163d9-04a1-4d29-b605-72e2ffb1dc7f").bytes_le
ECHO = uuid.UUID("6b6d636c-0010-4000-8065-63686f000001").bytes_le

VERSIONS = [0xd, 0x10001, 0x20004, 0x30000, 0x40000, 0x40001, 0x50000, 0x50001, 0x50002, 0x50003, 0x60000]


def message(kind, body=b""):
    return struct.pack("<II", kind, 0) + body


def words(kind, *values):
    return message(kind, struct.pack(f"<{len(values)}I", *(v & 0xffffffff for v in values)))


def kind_of(data):
    return struct.unpack_from("<I", data)[0] if len(data) >= 4 else 0


def word(data, index):
    """The 32-bit field of that number after the header; 0 where the message is too short."""
    return struct.unpack_from("<I", data, 8 + 4 * index)[0] if len(data) >= 12 + 4 * index else 0


# ---- what a host says ----

def offer(channel, interface, instance, flags=0, monitor=None, connection=None):
    return message(OFFER, interface + instance + bytes(16) + struct.pack(
        "<HH120xHHIBBHI", flags, 0, 0, 0, channel, 0xff if monitor is None else monitor,
        monitor is not None, 1, 0x2000 + channel if connection is None else connection))


def version_response(supported=1, state=0, value=4, tail=b""):
    return message(VERSION_RESPONSE, struct.pack("<BBHI", supported, state, 0, value) + tail)


def anything_a_host_says(rng):
    """Well-formed, and as likely as not about something that is there."""
    channel = rng.choice([0, 1, 2, 3, rng.randrange(2048), rng.randrange(1 << 32)])
    gpadl = rng.choice([0, 1, 2, 3, 4, 5, rng.randrange(1 << 32)])
    status = rng.choice([0, 1, 0x103, 0x40000000, 0xc0000001, rng.randrange(1 << 32)])
    return rng.choice([
        lambda: offer(channel, rng.choice([SCSI, ECHO, rng.randbytes(16)]), rng.randbytes(16),
                      rng.randrange(1 << 16), rng.choice([None, rng.randrange(256)]),
                      rng.randrange(1 << 32)),
        lambda: words(RESCIND, channel),
        lambda: message(ALL_OFFERS),
        lambda: words(OPEN_RESULT, channel, rng.randrange(8), status),
        lambda: words(GPADL_CREATED, channel, gpadl, status),
        lambda: words(GPADL_TORNDOWN, gpadl),
        lambda: version_response(rng.randrange(3), rng.randrange(3), rng.randrange(1 << 32)),
        lambda: message(UNLOAD_COMPLETE),
        lambda: words(CLOSE_RESERVED_RESPONSE, channel),
        lambda: message(TL_RESULT, rng.randbytes(32) + struct.pack("<I", status)),
        lambda: words(MODIFY_RESPONSE, channel, status),
        lambda: message(rng.randrange(TYPES), rng.randbytes(rng.randrange(233))),
        lambda: rng.randbytes(rng.randrange(241)),
    ])()


# ---- what a guest says ----

def contact(version=0x50003, tail=bytes(24)):
    return message(CONTACT, struct.pack("<II", version, 0) + tail)


def gpadl(channel, ident, pages, length=None):
    """One range, the messages of it."""
    buffer = struct.pack("<II", len(pages) * PAGE if length is None else length, 0)
    buffer += struct.pack(f"<{len(pages)}Q", *pages)
    result = [message(GPADL_HEADER, struct.pack("<IIHH", channel, ident, len(buffer) & 0xffff, 1) +
                      buffer[:216])]
    for at in range(216, len(buffer), 224):
        result.append(message(GPADL_BODY, struct.pack("<II", 0, ident) + buffer[at:at + 224]))
    return result


def open_channel(channel, open_id, ring_gpadl, offset):
    return message(OPEN, struct.pack("<IIIII", channel, open_id, ring_gpadl, 0, offset) + bytes(120))


def anything_a_guest_says(rng):
    channel = rng.choice([0, 1, 2, 3, rng.randrange(2048), rng.randrange(1 << 32)])
    ident = rng.choice([0, 1, 2, 3, 4, 5, rng.randrange(1 << 32)])
    return rng.choice([
        lambda: message(REQUEST_OFFERS),
        lambda: contact(rng.choice(VERSIONS + [rng.randrange(1 << 32)]), rng.randbytes(rng.choice([24, 40]))),
        lambda: open_channel(channel, rng.randrange(8), ident, rng.choice([1, 2, rng.randrange(1 << 32)])),
        lambda: words(CLOSE, channel),
        lambda: gpadl(channel, ident, [rng.randrange(1 << rng.choice([4, 12, 64]))
                                       for _ in range(rng.randrange(1, 26))],
                      rng.choice([None, rng.randrange(1 << 32)]))[0],
        lambda: message(GPADL_HEADER, struct.pack("<IIHH", channel, ident, rng.randrange(1 << 16),
                                                  rng.randrange(1 << 16)) + rng.randbytes(8 * rng.randrange(27))),
        lambda: message(GPADL_BODY, struct.pack("<II", 0, ident) + rng.randbytes(8 * rng.randrange(28))),
        lambda: words(GPADL_TEARDOWN, channel, ident),
        lambda: words(RELEASED, channel),
        lambda: message(UNLOAD),
        lambda: message(TL_CONNECT, rng.randbytes(rng.choice([32, 48]))),
        lambda: words(MODIFY, channel, rng.randrange(1 << 32)),
        lambda: message(25, rng.randbytes(16)),
        lambda: message(rng.randrange(TYPES), rng.randbytes(rng.randrange(233))),
        lambda: rng.randbytes(rng.randrange(241)),
    ])()


# ---- what is known of a guest's memory by listening to it ----

class Memory:
    """GPADLs and the rings in them, from the messages that a guest sends."""

    def __init__(self):
        self.building = {}  # id: [channel, bytes that are due, bytes]
        self.gpadls = {}    # id: pages
        self.rings = {}     # channel: pages of what the guest writes, pages of what it reads

    def hear(self, data):
        kind = kind_of(data)
        if kind == GPADL_HEADER and len(data) >= 20:
            channel, ident, size, _ = struct.unpack_from("<IIHH", data, 8)
            self.building[ident] = [channel, size, data[20:]]
            return self.done(ident)
        if kind == GPADL_BODY and word(data, 1) in self.building:
            self.building[word(data, 1)][2] += data[16:]
            return self.done(word(data, 1))
        if kind == OPEN and len(data) >= 28:
            pages = self.gpadls.get(word(data, 2), [])
            offset = word(data, 4)
            if 1 < offset < len(pages) - 1:
                self.rings[word(data, 0)] = Ring(pages[:offset]), Ring(pages[offset:])
        elif kind in (CLOSE, RELEASED):
            self.rings.pop(word(data, 0), None)
        elif kind == GPADL_TEARDOWN:
            self.gpadls.pop(word(data, 1), None)
        return None

    def done(self, ident):
        """The channel of a GPADL that is whole now, or None."""
        channel, size, data = self.building[ident]
        if len(data) < size:
            return None
        del self.building[ident]
        pages = []
        while size >= 8 and len(data) >= 8:
            length, offset = struct.unpack_from("<II", data)
            count = min((length + offset + PAGE - 1) // PAGE, len(data) // 8 - 1)
            pages += struct.unpack_from(f"<{count}Q", data, 8)
            data = data[8 + 8 * count:]
            size -= 8 + 8 * count
        self.gpadls[ident] = pages
        return channel, ident

    def ring_pages(self):
        return {page for pair in self.rings.values() for ring in pair for page in ring.pages}


class Ring:
    """One direction; the first of its pages is the control page: write and read index, mask, pending size."""

    def __init__(self, pages):
        self.pages = pages
        self.size = (len(pages) - 1) * PAGE

    def control(self, memory, index, value=None):
        at = self.pages[0] * PAGE + 4 * index
        if at + 4 > len(memory):
            return 0
        if value is not None:
            memory[at:at + 4] = struct.pack("<I", value & 0xffffffff)
        return struct.unpack_from("<I", memory, at)[0]

    def pieces(self, memory, index, length):
        while length:
            index %= self.size
            at = self.pages[1 + index // PAGE] * PAGE + index % PAGE
            here = min(length, PAGE - index % PAGE)
            if at + here > len(memory):
                return
            yield at, here
            index += here
            length -= here

    def write(self, memory, index, data):
        for at, here in self.pieces(memory, index, len(data)):
            memory[at:at + here] = data[:here]
            data = data[here:]

    def read(self, memory, index, length):
        return b"".join(bytes(memory[at:at + here]) for at, here in self.pieces(memory, index, length))

    def put(self, memory, packet):
        """As a writer does, without asking whether there is room."""
        index = self.control(memory, 0) % self.size & ~7
        self.write(memory, index, packet + struct.pack("<II", 0, index))
        self.control(memory, 0, (index + len(packet) + 8) % self.size)

    def take(self, memory):
        """As a reader does: (type, flags, transaction id, payload) of each packet that is there."""
        index, end = self.control(memory, 1), self.control(memory, 0)
        result = []
        while index != end and len(result) < 1000 and max(index, end) < self.size:
            header = self.read(memory, index, 16)
            if len(header) < 16:
                break
            kind, offset, length, flags, ident = struct.unpack("<HHHHQ", header)
            if not 2 <= offset <= length or 8 * length > self.size:
                break
            result.append((kind, flags, ident, self.read(memory, index + 8 * offset, 8 * (length - offset))))
            index = (index + 8 * length + 8) % self.size
        self.control(memory, 1, index)
        return result


def packet(kind, ident, payload, flags=0, headers=b""):
    payload += bytes(-len(payload) % 8)
    offset = 2 + len(headers) // 8
    return struct.pack("<HHHHQ", kind, offset, offset + len(payload) // 8, flags, ident) + headers + payload


def any_packet(rng, idents):
    """Of any type, now and then with sizes that cannot be."""
    data = bytearray(packet(
        rng.choice([INBAND, TRANSFER_PAGES, GPA_DIRECT, COMPLETION, rng.randrange(16)]),
        rng.choice([0, 1, 1 << 32, rng.randrange(1 << 64)] + idents), rng.randbytes(8 * rng.randrange(40)),
        rng.choice([0, WANTS_COMPLETION]), rng.randbytes(8 * rng.choice([0, 0, 1, 4]))))
    if rng.random() < 0.5:
        at = rng.randrange(8)
        data[at] = rng.randrange(256)
    return bytes(data)
