/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * VMBus for a machine's guests, as a table of its own beside whatever DSDT the machine has. kmcl_acpi_vmbus()
 * (kmcl/acpi.h) writes the same, with the window and the interrupt as options. By hand, with what is defined below
 * changed to the machine's:
 *
 *     iasl -vx 6033 -vw 3150 -p vmbus vmbus.asl
 *
 * (6033: to iasl a _HID of five characters is an error, but that is Hyper-V's. 3150: no resources at all.)
 *
 * It has what some guest needs, and no more. What Hyper-V's own tables have besides (_STA, _DIS, _PS0, _PS3,
 * _ADR, _DDN) no driver was found to look at: a device without _STA is there and works (ACPI 6.5, 6.3.7).
 *
 * VMOD, VMBS
 *     are found by these names by MacHyperVSupport (Info.plist, IONameMatch) and, VMBS, by Haiku's driver.
 * _HID ACPI0004, a module device
 *     FreeBSD attaches vmbus below it (sys/dev/acpica/acpi_container.c), Windows arbitrates the window there
 *     (Microsoft's Synthetic.asl), and to Linux it is a container, not a device whose memory is taken
 *     (drivers/acpi/container.c).
 * _UID
 *     tells it from other module devices; of VMBS, Windows makes the device's name of it.
 * _CRS of VMOD, the window
 *     Linux (drivers/hv/vmbus_drv.c, vmbus_walk_resources) and FreeBSD (sys/dev/hyperv/vmbus/vmbus.c, parse_crs)
 *     take address space descriptors from the nearest parent; a Memory32Fixed would be passed over. They give
 *     memory to video and to virtual PCI out of it, which kmcl does not have: nothing is ever there. Both end it
 *     at 0xFED40000, where Hyper-V has its TPM. Linux 3.x needs it to be there.
 * _HID VMBus
 *     is what Windows, Linux and NetBSD (sys/dev/acpi/vmbus_acpi.c) look for; ACPICA makes capitals of it
 *     (nsrepair2.c), which FreeBSD and Haiku ask for. OpenBSD, illumos and iPXE ask CPUID alone.
 * _CRS of VMBS
 *     has to be there, and may be empty: without it Linux takes the bus for absent (vmbus_acpi_add).
 * No interrupt in it
 *     Hyper-V's has IRQ 5, exclusive and edge-triggered, "so that Linux VMs can get IDT entries" (Synthetic.asl,
 *     which says that Windows on UEFI needs none; OpenVMM's has none). Interrupts of VMBus's are the synthetic
 *     interrupt controller's, and nothing comes there. But Linux sets that pin of the IOAPIC to edge, and a PCI
 *     device whose INTx is on it gets none. Linux before 4 (hv_acpi_init: irq <= 0) and Haiku look for one:
 *     #define VMBUS_IRQ 5, where no other device has line 5.
 */
#define VMBUS_MMIO_BASE 0xE0000000
#define VMBUS_MMIO_LAST 0xF7FFFFFF
#define VMBUS_MMIO_SIZE 0x18000000

DefinitionBlock ("", "SSDT", 2, "KMCL", "KMCLACPI", 1)
{
    Scope (\_SB)
    {
        Device (VMOD)
        {
            Name (_HID, "ACPI0004")
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite, 0,
                    VMBUS_MMIO_BASE, VMBUS_MMIO_LAST, 0, VMBUS_MMIO_SIZE)
            })

            Device (VMBS)
            {
                Name (_HID, "VMBus")
                Name (_UID, 0)
                Name (_CRS, ResourceTemplate ()
                {
#ifdef VMBUS_IRQ
                    IRQ (Edge, ActiveHigh, Exclusive) { VMBUS_IRQ }
#endif
                })
            }
        }
    }
}
