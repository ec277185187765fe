/* SPDX-License-Identifier: BSD-2-Clause */

/* I/O ports: the serial port, the clock, sleep and reset; and the few that kernels touch on any PC.
 */

#include "machine.h"

#include <string.h>

#define PORT_CLOCK_INDEX   0x70u
#define PORT_CLOCK_DATA    0x71u
#define PORT_KEYBOARD      0x64u
#define KEYBOARD_RESET     0xfeu
#define PORT_CHIPSET_RESET 0xcf9u
#define CHIPSET_RESET      0x04u

static void out(struct vmm *vmm, uint16_t port, uint8_t value)
{
	if (port - VMM_PORT_SERIAL < 8u)
		serial_write(vmm->serial, (uint8_t)(port - VMM_PORT_SERIAL), value);
	else if (port == PORT_CLOCK_INDEX)
		clock_select(&vmm->clock, value);
	else if (port == KMCL_ACPI_SLEEP_PORT && value == KMCL_ACPI_POWER_OFF)
		vmm_end(vmm, VMM_POWERED_OFF, "the guest powered off");
	else if ((port == KMCL_ACPI_RESET_PORT && value == KMCL_ACPI_RESET) ||
	         (port == PORT_KEYBOARD && value == KEYBOARD_RESET) ||
	         (port == PORT_CHIPSET_RESET && value & CHIPSET_RESET))
		vmm_end(vmm, VMM_REBOOTED, "the guest reset itself");
}

static uint8_t in(struct vmm *vmm, uint16_t port)
{
	if (port - VMM_PORT_SERIAL < 8u)
		return serial_read(vmm->serial, (uint8_t)(port - VMM_PORT_SERIAL));
	if (port == PORT_CLOCK_DATA)
		return clock_read(&vmm->clock, time(NULL));
	if (port == KMCL_ACPI_SLEEP_PORT || port == KMCL_ACPI_STATUS_PORT)
		return 0;
	return 0xff;
}

/* All that is here is 8 bits wide; a wider access is somebody looking for PCI. */
void ports_access(struct vmm *vmm, uint16_t port, bool is_out, void *data, uint32_t size)
{
	uint8_t *byte = data;

	if (size != 1 && !is_out)
		memset(data, 0xff, size);
	else if (size == 1 && is_out)
		out(vmm, port, *byte);
	else if (size == 1)
		*byte = in(vmm, port);
}
