# SPDX-License-Identifier: BSD-2-Clause
"""Debian packages of the guest, through apt and dpkg-deb; nothing is installed on this machine."""
import contextlib
import os
import re
import shutil
import subprocess

from .common import HOME, LabError, Missing, locked, run, say, tool

CACHE = os.path.join(HOME, "cache")
# The guest's system begins empty: what is installed on this machine satisfies nothing there.
EMPTY = os.path.join(CACHE, "status")
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
MIRROR = "http://deb.debian.org/debian"


class Source:
    """Where apt looks. own: in fresh package lists of our own, not this machine's; suite: in those of another
    Debian, such as trixie or trixie-backports."""

    def __init__(self, own=False, suite=None):
        self.suite = suite
        self.lists = os.path.join(CACHE, f"lists-{suite}" if suite else "lists") if own or suite else None

    def options(self):
        options = ["-o", f"Dir::State::lists={self.lists}"] if self.lists else []
        if self.suite:
            options += ["-o", f"Dir::Etc::sourcelist={self.lists}.list", "-o", "Dir::Etc::sourceparts=-",
                        "-o", f"APT::Default-Release={self.suite}"]
        return options

    def is_there(self):
        return not self.lists or os.path.isdir(self.lists)

    def update(self):
        say(f"fetching package lists{' of ' + self.suite if self.suite else ''}")
        os.makedirs(os.path.join(self.lists, "partial"), exist_ok=True)
        if self.suite:
            with open(f"{self.lists}.list", "w", encoding="utf-8") as f:
                for suite in sorted({self.suite, self.suite.removesuffix("-backports")}):
                    f.write(f"deb [signed-by={KEYS}] {mirror()} {suite} main\n")
        try:
            apt(["update"], self)
        except LabError:
            shutil.rmtree(self.lists)
            raise


def mirror():
    """That of this machine."""
    with contextlib.suppress(LabError):
        targets = run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"])
        for uri in targets.split():
            if re.search(r"/debian/?$", uri):
                return uri
    return MIRROR


def apt(args, source, cwd=CACHE):
    options = ["-o", f"Dir::State::status={EMPTY}", "-o", f"Dir::Cache={CACHE}", "-o", "Debug::NoLocking=1",
               "-o", "APT::Architecture=amd64", "-o", "APT::Sandbox::User="]
    return run(["apt-get", "-q"] + options + source.options() + args, cwd=cwd, env=dict(os.environ, LC_ALL="C"))


def with_lists(action, suite):
    """Tries with the package lists that are there; where these are missing or old, with fresh ones."""
    tool("apt-get")
    tool("dpkg-deb")
    os.makedirs(os.path.join(CACHE, "archives", "partial"), exist_ok=True)
    with open(EMPTY, "w", encoding="utf-8"):
        pass
    source, first = Source(own=True, suite=suite), ""
    if not suite and not source.is_there():
        source = Source()
    if source.is_there():
        try:
            return action(source)
        except LabError as e:
            first = str(e).splitlines()[-1]
    source = Source(own=True, suite=suite)
    try:
        source.update()
        return action(source)
    except LabError as e:
        raise Missing(f"no packages to be had: {e}{f'{chr(10)}(before that: {first})' if first else ''}") from e


def resolve(names, source):
    """All packages that these need in an empty system, as NAME=VERSION."""
    out = apt(["install", "-s", "--no-install-recommends", "-y"] + names, source)
    return re.findall(r"^Inst (\S+) \((\S+)", out, re.M)


def file_of(name, version):
    """What apt-get download calls it."""
    for architecture in ("amd64", "all"):
        path = os.path.join(CACHE, "archives", f"{name}_{version.replace(':', '%3a')}_{architecture}.deb")
        if os.path.exists(path):
            return path
    return None


def fetch(names, only=None, suite=None):
    """Downloads packages and what they depend on, or only those that match; returns the files' paths."""
    def action(source):
        wanted = [(n.split(":")[0], v) for n, v in resolve(names, source) if not only or re.fullmatch(only, n)]
        missing = [f"{n}={v}" for n, v in wanted if not file_of(n, v)]
        if missing:
            say(f"downloading {len(missing)} packages ({missing[0]}{', ...' if missing[1:] else ''})")
            apt(["download"] + missing, source, cwd=os.path.join(CACHE, "archives"))
        return [file_of(n, v) for n, v in wanted]

    with locked("packages"):
        files = with_lists(action, suite)
    if not files or None in files:
        raise LabError(f"apt found no package for {' '.join(names)}")
    return files


def needs(package):
    """Names of what a package's file says it depends on, the first where there is a choice."""
    wanted = run(["dpkg-deb", "--field", package, "Depends"])
    return [re.split(r"[ :|(]", one.strip())[0] for one in wanted.split(",")]


def unpack(package, directory, exclude=()):
    """The files of a package. A directory that is a link there, such as /lib, stays one."""
    with subprocess.Popen([tool("dpkg-deb"), "--fsys-tarfile", package], stdout=subprocess.PIPE) as deb:
        tar = subprocess.run([tool("tar"), "-x", "--keep-directory-symlink", "--no-same-owner", "-C", directory] +
                             [f"--exclude={pattern}" for pattern in exclude], stdin=deb.stdout, check=False)
    if deb.returncode or tar.returncode:
        raise LabError(f"{package} cannot be unpacked")
