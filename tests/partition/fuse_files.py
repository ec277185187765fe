# SPDX-License-Identifier: BSD-2-Clause
"""Files whose server never answers what closing them asks for: a file system of FUSE, spoken by hand. Numbers and
layouts are those of Linux' include/uapi/linux/fuse.h."""

import ctypes
import errno
import os
import signal
import struct
import tempfile

LOOKUP, FORGET, GETATTR, OPEN, WRITE, RELEASE, FSYNC, FLUSH, INIT, BATCH_FORGET = 1, 2, 3, 14, 16, 18, 20, 25, 26, 42
UNANSWERED = WRITE, RELEASE, FSYNC, FLUSH, FORGET, BATCH_FORGET
HEADER = struct.Struct("<IIQQIIIHH")  # of a request: size, opcode, unique, node, uid, gid, pid and two more
MAJOR, MINOR = 7, 31
ATTR_VALID_S = 3600
MNT_DETACH = 2
libc = ctypes.CDLL(None, use_errno=True)


class NoFuse(Exception):
    """Why there can be none here."""


def attr(node):
    mode = 0o40755 if node == 1 else 0o100666
    return struct.pack("<QQQQQQIIIIIIIIII", node, 1 << 20, 8, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer(opcode, node, body):
    """What a request is answered with, or an errno."""
    if opcode == INIT:
        return struct.pack("<IIIIHHIIHHI28x", MAJOR, MINOR, 65536, 0, 12, 9, 65536, 1, 16, 0, 0)
    if opcode == LOOKUP:
        child = 2 + int(body.rstrip(b"\0"))
        return struct.pack("<QQQQII", child, 0, ATTR_VALID_S, ATTR_VALID_S, 0, 0) + attr(child)
    if opcode == GETATTR:
        return struct.pack("<QII", ATTR_VALID_S, 0, 0) + attr(node)
    if opcode == OPEN:
        return struct.pack("<QII", 1, 0, 0)
    return errno.ENOSYS


def serve(device):
    """Until nobody has it mounted any more."""
    while True:
        try:
            data = os.read(device, 1 << 17)
        except OSError:
            return
        _, opcode, unique, node, *_ = HEADER.unpack_from(data)
        if opcode in UNANSWERED:
            continue
        reply = answer(opcode, node, data[HEADER.size:])
        error, reply = (reply, b"") if isinstance(reply, int) else (0, reply)
        os.write(device, struct.pack("<IiQ", 16 + len(reply), -error, unique) + reply)


class FuseFiles:
    """Some of them: who has one waits in closing it, and in exiting with it, until this is closed."""

    def __init__(self):
        self.count = 0
        directory = tempfile.mkdtemp(prefix="kmcl-fuse-")
        try:
            device = self.mount(directory)
        finally:
            os.rmdir(directory)
        self.server = os.fork()
        if not self.server:
            serve(device)
            os._exit(0)
        os.close(device)  # the server's is the only one: the file system ends with it

    def mount(self, directory):
        """Nobody else finds it, and it does not stay when this process is killed."""
        try:
            device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        except OSError as why:
            raise NoFuse(f"/dev/fuse cannot be opened: {why.strerror}") from None
        options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
        if libc.mount(b"kmcl", directory.encode(), b"fuse", 0, options.encode()):
            os.close(device)
            raise NoFuse(f"a file system of FUSE cannot be mounted: {os.strerror(ctypes.get_errno())}")
        self.root = os.open(directory, os.O_PATH | os.O_CLOEXEC)
        libc.umount2(directory.encode(), MNT_DETACH)
        return device

    def prepare(self):
        self.count += 1
        return None

    def open(self, prepared):
        """By a process that exits without having closed it: even a close() that is not the last one waits."""
        name = str(self.count)
        self.count += 1
        return os.open(name, os.O_RDWR | os.O_CLOEXEC, dir_fd=self.root)

    def close(self):
        """Whoever waits in closing one goes on."""
        os.kill(self.server, signal.SIGKILL)
        os.waitpid(self.server, 0)
        os.close(self.root)
