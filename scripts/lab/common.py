# SPDX-License-Identifier: BSD-2-Clause
"""Where things are kept, how progress is said, and how a tool is run."""
import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HOME = os.path.abspath(os.environ.get("KMCL_GUEST_LAB") or os.path.join(ROOT, "build-guest"))
START = time.monotonic()


class LabError(Exception):
    """Something outside is missing or failed; the text is for the user."""


class Missing(LabError):
    """This machine lacks what is needed: a test that meets this is skipped."""


def say(text):
    """Progress, on standard error."""
    print(f"[{time.monotonic() - START:6.1f} s] {text}", file=sys.stderr, flush=True)


def tool(name):
    """The path of a program, also of one in the administrator's directories."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not found:
        raise Missing(f"{name} is not installed (scripts/packages guest)")
    return found


def run(args, **kw):
    """Runs a tool; returns what it printed."""
    p = subprocess.run([tool(args[0])] + args[1:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True, errors="replace", check=False, **kw)
    if p.returncode:
        said = "\n".join((p.stdout + p.stderr).strip().splitlines()[-15:])
        raise LabError(f"{' '.join(args[:6])}: exit status {p.returncode}\n{said}")
    return p.stdout


@contextlib.contextmanager
def locked(name):
    """One process at a time makes the thing of that name."""
    os.makedirs(HOME, exist_ok=True)
    with open(os.path.join(HOME, f".{name}.lock"), "w", encoding="utf-8") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def is_current(path, stamp):
    """Whether the thing was made from what the stamp tells."""
    try:
        with open(path + ".stamp", encoding="utf-8") as f:
            return f.read() == stamp and os.path.exists(path)
    except OSError:
        return False


def set_current(path, stamp):
    with open(path + ".stamp", "w", encoding="utf-8") as f:
        f.write(stamp)
