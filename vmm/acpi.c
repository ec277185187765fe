/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The ACPI tables: a hardware-reduced machine, which has no fixed registers but sleep and reset.
 * Source: ACPI specification 6.3, chapter 5.2. What devices there are is in dsdt.asl.
 */

#include "machine.h"

#include <assert.h>
#include <string.h>

#include "dsdt.hex" /* dsdt_aml_code[], of iasl */

#define ACPI_GAS_IO 1u

struct acpi_gas {
	uint8_t space, bits, offset, access;
	uint64_t address;
} __attribute__((packed));

struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem[6], oem_table[8];
	uint32_t oem_revision;
	char creator[4];
	uint32_t creator_revision;
} __attribute__((packed));
static_assert(sizeof(struct acpi_header) == 36, "DESCRIPTION_HEADER");

struct acpi_rsdp {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt, length;
	uint64_t xsdt;
	uint8_t checksum_extended, reserved[3];
} __attribute__((packed));
static_assert(sizeof(struct acpi_rsdp) == 36, "RSDP");

struct acpi_xsdt {
	struct acpi_header header;
	uint64_t tables[2];
} __attribute__((packed));

struct acpi_fadt {
	struct acpi_header header;
	uint32_t facs, dsdt;
	uint8_t fixed[109 - 44];
	uint16_t boot_architecture; /* at 109 */
	uint8_t reserved;
	uint32_t flags;
	struct acpi_gas reset;
	uint8_t reset_value;
	uint16_t arm_boot;
	uint8_t minor;
	uint64_t x_facs, x_dsdt;
	uint8_t x_fixed[244 - 148];
	struct acpi_gas sleep_control, sleep_status;
	uint64_t hypervisor;
} __attribute__((packed));
static_assert(offsetof(struct acpi_fadt, boot_architecture) == 109, "FADT");
static_assert(offsetof(struct acpi_fadt, reset) == 116, "FADT");
static_assert(offsetof(struct acpi_fadt, x_dsdt) == 140, "FADT");
static_assert(offsetof(struct acpi_fadt, sleep_control) == 244, "FADT");
static_assert(sizeof(struct acpi_fadt) == 276, "FADT");

#define FADT_WBINVD         (1u << 0)
#define FADT_RESET          (1u << 10)
#define FADT_HW_REDUCED     (1u << 20)
#define FADT_LEGACY_DEVICES (1u << 0) /* a serial port */
#define FADT_NO_VGA         (1u << 2)
#define FADT_NO_CMOS_CLOCK  (1u << 5) /* none with an interrupt and an alarm; kernels read it */

struct acpi_madt_cpu {
	uint8_t type, length, processor, apic;
	uint32_t flags;
} __attribute__((packed));

struct acpi_madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t address, first_gsi;
} __attribute__((packed));

struct acpi_madt {
	struct acpi_header header;
	uint32_t lapic, flags;
	struct acpi_madt_ioapic ioapic;
	struct acpi_madt_cpu cpus[VMM_CPUS_MAX];
} __attribute__((packed));
static_assert(sizeof(struct acpi_madt) == 44 + 12 + 8 * VMM_CPUS_MAX, "MADT");

static uint8_t checksum(const void *bytes, size_t size)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + ((const uint8_t *)bytes)[i]);
	return (uint8_t)-sum;
}

static void seal(struct acpi_header *header, const char *signature, uint8_t revision,
                 uint32_t length)
{
	memcpy(header->signature, signature, 4);
	header->length = length;
	header->revision = revision;
	memcpy(header->oem, "KMCL  ", 6);
	memcpy(header->oem_table, "KMCLVMM ", 8);
	header->oem_revision = 1;
	memcpy(header->creator, "KMCL", 4);
	header->creator_revision = 1;
	header->checksum = 0;
	header->checksum = checksum(header, length);
}

static struct acpi_gas io_port(uint64_t port)
{
	return (struct acpi_gas){ .space = ACPI_GAS_IO, .bits = 8, .access = 1, .address = port };
}

static uint32_t build_fadt(uint8_t *at, uint64_t dsdt)
{
	struct acpi_fadt fadt = {
		.dsdt = (uint32_t)dsdt,
		.boot_architecture = FADT_LEGACY_DEVICES | FADT_NO_VGA | FADT_NO_CMOS_CLOCK,
		.flags = FADT_WBINVD | FADT_RESET | FADT_HW_REDUCED,
		.reset = io_port(VMM_PORT_RESET),
		.reset_value = VMM_RESET_VALUE,
		.minor = 3,
		.x_dsdt = dsdt,
		.sleep_control = io_port(VMM_PORT_SLEEP),
		.sleep_status = io_port(VMM_PORT_SLEEP_STATUS),
	};

	seal(&fadt.header, "FACP", 6, sizeof(fadt));
	memcpy(at, &fadt, sizeof(fadt));
	return sizeof(fadt);
}

static uint32_t build_madt(uint8_t *at, uint32_t cpus)
{
	struct acpi_madt madt = {
		.lapic = VMM_LAPIC,
		.ioapic = { .type = 1, .length = sizeof(madt.ioapic), .address = VMM_IOAPIC },
	};
	uint32_t size = (uint32_t)(offsetof(struct acpi_madt, cpus) + cpus * sizeof(madt.cpus[0]));

	for (uint32_t i = 0; i < cpus; i++)
		madt.cpus[i] = (struct acpi_madt_cpu){
			.length = sizeof(madt.cpus[0]),
			.processor = (uint8_t)i,
			.apic = (uint8_t)i,
			.flags = 1,
		};
	seal(&madt.header, "APIC", 4, size);
	memcpy(at, &madt, size);
	return size;
}

void acpi_build(const struct memory *memory, uint32_t cpus)
{
	uint8_t *base = memory_at(memory, VMM_ACPI_BASE, VMM_ACPI_SIZE);
	uint32_t at = 64; /* behind the RSDP */
	uint64_t dsdt = VMM_ACPI_BASE + at;
	struct acpi_xsdt xsdt = { 0 };
	struct acpi_rsdp rsdp = { .signature = "RSD PTR ", .oem = "KMCL ", .revision = 2 };

	memcpy(base + at, dsdt_aml_code, sizeof(dsdt_aml_code));
	at += ((uint32_t)sizeof(dsdt_aml_code) + 15) & ~15u;
	xsdt.tables[0] = VMM_ACPI_BASE + at;
	at += (build_fadt(base + at, dsdt) + 15) & ~15u;
	xsdt.tables[1] = VMM_ACPI_BASE + at;
	at += (build_madt(base + at, cpus) + 15) & ~15u;
	seal(&xsdt.header, "XSDT", 1, sizeof(xsdt));
	memcpy(base + at, &xsdt, sizeof(xsdt));
	rsdp.xsdt = VMM_ACPI_BASE + at;
	rsdp.length = sizeof(rsdp);
	rsdp.checksum = checksum(&rsdp, 20);
	rsdp.checksum_extended = checksum(&rsdp, sizeof(rsdp));
	memcpy(base, &rsdp, sizeof(rsdp));
}
