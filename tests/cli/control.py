#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""'kmcl ctl' while others are at it: no command waits for another one, nor for a client that is slow or silent.
Usage: control.py KMCL. Output: TAP.

What waits here does so for a guest that never comes, for 5 s. That the others do not wait for it is seen by
the order in which answers come.
"""
import contextlib
import os
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

KMCL = sys.argv[1]
PATIENCE = 60
LIMIT = 16  # CONTROL_CLIENTS_MAX
TRIES = 4  # where the machine is so slow that 5 s are over before anything else was done
with open(KMCL, "rb") as program:
    AT_ONCE = 5 if re.search(rb"__[at]san_init", program.read()) else 1
QUESTIONS = ["shutdown"], ["reboot"], ["hibernate"], ["kvp", "get", "k"], ["kvp", "set", "k", "v"], \
    ["kvp", "delete", "k"], ["kvp", "list"], ["kvp", "ip", "00:00:00:00:00:00"]
count = 0
failed = 0


def report(name, problem=""):
    global count, failed
    count += 1
    failed += bool(problem)
    print("%sok %d - %s" % ("not " if problem else "", count, name))
    for line in problem.splitlines():
        print("# " + line)
    sys.stdout.flush()


class Host:
    def __init__(self, directory, *services):
        self.bus = os.path.join(directory, "bus")
        self.path = os.path.join(directory, "control")
        self.log = open(os.path.join(directory, "log"), "w+b")
        self.process = subprocess.Popen(
            [KMCL, "host", "--listen", "unix:" + self.bus, "--control", self.path, *services],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        deadline = time.time() + PATIENCE
        while self.said().find("listening") < 0:
            if time.time() > deadline or self.process.poll() is not None:
                sys.exit("Bail out! the host does not start: " + self.said())
            time.sleep(.01)

    def said(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def connect(self):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        sock.connect(self.path)
        return sock

    def begin(self, *words):
        """A command, whose answer is not waited for."""
        sock = self.connect()
        with contextlib.suppress(BrokenPipeError):  # it was turned away: read why
            sock.sendall(b"".join(w.encode() + b"\0" for w in words))
            sock.shutdown(socket.SHUT_WR)
        return sock

    def ask(self, *words):
        return rest_of(self.begin(*words))

    def end(self):
        """How long that took; the exit status; what it left behind."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        took = time.monotonic() - begin
        return took, status, [n for n in (os.listdir(os.path.dirname(self.bus))) if n not in ("log", "a.img")]


def rest_of(sock):
    """"0 \\n" and what comes after it."""
    with sock:
        text = b""
        with contextlib.suppress(ConnectionResetError):
            while part := sock.recv(65536):
                text += part
        return text.decode(errors="replace")


def unanswered(socks):
    """None of them has an answer, or has been hung up on."""
    return not select.select(socks, [], [], 0)[0]


@contextlib.contextmanager
def host(*services):
    with tempfile.TemporaryDirectory() as directory:
        image = os.path.join(directory, "a.img")
        with open(image, "wb") as f:
            f.truncate(1 << 20)
        h = Host(directory, *(s.replace("IMAGE", image) for s in services))
        try:
            yield h
        finally:
            if h.process.poll() is None:
                h.process.kill()
                h.process.wait()
            h.log.close()


class Questions:
    """Eight that are not answered for 5 s."""

    def __init__(self, h):
        self.h = h
        self.socks = [h.begin(*q) for q in QUESTIONS]

    def beside(self, *words):
        """What a command says before any of them is answered."""
        for _ in range(TRIES):
            text = self.h.ask(*words)
            if unanswered(self.socks):
                return text
            self.answers()
            self.socks = [self.h.begin(*q) for q in QUESTIONS]
        return "not before one of the questions"

    def answers(self):
        return [rest_of(q) for q in self.socks]


def among_questions():
    with host("--ic", "--echo", "--disk", "IMAGE") as h:
        questions = Questions(h)
        for words in (["info"], ["ls"], ["help"], ["heartbeat"], ["disk", "list"], ["disk", "heal", "0"],
                      ["disk", "fail", "0", "0", "1"], ["link", "up"]):
            text = questions.beside(*words)
            report("'%s' beside eight questions that nobody answers" % " ".join(words),
                   "" if text.startswith("1 there is no network" if words[0] == "link" else "0 ") else text)
        text = questions.beside("rescind", "ic")
        report("what they use is not taken back", "" if "in use by another command" in text else text)
        text = questions.beside("rescind", "echo")
        report("what they do not use is", "" if text.startswith(("0 ", "1 echo is not offered")) else text)
        wrong = [a for a in questions.answers() if not a.startswith("1 ") or "driver is not there" not in a]
        report("each question is answered in the end", "\n".join(map(str, wrong)))
        text = h.ask("rescind", "ic")
        report("then it is taken back", "" if text.startswith("0 ") else text)


def among_clients():
    """Who says nothing, little by little, or too much, and who does not hear the answer, in nearly all places."""
    with host("--echo") as h:
        slow = [h.connect() for _ in range(LIMIT - 3)]
        dripping, deaf = h.connect(), h.begin("help")
        text = h.ask("info")
        report("a command beside clients that say nothing", "" if text.startswith("0 ") and unanswered(slow) else text)
        begin, hung_up = time.time(), False
        while not hung_up and time.time() < begin + PATIENCE:
            try:
                dripping.send(b"x")
            except (BrokenPipeError, ConnectionResetError):
                hung_up = True
            hung_up = hung_up or bool(select.select([dripping], [], [], .2)[0])
        report("who never comes to an end has its place taken", "" if hung_up else "not in %d s" % PATIENCE)
        said = [rest_of(s) for s in slow]
        report("who says nothing, too", "\n".join(s for s in said if s))
        report("who hears late still hears", "" if rest_of(deaf).startswith("0 ") else "nothing")
        with h.connect() as sock:
            with contextlib.suppress(BrokenPipeError):
                sock.sendall(b"x" * 100000)
            text = rest_of(sock)
        report("who says too much is told so", "" if "16384" in text else text or "no answer")


def processor_time(pid, function):
    """The processor's time that the process took meanwhile, in seconds."""
    def ticks():
        with open("/proc/%d/stat" % pid, encoding="ascii") as f:
            return sum(map(int, f.read().rpartition(")")[2].split()[11:13]))

    before = ticks()
    function()
    return (ticks() - before) / os.sysconf("SC_CLK_TCK")


def too_many():
    with host("--echo") as h:
        silent = [h.connect() for _ in range(LIMIT)]
        text = h.ask("info")
        problem = "" if text.startswith("1 %d commands are under way" % LIMIT) else text or "no answer"
        report("one more than %d is told so" % LIMIT, problem)
        command = subprocess.run([KMCL, "ctl", "--control", h.path, "info"], capture_output=True, timeout=PATIENCE)
        said = command.stderr.decode(errors="replace")
        report("by the command as well", "" if command.returncode == 1 and "under way" in said else said)
        silent.pop().close()
        deadline = time.time() + PATIENCE
        while not (text := h.ask("info")).startswith("0 ") and time.time() < deadline:
            pass
        report("and let in when there is a place", "" if text.startswith("0 ") and unanswered(silent) else text)


def few_descriptors():
    """A host that can take no client waits, and does not try as fast as it can."""
    with host("--echo") as h:
        pid, before = h.process.pid, resource.prlimit(h.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
        waiting = h.begin("info")
        tried = processor_time(pid, lambda: time.sleep(1))
        problem = "" if unanswered([waiting]) else "somebody was answered\n"
        problem += "" if tried < .5 else "%.2f s of processor in a second\n" % tried
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        text = rest_of(waiting)
        report("a host without descriptors", problem or ("" if text.startswith("0 ") else text))


def told_to_go():
    with host("--ic", "--echo", "--disk", "IMAGE") as h:
        others = [h.begin(*q) for q in QUESTIONS] + [h.connect() for _ in range(LIMIT - len(QUESTIONS))]
        rest = "" if unanswered(others) else "somebody was answered before\n"
        took, status, left = h.end()
        if took >= AT_ONCE or status or left:
            rest += "%.2f s, exit status %d, left %s\n%s" % (took, status, left, h.said())
        report("SIGTERM beside questions and silent clients", rest)
        wrong = [t for t in map(rest_of, others) if "0 " in t]
        report("nobody is told that it was done", "\n".join(wrong))


among_questions()
among_clients()
too_many()
few_descriptors()
told_to_go()
print("1..%d" % count)
sys.exit(1 if failed else 0)
