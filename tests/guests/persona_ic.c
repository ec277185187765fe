/* SPDX-License-Identifier: BSD-2-Clause */
#include "persona_ic.h"

static void take(struct persona_ic *ic, const struct persona_packet *packet)
{
	struct wire_pipe_header pipe;

	assert_int_equal(packet->type, WIRE_PACKET_DATA_INBAND);
	assert_true(packet->size >= sizeof(pipe) + sizeof(struct ic_header));
	memcpy(&pipe, packet->payload, sizeof(pipe));
	assert_int_equal(pipe.type, WIRE_PIPE_DATA);
	/* Guests believe the packet's length, and look into what it has (Linux hv_utils checks it
	 * against the component's own since 5.11). */
	assert_true(packet->size >= sizeof(pipe) + pipe.data_size);
	memcpy(ic->message, packet->payload, packet->size);
	ic->size = packet->size;
	ic->transaction = packet->transaction;
	ic->packet_flags = packet->flags;
	assert_int_equal(persona_ic_header(ic)->flags, IC_TRANSACTION | IC_REQUEST);
}

void persona_ic_receive(struct persona_ic *ic)
{
	struct persona_packet packet;

	persona_receive(&ic->channel, &packet);
	take(ic, &packet);
}

bool persona_ic_try_receive(struct persona_ic *ic, int ms)
{
	struct persona_packet packet;

	if (!persona_try_receive(&ic->channel, &packet, ms))
		return false;
	take(ic, &packet);
	return true;
}

struct ic_header *persona_ic_header(struct persona_ic *ic)
{
	return (struct ic_header *)(ic->message + sizeof(struct wire_pipe_header));
}

uint8_t *persona_ic_body(struct persona_ic *ic)
{
	return ic->message + sizeof(struct wire_pipe_header) + sizeof(struct ic_header);
}

void persona_ic_count(struct persona_ic *ic)
{
	uint64_t number;

	memcpy(&number, persona_ic_body(ic), sizeof(number));
	number++;
	memcpy(persona_ic_body(ic), &number, sizeof(number));
}

void persona_ic_answer(struct persona_ic *ic, uint32_t size)
{
	persona_ic_header(ic)->flags = IC_TRANSACTION | IC_RESPONSE;
	persona_send(&ic->channel, WIRE_PACKET_DATA_INBAND, 0, ic->transaction, NULL, 0,
	             ic->message, size);
}

void persona_ic_beat(struct persona_ic *ic)
{
	persona_ic_receive(ic);
	assert_int_equal(persona_ic_header(ic)->type, IC_HEARTBEAT);
	/* FreeBSD (vmbus_heartbeat_cb) takes less than the number for an error. */
	assert_true(persona_ic_header(ic)->size >= sizeof(uint64_t));
	persona_ic_count(ic);
	persona_ic_answer(ic, ic->size);
}

void persona_ic_lists(struct persona_ic *ic, struct persona_ic_lists *lists)
{
	struct ic_negotiation counts;
	uint32_t size;

	persona_ic_receive(ic);
	assert_int_equal(persona_ic_header(ic)->type, IC_NEGOTIATE);
	memcpy(&counts, persona_ic_body(ic), sizeof(counts));
	lists->framework_count = counts.framework_count;
	lists->message_count = counts.message_count;
	size = (uint32_t)(counts.framework_count + counts.message_count) *
	       (uint32_t)sizeof(struct ic_version);
	assert_true(counts.framework_count && counts.message_count);
	assert_true(size <= sizeof(lists->versions));
	assert_int_equal(persona_ic_header(ic)->size, sizeof(counts) + size);
	memcpy(lists->versions, persona_ic_body(ic) + sizeof(counts), size);
}

void persona_ic_choose(struct persona_ic *ic, struct ic_version framework,
                       struct ic_version message, uint16_t body_size)
{
	struct {
		struct ic_negotiation counts;
		struct ic_version versions[2];
	} choice = { { 1, 1, 0 }, { framework, message } };

	memcpy(persona_ic_body(ic), &choice, sizeof(choice));
	persona_ic_header(ic)->size = body_size;
	persona_ic_answer(ic, ic->size);
}

const struct ic_version persona_ic_versions[] = { { 3, 0 }, { 1, 0 }, { 0, 0 } };

static struct ic_version newest(const struct ic_version *own, const struct ic_version *listed,
                                uint32_t count)
{
	for (; own->major; own++)
		for (uint32_t i = 0; i < count; i++)
			if (ic_version_number(*own) == ic_version_number(listed[i]))
				return *own;
	fail_msg("the host lists no version that the driver knows");
	return *own;
}

struct ic_version persona_ic_negotiate(struct persona_ic *ic, const struct ic_version *frameworks,
                                       const struct ic_version *versions)
{
	struct persona_ic_lists lists;
	struct ic_version framework, message;

	persona_ic_lists(ic, &lists);
	framework = newest(frameworks, lists.versions, lists.framework_count);
	message = newest(versions, lists.versions + lists.framework_count, lists.message_count);
	persona_ic_choose(ic, framework, message, 16);
	return message;
}

static struct ic_version not_newer(struct ic_version own, const struct ic_version *list,
                                   uint32_t count)
{
	struct ic_version best = { 0, 0 };

	for (uint32_t i = 0; i < count; i++)
		if (ic_version_number(list[i]) <= ic_version_number(own) &&
		    ic_version_number(list[i]) > ic_version_number(best))
			best = list[i];
	assert_int_not_equal(ic_version_number(best), 0);
	return best;
}

struct ic_version persona_ic_negotiate_up_to(struct persona_ic *ic, struct ic_version framework,
                                             struct ic_version message)
{
	struct persona_ic_lists l;

	persona_ic_lists(ic, &l);
	framework = not_newer(framework, l.versions, l.framework_count);
	message = not_newer(message, l.versions + l.framework_count, l.message_count);
	persona_ic_choose(ic, framework, message, 16);
	return message;
}

void persona_ic_open(struct persona *p, struct persona_ic *ic, const void *type, uint32_t pages)
{
	const struct persona_opening opening = { .out_pages = pages, .in_pages = pages };
	const struct wire_offer_channel *offer = persona_find(p, type, 0);

	assert_non_null(offer);
	assert_false(offer->monitor_allocated);
	persona_open(p, &ic->channel, offer, &opening);
}
