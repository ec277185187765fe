/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * All tables of a hardware-reduced machine, which has no fixed registers but sleep and reset.
 * Source: ACPI specification 6.5, chapters 4.8.3 and 5.2.
 */

#include "acpi/table.h"

#include <kmcl/options.h>

#include <errno.h>

#define GAS_IO 1u

struct gas {
	uint8_t space, bits, offset, access;
	uint64_t address;
} __attribute__((packed));

struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt, length;
	uint64_t xsdt;
	uint8_t checksum_extended, reserved[3];
} __attribute__((packed));
static_assert(sizeof(struct rsdp) == 36, "RSDP");

struct xsdt {
	struct table_header header;
	uint64_t tables[3];
} __attribute__((packed));

struct fadt {
	struct table_header header;
	uint32_t facs, dsdt;
	uint8_t fixed[109 - 44];
	uint16_t boot_architecture;
	uint8_t reserved;
	uint32_t flags;
	struct gas reset;
	uint8_t reset_value;
	uint16_t arm_boot;
	uint8_t minor;
	uint64_t x_facs, x_dsdt;
	uint8_t x_fixed[244 - 148];
	struct gas sleep_control, sleep_status;
	uint64_t hypervisor;
} __attribute__((packed));
static_assert(offsetof(struct fadt, boot_architecture) == 109, "FADT");
static_assert(offsetof(struct fadt, reset) == 116, "FADT");
static_assert(offsetof(struct fadt, x_dsdt) == 140, "FADT");
static_assert(offsetof(struct fadt, sleep_control) == 244, "FADT");
static_assert(sizeof(struct fadt) == 276, "FADT");

#define FADT_WBINVD         (1u << 0)
#define FADT_RESET          (1u << 10)
#define FADT_HW_REDUCED     (1u << 20)
#define FADT_LEGACY_DEVICES (1u << 0) /* a serial port */
#define FADT_NO_VGA         (1u << 2)
#define FADT_NO_CMOS_CLOCK  (1u << 5) /* none with an interrupt and an alarm; kernels read it */

struct madt_cpu {
	uint8_t type, length, processor, apic;
	uint32_t flags;
} __attribute__((packed));

struct madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t address, first_gsi;
} __attribute__((packed));

struct madt {
	struct table_header header;
	uint32_t lapic, flags;
	struct madt_ioapic ioapic;
	struct madt_cpu cpus[KMCL_ACPI_PROCESSORS_MAX];
} __attribute__((packed));
static_assert(offsetof(struct madt, cpus) == 44 + 12, "MADT");

#define MADT_IOAPIC      1
#define MADT_CPU_ENABLED 1

#define SLEEP_STATE_OFF 5
static_assert(KMCL_ACPI_POWER_OFF == (SLEEP_STATE_OFF << 2 | 0x20), "SLEEP_CONTROL_REG");

#define PORT_COUNT_SERIAL 8u
#define PORT_COUNT_OURS   (KMCL_ACPI_RESET_PORT + 1 - KMCL_ACPI_SLEEP_PORT)
#define DSDT_MAX          (16u << 20)

/* Where each is, from the first on. */
struct layout {
	uint64_t xsdt, fadt, madt, dsdt, ssdt, end;
};

/* ---- what is asked for ---- */

static bool dsdt_good(const struct kmcl_acpi_options *own)
{
	struct table_header header;

	if (!own->dsdt)
		return own->dsdt_size == 0;
	if (own->dsdt_size < sizeof(header) || own->dsdt_size > DSDT_MAX)
		return false;
	memcpy(&header, own->dsdt, sizeof(header));
	return memcmp(header.signature, "DSDT", 4) == 0 && header.length == own->dsdt_size &&
	       table_checksum(own->dsdt, own->dsdt_size) == 0;
}

static bool serial_good(const struct kmcl_acpi_options *own)
{
	if (!own->serial_port && !own->serial_irq)
		return true;
	return own->serial_port && own->serial_port <= 0x10000 - PORT_COUNT_SERIAL &&
	       !table_overlaps(own->serial_port, PORT_COUNT_SERIAL, KMCL_ACPI_SLEEP_PORT,
	                       PORT_COUNT_OURS) &&
	       own->serial_irq >= 3 && own->serial_irq <= 15;
}

static int take(struct kmcl_acpi_options *own, struct kmcl_acpi_vmbus_options *vmbus,
                const struct kmcl_acpi_options *theirs)
{
	int error = theirs ? kmcl_options_take(own, sizeof(*own), theirs) : -EINVAL;

	if (!error)
		error = vmbus_take(vmbus, own->vmbus);
	if (error)
		return error;
	if (own->processors < 1 || own->processors > KMCL_ACPI_PROCESSORS_MAX || !dsdt_good(own) ||
	    !serial_good(own) || (vmbus->irq && vmbus->irq == own->serial_irq))
		return -EINVAL;
	return 0;
}

static bool address_good(uint64_t address, uint64_t size,
                         const struct kmcl_acpi_vmbus_options *vmbus)
{
	return address && address % 16 == 0 && address < TABLE_ADDRESS_END &&
	       size <= TABLE_ADDRESS_END - address && !table_over_controllers(address, size) &&
	       !table_overlaps(address, size, vmbus->mmio_base, vmbus->mmio_size);
}

/* ---- the tables ---- */

static struct gas io_port(uint64_t port)
{
	return (struct gas){ .space = GAS_IO, .bits = 8, .access = 1, .address = port };
}

static void write_fadt(uint8_t *at, uint64_t dsdt)
{
	struct fadt fadt = {
		.dsdt = dsdt <= UINT32_MAX ? (uint32_t)dsdt : 0,
		.boot_architecture = FADT_LEGACY_DEVICES | FADT_NO_VGA | FADT_NO_CMOS_CLOCK,
		.flags = FADT_WBINVD | FADT_RESET | FADT_HW_REDUCED,
		.reset = io_port(KMCL_ACPI_RESET_PORT),
		.reset_value = KMCL_ACPI_RESET,
		.minor = 3,
		.x_dsdt = dsdt,
		.sleep_control = io_port(KMCL_ACPI_SLEEP_PORT),
		.sleep_status = io_port(KMCL_ACPI_STATUS_PORT),
	};

	table_seal(&fadt.header, "FACP", 6, sizeof(fadt));
	memcpy(at, &fadt, sizeof(fadt));
}

static uint32_t madt_size(uint32_t cpus)
{
	return (uint32_t)(offsetof(struct madt, cpus) + cpus * sizeof(struct madt_cpu));
}

static void write_madt(uint8_t *at, uint32_t cpus)
{
	struct madt madt = {
		.lapic = TABLE_LAPIC,
		.ioapic = { .type = MADT_IOAPIC,
		            .length = sizeof(madt.ioapic),
		            .address = TABLE_IOAPIC },
	};

	for (uint32_t i = 0; i < cpus; i++)
		madt.cpus[i] = (struct madt_cpu){
			.length = sizeof(madt.cpus[0]),
			.processor = (uint8_t)i,
			.apic = (uint8_t)i,
			.flags = MADT_CPU_ENABLED,
		};
	table_seal(&madt.header, "APIC", 4, madt_size(cpus));
	memcpy(at, &madt, madt_size(cpus));
}

static void write_xsdt(uint8_t *at, uint64_t base, const struct layout *layout)
{
	struct xsdt xsdt = {
		.tables = { base + layout->fadt, base + layout->madt, base + layout->ssdt },
	};

	table_seal(&xsdt.header, "XSDT", 1, sizeof(xsdt));
	memcpy(at, &xsdt, sizeof(xsdt));
}

static void write_rsdp(uint8_t *at, uint64_t xsdt)
{
	struct rsdp rsdp = {
		.signature = { 'R', 'S', 'D', ' ', 'P', 'T', 'R', ' ' },
		.oem = { 'K', 'M', 'C', 'L', ' ', ' ' },
		.revision = 2,
		.length = sizeof(rsdp),
		.xsdt = xsdt,
	};

	rsdp.checksum = table_checksum(&rsdp, offsetof(struct rsdp, length));
	rsdp.checksum_extended = table_checksum(&rsdp, sizeof(rsdp));
	memcpy(at, &rsdp, sizeof(rsdp));
}

/* dsdt.asl says the same in words. */
static void own_dsdt(const struct kmcl_acpi_options *own, struct aml *table)
{
	struct aml resources = { 0 };
	size_t scope, device;

	table_begin(table);
	aml_sleep_state(table, "_S5_", SLEEP_STATE_OFF);
	if (own->serial_port) {
		aml_ports(&resources, own->serial_port, PORT_COUNT_SERIAL);
		aml_interrupt(&resources, own->serial_irq);
		scope = aml_begin_scope(table, "_SB_");
		device = aml_begin_device(table, "COM1");
		aml_string(table, "_HID", "PNP0501");
		aml_integer(table, "_UID", 1);
		aml_resources(table, "_CRS", &resources);
		aml_end(table, device);
		aml_end(table, scope);
	}
	table_end(table, "DSDT");
}

/* ---- all of them ---- */

static uint64_t behind(uint64_t at, uint64_t size)
{
	return (at + size + 15) & ~UINT64_C(15);
}

static struct layout lay_out(uint32_t cpus, uint64_t dsdt_size, uint64_t ssdt_size)
{
	struct layout layout = { .xsdt = behind(0, sizeof(struct rsdp)) };

	layout.fadt = behind(layout.xsdt, sizeof(struct xsdt));
	layout.madt = behind(layout.fadt, sizeof(struct fadt));
	layout.dsdt = behind(layout.madt, madt_size(cpus));
	layout.ssdt = behind(layout.dsdt, dsdt_size);
	layout.end = layout.ssdt + ssdt_size;
	return layout;
}

int kmcl_acpi_build(const struct kmcl_acpi_options *options, void *buffer, size_t capacity,
                    size_t *size)
{
	struct kmcl_acpi_vmbus_options vmbus;
	struct kmcl_acpi_options own;
	struct aml ssdt, dsdt;
	struct layout layout;
	uint8_t *at = buffer;
	int error = take(&own, &vmbus, options);

	if (error)
		return error;
	vmbus_ssdt(&vmbus, &ssdt);
	own_dsdt(&own, &dsdt);
	if (!own.dsdt) {
		own.dsdt = dsdt.bytes;
		own.dsdt_size = (uint32_t)dsdt.size;
	}
	layout = lay_out(own.processors, own.dsdt_size, ssdt.size);
	if (!size || !address_good(own.address, layout.end, &vmbus))
		return -EINVAL;
	*size = layout.end;
	if (capacity < layout.end)
		return -ENOSPC;
	memset(at, 0, layout.end);
	write_rsdp(at, own.address + layout.xsdt);
	write_xsdt(at + layout.xsdt, own.address, &layout);
	write_fadt(at + layout.fadt, own.address + layout.dsdt);
	write_madt(at + layout.madt, own.processors);
	memcpy(at + layout.dsdt, own.dsdt, own.dsdt_size);
	memcpy(at + layout.ssdt, ssdt.bytes, ssdt.size);
	return 0;
}
