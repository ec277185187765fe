/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * FreeBSD. Sources: sys/dev/hyperv/vmbus (vmbus.c, vmbus_chan.c), those of freebsd_drivers.h,
 * utilities/vmbus_ic.c, vmbus_heartbeat.c, vmbus_timesync.c, hv_kvp.c; contrib of its ports,
 * hv_kvp_daemon.
 */

#include "freebsd_drivers.h"
#include "persona_kvp.h"
#include "visit.h"

/* vmbus_connect: 4.0, 3.0, 2.4, 1.1, 0.13, with the event flags' page at each. */
static void begin_at(struct visit *v, uint32_t version)
{
	const struct services_options options = { .subchannels = 4, .queues = 4 };
	const struct persona_contact contact = { .version = version, .interrupt_page = true };

	visit_begin(v, &options);
	assert_true(persona_contact(&v->guest, &contact));
	v->guest.next_gpadl = FREEBSD_GPADL_START;
	persona_request_offers(&v->guest);
}

static void begin(struct visit *v)
{
	begin_at(v, WIRE_VERSION_4_0);
}

/* ---- storvsc ---- */

/* CAM asks each LUN; storvsc_io_done makes "no device" of INVALID LUN as it stands. */
static void scan(struct persona_scsi *s, uint8_t *data)
{
	static const uint8_t ready[6], inquiry[6] = { 0x12, 0, 0, 0, 36 };
	struct storvsc_srb answer;

	assert_int_equal(persona_scsi_in(s, 0, inquiry, 6, data, 36, &answer), STORVSC_SRB_SUCCESS);
	/* storvsc_io_done: what is below SPC-3 is made SPC-3 where the vendor is Msft; and a data
	 * length that the inquiry data itself belies is an error. */
	assert_true(answer.transfer_length >= 36 && data[4] + 5u >= 36);
	for (uint32_t lun = 1; lun < 64; lun++) {
		persona_scsi_none(s, (uint8_t)lun, ready, 6, &answer);
		assert_int_equal(answer.srb_status, STORVSC_SRB_INVALID_LUN);
	}
}

static void disks_attach_with_subchannels(void **state)
{
	struct persona_scsi s;
	struct visit v;

	begin(&v);
	freebsd_disks_open(&v.guest, &s, &services_scsi);
	scan(&s, persona_pages(&v.guest, 1));
	freebsd_disks_use_subchannels(&s, &services_scsi, 2);
	persona_forget(&s.channel);
	visit_end(&v);
}

/* The oldest that it goes down to: one way of signalling, and no subchannels. */
static void disks_attach_at_each_version(void **state)
{
	static const uint32_t versions[] = { WIRE_VERSION_0_13, WIRE_VERSION_1_1, WIRE_VERSION_2_4,
		                             WIRE_VERSION_3_0, WIRE_VERSION_4_0 };
	struct persona_scsi s;
	struct visit v;

	for (uint32_t i = 0; i < 5; i++) {
		begin_at(&v, versions[i]);
		freebsd_disks_open(&v.guest, &s, &services_scsi);
		persona_scsi_use_disk(&s);
		persona_close(&s.channel);
		persona_say(&v.guest, WIRE_UNLOAD); /* vmbus_disconnect waits for nothing */
		visit_end_without_answer(&v);
	}
}

/* ---- hn ---- */

/* hn_nvs_init: each version from 5 down. */
static void the_network_attaches_at_each_version(void **state)
{
	static const uint32_t versions[] = { NVSP_VERSION_5, NVSP_VERSION_4, NVSP_VERSION_2,
		                             NVSP_VERSION_1, 0 };
	struct persona_net n;
	struct visit v;

	for (uint32_t i = 0; versions[i]; i++) {
		begin(&v);
		hn_open(&v.guest, &n, &services_net, versions + i);
		assert_int_equal(n.version, versions[i]);
		hn_use(&n, services_address);
		visit_end(&v);
	}
}

/* ---- integration components ---- */

static const struct ic_version three = { 3, 0 }, four = { 4, 0 };

static void heartbeat_beats(void **state)
{
	struct persona_ic ic;
	struct visit v;

	begin(&v);
	persona_ic_open(&v.guest, &ic, &services_heartbeat, 4);
	persona_ic_negotiate_up_to(&ic, three, three);
	visit_beat(&v, &ic, 3);
	persona_close(&ic.channel);
	visit_end(&v);
}

/* vmbus_timesync_cb: 4.0 of the messages, where it is listed. */
static void time_is_told(void **state)
{
	struct ic_timesync body;
	struct persona_ic ic;
	struct visit v;

	begin(&v);
	persona_ic_open(&v.guest, &ic, &services_timesync, 4);
	assert_int_equal(persona_ic_negotiate_up_to(&ic, three, four).major, 4);
	persona_ic_receive(&ic);
	memcpy(&body, persona_ic_body(&ic), sizeof(body));
	assert_true(ic.size >= 8 + sizeof(struct ic_header) + 22);
	assert_true(body.flags & IC_TIME_SYNC);
	persona_ic_answer(&ic, ic.size);
	persona_ic_receive(&ic);
	persona_close(&ic.channel);
	visit_end(&v);
}

/* hv_kvp.c: a daemon has to be there before it negotiates (hv_kvp_callback). That of today says
 * that there is no more; the driver up to FreeBSD 10 said that all is well whatever the daemon said
 * (hv_kvp_dev_daemon_write), with a key that has no letters: hv_kvp.h, "a NULL key string". */
static void pairs_are_exchanged(void **state)
{
	static const uint32_t none[] = { IC_E_NO_MORE_ITEMS, IC_S_OK };
	struct persona_ic ic;
	struct visit v;

	for (int i = 0; i < 2; i++) {
		struct persona_kvp kvp = { .ic = &ic, .none = none[i] };

		begin(&v);
		persona_ic_open(&v.guest, &ic, &services_kvp, 4);
		assert_int_equal(persona_ic_negotiate_up_to(&ic, three, four).major, 4);
		visit_pairs(&v, &kvp);
		persona_close(&ic.channel);
		visit_end(&v);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(disks_attach_with_subchannels),
	cmocka_unit_test(disks_attach_at_each_version),
	cmocka_unit_test(the_network_attaches_at_each_version),
	cmocka_unit_test(heartbeat_beats),
	cmocka_unit_test(time_is_told),
	cmocka_unit_test(pairs_are_exchanged),
};

PERSONA_MAIN(tests)
