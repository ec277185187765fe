/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ACPI_TABLE_H
#define ACPI_TABLE_H

/* What all tables have in common, and the two of them that are made of AML. Source: ACPI
 * specification 6.5, chapter 5.2. */

#include "acpi/aml.h"

#include <kmcl/acpi.h>

#include <assert.h>
#include <stdbool.h>

/* Where KVM has its IOAPIC, and past the local APICs'. */
#define TABLE_IOAPIC          0xfec00000u
#define TABLE_LAPIC           0xfee00000u
#define TABLE_CONTROLLERS_END 0xfef00000u
#define TABLE_ADDRESS_END     (UINT64_C(1) << 52)

struct table_header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem[6], oem_table[8];
	uint32_t oem_revision;
	char creator[4];
	uint32_t creator_revision;
} __attribute__((packed));
static_assert(sizeof(struct table_header) == 36, "DESCRIPTION_HEADER");

/* What makes the sum of all bytes 0. */
uint8_t table_checksum(const void *bytes, size_t size);
/* Fills in the header; all behind it, up to `length`, is there. */
void table_seal(struct table_header *header, const char *signature, uint8_t revision,
                uint32_t length);
/* A table of AML that begins with room for its header. */
void table_begin(struct aml *table);
void table_end(struct aml *table, const char *signature);

/* Two ranges have something in common. */
bool table_overlaps(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size);
bool table_over_controllers(uint64_t address, uint64_t size);

/* vmbus.c: the options with what 0 stands for in its place. -EINVAL, -E2BIG. */
int vmbus_take(struct kmcl_acpi_vmbus_options *own, const struct kmcl_acpi_vmbus_options *theirs);
void vmbus_ssdt(const struct kmcl_acpi_vmbus_options *own, struct aml *table);

#endif
