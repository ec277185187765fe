/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ACPI_AML_H
#define ACPI_AML_H

/* ACPI's machine language, as much of it as our tables are made of, byte for byte as iasl writes
 * it. Source: ACPI specification 6.5, chapters 6.4 (resources) and 20.2. */

#include <stddef.h>
#include <stdint.h>

#define AML_MAX 512u

/* What is put there is known to fit; what does not is left out. */
struct aml {
	size_t size;
	uint8_t bytes[AML_MAX];
};

void aml_put(struct aml *aml, const void *bytes, size_t size);

/* Something with a length: from aml_begin_...() on, to aml_end() of what that returned. A path is
 * in AML's form: names have four letters. */
size_t aml_begin_scope(struct aml *aml, const char *path);
size_t aml_begin_device(struct aml *aml, const char *name);
void aml_end(struct aml *aml, size_t begin);

/* Names of four letters, with what they stand for. */
void aml_string(struct aml *aml, const char *name, const char *text);
void aml_integer(struct aml *aml, const char *name, uint32_t value);
void aml_resources(struct aml *aml, const char *name, const struct aml *resources);
/* The package of a sleep state: its type, and three zeros. */
void aml_sleep_state(struct aml *aml, const char *name, uint8_t type);

/* In a list of resources. */
void aml_window(struct aml *resources, uint64_t base, uint64_t size);
void aml_interrupt(struct aml *resources, uint32_t irq);
void aml_ports(struct aml *resources, uint16_t first, uint8_t count);

#endif
