# SPDX-License-Identifier: BSD-2-Clause
"""An initramfs as the kernel reads it: a cpio archive of format "newc" (Linux, initramfs buffer format).

Written here and not by cpio(1), so that nobody needs to be root for owners and device nodes, and no
tree of links has to be made first.
"""
import os
import stat


class Archive:
    def __init__(self):
        self.parts = []
        self.names = set()

    def entry(self, name, mode, data=b"", device=(0, 0)):
        name = name.strip("/")
        parent = os.path.dirname(name)
        if parent and parent not in self.names:
            self.directory(parent)
        if name in self.names and stat.S_ISDIR(mode):
            return
        self.names.add(name)
        number = len(self.parts) + 1
        self.parts.append(self.encode(name, number, mode, data, device))

    @staticmethod
    def encode(name, number, mode, data, device=(0, 0)):
        path = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, device[0], device[1], len(path), 0)
        header = b"070701" + b"".join(b"%08X" % f for f in fields) + path
        return header + b"\0" * (-len(header) % 4) + data + b"\0" * (-len(data) % 4)

    def directory(self, name):
        self.entry(name, stat.S_IFDIR | 0o755)

    def link(self, name, target):
        self.entry(name, stat.S_IFLNK | 0o777, target.encode())

    def text(self, name, text, mode=0o755):
        self.entry(name, stat.S_IFREG | mode, text.encode())

    def file(self, name, path, mode=None):
        with open(path, "rb") as f:
            data = f.read()
            self.entry(name, stat.S_IFREG | (mode or stat.S_IMODE(os.fstat(f.fileno()).st_mode)), data)

    def node(self, name, mode, major, minor):
        self.entry(name, mode, device=(major, minor))

    def content(self):
        return b"".join(self.parts) + self.encode("TRAILER!!!", 0, 0, b"")
