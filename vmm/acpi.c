/* SPDX-License-Identifier: BSD-2-Clause */

/* The ACPI tables, which are those that any monitor gets (kmcl/acpi.h). */

#include "machine.h"

#include <errno.h>

int acpi_build(const struct memory *memory, uint32_t cpus)
{
	struct kmcl_acpi_options options = {
		.size = sizeof(options),
		.processors = cpus,
		.address = VMM_ACPI_BASE,
		.serial_port = VMM_PORT_SERIAL,
		.serial_irq = VMM_SERIAL_IRQ,
	};
	void *at = memory_at(memory, VMM_ACPI_BASE, VMM_ACPI_SIZE);
	size_t size;

	return at ? kmcl_acpi_build(&options, at, VMM_ACPI_SIZE, &size) : -ENOMEM;
}
