/* SPDX-License-Identifier: BSD-2-Clause */
#include "ends.h"

#include "echo/echo.h"
#include "nt/nt.h"
#include "odd_host.h"
#include "scsi/storvsc.h"

#include <stdlib.h>
#include <unistd.h>

#define TAG 0x70657273u

const struct end_ops *const ends[ENDS_COUNT] = { &end_kmcl, &end_kit };

struct end {
	PDEVICE_OBJECT bus;
	struct echo *echo;
	uint64_t pool; /* bytes of it that were in use before */
};

static struct end *end_connect(const char *uri, uint32_t version_max)
{
	const struct kmcl_guest_options options = { .size = sizeof(options),
		                                    .version_max = version_max,
		                                    .timeout_ms = PERSONA_WAIT_MS };
	struct end *e = calloc(1, sizeof(*e));

	e->pool = nt_pool_outstanding(NULL, 0, NULL);
	if (NT_SUCCESS(kmcl_guest_open_ex(uri, &options, &e->bus)))
		return e;
	free(e);
	return NULL;
}

static bool end_open(struct end *e)
{
	NTSTATUS status = echo_open(e->bus, NULL, PERSONA_WAIT_MS, &e->echo);

	assert_int_not_equal(status, STATUS_IO_TIMEOUT);
	return NT_SUCCESS(status);
}

static bool end_echo(struct end *e)
{
	static const char payload[] = "said by a guest";
	NTSTATUS status = echo_check(e->echo, payload, sizeof(payload));

	assert_int_not_equal(status, STATUS_DATA_ERROR);
	return NT_SUCCESS(status);
}

static void end_close(struct end *e)
{
	echo_close(e->echo);
	e->echo = NULL;
}

static void end_disconnect(struct end *e)
{
	kmcl_guest_close(e->bus);
	for (int ms = 0; nt_pool_outstanding(NULL, 0, NULL) != e->pool && ms < PERSONA_WAIT_MS;
	     ms++)
		usleep(1000);
	assert_int_equal(nt_pool_outstanding(NULL, 0, NULL), e->pool);
	free(e);
}

static void end_use_disk(const char *uri)
{
	static const struct storvsc_address first = { 0, 0 };
	struct storvsc_options options = { .timeout_ms = PERSONA_WAIT_MS };
	struct storvsc_disk disk;
	struct storvsc *guest;
	PDEVICE_OBJECT bus;
	uint8_t *memory;

	assert_int_equal(kmcl_guest_open(uri, &bus), STATUS_SUCCESS);
	assert_int_equal(storvsc_open(bus, &options, &guest), STATUS_SUCCESS);
	assert_int_equal(storvsc_identify(guest, first, &disk), STATUS_SUCCESS);
	memory = ExAllocatePoolWithTag(NonPagedPoolNx, 4096, TAG);
	memset(memory, 0, 4096);
	assert_int_equal(storvsc_read(guest, &disk, 0, memory, 4096), STATUS_SUCCESS);
	assert_int_equal(memory[0], ODD_DISK_BYTE);
	assert_int_equal(memory[4095], ODD_DISK_BYTE);
	assert_int_equal(storvsc_write(guest, &disk, 0, memory, 4096), STATUS_SUCCESS);
	ExFreePoolWithTag(memory, TAG);
	storvsc_close(guest);
	kmcl_guest_close(bus);
}

const struct end_ops end_kmcl = {
	.name = "libkmcl",
	.connect = end_connect,
	.open = end_open,
	.echo = end_echo,
	.close = end_close,
	.disconnect = end_disconnect,
	.use_disk = end_use_disk,
};
