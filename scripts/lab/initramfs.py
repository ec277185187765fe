# SPDX-License-Identifier: BSD-2-Clause
"""The initramfs of a guest and of the emulated machine around it: busybox, modules, files."""
import gzip
import os
import re
import stat
import subprocess

from .archive import Archive
from .common import LabError, run, tool

# What a guest finds on our bus or on QEMU's virtio, and what it puts on it.
GUEST_MODULES = ["hv_vmbus", "hv_storvsc", "sd_mod", "sr_mod", "hv_netvsc", "hv_utils", "hv_balloon",
                 "hyperv_keyboard", "evdev", "uio_hv_generic", "hv_sock", "ext4", "overlay", "isofs",
                 "virtio_pci", "virtio_mmio", "virtio_blk", "virtio_net"]
# The full kernel has these as modules, the cloud kernel built in, or the other way round, or not at all.
GUEST_OPTIONAL = ["crc32c_generic", "crc32c_intel", "rtc_cmos", "msr", "sg", "scsi_dh_alua", "failover", "hyperv_fb",
                  "hyperv_drm", "hid_hyperv", "hid_generic"]
OUTER_MODULES = ["kvm_amd", "virtio_pci", "virtio_blk", "ext4", "tun", "loop", "dm_mod"]


def busybox(archive):
    path = tool("busybox")
    if libraries(path):
        raise LabError(f"{path} is dynamically linked (package busybox-static)")
    archive.file("bin/busybox", path, 0o755)
    for applet in run([path, "--list"]).split():
        if applet != "busybox":
            archive.link(f"bin/{applet}", "busybox")
    for name in ("dev", "proc", "sys", "tmp", "run", "etc", "mnt", "root"):
        archive.directory(name)
    archive.node("dev/console", stat.S_IFCHR | 0o600, 5, 1)


def modules(archive, kernel, names, optional=()):
    """Modules with the files by which modprobe finds them; the order of loading by hand is in /modules."""
    base = f"lib/modules/{kernel.version}"
    paths = kernel.closure(names, optional)
    for path in paths:
        archive.file(f"{base}/{path}", os.path.join(kernel.modules, path))
    for index in ("modules.builtin", "modules.alias"):
        archive.file(f"{base}/{index}", os.path.join(kernel.modules, index), 0o644)
    lines = [f"{path}: {' '.join(kernel.depends[path])}" for path in paths]
    archive.text(f"{base}/modules.dep", "\n".join(lines) + "\n", 0o644)
    archive.text("modules", "".join(f"/{base}/{path}\n" for path in paths), 0o644)


def libraries(path):
    """What a dynamically linked program needs besides itself: {name: path}; the loader is among them."""
    with open(path, "rb") as f:
        if f.read(4) != b"\x7fELF":
            return {}
    p = subprocess.run([tool("ldd"), path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, check=False)
    if p.returncode:
        return {}  # statically linked
    if "not found" in p.stdout:
        raise LabError(f"{path}: {re.search('.*not found.*', p.stdout).group(0).strip()}")
    found = dict(re.findall(r"^\s*(\S+) => (/.+) \(0x", p.stdout, re.M))
    for loader in re.findall(r"^\s*(/\S+) \(", p.stdout, re.M):
        found[loader] = loader
    return found


def program(archive, name, path):
    """A file, and if it is a program with shared libraries these too: flat in /lib/host, so that they are
    found by LD_LIBRARY_PATH whatever the program's own search path; the loader where the program wants it."""
    archive.file(name, path)
    for library, where in libraries(path).items():
        target = library.strip("/") if library.startswith("/") else f"lib/host/{library}"
        if target not in archive.names:
            archive.file(target, where, 0o755)


def guest(kernel, init, files, path, compress=True):
    """Writes a guest's initramfs. init: the script that runs as process 1; files: {name: path}."""
    archive = Archive()
    busybox(archive)
    modules(archive, kernel, GUEST_MODULES, GUEST_OPTIONAL)
    archive.file("init", init, 0o755)
    archive.link("sbin/modprobe", "/bin/busybox")  # where the kernel looks for it
    for name, source in files.items():
        program(archive, name, source)
    content = archive.content()
    with open(path, "wb") as f:
        f.write(gzip.compress(content, 1) if compress else content)
