/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * DPDK's netvsc driver in a Linux guest, by way of uio_hv_generic. Sources: DPDK 22.11
 * drivers/net/netvsc (hn_nvs.c, hn_rndis.c, hn_rxtx.c), drivers/bus/vmbus/vmbus_channel.c;
 * Linux 6.1 drivers/uio/uio_hv_generic.c.
 */

#include "persona_net.h"
#include "visit.h"

#define SIZE sizeof(struct nvsp_message)

/* hn_nvs_handle_rxbuf: rxbuf_info[id] is this packet's until it is completed. */
struct seen {
	uint32_t packets;
	uint32_t lowest, highest;
};

static struct seen seen;

static void look(struct persona_net *n, const struct persona_packet *packet)
{
	assert_true(packet->transaction < n->slot_count);
	seen.lowest =
		packet->transaction < seen.lowest ? (uint32_t)packet->transaction : seen.lowest;
	seen.highest =
		packet->transaction > seen.highest ? (uint32_t)packet->transaction : seen.highest;
	seen.packets++;
}

/* The kernel's end of it: Linux of today's first versions, and a channel with a monitor bit, or
 * hv_uio_probe says "vmbus channel requires hypercall" and ENOTSUPP. */
static void begin(struct visit *v)
{
	static const struct services_options options = { .monitored = true, .queues = 4 };
	static const struct persona_contact contact = { .version = WIRE_VERSION_5_3,
		                                        .connection = WIRE_CONNECTION_MULTICLIENT,
		                                        .sint = WIRE_SINT_DEFAULT };

	visit_begin(v, &options);
	assert_true(persona_contact(&v->guest, &contact));
	persona_request_offers(&v->guest);
	assert_true(persona_find(&v->guest, &services_net, 0)->monitor_allocated);
}

/* The kernel opens the ring (2 MiB) and shares the buffers; the driver signals by the page. */
static void attach(struct visit *v, struct persona_net *n)
{
	static const uint32_t versions[] = { NVSP_VERSION_61,
		                             NVSP_VERSION_6,
		                             NVSP_VERSION_5,
		                             NVSP_VERSION_4,
		                             NVSP_VERSION_2,
		                             NVSP_VERSION_1,
		                             0 };
	const struct persona_opening opening = { .out_pages = 64, .in_pages = 64 };
	uint32_t filter = 0x2d; /* directed, all multicast, broadcast, promiscuous */

	memset(n, 0, sizeof(*n));
	memset(&seen, 0, sizeof(seen));
	seen.lowest = UINT32_MAX;
	n->look = look;
	persona_open(&v->guest, &n->channel, persona_find(&v->guest, &services_net, 0), &opening);
	n->channel.monitored = true;
	persona_net_init(n, versions, SIZE);
	assert_int_equal(n->version, NVSP_VERSION_61);
	persona_net_configure(n, 1514, NVSP_CAPABILITY_VLAN, SIZE);
	persona_net_ndis(n, 6, 30, SIZE);
	persona_net_give_receive(n, 1 << 20, 0xcafe, SIZE);
	persona_net_give_send(n, 1 << 20, 0, SIZE);
	persona_net_rndis_init(n, 0x4000);
	persona_net_set(n, 0x0001010e, &filter, sizeof(filter));
	n->by_section = true; /* small frames are copied into the send buffer */
}

static void ids_are_indexes_of_its_table(void **state)
{
	struct persona_net n;
	struct visit v;

	begin(&v);
	attach(&v, &n);
	for (uint32_t i = 0; i < 50; i++)
		persona_net_exchange(&n, 60 + i * 16);
	assert_true(seen.packets >= 100); /* a query and a frame each */
	assert_true(seen.lowest >= 1 && seen.highest < n.slot_count);
	persona_net_revoke(&n, 0, SIZE);
	persona_close(&n.channel);
	visit_end(&v);
}

static uint64_t outstanding[1024];
static uint32_t outstanding_count;

static void keep(struct persona_net *n, const struct persona_packet *packet)
{
	look(n, packet);
	for (uint32_t i = 0; i < outstanding_count; i++)
		assert_int_not_equal(outstanding[i], packet->transaction);
	outstanding[outstanding_count++] = packet->transaction;
}

/* No two of those under way have the same, and each is in the table however many there are. */
static void ids_differ_while_the_driver_has_the_buffers(void **state)
{
	const uint32_t done[2] = { NVSP_RNDIS_PACKET_COMPLETE, NVSP_STATUS_SUCCESS };
	struct persona_net n;
	struct visit v;

	begin(&v);
	attach(&v, &n);
	for (int round = 0; round < 3; round++) {
		outstanding_count = 0;
		n.look = keep;
		n.keep = true;
		for (uint32_t i = 0; i < 100; i++)
			persona_net_exchange(&n, 64);
		n.keep = false;
		n.look = look;
		assert_true(outstanding_count >= 200);
		for (uint32_t i = 0; i < outstanding_count; i++)
			persona_complete(&n.channel, outstanding[i], done, sizeof(done));
		persona_net_exchange(&n, 64);
	}
	persona_close(&n.channel);
	visit_end(&v);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(ids_are_indexes_of_its_table),
	cmocka_unit_test(ids_differ_while_the_driver_has_the_buffers),
};

PERSONA_MAIN(tests)
