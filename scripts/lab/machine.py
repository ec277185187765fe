# SPDX-License-Identifier: BSD-2-Clause
"""The machine that a VMM runs on: an emulated one with SVM, anywhere; or this one, where its KVM can do it.

Emulated: QEMU without KVM (L0) is an AMD machine with SVM; on it runs a stock Debian kernel with kvm-amd
(L1), on one processor, as with two nested guests hang or die at random. What L1 runs is a shell script
under busybox. On this machine the same script runs in namespaces of its own.

In both the script finds in its directory the files it was given (first in PATH, and with LD_LIBRARY_PATH
set for those that came with shared libraries), the disks as NAME, scratch/ to write to, and out/, which
is brought back in the end, and each time that it runs $save. Lines that it writes to descriptor 3 are
seen at once.
"""
import contextlib
import fcntl
import os
import select
import socket
import subprocess
import tempfile
import threading

from . import initramfs, kernel
from .archive import Archive
from .common import LabError, run, tool

KVM_CHECK_EXTENSION = 0xAE03
KVM_CAP_HYPERV_SYNIC2 = 148
# Without what QEMU does not emulate, which it would warn of.
CPU = "EPYC," + ",".join(f"{f}=off" for f in (
    "rdseed", "sha-ni", "fxsr-opt", "misalignsse", "3dnowprefetch", "osvw", "topoext", "nrip-save", "xsavec"))

# Names are asked of a server on the machine itself, where a script starts one.
RESOLVER = "nameserver 127.0.0.1\n"

OUTER_INIT = r"""#!/bin/sh
export PATH=/lab:/bin HOME=/root LD_LIBRARY_PATH=/lib/host
mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev 2>/dev/null
mount -t tmpfs none /tmp; mount -t tmpfs none /run
for m in $(cat /modules); do insmod $m || echo "L1: insmod $m failed"; done
exec 3>/dev/ttyS1
stty -F /dev/ttyS1 raw -echo
cat /dev/ttyS1 >/dev/null &
ip link set lo up
cd /lab; mkdir out scratch
export save='tar -c -f /dev/vda out'
mount -t ext4 -o noatime /dev/vdb scratch || echo "L1: no scratch space"
sh ./run 0</dev/null
echo $? >out/.status
$save
poweroff -f
"""

# Its standard input is where lines of progress go.
DIRECT_INIT = r"""#!/bin/sh
exec 3>&0 0</dev/null
ip link set lo up
mount --bind "$1/resolv.conf" /etc/resolv.conf
cd "$1"; PATH=$1:$1/bin:$PATH save=:; export PATH save
exec sh ./run
"""


def why_not_direct():
    """None, or why this machine's own KVM cannot run our guests."""
    try:
        fd = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError as e:
        return f"/dev/kvm: {e.strerror}"
    try:
        if fcntl.ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_HYPERV_SYNIC2) <= 0:
            return "/dev/kvm lacks KVM_CAP_HYPERV_SYNIC2"
    finally:
        os.close(fd)
    return None


class Follower(threading.Thread):
    """Hands on the lines of a file that grows."""

    def __init__(self, path, line):
        super().__init__(daemon=True)
        self.path, self.line, self.ended = path, line, threading.Event()
        self.start()

    def run(self):
        rest = ""
        with open(self.path, encoding="utf-8", errors="replace", newline="\n") as f:
            while True:
                last = self.ended.is_set()
                *lines, rest = (rest + f.read()).split("\n")
                for text in lines:
                    self.line(text.rstrip("\r"))
                if last:
                    break
                self.ended.wait(0.2)
        if rest:
            self.line(rest)

    def finish(self):
        self.ended.set()
        self.join()


class Line(threading.Thread):
    """A serial line of the emulated machine: what comes goes to a file; and once something has come, a byte
    goes there now and then.

    QEMU 7.2 forgets an interrupt that arises while its processor leaves a nested guest (do_vmexit in
    target/i386/tcg/sysemu/svm_helper.c changes interrupt_request without its lock). If that was the timer's
    of an idle machine, it sleeps for ever. The next interrupt makes it look again."""

    PERIOD = 0.25

    def __init__(self, path):
        super().__init__(daemon=True)
        self.file = open(path, "wb", buffering=0)
        self.ours, self.machines = socket.socketpair()
        self.ours.setblocking(False)

    def begin(self):
        """The machine has its end."""
        self.machines.close()
        self.start()

    def run(self):
        with self.file, self.ours, contextlib.suppress(OSError):
            period = None
            while True:
                if select.select([self.ours], [], [], period)[0]:
                    period = self.PERIOD
                    came = self.ours.recv(65536)
                    if not came:
                        return
                    self.file.write(came)
                else:
                    with contextlib.suppress(BlockingIOError):
                        self.ours.send(b"\n", socket.MSG_NOSIGNAL)


class Machine:
    """files: {name: path} that the script finds; disks: {name: path} of images, where what it writes is
    forgotten in the end; line: called with each line of progress; memory, scratch: in MiB."""

    def __init__(self, files, disks=None, line=print, memory=2048, scratch=8192):
        self.files, self.disks, self.line = files, disks or {}, line
        self.memory, self.scratch = memory, scratch

    def start(self, script, directory, out):
        """Returns the running process; it writes lines of progress to directory/lines."""
        raise NotImplementedError

    def status(self, code, directory, out):
        """The script's exit status from that of the process, or None."""
        raise NotImplementedError

    def run(self, script, out, timeout):
        """Runs the script; returns its exit status. What it left in out/, and the text on its console, is
        then in the directory. A script that comes to no end within the timeout is a LabError."""
        os.makedirs(out, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="kmcl-lab-") as directory:
            lines = os.path.join(directory, "lines")
            with open(lines, "wb"):
                pass
            follower = Follower(lines, self.line)
            try:
                code = self.wait(self.start(script, directory, out), timeout)
            finally:
                follower.finish()
            status = self.status(code, directory, out)
        if status is None:
            why = f"no end within {timeout} s" if code is None else f"died with status {code}"
            raise LabError(f"the machine: {why}; the end of its console:\n{tail(os.path.join(out, 'console'))}")
        return status

    def wait(self, p, timeout):
        try:
            return p.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if p.poll() is None:
                p.kill()
                p.wait()


class Emulated(Machine):
    def initramfs(self, outer, script):
        archive = Archive()
        initramfs.busybox(archive)
        initramfs.modules(archive, outer, initramfs.OUTER_MODULES)
        archive.text("init", OUTER_INIT)
        archive.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644)
        archive.text("etc/group", "root:x:0:\n", 0o644)
        archive.text("etc/resolv.conf", RESOLVER, 0o644)
        archive.file("lab/run", script, 0o755)
        for name, path in self.files.items():
            initramfs.program(archive, f"lab/{name}", path)
        for number, name in enumerate(self.disks):
            archive.link(f"lab/{name}", f"/dev/vd{chr(ord('c') + number)}")
        return archive.content()

    def drives(self, directory):
        """vda takes the results back, vdb is scratch space, vdc and on are the disks."""
        out, scratch = os.path.join(directory, "out.tar"), os.path.join(directory, "scratch.ext4")
        for path, size in ((out, 1 << 30), (scratch, self.scratch << 20)):
            with open(path, "wb") as f:
                f.truncate(size)
        run(["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard",
             scratch])
        args = []
        for path, options in ([(out, "cache=unsafe"), (scratch, "cache=unsafe,discard=unmap")] +
                              [(d, "snapshot=on") for d in self.disks.values()]):
            args += ["-drive", f"file={path},format=raw,if=virtio,{options}"]
        return args

    def start(self, script, directory, out):
        outer = kernel.get("cloud")
        with open(f"{directory}/outer.cpio", "wb") as f:
            f.write(self.initramfs(outer, script))
        self.serial = Line(f"{directory}/lines")
        # setpriv: however this process goes, the machine goes with it.
        args = [tool("setpriv"), "--pdeathsig", "KILL", tool("qemu-system-x86_64"),
                "-accel", "tcg,thread=multi,tb-size=512", "-cpu", CPU, "-M", "q35", "-smp", "1",
                "-m", str(self.memory), "-nographic", "-nodefaults", "-no-user-config", "-no-reboot",
                "-serial", f"file:{os.path.abspath(out)}/console", "-serial", "chardev:lines",
                "-chardev", f"socket,id=lines,fd={self.serial.machines.fileno()}",
                "-kernel", outer.image, "-initrd", f"{directory}/outer.cpio",
                "-append", "console=ttyS0 quiet panic=-1 mitigations=off nokaslr"]
        with open(f"{directory}/qemu.log", "wb") as log:
            p = subprocess.Popen(args + self.drives(directory), stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=log, pass_fds=[self.serial.machines.fileno()])
        self.serial.begin()
        return p

    def wait(self, p, timeout):
        code = super().wait(p, timeout)
        self.serial.join()
        return code

    def status(self, code, directory, out):
        with open(f"{directory}/qemu.log", encoding="utf-8", errors="replace") as f:
            said = f.read()
        if said:
            with open(f"{out}/console", "a", encoding="utf-8") as f:
                f.write(f"\nQEMU said: {said}")
        verdict = os.path.join(out, ".status")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(verdict)
        run(["tar", "-x", "-f", f"{directory}/out.tar", "--strip-components=1", "-C", out])
        if code != 0 or not os.path.exists(verdict):
            return None  # killed, or its kernel panicked
        with open(verdict, encoding="ascii") as f:
            return int(f.read())


class Direct(Machine):
    """Namespaces of its own: the script is root there, all that it started ends with it, and its network
    is nobody else's."""

    def start(self, script, directory, out):
        room = os.path.join(directory, "lab")
        os.makedirs(os.path.join(room, "scratch"))
        os.symlink(os.path.abspath(out), os.path.join(room, "out"))
        for name, path in self.disks.items():
            run(["cp", "--sparse=always", "--reflink=auto", path, os.path.join(room, name)])
        for name, path in list(self.files.items()) + [("run", script)]:
            target = os.path.join(room, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.symlink(os.path.abspath(path), target)
        os.mkdir(os.path.join(room, "bin"))
        for applet in run(["busybox", "--list"]).split():
            os.symlink(tool("busybox"), os.path.join(room, "bin", applet))
        with open(os.path.join(room, "resolv.conf"), "w", encoding="utf-8") as f:
            f.write(RESOLVER)
        init = os.path.join(directory, "init")
        with open(init, "w", encoding="utf-8") as f:
            f.write(DIRECT_INIT)
        with open(f"{out}/console", "wb") as console, open(f"{directory}/lines", "wb") as lines:
            return subprocess.Popen(
                [tool("unshare"), "--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child",
                 "--mount-proc", "sh", init, room],
                stdin=lines, stdout=console, stderr=console)

    def status(self, code, directory, out):
        return code if code is not None and code >= 0 else None


def tail(path, lines=25):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return "\n".join(f.read().splitlines()[-lines:])
    except OSError:
        return ""


def choose(where="auto"):
    """The kind of machine: "direct", "emulated", or what this one can do. Returns (class, why)."""
    where = os.environ.get("KMCL_GUEST_MACHINE", where)
    why = why_not_direct()
    if where == "direct" or where == "auto" and not why:
        return Direct, "directly on this machine's KVM"
    return Emulated, f"in an emulated machine ({why or 'as asked for'})"
