#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Compiles what drivers' sources look like with what `pkg-config --cflags kmcl` gives, and not a flag more.

    compile_sources.py SOURCES INCLUDE NT SPELLINGS

Each file of the directory SOURCES, as C with gcc and clang, as C++ with g++ and clang++, and with the line
that makes clang take MSVC's habits; the headers of the directory SPELLINGS together, with the first four. (Each
header alone is for scripts/check-install.) Every warning is an error, -Wshadow's too. A file may say `not: C++` in
its first lines, or `only: msvc`. TAP on stdout.
"""
import os
import subprocess
import sys
import tempfile

KMCL = ["-fshort-wchar", "-Wno-multichar"]  # kmcl_c_args in src/kmcl/meson.build
STRICT = ["-O1", "-c", "-Wall", "-Wextra", "-Wshadow", "-Werror"]
# as docs/drivers.md says; the last three are for glibc's and the C++ library's headers
MSVC = ["-fms-extensions", "-fms-compatibility", "-Wno-microsoft"]
MSVC_CXX = [*MSVC, "-fms-compatibility-version=19.30", "-fgnuc-version=4.2.1", "-D__STDC__=1"]
# what it is called: the compiler, its arguments
COMPILERS = {
    "gcc": ["gcc", "-xc", "-std=gnu11"],
    "clang": ["clang", "-xc", "-std=gnu11"],
    "g++": ["g++", "-xc++", "-std=gnu++17"],
    "clang++": ["clang++", "-xc++", "-std=gnu++17"],
    "clang, msvc": ["clang", "-xc", "-std=gnu11", *MSVC],
    "clang++, msvc": ["clang++", "-xc++", "-std=gnu++17", *MSVC_CXX],
}


def headers_of(directory):
    """As they are included."""
    found = []
    for top, _, files in os.walk(directory):
        found += [os.path.relpath(os.path.join(top, f), directory) for f in files if f.endswith(".h")]
    return sorted(found)


def write(directory, name, headers):
    """A source that includes them, each twice."""
    path = os.path.join(directory, name.replace("/", "_") + ".c")
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(f"#include <{header}>\n" for header in headers * 2)
        f.write("int alone;\n")
    return path


def wanted(name, path):
    with open(path, encoding="utf-8") as f:
        head = f.read(400)
    if "only: msvc" in head:
        return "msvc" in name
    return not ("not: C++" in head and "++" in name)


def tests_of(sources, spellings, work):
    files = [os.path.join(sources, f) for f in sorted(os.listdir(sources)) if f.endswith(".c")]
    tests = [(path, name) for path in files for name in COMPILERS if wanted(name, path)]
    spelled = write(work, "spellings", headers_of(spellings))
    return tests + [(spelled, name) for name in COMPILERS if "msvc" not in name]


def compile_one(compiler, includes, path):
    p = subprocess.run([*compiler, *STRICT, *KMCL, *(a for i in includes for a in ("-I", i)), path,
                        "-o", "/dev/null"],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return p.returncode, p.stdout.decode(errors="replace")


def main():
    sources, *includes = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="kmcl-sources-") as work:
        tests = tests_of(sources, includes[-1], work)
        print(f"1..{len(tests)}")
        failed = 0
        for number, (path, name) in enumerate(tests, 1):
            code, out = compile_one(COMPILERS[name], includes, path)
            print(f"{'not ok' if code else 'ok'} {number} - {os.path.basename(path)} with {name}", flush=True)
            if code:
                failed += 1
                print("\n".join("# " + line for line in out.splitlines()[:20]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
