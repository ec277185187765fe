/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's pure half of the integration components at our own services, over a bus: what they
 * send it understands, and they are content with what it answers. The argument of this program is a
 * pattern for the URI. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include <stdlib.h>
#include <string.h>

#include "ic/ic_client.h"

#include <kmcl/ic.h>
#include "ic_guest.h"

#include "../temporary.h"

static const char *uri_pattern = "local:ic-services-%d-%u";

#define HOST_TIME (IC_CLIENT_UNIX_EPOCH + 17000000000000000ull)

struct fixture {
	struct ic_fixture ends;
	struct ic_client client;
	_Atomic uint32_t counts[IC_CLIENT_TIME + 1]; /* by event */
	struct ic_client_request last;               /* but heartbeats; ends.guest.lock */
};

static void receive(struct ic_guest *g, struct ic_guest_message *m)
{
	struct fixture *f = g->context;
	struct ic_client_request r;
	KIRQL irql;

	ic_client_receive(&f->client, (uint8_t *)m, (uint32_t)sizeof(m->header) + m->size, 0, &r);
	if (r.answer_size)
		ic_guest_send(g, m, r.answer_size);
	KeAcquireSpinLock(&g->lock, &irql);
	if (r.event != IC_CLIENT_BEAT)
		f->last = r;
	KeReleaseSpinLock(&g->lock, irql);
	f->counts[r.event]++;
}

static struct kmcl_host *open_host(struct fixture *f, enum ic_message_type type, GUID offer)
{
	ic_client_init(&f->client, type);
	f->ends.guest.type = offer;
	f->ends.guest.instead = receive;
	f->ends.guest.context = f;
	assert_true(ic_fixture_open(&f->ends, uri_pattern));
	return kmcl_host_of_handle(f->ends.vmbus);
}

static struct ic_client_request last_of(struct fixture *f)
{
	struct ic_client_request r;
	KIRQL irql;

	KeAcquireSpinLock(&f->ends.guest.lock, &irql);
	r = f->last;
	KeReleaseSpinLock(&f->ends.guest.lock, irql);
	return r;
}

static struct kmcl_heartbeat_info info_of(struct kmcl_heartbeat *heartbeat)
{
	struct kmcl_heartbeat_info info = { .size = sizeof(info) };

	kmcl_heartbeat_query(heartbeat, &info);
	return info;
}

static void heartbeats(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct kmcl_heartbeat_options options = { .ic.size = sizeof(options), .interval_ms = 20 };
	struct kmcl_ic_statistics statistics = { .size = sizeof(statistics) };
	struct kmcl_host *host = open_host(f, IC_HEARTBEAT, (GUID)IC_HEARTBEAT_INTERFACE_TYPE);
	struct kmcl_heartbeat *heartbeat;

	assert_int_equal(kmcl_heartbeat_create(host, &options, &heartbeat), 0);
	assert_true(ic_guest_open(&f->ends.guest, f->ends.bus));
	WAIT_FOR(f->counts[IC_CLIENT_BEAT] >= 3);
	WAIT_FOR(info_of(heartbeat).state == KMCL_HEARTBEAT_OK);
	assert_int_equal(info_of(heartbeat).health, KMCL_HEARTBEAT_HEALTHY);
	assert_int_equal(f->counts[IC_CLIENT_AGREED], 1);
	assert_int_equal(f->counts[IC_CLIENT_WRONG], 0);
	assert_int_equal(kmcl_heartbeat_get_statistics(heartbeat, &statistics), 0);
	assert_int_equal(statistics.wrong, 0);
	assert_int_equal(statistics.version, IC_VERSION(3, 0));
	ic_guest_close(&f->ends.guest);
	kmcl_heartbeat_destroy(heartbeat);
	ic_fixture_close(&f->ends);
	free(f);
}

static void shutdowns(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct kmcl_ic_options options = { .size = sizeof(options) };
	struct kmcl_shutdown_request request = { .size = sizeof(request),
		                                 .action = KMCL_SHUTDOWN_RESTART,
		                                 .timeout_seconds = 7,
		                                 .force = true,
		                                 .text = "goodbye" };
	struct kmcl_host *host = open_host(f, IC_SHUTDOWN, (GUID)IC_SHUTDOWN_INTERFACE_TYPE);
	struct kmcl_shutdown *shutdown;
	uint32_t status;

	f->client.can = IC_CLIENT_CAN_RESTART;
	assert_int_equal(kmcl_shutdown_create(host, &options, &shutdown), 0);
	assert_true(ic_guest_open(&f->ends.guest, f->ends.bus));
	assert_int_equal(kmcl_shutdown_ask(shutdown, &request, 20000, &status), 0);
	assert_int_equal(status, IC_S_OK);
	WAIT_FOR(f->counts[IC_CLIENT_SHUTDOWN] == 1);
	assert_int_equal(last_of(f).shutdown.action, IC_CLIENT_CAN_RESTART);
	assert_int_equal(last_of(f).shutdown.timeout_seconds, 7);
	assert_true(last_of(f).shutdown.force);
	request.action = KMCL_SHUTDOWN_HIBERNATE; /* which it cannot */
	assert_int_not_equal(kmcl_shutdown_ask(shutdown, &request, 20000, &status), 0);
	assert_int_equal(status, IC_E_FAIL);
	WAIT_FOR(f->counts[IC_CLIENT_DECLINED] == 1);
	assert_int_equal(f->counts[IC_CLIENT_WRONG], 0);
	ic_guest_close(&f->ends.guest);
	kmcl_shutdown_destroy(shutdown);
	ic_fixture_close(&f->ends);
	free(f);
}

static uint64_t host_time(void *context)
{
	return HOST_TIME;
}

static uint64_t reference_time(void *context)
{
	return 700;
}

static void times(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct kmcl_timesync_options options = { .ic.size = sizeof(options),
		                                 .period_ms = 20,
		                                 .reference_time = reference_time,
		                                 .system_time = host_time };
	struct kmcl_host *host = open_host(f, IC_TIMESYNC, (GUID)IC_TIMESYNC_INTERFACE_TYPE);
	struct kmcl_timesync_info info = { .size = sizeof(info) };
	struct kmcl_timesync *timesync;
	struct ic_client_time time;
	uint64_t ns;

	assert_int_equal(kmcl_timesync_create(host, &options, &timesync), 0);
	assert_true(ic_guest_open(&f->ends.guest, f->ends.bus));
	WAIT_FOR(f->counts[IC_CLIENT_TIME] >= 3);
	time = last_of(f).time;
	assert_false(time.set); /* the first was to be set, later ones are samples */
	assert_true(ic_client_unix_time(ic_client_time_at(&time, 1700), &ns));
	assert_int_equal(ns, 1700000000000000000ull + 100000);
	assert_int_equal(kmcl_timesync_query(timesync, &info), 0);
	assert_int_equal(info.sets, 1);
	assert_int_equal(f->counts[IC_CLIENT_WRONG], 0);
	ic_guest_close(&f->ends.guest);
	kmcl_timesync_destroy(timesync);
	ic_fixture_close(&f->ends);
	free(f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heartbeats),
		cmocka_unit_test(shutdowns),
		cmocka_unit_test(times),
	};

	if (argc > 1)
		uri_pattern = temporary_uri(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
