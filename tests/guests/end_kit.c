/* SPDX-License-Identifier: BSD-2-Clause */
#include "ends.h"

#include "../guestkit/machine.h"
#include "odd_host.h"

#include <stdlib.h>

#define PAGES   17u
#define PAYLOAD 1024u

struct end {
	struct machine m;
	struct vg_channel *channel; /* NULL: it is not offered */
	uint8_t *rings;
	size_t used; /* of the kit's memory, before there was anything */
	uint32_t connected, version, offered, opened, closed, over, unloaded;
	enum vg_status open_status, over_status;
	uint8_t answer[PAYLOAD];
	uint32_t answer_size;
};

static void on_connected(void *context, uint32_t version)
{
	struct end *e = context;

	e->version = version;
	e->connected++;
}

static void on_offered(void *context, struct vg_channel *channel, const struct vg_offer *offer)
{
	static const uint8_t type[4] = { 0x6c, 0x63, 0x6d, 0x6b };
	struct end *e = context;

	if (memcmp(offer->type.bytes, type, sizeof(type)) != 0 || e->channel)
		return;
	e->channel = channel;
	e->offered = 1;
}

static void on_removed(void *context, struct vg_channel *channel)
{
	struct end *e = context;

	if (e->channel != channel)
		return;
	e->channel = NULL;
	e->offered = 0;
}

static void on_unloaded(void *context)
{
	struct end *e = context;

	e->unloaded++;
}

static void on_opened(void *context, struct vg_channel *channel, enum vg_status status)
{
	struct end *e = context;

	e->open_status = status;
	e->opened++;
}

static void on_packet(void *context, struct vg_channel *channel, const struct vg_packet *packet)
{
	if (packet->answer)
		vg_complete(channel, packet->id, NULL, 0);
}

static void on_completed(void *context, struct vg_channel *channel, void *cookie,
                         enum vg_status status, const void *answer, uint32_t size)
{
	struct end *e = context;

	assert_ptr_equal(cookie, e);
	assert_int_equal(e->over, 0); /* once */
	assert_in_range(size, 0, PAYLOAD);
	if (size)
		memcpy(e->answer, answer, size);
	e->answer_size = size;
	e->over_status = status;
	e->over = 1;
}

static void on_closed(void *context, struct vg_channel *channel, enum vg_status why)
{
	struct end *e = context;

	e->closed++;
}

static void end_gone(struct end *e)
{
	machine_stop(&e->m);
	free(e);
}

static struct end *end_connect(const char *uri, uint32_t version_max)
{
	struct vg_contact contact = { .version_max = version_max, .message_sint = 2 };
	struct end *e = calloc(1, sizeof(*e));

	e->m.events = (struct vg_events){ .context = e,
		                          .connected = on_connected,
		                          .offered = on_offered,
		                          .removed = on_removed,
		                          .unloaded = on_unloaded };
	machine_start(&e->m, uri);
	e->used = vg_memory_used(e->m.vg, NULL);
	e->rings = machine_pages(&e->m, 2 * PAGES);
	assert_int_equal(vg_connect(e->m.vg, &contact), VG_OK);
	machine_run(&e->m, &e->connected);
	if (e->version)
		return e;
	assert_int_equal(vg_memory_used(e->m.vg, NULL), e->used);
	end_gone(e);
	return NULL;
}

static bool end_open(struct end *e)
{
	struct vg_open how = {
		.events = { .context = e,
		            .opened = on_opened,
		            .packet = on_packet,
		            .completed = on_completed,
		            .closed = on_closed },
		.rings = e->rings,
		.out_pages = PAGES,
		.in_pages = PAGES,
		.payload_max = PAYLOAD,
		.requests_max = 4,
	};
	enum vg_status status;
	int ms = 0;

	e->opened = e->closed = 0;
	for (;;) {
		machine_run(&e->m, &e->offered);
		status = vg_open(e->channel, &how);
		/* It was taken back, and nobody was told yet; or what others there are have all of
		 * the memory, and will be taken back. */
		if ((status != VG_STATE && status != VG_NO_MEMORY) || ms++ == PERSONA_WAIT_MS)
			break;
		machine_feed(&e->m);
		vg_poll(e->m.vg, 1);
		usleep(1000);
	}
	assert_int_equal(status, VG_OK);
	machine_run(&e->m, &e->opened);
	if (e->open_status != VG_OK)
		machine_run(&e->m, &e->closed);
	return e->open_status == VG_OK;
}

static bool end_echo(struct end *e)
{
	static const uint8_t payload[24] = "\1\0\0\0\0\0\0\0said by a guest";
	struct vg_send send = { .payload = payload, .size = sizeof(payload), .cookie = e };

	e->over = 0;
	if (vg_send(e->channel, &send) != VG_OK)
		return false;
	machine_run(&e->m, &e->over);
	if (e->over_status != VG_OK)
		return false;
	assert_int_equal(e->answer_size, sizeof(payload));
	assert_memory_equal(e->answer, payload, sizeof(payload));
	return true;
}

static void end_close(struct end *e)
{
	if (!e->closed)
		vg_close(e->channel);
	machine_run(&e->m, &e->closed);
}

static void end_disconnect(struct end *e)
{
	assert_int_equal(vg_unload(e->m.vg), VG_OK);
	machine_run(&e->m, &e->unloaded);
	vg_poll(e->m.vg, 1);
	assert_int_equal(vg_memory_used(e->m.vg, NULL), e->used);
	end_gone(e);
}

/* ---- a disk ---- */

struct disk_user {
	struct machine m;
	struct vg_channel *channel;
	struct vg_disk *disk;
	uint32_t offered, found, done, closed, unloaded;
	enum vg_status status;
};

static void on_disk_offered(void *context, struct vg_channel *channel, const struct vg_offer *offer)
{
	struct disk_user *u = context;

	if (vg_device(offer) != VG_DEVICE_DISK)
		return;
	u->channel = channel;
	u->offered++;
}

static void on_disk_unloaded(void *context)
{
	struct disk_user *u = context;

	u->unloaded++;
}

static void on_found(void *context, struct vg_disk *disk, uint32_t number,
                     const struct vg_disk_unit *unit)
{
	struct disk_user *u = context;

	assert_int_equal(unit->size, ODD_DISK_SIZE);
	u->found += number == 0; /* it answers for each target */
}

static void on_done(void *context, struct vg_disk *disk, void *cookie, enum vg_status status)
{
	struct disk_user *u = context;

	u->status = status;
	u->done++;
}

static void on_disk_closed(void *context, struct vg_disk *disk, enum vg_status why)
{
	struct disk_user *u = context;

	assert_int_equal(why, VG_OK);
	u->closed++;
}

static void disk_open(struct disk_user *u)
{
	struct vg_disk_open open = {
		.events = { .context = u,
		            .found = on_found,
		            .done = on_done,
		            .closed = on_disk_closed },
		.requests_max = 4,
		.transfer_max = VG_PAGE,
		.memory = machine_pages(&u->m, vg_disk_pages(4, VG_PAGE)),
	};

	assert_int_equal(vg_disk_open(&u->disk, u->channel, &open), VG_OK);
	machine_run(&u->m, &u->found);
}

static void disk_end(struct disk_user *u)
{
	assert_int_equal(vg_disk_close(u->disk), VG_OK);
	machine_run(&u->m, &u->closed);
	assert_int_equal(vg_unload(u->m.vg), VG_OK);
	machine_run(&u->m, &u->unloaded);
	machine_stop(&u->m);
	free(u);
}

static void end_use_disk(const char *uri)
{
	struct vg_contact contact = { .message_sint = 2 };
	struct disk_user *u = calloc(1, sizeof(*u));
	uint8_t *memory;

	u->m.events = (struct vg_events){ .context = u,
		                          .offered = on_disk_offered,
		                          .unloaded = on_disk_unloaded };
	machine_start(&u->m, uri);
	assert_int_equal(vg_connect(u->m.vg, &contact), VG_OK);
	machine_run(&u->m, &u->offered);
	disk_open(u);
	memory = machine_pages(&u->m, 1);
	assert_int_equal(vg_disk_read(u->disk, 0, 0, memory, VG_PAGE, NULL), VG_OK);
	machine_run(&u->m, &u->done);
	assert_int_equal(u->status, VG_OK);
	assert_int_equal(memory[0], ODD_DISK_BYTE);
	assert_int_equal(memory[VG_PAGE - 1], ODD_DISK_BYTE);
	u->done = 0;
	assert_int_equal(vg_disk_write(u->disk, 0, 0, memory, VG_PAGE, NULL), VG_OK);
	machine_run(&u->m, &u->done);
	assert_int_equal(u->status, VG_OK);
	disk_end(u);
}

const struct end_ops end_kit = {
	.name = "guest kit",
	.connect = end_connect,
	.open = end_open,
	.echo = end_echo,
	.close = end_close,
	.disconnect = end_disconnect,
	.use_disk = end_use_disk,
};
