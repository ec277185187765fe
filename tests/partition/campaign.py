#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Does wrong things to both ends of unix:PATH, at random, and looks whether they bear it. Output: TAP.

    campaign.py --kmcl KMCL [--seconds N] [--seed S] [--round N] [CAMPAIGN...]

Campaigns: memory, somebody between a good host and a good guest, who writes over all the memory that they share
while disk and echo work, again and again, and does nothing else; between, the same one, who also changes what
they say, signals, and stops the guest; host, a hostile host (of host.py) against 'kmcl guest' and its drivers;
guest, a hostile guest against 'kmcl host'. Each has N seconds (5) and as many rounds as go into them.

What is looked at: no process ends by a signal, a failed assertion or a sanitizer; a guest that was ill-treated
ends by itself or comes to the next host in time; a host lets the next guest in; private memory stays bounded.

What is done in a round follows from the seed (default: random) and its number alone, when it happens does not.
A failure names both. KMCL_TEST_LOG in the environment: what the processes said is printed, too. A round that takes
far too long is a failure that says where it stood; SIGUSR1 has that printed at any time.
"""

import argparse
import contextlib
import faulthandler
import fcntl
import mmap
import os
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback

import vmbus
from host import (HELLO, MAGIC, MESSAGE, PAGE, PORT, REFUSE, SEALS, WELCOME, Gone, Guest, Host, Peer, Silent,
                  frame, message_frame)

PATIENCE = 40  # far more than anything takes, also under a sanitizer on a loaded machine
LONGEST = 2 * PATIENCE + 10  # a round: what waits in vain says so itself before that
RAM_MB = 16    # of a guest: little to write over
PRIVATE_MB = 64
SANITIZED_MB = 400  # with shadow memory and what is kept of freed blocks
BAD = re.compile(rb"AddressSanitizer|LeakSanitizer|ThreadSanitizer|MemorySanitizer|runtime error:|Assertion")
GONE = (Gone, Silent, OSError)


class Failure(Exception):
    pass


# ---- processes under test ----

class Process:
    """One that must bear everything, and what it says."""

    def __init__(self, settings, directory, *arguments):
        self.settings = settings
        self.log = tempfile.TemporaryFile(dir=directory)
        self.name = " ".join(arguments)
        env = dict(os.environ, KMCL_RAM_MB=str(RAM_MB))
        for tool in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            env[tool] = env.get(tool, "") + ":exitcode=99:quarantine_size_mb=16" * (tool[0] != "U") + \
                ":halt_on_error=1:print_stacktrace=1" * (tool[0] == "U")
        self.popen = subprocess.Popen([settings.kmcl, *arguments], stdin=subprocess.DEVNULL, env=env,
                                      stdout=subprocess.PIPE, stderr=self.log)
        os.set_blocking(self.popen.stdout.fileno(), False)
        self.pidfd = os.pidfd_open(self.popen.pid)  # readable when it has ended

    def ended(self):
        self.drain()
        return self.popen.poll() is not None

    def drain(self):
        with contextlib.suppress(BlockingIOError, ValueError):
            while self.popen.stdout.read(65536):
                pass

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def private_mb(self):
        try:
            with open(f"/proc/{self.popen.pid}/status", encoding="ascii") as status:
                found = re.search(r"RssAnon:\s*(\d+)", status.read())
        except (FileNotFoundError, ProcessLookupError):
            return 0
        return int(found[1]) // 1024 if found else 0

    def check(self, killed=False):
        """Its memory, its end if it has ended, and what it said."""
        most = SANITIZED_MB if self.settings.sanitized else PRIVATE_MB
        if self.private_mb() > most:
            raise Failure(f"{self.name}: {self.private_mb()} MiB of private memory, {most} were expected at most")
        status = self.popen.poll()
        good = (None, 0, 1, 2, 3) + ((-signal.SIGKILL,) if killed else ())
        if status not in good or BAD.search(self.said()):
            raise Failure(f"{self.name}: ended with {status}\n" + self.said()[-6000:].decode(errors="replace"))

    def kill(self):
        ended = self.ended()
        self.popen.send_signal(signal.SIGCONT)
        self.popen.kill()
        self.popen.wait()
        self.check(killed=not ended)

    def close(self):
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGCONT)
            self.popen.kill()
            self.popen.wait()
        if os.environ.get("KMCL_TEST_LOG"):
            for line in self.said().decode(errors="replace").splitlines():
                print("#", line)
        os.close(self.pidfd)
        self.popen.stdout.close()
        self.log.close()


def start_host(settings, directory, path):
    process = Process(settings, directory, "host", "--listen", "unix:" + path, "--disk",
                      os.path.join(directory, "disk.img"), "--echo")
    deadline = time.monotonic() + PATIENCE
    said = b""
    while b"listening" not in said:
        if not select.select([process.popen.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
            raise Failure("kmcl host does not listen")
        said += process.popen.stdout.read(4096) or b""
        if process.popen.poll() is not None:
            raise Failure("kmcl host ended:\n" + process.said().decode(errors="replace"))
    return process


WORK = [["disk", "bench", "-t", "2"], ["disk", "bench", "-t", "2", "-d", "4", "-s", "64k"],
        ["disk", "read", "-s", "4k", "/dev/null"], ["disk", "write", "-s", "4k", "data"],
        ["echo", "-n", "100000", "-d", "16"], ["echo", "-n", "20000", "-s", "8k", "-d", "4"]]
LITTLE_WORK = [["ls", "-vv"], ["disk", "info"], ["echo", "-n", "100000", "--one-way"]]


def start_guest(settings, directory, path, command):
    command = [os.path.join(directory, part) if part == "data" else part for part in command]
    return Process(settings, directory, "guest", "--connect", "unix:" + path, *command)


# ---- memory ----

def fill(rng, length):
    """What is written over something: zeros, ones, addresses, small numbers, noise."""
    pattern = rng.choice([bytes(8), b"\xff" * 8, struct.pack("<Q", 0x7f0000001000), struct.pack("<Q", 0x41414141),
                          struct.pack("<II", rng.randrange(64), rng.randrange(1 << 20)), rng.randbytes(4096)])
    return (pattern * (length // len(pattern) + 1))[:length]


CHUNK = 1 << 16


def write_over(memory, rng, spared=()):
    """All of it but some pages, once."""
    begin = 0
    data = memoryview(fill(rng, CHUNK))
    for end in sorted(page * PAGE for page in spared if page < len(memory) // PAGE) + [len(memory)]:
        while begin < end:
            here = min(CHUNK, end - begin)
            memory[begin:begin + here] = data[:here]
            begin += here
        begin = end + PAGE


def poke_ring(rng, memory, ring, theirs, idents):
    """A wrong thing in a ring that the other end reads (ring) or writes (theirs)."""
    which = rng.choice([ring, theirs])
    rng.choice([
        lambda: ring.put(memory, vmbus.any_packet(rng, idents)),
        lambda: [ring.put(memory, vmbus.any_packet(rng, idents)) for _ in range(20)],
        lambda: which.control(memory, rng.randrange(2), rng.choice([0, 8, ring.size - 8, rng.randrange(1 << 32)])),
        lambda: which.control(memory, rng.randrange(2, 17), rng.choice([0, 1, rng.randrange(1 << 32)])),
        lambda: which.write(memory, rng.randrange(which.size), rng.randbytes(rng.randrange(1, 500))),
        lambda: which.write(memory, 0, fill(rng, which.size)),
    ])()


# ---- a hostile host ----

class HostileHost:
    """One round: what is done to one guest."""

    def __init__(self, settings, directory, rng):
        self.settings, self.directory, self.rng = settings, directory, rng
        self.path = os.path.join(directory, "bus")

    def run(self):
        with contextlib.ExitStack() as stack:
            self.host = Host(self.path)
            stack.callback(self.host.close)
            self.process = start_guest(self.settings, self.directory, self.path,
                                       self.rng.choice(WORK + LITTLE_WORK))
            stack.callback(self.process.close)
            for _ in range(self.rng.randrange(1, 4)):
                if not self.one_session():
                    break
            self.process.check()
            self.comes_again()
            self.process.kill()

    def one_session(self):
        """False: the guest's process has ended."""
        try:
            sock = self.accept()
        except Silent:
            return False
        attack = self.rng.choice([self.wrong_hello] + [self.wrong_session] * 6)
        with contextlib.suppress(GONE, ValueError):
            attack(sock)
        sock.close()
        return not self.process.ended()

    def accept(self, patience=PATIENCE):
        """Silent: the guest has ended."""
        ready = select.select([self.host.listener, self.process.pidfd], [], [], patience)[0]
        if not ready:
            raise Failure(f"{self.process.name}: does not come for {patience} s")
        if self.host.listener not in ready:
            raise Silent("the guest has ended")
        return self.host.accept()

    def comes_again(self):
        """It is alive: it ends by itself, or says HELLO and makes contact."""
        while True:
            try:
                guest = Guest(self.accept())
                guest.welcome()
                while vmbus.kind_of(guest.message()[1]) != vmbus.CONTACT:
                    pass
                guest.close()
                return
            except Silent as silence:
                if self.process.ended():
                    return
                raise Failure(f"{self.process.name}: {silence}") from None
            except (Gone, OSError):
                pass  # one that it had given up

    def wrong_hello(self, sock):
        rng = self.rng
        answer = rng.choice([b"", b"x", frame(WELCOME, 0, rng.randbytes(16)), frame(REFUSE, rng.randrange(8), b"no\x1b[2J"),
                             frame(MESSAGE, 0, bytes(8)), rng.randbytes(rng.randrange(300)),
                             frame(WELCOME, 0, MAGIC + struct.pack("<II", rng.randrange(4), rng.randrange(2)))])
        if answer:
            sock.send(answer, socket.MSG_NOSIGNAL)
        time.sleep(rng.choice([0, 0.01]))

    def wrong_session(self, sock):
        self.guest = guest = Guest(sock)
        self.mine = []
        try:
            guest.welcome()
            self.heard = vmbus.Memory()
            self.idents = []
            self.channels = {1: vmbus.ECHO, 2: vmbus.SCSI}
            self.mine = [guest.listen(0x2000 + channel) for channel in self.channels if self.rng.random() < 0.8]
            self.talk(self.rng.uniform(0.01, 0.15), self.rng.choice([1, 1, 0.9, 0.5]))
            attacks = [self.wrong_frame, self.unasked, self.offers, self.rescinds, self.releases, self.write_over,
                       self.poke, self.poke, self.signals, self.ports, self.silence, self.answers, self.versions]
            attacks = self.rng.sample(attacks, 3)
            if self.heard.rings and self.rng.random() < 0.6:
                attacks[0] = self.rng.choice([self.write_over, self.poke, self.answers, self.rescinds])
            for attack in attacks:
                attack()
                self.process.check()
                self.talk(self.rng.uniform(0, 0.05), 0.9)
        finally:
            for port in self.mine:
                port.close()
            guest.close()

    def talk(self, seconds, honesty):
        """As a host does, `honesty` of the time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                _, data = self.guest.message(max(0, min(0.005, end - time.monotonic())))
            except Silent:
                self.serve()
                continue
            whole = self.heard.hear(data)
            for answer in self.answer(data, whole):
                self.say(answer, honesty)
            self.serve()

    def answer(self, data, gpadl):
        kind = vmbus.kind_of(data)
        if kind == vmbus.CONTACT:
            return [vmbus.version_response(tail=bytes(4) if word_is(data, 0, 0x60000) else b"")]
        if kind == vmbus.REQUEST_OFFERS:
            return [vmbus.offer(c, t, bytes([c] * 16)) for c, t in self.channels.items()] + \
                [vmbus.message(vmbus.ALL_OFFERS)]
        if gpadl:
            return [vmbus.words(vmbus.GPADL_CREATED, *gpadl, 0)]
        if kind == vmbus.OPEN:
            return [vmbus.words(vmbus.OPEN_RESULT, vmbus.word(data, 0), vmbus.word(data, 1), 0)]
        if kind == vmbus.GPADL_TEARDOWN:
            return [vmbus.words(vmbus.GPADL_TORNDOWN, vmbus.word(data, 1))]
        if kind == vmbus.MODIFY:
            return [vmbus.words(vmbus.MODIFY_RESPONSE, vmbus.word(data, 0), 0)]
        return [vmbus.message(vmbus.UNLOAD_COMPLETE)] if kind == vmbus.UNLOAD else []

    def say(self, data, honesty):
        rng = self.rng
        if rng.random() >= honesty:
            data = rng.choice([
                lambda: [], lambda: [data, data], lambda: [data[:rng.randrange(len(data))]],
                lambda: [data + rng.randbytes(rng.randrange(1, 9))], lambda: [mutated(rng, data)],
                lambda: [vmbus.anything_a_host_says(rng), data]])()
        else:
            data = [data]
        for one in data:
            self.guest.post(one[:240], patience=2)

    def serve(self):
        """Echoes what the guest sends, and completes all with nothing else."""
        for channel, (out, back) in self.heard.rings.items():
            for kind, flags, ident, payload in out.take(self.guest.memory):
                self.idents = (self.idents + [ident])[-8:]
                if flags & vmbus.WANTS_COMPLETION:
                    back.put(self.guest.memory, vmbus.packet(vmbus.COMPLETION, ident, payload))
                if channel in self.guest.ports:
                    self.guest.signal(channel)

    # ---- what is done besides ----

    def wrong_frame(self):
        rng = self.rng
        good = message_frame(vmbus.anything_a_host_says(rng))
        data = rng.choice([mutated(rng, good[:16]) + good[16:], good[:rng.randrange(1, len(good))],
                           good + bytes(rng.randrange(1, 300)), frame(rng.randrange(8), rng.randrange(9)),
                           frame(REFUSE, 3, b"\x1b]0;x\x07" * 20)])
        self.guest.send(data, rng.choice([[], [], [self.guest.sock.fileno()]]), patience=2)

    def unasked(self):
        for _ in range(self.rng.choice([5, 500])):
            self.guest.post(vmbus.anything_a_host_says(self.rng)[:240], patience=2)

    def offers(self):
        for channel in range(2, self.rng.choice([50, 3000])):
            self.guest.post(vmbus.offer(channel, self.rng.choice([vmbus.ECHO, vmbus.SCSI, self.rng.randbytes(16)]),
                                        self.rng.randbytes(16)), patience=2)

    def rescinds(self):
        for channel in range(self.rng.choice([3, 2048])):
            self.guest.post(vmbus.words(vmbus.RESCIND, channel), patience=2)

    def releases(self):
        """Each is answered with a message, and this host reads none."""
        for _ in range(self.rng.choice([50, 5000])):
            self.guest.post(vmbus.offer(7, self.rng.randbytes(16), bytes(16)), patience=2)
            self.guest.post(vmbus.words(vmbus.RESCIND, 7), patience=2)

    def answers(self):
        for _ in range(self.rng.choice([5, 1000])):
            self.guest.post(vmbus.words(self.rng.choice([6, 10, 12, 24]), self.rng.randrange(4), self.rng.randrange(9),
                                        self.rng.choice([0, 0x103])), patience=2)

    def versions(self):
        for _ in range(30):
            self.guest.post(vmbus.version_response(self.rng.randrange(2), self.rng.randrange(2)), patience=2)

    def write_over(self):
        for _ in range(self.rng.choice([1, 10])):
            write_over(self.guest.memory, self.rng,
                       self.heard.ring_pages() if self.rng.random() < 0.7 else ())

    def poke(self):
        for channel, (out, back) in self.heard.rings.items():
            for _ in range(self.rng.randrange(1, 10)):
                poke_ring(self.rng, self.guest.memory, back, out, self.idents)
                if channel in self.guest.ports:
                    self.guest.signal(channel)

    def signals(self):
        for _ in range(1000):
            for flag in self.guest.ports:
                self.guest.signal(flag)

    def ports(self):
        rng = self.rng
        mine, theirs = rng.choice([
            lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET),
            lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)])()
        ids = range(rng.choice([3, 2500]))
        for ident in ids:
            self.guest.send(frame(PORT, ident), [theirs.fileno()], patience=2)
        mine.close()
        theirs.close()

    def silence(self):
        time.sleep(0.1)


def word_is(data, index, value):
    return len(data) >= 12 + 4 * index and vmbus.word(data, index) == value


def mutated(rng, data):
    data = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        if data:
            data[rng.randrange(len(data))] = rng.choice([0, 1, 0xff, rng.randrange(256)])
    return bytes(data)


# ---- a hostile guest ----

class GoodGuest(Peer):
    """One that a host must let in, whoever was there before."""

    def __init__(self, path, pages=64, hello=None, seals=SEALS):
        super().__init__(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        self.memory_fd = os.memfd_create("guest", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.memory_fd, pages * PAGE)
        fcntl.fcntl(self.memory_fd, fcntl.F_ADD_SEALS, seals)
        self.sock.connect(path)
        self.send(hello or frame(HELLO, 0, MAGIC + struct.pack("<IIQ", 1, 0, pages * PAGE)), [self.memory_fd])

    def close(self):
        os.close(self.memory_fd)
        super().close()

    def say(self, data, connection=4, patience=2):
        self.send(frame(MESSAGE, connection, struct.pack("<II", 0, 0) + data[:240]), patience=patience)

    def hear(self, kind, patience=PATIENCE):
        end = time.monotonic() + patience
        while True:
            frame_kind, _, rest, _ = self.receive(max(0, end - time.monotonic()))
            if frame_kind == MESSAGE and vmbus.kind_of(rest[8:]) == kind:
                return rest[8:]


def let_in(path, process):
    """The host is alive: it makes contact with the next guest. Busy: it has not seen the last one go."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            guest = GoodGuest(path)
            try:
                if guest.receive()[0] == WELCOME:
                    guest.say(vmbus.contact())
                    guest.hear(vmbus.VERSION_RESPONSE)
                    return
            finally:
                guest.close()
        except (Gone, OSError) as why:
            if process.ended() or time.monotonic() > deadline:
                process.check()
                raise Failure(f"{process.name}: does not let a good guest in: {why}") from None
            time.sleep(0.01)
        except Silent:
            process.check()
            raise Failure(f"{process.name}: does not answer a good guest") from None


class HostileGuest:
    """One round against a host that lives through all of them."""

    def __init__(self, settings, directory, rng, host):
        self.rng, self.host = rng, host
        self.path = os.path.join(directory, "bus")

    def run(self):
        with contextlib.suppress(GONE, ValueError):
            self.rng.choice([self.wrong_hello] + [self.wrong_session] * 5)()
        self.host.check()
        let_in(self.path, self.host)

    def wrong_hello(self):
        rng = self.rng
        hello = frame(HELLO, 0, MAGIC + struct.pack("<IIQ", rng.choice([1, 1, 2]), rng.randrange(2),
                                                    rng.choice([0, 1, 4096, 64 * PAGE, 1 << 40, rng.randrange(1 << 64)])))
        guest = GoodGuest(self.path, hello=rng.choice([hello, mutated(rng, hello), b"x", rng.randbytes(300)]),
                          seals=rng.choice([SEALS, 0, fcntl.F_SEAL_SHRINK]))
        guest.receive(0.1)
        guest.close()

    def wrong_session(self):
        rng = self.rng
        self.guest = guest = GoodGuest(self.path, 1024)
        memory = mmap.mmap(guest.memory_fd, 1024 * PAGE)
        try:
            guest.receive(PATIENCE)
            self.heard = vmbus.Memory()
            self.open_channels(memory)
            for attack in rng.sample([self.wrong_frame, self.says, self.says, self.gpadls, self.halves, self.poke,
                                      self.poke, self.write_over, self.ports, self.does_not_read], 4):
                attack(memory)
                self.host.check()
        finally:
            memory.close()
            guest.close()

    def open_channels(self, memory):
        guest = self.guest
        guest.say(vmbus.contact())
        guest.hear(vmbus.VERSION_RESPONSE)
        guest.say(vmbus.message(vmbus.REQUEST_OFFERS))
        self.channels = []
        while True:
            kind, _, rest, _ = guest.receive()
            if kind == MESSAGE and vmbus.kind_of(rest[8:]) == vmbus.OFFER:
                self.channels.append(struct.unpack_from("<I", rest, 8 + 184)[0])
            elif kind == MESSAGE and vmbus.kind_of(rest[8:]) == vmbus.ALL_OFFERS:
                break
        for number, channel in enumerate(self.channels):
            if self.rng.random() < 0.2:
                continue
            first = 100 + 40 * number
            for one in vmbus.gpadl(channel, number + 1, list(range(first, first + 34))):
                self.heard.hear(one)
                guest.say(one)
            for one in [vmbus.open_channel(channel, number + 1, number + 1, 17)]:
                self.heard.hear(one)
                guest.say(one)

    def wrong_frame(self, memory):
        rng = self.rng
        good = frame(MESSAGE, 4, bytes(8) + vmbus.anything_a_guest_says(rng)[:240])
        data = rng.choice([mutated(rng, good[:16]) + good[16:], good[:rng.randrange(1, len(good))],
                           good + bytes(rng.randrange(1, 300)), frame(rng.randrange(8), rng.randrange(9))])
        self.guest.send(data, rng.choice([[], [], [self.guest.sock.fileno()]]), patience=2)

    def says(self, memory):
        for _ in range(self.rng.choice([5, 500])):
            self.guest.say(vmbus.anything_a_guest_says(self.rng), self.rng.choice([4, 4, 4, 1, 0x6b6d63, 99]))
            self.listen()

    def listen(self):
        with contextlib.suppress(Silent):
            while True:
                self.guest.receive(0)

    def gpadls(self, memory):
        for ident in range(100, 100 + self.rng.choice([5, 1000])):
            for one in vmbus.gpadl(self.rng.choice(self.channels + [5]), ident, [3] * self.rng.choice([1, 26, 300])):
                self.guest.say(one)
            self.listen()

    def halves(self, memory):
        for ident in range(5000, 5000 + self.rng.choice([5, 1000])):
            self.guest.say(vmbus.gpadl(self.rng.choice(self.channels), ident, [3] * 60)[0])
            self.listen()

    def poke(self, memory):
        for out, back in self.heard.rings.values():
            for _ in range(self.rng.randrange(1, 10)):
                poke_ring(self.rng, memory, out, back, [])
                for port in self.guest.ports:
                    self.guest.signal(port)
        self.listen()

    def write_over(self, memory):
        for _ in range(self.rng.choice([1, 20])):
            write_over(memory, self.rng, self.heard.ring_pages() if self.rng.random() < 0.5 else ())
            for port in self.guest.ports:
                self.guest.signal(port)

    def ports(self, memory):
        mine, theirs = socket.socketpair(socket.AF_UNIX, self.rng.choice([socket.SOCK_SEQPACKET, socket.SOCK_STREAM]))
        for ident in range(self.rng.choice([3, 2500])):
            self.guest.send(frame(PORT, ident), [theirs.fileno()], patience=2)
        mine.close()
        theirs.close()

    def does_not_read(self, memory):
        for _ in range(self.rng.choice([10, 2000])):
            self.guest.say(vmbus.anything_a_guest_says(self.rng), patience=0.1)


# ---- somebody between the two ----

class Between:
    """One round: a guest of our own, a host that lives on, and what is done to what goes between them."""

    def __init__(self, settings, directory, rng, host):
        self.settings, self.directory, self.rng, self.host = settings, directory, rng, host
        self.path = os.path.join(directory, "bus")
        self.front = os.path.join(directory, "front")

    def run(self):
        with contextlib.ExitStack() as stack:
            front = Host(self.front)
            stack.callback(front.close)
            process = start_guest(self.settings, self.directory, self.front, self.command())
            stack.callback(process.close)
            with contextlib.suppress(GONE):
                self.session(front, process)
            process.check()
            self.host.check()
            process.kill()
            let_in(self.path, self.host)

    def session(self, front, process):
        sock = front.accept(PATIENCE)
        data, descriptors, _, _ = socket.recv_fds(sock, 4096, 4)
        back = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        back.connect(self.path)
        socket.send_fds(back, [data], descriptors)
        self.guest, self.back = Peer(sock), Peer(back)
        try:
            self.memory = mmap.mmap(descriptors[0], struct.unpack_from("<Q", data, 24)[0])
            os.close(descriptors[0])
            self.relay(process)
        finally:
            self.guest.close()
            self.back.close()
            self.memory.close()

    def command(self):
        return self.rng.choice(WORK + LITTLE_WORK)

    def choose(self):
        """How much of what is said is changed, and what else is done."""
        rng = self.rng
        return rng.choice([0, 0, 0, 0.01, 0.1]), rng.choice([
            self.spare_rings, self.spare_rings, self.all_of_it, self.rings, self.signals, self.stop, self.inject,
            lambda process: None])

    def relay(self, process):
        """Until the time is over, the guest has ended, or what was done has ended the session."""
        rng = self.rng
        self.heard = vmbus.Memory()
        self.signalled = {self.guest: [], self.back: []}
        change, mischief = self.choose()
        begin = time.monotonic()
        end = begin + rng.uniform(0.2, 1.0)
        begin += rng.choice([0, 0.1, 0.3])
        while time.monotonic() < end and not process.ended():
            ready = select.select([self.guest.sock, self.back.sock], [], [], 0.002)[0]
            for sock in ready:
                self.pass_on(sock is self.guest.sock, change)
            if time.monotonic() >= begin:
                mischief(process)
        process.check()
        self.host.check()

    def pass_on(self, from_guest, change):
        source, to = (self.guest, self.back) if from_guest else (self.back, self.guest)
        data, descriptors, _, _ = socket.recv_fds(source.sock, 4096, 4)
        if not data:
            raise Gone("one has hung up")
        if from_guest and data[0] == MESSAGE:
            self.heard.hear(data[16:])
        if data[0] == PORT and descriptors and len(self.signalled[to]) < 64:
            self.signalled[to].append(socket.socket(fileno=os.dup(descriptors[0])))
        if self.rng.random() < change:
            data = self.changed(data, from_guest)
        for one in data if isinstance(data, list) else [data]:
            to.send(one, descriptors, patience=5)
        for descriptor in descriptors:
            os.close(descriptor)

    def changed(self, data, from_guest):
        """Frames stay good more often than not: a wrong one ends the session."""
        rng = self.rng
        head, rest = data[:16], data[16:]
        if data[0] != MESSAGE or rng.random() < 0.02:
            return mutated(rng, data)
        other = vmbus.anything_a_guest_says(rng) if from_guest else vmbus.anything_a_host_says(rng)
        rest = rng.choice([[], [rest, rest], [mutated(rng, rest)], [rest[:rng.randrange(len(rest) + 1)]],
                           [other[:240], rest], [rest, other[:240]]])
        return [struct.pack("<HH", MESSAGE, 16 + len(one)) + head[4:] + one for one in rest]

    def spare_rings(self, process):
        write_over(self.memory, self.rng, self.heard.ring_pages())

    def all_of_it(self, process):
        write_over(self.memory, self.rng)

    def rings(self, process):
        for pair in self.heard.rings.values():
            poke_ring(self.rng, self.memory, *self.rng.sample(pair, 2), [])

    def signals(self, process):
        for ports in self.signalled.values():
            for port in ports:
                with contextlib.suppress(OSError):
                    port.send(b"\0" * self.rng.choice([1, 1, 9]), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    def stop(self, process):
        process.popen.send_signal(self.rng.choice([signal.SIGSTOP, signal.SIGCONT]))

    def inject(self, process):
        self.guest.send(message_frame(vmbus.anything_a_host_says(self.rng)[:240]), patience=1)
        self.back.send(frame(MESSAGE, 4, bytes(8) + vmbus.anything_a_guest_says(self.rng)[:240]), patience=1)


class Overwritten(Between):
    """One round of writing over memory: rings aside, so that the work goes on, three times out of four."""

    def command(self):
        return self.rng.choice(WORK[:2] * 3 + WORK)

    def choose(self):
        return 0, self.rng.choice([self.spare_rings] * 3 + [self.all_of_it])


# ---- how far it has come ----

STANDS = ["nowhere yet"]  # the round that is under way, in words that begin it again


def where(frame):
    return "".join(traceback.format_stack(frame)[-12:])


def tell_where(_, frame):
    print(f"# {STANDS[0]} stands at\n# " + where(frame).replace("\n", "\n# "), flush=True)


def take_too_long(_, frame):
    raise Failure(f"takes more than {LONGEST} s; it stands at\n{where(frame)}")


def be_watched():
    """SIGUSR1 tells, by two ways, as Python's own does nothing while a call of C's does not return."""
    signal.signal(signal.SIGALRM, take_too_long)
    signal.signal(signal.SIGUSR1, tell_where)
    faulthandler.register(signal.SIGUSR1, chain=True)


@contextlib.contextmanager
def limited(seconds):
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


# ---- campaigns ----

CAMPAIGNS = {"memory": Overwritten, "between": Between, "host": HostileHost, "guest": HostileGuest}


def campaign(settings, name):
    """Rounds until the time is over; returns how many."""
    kind = CAMPAIGNS[name]
    directory = tempfile.mkdtemp(prefix="kmcl-campaign-")
    host = None
    number = settings.round or 0
    try:
        for what in ("disk.img", "data"):
            with open(os.path.join(directory, what), "wb") as image:
                image.write(random.Random(1).randbytes(2 << 20))
        if kind is not HostileHost:
            host = start_host(settings, directory, os.path.join(directory, "bus"))
        end = time.monotonic() + settings.seconds
        while time.monotonic() < end and (settings.round is None or number == settings.round):
            rng = random.Random(f"{settings.seed} {name} {number}")
            STANDS[0] = f"--seed {settings.seed} --round {number} {name}"
            try:
                with limited(LONGEST):
                    kind(settings, directory, rng, *([host] if host else [])).run()
            except Failure as failure:
                raise Failure(f"{STANDS[0]}: {failure}") from None
            number += 1
        if host:
            stop_host(host)
    finally:
        if host:
            host.close()
        shutil.rmtree(directory)
    return number


def stop_host(host):
    host.popen.terminate()
    deadline = time.monotonic() + PATIENCE
    while not host.ended():
        if time.monotonic() > deadline:
            raise Failure("kmcl host does not end after SIGTERM")
        time.sleep(0.01)
    host.check()


def is_sanitized(kmcl):
    with open(kmcl, "rb") as program:
        return re.search(rb"__[at]san_init", program.read()) is not None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kmcl", required=True)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--round", type=int)
    parser.add_argument("campaign", nargs="*", choices=[[], *CAMPAIGNS])
    settings = parser.parse_args()
    settings.sanitized = is_sanitized(settings.kmcl)
    be_watched()
    names = settings.campaign or list(CAMPAIGNS)
    failed = False
    print(f"1..{len(names)}")
    for number, name in enumerate(names, 1):
        try:
            rounds = campaign(settings, name)
            print(f"ok {number} - {name}: {rounds} rounds, seed {settings.seed}", flush=True)
        except Failure as failure:
            failed = True
            print(f"not ok {number} - {name}")
            print("# " + str(failure).replace("\n", "\n# "), flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
