/* SPDX-License-Identifier: BSD-2-Clause */

/* The table with VMBus's devices. vmbus.asl says the same in words, and why each is there. */

#include "acpi/table.h"

#include <kmcl/options.h>

#include <errno.h>

#define PAGE         0x1000u
#define WINDOW_FIRST 0x100000u /* Linux and FreeBSD pass over what is lower */
/* Interrupts that a device may have: not the timer's, the keyboard's, the second controller's, or
 * ACPI's. */
#define IRQS 0xfdf8u

static bool window_good(uint64_t base, uint64_t size)
{
	return base % PAGE == 0 && size % PAGE == 0 && base >= WINDOW_FIRST &&
	       base < TABLE_ADDRESS_END && size <= TABLE_ADDRESS_END - base &&
	       !table_over_controllers(base, size);
}

int vmbus_take(struct kmcl_acpi_vmbus_options *own, const struct kmcl_acpi_vmbus_options *theirs)
{
	int error = kmcl_options_take(own, sizeof(*own), theirs);

	if (error)
		return error;
	if (own->irq && (own->irq > 15 || !(IRQS & 1u << own->irq)))
		return -EINVAL;
	if (!own->mmio_base)
		own->mmio_base = KMCL_ACPI_MMIO_BASE;
	if (!own->mmio_size)
		own->mmio_size = KMCL_ACPI_MMIO_SIZE;
	return window_good(own->mmio_base, own->mmio_size) ? 0 : -EINVAL;
}

void vmbus_ssdt(const struct kmcl_acpi_vmbus_options *own, struct aml *table)
{
	struct aml window = { 0 }, interrupts = { 0 };
	size_t scope, module, bus;

	aml_window(&window, own->mmio_base, own->mmio_size);
	if (own->irq)
		aml_interrupt(&interrupts, own->irq);
	table_begin(table);
	scope = aml_begin_scope(table, "\\_SB_");
	module = aml_begin_device(table, "VMOD");
	aml_string(table, "_HID", "ACPI0004");
	aml_integer(table, "_UID", 0);
	aml_resources(table, "_CRS", &window);
	bus = aml_begin_device(table, "VMBS");
	aml_string(table, "_HID", "VMBus");
	aml_integer(table, "_UID", 0);
	aml_resources(table, "_CRS", &interrupts);
	aml_end(table, bus);
	aml_end(table, module);
	aml_end(table, scope);
	table_end(table, "SSDT");
}

int kmcl_acpi_vmbus(const struct kmcl_acpi_vmbus_options *options, void *buffer, size_t capacity,
                    size_t *size)
{
	struct kmcl_acpi_vmbus_options own;
	struct aml table;
	int error = vmbus_take(&own, options);

	if (error)
		return error;
	if (!size)
		return -EINVAL;
	vmbus_ssdt(&own, &table);
	*size = table.size;
	if (capacity < table.size)
		return -ENOSPC;
	memcpy(buffer, table.bytes, table.size);
	return 0;
}
