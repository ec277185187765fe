# SPDX-License-Identifier: BSD-2-Clause
"""Stock Debian kernels, unpacked, and their modules in the order in which they depend on each other."""
import os
import re
import shutil

from . import packages
from .common import HOME, LabError, locked, run, say

FLAVOURS = {"cloud": "linux-image-cloud-amd64", "full": "linux-image-amd64"}
# Signed kernels are called linux-image-6.1.0-56-amd64; what depends on them pulls in much more.
IMAGE = r"linux-image-\d.*"


class Kernel:
    def __init__(self, directory):
        self.directory = directory
        self.version = os.listdir(os.path.join(directory, "lib/modules"))[0]
        self.image = os.path.join(directory, "boot", f"vmlinuz-{self.version}")
        self.modules = os.path.join(directory, "lib/modules", self.version)
        self.depends = {}
        self.names = {}
        with open(os.path.join(self.modules, "modules.dep"), encoding="utf-8") as f:
            for line in f:
                path, needs = line.rstrip("\n").split(":")
                self.depends[path] = needs.split()
                self.names[self.name_of(path)] = path
        with open(os.path.join(self.modules, "modules.builtin"), encoding="utf-8") as f:
            self.builtin = {self.name_of(line.strip()) for line in f}

    @staticmethod
    def name_of(path):
        return os.path.basename(path).split(".ko")[0].replace("-", "_")

    def closure(self, names, optional=()):
        """Paths of modules and of all that they need, below self.modules; what is built in needs no file.
        It is an error if this kernel lacks one of the names, unless it is optional."""
        found = []

        def take(path):
            for need in reversed(self.depends[path]):
                take(need)
            if path not in found:
                found.append(path)

        for name in list(names) + list(optional):
            key = name.replace("-", "_")
            if key in self.names:
                take(self.names[key])
            elif key not in self.builtin and name not in optional:
                raise LabError(f"kernel {self.version} has no module {name}")
        return found


def unpack(package, directory):
    say(f"unpacking {os.path.basename(package)}")
    shutil.rmtree(directory, ignore_errors=True)
    new = directory + ".new"
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new)
    packages.unpack(package, new, exclude=["./usr/share/doc"])
    version = os.listdir(os.path.join(new, "lib/modules"))[0]
    run(["depmod", "-b", new, version])
    os.rename(new, directory)


def get(flavour):
    """A Kernel: the one that was fetched before, or else what Debian has now."""
    if flavour not in FLAVOURS:
        raise LabError(f"no such kernel: {flavour} (there are {', '.join(FLAVOURS)})")
    directory = os.path.join(HOME, f"kernel-{flavour}")
    with locked(f"kernel-{flavour}"):
        if not os.path.isdir(directory):
            files = packages.fetch([FLAVOURS[flavour]], only=IMAGE)
            images = [f for f in files if not re.search(r"-(dbg|unsigned)_", f)]
            unpack(images[0], directory)
    return Kernel(directory)
