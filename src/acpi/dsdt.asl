/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * What kmcl_acpi_build() writes for a machine that has no DSDT of its own: how to power off, and a serial port,
 * which a hardware-reduced machine has none of by itself (Linux arch/x86/kernel/acpi/boot.c: no legacy
 * interrupts there). Compiled by tests/acpi alone, which holds the two together.
 */
DefinitionBlock ("", "DSDT", 2, "KMCL", "KMCLACPI", 1)
{
    Name (\_S5, Package () { 5, 0, 0, 0 })

    Scope (\_SB)
    {
        Device (COM1)
        {
            Name (_HID, "PNP0501")
            Name (_UID, 1)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x03F8, 0x03F8, 1, 8)
                IRQ (Edge, ActiveHigh, Exclusive) { 4 }
            })
        }
    }
}
