/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * What the machine has that a guest cannot find out by itself: VMBus, and the serial port. Hyper-V's
 * own tables have VMBus under a module device whose _CRS is the window for devices' memory; Linux
 * looks for both names and takes the window from the nearest parent (drivers/hv/vmbus_drv.c).
 */
DefinitionBlock ("", "DSDT", 2, "KMCL", "KMCLVMM", 1)
{
    Name (\_S5, Package () { 5, 0, 0, 0 })

    Scope (\_SB)
    {
        Device (VMOD)
        {
            Name (_HID, "ACPI0004")
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                /* VMM_MMIO_BASE and VMM_MMIO_SIZE */
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                    0, 0xE0000000, 0xF7FFFFFF, 0, 0x18000000)
            })

            Device (VMBS)
            {
                Name (_HID, "VMBus")
                Name (_UID, 0)
                Name (_STA, 0x0F)
                Name (_CRS, ResourceTemplate () { IRQ (Edge, ActiveHigh, Exclusive) { 5 } })
            }
        }

        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 1)
            Name (_STA, 0x0F)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x03F8, 0x03F8, 1, 8)
                IRQ (Edge, ActiveHigh, Exclusive) { 4 }
            })
        }
    }
}
