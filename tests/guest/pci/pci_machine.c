/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A monitor with PCI: examples/boot_linux.c, to which a PCI bus is added, without its knowing, with
 * a serial port on it whose interrupt is level-triggered line 5. Its DSDT is pci.asl.
 *
 * pci_machine DSDT IRQ KERNEL INITRD DISK COMMAND-LINE: IRQ is VMBus's, 0 for none.
 */

#include <kmcl/acpi.h>

#include <stdint.h>
#include <sys/ioctl.h>

static int watched_ioctl(int fd, unsigned long request, uintptr_t argument);
static int build_more(const struct kmcl_acpi_options *options, void *buffer, size_t capacity,
                      size_t *size);
static int example_main(int argc, char **argv);

#define main                         example_main
#define kmcl_acpi_build              build_more
#define ioctl(fd, request, argument) watched_ioctl(fd, request, (uintptr_t)(argument))
#include "../../../examples/boot_linux.c" /* NOLINT */
#undef main
#undef kmcl_acpi_build
#undef ioctl

#define CONFIG_ADDRESS 0xcf8u
#define CONFIG_DATA    0xcfcu
#define CONFIG_ENABLE  0x80000000u
#define BAR_PORTS      0xc000u
#define INTA           5u

enum { BRIDGE, SERIAL, DEVICES };

/* The configuration that there is: dwords 0 to 15 of function 0 of each device. */
static uint32_t config[DEVICES][16] = {
	[BRIDGE] = { 0x0000f00d, 0, 0x06000000 },
	[SERIAL] = { 0x0001f00d, 0, 0x07000200, 0, BAR_PORTS | 1, [15] = 0x0100 | INTA },
};
static uint32_t config_address;
static uint32_t vmbus_irq;
static const char *dsdt;
static bool behind_pci; /* it is the other serial port's turn */

/* The example's tables, but for the DSDT, and with an interrupt of VMBus's. */
static int build_more(const struct kmcl_acpi_options *options, void *buffer, size_t capacity,
                      size_t *size)
{
	struct kmcl_acpi_vmbus_options vmbus = { .size = sizeof(vmbus), .irq = vmbus_irq };
	struct kmcl_acpi_options with = *options;

	with.vmbus = &vmbus;
	with.dsdt = file(dsdt, size);
	with.dsdt_size = (uint32_t)*size;
	return kmcl_acpi_build(&with, buffer, capacity, size);
}

/* ---- configuration space ---- */

static uint32_t *config_at(void)
{
	uint32_t device = config_address >> 11 & 31, rest = config_address & 0x00ff0700;

	if (!(config_address & CONFIG_ENABLE) || rest || device >= DEVICES ||
	    (config_address & 0xff) >= sizeof(config[0]))
		return NULL;
	return &config[device][(config_address & 0xff) / 4];
}

/* Of what is written, commands, the base address and the line are kept. */
static void config_write(uint32_t *at, uint32_t offset, const uint8_t *data, uint32_t size)
{
	ptrdiff_t dword = at ? (at - &config[0][0]) % 16 : 0;

	if (at == &config[SERIAL][4]) {
		memcpy((uint8_t *)at + offset, data, size);
		*at = (*at & ~7u) | 1;
	} else if (at && (dword == 1 || dword == 15) && offset + size <= (dword == 1 ? 2 : 1)) {
		memcpy((uint8_t *)at + offset, data, size);
	}
}

static void config_access(uint16_t port, bool out, uint8_t *data, uint32_t size)
{
	uint32_t offset = port & 3u;
	uint32_t *at = config_at();

	if (port < CONFIG_DATA) {
		if (size == 4)
			memcpy(out ? (void *)&config_address : data,
			       out ? data : (void *)&config_address, 4);
	} else if (out) {
		config_write(at, offset, data, size);
	} else if (at) {
		memcpy(data, (uint8_t *)at + offset, size);
	} else {
		memset(data, 0xff, size);
	}
}

/* ---- the second serial port ---- */

static void swap_serials(void)
{
	static typeof(m.serial) other;
	typeof(m.serial) this = m.serial;

	m.serial = other;
	other = this;
	behind_pci = !behind_pci;
}

static void serial_access(uint16_t reg, bool out, uint8_t *value)
{
	swap_serials();
	if (out)
		serial_write(reg, *value);
	else
		*value = serial_read(reg);
	swap_serials();
}

/* False: it is none of PCI's. */
static bool pci_port(void)
{
	uint16_t port = m.run->io.port;
	bool out = m.run->io.direction == KVM_EXIT_IO_OUT;
	uint8_t *data = (uint8_t *)m.run + m.run->io.data_offset;
	uint32_t base = config[SERIAL][4] & ~7u;

	if (m.run->exit_reason != KVM_EXIT_IO)
		return false;
	for (uint32_t i = 0; i < m.run->io.count; i++, data += m.run->io.size) {
		if (port >= CONFIG_ADDRESS && port < CONFIG_ADDRESS + 8)
			config_access(port, out, data, m.run->io.size);
		else if (port - base < 8u && m.run->io.size == 1)
			serial_access((uint16_t)(port - base), out, data);
		else
			return false;
	}
	return true;
}

/* All that the example asks of KVM: PCI's exits are kept from it, and the other port's interrupt is
 * another. */
static int watched_ioctl(int fd, unsigned long request, uintptr_t argument)
{
	int result;

	if (request == KVM_IRQ_LINE && behind_pci)
		((struct kvm_irq_level *)argument)->irq = INTA;
	do
		result = ioctl(fd, request, argument);
	while (request == KVM_RUN && result == 0 && pci_port());
	return result;
}

int main(int argc, char **argv)
{
	if (argc != 7)
		die("usage", "pci_machine DSDT IRQ KERNEL INITRD DISK COMMAND-LINE");
	dsdt = argv[1];
	vmbus_irq = (uint32_t)strtoul(argv[2], NULL, 0);
	return example_main(argc - 2, argv + 2);
}
