#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Each kmcl command with --json, against docs/json.md: one document on standard output and nothing else,
with the keys and types that the example there has.

Usage: documents.py KMCL KVP_GUEST_PROCESS JSON.MD. Output: TAP.
"""
import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

kmcl, kvp_guest, document = sys.argv[1:]
count = 0
printing = threading.Lock()


def report(good, name, *more):
    global count
    with printing:
        count += 1
        print(f"{'ok' if good else 'not ok'} {count} - {name}")
        if not good:
            for text in more:
                print("\n".join("# " + line for line in str(text).split("\n")))
        sys.stdout.flush()


def documented():
    """What the example under each heading is, by the heading's commands."""
    with open(document, encoding="utf-8") as f:
        parts = re.split(r"^## (`.*`)$", f.read(), flags=re.M)
    return {name: json.loads(re.search(r"```json\n(.*?)```", text, re.S).group(1))
            for names, text in zip(parts[1::2], parts[2::2]) for name in re.findall("`(.*?)`", names)}


def kind(value):
    return {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null"}.get(type(value))


def differences(example, actual, at=""):
    """Where the document is not as the example: null may stand for any value, there or here."""
    if example is None or actual is None:
        return []
    if isinstance(example, dict) and isinstance(actual, dict):
        wrong = [f"{at}.{k}: not there" for k in example.keys() - actual.keys()]
        wrong += [f"{at}.{k}: not documented" for k in actual.keys() - example.keys()]
        for k in example.keys() & actual.keys():
            wrong += differences(example[k], actual[k], f"{at}.{k}")
        return wrong
    if isinstance(example, list) and isinstance(actual, list):
        if not example:
            return [f"{at}: the example has no entry"] if actual else []
        return [w for a in actual for w in differences(example[0], a, at + "[]")]
    return [] if kind(example) and kind(example) == kind(actual) else [f"{at}: {example!r}, came {actual!r}"]


examples = documented()
seen = set()
directory = tempfile.mkdtemp()
bus, control = f"unix:{directory}/bus", f"{directory}/control"


def compare(name, text):
    seen.add(name)
    try:
        actual = json.loads(text)
    except ValueError as e:
        report(False, f"{name}: one JSON document", e, text)
        return None
    wrong = differences(examples[name], actual) if name in examples else ["it is not documented"]
    report(not wrong, f"{name}: one JSON document, as documented", *wrong)
    return actual


def run(name, *arguments, expected=0, stream=1):
    """The document, or None. A failure has none."""
    p = subprocess.run([kmcl, *arguments], stdin=subprocess.DEVNULL, timeout=100, capture_output=True)
    out = (p.stdout, p.stderr)
    report(p.returncode == expected, f"{' '.join(arguments[:1])} ... {name}: exit status {expected}",
           p.returncode, p.stderr.decode())
    if expected in (1, 2):
        report(not p.stdout, f"{name}: a failure prints no document", p.stdout)
        return None
    return compare(name, out[stream - 1].decode(errors="replace").strip())


def guest(command, *arguments, **more):
    return run("kmcl guest " + command, "guest", "--connect", bus, "--json", *command.split(), *arguments, **more)


def ctl(command, *arguments, **more):
    return run("kmcl ctl " + command, "ctl", "--control", control, "--json", *command.split(), *arguments, **more)


def wait(what, condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    print(f"Bail out! {what}")
    sys.exit(1)


def image(name, size=1 << 20):
    path = os.path.join(directory, name)
    with open(path, "wb") as f:
        f.write(os.urandom(size - 512) + bytes(512))
    return path


def has_user_network():
    """Which a host without it says before it looks at what is wrong here."""
    p = subprocess.run([kmcl, "host", "--listen", f"unix:{directory}/x", "--net", "user,hostfwd=x"],
                       capture_output=True, timeout=100)
    return b"libslirp" not in p.stderr


def say(path):
    with open(path, "rb") as f:
        return f.read()


def test_guest(a, b):
    guest("ls")
    disks = guest("disk info")
    report(disks and [d["serial"] for d in disks["disks"]] == ["A \"1\"", "B"], "the disks are those", disks)
    guest("disk read", f"{directory}/copy")
    guest("disk read", "-", stream=2)
    guest("disk write", "--disk", "0:1", a)
    same = guest("disk verify", "--disk", "0:1", a)
    report(same and same["same"] is True and same["differs_at"] is None, "what is the same is", same)
    other = guest("disk verify", "--disk", "0:1", b, expected=3)
    report(other and other["same"] is False and other["differs_at"] == 4096, "what differs is said where", other)
    guest("disk verify", "--sha256", "0" * 64, expected=3)
    guest("disk bench", "-t", "1")
    guest("echo", "-n", "100")
    guest("disk read", "--disk", "1:9", f"{directory}/copy", expected=1)
    guest("ls", "x", expected=2)


def test_control(a):
    commands = ctl("help")
    ctl("ls", "-vv")
    ctl("info")
    disks = ctl("disk list")
    report(disks and [(d["lun"], d["cd"]) for d in disks["disks"]] == [(0, False), (1, False), (9, True)],
           "the places are those", disks)
    ctl("disk add", a + ",ro")
    ctl("disk remove", "2")
    ctl("disk fail", "0", "8", "1")
    ctl("disk heal", "0")
    larger = ctl("disk resize", "1", "4M")
    report(larger and larger["size"] == 4 << 20, "a disk is made larger", larger)
    os.truncate(f"{directory}/b.img", 8 << 20)
    ctl("disk resize", "1")
    sizes = ctl("disk list")
    report(sizes and [d["size"] for d in sizes["disks"]] == [1 << 20, 8 << 20, 1 << 20], "and seen to be", sizes)
    ctl("disk resize", "0", "4M", expected=1)
    ctl("disk resize", "1", "large", expected=2)
    ctl("cd eject", "9")
    ctl("cd insert", "9", a)
    state = ctl("heartbeat")
    report(state and state["state"] == "no contact" and state["last_ms"] is None, "no heart has beaten", state)
    ctl("rescind", "echo")
    ctl("offer", "echo")
    ctl("disk remove", "8", expected=1)
    ctl("disk add", expected=2)
    return commands


def test_network():
    if has_user_network():
        ctl("link down")
        ctl("link up")
    else:
        for name in ("kmcl ctl link down", "kmcl ctl link up"):
            seen.add(name)
            report(True, f"{name} # SKIP built without libslirp")


def test_kvp():
    with open(f"{directory}/kvp.out", "wb") as out:
        p = subprocess.Popen([kvp_guest, bus], stdout=out)
    try:
        wait("the guest does not open its component", lambda: b"open" in say(f"{directory}/kvp.out"))
        entries = ctl("kvp list")
        report(entries and entries["entries"] == [
            {"key": 'name "of" it', "type": "string", "value": "grün\x01"},
            {"key": "number", "type": "u32", "value": "4000000000"}], "the values are the guest's", entries)
        ctl("kvp get", "number")
        ctl("kvp set", "key", "value")
        ctl("kvp delete", "key")
        ip = ctl("kvp ip", "00:15:5D:01:02:03")
        report(ip and ip["addresses"] == ["10.0.2.15", "fe80::1"] and ip["dns"] == [], "and its addresses", ip)
        ctl("kvp get", "nothing", expected=1)
    finally:
        p.send_signal(signal.SIGTERM)
        p.wait()


def test_refusals():
    """Those that need a guest of another kind: what they print when they do it is {}, as of all that say
    nothing, and here they fail, when they have waited for a while: all at once."""
    refusals = {"shutdown": 1, "reboot": 1, "hibernate": 1, "clock set": 1, "type": 2, "pointer": 2, "click": 2,
                "pause": 2, "resume": 2, "stop": 2}  # of a virtual machine, which this host has not
    with concurrent.futures.ThreadPoolExecutor(len(refusals)) as pool:
        for command, expected in refusals.items():
            pool.submit(ctl, command, expected=expected)
            seen.add("kmcl ctl " + command)


def main():
    a, b = image("a.img"), image("b.img")
    shutil.copy(a, f"{directory}/changed")
    with open(f"{directory}/changed", "r+b") as f:
        f.seek(4096)
        byte = f.read(1)[0]
        f.seek(4096)
        f.write(bytes([byte ^ 1]))
    network = ["--net", "user"] if has_user_network() else []
    out, err = open(f"{directory}/host.out", "wb"), open(f"{directory}/host.err", "wb")
    host = subprocess.Popen([kmcl, "host", "--listen", bus, "--control", control, "--json", "--echo", "--ic", "--keyboard", "--mouse",
                             "--disk", a + ",ro,serial=A \"1\"", "--disk", b + ",serial=B",
                             "--disk", a + ",cd,lun=9", *network], stdout=out, stderr=err)
    try:
        wait("the host does not listen", lambda: b"listening on " in say(f"{directory}/host.err")
             or host.poll() is not None)
        test_guest(a, f"{directory}/changed")
        commands = test_control(a)
        test_network()
        test_kvp()
        test_refusals()
    finally:
        host.send_signal(signal.SIGTERM)
        report(host.wait() == 0, "the host ends well", say(f"{directory}/host.err"))
    compare("kmcl host", say(f"{directory}/host.out").decode())
    run("kmcl demo", "demo", "--json", "--size", "8M", "--directory", directory)
    run("kmcl demo", "demo", "--json", "--size", "8M", "--directory", directory, "--keep")
    for c in commands["commands"] if commands else []:
        name = "kmcl ctl " + c["words"]
        report(name in seen and name in examples, f"{name} is tried here and documented")
    for name in examples:
        report(name in seen, f"{name}, which is documented, is tried here")
    print(f"1..{count}")


try:
    main()
finally:
    shutil.rmtree(directory, ignore_errors=True)
