/* SPDX-License-Identifier: BSD-2-Clause */
#include "openbsd_drivers.h"

#define NVS_SIZE 32u /* of each message, HVN_NVS_REQSIZE_MIN */

void hvs_open(struct persona *p, struct persona_scsi *s, const void *type, bool monitored)
{
	persona_scsi_open(p, s, type, 20);
	s->channel.monitored = monitored;
	/* All of it has 64 bytes, what they send and what they take, before the version is agreed
	 * as after it; and transaction 0. */
	s->packet_size = s->answer_size = 64;
	persona_scsi_begin(s, persona_scsi_versions, true);
	assert_int_equal(s->version, STORVSC_VERSION_WIN10);
	s->srb_length = 64; /* its structure's, with the header */
	s->transaction = 127ull << 32;
}

/* hvn_nvs_intr: a completion wakes who waits for it by its type, and one of another type is
 * dropped; what is not in the packet is what lay in the buffer. So an answer without a type to the
 * two that have none must be empty. */
static void command_without_answer(struct persona_net *n, struct nvsp_message *m)
{
	assert_int_equal(persona_net_say(n, m, NVS_SIZE), 0);
}

void hvn_open(struct persona *p, struct persona_net *n, const void *type, bool monitored)
{
	static const uint32_t versions[] = { NVSP_VERSION_5, NVSP_VERSION_4, NVSP_VERSION_2,
		                             NVSP_VERSION_1, 0 };
	struct nvsp_message m = { .type = NVSP_SEND_NDIS_CONFIG,
		                  .ndis_config = { 9216, 0, NVSP_CAPABILITY_VLAN } };

	persona_net_open(p, n, type, 20);
	n->channel.monitored = monitored;
	n->message_size = NVS_SIZE;
	n->split = true; /* hvn_encap: an RNDIS message of its own, then the pieces of the frame */
	persona_net_init(n, versions, NVS_SIZE);
	assert_int_equal(n->version, NVSP_VERSION_5);
	command_without_answer(n, &m);
	m = (struct nvsp_message){ .type = NVSP_SEND_NDIS_VERSION, .ndis_version = { 6, 30 } };
	command_without_answer(n, &m);
	persona_net_give_receive(n, 2 << 20, 0xcafe, NVS_SIZE);
}

static void set_offloads(struct persona_net *n)
{
	uint8_t parameters[32] = { 0x80, 3, 32 };

	parameters[4] = parameters[5] = parameters[7] = 4; /* IPv4, TCPv4, TCPv6: both ways */
	parameters[6] = parameters[8] = 4;
	persona_net_set(n, 0xfc01020c, parameters, sizeof(parameters));
}

/* hvn_rndis_query takes what follows the structure for the answer, wherever that says it is. */
static uint32_t query(struct persona_net *n, uint32_t oid, void *data, uint32_t capacity)
{
	uint32_t size = persona_net_query(n, oid, data, capacity);

	assert_memory_equal(
		data, n->answer + sizeof(struct rndis_header) + sizeof(struct rndis_query_complete),
		size);
	return size;
}

void hvn_use(struct persona_net *n, const uint8_t *address, uint32_t filter)
{
	uint32_t link = 1;
	uint8_t own[6];

	persona_net_rndis_init(n, 2048);
	set_offloads(n);
	assert_int_equal(query(n, 0x01010101, own, sizeof(own)), 6);
	assert_memory_equal(own, address, sizeof(own));
	assert_int_equal(query(n, 0x00010114, &link, sizeof(link)), 4);
	assert_int_equal(link, 0);
	persona_net_set(n, 0x0001010e, &filter, sizeof(filter));
	persona_net_exchange(n, 60);
	persona_net_exchange(n, 1514);
}
