/* SPDX-License-Identifier: BSD-2-Clause */

#include "acpi/aml.h"

#include <assert.h>
#include <string.h>

#define AML_ZERO     0x00
#define AML_ONE      0x01
#define AML_NAME     0x08
#define AML_BYTE     0x0a
#define AML_DWORD    0x0c
#define AML_STRING   0x0d
#define AML_SCOPE    0x10
#define AML_BUFFER   0x11
#define AML_PACKAGE  0x12
#define AML_EXTENDED 0x5b
#define AML_DEVICE   0x82

#define RESOURCE_IRQ    0x23
#define RESOURCE_PORTS  0x47
#define RESOURCE_END    0x79
#define RESOURCE_QWORD  0x8a
#define IRQ_EXCLUSIVE   0x01 /* edge-triggered, active high */
#define PORTS_DECODE_16 0x01
#define WINDOW_FLAGS    0x0c /* produced, decoded as it is; both ends are fixed */
#define WINDOW_MEMORY   0x03 /* cacheable, written to */

struct resource_window {
	uint8_t type;
	uint16_t length;
	uint8_t kind, flags, memory;
	uint64_t granularity, first, last, translation, size;
} __attribute__((packed));
static_assert(sizeof(struct resource_window) == 46, "QWordMemory");

static void put_byte(struct aml *aml, uint8_t byte)
{
	aml_put(aml, &byte, 1);
}

void aml_put(struct aml *aml, const void *bytes, size_t size)
{
	assert(size <= AML_MAX - aml->size);
	if (size > AML_MAX - aml->size)
		return;
	memcpy(aml->bytes + aml->size, bytes, size);
	aml->size += size;
}

/* ---- what has a length ---- */

/* A length counts its own bytes: one up to 63, and then two. */
void aml_end(struct aml *aml, size_t begin)
{
	size_t length = aml->size - begin, own = length + 1 > 63 ? 2 : 1;
	uint8_t *at = aml->bytes + begin;

	assert(own <= AML_MAX - aml->size);
	if (own > AML_MAX - aml->size)
		return;
	memmove(at + own, at, length);
	aml->size += own;
	length += own;
	at[0] = own == 1 ? (uint8_t)length : (uint8_t)(1u << 6 | (length & 0xf));
	if (own == 2)
		at[1] = (uint8_t)(length >> 4);
}

size_t aml_begin_scope(struct aml *aml, const char *path)
{
	size_t begin;

	put_byte(aml, AML_SCOPE);
	begin = aml->size;
	aml_put(aml, path, strlen(path));
	return begin;
}

size_t aml_begin_device(struct aml *aml, const char *name)
{
	size_t begin;

	put_byte(aml, AML_EXTENDED);
	put_byte(aml, AML_DEVICE);
	begin = aml->size;
	aml_put(aml, name, 4);
	return begin;
}

/* ---- names ---- */

static void put_name(struct aml *aml, const char *name)
{
	put_byte(aml, AML_NAME);
	aml_put(aml, name, 4);
}

static void put_integer(struct aml *aml, uint32_t value)
{
	if (value <= 1) {
		put_byte(aml, value ? AML_ONE : AML_ZERO);
	} else if (value <= 0xff) {
		put_byte(aml, AML_BYTE);
		put_byte(aml, (uint8_t)value);
	} else {
		put_byte(aml, AML_DWORD);
		aml_put(aml, &value, sizeof(value));
	}
}

void aml_string(struct aml *aml, const char *name, const char *text)
{
	put_name(aml, name);
	put_byte(aml, AML_STRING);
	aml_put(aml, text, strlen(text) + 1);
}

void aml_integer(struct aml *aml, const char *name, uint32_t value)
{
	put_name(aml, name);
	put_integer(aml, value);
}

void aml_resources(struct aml *aml, const char *name, const struct aml *resources)
{
	static const uint8_t end[] = { RESOURCE_END, 0 }; /* a checksum of 0 is none */
	size_t begin;

	put_name(aml, name);
	put_byte(aml, AML_BUFFER);
	begin = aml->size;
	put_byte(aml, AML_BYTE);
	put_byte(aml, (uint8_t)(resources->size + sizeof(end)));
	aml_put(aml, resources->bytes, resources->size);
	aml_put(aml, end, sizeof(end));
	aml_end(aml, begin);
}

void aml_sleep_state(struct aml *aml, const char *name, uint8_t type)
{
	size_t begin;

	put_name(aml, name);
	put_byte(aml, AML_PACKAGE);
	begin = aml->size;
	put_byte(aml, 4);
	put_integer(aml, type);
	for (int i = 0; i < 3; i++)
		put_integer(aml, 0);
	aml_end(aml, begin);
}

/* ---- resources ---- */

void aml_window(struct aml *resources, uint64_t base, uint64_t size)
{
	struct resource_window window = {
		.type = RESOURCE_QWORD,
		.length = sizeof(window) - 3,
		.flags = WINDOW_FLAGS,
		.memory = WINDOW_MEMORY,
		.first = base,
		.last = base + size - 1,
		.size = size,
	};

	aml_put(resources, &window, sizeof(window));
}

void aml_interrupt(struct aml *resources, uint32_t irq)
{
	uint8_t bytes[] = { RESOURCE_IRQ, (uint8_t)(1u << irq), (uint8_t)(1u << irq >> 8),
		            IRQ_EXCLUSIVE };

	aml_put(resources, bytes, sizeof(bytes));
}

void aml_ports(struct aml *resources, uint16_t first, uint8_t count)
{
	uint8_t low = (uint8_t)first, high = (uint8_t)(first >> 8);
	uint8_t bytes[] = { RESOURCE_PORTS, PORTS_DECODE_16, low, high, low, high, 1, count };

	aml_put(resources, bytes, sizeof(bytes));
}
