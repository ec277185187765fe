# SPDX-License-Identifier: BSD-2-Clause
"""Scripts that boot guests and say what came of it, many in one machine.

Such a script has two functions: host() runs around the guest (shell/host.sh has what it calls), guest() in
it (shell/guest.sh).
"""
import os
import shutil
import time

from . import initramfs, kernel, machine, rootfs
from .common import HOME, LabError, tool

SHELL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shell")
SIDES = sorted(os.listdir(SHELL))
TOOLS = ("e2fsck", "debugfs", "mke2fs", "iperf3", "dnsmasq", "dmsetup")
# What the machine runs: each script in turn; a line before and after it says which.
RUN = """#!/bin/sh
plain={plain}
export plain
for test in {scripts}; do
	echo "begin $test" >&3
	sh ./one "$test"
	echo "end $test $?" >&3
	$save
done
"""


def prepare(kmcl, scripts, programs=(), flavours=("cloud", "full"), instead="cloud", inner=()):
    """(files, disks) of a machine for scripts, {name: path}. instead: what runs as the cloud kernel; inner: paths of
    programs that its guests find in /tests."""
    files = {"kmcl": kmcl} | {os.path.basename(name): tool(name) for name in TOOLS + tuple(programs)}
    sides = {name: os.path.join(SHELL, name) for name in SIDES}
    scripts = {f"tests/{name}": path for name, path in scripts.items()}
    inside = {f"tests/{name}": path for name, path in sides.items()} | scripts
    inside |= {f"tests/{os.path.basename(path)}": path for path in inner}
    kernels = {"cloud": kernel.get(instead), "full": kernel.get("full")}
    for flavour in flavours:
        files[f"vmlinuz-{flavour}"] = kernels[flavour].image
        path = files[f"guest-{flavour}.cpio.gz"] = os.path.join(HOME, f"guest-{flavour}.cpio.gz")
        initramfs.guest(kernels[flavour], os.path.join(SHELL, "init"), inside, path)
    root = rootfs.image(list(kernels.values()))
    return files | sides | scripts, {"root": root, "root-rw": root}


class Results:
    """Told what scripts say, as they say it, by the threads of all machines."""

    def begin(self, script):
        pass

    def result(self, script, ok, name):
        raise NotImplementedError

    def note(self, script, text):
        raise NotImplementedError

    def end(self, script, seconds):
        pass


class Batch:
    """Scripts that one machine runs in turn."""

    def __init__(self, scripts, kind, files, disks, out, results):
        self.left, self.kind, self.files, self.disks = list(scripts), kind, files, disks
        self.out, self.results = out, results
        self.current, self.seen, self.begun = None, 0, 0

    def line(self, text):
        what, _, rest = text.partition(" ")
        if what == "begin":
            self.current, self.seen, self.begun = rest, 0, time.monotonic()
            self.results.begin(rest)
        elif what == "end":
            self.ended(*rest.rsplit(" ", 1))
        elif what == "ok" or text.startswith("not ok "):
            self.seen += 1
            self.results.result(self.current, what == "ok", text.partition("ok ")[2])
        else:
            self.results.note(self.current, text.removeprefix("# "))

    def ended(self, script, status):
        if status != "0":
            self.results.result(script, False, f"the script ends well (exit status {status})")
        elif not self.seen:
            self.results.result(script, False, "the script has a result")
        self.results.end(script, time.monotonic() - self.begun)
        self.left.remove(script)
        self.current = None

    def run_file(self):
        plain = "--plain-cpu" if self.kind is machine.Emulated else ""
        path = os.path.join(self.out, "run")
        with open(path, "w", encoding="utf-8") as f:
            f.write(RUN.format(plain=plain, scripts=" ".join(self.left)))
        return path

    def run(self, timeout):
        """All scripts; one that takes the machine down has failed, and the others go on in a new one."""
        shutil.rmtree(self.out, ignore_errors=True)
        os.makedirs(self.out)
        end = time.monotonic() + timeout
        while self.left:
            there = self.kind(self.files, self.disks, line=self.line)
            try:
                there.run(self.run_file(), self.out, max(1, end - time.monotonic()))
                if self.left:
                    raise LabError("the machine ended before its scripts did")
            except LabError as e:
                self.lost(str(e))
            if time.monotonic() > end:
                for script in self.left:
                    self.results.result(script, False, "there was time for it")
                return

    def lost(self, why):
        script = self.current or self.left[0]
        for text in why.splitlines():
            self.results.note(script, text)
        self.results.result(script, False, "the machine survives it")
        self.left.remove(script)
        self.current = None
