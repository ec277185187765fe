#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A host of unix:PATH, written from docs/socket-partition.md and nothing else of this project.

host.py PATH: lets one guest in that has at least 4 pages of memory, listens on connection id 0x2001, takes an
INITIATE_CONTACT, and answers it; writes into the guest's page 2 and signals its event flag 3. Then it
waits for the guest's signal and for "done", checks what the guest wrote into page 3, and for the guest to
leave. Exits with 0 if all was as the document says.

campaign.py uses the classes, and does wrong what they can do right.
"""

import fcntl
import mmap
import os
import select
import socket
import struct
import sys
import time

HELLO, WELCOME, REFUSE, MESSAGE, PORT = 1, 2, 3, 4, 5
BUSY, VERSION, PROTOCOL, MEMORY, LIMIT = 1, 2, 3, 4, 5
MAGIC = b"kmclpart"
PAGE = 4096
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
PATIENCE = 20


class Gone(Exception):
    """The other end closed, or said REFUSE."""


class Silent(Exception):
    """It said nothing in time."""


def frame(kind, ident, rest=b""):
    return struct.pack("<HHI", kind, 8 + len(rest), ident) + rest


def message_frame(payload, vp=0, sint=2):
    return frame(MESSAGE, 0, struct.pack("<IB3x", vp, sint) + payload)


class Peer:
    """Whoever is at the other end of a connection."""

    def __init__(self, sock):
        self.sock = sock
        self.ports = {}  # ids of the other end that listen: where to signal them

    def close(self):
        for port in self.ports.values():
            port.close()
        self.ports = {}
        self.sock.close()

    def send(self, data, descriptors=(), patience=PATIENCE):
        """Waits for room; Silent: the other end does not read."""
        deadline = time.monotonic() + patience
        while True:
            try:
                socket.send_fds(self.sock, [data], list(descriptors),
                                socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
                return
            except BlockingIOError:
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([], [self.sock], [], left)[1]:
                    raise Silent("it does not read") from None
            except (BrokenPipeError, ConnectionResetError):
                raise Gone("hung up") from None

    def receive(self, patience=PATIENCE):
        """The next frame: type, id, rest, descriptors. Ports are kept; REFUSE is Gone."""
        if not select.select([self.sock], [], [], patience)[0]:
            raise Silent("it says nothing")
        for _ in range(2):  # the document: call recv() again
            try:
                data, descriptors, _, _ = socket.recv_fds(self.sock, 4096, 4)
                break
            except ConnectionResetError:
                data, descriptors = b"", []
        if not data:
            raise Gone("hung up")
        kind, size, ident = struct.unpack_from("<HHI", data)
        if size != len(data):
            raise ValueError(f"a frame of {len(data)} bytes says it has {size}")
        if kind == REFUSE:
            raise Gone(f"refused, reason {ident}: {data[8:].decode(errors='replace')}")
        if kind == PORT:
            if ident in self.ports:
                self.ports[ident].close()
            self.ports[ident] = socket.socket(fileno=descriptors[0])
        return kind, ident, data[8:], descriptors

    def listen(self, ident):
        """Announces a port; returns where signals arrive."""
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.send(frame(PORT, ident), [theirs.fileno()])
        theirs.close()
        return mine

    def signal(self, ident):
        try:
            self.ports[ident].send(b"\0", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            pass  # one is there already, or nobody listens any more


class Guest(Peer):
    """A guest as its host knows it: HELLO has come, WELCOME has not been said."""

    def __init__(self, sock):
        super().__init__(sock)
        self.memory = None
        kind, ident, rest, descriptors = self.receive()
        if (kind, ident, rest[:8]) != (HELLO, 0, MAGIC):
            raise ValueError(f"no HELLO but {kind} {ident} {rest!r}")
        version, reserved, self.size = struct.unpack("<IIQ", rest[8:])
        if (version, reserved) != (1, 0) or self.size % PAGE or len(descriptors) != bool(self.size):
            raise ValueError(f"a HELLO of version {version}, {self.size} bytes, {descriptors}")
        if self.size:
            self.map_memory(descriptors[0])

    def map_memory(self, descriptor):
        if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & SEALS != SEALS:
            raise ValueError("memory that is not sealed")
        if os.fstat(descriptor).st_size != self.size:
            raise ValueError("memory of another size than HELLO says")
        self.memory = mmap.mmap(descriptor, self.size)
        os.close(descriptor)

    def close(self):
        if self.memory:
            self.memory.close()
            self.memory = None
        super().close()

    def welcome(self):
        self.send(frame(WELCOME, 0, MAGIC + struct.pack("<II", 1, 0)))

    def post(self, payload, patience=PATIENCE):
        self.send(message_frame(payload), patience=patience)

    def message(self, patience=PATIENCE):
        """The next message of the guest's: connection id and bytes."""
        while True:
            kind, ident, rest, _ = self.receive(patience)
            if kind == MESSAGE:
                return ident, rest[8:]


class Host:
    """The path: one host at a time, whoever has the lock."""

    def __init__(self, path):
        self.path = path
        self.lock = self.take_lock()
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        os.chmod(path, 0o600)
        self.listener.listen(16)

    def take_lock(self):
        name = self.path + ".lock"
        while True:
            lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                if os.path.samestat(os.fstat(lock), os.lstat(name)):
                    return lock
            except FileNotFoundError:
                pass
            os.close(lock)  # it was removed in between

    def accept(self, patience=PATIENCE):
        """A connection that has said nothing yet."""
        if not select.select([self.listener], [], [], patience)[0]:
            raise Silent("nobody comes")
        return self.listener.accept()[0]

    def guest(self, patience=PATIENCE):
        return Guest(self.accept(patience))

    def close(self):
        os.unlink(self.path)
        os.unlink(self.path + ".lock")
        self.listener.close()
        os.close(self.lock)


def expect(what, expected, actual):
    if expected != actual:
        sys.exit(f"{what}: expected {expected!r}, came {actual!r}")


def main(path):
    host = Host(path)
    guest = host.guest()
    guest.welcome()
    port = guest.listen(0x2001)
    ident, message = guest.message()
    expect("connection id", 4, ident)
    expect("message", struct.pack("<IIHH", 14, 0, 3, 5) + bytes(28), message)
    guest.post(struct.pack("<IIBBBBI", 15, 0, 1, 0, 0, 0, 4))
    while 3 not in guest.ports:
        expect("frame", PORT, guest.receive()[0])
    guest.memory[2 * PAGE:2 * PAGE + 19] = b"written by the host"
    guest.signal(3)
    if not select.select([port], [], [], PATIENCE)[0]:
        sys.exit("the guest does not signal connection id 0x2001")
    port.recv(16)
    expect("page 3", b"written by the guest", guest.memory[3 * PAGE:3 * PAGE + 20])
    expect("last message", (4, b"done"), guest.message())
    try:
        guest.receive()
        sys.exit("the guest goes on after it closed")
    except Gone:
        pass
    guest.close()
    host.close()


if __name__ == "__main__":
    main(sys.argv[1])
