/* SPDX-License-Identifier: BSD-2-Clause */
#include "ic/ic_session.h"

#include <string.h>

/* Hyper-V's since Windows Server 2008 and 2008 R2; the sources know no others. */
static const struct ic_version frameworks[] = { { 1, 0 }, { 3, 0 } };

#define FRAMEWORKS (sizeof(frameworks) / sizeof(frameworks[0]))

static_assert(FRAMEWORKS <= IC_VERSIONS_MAX, "");

/* ---- what the host says ---- */

/* An id that no answer is owed for; there is one, as fewer are owed than there are ids. */
static uint8_t take_transaction(struct ic_session *s)
{
	while (s->owed[s->next])
		s->next++;
	s->owed[s->next] = true;
	s->owed_count++;
	return s->next++;
}

static void make_header(struct ic_session *s, uint16_t type, uint16_t size,
                        struct ic_header *header)
{
	memset(header, 0, sizeof(*header));
	header->framework = s->framework;
	header->type = type;
	header->message = s->agreed;
	header->size = size;
	header->transaction = take_transaction(s);
	header->flags = IC_TRANSACTION | IC_REQUEST;
}

uint32_t ic_session_begin(struct ic_session *s, uint8_t message[IC_NEGOTIATION_MAX])
{
	struct ic_negotiation negotiation = { FRAMEWORKS, (uint16_t)s->version_count, 0 };
	uint32_t versions = s->version_count * (uint32_t)sizeof(struct ic_version);
	uint32_t body = sizeof(negotiation) + sizeof(frameworks) + versions;
	struct ic_header header;

	ic_session_end(s);
	s->state = IC_NEGOTIATING;
	make_header(s, IC_NEGOTIATE, (uint16_t)body, &header);
	memcpy(message, &header, sizeof(header));
	message += sizeof(header);
	memcpy(message, &negotiation, sizeof(negotiation));
	message += sizeof(negotiation);
	memcpy(message, frameworks, sizeof(frameworks));
	memcpy(message + sizeof(frameworks), s->versions, versions);
	return (uint32_t)sizeof(header) + body;
}

void ic_session_end(struct ic_session *s)
{
	memset(&s->framework, 0, sizeof(s->framework));
	memset(&s->agreed, 0, sizeof(s->agreed));
	memset(s->owed, 0, sizeof(s->owed));
	s->owed_count = 0;
	s->state = IC_CLOSED;
}

bool ic_session_request(struct ic_session *s, uint16_t size, struct ic_header *header)
{
	if (s->owed_count >= IC_OWED_MAX)
		return false;
	make_header(s, s->type, size, header);
	return true;
}

/* ---- what the guest says ---- */

static bool wrong(struct ic_answer *a, const char *what, uint64_t expected, uint64_t actual)
{
	a->what = what;
	a->expected = expected;
	a->actual = actual;
	return true;
}

static bool differs(struct ic_answer *a, const char *what, uint64_t expected, uint64_t actual)
{
	return expected != actual && wrong(a, what, expected, actual);
}

static bool too_short(struct ic_answer *a, const char *what, uint64_t least, uint64_t actual)
{
	return actual < least && wrong(a, what, least, actual);
}

/* Whether it answers anything at all. */
static bool header_wrong(const struct ic_session *s, const struct ic_header *header,
                         struct ic_answer *a)
{
	uint16_t type = s->state == IC_NEGOTIATING ? IC_NEGOTIATE : s->type;

	if (differs(a, "flags of an answer", IC_TRANSACTION | IC_RESPONSE,
	            header->flags & (IC_TRANSACTION | IC_REQUEST | IC_RESPONSE)) ||
	    differs(a, "type of an answer", type, header->type))
		return true;
	return !s->owed[header->transaction] &&
	       wrong(a, "transaction of an answer that is not owed; the last one asked is",
	             (uint8_t)(s->next - 1), header->transaction);
}

static bool is_listed(const struct ic_version *list, size_t count, struct ic_version v)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (ic_version_number(list[i]) == ic_version_number(v))
			return true;
	}
	return false;
}

/* Linux leaves the message as long as the host's and says in the header what counts. */
static bool choice_wrong(struct ic_session *s, struct ic_answer *a)
{
	struct {
		struct ic_negotiation counts;
		struct ic_version chosen[2];
	} said;

	if (too_short(a, "bytes of a choice of versions", sizeof(said), a->size))
		return true;
	memcpy(&said, a->body, sizeof(said));
	if (differs(a, "count of framework versions chosen", 1, said.counts.framework_count) ||
	    differs(a, "count of message versions chosen", 1, said.counts.message_count))
		return true;
	if (!is_listed(frameworks, FRAMEWORKS, said.chosen[0]))
		return wrong(a, "framework version that was not offered; the newest is",
		             ic_version_number(frameworks[FRAMEWORKS - 1]),
		             ic_version_number(said.chosen[0]));
	if (!is_listed(s->versions, s->version_count, said.chosen[1]))
		return wrong(a, "message version that was not offered; the newest is",
		             ic_version_number(s->versions[s->version_count - 1]),
		             ic_version_number(said.chosen[1]));
	s->framework = said.chosen[0];
	s->agreed = said.chosen[1];
	return false;
}

enum ic_event ic_session_receive(struct ic_session *s, const uint8_t *message, uint32_t size,
                                 struct ic_answer *a)
{
	uint32_t rest = size - (uint32_t)sizeof(struct ic_header);
	struct ic_header header;

	memset(a, 0, sizeof(*a));
	if (differs(a, "an open component (1)", 1,
	            s->state == IC_NEGOTIATING || s->state == IC_READY) ||
	    too_short(a, "bytes of an answer", sizeof(header), size))
		return IC_EVENT_WRONG;
	memcpy(&header, message, sizeof(header));
	if (header_wrong(s, &header, a))
		return IC_EVENT_WRONG;
	s->owed[header.transaction] = false;
	s->owed_count--;
	a->transaction = header.transaction;
	a->status = header.status;
	a->body = message + sizeof(header);
	/* OpenBSD counts the headers in the size of its version answer, which so says more than
	 * came (sys/dev/pv/hypervic.c, hv_ic_negotiate). */
	a->size = header.size < rest ? header.size : rest;
	if (s->state == IC_READY)
		return IC_EVENT_ANSWER;
	s->state = choice_wrong(s, a) ? IC_REFUSED : IC_READY;
	return s->state == IC_READY ? IC_EVENT_READY : IC_EVENT_REFUSED;
}
