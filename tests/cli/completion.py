#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What bash and zsh complete is what the command's help says: every option of every command, the commands, and
what the options take. Usage: completion.py KMCL COMPLETIONS. Output: TAP."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

KMCL, FILES = (os.path.abspath(a) for a in sys.argv[1:])
COMMANDS = [["host"], ["guest", "disk"], ["boot"], ["ctl"], ["demo"]]
HARNESS = {
    # Each line of input is a command line, with its words apart by tabs; each line of output is what there is.
    "bash": r"""
source "$1"
while IFS= read -r line; do
    IFS=$'\t' read -ra COMP_WORDS <<<"$line"
    [[ $line == *$'\t' ]] && COMP_WORDS+=('')
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _kmcl
    (IFS=$'\t'; echo "${COMPREPLY[*]}")
done""",
    # The real compadd and _files work inside of the line editor only: these say what they are given.
    "zsh": r"""
source "$1"
compadd() { while [[ $1 == -* && $1 != -- ]]; do [[ $1 != -S ]] || shift; shift; done; shift; answer+=("$@") }
_files() { answer+=(*(N)) }
compset() { : }
while IFS= read -r line; do
    words=("${(@ps:\t:)line}")
    CURRENT=$#words
    answer=()
    _kmcl
    print -r -- "${(pj:\t:)answer}"
done""",
}
count = 0


def report(name, problem, skip=None):
    global count
    count += 1
    print(f"{'not ' if problem else ''}ok {count} - {name}{' # SKIP ' + skip if skip else ''}", flush=True)
    for line in problem:
        print(f"# {line}")


def help_options(words):
    text = subprocess.run([KMCL, *words, "--help"], stdout=subprocess.PIPE, check=False).stdout.decode()
    lines = re.findall(r"^ {2,6}(-[^\n]*?)(?: {2,}[^\n]*)?$", text, re.M)
    return {o for line in lines for o in re.findall(r"(?<![\w-])--?[a-z][\w-]*", line)}


def cases():
    """(words, what must be there, whether nothing else may be)"""
    for words in COMMANDS:
        options = help_options(words)
        if options:
            yield [*words, "-"], options, True
    yield [""], {"host", "guest", "demo", "ctl"}, False
    yield ["guest", "--connect", "unix:x", ""], {"ls", "disk", "echo"}, True
    yield ["guest", "disk", ""], {"info", "read", "write", "verify", "bench"}, True
    yield ["host", "--disk", ""], {"an.img"}, True
    yield ["host", "-d", "an.img,"], {"an.img,ro", "an.img,lun="}, False
    yield ["host", "--net", ""], {"user", "tap:"}, True
    yield ["host", "--listen", ""], {"unix:"}, True
    yield ["guest", "disk", "read", ""], {"an.img"}, True


def check(shell, directory):
    file = os.path.join(FILES, {"bash": "kmcl.bash", "zsh": "_kmcl"}[shell])
    wanted = list(cases())
    p = subprocess.run([shell, "-c", HARNESS[shell], shell, file], cwd=directory, check=False, timeout=280,
                       input="".join("\t".join([KMCL, *words]) + "\n" for words, _, _ in wanted).encode(),
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    answers = [set(line.split("\t")) - {""} for line in p.stdout.decode().split("\n")]
    for i, (words, must, exact) in enumerate(wanted):
        got = answers[i] if i < len(answers) else set()
        problem = [f"missing: {x}" for x in sorted(must - got)]
        problem += [f"too much: {x}" for x in sorted(got - must)] if exact else []
        report(f"{shell}: kmcl {' '.join(words)}", problem)
    report(f"{shell} complains of nothing", p.stderr.decode().splitlines())


def main():
    with tempfile.TemporaryDirectory() as directory:
        with open(os.path.join(directory, "an.img"), "w", encoding="utf-8"):
            pass
        for shell in ("bash", "zsh"):
            if shutil.which(shell):
                check(shell, directory)
            else:
                report(shell, [], f"{shell} is not installed")
    print(f"1..{count}")


main()
