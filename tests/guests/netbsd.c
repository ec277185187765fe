/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * NetBSD, whose drivers are made of OpenBSD's and FreeBSD's. Sources: sys/dev/hyperv/vmbus.c (the
 * bus), hvs.c (disks) and if_hvn.c (network), as OpenBSD's, vmbusic.c and hvheartbeat.c
 * (integration components). It needs no monitor flag, and has no driver of key-value pairs.
 */

#include "openbsd_drivers.h"
#include "visit.h"

static void begin(struct visit *v)
{
	static const struct persona_contact contact = { .version = WIRE_VERSION_3_0,
		                                        .interrupt_page = true };

	visit_begin(v, NULL);
	assert_true(persona_contact(&v->guest, &contact));
	v->guest.next_gpadl = 0x10000;
	persona_request_offers(&v->guest);
}

/* vmbus_channel_add: no channel 0, none past the last event flag, and each offer once. */
static void offers_are_of_channels_that_can_be(void **state)
{
	struct visit v;

	begin(&v);
	assert_int_equal(v.guest.offer_count, 6);
	for (uint32_t i = 0; i < v.guest.offer_count; i++) {
		const struct wire_offer_channel *a = &v.guest.offers[i];

		assert_in_range(a->channel_id, 1, 2047);
		assert_int_equal(a->subchannel_index, 0);
		for (uint32_t j = 0; j < i; j++) {
			const struct wire_offer_channel *b = &v.guest.offers[j];

			assert_int_not_equal(a->channel_id, b->channel_id);
			assert_int_not_equal(a->connection_id, b->connection_id);
			assert_true(memcmp(a->interface_type, b->interface_type, 32) != 0);
		}
	}
	visit_end(&v);
}

static void disks_attach(void **state)
{
	struct persona_scsi s;
	struct visit v;

	begin(&v);
	hvs_open(&v.guest, &s, &services_scsi, false);
	persona_scsi_use_disk(&s);
	persona_close(&s.channel);
	visit_end(&v);
}

/* hvn_rndis_open and hvn_rndis_close: the filter set, and nothing. */
static void the_network_attaches(void **state)
{
	uint32_t filter = 0;
	struct persona_net n;
	struct visit v;

	begin(&v);
	hvn_open(&v.guest, &n, &services_net, false);
	hvn_use(&n, services_address, 0x000d); /* directed, all multicast, broadcast */
	persona_net_set(&n, 0x0001010e, &filter, sizeof(filter));
	persona_net_revoke(&n, 0, 32);
	persona_close(&n.channel);
	visit_end(&v);
}

/* vmbusic_negotiate: the newest listed that is not newer than its own, and a message that is at
 * least as long as that takes. */
static void heartbeat_beats(void **state)
{
	const struct ic_version three = { 3, 0 };
	struct persona_ic ic;
	struct visit v;

	begin(&v);
	persona_ic_open(&v.guest, &ic, &services_heartbeat, 4);
	persona_ic_negotiate_up_to(&ic, three, three);
	visit_beat(&v, &ic, 3);
	persona_close(&ic.channel);
	visit_end(&v);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(offers_are_of_channels_that_can_be),
	cmocka_unit_test(disks_attach),
	cmocka_unit_test(the_network_attaches),
	cmocka_unit_test(heartbeat_beats),
};

PERSONA_MAIN(tests)
