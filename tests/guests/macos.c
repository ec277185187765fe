/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * macOS with MacHyperVSupport. Sources: VMBus/HyperVVMBus.cpp (negotiateVMBus),
 * Storage/HyperVStoragePrivate.cpp (connectStorage, checkSCSIDiskPresent, scanSCSIDisks),
 * IntegrationComponents/HyperVICService.cpp (processNegotiationResponse).
 */

#include "persona_ic.h"
#include "persona_scsi.h"
#include "visit.h"

#define LUNS 64u

/* From 4.0 down, an interrupt page named at each. */
static void begin(struct visit *v)
{
	static const struct persona_contact contact = { .version = WIRE_VERSION_4_0,
		                                        .interrupt_page = true };

	visit_begin(v, NULL);
	assert_true(persona_contact(&v->guest, &contact));
	persona_request_offers(&v->guest);
}

/* From the first packet on as long as after 5.1. */
static void open_disks(struct visit *v, struct persona_scsi *s)
{
	static const uint16_t versions[] = { STORVSC_VERSION_WIN10, STORVSC_VERSION_WIN8_1,
		                             STORVSC_VERSION_WIN8,  STORVSC_VERSION_WIN7,
		                             STORVSC_VERSION_WIN6,  0 };
	const struct persona_opening opening = { .out_pages = 64, .in_pages = 64 };

	memset(s, 0, sizeof(*s));
	persona_open(&v->guest, &s->channel, persona_find(&v->guest, &services_scsi, 0), &opening);
	s->packet_size = sizeof(struct storvsc_packet);
	s->transaction = 0x1000;
	s->transaction_step = 1;
	s->srb_flags = STORVSC_SRB_DISABLE_SYNCH_TRANSFER;
	persona_scsi_begin(s, versions, false);
}

/* A unit is there unless the SRB status of TEST UNIT READY is INVALID LUN, all eight bits of it:
 * with the bit of sense data, all 64 look present. */
static uint32_t scan(struct persona_scsi *s)
{
	static const uint8_t cdb[6];
	struct storvsc_srb answer;
	uint32_t found = 0;

	for (uint32_t lun = 0; lun < LUNS; lun++) {
		persona_scsi_none(s, (uint8_t)lun, cdb, sizeof(cdb), &answer);
		found += answer.srb_status != STORVSC_SRB_INVALID_LUN;
	}
	return found;
}

static void finds_the_disks_that_are_there(void **state)
{
	struct kmcl_disk_options options = {
		.size = sizeof(options), .serial = "second", .read_only = true, .force = true
	};
	struct persona_packet packet;
	struct persona_scsi s;
	struct visit v;
	char why[256];
	uint32_t operation;

	begin(&v);
	open_disks(&v, &s);
	assert_int_equal(scan(&s), 1);
	persona_scsi_use_disk(&s);
	/* Told that the bus changed, it scans again. */
	assert_int_equal(kmcl_scsi_remove(v.host.scsi, 0, 0), 0);
	persona_receive(&s.channel, &packet);
	memcpy(&operation, packet.payload, sizeof(operation));
	assert_int_equal(operation, STORVSC_ENUMERATE_BUS);
	assert_int_equal(scan(&s), 0);
	assert_int_equal(
		kmcl_scsi_add_disk(v.host.scsi, 0, 5, v.host.image, &options, why, sizeof(why)), 0);
	persona_receive(&s.channel, &packet);
	assert_int_equal(scan(&s), 1);
	persona_close(&s.channel);
	visit_end(&v);
}

/* The length that the header says has to cover the versions: processNegotiationResponse. */
static void heartbeat_beats(void **state)
{
	static const struct ic_version frameworks[] = { { 3, 0 }, { 1, 0 }, { 0, 0 } };
	static const struct ic_version versions[] = { { 3, 0 }, { 1, 0 }, { 0, 0 } };
	struct persona_ic ic;
	struct visit v;

	begin(&v);
	persona_ic_open(&v.guest, &ic, &services_heartbeat, 4);
	assert_int_equal(persona_ic_negotiate(&ic, frameworks, versions).major, 3);
	for (int i = 0; i < 3; i++) {
		persona_ic_receive(&ic);
		persona_ic_count(&ic);
		persona_ic_answer(&ic, ic.size);
	}
	persona_ic_receive(&ic);
	services_assert_heartbeat(&v.host);
	persona_close(&ic.channel);
	visit_end(&v);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(finds_the_disks_that_are_there),
	cmocka_unit_test(heartbeat_beats),
};

PERSONA_MAIN(tests)
