# SPDX-License-Identifier: BSD-2-Clause
"""The guest's own system: Debian packages in an ext4 image, with the modules of the kernels it will run.

The packages are unpacked and not configured, and there is no init system: a guest runs one script.
"""
import os
import re
import shutil
import tempfile

from . import initramfs, packages
from .common import HOME, is_current, locked, run, say, set_current, tool

PACKAGES = ["busybox-static", "coreutils", "curl", "dash", "diffutils", "e2fsprogs", "ethtool", "fio", "grep", "hyperv-daemons",
            "iperf3", "iproute2", "iputils-ping", "kexec-tools", "kmod", "libc-bin", "mount", "procps", "sed", "sg3-utils",
            "util-linux"]
# testpmd, without the headers, compiler and interpreter that its package asks for besides; and the driver it tries.
TESTPMD, TESTPMD_NOT, TESTPMD_DRIVER = "dpdk-dev", r"libdpdk-dev|python3", "librte-net-netvsc23"
# Documents, and the interpreters that maintainer scripts would want.
EXCLUDE = ["./usr/share/doc", "./usr/share/man", "./usr/share/info", "./usr/share/locale", "./usr/share/i18n",
           "./usr/share/perl*", "./usr/share/zoneinfo", "./usr/lib/*/perl*", "./usr/bin/perl*", "./usr/lib/*/gconv",
           "./usr/lib/python3*", "./usr/bin/python3*", "./usr/lib/systemd", "./usr/share/bash-completion",
           "./usr/bin/dpdk-test", "./usr/bin/dpdk-test-*"]
LABEL = "kmcl-root"
# Counts the changes of what populate() does besides.
LAYOUT = 3
SIZE = 512 << 20
# Of busybox, for what no package here has; last in the guest's PATH.
APPLETS = "usr/lib/busybox"
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/hostname": "guest\n",
    "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 guest\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


def copy_modules(tree, kernel):
    """What the guest's hardware needs, not the thousands of a whole kernel."""
    base = os.path.join(tree, "usr/lib/modules", kernel.version)
    for path in kernel.closure(initramfs.GUEST_MODULES, initramfs.GUEST_OPTIONAL):
        os.makedirs(os.path.dirname(os.path.join(base, path)), exist_ok=True)
        shutil.copyfile(os.path.join(kernel.modules, path), os.path.join(base, path))
    for name in os.listdir(kernel.modules):
        if name.startswith(("modules.builtin", "modules.order")):
            shutil.copyfile(os.path.join(kernel.modules, name), os.path.join(base, name))
    run(["depmod", "-b", tree, kernel.version])


def contents():
    """The packages' files."""
    testpmd = packages.fetch([TESTPMD], only=TESTPMD)
    others = [name for name in packages.needs(testpmd[0]) if not re.fullmatch(TESTPMD_NOT, name)]
    return testpmd + packages.fetch(PACKAGES + [TESTPMD_DRIVER] + others)


def populate(tree, kernels):
    for name in ("bin", "sbin", "lib", "lib64"):
        os.makedirs(os.path.join(tree, "usr", name))
        os.symlink(f"usr/{name}", os.path.join(tree, name))
    for package in contents():
        packages.unpack(package, tree, EXCLUDE)
    os.makedirs(os.path.join(tree, APPLETS))
    for applet in run([tool("busybox"), "--list"]).split():
        os.symlink("/bin/busybox", os.path.join(tree, APPLETS, applet))
    for name in ("dev", "proc", "sys", "run", "tmp", "root", "mnt", "etc"):
        os.makedirs(os.path.join(tree, name), exist_ok=True)
    for name, text in FILES.items():
        with open(os.path.join(tree, name), "w", encoding="utf-8") as f:
            f.write(text)
    for name in ("poweroff", "reboot"):
        os.symlink("/tests/asked", os.path.join(tree, "usr/sbin", name))
    os.symlink("/run/resolv.conf", os.path.join(tree, "etc/resolv.conf"))
    for kernel in kernels:
        copy_modules(tree, kernel)


def image(kernels):
    """The path of the root image, made if what there is was made otherwise."""
    path = os.path.join(HOME, "root.ext4")
    stamp = repr((LAYOUT, PACKAGES, TESTPMD, TESTPMD_NOT, TESTPMD_DRIVER, EXCLUDE, SIZE, APPLETS, sorted(FILES.items()),
                  [k.version for k in kernels], initramfs.GUEST_MODULES, initramfs.GUEST_OPTIONAL))
    with locked("root"):
        if is_current(path, stamp):
            return path
        with tempfile.TemporaryDirectory(prefix="root-", dir=HOME) as tree:
            say("making the guest's root image")
            populate(tree, kernels)
            new = path + ".new"
            with open(new, "wb") as f:
                f.truncate(SIZE)
            run(["mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-L", LABEL, "-E", "root_owner=0:0",
                 "-d", tree, new])
        os.rename(new, path)
        set_current(path, stamp)
    return path
