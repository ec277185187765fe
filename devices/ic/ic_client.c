/* SPDX-License-Identifier: BSD-2-Clause */
#include "ic/ic_client.h"

/* Newest first. */
static const struct ic_version ic_client_frameworks[] = { { 3, 0 }, { 1, 0 } };
static const struct ic_version ic_client_heartbeats[] = { { 3, 0 }, { 1, 0 } };
static const struct ic_version ic_client_shutdowns[] = { { 3, 2 }, { 3, 1 }, { 3, 0 }, { 1, 0 } };
static const struct ic_version ic_client_times[] = { { 4, 0 }, { 3, 0 }, { 1, 0 } };

struct ic_client_versions {
	const struct ic_version *list;
	uint32_t count;
};

#define IC_CLIENT_LIST(array)                             \
	{                                                 \
		array, sizeof(array) / sizeof((array)[0]) \
	}

void ic_client_init(struct ic_client *c, enum ic_message_type type)
{
	__builtin_memset(c, 0, sizeof(*c));
	c->type = (uint16_t)type;
	c->health = IC_HEALTH_HEALTHY;
}

void ic_client_open(struct ic_client *c)
{
	__builtin_memset(&c->framework, 0, sizeof(c->framework));
	__builtin_memset(&c->agreed, 0, sizeof(c->agreed));
}

/* ---- versions ---- */

static struct ic_client_versions ic_client_own(const struct ic_client *c)
{
	static const struct ic_client_versions own[] = {
		[IC_HEARTBEAT] = IC_CLIENT_LIST(ic_client_heartbeats),
		[IC_SHUTDOWN] = IC_CLIENT_LIST(ic_client_shutdowns),
		[IC_TIMESYNC] = IC_CLIENT_LIST(ic_client_times),
	};
	static const struct ic_client_versions none = { NULL, 0 };

	return c->type < sizeof(own) / sizeof(own[0]) ? own[c->type] : none;
}

static bool ic_client_offered(struct ic_version version, const uint8_t *list, uint32_t count)
{
	struct ic_version offered;
	uint32_t i;

	for (i = 0; i < count; i++) {
		__builtin_memcpy(&offered, list + i * sizeof(offered), sizeof(offered));
		if (ic_version_number(offered) == ic_version_number(version))
			return true;
	}
	return false;
}

/* The newest that both have; false: there is none. */
static bool ic_client_choose(struct ic_client_versions own, const uint8_t *list, uint32_t count,
                             struct ic_version *chosen)
{
	uint32_t i;

	for (i = 0; i < own.count; i++) {
		if (!ic_client_offered(own.list[i], list, count))
			continue;
		*chosen = own.list[i];
		return true;
	}
	return false;
}

/* How many the host listed; not more than came. */
static bool ic_client_counts(struct ic_client *c, const uint8_t *body, uint32_t size,
                             struct ic_negotiation *counts)
{
	uint32_t most = (size - (uint32_t)sizeof(*counts)) / sizeof(struct ic_version);

	if (size < sizeof(*counts))
		return machine_fault(&c->fault, "bytes of a negotiation", sizeof(*counts), size);
	__builtin_memcpy(counts, body, sizeof(*counts));
	if (!counts->framework_count || !counts->message_count ||
	    (uint32_t)counts->framework_count + counts->message_count > most)
		return machine_fault(
			&c->fault, "versions listed, framework's << 16 | message's", most,
			(uint32_t)counts->framework_count << 16 | counts->message_count);
	return true;
}

/* The message stays as long as it came, as Linux leaves it; what counts is said in the header. */
static void ic_client_negotiate(struct ic_client *c, uint8_t *body, uint32_t size,
                                struct ic_header *header, struct ic_client_request *r)
{
	static const struct ic_client_versions frameworks = IC_CLIENT_LIST(ic_client_frameworks);
	struct ic_version chosen[2] = { { 0, 0 }, { 0, 0 } };
	const uint8_t *list = body + sizeof(struct ic_negotiation);
	struct ic_negotiation n;
	bool agreed;

	if (!ic_client_counts(c, body, size, &n))
		return;
	agreed = ic_client_choose(frameworks, list, n.framework_count, &chosen[0]) &&
	         ic_client_choose(ic_client_own(c),
	                          list + n.framework_count * sizeof(struct ic_version),
	                          n.message_count, &chosen[1]);
	n.framework_count = n.message_count = agreed;
	__builtin_memcpy(body, &n, sizeof(n));
	__builtin_memcpy(body + sizeof(n), chosen, sizeof(chosen));
	header->size = sizeof(n) + sizeof(chosen);
	ic_client_open(c);
	if (agreed) {
		c->framework = chosen[0];
		c->agreed = chosen[1];
	}
	r->event = agreed ? IC_CLIENT_AGREED : IC_CLIENT_REFUSED;
}

/* ---- requests ---- */

static bool ic_client_short(struct ic_client *c, const char *what, uint32_t least, uint32_t size)
{
	return size < least && !machine_fault(&c->fault, what, least, size);
}

static void ic_client_beat(struct ic_client *c, uint8_t *body, uint32_t size,
                           struct ic_client_request *r)
{
	const uint32_t health_end = offsetof(struct ic_heartbeat, health) + sizeof(uint32_t);
	struct ic_heartbeat beat;

	if (ic_client_short(c, "bytes of a heartbeat", sizeof(beat.sequence), size))
		return;
	__builtin_memcpy(&beat.sequence, body, sizeof(beat.sequence));
	beat.sequence++;
	__builtin_memcpy(body, &beat.sequence, sizeof(beat.sequence));
	if (size >= health_end)
		__builtin_memcpy(body + offsetof(struct ic_heartbeat, health), &c->health,
		                 sizeof(c->health));
	r->event = IC_CLIENT_BEAT;
}

/* IC_CLIENT_CAN_*; 0: what nobody knows. */
static uint32_t ic_client_action(uint32_t flags)
{
	switch (flags & ~IC_SHUTDOWN_FORCE) {
	case 0:
		return IC_CLIENT_CAN_POWER_OFF;
	case IC_SHUTDOWN_RESTART:
		return IC_CLIENT_CAN_RESTART;
	case IC_SHUTDOWN_HIBERNATE:
		return IC_CLIENT_CAN_HIBERNATE;
	default:
		return 0;
	}
}

static void ic_client_shut_down(struct ic_client *c, const uint8_t *body, uint32_t size,
                                struct ic_header *header, struct ic_client_request *r)
{
	struct {
		uint32_t reason, timeout_seconds, flags;
	} said;

	if (ic_client_short(c, "bytes of a request to shut down", sizeof(said), size))
		return;
	__builtin_memcpy(&said, body, sizeof(said));
	r->shutdown.action = ic_client_action(said.flags);
	r->shutdown.force = said.flags & IC_SHUTDOWN_FORCE;
	r->shutdown.reason = said.reason;
	r->shutdown.timeout_seconds = said.timeout_seconds;
	r->event = r->shutdown.action & c->can ? IC_CLIENT_SHUTDOWN : IC_CLIENT_DECLINED;
	if (r->event == IC_CLIENT_DECLINED)
		header->status = IC_E_FAIL;
}

static void ic_client_tell_time(struct ic_client *c, const uint8_t *body, uint32_t size,
                                uint64_t reference, struct ic_client_request *r)
{
	bool old = ic_version_number(c->agreed) < IC_VERSION(4, 0);
	uint32_t at =
		old ? offsetof(struct ic_timesync_old, flags) : offsetof(struct ic_timesync, flags);
	uint8_t flags;

	if (ic_client_short(c, "bytes of a time", at + 1, size))
		return;
	flags = body[at];
	__builtin_memcpy(&r->time.host, body, sizeof(r->time.host));
	r->time.reference = reference;
	if (!old)
		__builtin_memcpy(&r->time.reference, body + offsetof(struct ic_timesync, reference),
		                 sizeof(r->time.reference));
	r->time.set = flags & IC_TIME_SYNC;
	r->event = IC_CLIENT_TIME;
	if (!(flags & (IC_TIME_SYNC | IC_TIME_SAMPLE))) {
		machine_fault(&c->fault, "flags of a time", IC_TIME_SYNC | IC_TIME_SAMPLE, flags);
		r->event = IC_CLIENT_WRONG;
	}
}

/* What makes no sense is answered, too, with a failure: the host waits for it. */
static void ic_client_dispatch(struct ic_client *c, uint8_t *body, uint32_t size,
                               uint64_t reference, struct ic_header *header,
                               struct ic_client_request *r)
{
	if (header->type == IC_NEGOTIATE) {
		ic_client_negotiate(c, body, size, header, r);
	} else if (header->type != c->type) {
		machine_fault(&c->fault, "type of a message", c->type, header->type);
	} else if (!ic_version_number(c->agreed)) {
		machine_fault(&c->fault, "versions agreed on before a request (1)", 1, 0);
	} else if (c->type == IC_HEARTBEAT) {
		ic_client_beat(c, body, size, r);
	} else if (c->type == IC_SHUTDOWN) {
		ic_client_shut_down(c, body, size, header, r);
	} else {
		ic_client_tell_time(c, body, size, reference, r);
	}
	if (r->event == IC_CLIENT_WRONG)
		header->status = IC_E_FAIL;
}

void ic_client_receive(struct ic_client *c, uint8_t *message, uint32_t size, uint64_t reference,
                       struct ic_client_request *r)
{
	struct ic_header header;
	uint32_t rest;

	__builtin_memset(r, 0, sizeof(*r));
	r->event = IC_CLIENT_WRONG;
	if (ic_client_short(c, "bytes of a message", sizeof(header), size))
		return;
	__builtin_memcpy(&header, message, sizeof(header));
	if (header.flags & IC_RESPONSE) { /* an answer to it would be answered in turn */
		machine_fault(&c->fault, "flags of a request", IC_TRANSACTION | IC_REQUEST,
		              header.flags);
		return;
	}
	rest = size - (uint32_t)sizeof(header);
	header.status = IC_S_OK;
	ic_client_dispatch(c, message + sizeof(header), header.size < rest ? header.size : rest,
	                   reference, &header, r);
	header.flags = IC_TRANSACTION | IC_RESPONSE;
	__builtin_memcpy(message, &header, sizeof(header));
	r->answer_size = size;
}

/* ---- times ---- */

bool ic_client_unix_time(uint64_t host, uint64_t *ns)
{
	uint64_t units = host - IC_CLIENT_UNIX_EPOCH;

	if (host < IC_CLIENT_UNIX_EPOCH || units > UINT64_MAX / 100)
		return false;
	*ns = units * 100;
	return true;
}
