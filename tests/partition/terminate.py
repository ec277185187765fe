#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""'kmcl host' among strangers, and 'kmcl guest' at a hostile host: told to end, each does, at once. Output: TAP.

    terminate.py --kmcl KMCL [host|fuse|guest]

What is measured is from kill() to the end of wait(), of the process itself. Before that a host has let good
guests in while the strangers were there: over 100 visitors of all kinds, and over 100 descriptors of which
the host's side has the last and whose close waits: TCP sockets that linger, or files of FUSE (SKIP where there
can be none).
"""

import argparse
import contextlib
import fcntl
import mmap
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

import vmbus
from campaign import GONE, GoodGuest, HostileHost, is_sanitized
from fuse_files import FuseFiles, NoFuse
from host import HELLO, MAGIC, MESSAGE, PAGE, PORT, SEALS, WELCOME, Gone, Host, Silent, frame, message_frame

TIMES, AT_ONCE = 2, 9  # of 6 kinds of visitors with a descriptor: over 100
SILENT = 17
PATIENCE = 30
LINGER = struct.pack("ii", 1, 3600)


class Failure(Exception):
    pass


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


# ---- what waits in its last close ----

class LingeringSockets:
    """With data that nobody reads."""

    def __init__(self):
        self.unread = []

    def prepare(self):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            mine = socket.socket()
            mine.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            mine.connect(listener.getsockname())
            self.unread.append(listener.accept()[0])
        mine.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
        mine.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                mine.send(bytes(65536))
        return mine.detach()

    def open(self, prepared):
        return prepared

    def close(self):
        for one in self.unread:
            one.close()


# ---- strangers ----

def hello(size):
    return frame(HELLO, 0, MAGIC + struct.pack("<IIQ", 1, 0, size))


def memory(pages=4):
    fd = os.memfd_create("stranger", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, pages * PAGE)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    return fd


def send(sock, data, descriptors=()):
    socket.send_fds(sock, [data], list(descriptors), socket.MSG_NOSIGNAL)


def in_a_wrong_hello(sock, fd):
    send(sock, hello(4 * PAGE)[:-1], [fd])


def behind_what_is_refused(sock, fd):
    send(sock, b"rubbish!")
    send(sock, b"xxxxxxxx", [fd])


def as_the_memory(sock, fd):
    send(sock, hello(4 * PAGE), [fd])


def beside_the_memory(sock, fd):
    send(sock, hello(4 * PAGE), [memory(), fd])


def behind_a_good_hello(sock, fd):
    """Whether it becomes the guest or not."""
    send(sock, hello(4 * PAGE), [memory()])
    send(sock, frame(MESSAGE, 4, bytes(8) + vmbus.contact()), [fd])


def in_the_queue_of_a_port(sock, fd):
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    send(mine, b"x", [fd])
    send(sock, hello(4 * PAGE), [memory()])
    send(sock, frame(PORT, 5), [theirs.fileno()])
    sock.shutdown(socket.SHUT_RDWR)  # or it would be the guest for ever


KINDS = [in_a_wrong_hello, behind_what_is_refused, as_the_memory, beside_the_memory, behind_a_good_hello,
         in_the_queue_of_a_port]


def connect(path):
    """Waits for its turn: so many may be there that nobody has accepted."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(path)
    return sock


def send_off(source, socks, how):
    """A process of its own sends a descriptor on each, and has them closed by exiting, which does not linger:
    whoever has the other end of the connection has the last of it. The connections stay."""
    prepared = [source.prepare() for _ in socks]
    go = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(go[1])
            os.read(go[0], 1)
            for sock, one in zip(socks, prepared):
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has been shown out already
                    how(sock, source.open(one))
        finally:
            os._exit(0)
    for one in prepared:
        if one is not None:
            os.close(one)  # the child has it
    for end in go:
        os.close(end)


class Strangers:
    def __init__(self, path, source):
        self.visitors = []
        for _ in range(TIMES):
            for how in KINDS:
                socks = [connect(path) for _ in range(AT_ONCE)]
                send_off(source, socks, how)
                self.visitors += socks
        self.visitors += [connect(path) for _ in range(SILENT)]

    def close(self):
        for sock in self.visitors:
            sock.close()


# ---- the host under test ----

def environment():
    """Sanitizers wait a second at the end, or look for leaks."""
    env = dict(os.environ, KMCL_RAM_MB="16")
    env["TSAN_OPTIONS"] = env.get("TSAN_OPTIONS", "") + ":atexit_sleep_ms=0"
    env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    return env


class Process:
    def __init__(self, kmcl, log, *arguments):
        self.log = open(log, "w+b")
        self.popen = subprocess.Popen([kmcl, *arguments], stdin=subprocess.DEVNULL, stdout=self.log,
                                      stderr=self.log, env=environment())

    def said(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def await_word(self, word):
        deadline = time.monotonic() + PATIENCE
        while word not in self.said():
            if self.popen.poll() is not None or time.monotonic() > deadline:
                raise Failure("it does not say '%s':\n%s" % (word, self.said()))
            time.sleep(0.01)

    def terminate(self, number=signal.SIGTERM):
        """How long it takes from kill() to the end of wait(); and the status."""
        begin = time.monotonic()
        os.kill(self.popen.pid, number)
        try:
            status = self.popen.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            status = None
        return time.monotonic() - begin, status

    def close(self):
        if self.popen.poll() is None:
            self.popen.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(5)  # longer than any but one that cannot be killed
        self.log.close()


def let_a_good_guest_in(path):
    """From connect() to the answer to its contact. Busy: the last one that was good enough is still there."""
    begin = time.monotonic()
    while time.monotonic() - begin < PATIENCE:
        guest = GoodGuest(path)
        try:
            if guest.receive()[0] == WELCOME:
                guest.say(vmbus.contact())
                guest.hear(vmbus.VERSION_RESPONSE)
                return time.monotonic() - begin
        except Gone as gone:
            if "busy" not in str(gone):
                raise Failure("a good guest: %s" % gone) from None
            time.sleep(0.005)
        finally:
            guest.close()
    raise Failure("no good guest is let in")


# ---- who is the guest when it is told to end ----

def one_that_reads_nothing(path):
    guest = GoodGuest(path)
    guest.say(vmbus.contact())
    with contextlib.suppress(Silent):
        for _ in range(100000):
            guest.say(vmbus.message(vmbus.REQUEST_OFFERS), patience=0.1)
    return [guest]


def one_that_asks_and_reads_no_answer(path):
    """Channels are open, and their rings full of requests."""
    guest = GoodGuest(path, 256)
    ram = mmap.mmap(guest.memory_fd, 256 * PAGE)
    guest.say(vmbus.contact())
    guest.hear(vmbus.VERSION_RESPONSE)
    guest.say(vmbus.message(vmbus.REQUEST_OFFERS))
    heard = vmbus.Memory()
    channels = []
    while True:
        kind, _, rest, _ = guest.receive()
        if kind == MESSAGE and vmbus.kind_of(rest[8:]) == vmbus.OFFER:
            channels.append(struct.unpack_from("<I", rest, 8 + 184)[0])
        elif kind == MESSAGE and vmbus.kind_of(rest[8:]) == vmbus.ALL_OFFERS:
            break
    for number, channel in enumerate(channels):
        first = 16 + 40 * number
        for one in vmbus.gpadl(channel, number + 1, list(range(first, first + 34))):
            heard.hear(one)
            guest.say(one)
        one = vmbus.open_channel(channel, number + 1, number + 1, 17)
        heard.hear(one)
        guest.say(one)
        guest.hear(vmbus.OPEN_RESULT)
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        for out, _ in heard.rings.values():
            for ident in range(30):
                out.put(ram, vmbus.packet(vmbus.INBAND, ident, struct.pack("<II", 1, 0) + bytes(1000),
                                          vmbus.WANTS_COMPLETION))
        for ident in list(guest.ports):
            guest.signal(ident)
    ram.close()
    return [guest]


GUESTS = [one_that_reads_nothing, one_that_asks_and_reads_no_answer]


def host_among(settings, directory, strangers_of, source, last_guest):
    path = os.path.join(directory, "bus")
    problem = ""
    with contextlib.ExitStack() as stack:
        host = Process(settings.kmcl, os.path.join(directory, "log"), "host", "--listen", "unix:" + path,
                       "--echo", "--disk", os.path.join(directory, "disk"))
        stack.callback(host.close)
        host.await_word("listening")
        let_a_good_guest_in(path)
        stack.callback(strangers_of(path, source).close)
        for _ in range(3):
            took = let_a_good_guest_in(path)
            print("# a good guest is let in after %.3f s" % took)
            if took > settings.limit:
                problem += "a good guest was let in after %.2f s\n" % took
        for one in last_guest(path):
            stack.callback(one.close)
        took, status = host.terminate()
        print("# %.3f s from SIGTERM to the end" % took)
        if took > settings.limit or status != 0:
            problem += "it ends after %.2f s, with status %s\n%s\n" % (took, status, host.said())
    return problem


def hosts_among(settings, directory, strangers, source, what):
    for last_guest in GUESTS:
        name = "a host among %s, its guest %s" % (what, last_guest.__name__.replace("_", " "))
        try:
            report(name, host_among(settings, directory, strangers, source, last_guest))
        except (Failure, Silent, Gone, OSError) as why:
            report(name, "%s: %s" % (type(why).__name__, why))


def test_host(settings, directory):
    sockets = LingeringSockets()
    hosts_among(settings, directory, Strangers, sockets, "sockets that linger")
    sockets.close()



# ---- a hostile host, in a process of its own ----

def accepts_nobody(host, source, ready):
    select.select([host.listener], [], [])
    ready()


def says_no_welcome(host, source, ready):
    sock = host.accept()
    sock.recv(4096)
    ready()
    sock.recv(4096)


def says_nothing_more(host, source, ready):
    guest = host.guest()
    guest.welcome()
    guest.message()
    ready()
    guest.sock.recv(4096)


def greet(host):
    guest = host.guest()
    guest.welcome()
    return Mischief(guest)


class Mischief(HostileHost):
    """One that does as it should, until it does not."""

    def __init__(self, guest):
        self.rng = random.Random(1)
        self.guest = guest
        self.heard = vmbus.Memory()
        self.idents = []
        self.channels = {1: vmbus.ECHO, 2: vmbus.SCSI}
        self.mine = [guest.listen(0x2000 + channel) for channel in self.channels]

    def open_all(self, serving):
        """Until a channel is open, or there is nothing more to say."""
        if not serving:
            self.serve = lambda: None
        while not self.heard.rings:
            try:
                self.talk(0.05, 1)
            except GONE:
                return


def serves_no_ring(host, source, ready):
    mischief = greet(host)
    mischief.open_all(False)
    ready()
    mischief.talk(PATIENCE, 1)


def floods(host, source, ready):
    """With what leaves the guest's channels alone; it is answered, and the answers are not read."""
    mischief = greet(host)
    mischief.open_all(False)
    for number in range(1000000):
        channel = 3 + number % 2000
        mischief.guest.post(vmbus.offer(channel, mischief.rng.randbytes(16), bytes(16)))
        mischief.guest.post(vmbus.words(vmbus.RESCIND, channel))
        for ident in mischief.guest.ports:
            mischief.guest.signal(ident)
        if number == 1000:
            ready()


def a_port_that_is_none(sock, fd):
    send(sock, frame(PORT, 5), [fd])


def beside_a_port(sock, fd):
    _, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    send(sock, frame(PORT, 5), [theirs.fileno(), fd])


def with_a_message(sock, fd):
    send(sock, message_frame(vmbus.message(vmbus.ALL_OFFERS)), [fd])


def in_a_ports_queue(sock, fd):
    """The port itself is good."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    send(mine, b"x", [fd])
    send(sock, frame(PORT, 5), [theirs.fileno()])


def sends(way):
    def host_that_sends(host, source, ready):
        mischief = greet(host)
        mischief.open_all(False)
        send_off(source, [mischief.guest.sock], way)
        with contextlib.suppress(*GONE):
            mischief.talk(0.3, 1)
        ready()
        with contextlib.suppress(*GONE):
            mischief.talk(PATIENCE, 1)
    return host_that_sends


# ---- the guest under test ----

READ, BENCH, ECHO, LS = ["disk", "read", "/dev/null"], ["disk", "bench"], ["echo"], ["ls"]


@contextlib.contextmanager
def guest_at(settings, directory, hostility, source, command):
    """A guest of a host that has come so far."""
    path = os.path.join(directory, "bus")
    host = Host(path)
    said, say = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(said)
            with contextlib.suppress(*GONE):
                hostility(host, source, lambda: os.write(say, b"x"))
            signal.pause()
        finally:
            os._exit(0)
    os.close(say)
    guest = Process(settings.kmcl, os.path.join(directory, "log"), "guest", "--connect", "unix:" + path,
                    "--timeout", "3000" if source else "60000", *command)
    try:
        if not select.select([said], [], [], PATIENCE)[0] or not os.read(said, 1):
            raise Failure("the host does not get that far; the guest says:\n" + guest.said())
        yield guest
    finally:
        guest.close()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(said)
        host.close()


def is_told_to_end(settings, directory, hostility, source, command):
    with guest_at(settings, directory, hostility, source, command) as guest:
        if guest.popen.poll() is not None:
            return "it has ended already:\n" + guest.said()
        took, status = guest.terminate()
        print("# %.3f s from SIGTERM to the end" % took)
        if took > settings.limit or not status or "ended by SIGTERM" not in guest.said():
            return "it ends after %.2f s, with status %s\n%s" % (took, status, guest.said())
    return ""


def ends_by_itself(settings, directory, hostility, source, command):
    with guest_at(settings, directory, hostility, source, command) as guest:
        begin = time.monotonic()
        try:
            status = guest.popen.wait(settings.patience)
        except subprocess.TimeoutExpired:
            status = None
        print("# it ends by itself, after %.3f s" % (time.monotonic() - begin))
        if not status or not guest.said():
            return "%s s, status %s\n%s" % (settings.patience, status, guest.said())
    return ""


def try_guest(settings, directory, what, test, *arguments):
    try:
        report(what, test(settings, directory, *arguments))
    except (Failure, OSError) as why:
        report(what, "%s: %s" % (type(why).__name__, why))


def guests_that_get(settings, directory, source, what):
    for way in a_port_that_is_none, beside_a_port, with_a_message:
        try_guest(settings, directory, "a guest that gets %s: %s" % (what, way.__name__.replace("_", " ")),
                  ends_by_itself, sends(way), source, ECHO)
    for command in READ, ECHO:
        name = "'%s' that has %s in a port's queue is told to end" % (" ".join(command), what)
        try_guest(settings, directory, name, is_told_to_end, sends(in_a_ports_queue), source, command)


def test_guest(settings, directory):
    for hostility, commands in ((accepts_nobody, [LS, READ]), (says_no_welcome, [LS, BENCH]),
                                (says_nothing_more, [LS, ECHO]), (serves_no_ring, [READ, BENCH, ECHO]),
                                (floods, [READ, ECHO])):
        for command in commands:
            try_guest(settings, directory, "'%s', whose host %s, is told to end" % (
                " ".join(command), hostility.__name__.replace("_", " ")), is_told_to_end, hostility, None, command)
    sockets = LingeringSockets()
    guests_that_get(settings, directory, sockets, "sockets that linger")
    sockets.close()


def test_fuse(settings, directory):
    try:
        files = FuseFiles()
    except NoFuse as why:
        report("files of FUSE", None, str(why))
        return
    try:
        hosts_among(settings, directory, Strangers, files, "files of FUSE")
        guests_that_get(settings, directory, files, "files of FUSE")
    finally:
        files.close()


TESTS = {"host": test_host, "guest": test_guest, "fuse": test_fuse}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kmcl", required=True)
    parser.add_argument("test", nargs="*", choices=[[], *TESTS])
    settings = parser.parse_args()
    sanitized = is_sanitized(settings.kmcl)
    settings.limit = 5.0 if sanitized else 1.0
    settings.patience = 30 if sanitized else 10
    for name in settings.test or list(TESTS):
        with tempfile.TemporaryDirectory(prefix="kmcl-terminate-") as directory:
            with open(os.path.join(directory, "disk"), "wb") as disk:
                disk.truncate(1 << 20)
            TESTS[name](settings, directory)
    print("1..%d" % count)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
