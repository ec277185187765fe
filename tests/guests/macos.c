/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * macOS with MacHyperVSupport. Sources: VMBus/HyperVVMBus.cpp (negotiateVMBus),
 * Storage/HyperVStoragePrivate.cpp (connectStorage, checkSCSIDiskPresent, scanSCSIDisks),
 * Network/HyperVNetworkPrivate.cpp (connectNetwork, initSendReceiveBuffers, handleRNDISRanges),
 * HyperVNetworkRNDIS.cpp and HyperVNetworkRegs.hpp,
 * IntegrationComponents/HyperVICService.cpp (processNegotiationResponse).
 */

#include "persona_net.h"
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
	persona_scsi_open(&v->guest, s, &services_scsi, 64);
	s->transaction = 0x1000;
	s->transaction_step = 1;
	s->srb_flags = STORVSC_SRB_DISABLE_SYNCH_TRANSFER;
	persona_scsi_begin(s, persona_scsi_versions, false);
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

/* The first version and no other, all messages and completions of 40 bytes; what it is asked is in
 * one page, and frames are in the send buffer. It gives 15 MiB of a buffer for each way. */
static void the_network_attaches(void **state)
{
	static const uint32_t versions[] = { NVSP_VERSION_1, 0 };
	uint32_t link = 1, filter = 0x0009; /* directed, broadcast */
	const uint32_t message = 40, buffer = 15 << 20;
	struct persona_net n;
	uint8_t address[6];
	struct visit v;

	begin(&v);
	persona_net_open(&v.guest, &n, &services_net, 16);
	n.message_size = n.completion_sent = message;
	persona_net_init(&n, versions, message);
	persona_net_ndis(&n, 6, 1, message);
	persona_net_give_receive(&n, buffer, 0xcafe, message);
	persona_net_give_send(&n, buffer, 0, message);
	persona_net_rndis_init(&n, 0x4000);
	assert_int_equal(persona_net_query(&n, 0x01010101, address, sizeof(address)), 6);
	assert_memory_equal(address, services_address, sizeof(address));
	assert_int_equal(persona_net_query(&n, 0x00010114, &link, sizeof(link)), 4);
	assert_int_equal(link, 0);
	persona_net_set(&n, 0x0001010e, &filter, sizeof(filter));
	n.by_section = true;
	n.transaction = 0xfa00000000000000ull; /* and the section's number */
	for (uint32_t i = 0; i < 10; i++)
		persona_net_exchange(&n, i % 2 ? 1514 : 60);
	persona_close(&n.channel);
	visit_end(&v);
}

/* The length that the header says has to cover the versions: processNegotiationResponse. */
static void heartbeat_beats(void **state)
{
	struct persona_ic ic;
	struct visit v;

	begin(&v);
	persona_ic_open(&v.guest, &ic, &services_heartbeat, 4);
	assert_int_equal(persona_ic_negotiate(&ic, persona_ic_versions, persona_ic_versions).major,
	                 3);
	visit_beat(&v, &ic, 3);
	persona_close(&ic.channel);
	visit_end(&v);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(finds_the_disks_that_are_there),
	cmocka_unit_test(the_network_attaches),
	cmocka_unit_test(heartbeat_beats),
};

PERSONA_MAIN(tests)
