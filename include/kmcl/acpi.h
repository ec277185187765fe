/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KMCL_ACPI_H
#define KMCL_ACPI_H

/*
 * ACPI tables by which guests find VMBus: for authors of virtual machine monitors.
 * docs/embedding.md walks through both ways. A monitor that has tables adds one to them, an SSDT
 * with VMBus's two devices: kmcl_acpi_vmbus(), or the same from share/kmcl/vmbus.aml, whose source
 * is beside it. A monitor that has none gets all that a kernel needs: kmcl_acpi_build().
 *
 *     struct kmcl_acpi_options options = {
 *             .size = sizeof(options), .processors = 1, .address = 0xe0000 };
 *     size_t size;
 *
 *     kmcl_acpi_build(&options, memory + 0xe0000, 0x10000, &size);
 *
 * These functions only write bytes: they need no virtual machine, and any thread may call them.
 */

#include <kmcl/api.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- VMBus's devices ---- */

#define KMCL_ACPI_MMIO_BASE 0xe0000000u
#define KMCL_ACPI_MMIO_SIZE 0x18000000u /* 384 MiB */

struct kmcl_acpi_vmbus_options {
	uint32_t size; /* sizeof(struct kmcl_acpi_vmbus_options) */
	/* An interrupt of VMBus's device, 3 to 15 but for 9: nothing is ever raised there. Linux
	 * before 4 and Haiku do not look at the bus without one. A guest takes it as edge-triggered
	 * and as nobody else's: no other device may have that line. 0: none, as no other guest
	 * needs. */
	uint32_t irq;
	/* The window for memory of VMBus's devices (video, virtual PCI), which the guest deals out:
	 * whole pages above 1 MiB where there is neither memory nor anything else, nor a window of
	 * PCI's. 0: KMCL_ACPI_MMIO_BASE, KMCL_ACPI_MMIO_SIZE. Microsoft's tables have at most 2 GiB
	 * in one piece. */
	uint64_t mmio_base, mmio_size;
};

/*
 * Writes an SSDT with VMBus's devices, to be named in a monitor's XSDT. `options` may be NULL.
 * *size gets how many bytes it needs, also where `capacity` is less; nothing is written then, and
 * `buffer` may be NULL. \_SB.VMOD in it is a name that the DSDT may not have. -ENOSPC: the table is
 * longer than `capacity`; -EINVAL: the options, or a window that wraps around, lies below 1 MiB or
 * over the interrupt controllers; -E2BIG.
 */
KMCL_API int kmcl_acpi_vmbus(const struct kmcl_acpi_vmbus_options *options, void *buffer,
                             size_t capacity, size_t *size);

/* ---- all of it, for monitors that have none ---- */

#define KMCL_ACPI_PROCESSORS_MAX 255u

/* Where guests that are told nothing look for the first table: on 16 bytes from here on. */
#define KMCL_ACPI_ADDRESS 0xe0000u

/* Ports, a byte each, that the tables name; the monitor answers them. */
#define KMCL_ACPI_SLEEP_PORT  0x600u /* written; KMCL_ACPI_POWER_OFF is what powers off */
#define KMCL_ACPI_STATUS_PORT 0x601u /* read as 0; what is written means nothing */
#define KMCL_ACPI_RESET_PORT  0x602u /* written: KMCL_ACPI_RESET resets */
#define KMCL_ACPI_POWER_OFF   0x34u
#define KMCL_ACPI_RESET       0x01u

struct kmcl_acpi_options {
	uint32_t size;       /* sizeof(struct kmcl_acpi_options) */
	uint32_t processors; /* 1 to KMCL_ACPI_PROCESSORS_MAX; their local APICs are 0, 1, ... */
	/* Where the guest has the buffer, a multiple of 16: KMCL_ACPI_ADDRESS, or another that the
	 * kernel is told (Linux: acpi_rsdp_addr in its boot parameters). It is to be reserved in
	 * the memory map. */
	uint64_t address;
	const struct kmcl_acpi_vmbus_options *vmbus; /* NULL: all as by default */
	/* The monitor's own DSDT, a whole table with its header, which is copied; where it is to
	 * power off, it has a \_S5 whose type is 5. NULL: one with that and with the serial port.
	 */
	const void *dsdt;
	uint32_t dsdt_size;
	/* The first of a serial port's 8 ports, a 16550's, and its interrupt, 3 to 15,
	 * edge-triggered; 0: none. A guest of a machine like this knows of no serial port by
	 * itself. */
	uint16_t serial_port;
	uint16_t serial_irq;
};

/*
 * Writes RSDP, XSDT, FADT, MADT, DSDT and VMBus's SSDT. The RSDP is the first. They tell of a
 * hardware-reduced machine: of ACPI there are KMCL_ACPI_SLEEP_PORT, KMCL_ACPI_STATUS_PORT and
 * KMCL_ACPI_RESET_PORT, and no timer, events or interrupt; beside it no PIT, no CMOS clock that has
 * alarms, no VGA. The interrupt controllers are where KVM has them: the IOAPIC at 0xfec00000, with
 * interrupts from 0 on, and local APICs at 0xfee00000. *size gets how many bytes it needs, also
 * where `capacity` is less; nothing is written then, and `buffer` may be NULL. -ENOSPC: the tables
 * are longer than `capacity`; -EINVAL: the options, the tables lie outside of what a guest can
 * address or over the interrupt controllers or the window, or `dsdt` is no DSDT of that size;
 * -E2BIG.
 */
KMCL_API int kmcl_acpi_build(const struct kmcl_acpi_options *options, void *buffer, size_t capacity,
                             size_t *size);

#ifdef __cplusplus
}
#endif

#endif
