# SPDX-License-Identifier: BSD-2-Clause
"""Stock Debian kernels, unpacked, and their modules in the order in which they depend on each other."""
import glob
import lzma
import os
import re
import shutil

from . import packages
from .common import HOME, LabError, locked, run, say

# The package that depends on the kernel, and of which Debian it is where not of this machine's.
FLAVOURS = {"cloud": ("linux-image-cloud-amd64", None), "full": ("linux-image-amd64", None),
            "bullseye": ("linux-image-cloud-amd64", "bullseye"),
            "trixie": ("linux-image-cloud-amd64", "trixie"),
            "newest": ("linux-image-cloud-amd64", "trixie-backports")}
# Those of the kernel itself, called linux-image-6.1.0-56-amd64, later ones in parts; what depends on them
# pulls in much more.
PARTS = r"linux-(image|binary|modules|base)-\d.*"


class Kernel:
    def __init__(self, directory):
        self.directory = directory
        self.version = os.listdir(os.path.join(directory, "lib/modules"))[0]
        self.modules = os.path.join(directory, "lib/modules", self.version)
        self.image = os.path.join(directory, "boot", f"vmlinuz-{self.version}")
        if not os.path.exists(self.image):
            self.image = os.path.join(self.modules, "vmlinuz")
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


def decompress(path, plain):
    """A module, for kernels complain of what busybox tries with a compressed one."""
    with lzma.open(path) as xz, open(plain, "wb") as ko:
        shutil.copyfileobj(xz, ko)
    os.unlink(path)


def unpack(files, directory):
    say(f"unpacking {', '.join(os.path.basename(f) for f in files)}")
    shutil.rmtree(directory, ignore_errors=True)
    new = directory + ".new"
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(os.path.join(new, "usr/lib"))
    os.symlink("usr/lib", os.path.join(new, "lib"))
    for package in files:
        packages.unpack(package, new, exclude=["./usr/share/doc"])
    for path in glob.glob(os.path.join(glob.escape(new), "lib/modules/**/*.ko.xz"), recursive=True):
        decompress(path, path.removesuffix(".xz"))
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
            package, suite = FLAVOURS[flavour]
            files = packages.fetch([package], only=PARTS, suite=suite)
            unpack([f for f in files if not re.search(r"-(dbg|unsigned)_", f)], directory)
    return Kernel(directory)
