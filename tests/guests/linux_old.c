/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Linux from 2.6.32, where Hyper-V's drivers were new, to 4.x. Sources: v2.6.32 drivers/staging/hv
 * (Connection.c, StorVsc.c, NetVsc.c); v2.6.37 drivers/staging/hv/hv_utils.c (prep_negotiate_resp);
 * v3.10 and v4.9 drivers/hv/connection.c (vmbus_connect), channel_mgmt.c
 * (vmbus_prep_negotiate_resp), hv_util.c, drivers/scsi/storvsc_drv.c (storvsc_channel_init),
 * drivers/net/hyperv/netvsc.c (negotiate_nvsp_ver, netvsc_connect_vsp). Later ones boot in
 * tests/guest.
 */

#include "persona_kvp.h"
#include "persona_net.h"
#include "persona_scsi.h"
#include "visit.h"

#define GPADL_FIRST 0xe1e10u
#define RECEIVE     0xcafe
#define SEND        0

/* A kernel, and what it asks of a host that can do all. */
struct era {
	const char *kernel;
	uint32_t bus;
	uint16_t scsi[5];
	uint32_t scsi_size; /* of its first packets */
	uint32_t nvsp[5];
	uint32_t ndis[2];
	uint32_t message; /* size of its NVSP messages */
	uint32_t mtu;     /* 0: it says nothing of it */
};

static const struct era eras[] = {
	{ "2.6.32",
	  WIRE_VERSION_0_13,
	  { STORVSC_VERSION_WIN6 },
	  48,
	  { NVSP_VERSION_1 },
	  { 5, 0 },
	  28,
	  0 },
	{ "3.2",
	  WIRE_VERSION_0_13,
	  { STORVSC_VERSION_WIN7 },
	  48,
	  { NVSP_VERSION_2, NVSP_VERSION_1 },
	  { 5, 1 },
	  28,
	  1514 },
	{ "3.10",
	  WIRE_VERSION_2_4,
	  { STORVSC_VERSION_WIN8 },
	  64,
	  { NVSP_VERSION_2, NVSP_VERSION_1 },
	  { 5, 1 },
	  28,
	  1514 },
	{ "3.16",
	  WIRE_VERSION_3_0,
	  { STORVSC_VERSION_WIN8 },
	  64,
	  { NVSP_VERSION_5, NVSP_VERSION_4, NVSP_VERSION_2, NVSP_VERSION_1 },
	  { 6, 30 },
	  40,
	  1514 },
	{ "4.9",
	  WIRE_VERSION_4_0,
	  { STORVSC_VERSION_WIN10, STORVSC_VERSION_WIN8_1, STORVSC_VERSION_WIN8 },
	  48,
	  { NVSP_VERSION_5, NVSP_VERSION_4, NVSP_VERSION_2, NVSP_VERSION_1 },
	  { 6, 30 },
	  40,
	  1514 },
};

#define ERAS (sizeof(eras) / sizeof(eras[0]))

static void begin(struct visit *v, const struct era *era)
{
	const struct persona_contact contact = { .version = era->bus, .interrupt_page = true };

	print_message("# Linux %s\n", era->kernel);
	visit_begin(v, NULL);
	assert_true(persona_contact(&v->guest, &contact));
	v->guest.next_gpadl = GPADL_FIRST;
	persona_request_offers(&v->guest);
}

/* VmbusDisconnect says UNLOAD and waits for nothing, up to 4.1. */
static void end(struct visit *v)
{
	persona_say(&v->guest, WIRE_UNLOAD);
	visit_end_without_answer(v);
}

/* ---- disks ---- */

/* 2.6.32 has the arguments of its memset() calls exchanged: each packet has in it what was left of
 * the last answer. */
static void begin_unclean(struct persona_scsi *s)
{
	static const uint32_t operations[] = { STORVSC_BEGIN_INITIALIZATION,
		                               STORVSC_QUERY_PROTOCOL_VERSION,
		                               STORVSC_QUERY_PROPERTIES,
		                               STORVSC_END_INITIALIZATION };
	struct storvsc_packet packet = { 0 };

	for (uint32_t i = 0; i < 4; i++) {
		packet.operation = operations[i];
		if (packet.operation == STORVSC_QUERY_PROTOCOL_VERSION) {
			packet.version.major_minor = STORVSC_VERSION_WIN6;
			packet.version.revision = 0x1234;
		}
		assert_int_equal(persona_scsi_say(s, &packet), 0);
	}
	s->version = STORVSC_VERSION_WIN6;
	s->sense_size = 18;
}

static void open_disks(struct visit *v, struct persona_scsi *s, const struct era *era)
{
	persona_scsi_open(&v->guest, s, &services_scsi, 5);
	s->packet_size = era->scsi_size;
	s->transaction = 0xffff880012345678ull;
	s->transaction_step = 0x100;
	if (era->scsi[0] == STORVSC_VERSION_WIN6)
		begin_unclean(s);
	else
		persona_scsi_begin(s, era->scsi, false);
}

/* What sd and the mid layer look at when a disk is found. */
static void probe(struct persona_scsi *s, uint8_t *data)
{
	static const uint8_t inquiry[6] = { 0x12, 0, 0, 0, 36 }, capacity[10] = { 0x25 };
	static const uint8_t sense[6] = { 0x1a, 0, 0x3f, 0, 192 };
	struct storvsc_srb answer;

	assert_int_equal(persona_scsi_in(s, 0, inquiry, 6, data, 36, &answer), STORVSC_SRB_SUCCESS);
	assert_int_equal(persona_scsi_in(s, 0, capacity, 10, data, 8, &answer),
	                 STORVSC_SRB_SUCCESS);
	assert_int_equal(scsi_get32(data), SERVICES_DISK_SIZE / 512 - 1);
	assert_int_equal(scsi_get32(data + 4), 512);
	assert_int_equal(persona_scsi_in(s, 0, sense, 6, data, 192, &answer), STORVSC_SRB_SUCCESS);
	assert_false(data[2] & 0x80); /* it may be written */
	/* A LUN that is not there is no device, and no disk of unknown kind. */
	if (persona_scsi_in(s, 1, inquiry, 6, data, 36, &answer) == STORVSC_SRB_SUCCESS)
		assert_int_equal(data[0], 0x7f);
}

static void disks_attach(void **state)
{
	struct persona_scsi s;
	struct visit v;

	for (uint32_t i = 0; i < ERAS; i++) {
		begin(&v, &eras[i]);
		open_disks(&v, &s, &eras[i]);
		probe(&s, persona_pages(&v.guest, 1));
		persona_scsi_use_disk(&s);
		persona_scsi_stop_disk(&s);
		persona_close(&s.channel);
		end(&v);
	}
}

/* storvsc_host_reset_handler: RESET BUS is answered, and what comes after it works. */
static void the_bus_is_reset(void **state)
{
	struct storvsc_packet packet = { .operation = STORVSC_RESET_BUS };
	struct persona_scsi s;
	struct visit v;

	begin(&v, &eras[2]);
	open_disks(&v, &s, &eras[2]);
	assert_int_equal(persona_scsi_say(&s, &packet), 0);
	persona_scsi_use_disk(&s);
	persona_close(&s.channel);
	end(&v);
}

/* ---- network ---- */

static void open_net(struct visit *v, struct persona_net *n, const struct era *era)
{
	persona_net_open(&v->guest, n, &services_net, 16);
	persona_net_init(n, era->nvsp, era->message);
	assert_int_equal(n->version, era->nvsp[0]);
	/* 2.6.32 looks at the version that the answer names, too. */
	if (n->version == NVSP_VERSION_1)
		assert_int_equal(n->completion.init_complete.negotiated_version, NVSP_VERSION_1);
	if (era->mtu)
		persona_net_configure(n, era->mtu, NVSP_CAPABILITY_VLAN, era->message);
	persona_net_ndis(n, era->ndis[0], era->ndis[1], era->message);
	persona_net_give_receive(n, 1 << 20, RECEIVE, era->message);
	persona_net_give_send(n, 1 << 20, SEND, era->message);
}

static void the_network_attaches(void **state)
{
	struct persona_net n;
	struct visit v;

	for (uint32_t i = 0; i < ERAS; i++) {
		begin(&v, &eras[i]);
		open_net(&v, &n, &eras[i]);
		persona_net_begin_rndis(&n, services_address);
		persona_net_exchange(&n, 60);
		persona_net_exchange(&n, 1514);
		persona_net_revoke(&n, SEND, eras[i].message);
		persona_close(&n.channel);
		end(&v);
	}
}

/* ---- integration components ---- */

/* prep_negotiate_resp of 2.6.37: 3.0 of both where the host lists two frameworks and the second is
 * 3; else 1.0. */
static void negotiate_old(struct persona_ic *ic)
{
	struct persona_ic_lists l;
	struct ic_version choice;

	persona_ic_lists(ic, &l);
	choice.major = l.framework_count == 2 && l.versions[1].major == 3 ? 3 : 1;
	choice.minor = 0;
	assert_int_equal(choice.major, 3);
	persona_ic_choose(ic, choice, choice, 16);
}

static void heartbeat_beats(void **state)
{
	struct persona_ic ic;
	struct visit v;

	for (uint32_t i = 0; i < ERAS; i++) {
		begin(&v, &eras[i]);
		persona_ic_open(&v.guest, &ic, &services_heartbeat, 3);
		if (eras[i].bus < WIRE_VERSION_2_4)
			negotiate_old(&ic);
		else
			persona_ic_negotiate(&ic, persona_ic_versions, persona_ic_versions);
		visit_beat(&v, &ic, 10);
		/* VmbusOnEvents looks for the channel's bit, and for nothing without. */
		if (eras[i].bus < WIRE_VERSION_2_4)
			assert_true(ic.channel.bits > 0);
		persona_close(&ic.channel);
		end(&v);
	}
}

/* v4.9 drivers/hv/hv_kvp.c, kvp_respond_to_host: what the daemon could not do is "no more items",
 * and a GET is answered with a string that has no letters. */
static void pairs_are_exchanged(void **state)
{
	static const struct ic_version versions[] = { { 4, 0 }, { 3, 0 }, { 1, 0 }, { 0, 0 } };
	struct persona_ic ic;
	struct persona_kvp kvp = { .ic = &ic, .none = IC_E_NO_MORE_ITEMS, .get_is_empty = true };
	struct visit v;

	begin(&v, &eras[ERAS - 1]);
	persona_ic_open(&v.guest, &ic, &services_kvp, 4);
	assert_int_equal(persona_ic_negotiate(&ic, persona_ic_versions, versions).major, 4);
	visit_pairs(&v, &kvp);
	persona_close(&ic.channel);
	end(&v);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(disks_attach),         cmocka_unit_test(the_bus_is_reset),
	cmocka_unit_test(the_network_attaches), cmocka_unit_test(heartbeat_beats),
	cmocka_unit_test(pairs_are_exchanged),
};

PERSONA_MAIN(tests)
