/* SPDX-License-Identifier: BSD-2-Clause */

#include "acpi/table.h"

#include <string.h>

#define REVISION_64_BITS 2 /* of AML: integers have 64 bits */

uint8_t table_checksum(const void *bytes, size_t size)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + ((const uint8_t *)bytes)[i]);
	return (uint8_t)-sum;
}

void table_seal(struct table_header *header, const char *signature, uint8_t revision,
                uint32_t length)
{
	memcpy(header->signature, signature, 4);
	header->length = length;
	header->revision = revision;
	memcpy(header->oem, "KMCL  ", 6);
	memcpy(header->oem_table, "KMCLACPI", 8);
	header->oem_revision = 1;
	memcpy(header->creator, "KMCL", 4);
	header->creator_revision = 1;
	header->checksum = 0;
	header->checksum = table_checksum(header, length);
}

void table_begin(struct aml *table)
{
	memset(table, 0, sizeof(*table));
	table->size = sizeof(struct table_header);
}

void table_end(struct aml *table, const char *signature)
{
	table_seal((struct table_header *)(void *)table->bytes, signature, REVISION_64_BITS,
	           (uint32_t)table->size);
}

bool table_overlaps(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

bool table_over_controllers(uint64_t address, uint64_t size)
{
	return table_overlaps(address, size, TABLE_IOAPIC, TABLE_CONTROLLERS_END - TABLE_IOAPIC);
}
