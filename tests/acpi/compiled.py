#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What the library writes is what iasl makes of the sources beside it, and ACPICA takes all of it.

    compiled.py ACPI_WRITE SOURCES
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

HEADER = 36  # names who made it, and its sum
count = failed = 0


def result(ok, name, said=""):
    global count, failed
    count += 1
    failed += not ok
    print(f"{'' if ok else 'not '}ok {count} - {name}")
    if not ok:
        print("".join(f"# {line}\n" for line in said.splitlines()[-40:]), end="")


def run(*args, **kw):
    p = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       errors="replace", check=False, timeout=60, **kw)
    return p.returncode, p.stdout


def bytes_of(path):
    with open(path, "rb") as f:
        return f.read()


def compiled(iasl, source, directory):
    """The source's table, by the command that it says itself; a warning is a failure."""
    prefix = os.path.join(directory, "compiled")
    with open(source, encoding="utf-8") as f:
        flags = re.search(r"^ \*\s+iasl (.*) -p", f.read(), re.M)
    code, said = run(iasl, *(flags.group(1).split() if flags else []), "-we", "-p", prefix, source)
    clean = code == 0 and "0 Errors, 0 Warnings, 0 Remarks" in said
    return (bytes_of(prefix + ".aml") if clean else b""), said


def same(name, written, table, said):
    result(len(table) > HEADER and written[HEADER:] == table[HEADER:] and written[:9] == table[:9], name,
           f"{said}\nwritten:  {written.hex(' ')}\ncompiled: {table.hex(' ')}")


def all_tables(tools, write, sources, directory):
    code, said = run(write, directory)
    result(code == 0, "the tables are written", said)
    for table, source in (("SSDT", "vmbus.asl"), ("DSDT", "dsdt.asl")):
        same(f"{table}: what iasl makes of {source}", bytes_of(os.path.join(directory, table + ".aml")),
             *compiled(tools["iasl"], os.path.join(sources, source), directory))
    files = [os.path.join(directory, t + ".aml") for t in ("DSDT", "SSDT")]
    code, said = run(tools["acpiexec"], "-b", r"resources \_SB.VMOD; resources \_SB.VMOD.VMBS; resources \_SB.COM1; evaluate \_S5",
                     *files, cwd=directory)
    # there is no _SRS, which it tries as well
    faults = re.findall(r".*(?:Error|Warning|Exception|AE_(?!OK\b)[A-Z_]+).*", said.replace("AcpiSetCurrentResources failed: AE_NOT_FOUND", ""))
    result(code == 0 and not faults, "ACPICA loads both, one after the other", "\n".join(faults))
    result(re.search(r"Address Maximum : 0*F7FFFFFF", said, re.I) is not None, "and finds the window", said)
    for table in ("FACP", "APIC", "XSDT"):
        code, said = run(tools["iasl"], "-d", os.path.join(directory, table + ".aml"))
        text = os.path.join(directory, table + ".dsl")
        said += bytes_of(text).decode(errors="replace") if os.path.exists(text) else ""
        result(code == 0 and "Checksum" in said and not re.search(r"Incorrect checksum|Invalid|Error|Warning", said),
               f"{table}: iasl finds no fault", said)


def windows(iasl, write, sources, directory):
    for base, size, irq in ((0xd0000000, 0x8000000, 0), (0x800000000, 0x80000000, 0), (0x100000, 0x1000, 5),
                            (0xe0000000, 0x18000000, 12)):
        os.makedirs(directory, exist_ok=True)
        code, said = run(write, directory, hex(base), hex(size), str(irq))
        with open(os.path.join(sources, "vmbus.asl"), encoding="utf-8") as f:
            text = f.read()
        for name, value in ("BASE", base), ("LAST", base + size - 1), ("SIZE", size):
            text, n = re.subn(rf"^#define VMBUS_MMIO_{name} .*", f"#define VMBUS_MMIO_{name} {value:#x}", text, flags=re.M)
            assert n == 1, name
        source = os.path.join(directory, "vmbus.asl")
        with open(source, "w", encoding="utf-8") as f:
            f.write((f"#define VMBUS_IRQ {irq}\n" if irq else "") + text)
        table, words = compiled(iasl, source, directory)
        written = bytes_of(os.path.join(directory, "SSDT.aml")) if code == 0 else b""
        same(f"a window of {size:#x} at {base:#x}, interrupt {irq}", written, table, said + words)


def main():
    write, sources = sys.argv[1:]
    tools = {name: shutil.which(name) for name in ("iasl", "acpiexec")}
    missing = [name for name, path in tools.items() if not path]
    if missing:
        print(f"1..0 # SKIP {' and '.join(missing)} not installed (acpica-tools)")
        return 0
    with tempfile.TemporaryDirectory(prefix="kmcl-acpi-") as directory:
        all_tables(tools, write, sources, directory)
        windows(tools["iasl"], write, sources, os.path.join(directory, "windows"))
    print(f"1..{count}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
