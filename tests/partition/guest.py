#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A guest of unix:PATH, written from docs/socket-partition.md and nothing else of this project.

guest.py PATH: comes with 16 KiB of memory, listens on event flag 3, posts an INITIATE_CONTACT, and
checks what the host does: its answer, its signal, and what it wrote into page 2. Then it signals the
host's connection id 0x2001, posts "done" and leaves. Exits with 0 if all was as the document says.
"""

import fcntl
import mmap
import os
import select
import socket
import struct
import sys

HELLO, WELCOME, REFUSE, MESSAGE, PORT = 1, 2, 3, 4, 5
MAGIC = b"kmclpart"
PAGE = 4096
PAGES = 4
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
PATIENCE = 20


def frame(kind, ident, rest=b""):
    return struct.pack("<HHI", kind, 8 + len(rest), ident) + rest


def send(sock, data, descriptors=()):
    if descriptors:
        socket.send_fds(sock, [data], list(descriptors))
    else:
        sock.send(data)


def receive(sock):
    """The next frame: type, id, rest, descriptors."""
    if not select.select([sock], [], [], PATIENCE)[0]:
        sys.exit("the host says nothing")
    try:
        data, descriptors, _, _ = socket.recv_fds(sock, 4096, 4)
    except ConnectionResetError:
        data, descriptors, _, _ = socket.recv_fds(sock, 4096, 4)
    if not data:
        sys.exit("the host hung up")
    kind, size, ident = struct.unpack_from("<HHI", data)
    if size != len(data):
        sys.exit(f"a frame of {len(data)} bytes says it has {size}")
    if kind == REFUSE:
        sys.exit(f"refused, reason {ident}: {data[8:].decode()}")
    return kind, ident, data[8:], descriptors


def expect(what, expected, actual):
    if expected != actual:
        sys.exit(f"{what}: expected {expected!r}, came {actual!r}")


def make_memory():
    memory = os.memfd_create("guest", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, PAGES * PAGE)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, SEALS)
    return memory, mmap.mmap(memory, PAGES * PAGE)


def initiate_contact():
    """Message type 14, version 5.3, and the rest of its 40 bytes."""
    return struct.pack("<IIHH", 14, 0, 3, 5) + bytes(28)


def main(path):
    memory, ram = make_memory()
    host = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    host.connect(path)
    send(host, frame(HELLO, 0, MAGIC + struct.pack("<IIQ", 1, 0, PAGES * PAGE)), [memory])
    kind, _, rest, _ = receive(host)
    expect("answer to HELLO", (WELCOME, MAGIC + struct.pack("<II", 1, 0)), (kind, rest))

    listening, signalling = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    send(host, frame(PORT, 3), [signalling.fileno()])
    signalling.close()
    send(host, frame(MESSAGE, 4, struct.pack("<II", 0, 0) + initiate_contact()))

    port_of_host = None
    answer = None
    while port_of_host is None or answer is None:
        kind, ident, rest, descriptors = receive(host)
        if kind == PORT:
            expect("the host's port", 0x2001, ident)
            port_of_host = socket.socket(fileno=descriptors[0])
        else:
            expect("frame", MESSAGE, kind)
            expect("virtual processor and SINT", (7, 2), struct.unpack_from("<II", rest))
            answer = rest[8:]
    expect("answer", struct.pack("<IIBBBBI", 15, 0, 1, 0, 0, 0, 4), answer)

    if not select.select([listening], [], [], PATIENCE)[0]:
        sys.exit("the host does not signal event flag 3")
    listening.recv(16)
    expect("page 2", b"written by the host", ram[2 * PAGE:2 * PAGE + 19])
    ram[3 * PAGE:3 * PAGE + 23] = b"written by the guest.py"

    port_of_host.send(b"\0", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    send(host, frame(MESSAGE, 4, struct.pack("<II", 0, 0) + b"done"))
    host.close()


if __name__ == "__main__":
    main(sys.argv[1])
