/* SPDX-License-Identifier: BSD-2-Clause */
/* Data messages: the frame in them, and what is said about it. */
#include "net/rndis.h"

#include <string.h>

static bool refuse(struct rndis_fault *fault, const char *what, uint64_t expected, uint64_t actual)
{
	*fault = (struct rndis_fault){ what, expected, actual };
	return false;
}

static void take_info(struct rndis_transmit *t, uint32_t type, uint32_t value)
{
	switch (type) {
	case RNDIS_INFO_CHECKSUM:
		t->has_checksum = true;
		t->checksum = value;
		break;
	case RNDIS_INFO_LARGE_SEND:
		t->has_large_send = true;
		t->large_send = value;
		break;
	case RNDIS_INFO_VLAN:
		t->has_vlan = true;
		t->vlan = value;
		break;
	}
}

static bool parse_infos(const uint8_t *info, uint32_t size, struct rndis_transmit *t,
                        struct rndis_fault *fault)
{
	while (size) {
		struct rndis_packet_info head;
		uint32_t value;

		if (size < sizeof(head))
			return refuse(fault, "size of per-packet information", sizeof(head), size);
		memcpy(&head, info, sizeof(head));
		if (head.size < sizeof(head) || head.size > size)
			return refuse(fault, "size of per-packet information", size, head.size);
		if (head.value_offset > head.size)
			return refuse(fault, "offset in per-packet information", head.size,
			              head.value_offset);
		if (head.size - head.value_offset >= sizeof(value)) {
			memcpy(&value, info + head.value_offset, sizeof(value));
			take_info(t, head.type, value);
		}
		info += head.size;
		size -= head.size;
	}
	return true;
}

/* Nobody has ever used them (OpenVMM refuses them too). */
static bool check_unused(const struct rndis_packet *packet, struct rndis_fault *fault)
{
	if (packet->oob_offset || packet->oob_length || packet->oob_count)
		return refuse(fault, "out-of-band data of a packet", 0, packet->oob_length);
	if (packet->vc_handle)
		return refuse(fault, "VC handle of a packet", 0, packet->vc_handle);
	return true;
}

bool rndis_parse_packet(const uint8_t *head, uint32_t size, uint32_t length,
                        struct rndis_transmit *t, struct rndis_fault *fault)
{
	const uint32_t start = sizeof(struct rndis_header);
	struct rndis_packet packet;

	memset(t, 0, sizeof(*t));
	if (size > length)
		size = length;
	if (size < start + sizeof(packet))
		return refuse(fault, "size of a packet message", start + sizeof(packet), size);
	memcpy(&packet, head + start, sizeof(packet));
	if (!check_unused(&packet, fault))
		return false;
	length -= start;
	size -= start;
	if (packet.data_offset > length || packet.data_length > length - packet.data_offset)
		return refuse(fault, "end of a packet's data", length,
		              (uint64_t)packet.data_offset + packet.data_length);
	if (packet.info_length &&
	    (packet.info_offset > size || packet.info_length > size - packet.info_offset))
		return refuse(fault, "end of the per-packet information", size,
		              (uint64_t)packet.info_offset + packet.info_length);
	t->offset = start + packet.data_offset;
	t->length = packet.data_length;
	return !packet.info_length ||
	       parse_infos(head + start + packet.info_offset, packet.info_length, t, fault);
}

/* ---- the other way ---- */

static uint32_t write_info(uint8_t *at, uint32_t type, uint32_t value)
{
	struct rndis_packet_info info = {
		.size = sizeof(info) + sizeof(value),
		.type = type,
		.value_offset = sizeof(info),
	};

	memcpy(at, &info, sizeof(info));
	memcpy(at + sizeof(info), &value, sizeof(value));
	return info.size;
}

uint32_t rndis_write_receive(const struct rndis_receive *r,
                             uint8_t header[RNDIS_RECEIVE_HEADER_MAX])
{
	struct rndis_header head = { .type = RNDIS_PACKET };
	struct rndis_packet packet = { .data_length = r->length };
	uint32_t start = sizeof(head) + sizeof(packet), at = start;

	if (r->has_checksum)
		at += write_info(header + at, RNDIS_INFO_CHECKSUM, r->checksum);
	if (r->has_vlan)
		at += write_info(header + at, RNDIS_INFO_VLAN, r->vlan);
	if (r->has_hash)
		at += write_info(header + at, RNDIS_INFO_HASH, r->hash);
	if (at != start) {
		packet.info_offset = sizeof(packet);
		packet.info_length = at - start;
	}
	packet.data_offset = at - (uint32_t)sizeof(head);
	head.length = at + r->length;
	memcpy(header, &head, sizeof(head));
	memcpy(header + sizeof(head), &packet, sizeof(packet));
	return at;
}

static_assert(sizeof(struct rndis_header) + sizeof(struct rndis_packet) +
                              3 * (sizeof(struct rndis_packet_info) + sizeof(uint32_t)) <=
                      RNDIS_RECEIVE_HEADER_MAX,
              "all of it");

#define TAG_PRIORITY_SHIFT 13u
#define TAG_DEI            0x1000u
#define TAG_ID             0x0fffu

uint16_t rndis_vlan_tag(uint32_t value)
{
	uint32_t tag = (value & RNDIS_VLAN_PRIORITY_MASK) << TAG_PRIORITY_SHIFT;

	tag |= value & RNDIS_VLAN_DEI ? TAG_DEI : 0;
	return (uint16_t)(tag | (value >> RNDIS_VLAN_ID_SHIFT & TAG_ID));
}

uint32_t rndis_vlan_value(uint16_t tag)
{
	return (uint32_t)tag >> TAG_PRIORITY_SHIFT | (tag & TAG_DEI ? RNDIS_VLAN_DEI : 0) |
	       (tag & TAG_ID) << RNDIS_VLAN_ID_SHIFT;
}
