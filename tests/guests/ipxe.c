/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * iPXE. Sources: src/interface/hyperv/vmbus.c (the bus; vmbus_negotiate_version says why as it
 * does) and src/drivers/net/netvsc.c, netvsc.h.
 */

#include "persona_net.h"
#include "visit.h"

#define GPADL_MAGIC 0x18ae0000u
#define PAGESET     0xbead
#define RX_PAGES    16u
#define PACKET_MAX  512u /* that it has room for, with headers and footer */

static bool contact(struct persona *p, uint32_t version)
{
	const struct persona_contact c = { .version = version, .interrupt_page = true };
	bool done = persona_contact(p, &c);

	if (done)
		assert_int_equal(p->response.selected_version, version);
	return done;
}

/* 3.0 to see that the host can be left, and then the oldest. */
static void probe(struct persona *p)
{
	assert_true(contact(p, WIRE_VERSION_3_0));
	persona_unload(p);
	assert_true(contact(p, WIRE_VERSION_0_13));
	p->next_gpadl = GPADL_MAGIC + 1;
	persona_request_offers(p);
}

static void look(struct persona_net *n, const struct persona_packet *packet)
{
	assert_true(packet->size + packet->header_size + 24 <= PACKET_MAX);
}

/* Each message is asked to be completed, and waited for. */
static void command(struct persona_net *n, struct nvsp_message *m, uint32_t size)
{
	persona_net_say(n, m, size);
}

static void open_net(struct persona *p, struct persona_net *n)
{
	static const uint32_t versions[] = { NVSP_VERSION_1, 0 };
	const struct persona_opening opening = { .out_pages = 1 + 4,
		                                 .in_pages = 1 + 4,
		                                 .open_id = 0x5eed };
	struct nvsp_message m = { .type = NVSP_SEND_NDIS_VERSION, .ndis_version = { 6, 1 } };

	memset(n, 0, sizeof(*n));
	n->look = look;
	persona_open(p, &n->channel, persona_find(p, &services_net, 0), &opening);
	persona_net_init(n, versions, 40);
	command(n, &m, 40);
	persona_net_give_receive(n, RX_PAGES * WIRE_PAGE_SIZE, PAGESET, 40);
}

static void close_net(struct persona_net *n)
{
	struct nvsp_message m = { .type = NVSP_REVOKE_RECEIVE_BUFFER, .revoke = { .id = PAGESET } };

	command(n, &m, 40);
	persona_unshare(n->channel.persona, n->channel.offer.channel_id, n->receive_gpadl);
	persona_close(&n->channel);
}

static void boots_from_the_network_and_leaves_at_0_13(void **state)
{
	struct persona_net n;
	struct visit v;

	visit_begin(&v, NULL);
	probe(&v.guest);
	open_net(&v.guest, &n);
	persona_net_begin_rndis(&n, services_address);
	for (int i = 0; i < 10; i++)
		persona_net_exchange(&n, 342);
	close_net(&n);
	persona_unload(&v.guest); /* waits for the answer, for a second */
	visit_end(&v);
}

/* What it boots finds the bus as if nothing had been there. */
static void what_is_booted_comes_after_it(void **state)
{
	static const struct persona_contact linux_today = {
		.version = WIRE_VERSION_5_3,
		.connection = WIRE_CONNECTION_MULTICLIENT,
		.sint = WIRE_SINT_DEFAULT,
	};
	struct persona_net n;
	struct visit v;

	visit_begin(&v, NULL);
	probe(&v.guest);
	open_net(&v.guest, &n);
	close_net(&n);
	persona_unload(&v.guest);
	assert_true(persona_contact(&v.guest, &linux_today));
	persona_request_offers(&v.guest);
	assert_non_null(persona_find(&v.guest, &services_net, 0));
	persona_unload(&v.guest);
	visit_end(&v);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(boots_from_the_network_and_leaves_at_0_13),
	cmocka_unit_test(what_is_booted_comes_after_it),
};

PERSONA_MAIN(tests)
