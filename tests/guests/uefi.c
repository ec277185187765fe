/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Hyper-V's UEFI for generation 2 machines: mu_msvm MsvmPkg. Sources: VmbusDxe/VmbusRoot.c
 * (VmbusRootInitiateContact), ChannelMessages.h; StorvscDxe/StorchannelDxe.c
 * (StorChannelBuildLunList and what it calls), VstorageProtocol.h; NetvscDxe/NetvscDxe.c. What it
 * calls unexpected host behavior ends the machine: each of these is asserted here.
 */

#include "persona_net.h"
#include "persona_scsi.h"
#include "visit.h"

#define FEATURES                                                               \
	(WIRE_FEATURE_SIGNAL_PARAMETERS | WIRE_FEATURE_INTERRUPT_REDIRECTION | \
	 WIRE_FEATURE_MODIFY_CONNECTION | WIRE_FEATURE_CLIENT_ID)
#define LUNS_MAX 512u /* bytes of a list it takes */

/* 6.0, then 3.0; always to connection 1, and without a SINT or monitor pages. */
static void begin(struct visit *v)
{
	static const struct persona_contact contact = {
		.version = WIRE_VERSION_6_0,
		.size = sizeof(struct wire_initiate_contact),
		.no_monitor_pages = true,
		.features = FEATURES,
	};

	visit_begin(v, NULL);
	assert_true(persona_contact(&v->guest, &contact));
	assert_int_equal(v->guest.response.connection_state, WIRE_CONNECTION_STATE_SUCCESSFUL);
	assert_true(v->guest.response_size >= WIRE_VERSION_RESPONSE_SIZE_6_0);
	assert_int_equal(v->guest.response.feature_flags & ~FEATURES, 0);
	v->guest.connection = WIRE_CONNECTION_MESSAGE;
	persona_request_offers(&v->guest);
}

static void end(struct visit *v)
{
	persona_unload(&v->guest);
	visit_end(v);
}

/* ---- StorvscDxe ---- */

static void open_disks(struct visit *v, struct persona_scsi *s)
{
	static const uint16_t versions[] = { STORVSC_VERSION_WIN8_1, 0 };
	const struct persona_opening opening = { .out_pages = 11, .in_pages = 11 };

	memset(s, 0, sizeof(*s));
	persona_open(&v->guest, &s->channel, persona_find(&v->guest, &services_scsi, 0), &opening);
	s->packet_size = s->answer_size = sizeof(struct storvsc_packet);
	s->transaction = 1;
	s->transaction_step = 1;
	persona_scsi_begin(s, versions, true);
}

/* REPORT LUNS with a length of 0 in the CDB and 520 bytes of a buffer, of each target; anything but
 * GOOD ends the driver, and a list of more than 512 bytes the machine. */
static uint32_t report_luns(struct persona_scsi *s, uint8_t target, uint8_t *data)
{
	struct persona_command c = {
		.target = target,
		.cdb = { SCSI_REPORT_LUNS },
		.cdb_length = 12,
		.data_in = STORVSC_DATA_IN,
		.data = data,
		.size = 8 + LUNS_MAX,
	};
	struct storvsc_srb answer;
	uint32_t length;

	memset(data, 0, c.size);
	persona_scsi_execute(s, &c, &answer);
	assert_true(answer.srb_status == STORVSC_SRB_SUCCESS ||
	            answer.srb_status == STORVSC_SRB_PENDING);
	assert_int_equal(answer.scsi_status, 0);
	length = (uint32_t)data[0] << 24 | data[1] << 16 | data[2] << 8 | data[3];
	assert_true(length <= LUNS_MAX);
	for (uint32_t i = 0; i < length / 8; i++)
		assert_true((data[8 + i * 8] << 8 | data[9 + i * 8]) < 64);
	return length / 8;
}

static void finds_disks_by_lists_of_no_length(void **state)
{
	struct persona_scsi s;
	struct visit v;
	uint8_t *data;

	begin(&v);
	open_disks(&v, &s);
	data = persona_pages(&v.guest, 1);
	assert_int_equal(report_luns(&s, 0, data), 1);
	assert_int_equal(data[9], 0);
	assert_int_equal(report_luns(&s, 1, data), 0);
	persona_close(&s.channel);
	end(&v);
}

static void boots_from_a_disk(void **state)
{
	struct persona_scsi s;
	struct visit v;

	begin(&v);
	open_disks(&v, &s);
	persona_scsi_use_disk(&s);
	persona_close(&s.channel);
	end(&v);
}

/* ---- NetvscDxe ---- */

/* EmclSendPacketSync with nowhere to put an answer. */
static void command(struct persona_net *n, struct nvsp_message *m)
{
	assert_int_equal(persona_net_say(n, m, 32), 0);
}

static void boots_from_the_network(void **state)
{
	static const uint32_t versions[] = { NVSP_VERSION_5, 0 };
	const struct persona_opening opening = { .out_pages = 11, .in_pages = 11 };
	const uint32_t buffer = (1514 * 128 + 4095) / 4096 * 4096;
	struct nvsp_message m = { .type = NVSP_SEND_NDIS_CONFIG, .ndis_config = { 1514, 0, 0 } };
	struct persona_net n = { 0 };
	struct visit v;

	begin(&v);
	persona_open(&v.guest, &n.channel, persona_find(&v.guest, &services_net, 0), &opening);
	persona_net_init(&n, versions, 32);
	command(&n, &m);
	m = (struct nvsp_message){ .type = NVSP_SEND_NDIS_VERSION, .ndis_version = { 6, 0 } };
	command(&n, &m);
	persona_net_give_receive(&n, buffer, 1, 32);
	persona_net_give_send(&n, buffer, 2, 32);
	n.by_section = true;
	persona_net_begin_rndis(&n, services_address);
	persona_net_exchange(&n, 342);
	persona_close(&n.channel);
	end(&v);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(finds_disks_by_lists_of_no_length),
	cmocka_unit_test(boots_from_a_disk),
	cmocka_unit_test(boots_from_the_network),
};

PERSONA_MAIN(tests)
