/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Tables as files, for compiled.py.
 *
 *     acpi_write DIRECTORY                     all of kmcl_acpi_build(): FACP.aml, DSDT.aml, ...
 *     acpi_write DIRECTORY BASE SIZE IRQ       kmcl_acpi_vmbus() with these
 */

#include <kmcl/acpi.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESS 0x100000u

static uint8_t tables[65536];

static int write_table(const char *directory, const uint8_t *table)
{
	char path[4096];
	uint32_t length;
	FILE *f;
	int error;

	memcpy(&length, table + 4, sizeof(length));
	snprintf(path, sizeof(path), "%s/%.4s.aml", directory, (const char *)table);
	f = fopen(path, "wb");
	if (!f)
		return 1;
	error = fwrite(table, 1, length, f) != length;
	return fclose(f) || error;
}

static uint64_t at(const uint8_t *table, size_t offset)
{
	uint64_t value;

	memcpy(&value, table + offset, sizeof(value));
	return value;
}

static int write_all(const char *directory)
{
	struct kmcl_acpi_options options = { .size = sizeof(options),
		                             .processors = 3,
		                             .address = ADDRESS,
		                             .serial_port = 0x3f8,
		                             .serial_irq = 4 };
	const uint8_t *xsdt, *table;
	size_t size;

	if (kmcl_acpi_build(&options, tables, sizeof(tables), &size))
		return 1;
	xsdt = tables + (at(tables, 24) - ADDRESS);
	if (write_table(directory, xsdt))
		return 1;
	for (size_t i = 0; i < 3; i++) {
		table = tables + (at(xsdt, 36 + 8 * i) - ADDRESS);
		if (write_table(directory, table))
			return 1;
		if (memcmp(table, "FACP", 4) == 0 &&
		    write_table(directory, tables + (at(table, 140) - ADDRESS)))
			return 1;
	}
	return 0;
}

static int write_vmbus(char **words)
{
	struct kmcl_acpi_vmbus_options options = { .size = sizeof(options),
		                                   .mmio_base = strtoull(words[2], NULL, 0),
		                                   .mmio_size = strtoull(words[3], NULL, 0),
		                                   .irq = (uint32_t)strtoul(words[4], NULL, 0) };
	size_t size;

	return kmcl_acpi_vmbus(&options, tables, sizeof(tables), &size) ||
	       write_table(words[1], tables);
}

int main(int argc, char **argv)
{
	if (argc == 2)
		return write_all(argv[1]);
	return argc == 5 ? write_vmbus(argv) : 2;
}
