#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A host that is started with little, or told to go: it says what it lacks, and leaves nothing.
Usage: shortage.py KMCL. Output: TAP."""
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time

KMCL = sys.argv[1]
NOBODY = 65534
PATIENCE = 30
count = 0
failed = 0


def report(name, problem, skip=None):
    global count, failed
    count += 1
    failed += bool(problem)
    print("%sok %d - %s%s" % ("not " if problem else "", count, name, " # SKIP " + skip if skip else ""))
    for line in (problem or "").splitlines():
        print("# " + line)
    sys.stdout.flush()


class Host:
    def __init__(self, directory, prepare=None):
        self.path = os.path.join(directory, "bus")
        self.log = open(os.path.join(directory, "log"), "w+b")
        self.process = subprocess.Popen(
            [KMCL, "host", "--listen", "unix:" + self.path, "--echo"], stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log, preexec_fn=prepare)

    def listens(self):
        """Within a while, or it has ended."""
        deadline = time.time() + PATIENCE
        while time.time() < deadline and self.process.poll() is None:
            if os.path.exists(self.path):
                return True
            time.sleep(.01)
        return False

    def end(self, number):
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def said(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")


def guest(path):
    return subprocess.run([KMCL, "guest", "--connect", "unix:" + path, "echo", "-n", "10"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=PATIENCE)


def left(directory):
    return [n for n in os.listdir(directory) if n != "log"]


def told_to_go(number):
    with tempfile.TemporaryDirectory() as directory:
        host = Host(directory)
        problem = "" if host.listens() else "it does not listen\n"
        code = host.end(number)
        if code:
            problem += "exit status %d\n%s" % (code, host.said())
        if left(directory):
            problem += "it left %s\n" % left(directory)
        report("%s ends it, and nothing is left" % number.name, problem)


def without(descriptors):
    def prepare():
        for fd in descriptors:
            os.close(fd)

    with tempfile.TemporaryDirectory() as directory:
        host = Host(directory, prepare)
        problem = "" if host.listens() else "it does not listen\n"
        for fd in descriptors:
            link = os.readlink("/proc/%d/fd/%d" % (host.process.pid, fd))
            if link != "/dev/null":
                problem += "descriptor %d is %s\n" % (fd, link)
        answer = guest(host.path)
        if answer.returncode:
            problem += answer.stdout.decode()
        code = host.end(signal.SIGTERM)
        if code:
            problem += "exit status %d\n" % code
        report("descriptors %s closed at the start" % list(descriptors), problem)


def with_threads(limit):
    """Of a user who has no others. It serves, or says what it lacks; it does not abort."""
    def prepare():
        # To look for leaks takes a process of its own, which there may not be.
        os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))

    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o777)
        host = Host(directory, prepare)
        served = False
        if host.listens():
            served = guest(host.path).returncode == 0
        code = host.end(signal.SIGTERM)
        said = host.said()
        problem = ""
        if code < 0:
            problem = "signal %d\n%s" % (-code, said)
        elif not served and " thread" not in said and " process" not in said:
            problem = "it does not serve, and says only this:\n" + said
        elif not served and not code and "no guest can" not in said and "no thread" not in said:
            problem = "exit status 0\n" + said
        report("%d threads and processes: %s" % (limit, "served" if served else "said"), problem)
        return served


def can_be_nobody():
    def prepare():
        # To look for leaks takes a process of its own, which there may not be.
        os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    try:
        return not subprocess.run([KMCL, "--version"], preexec_fn=prepare, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL).returncode
    except (OSError, subprocess.SubprocessError):
        return False


for number in signal.SIGHUP, signal.SIGTERM, signal.SIGINT:
    signal.signal(number, signal.SIG_DFL)  # nohup has one of them ignored, and so would the host
    told_to_go(number)
for descriptors in (0, 1, 2), (0,), (1, 2), (2,):
    without(descriptors)
if can_be_nobody():
    served = [with_threads(limit) for limit in list(range(1, 11)) + [64]]
    report("with enough of them it serves", "" if served[-1] else "not with 64")
else:
    report("threads and processes are few", None, "the command cannot be run as another user here")
print("1..%d" % count)
sys.exit(1 if failed else 0)
