/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The DSDT of a machine that knows nothing of VMBus: a serial port, and a PCI bus with a memory window that ends
 * where VMBus's begins, whose devices' INTA is line 5.
 */
DefinitionBlock ("", "DSDT", 2, "TEST", "PCI     ", 1)
{
    Name (\_S5, Package () { 5, 0, 0, 0 })

    Scope (\_SB)
    {
        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 1)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x03F8, 0x03F8, 1, 8)
                IRQ (Edge, ActiveHigh, Exclusive) { 4 }
            })
        }

        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0, 0, 1)
                IO (Decode16, 0x0CF8, 0x0CF8, 1, 8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0xC000, 0xCFFF, 0, 0x1000)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite, 0,
                    0xC0000000, 0xDFFFFFFF, 0, 0x20000000)
            })
            Name (_PRT, Package () { Package () { 0x0001FFFF, 0, 0, 5 } })
        }
    }
}
