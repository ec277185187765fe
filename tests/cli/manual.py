#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The man pages of the command say what its help says: every option, every part of one, every command, and
no others. Usage: manual.py KMCL DOCS_MAN. Output: TAP."""
import os
import re
import subprocess
import sys
import tempfile
import time

KMCL, PAGES = sys.argv[1:]
# Of each page, the helps that it is about.
COMMANDS = {
    "kmcl": [[]],
    "kmcl-host": [["host"]],
    "kmcl-guest": [["guest"], ["guest", "ls"], ["guest", "disk"], ["guest", "echo"]],
    "kmcl-boot": [["boot"]],
    "kmcl-ctl": [["ctl"]],
    "kmcl-demo": [["demo"]],
}
count = 0


def report(name, problem, skip=None):
    global count
    count += 1
    print(f"{'not ' if problem else ''}ok {count} - {name}{' # SKIP ' + skip if skip else ''}", flush=True)
    for line in problem:
        print(f"# {line}")


def help_of(words):
    return subprocess.run([KMCL, *words, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                          timeout=60).stdout.decode()


def page(name):
    """Its text without fonts, and the lines that head an entry: those after .TP."""
    with open(os.path.join(PAGES, name + ".1"), encoding="utf-8") as f:
        lines = f.read().replace("\\-", "-").replace("\\&", "").split("\n")
    lines = [re.sub(r"\\f.", "", line) for line in lines]
    heads = [b for a, b in zip(lines, lines[1:]) if a in (".TP", ".TQ")]
    return "\n".join(lines), heads


def options_in(text):
    """Of a help: the options at the beginning of a line, before their description."""
    lines = re.findall(r"^ {2,6}(-[^\n]*?)(?: {2,}[^\n]*)?$", text, re.M)
    return {o for line in lines for o in re.findall(r"(?<![\w-])--?[a-z][\w-]*", line)}


def parts_in(text):
    return {p + ("=" if value else "") for p, value in re.findall(r"^ +,(\w+)(=?)", text, re.M)}


def differences(what, said, written):
    return ([f"in the help, not in the page: {what} {x}" for x in sorted(said - written)] +
            [f"in the page, not in the help: {what} {x}" for x in sorted(written - said)])


def check_page(name, helps):
    text = "\n".join(help_of(words) for words in helps)
    whole, heads = page(name)
    said, written = options_in(text), {o for h in heads if re.match(r"\.\w+ -", h) for o in re.findall(r"(?<![\w-])--?[a-z][\w-]*", h)}
    # ls -v is a part of the command's line there
    written |= {o for o in ("-v", "--verbose") if o in said and o in whole}
    problem = differences("option", said, written)
    if not said:
        problem.append("the help has no options")
    refers = "kmcl-host (1)" in whole and name == "kmcl-boot"  # whose disks and networks they are
    parts = {m.group(1) + (m.group(2) or "") for h in heads
             for m in [re.match(r"\.BI? (\w+)(=)?(?: ?\w+| ?tcp.*)?$", h)] if m}
    said_parts = parts_in(text)
    problem += [f"in the help, not in the page: ,{p}" for p in sorted(said_parts - parts) if not refers]
    report(f"{name}(1) has the options of --help, and no others", problem)


def commands_in(text):
    """Of what `ctl help` says: the words before the arguments."""
    return {" ".join(re.findall(r"(?:^|(?<= ))[a-z]+(?= |$)", line.split("  ")[0].split("[")[0]))
            for line in re.findall(r"^  (\w[^\n]*)$", text, re.M)}


def check_ctl():
    with tempfile.TemporaryDirectory() as directory:
        control = os.path.join(directory, "ctl")
        host = subprocess.Popen([KMCL, "host", "--listen", f"unix:{directory}/bus", "--echo", "--control", control],
                                stdout=subprocess.DEVNULL)
        try:
            deadline = time.time() + 30
            while not os.path.exists(control) and time.time() < deadline and host.poll() is None:
                time.sleep(.01)
            mode = os.stat(control).st_mode & 0o777 if os.path.exists(control) else None
            text = subprocess.run([KMCL, "ctl", "--control", control, "help"], stdout=subprocess.PIPE, check=False,
                                  timeout=60).stdout.decode()
        finally:
            host.terminate()
            host.wait(30)
    report("the control socket is its owner's alone", [] if mode == 0o600 else [f"its mode is {mode}"])
    whole = re.sub(r'["\s,]+', " ", page("kmcl-ctl")[0])
    missing = [c for c in sorted(commands_in(text)) if not re.search(rf"\b{c}\b", whole)]
    report("kmcl-ctl(1) has the commands that a host lists",
           [f"not in the page: {c}" for c in missing] + ([] if text else ["the host listed nothing"]))


def check_variables():
    """What the library and the command read from the environment is in a page."""
    text = "".join(page(name)[0] for name in COMMANDS)
    report("KMCL_RAM_MB is in kmcl(1)", [] if "KMCL_RAM_MB" in page("kmcl")[0] else ["it is not"])
    report("TMPDIR is in kmcl-demo(1)", [] if "TMPDIR" in text else ["it is not"])


def main():
    for name, helps in COMMANDS.items():
        if not help_of(helps[0]):
            report(f"{name}(1)", [], "this build has no such command")
            continue
        check_page(name, helps)
    check_ctl()
    check_variables()
    print(f"1..{count}")


main()
