/* SPDX-License-Identifier: BSD-2-Clause */
#include "services.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The types that guests look for: Linux include/linux/hyperv.h, HV_*_GUID. */
const GUID services_scsi = STORVSC_INTERFACE_TYPE;
const GUID services_net = NETVSC_INTERFACE_TYPE;
const GUID services_heartbeat = {
	0x57164f39, 0x9115, 0x4e78, { 0xab, 0x55, 0x38, 0x2f, 0x3b, 0xd5, 0x42, 0x2d }
};
const GUID services_shutdown = {
	0x0e0b6031, 0x5213, 0x4934, { 0x81, 0x8b, 0x38, 0xd9, 0x0c, 0xed, 0x39, 0xdb }
};
const GUID services_timesync = {
	0x9527e630, 0xd0ae, 0x497b, { 0xad, 0xce, 0xe8, 0x0a, 0xb0, 0x17, 0x5c, 0xaf }
};
const GUID services_kvp = {
	0xa9a0f4e7, 0x5a45, 0x4d96, { 0xb8, 0x27, 0x8a, 0x84, 0x1e, 0x8c, 0x03, 0xe6 }
};
const uint8_t services_address[6] = { 0x00, 0x15, 0x5d, 0x0a, 0x0b, 0x0c };

/* ---- the network ---- */

#define FRAME_MAX 9216u
#define WAITING   64u

struct mirror {
	struct kmcl_net_backend backend;
	struct kmcl_net_port *port;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stop;
	uint8_t frames[WAITING][FRAME_MAX];
	uint32_t lengths[WAITING];
	uint32_t written, read;
};

static void *mirror_main(void *context)
{
	struct mirror *m = context;

	pthread_mutex_lock(&m->lock);
	for (;;) {
		struct kmcl_net_received frame = { .checksum_valid = true };

		while (!m->stop && m->written == m->read)
			pthread_cond_wait(&m->changed, &m->lock);
		if (m->stop)
			break;
		frame.data = m->frames[m->read % WAITING];
		frame.length = m->lengths[m->read % WAITING];
		pthread_mutex_unlock(&m->lock);
		m->port->ops->receive(m->port, &frame);
		m->port->ops->flush(m->port);
		pthread_mutex_lock(&m->lock);
		m->read++;
	}
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

static bool mirror_start(struct kmcl_net_backend *backend, struct kmcl_net_port *port)
{
	struct mirror *m = (struct mirror *)backend;

	m->port = port;
	return pthread_create(&m->thread, NULL, mirror_main, m) == 0;
}

static void reflect(struct mirror *m, const struct kmcl_net_frame *frame)
{
	uint8_t *copy = m->frames[m->written % WAITING];
	uint32_t at = 0;
	uint8_t source[6];

	for (uint32_t i = 0; i < frame->count; i++) {
		memcpy(copy + at, frame->iov[i].iov_base, frame->iov[i].iov_len);
		at += (uint32_t)frame->iov[i].iov_len;
	}
	memcpy(source, copy + 6, 6);
	memcpy(copy + 6, copy, 6);
	memcpy(copy, source, 6);
	m->lengths[m->written++ % WAITING] = at;
}

static enum kmcl_net_result mirror_send(struct kmcl_net_backend *backend,
                                        const struct kmcl_net_frame *frame, void *request)
{
	struct mirror *m = (struct mirror *)backend;
	enum kmcl_net_result result = KMCL_NET_DROPPED;

	pthread_mutex_lock(&m->lock);
	if (m->written - m->read < WAITING && frame->length <= FRAME_MAX) {
		reflect(m, frame);
		result = KMCL_NET_DONE;
		pthread_cond_signal(&m->changed);
	}
	pthread_mutex_unlock(&m->lock);
	return result;
}

static void mirror_resume(struct kmcl_net_backend *backend)
{
}

static void mirror_destroy(struct kmcl_net_backend *backend)
{
	struct mirror *m = (struct mirror *)backend;

	pthread_mutex_lock(&m->lock);
	m->stop = true;
	pthread_cond_signal(&m->changed);
	pthread_mutex_unlock(&m->lock);
	pthread_join(m->thread, NULL);
	pthread_cond_destroy(&m->changed);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static const struct kmcl_net_backend_ops mirror_ops = {
	.name = "mirror",
	.start = mirror_start,
	.send = mirror_send,
	.resume = mirror_resume,
	.destroy = mirror_destroy,
};

static struct kmcl_net_backend *mirror_create(void)
{
	struct mirror *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	m->backend.ops = &mirror_ops;
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->changed, NULL);
	return &m->backend;
}

/* ---- the disk ---- */

static void make_image(char *path)
{
	uint8_t block[512];
	int fd;

	temporary_path(path, TEMPORARY_PATH_MAX, "kmcl-persona-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	for (uint32_t i = 0; i < SERVICES_DISK_SIZE / sizeof(block); i++) {
		memset(block, (int)i, sizeof(block));
		memcpy(block, &i, sizeof(i));
		assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
	}
	close(fd);
}

static void open_disk(struct services *s, const struct services_options *o)
{
	struct kmcl_scsi_options options = {
		.size = sizeof(options),
		.instance = { 0x73637369, 1 },
		.subchannels = o->subchannels,
		.version_max = o->scsi_version,
		.monitored = o->monitored,
	};
	struct kmcl_disk_options disk = { .size = sizeof(disk), .serial = "persona" };
	char why[256] = "";

	make_image(s->image);
	assert_int_equal(kmcl_scsi_create(kmcl_host_of_handle(s->vmbus), &options, &s->scsi), 0);
	if (kmcl_scsi_add_disk(s->scsi, 0, 0, s->image, &disk, why, sizeof(why)))
		fail_msg("%s", why);
}

static void open_net(struct services *s, const struct services_options *o)
{
	struct kmcl_net_options options = {
		.size = sizeof(options),
		.instance = { 0x6e657430, 1 },
		.queues = o->queues,
		.monitored = o->monitored,
		.backend = mirror_create(),
	};

	memcpy(options.address, services_address, sizeof(options.address));
	assert_int_equal(kmcl_net_create(kmcl_host_of_handle(s->vmbus), &options, &s->net), 0);
}

void services_open(struct services *s, const char *uri, const struct services_options *options)
{
	struct kmcl_heartbeat_options heartbeat = { .ic.size = sizeof(heartbeat),
		                                    .interval_ms = 20,
		                                    .missed = 1000 };
	struct kmcl_timesync_options timesync = { .ic.size = sizeof(timesync), .period_ms = 20 };
	struct kmcl_ic_options ic = { .size = sizeof(ic) };

	memset(s, 0, sizeof(*s));
	assert_int_equal(kmcl_host_open(uri, &s->vmbus), 0);
	open_disk(s, options);
	open_net(s, options);
	assert_int_equal(
		kmcl_heartbeat_create(kmcl_host_of_handle(s->vmbus), &heartbeat, &s->heartbeat), 0);
	assert_int_equal(kmcl_shutdown_create(kmcl_host_of_handle(s->vmbus), &ic, &s->shutdown), 0);
	assert_int_equal(
		kmcl_timesync_create(kmcl_host_of_handle(s->vmbus), &timesync, &s->timesync), 0);
	assert_int_equal(kmcl_kvp_create(kmcl_host_of_handle(s->vmbus), &ic, &s->kvp), 0);
}

void services_close(struct services *s)
{
	kmcl_kvp_destroy(s->kvp);
	kmcl_timesync_destroy(s->timesync);
	kmcl_shutdown_destroy(s->shutdown);
	kmcl_heartbeat_destroy(s->heartbeat);
	kmcl_net_destroy(s->net);
	kmcl_scsi_destroy(s->scsi);
	ZwClose(s->vmbus);
	unlink(s->image);
}

void services_assert_heartbeat(struct services *s)
{
	struct kmcl_heartbeat_info info = { .size = sizeof(info) };
	struct kmcl_ic_statistics ic = { .size = sizeof(ic) };

	assert_int_equal(kmcl_heartbeat_query(s->heartbeat, &info), 0);
	assert_int_equal(info.state, KMCL_HEARTBEAT_OK);
	assert_int_equal(kmcl_heartbeat_get_statistics(s->heartbeat, &ic), 0);
	assert_int_equal(ic.wrong, 0);
}
