/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * OpenBSD. Sources: sys/dev/pv/hyperv.c (the bus), hvs.c (disks), if_hvn.c (network), hypervic.c
 * (integration components), as of 7.6.
 */

#include "openbsd_drivers.h"
#include "visit.h"

#include <pthread.h>

#define GPADL_START 0xffffu

/* hv_vmbus_connect: from 3.0 down, 40 bytes, with an interrupt page at any version. */
static void attach_bus(struct visit *f)
{
	static const uint32_t versions[] = { WIRE_VERSION_3_0, WIRE_VERSION_2_4, WIRE_VERSION_1_1,
		                             WIRE_VERSION_0_13 };
	bool done = false;

	for (uint32_t i = 0; i < 4 && !done; i++) {
		const struct persona_contact contact = { .version = versions[i],
			                                 .interrupt_page = true };

		done = persona_contact(&f->guest, &contact);
	}
	assert_true(done);
	assert_int_equal(f->guest.version, WIRE_VERSION_3_0);
	f->guest.next_gpadl = GPADL_START + 1;
	persona_request_offers(&f->guest);
}

static void open_bus(struct visit *f, bool monitored)
{
	const struct services_options options = { .monitored = monitored,
		                                  .subchannels = 4,
		                                  .queues = 4 };

	visit_begin(f, &options);
	attach_bus(f);
}

/* hv_attach_devices takes what has a monitor bit, hv_attach_icdevs what has none. */
static void what_attaches_is_told_by_the_monitor_flag(void **state)
{
	static const GUID *const components[] = { &services_heartbeat, &services_shutdown,
		                                  &services_timesync, &services_kvp };
	const struct wire_offer_channel *disk, *net;
	struct visit f;

	open_bus(&f, true);
	for (uint32_t i = 0; i < 4; i++) {
		const struct wire_offer_channel *ic = persona_find(&f.guest, components[i], 0);

		assert_non_null(ic);
		assert_false(ic->monitor_allocated);
	}
	disk = persona_find(&f.guest, &services_scsi, 0);
	net = persona_find(&f.guest, &services_net, 0);
	assert_true(disk->monitor_allocated && net->monitor_allocated);
	assert_int_not_equal(disk->monitor_id, net->monitor_id);
	assert_true(disk->monitor_id < 128 && net->monitor_id < 128);
	visit_end(&f);
}

static void nothing_is_monitored_by_default(void **state)
{
	struct visit f;

	open_bus(&f, false);
	for (uint32_t i = 0; i < f.guest.offer_count; i++)
		assert_false(f.guest.offers[i].monitor_allocated);
	visit_end(&f);
}

/* ---- hvs ---- */

/* scsi_probe_bus: targets 0 to 63, of which there are two here. */
static void probe(struct persona_scsi *s, uint8_t *data)
{
	struct persona_command inquiry = { .cdb = { 0x12, 0, 0, 0, 36 },
		                           .cdb_length = 6,
		                           .data_in = STORVSC_DATA_IN,
		                           .data = data,
		                           .size = 36 };
	struct storvsc_srb answer;

	persona_scsi_execute(s, &inquiry, &answer);
	assert_int_equal(answer.scsi_status, 0);
	assert_int_equal(answer.srb_status & STORVSC_SRB_STATUS_MASK, STORVSC_SRB_SUCCESS);
	assert_int_equal(data[0], 0);
	for (inquiry.target = 1; inquiry.target < 64; inquiry.target++) {
		persona_scsi_execute(s, &inquiry, &answer);
		/* SCSI OK and an SRB status that is not: XS_SELTIMEOUT; or a device that is none.
		 */
		if ((answer.srb_status & STORVSC_SRB_STATUS_MASK) == STORVSC_SRB_SUCCESS)
			assert_int_equal(data[0], 0x7f);
	}
}

static void disks_attach_and_work_through_the_monitor_page(void **state)
{
	struct persona_scsi s;
	struct visit f;

	open_bus(&f, true);
	hvs_open(&f.guest, &s, &services_scsi, true);
	probe(&s, persona_pages(&f.guest, 1));
	persona_scsi_use_disk(&s);
	assert_int_equal(s.channel.signals, 0);
	assert_true(s.channel.triggers > 0);
	persona_close(&s.channel);
	visit_end(&f);
}

/* ---- hvn ---- */

static void the_network_attaches_and_works_through_the_monitor_page(void **state)
{
	struct persona_net n;
	struct visit f;

	open_bus(&f, true);
	hvn_open(&f.guest, &n, &services_net, true);
	hvn_use(&n, services_address, 0x0009); /* directed, broadcast */
	assert_int_equal(n.channel.signals, 0);
	persona_close(&n.channel);
	visit_end(&f);
}

/* ---- integration components ---- */

/* hv_ic_negotiate: 3.0 of both where the second framework listed is 3; and a size of its own
 * structure with the pipe's header, the component's and the counts, and two versions. */
static void negotiate(struct persona_ic *ic)
{
	struct ic_version three = { 3, 0 };
	struct persona_ic_lists lists;

	persona_ic_lists(ic, &lists);
	assert_true(lists.framework_count >= 2);
	assert_int_equal(lists.versions[1].major, 3);
	persona_ic_choose(ic, three, three, 8 + 20 + 8 + 8);
}

static void heartbeat_beats(void **state)
{
	struct persona_ic ic;
	struct visit f;

	open_bus(&f, false);
	persona_ic_open(&f.guest, &ic, &services_heartbeat, 4);
	negotiate(&ic);
	visit_beat(&f, &ic, 3);
	persona_close(&ic.channel);
	visit_end(&f);
}

struct asking {
	struct kmcl_shutdown *shutdown;
	NTSTATUS status;
};

static void *ask_shutdown(void *context)
{
	static const struct kmcl_shutdown_request request = { .size = sizeof(request),
		                                              .action = KMCL_SHUTDOWN_POWER_OFF };
	struct asking *asking = context;

	asking->status = kmcl_shutdown_ask(asking->shutdown, &request, PERSONA_WAIT_MS, NULL);
	return NULL;
}

static void shutdown_is_taken(void **state)
{
	struct asking asking;
	struct persona_ic ic;
	pthread_t thread;
	struct visit f;
	uint32_t flags;

	open_bus(&f, false);
	persona_ic_open(&f.guest, &ic, &services_shutdown, 4);
	negotiate(&ic);
	asking.shutdown = f.host.shutdown;
	assert_int_equal(pthread_create(&thread, NULL, ask_shutdown, &asking), 0);
	persona_ic_receive(&ic);
	assert_int_equal(persona_ic_header(&ic)->type, IC_SHUTDOWN);
	memcpy(&flags, persona_ic_body(&ic) + 8, sizeof(flags));
	assert_true(flags <= 1); /* it fails others */
	persona_ic_header(&ic)->status = 0;
	persona_ic_answer(&ic, ic.size);
	pthread_join(thread, NULL);
	assert_int_equal(asking.status, STATUS_SUCCESS);
	persona_close(&ic.channel);
	visit_end(&f);
}

/* hv_timesync takes SYNC and SAMPLE, each alone, of the structure before 4.0. */
static void time_is_told(void **state)
{
	struct ic_timesync_old body;
	struct kmcl_ic_statistics statistics = { .size = sizeof(statistics) };
	struct persona_ic ic;
	struct visit f;

	open_bus(&f, false);
	persona_ic_open(&f.guest, &ic, &services_timesync, 4);
	negotiate(&ic);
	for (int i = 0; i < 3; i++) {
		persona_ic_receive(&ic);
		assert_int_equal(persona_ic_header(&ic)->type, IC_TIMESYNC);
		memcpy(&body, persona_ic_body(&ic), sizeof(body));
		assert_int_equal(body.flags, i ? IC_TIME_SAMPLE : IC_TIME_SYNC);
		assert_true(body.host > 133000000000000000ull); /* 2022 */
		persona_ic_answer(&ic, ic.size);
	}
	persona_ic_receive(&ic);
	kmcl_timesync_get_statistics(f.host.timesync, &statistics);
	assert_int_equal(statistics.wrong, 0);
	persona_close(&ic.channel);
	visit_end(&f);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(what_attaches_is_told_by_the_monitor_flag),
	cmocka_unit_test(nothing_is_monitored_by_default),
	cmocka_unit_test(disks_attach_and_work_through_the_monitor_page),
	cmocka_unit_test(the_network_attaches_and_works_through_the_monitor_page),
	cmocka_unit_test(heartbeat_beats),
	cmocka_unit_test(shutdown_is_taken),
	cmocka_unit_test(time_is_told),
};

PERSONA_MAIN(tests)
