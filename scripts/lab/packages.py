# SPDX-License-Identifier: BSD-2-Clause
"""Debian packages of the guest, through apt and dpkg-deb; nothing is installed on this machine."""
import os
import re
import subprocess

from .common import HOME, LabError, Missing, locked, run, say, tool

CACHE = os.path.join(HOME, "cache")
# The guest's system begins empty: what is installed on this machine satisfies nothing there.
EMPTY = os.path.join(CACHE, "status")
LISTS = os.path.join(CACHE, "lists")


def apt(args, own_lists, cwd=CACHE):
    options = ["-o", f"Dir::State::status={EMPTY}", "-o", f"Dir::Cache={CACHE}", "-o", "Debug::NoLocking=1",
               "-o", "APT::Architecture=amd64", "-o", "APT::Sandbox::User="]
    if own_lists:
        options += ["-o", f"Dir::State::lists={LISTS}"]
    return run(["apt-get", "-q"] + options + args, cwd=cwd, env=dict(os.environ, LC_ALL="C"))


def with_lists(action):
    """Tries with this machine's package lists; where these are missing or old, with fresh ones of our own."""
    tool("apt-get")
    tool("dpkg-deb")
    os.makedirs(os.path.join(CACHE, "archives", "partial"), exist_ok=True)
    with open(EMPTY, "w", encoding="utf-8"):
        pass
    if os.path.isdir(LISTS):
        return action(True)
    try:
        return action(False)
    except LabError as e:
        first = str(e).splitlines()[-1]
    say("fetching package lists")
    os.makedirs(os.path.join(LISTS, "partial"), exist_ok=True)
    try:
        apt(["update"], True)
        return action(True)
    except LabError as e:
        raise Missing(f"no packages to be had: {e}\n(before that: {first})") from e


def resolve(names, own_lists):
    """All packages that these need in an empty system, as NAME=VERSION."""
    out = apt(["install", "-s", "--no-install-recommends", "-y"] + names, own_lists)
    return re.findall(r"^Inst (\S+) \((\S+)", out, re.M)


def file_of(name, version):
    """What apt-get download calls it."""
    for architecture in ("amd64", "all"):
        path = os.path.join(CACHE, "archives", f"{name}_{version.replace(':', '%3a')}_{architecture}.deb")
        if os.path.exists(path):
            return path
    return None


def fetch(names, only=None):
    """Downloads packages and what they depend on, or only those that match; returns the files' paths."""
    def action(own_lists):
        wanted = [(n.split(":")[0], v) for n, v in resolve(names, own_lists) if not only or re.fullmatch(only, n)]
        missing = [f"{n}={v}" for n, v in wanted if not file_of(n, v)]
        if missing:
            say(f"downloading {len(missing)} packages ({missing[0]}{', ...' if missing[1:] else ''})")
            apt(["download"] + missing, own_lists, cwd=os.path.join(CACHE, "archives"))
        return [file_of(n, v) for n, v in wanted]

    with locked("packages"):
        files = with_lists(action)
    if not files or None in files:
        raise LabError(f"apt found no package for {' '.join(names)}")
    return files


def unpack(package, directory, exclude=()):
    """The files of a package. A directory that is a link there, such as /lib, stays one."""
    with subprocess.Popen([tool("dpkg-deb"), "--fsys-tarfile", package], stdout=subprocess.PIPE) as deb:
        tar = subprocess.run([tool("tar"), "-x", "--keep-directory-symlink", "--no-same-owner", "-C", directory] +
                             [f"--exclude={pattern}" for pattern in exclude], stdin=deb.stdout, check=False)
    if deb.returncode or tar.returncode:
        raise LabError(f"{package} cannot be unpacked")
