/* SPDX-License-Identifier: BSD-2-Clause */
#include "freebsd_drivers.h"

#define RXBUF        0xcafe
#define CHIM         0xface
#define MESSAGE      40u /* each NVS message, whatever is in it */
#define SUBCHANNELS  8u
#define STORVSC_RING 20u /* pages */

void freebsd_disks_open(struct persona *p, struct persona_scsi *s, const void *type)
{
	persona_scsi_open(p, s, type, STORVSC_RING);
	s->packet_size = STORVSC_PACKET_SIZE_OLD;
	s->transaction = 0xfffff80001234560ull; /* a request's address */
	s->transaction_step = 0x40;
	persona_scsi_begin(s, persona_scsi_versions, false);
}

static void open_subchannels(struct persona_scsi *s, const void *type, struct persona_channel *sub,
                             uint16_t count)
{
	const struct persona_opening opening = { .out_pages = STORVSC_RING,
		                                 .in_pages = STORVSC_RING };
	struct storvsc_packet packet = { .operation = STORVSC_CREATE_SUB_CHANNELS,
		                         .subchannels = count };
	struct persona *p = s->channel.persona;

	assert_true(s->properties.flags & STORVSC_MULTI_CHANNEL);
	assert_true(s->properties.max_subchannels >= count);
	assert_int_equal(persona_scsi_say(s, &packet), 0);
	for (uint16_t i = 0; i < count; i++)
		assert_int_not_equal(persona_hear_offer(p)->subchannel_index, 0);
	for (uint16_t i = 0; i < count; i++)
		persona_open(p, &sub[i], persona_find(p, type, (uint16_t)(i + 1)), &opening);
}

void freebsd_disks_use_subchannels(struct persona_scsi *s, const void *type, uint16_t count)
{
	struct persona_channel sub[SUBCHANNELS], primary = s->channel;

	assert_true(count <= SUBCHANNELS);
	open_subchannels(s, type, sub, count);
	primary = s->channel;
	for (uint16_t i = 0; i < count; i++) {
		s->channel = sub[i];
		persona_scsi_use_disk(s);
		sub[i] = s->channel;
	}
	s->channel = primary;
	persona_scsi_use_disk(s);
	for (uint16_t i = 0; i < count; i++)
		persona_forget(&sub[i]);
}

void hn_open(struct persona *p, struct persona_net *n, const void *type, const uint32_t *versions)
{
	persona_net_open(p, n, type, 32);
	persona_net_init(n, versions, MESSAGE);
	if (n->version >= NVSP_VERSION_2)
		persona_net_configure(n, 1500 + 14, NVSP_CAPABILITY_VLAN, MESSAGE);
	persona_net_ndis(n, 6, n->version <= NVSP_VERSION_4 ? 1 : 30, MESSAGE);
	persona_net_give_receive(n, 2 << 20, RXBUF, MESSAGE);
	persona_net_give_send(n, 1 << 20, CHIM, MESSAGE);
	/* hn_nvs_conn_chim: sections that are no multiple of 4 are not used. */
	assert_int_equal(n->section_size % 4, 0);
	n->by_section = true;
}

void hn_use(struct persona_net *n, const uint8_t *address)
{
	persona_net_begin_rndis(n, address);
	persona_net_exchange(n, 60);
	n->by_section = false; /* what is long goes by a list of pages */
	persona_net_exchange(n, 1514);
	persona_net_revoke(n, CHIM, MESSAGE);
	persona_close(&n->channel);
}
