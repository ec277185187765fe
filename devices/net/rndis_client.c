/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/rndis_client.h"

#define RNDIS_CLIENT_BODY         sizeof(struct rndis_header)
#define RNDIS_CLIENT_MAX_TRANSFER 0x4000u /* of one message; Linux's */

static_assert(RNDIS_CLIENT_BODY + sizeof(struct rndis_query) + RNDIS_CLIENT_DATA <=
                      RNDIS_CLIENT_MESSAGE,
              "the longest");

/* ---- questions ---- */

static uint32_t rndis_client_length(const struct rndis_client_request *r)
{
	if (r->type != RNDIS_SET)
		return 0;
	return r->length < RNDIS_CLIENT_DATA ? r->length : RNDIS_CLIENT_DATA;
}

static uint32_t rndis_client_body(const struct rndis_client_request *r, uint32_t id, uint8_t *body)
{
	struct rndis_initialize initialize = { id, RNDIS_MAJOR_VERSION, RNDIS_MINOR_VERSION,
		                               RNDIS_CLIENT_MAX_TRANSFER };
	struct rndis_query query = { id, r->oid, rndis_client_length(r), sizeof(query), 0 };

	switch (r->type) {
	case RNDIS_INITIALIZE:
		__builtin_memcpy(body, &initialize, sizeof(initialize));
		return sizeof(initialize);
	case RNDIS_HALT:
		__builtin_memcpy(body, &id, sizeof(id));
		return sizeof(id);
	default:
		__builtin_memcpy(body, &query, sizeof(query));
		__builtin_memcpy(body + sizeof(query), r->data, query.length);
		return (uint32_t)sizeof(query) + query.length;
	}
}

uint32_t rndis_client_write(const struct rndis_client_request *r, uint32_t id,
                            uint8_t message[RNDIS_CLIENT_MESSAGE])
{
	struct rndis_header header = { r->type, sizeof(header) };

	header.length += rndis_client_body(r, id, message + sizeof(header));
	__builtin_memcpy(message, &header, sizeof(header));
	return header.length;
}

/* ---- answers ---- */

static bool rndis_client_end(struct rndis_client_request *r, enum rndis_client_result result,
                             uint32_t status)
{
	r->result = result;
	r->status = status;
	return true;
}

/* What a query's answer has of data, which may be anywhere behind it. */
static bool rndis_client_take_data(struct rndis_client_request *r, const uint8_t *body,
                                   uint32_t size, struct machine_fault *fault)
{
	struct rndis_query_complete q;

	if (size < sizeof(q)) {
		machine_fault(fault, "bytes of an answer to a query", sizeof(q), size);
		return rndis_client_end(r, RNDIS_CLIENT_NONSENSE, 0);
	}
	machine_copy(&q, body, sizeof(q));
	r->length = 0;
	if (q.status != RNDIS_STATUS_SUCCESS)
		return rndis_client_end(r, RNDIS_CLIENT_DONE, q.status);
	if (q.offset > size || q.length > size - q.offset) {
		machine_fault(fault, "end of the data of an answer", size,
		              (uint64_t)q.offset + q.length);
		return rndis_client_end(r, RNDIS_CLIENT_NONSENSE, 0);
	}
	r->length = q.length < RNDIS_CLIENT_DATA ? q.length : RNDIS_CLIENT_DATA;
	machine_copy(r->data, body + q.offset, r->length);
	return rndis_client_end(r, RNDIS_CLIENT_DONE, q.status);
}

bool rndis_client_take(struct rndis_client_request *r, uint32_t id, uint32_t type,
                       const uint8_t *message, uint32_t size, struct machine_fault *fault)
{
	struct rndis_set_complete answer; /* each answer begins like this one */
	const uint8_t *body = message + RNDIS_CLIENT_BODY;

	if (type != (r->type | RNDIS_COMPLETE))
		return machine_fault(fault, "type of an answer", r->type | RNDIS_COMPLETE, type);
	if (size < RNDIS_CLIENT_BODY + sizeof(answer))
		return machine_fault(fault, "bytes of an answer",
		                     RNDIS_CLIENT_BODY + sizeof(answer), size);
	machine_copy(&answer, body, sizeof(answer));
	if (answer.request_id != id)
		return machine_fault(fault, "id of an answer", id, answer.request_id);
	if (r->type == RNDIS_QUERY)
		return rndis_client_take_data(r, body, size - (uint32_t)RNDIS_CLIENT_BODY, fault);
	return rndis_client_end(r, RNDIS_CLIENT_DONE, answer.status);
}

bool rndis_client_read_indication(const uint8_t *message, uint32_t size, uint32_t *status,
                                  struct machine_fault *fault)
{
	struct rndis_indicate_status indicate;

	if (size < RNDIS_CLIENT_BODY + sizeof(indicate))
		return machine_fault(fault, "bytes of an indication",
		                     RNDIS_CLIENT_BODY + sizeof(indicate), size);
	machine_copy(&indicate, message + RNDIS_CLIENT_BODY, sizeof(indicate));
	*status = indicate.status;
	return true;
}

/* ---- frames ---- */

void rndis_client_write_frame(uint32_t length, uint8_t header[RNDIS_CLIENT_FRAME_HEADER])
{
	struct rndis_header head = { RNDIS_PACKET, RNDIS_CLIENT_FRAME_HEADER + length };
	struct rndis_packet packet;

	__builtin_memset(&packet, 0, sizeof(packet));
	packet.data_offset = sizeof(packet);
	packet.data_length = length;
	__builtin_memcpy(header, &head, sizeof(head));
	__builtin_memcpy(header + sizeof(head), &packet, sizeof(packet));
}

static void rndis_client_take_info(struct rndis_client_frame *f, uint32_t type, uint32_t value)
{
	if (type == RNDIS_INFO_CHECKSUM) {
		f->has_checksum = true;
		f->checksum = value;
	} else if (type == RNDIS_INFO_VLAN) {
		f->has_vlan = true;
		f->vlan = value;
	}
}

static __attribute__((noinline)) bool rndis_client_read_infos(const uint8_t *info, uint32_t size,
                                                              struct rndis_client_frame *f,
                                                              struct machine_fault *fault)
{
	struct rndis_packet_info head;
	uint32_t value;

	while (size) {
		if (size < sizeof(head))
			return machine_fault(fault, "size of per-packet information", sizeof(head),
			                     size);
		machine_copy(&head, info, sizeof(head));
		if (head.size < sizeof(head) || head.size > size)
			return machine_fault(fault, "size of per-packet information", size,
			                     head.size);
		if (head.value_offset > head.size)
			return machine_fault(fault, "offset in per-packet information", head.size,
			                     head.value_offset);
		if (head.size - head.value_offset >= sizeof(value)) {
			machine_copy(&value, info + head.value_offset, sizeof(value));
			rndis_client_take_info(f, head.type, value);
		}
		info += head.size;
		size -= head.size;
	}
	return true;
}

bool rndis_client_read_frame(const uint8_t *message, uint32_t size, struct rndis_client_frame *f,
                             struct machine_fault *fault)
{
	const uint8_t *body = message + RNDIS_CLIENT_BODY;
	struct rndis_packet p;

	__builtin_memset(f, 0, sizeof(*f));
	if (size < RNDIS_CLIENT_FRAME_HEADER)
		return machine_fault(fault, "bytes of a data message", RNDIS_CLIENT_FRAME_HEADER,
		                     size);
	machine_copy(&p, body, sizeof(p));
	size -= (uint32_t)RNDIS_CLIENT_BODY;
	if (p.data_offset > size || p.data_length > size - p.data_offset)
		return machine_fault(fault, "end of a frame", size,
		                     (uint64_t)p.data_offset + p.data_length);
	if (p.info_length && (p.info_offset > size || p.info_length > size - p.info_offset))
		return machine_fault(fault, "end of the per-packet information", size,
		                     (uint64_t)p.info_offset + p.info_length);
	f->data = body + p.data_offset;
	f->length = p.data_length;
	return !p.info_length ||
	       rndis_client_read_infos(body + p.info_offset, p.info_length, f, fault);
}
