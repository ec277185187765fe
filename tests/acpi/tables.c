/* SPDX-License-Identifier: BSD-2-Clause */

/* kmcl/acpi.h: what a guest finds when it goes from table to table, and what is refused. */

#include <kmcl/acpi.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <stdint.h>
#include <string.h>

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#define MARK 0xa5

static uint8_t buffer[16384];

static uint64_t number(const uint8_t *at, size_t size)
{
	uint64_t value = 0;

	memcpy(&value, at, size);
	return value;
}

static uint8_t sum(const uint8_t *bytes, size_t size)
{
	uint8_t result = 0;

	while (size--)
		result = (uint8_t)(result + *bytes++);
	return result;
}

static void assert_table(const uint8_t *table, const char *signature)
{
	assert_memory_equal(table, signature, 4);
	assert_int_equal(sum(table, number(table + 4, 4)), 0);
	assert_memory_equal(table + 10, "KMCL  ", 6);
}

static const uint8_t *find(const uint8_t *table, const void *what, size_t size)
{
	return memmem(table, number(table + 4, 4), what, size);
}

/* ---- kmcl_acpi_vmbus() ---- */

static struct kmcl_acpi_vmbus_options vmbus(void)
{
	return (struct kmcl_acpi_vmbus_options){ .size = sizeof(struct kmcl_acpi_vmbus_options) };
}

static void assert_window(const uint8_t *table, uint64_t base, uint64_t size)
{
	const uint8_t *window = find(table, "\x8a\x2b\x00\x00\x0c\x03", 6);

	assert_non_null(window);
	assert_int_equal(number(window + 6, 8), 0);
	assert_int_equal(number(window + 14, 8), base);
	assert_int_equal(number(window + 22, 8), base + size - 1);
	assert_int_equal(number(window + 38, 8), size);
}

/* covers: kmcl_acpi_vmbus */
static void vmbus_by_default(void **state)
{
	struct kmcl_acpi_vmbus_options options = vmbus();
	static uint8_t other[1024];
	size_t size, other_size;

	assert_int_equal(kmcl_acpi_vmbus(NULL, buffer, sizeof(buffer), &size), 0);
	assert_table(buffer, "SSDT");
	assert_int_equal(number(buffer + 4, 4), size);
	assert_int_equal(buffer[8], 2);
	assert_non_null(find(buffer, "\x08_HID\rACPI0004", 15));
	assert_non_null(find(buffer, "\x08_HID\rVMBus", 12));
	assert_non_null(find(buffer, "\x08_CRS\x11\x05\x0a\x02\x79", 10));
	assert_window(buffer, KMCL_ACPI_MMIO_BASE, KMCL_ACPI_MMIO_SIZE);

	assert_int_equal(kmcl_acpi_vmbus(&options, other, sizeof(other), &other_size), 0);
	assert_int_equal(other_size, size);
	assert_memory_equal(other, buffer, size);
}

static void vmbus_with_a_window_and_an_interrupt(void **state)
{
	struct kmcl_acpi_vmbus_options options = vmbus();
	size_t size;

	options.mmio_base = 0x4000000000;
	assert_int_equal(kmcl_acpi_vmbus(&options, buffer, sizeof(buffer), &size), 0);
	assert_window(buffer, 0x4000000000, KMCL_ACPI_MMIO_SIZE);
	options.mmio_base = 0;
	options.mmio_size = 0x1000;
	assert_int_equal(kmcl_acpi_vmbus(&options, buffer, sizeof(buffer), &size), 0);
	assert_window(buffer, KMCL_ACPI_MMIO_BASE, 0x1000);

	options.irq = 10;
	assert_int_equal(kmcl_acpi_vmbus(&options, buffer, sizeof(buffer), &size), 0);
	assert_table(buffer, "SSDT");
	assert_non_null(find(buffer, "\x08_CRS\x11\x09\x0a\x06\x23\x00\x04\x01\x79", 14));
}

static void refused_vmbus(uint64_t base, uint64_t size, uint32_t irq)
{
	struct kmcl_acpi_vmbus_options options = vmbus();
	struct kmcl_acpi_options all = { .size = sizeof(all),
		                         .processors = 1,
		                         .address = KMCL_ACPI_ADDRESS,
		                         .vmbus = &options };
	size_t needed = MARK;

	options.mmio_base = base;
	options.mmio_size = size;
	options.irq = irq;
	assert_int_equal(kmcl_acpi_vmbus(&options, buffer, sizeof(buffer), &needed), -EINVAL);
	assert_int_equal(kmcl_acpi_build(&all, buffer, sizeof(buffer), &needed), -EINVAL);
	assert_int_equal(needed, MARK);
}

static void windows_that_make_no_sense(void **state)
{
	refused_vmbus(0xe0000001, 0, 0);
	refused_vmbus(0, 0xfff, 0);
	refused_vmbus(0xff000, 0x1000, 0);                  /* below 1 MiB */
	refused_vmbus(0xfec00000, 0x1000, 0);               /* the IOAPIC */
	refused_vmbus(0xfee00000, 0x1000, 0);               /* the local ones */
	refused_vmbus(0xe0000000, 0x20000000, 0);           /* over both */
	refused_vmbus(0xfffffffffffff000, 0x1000, 0);       /* past what is addressed */
	refused_vmbus(0xffffffff00000000, 0x100000000, 0);  /* to the very end */
	refused_vmbus(0xfffffffffffff000, 0xe000000000, 0); /* wraps around */
	refused_vmbus(UINT64_C(1) << 51, (UINT64_C(1) << 51) + 0x1000, 0);
	refused_vmbus(0x100000, UINT64_MAX & ~0xfffull, 0);
	for (uint32_t irq = 1; irq < 3; irq++)
		refused_vmbus(0, 0, irq);
	refused_vmbus(0, 0, 9);
	refused_vmbus(0, 0, 16);
	refused_vmbus(0, 0, UINT32_MAX);
}

/* ---- kmcl_acpi_build() ---- */

static struct kmcl_acpi_options machine(uint32_t processors, uint64_t address)
{
	return (struct kmcl_acpi_options){ .size = sizeof(struct kmcl_acpi_options),
		                           .processors = processors,
		                           .address = address };
}

/* As a guest does: an address that it reads is one in the buffer, and so is all of the table. */
static const uint8_t *follow(const struct kmcl_acpi_options *options, size_t size, uint64_t address)
{
	const uint8_t *table = buffer + (address - options->address);

	assert_true(address > options->address && address < options->address + size);
	assert_true(number(table + 4, 4) <= options->address + size - address);
	return table;
}

struct found {
	const uint8_t *fadt, *madt, *dsdt, *ssdt;
};

static struct found walk(const struct kmcl_acpi_options *options, size_t size)
{
	struct found found;
	const uint8_t *xsdt;
	uint32_t dsdt;

	assert_memory_equal(buffer, "RSD PTR ", 8);
	assert_int_equal(sum(buffer, 20), 0);
	assert_int_equal(sum(buffer, 36), 0);
	assert_int_equal(buffer[15], 2);
	xsdt = follow(options, size, number(buffer + 24, 8));
	assert_table(xsdt, "XSDT");
	assert_int_equal(number(xsdt + 4, 4), 36 + 3 * 8);
	found.fadt = follow(options, size, number(xsdt + 36, 8));
	found.madt = follow(options, size, number(xsdt + 44, 8));
	found.ssdt = follow(options, size, number(xsdt + 52, 8));
	assert_table(found.fadt, "FACP");
	assert_table(found.madt, "APIC");
	assert_table(found.ssdt, "SSDT");
	found.dsdt = follow(options, size, number(found.fadt + 140, 8));
	dsdt = (uint32_t)number(found.fadt + 40, 4);
	assert_int_equal(dsdt, number(found.fadt + 140, 8) >> 32 ? 0 : number(found.fadt + 140, 4));
	return found;
}

static struct found built(const struct kmcl_acpi_options *options)
{
	size_t size, needed;

	assert_int_equal(kmcl_acpi_build(options, NULL, 0, &needed), -ENOSPC);
	memset(buffer, MARK, sizeof(buffer));
	assert_int_equal(kmcl_acpi_build(options, buffer, needed, &size), 0);
	assert_int_equal(size, needed);
	assert_int_equal(buffer[size], MARK);
	return walk(options, size);
}

static void assert_port(const uint8_t *gas, uint16_t port)
{
	assert_memory_equal(gas, "\x01\x08\x00\x01", 4);
	assert_int_equal(number(gas + 4, 8), port);
}

/* covers: kmcl_acpi_build */
static void a_machine_for_each_number_of_processors(void **state)
{
	for (uint32_t n = 1; n <= KMCL_ACPI_PROCESSORS_MAX; n++) {
		struct kmcl_acpi_options options = machine(n, KMCL_ACPI_ADDRESS);
		struct found found = built(&options);

		assert_int_equal(number(found.madt + 36, 4), 0xfee00000);
		assert_memory_equal(found.madt + 44, "\x01\x0c\x00\x00\x00\x00\xc0\xfe\0\0\0\0",
		                    12);
		assert_int_equal(number(found.madt + 4, 4), 56 + 8 * n);
		for (uint32_t i = 0; i < n; i++) {
			const uint8_t *cpu = found.madt + 56 + 8 * i;

			assert_memory_equal(cpu, "\x00\x08", 2);
			assert_int_equal(cpu[2], i);
			assert_int_equal(cpu[3], i);
			assert_int_equal(number(cpu + 4, 4), 1);
		}
	}
}

static void registers_are_the_ports_of_the_header(void **state)
{
	struct kmcl_acpi_options options = machine(1, KMCL_ACPI_ADDRESS);
	struct found found = built(&options);

	assert_int_equal(number(found.fadt + 112, 4), 1 << 20 | 1 << 10 | 1);
	assert_port(found.fadt + 116, KMCL_ACPI_RESET_PORT);
	assert_int_equal(found.fadt[128], KMCL_ACPI_RESET);
	assert_port(found.fadt + 244, KMCL_ACPI_SLEEP_PORT);
	assert_port(found.fadt + 256, KMCL_ACPI_STATUS_PORT);
	assert_non_null(find(found.dsdt, "\x08_S5_\x12\x07\x04\x0a\x05\x00\x00\x00", 13));
}

static void addresses_may_be_anywhere(void **state)
{
	static const uint64_t good[] = {
		0x10, 0xf0000, 0xdfff0000, 0x100000000, 0xffffff00, (UINT64_C(1) << 52) - 0x4000,
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct kmcl_acpi_options options = machine(2, good[i]);

		built(&options);
	}
}

static void the_serial_port_is_there_when_asked_for(void **state)
{
	struct kmcl_acpi_options options = machine(1, KMCL_ACPI_ADDRESS);

	assert_null(find(built(&options).dsdt, "PNP0501", 7));
	options.serial_port = 0x2f8;
	options.serial_irq = 3;
	assert_non_null(find(built(&options).dsdt,
	                     "\x47\x01\xf8\x02\xf8\x02\x01\x08\x23\x08\x00\x01\x79", 13));
}

static void vmbus_is_as_asked_for(void **state)
{
	struct kmcl_acpi_vmbus_options of_vmbus = vmbus();
	struct kmcl_acpi_options options = machine(1, KMCL_ACPI_ADDRESS);
	static uint8_t alone[1024];
	size_t size;

	of_vmbus.mmio_base = 0xd0000000;
	of_vmbus.mmio_size = 0x10000;
	of_vmbus.irq = 7;
	options.vmbus = &of_vmbus;
	assert_int_equal(kmcl_acpi_vmbus(&of_vmbus, alone, sizeof(alone), &size), 0);
	assert_memory_equal(built(&options).ssdt, alone, size);
}

static void a_dsdt_of_ones_own_is_taken_as_it_is(void **state)
{
	struct kmcl_acpi_options options = machine(1, KMCL_ACPI_ADDRESS);
	static uint8_t dsdt[5001];

	memcpy(dsdt, built(&options).dsdt, 36);
	memcpy(dsdt + 4, &(uint32_t){ sizeof(dsdt) }, 4);
	memset(dsdt + 36, 0xa3, sizeof(dsdt) - 36);
	dsdt[9] = (uint8_t)(dsdt[9] - sum(dsdt, sizeof(dsdt)));
	options.dsdt = dsdt;
	options.dsdt_size = sizeof(dsdt);
	assert_memory_equal(built(&options).dsdt, dsdt, sizeof(dsdt));
}

/* ---- refused ---- */

static void refused(const struct kmcl_acpi_options *options)
{
	size_t size = MARK;

	memset(buffer, MARK, sizeof(buffer));
	assert_int_equal(kmcl_acpi_build(options, buffer, sizeof(buffer), &size), -EINVAL);
	assert_int_equal(size, MARK);
	for (size_t i = 0; i < sizeof(buffer); i++)
		assert_int_equal(buffer[i], MARK);
}

static void machines_that_make_no_sense(void **state)
{
	static const uint64_t addresses[] = {
		0,
		8,
		0xe0001,
		0xe0000000,
		0xdffffff0,
		0xf7fffff0,
		0xfec00000,
		0xfebffff0,
		0xfee00000,
		UINT64_MAX,
		UINT64_C(1) << 52,
		(UINT64_C(1) << 52) - 16,
		UINT64_MAX - 15,
	};
	struct kmcl_acpi_options options;

	refused(NULL);
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		options = machine(1, addresses[i]);
		refused(&options);
	}
	options = machine(0, KMCL_ACPI_ADDRESS);
	refused(&options);
	options = machine(KMCL_ACPI_PROCESSORS_MAX + 1, KMCL_ACPI_ADDRESS);
	refused(&options);
	options = machine(UINT32_MAX, KMCL_ACPI_ADDRESS);
	refused(&options);
}

static void serial_ports_that_make_no_sense(void **state)
{
	static const uint16_t ports[][2] = {
		{ 0x3f8, 0 }, { 0, 4 },     { 0x3f8, 2 },  { 0x3f8, 16 }, { 0x3f8, 0xffff },
		{ 0x5f9, 4 }, { 0x602, 4 }, { 0xfff9, 4 }, { 0x600, 4 },
	};
	struct kmcl_acpi_vmbus_options of_vmbus = vmbus();
	struct kmcl_acpi_options options = machine(1, KMCL_ACPI_ADDRESS);

	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		options.serial_port = ports[i][0];
		options.serial_irq = ports[i][1];
		refused(&options);
	}
	/* of both, the line would be exclusive */
	of_vmbus.irq = 4;
	options.vmbus = &of_vmbus;
	options.serial_port = 0x3f8;
	options.serial_irq = 4;
	refused(&options);
}

static void dsdts_that_are_none(void **state)
{
	struct kmcl_acpi_options options = machine(1, KMCL_ACPI_ADDRESS);
	static uint8_t dsdt[200];
	uint32_t size;

	options.dsdt_size = 36;
	refused(&options);
	options.dsdt = dsdt;
	refused(&options); /* zeros */
	options.dsdt = NULL;
	options.dsdt_size = 0;
	size = (uint32_t)number(built(&options).dsdt + 4, 4);
	memcpy(dsdt, built(&options).dsdt, size);
	options.dsdt = dsdt;
	for (options.dsdt_size = 0; options.dsdt_size < size + 10; options.dsdt_size++)
		if (options.dsdt_size != size)
			refused(&options);
	options.dsdt_size = size;
	built(&options);
	dsdt[size - 1]++;
	refused(&options);
	dsdt[size - 1]--;
	memcpy(dsdt, "SSDT", 4);
	dsdt[9] = (uint8_t)(dsdt[9] - sum(dsdt, size));
	refused(&options);
}

/* Not a byte more than there is, and none of it where it is not enough. The sanitizers look on. */
static void too_little_room(void **state)
{
	struct kmcl_acpi_options options = machine(2, KMCL_ACPI_ADDRESS);
	size_t all, table, size;

	assert_int_equal(kmcl_acpi_build(&options, NULL, 0, &all), -ENOSPC);
	assert_int_equal(kmcl_acpi_vmbus(NULL, NULL, 0, &table), -ENOSPC);
	for (size_t capacity = 1; capacity <= all; capacity++) {
		uint8_t *little = malloc(capacity);

		memset(little, MARK, capacity);
		assert_int_equal(kmcl_acpi_build(&options, little, capacity, &size),
		                 capacity < all ? -ENOSPC : 0);
		assert_int_equal(size, all);
		assert_int_equal(little[capacity - 1] == MARK, capacity < all);
		memset(little, MARK, capacity);
		assert_int_equal(kmcl_acpi_vmbus(NULL, little, capacity, &size),
		                 capacity < table ? -ENOSPC : 0);
		assert_int_equal(size, table);
		assert_int_equal(little[0] == MARK, capacity < table);
		free(little);
	}
	assert_int_equal(kmcl_acpi_build(&options, buffer, sizeof(buffer), NULL), -EINVAL);
	assert_int_equal(kmcl_acpi_vmbus(NULL, buffer, sizeof(buffer), NULL), -EINVAL);
}

static void options_have_a_size(void **state)
{
	struct {
		struct kmcl_acpi_options options;
		uint32_t newer[2];
	} all = { machine(1, KMCL_ACPI_ADDRESS), { 0, 0 } };
	struct {
		struct kmcl_acpi_vmbus_options options;
		uint32_t newer[2];
	} of_vmbus = { vmbus(), { 0, 0 } };
	size_t size;

	all.options.size = 0;
	refused(&all.options);
	all.options.size = 3;
	refused(&all.options);
	all.options.size = sizeof(all);
	built(&all.options);
	all.newer[1] = 1;
	assert_int_equal(kmcl_acpi_build(&all.options, buffer, sizeof(buffer), &size), -E2BIG);
	all.newer[1] = 0;
	all.options.vmbus = &of_vmbus.options;
	of_vmbus.options.size = sizeof(of_vmbus);
	built(&all.options);
	of_vmbus.newer[1] = 1;
	assert_int_equal(kmcl_acpi_build(&all.options, buffer, sizeof(buffer), &size), -E2BIG);
	assert_int_equal(kmcl_acpi_vmbus(&of_vmbus.options, buffer, sizeof(buffer), &size), -E2BIG);
	of_vmbus.options.size = 0;
	refused(&all.options);
	/* an older caller's */
	all.options.vmbus = (void *)(uintptr_t)MARK;
	all.options.size = offsetof(struct kmcl_acpi_options, vmbus);
	assert_int_equal(kmcl_acpi_build(&all.options, buffer, sizeof(buffer), &size), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vmbus_by_default),
		cmocka_unit_test(vmbus_with_a_window_and_an_interrupt),
		cmocka_unit_test(windows_that_make_no_sense),
		cmocka_unit_test(a_machine_for_each_number_of_processors),
		cmocka_unit_test(registers_are_the_ports_of_the_header),
		cmocka_unit_test(addresses_may_be_anywhere),
		cmocka_unit_test(the_serial_port_is_there_when_asked_for),
		cmocka_unit_test(vmbus_is_as_asked_for),
		cmocka_unit_test(a_dsdt_of_ones_own_is_taken_as_it_is),
		cmocka_unit_test(machines_that_make_no_sense),
		cmocka_unit_test(serial_ports_that_make_no_sense),
		cmocka_unit_test(dsdts_that_are_none),
		cmocka_unit_test(too_little_room),
		cmocka_unit_test(options_have_a_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
