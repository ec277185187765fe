/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * illumos, whose drivers are made of FreeBSD's. Sources: usr/src/uts/intel/io/hyperv:
 * vmbus/vmbus.c, storvsc/hv_storvsc_drv_illumos.c, netvsc/hn_nvs.c, utilities/vmbus_ic.c,
 * vmbus_heartbeat.c, hv_kvp.c.
 */

#include "freebsd_drivers.h"
#include "visit.h"

#define TARGETS 2u /* STORVSC_MAX_TARGETS */
#define LUNS    64u
#define INQUIRY 240u /* sizeof(struct scsi_inquiry) */

/* vmbus_init: 3.0, 2.4, 1.1 and 0.13, with the event flags' page at each. */
static void begin_at(struct visit *v, uint32_t version)
{
	const struct persona_contact contact = { .version = version, .interrupt_page = true };

	visit_begin(v, NULL);
	assert_true(persona_contact(&v->guest, &contact));
	v->guest.next_gpadl = FREEBSD_GPADL_START;
	persona_request_offers(&v->guest);
}

/* storvsc_config_one: a unit is there if its INQUIRY did not fail, by whatever (storvsc_io_done),
 * and says that it is a direct-access device, whatever its qualifier. */
static uint32_t scan(struct persona_scsi *s, uint8_t *data)
{
	struct persona_command inquiry = { .cdb = { 0x12, 0, 0, 0, INQUIRY },
		                           .cdb_length = 6,
		                           .data_in = STORVSC_DATA_IN,
		                           .data = data,
		                           .size = INQUIRY };
	uint32_t found = 0;

	for (uint32_t i = 0; i < TARGETS * LUNS; i++) {
		struct storvsc_srb answer;

		inquiry.target = (uint8_t)(i / LUNS);
		inquiry.lun = i % LUNS;
		memset(data, 0, INQUIRY);
		persona_scsi_execute(s, &inquiry, &answer);
		found += answer.scsi_status == 0 &&
		         (answer.srb_status & STORVSC_SRB_STATUS_MASK) == STORVSC_SRB_SUCCESS &&
		         (data[0] & 0x1f) == 0;
	}
	return found;
}

static void open_disks(struct visit *v, struct persona_scsi *s)
{
	freebsd_disks_open(&v->guest, s, &services_scsi);
	s->srb_flags = STORVSC_SRB_DISABLE_SYNCH_TRANSFER;
}

/* hv_storvsc_channel_init: subchannels wherever the bus is newer than 1.1. */
static void disks_attach_with_subchannels(void **state)
{
	struct persona_scsi s;
	struct visit v;

	begin_at(&v, WIRE_VERSION_3_0);
	open_disks(&v, &s);
	assert_int_equal(scan(&s, persona_pages(&v.guest, 1)), 1);
	freebsd_disks_use_subchannels(&s, &services_scsi, 3);
	persona_scsi_stop_disk(&s);
	persona_forget(&s.channel);
	visit_end(&v);
}

static void disks_attach_at_each_version(void **state)
{
	static const uint32_t versions[] = { WIRE_VERSION_3_0, WIRE_VERSION_2_4, WIRE_VERSION_1_1,
		                             WIRE_VERSION_0_13 };
	struct persona_scsi s;
	struct visit v;

	for (uint32_t i = 0; i < 4; i++) {
		begin_at(&v, versions[i]);
		open_disks(&v, &s);
		persona_scsi_use_disk(&s);
		persona_close(&s.channel);
		persona_say(&v.guest, WIRE_UNLOAD); /* vmbus_disconnect waits for nothing */
		visit_end_without_answer(&v);
	}
}

static void the_network_attaches(void **state)
{
	static const uint32_t versions[] = { NVSP_VERSION_5, NVSP_VERSION_4, NVSP_VERSION_2,
		                             NVSP_VERSION_1, 0 };
	struct persona_net n;
	struct visit v;

	begin_at(&v, WIRE_VERSION_3_0);
	hn_open(&v.guest, &n, &services_net, versions);
	assert_int_equal(n.version, NVSP_VERSION_5);
	hn_use(&n, services_address);
	visit_end(&v);
}

static const struct ic_version three = { 3, 0 }, four = { 4, 0 };

static void heartbeat_beats(void **state)
{
	struct persona_ic ic;
	struct visit v;

	begin_at(&v, WIRE_VERSION_3_0);
	persona_ic_open(&v.guest, &ic, &services_heartbeat, 4);
	persona_ic_negotiate_up_to(&ic, three, three);
	visit_beat(&v, &ic, 3);
	persona_close(&ic.channel);
	visit_end(&v);
}

/* hv_kvp_dev_daemon_write: the status is the daemon's. */
static void pairs_are_exchanged(void **state)
{
	struct persona_ic ic;
	struct persona_kvp kvp = { .ic = &ic, .none = IC_E_NO_MORE_ITEMS };
	struct visit v;

	begin_at(&v, WIRE_VERSION_3_0);
	persona_ic_open(&v.guest, &ic, &services_kvp, 4);
	assert_int_equal(persona_ic_negotiate_up_to(&ic, three, four).major, 4);
	visit_pairs(&v, &kvp);
	persona_close(&ic.channel);
	visit_end(&v);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(disks_attach_with_subchannels),
	cmocka_unit_test(disks_attach_at_each_version),
	cmocka_unit_test(the_network_attaches),
	cmocka_unit_test(heartbeat_beats),
	cmocka_unit_test(pairs_are_exchanged),
};

PERSONA_MAIN(tests)
