/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * NetBSD, whose drivers are made of OpenBSD's and FreeBSD's. Sources: sys/dev/hyperv/vmbus.c (the
 * bus), hvs.c (disks, as OpenBSD's), vmbusic.c and hvheartbeat.c (integration components). It needs
 * no monitor flag.
 */

#include "persona_ic.h"
#include "persona_scsi.h"
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

static void open_disks(struct visit *v, struct persona_scsi *s)
{
	static const uint16_t versions[] = { STORVSC_VERSION_WIN10, STORVSC_VERSION_WIN8_1,
		                             STORVSC_VERSION_WIN8,  STORVSC_VERSION_WIN7,
		                             STORVSC_VERSION_WIN6,  0 };
	const struct persona_opening opening = { .out_pages = 20, .in_pages = 20 };

	memset(s, 0, sizeof(*s));
	persona_open(&v->guest, &s->channel, persona_find(&v->guest, &services_scsi, 0), &opening);
	s->packet_size = s->answer_size = 64; /* hvs_intr drops what has another length */
	persona_scsi_begin(s, versions, true);
	s->srb_length = 64;
	s->transaction = 5ull << 32;
}

static void disks_attach(void **state)
{
	struct persona_scsi s;
	struct visit v;

	begin(&v);
	open_disks(&v, &s);
	persona_scsi_use_disk(&s);
	persona_close(&s.channel);
	visit_end(&v);
}

/* vmbusic_negotiate: the newest listed that is not newer than its own, and a message that is at
 * least as long as that takes. */
static void heartbeat_beats(void **state)
{
	static const struct ic_version frameworks[] = { { 3, 0 }, { 1, 0 }, { 0, 0 } };
	static const struct ic_version versions[] = { { 3, 0 }, { 1, 0 }, { 0, 0 } };
	struct persona_ic ic;
	struct visit v;

	begin(&v);
	persona_ic_open(&v.guest, &ic, &services_heartbeat, 4);
	persona_ic_negotiate(&ic, frameworks, versions);
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
	cmocka_unit_test(offers_are_of_channels_that_can_be),
	cmocka_unit_test(disks_attach),
	cmocka_unit_test(heartbeat_beats),
};

PERSONA_MAIN(tests)
