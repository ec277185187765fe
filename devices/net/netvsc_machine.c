/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/netvsc_machine.h"

#define NETVSC_VERSIONS 6u

static const uint32_t netvsc_versions[NETVSC_VERSIONS] = {
	NVSP_VERSION_61, NVSP_VERSION_6, NVSP_VERSION_5,
	NVSP_VERSION_4,  NVSP_VERSION_2, NVSP_VERSION_1,
};

/* ---- lists ---- */

static void netvsc_frames_add(struct netvsc_frames *list, struct netvsc_frame *f)
{
	f->next = NULL;
	if (list->first)
		list->last->next = f;
	else
		list->first = f;
	list->last = f;
}

static void netvsc_frames_push(struct netvsc_frames *list, struct netvsc_frame *f)
{
	f->next = list->first;
	if (!list->first)
		list->last = f;
	list->first = f;
}

static struct netvsc_frame *netvsc_frames_take(struct netvsc_frames *list)
{
	struct netvsc_frame *f = list->first;

	if (f)
		list->first = f->next;
	return f;
}

static void netvsc_requests_add(struct netvsc_requests *list, struct rndis_client_request *r)
{
	r->next = NULL;
	if (list->first)
		list->last->next = r;
	else
		list->first = r;
	list->last = r;
}

static void netvsc_requests_push(struct netvsc_requests *list, struct rndis_client_request *r)
{
	r->next = list->first;
	if (!list->first)
		list->last = r;
	list->first = r;
}

static struct rndis_client_request *netvsc_requests_take(struct netvsc_requests *list)
{
	struct rndis_client_request *r = list->first;

	if (r)
		list->first = r->next;
	return r;
}

/* ---- what has ended ---- */

static void netvsc_frame_over(struct netvsc_machine *m, struct netvsc_frame *f,
                              enum netvsc_result result)
{
	f->result = result;
	netvsc_frames_add(&m->over, f);
}

static void netvsc_request_over(struct netvsc_machine *m, struct rndis_client_request *r,
                                enum rndis_client_result result)
{
	r->result = result;
	r->length = 0;
	netvsc_requests_add(&m->answers, r);
}

static void netvsc_machine_end_waiting(struct netvsc_machine *m)
{
	struct rndis_client_request *r;
	struct netvsc_frame *f;

	while ((f = netvsc_frames_take(&m->waiting)))
		netvsc_frame_over(m, f, NETVSC_REMOVED);
	while ((r = netvsc_requests_take(&m->questions)))
		netvsc_request_over(m, r, RNDIS_CLIENT_REMOVED);
	if (m->current && m->current != &m->own)
		netvsc_request_over(m, m->current, RNDIS_CLIENT_REMOVED);
	m->current = NULL;
}

struct netvsc_frame *netvsc_machine_sent(struct netvsc_machine *m)
{
	return netvsc_frames_take(&m->over);
}

struct rndis_client_request *netvsc_machine_answered(struct netvsc_machine *m)
{
	return netvsc_requests_take(&m->answers);
}

/* ---- steps ---- */

static void netvsc_machine_enter(struct netvsc_machine *m, enum netvsc_state state)
{
	m->state = state;
	m->asked = false;
}

static void netvsc_machine_fail(struct netvsc_machine *m, enum netvsc_result why, uint32_t status)
{
	m->failure = why;
	m->host_status = status;
	netvsc_machine_enter(m, NETVSC_FAILED);
	netvsc_machine_end_waiting(m);
}

static bool netvsc_machine_nonsense(struct netvsc_machine *m, const char *what, uint64_t expected,
                                    uint64_t actual)
{
	machine_fault(&m->fault, what, expected, actual);
	netvsc_machine_fail(m, NETVSC_NONSENSE, 0);
	return false;
}

/* The newest from `from` on that may be asked for; NETVSC_VERSIONS: none. */
static void netvsc_machine_ask_version(struct netvsc_machine *m, uint32_t from)
{
	m->versions = from;
	while (m->versions < NETVSC_VERSIONS && m->options.version_max &&
	       netvsc_versions[m->versions] > m->options.version_max)
		m->versions++;
	if (m->versions == NETVSC_VERSIONS)
		netvsc_machine_fail(m, NETVSC_NO_VERSION, 0);
	else
		netvsc_machine_enter(m, NETVSC_ASKS_VERSION);
}

void netvsc_machine_open(struct netvsc_machine *m, uint32_t receive_gpadl, uint32_t send_gpadl)
{
	m->receive_gpadl = receive_gpadl;
	m->send_gpadl = send_gpadl;
	m->version = 0;
	m->mtu = 0;
	m->link_up = false;
	m->failure = NETVSC_DONE;
	m->host_status = 0;
	m->slot_size = 0;
	m->section_size = 0;
	m->free = NULL;
	m->current = NULL;
	m->control_busy = false;
	netvsc_machine_ask_version(m, 0);
}

static bool netvsc_machine_is_nvsp(const struct netvsc_machine *m)
{
	return (m->state >= NETVSC_ASKS_VERSION && m->state <= NETVSC_GIVES_SEND) ||
	       m->state == NETVSC_REVOKES_RECEIVE || m->state == NETVSC_REVOKES_SEND;
}

/* Steps without an answer. */
static bool netvsc_machine_is_told(const struct netvsc_machine *m)
{
	return m->state == NETVSC_TELLS_CONFIG || m->state == NETVSC_TELLS_NDIS ||
	       m->state == NETVSC_REVOKES_RECEIVE || m->state == NETVSC_REVOKES_SEND;
}

static uint32_t netvsc_machine_frame_max(const struct netvsc_machine *m)
{
	return m->options.frame_max ? m->options.frame_max : NETVSC_DEFAULT_FRAME;
}

static void netvsc_machine_write_step(const struct netvsc_machine *m, struct nvsp_message *message)
{
	switch (m->state) {
	case NETVSC_ASKS_VERSION:
		message->type = NVSP_INIT;
		message->init.version = message->init.version2 = netvsc_versions[m->versions];
		break;
	case NETVSC_TELLS_CONFIG:
		message->type = NVSP_SEND_NDIS_CONFIG;
		message->ndis_config.mtu = netvsc_machine_frame_max(m);
		break;
	case NETVSC_TELLS_NDIS: /* as Linux tells which */
		message->type = NVSP_SEND_NDIS_VERSION;
		message->ndis_version.major = 6;
		message->ndis_version.minor = m->version <= NVSP_VERSION_4 ? 1 : 30;
		break;
	case NETVSC_GIVES_RECEIVE:
		message->type = NVSP_SEND_RECEIVE_BUFFER;
		message->buffer.gpadl = m->receive_gpadl;
		message->buffer.id = NETVSC_RECEIVE_BUFFER_ID;
		break;
	case NETVSC_GIVES_SEND:
		message->type = NVSP_SEND_SEND_BUFFER;
		message->buffer.gpadl = m->send_gpadl;
		message->buffer.id = NETVSC_SEND_BUFFER_ID;
		break;
	case NETVSC_REVOKES_RECEIVE:
		message->type = NVSP_REVOKE_RECEIVE_BUFFER;
		message->revoke.id = NETVSC_RECEIVE_BUFFER_ID;
		break;
	default:
		message->type = NVSP_REVOKE_SEND_BUFFER;
		message->revoke.id = NETVSC_SEND_BUFFER_ID;
	}
}

/* What was only told is over once it was sent. */
static void netvsc_machine_go_on(struct netvsc_machine *m)
{
	if (m->asked && netvsc_machine_is_told(m))
		netvsc_machine_enter(m, (enum netvsc_state)(m->state + 1));
}

static void netvsc_machine_take_version(struct netvsc_machine *m, const struct nvsp_message *a)
{
	if (a->init_complete.status != NVSP_STATUS_SUCCESS) {
		netvsc_machine_ask_version(m, m->versions + 1);
		return;
	}
	m->version = netvsc_versions[m->versions];
	netvsc_machine_enter(m, m->version == NVSP_VERSION_1 ? NETVSC_TELLS_NDIS
	                                                     : NETVSC_TELLS_CONFIG);
}

static bool netvsc_machine_take_receive(struct netvsc_machine *m, const struct nvsp_message *a)
{
	const struct nvsp_receive_buffer_complete *c = &a->receive_buffer_complete;

	if (c->section_count != 1)
		return netvsc_machine_nonsense(m, "sections of the receive buffer", 1,
		                               c->section_count);
	if (c->section.offset)
		return netvsc_machine_nonsense(m, "offset of the receive buffer's section", 0,
		                               c->section.offset);
	if (c->section.slot_size < NETVSC_SLOT_MIN)
		return netvsc_machine_nonsense(m, "bytes of a slot of the receive buffer",
		                               NETVSC_SLOT_MIN, c->section.slot_size);
	if (!c->section.slot_count ||
	    (uint64_t)c->section.slot_size * c->section.slot_count > m->options.receive_size)
		return netvsc_machine_nonsense(
			m, "bytes of the receive buffer's slots", m->options.receive_size,
			(uint64_t)c->section.slot_size * c->section.slot_count);
	m->slot_size = c->section.slot_size;
	netvsc_machine_enter(m, NETVSC_GIVES_SEND);
	return true;
}

/* A section for each slot, as far as there are both. */
static void netvsc_machine_free_all(struct netvsc_machine *m)
{
	uint32_t i = m->options.send_size / m->section_size;

	if (i > m->slot_count)
		i = m->slot_count;
	m->free = NULL;
	while (i--) {
		m->slots[i].frame = NULL;
		m->slots[i].next = m->free;
		m->free = &m->slots[i];
	}
}

static bool netvsc_machine_take_send(struct netvsc_machine *m, const struct nvsp_message *a)
{
	uint32_t size = a->send_buffer_complete.section_size;

	if (size < NETVSC_SLOT_MIN || size > m->options.send_size)
		return netvsc_machine_nonsense(m, "bytes of a section of the send buffer",
		                               m->options.send_size, size);
	m->section_size = size;
	netvsc_machine_free_all(m);
	netvsc_machine_enter(m, NETVSC_INITIALIZES);
	return true;
}

static bool netvsc_machine_take_buffer(struct netvsc_machine *m, const struct nvsp_message *a)
{
	uint32_t status = a->receive_buffer_complete.status; /* both begin with it */

	if (status != NVSP_STATUS_SUCCESS) {
		netvsc_machine_fail(m, NETVSC_REFUSED, status);
		return true;
	}
	return m->state == NETVSC_GIVES_RECEIVE ? netvsc_machine_take_receive(m, a)
	                                        : netvsc_machine_take_send(m, a);
}

/* The answer of this type, and how much of it has to be there. */
static uint32_t netvsc_machine_answer_type(const struct netvsc_machine *m, uint32_t *least)
{
	switch (m->state) {
	case NETVSC_ASKS_VERSION:
		*least = 4 + sizeof(struct nvsp_init_complete);
		return NVSP_INIT_COMPLETE;
	case NETVSC_GIVES_RECEIVE:
		*least = 4 + sizeof(struct nvsp_receive_buffer_complete);
		return NVSP_SEND_RECEIVE_BUFFER_COMPLETE;
	default:
		*least = 4 + sizeof(struct nvsp_send_buffer_complete);
		return NVSP_SEND_SEND_BUFFER_COMPLETE;
	}
}

static bool netvsc_machine_stepped(struct netvsc_machine *m, const struct nvsp_message *a,
                                   uint32_t size)
{
	uint32_t least, type = netvsc_machine_answer_type(m, &least);

	if (size < least)
		return netvsc_machine_nonsense(m, "bytes of an answer", least, size);
	if (a->type != type)
		return netvsc_machine_nonsense(m, "type of an answer", type, a->type);
	if (m->state != NETVSC_ASKS_VERSION)
		return netvsc_machine_take_buffer(m, a);
	netvsc_machine_take_version(m, a);
	return true;
}

/* ---- RNDIS ---- */

/* Steps that are questions: what they ask, and whether an adapter may not know it. */
struct netvsc_question {
	uint32_t type, oid;
	bool optional;
};

static bool netvsc_machine_question(const struct netvsc_machine *m, struct netvsc_question *q)
{
	static const struct netvsc_question questions[] = {
		{ RNDIS_INITIALIZE, 0, false },
		{ RNDIS_QUERY, OID_802_3_CURRENT_ADDRESS, false },
		{ RNDIS_QUERY, OID_GEN_MAXIMUM_FRAME_SIZE, true },
		{ RNDIS_QUERY, OID_GEN_MEDIA_CONNECT_STATUS, true },
		{ RNDIS_SET, OID_GEN_CURRENT_PACKET_FILTER, false },
	};

	if (m->state < NETVSC_INITIALIZES || m->state > NETVSC_SETS_FILTER)
		return false;
	*q = questions[m->state - NETVSC_INITIALIZES];
	return true;
}

static void netvsc_machine_own_question(struct netvsc_machine *m, const struct netvsc_question *q)
{
	uint32_t filter = m->options.filter;

	if (!filter)
		filter = NDIS_PACKET_TYPE_DIRECTED | NDIS_PACKET_TYPE_BROADCAST |
		         NDIS_PACKET_TYPE_ALL_MULTICAST;
	m->own.type = q->type;
	m->own.oid = q->oid;
	m->own.length = sizeof(filter);
	__builtin_memcpy(m->own.data, &filter, sizeof(filter));
}

static uint32_t netvsc_machine_word(const struct rndis_client_request *r, uint32_t otherwise)
{
	uint32_t word = otherwise;

	if (rndis_client_succeeded(r) && r->length >= sizeof(word))
		__builtin_memcpy(&word, r->data, sizeof(word));
	return word;
}

/* What the adapter may be told to take, and takes. */
static void netvsc_machine_take_mtu(struct netvsc_machine *m)
{
	uint32_t own = netvsc_machine_frame_max(m) - NETVSC_ETHERNET;
	uint32_t said = netvsc_machine_word(&m->own, own);

	m->mtu = said && said < own ? said : own;
}

static bool netvsc_machine_take_address(struct netvsc_machine *m)
{
	if (m->own.length < NETVSC_ADDRESS)
		return netvsc_machine_nonsense(m, "bytes of an address", NETVSC_ADDRESS,
		                               m->own.length);
	__builtin_memcpy(m->address, m->own.data, NETVSC_ADDRESS);
	return true;
}

/* The step's question was answered. */
static void netvsc_machine_own_answer(struct netvsc_machine *m)
{
	struct netvsc_question q;

	if (!netvsc_machine_question(m, &q))
		return;
	if (m->own.result != RNDIS_CLIENT_DONE) {
		netvsc_machine_fail(
			m, m->own.result == RNDIS_CLIENT_REFUSED ? NETVSC_REFUSED : NETVSC_NONSENSE,
			0);
		return;
	}
	if (m->own.status != RNDIS_STATUS_SUCCESS && !q.optional) {
		netvsc_machine_fail(m, NETVSC_REFUSED, m->own.status);
		return;
	}
	if (m->state == NETVSC_ASKS_ADDRESS && !netvsc_machine_take_address(m))
		return;
	if (m->state == NETVSC_ASKS_MTU)
		netvsc_machine_take_mtu(m);
	if (m->state == NETVSC_ASKS_LINK) /* 0: connected */
		m->link_up = !netvsc_machine_word(&m->own, 0);
	netvsc_machine_enter(m, (enum netvsc_state)(m->state + 1));
}

static void netvsc_machine_current_over(struct netvsc_machine *m)
{
	struct rndis_client_request *r = m->current;

	m->current = NULL;
	if (r == &m->own)
		netvsc_machine_own_answer(m);
	else
		netvsc_requests_add(&m->answers, r);
}

static void netvsc_machine_current_fails(struct netvsc_machine *m, enum rndis_client_result result)
{
	if (!m->current)
		return;
	m->current->result = result;
	m->current->length = 0;
	netvsc_machine_current_over(m);
}

/* What the host is to be asked or told next; NULL: nothing, or not now. */
static struct rndis_client_request *netvsc_machine_take_question(struct netvsc_machine *m)
{
	struct netvsc_question q = { RNDIS_HALT, 0, false };

	if (m->state == NETVSC_READY)
		return netvsc_requests_take(&m->questions);
	if (m->asked || (m->state != NETVSC_HALTS && !netvsc_machine_question(m, &q)))
		return NULL;
	m->asked = true;
	netvsc_machine_own_question(m, &q);
	return &m->own;
}

static bool netvsc_machine_next_control(struct netvsc_machine *m, struct netvsc_output *out)
{
	struct rndis_client_request *r;

	if (m->current || m->control_busy)
		return false;
	r = netvsc_machine_take_question(m);
	if (!r)
		return false;
	m->current = r;
	m->control_busy = true;
	out->id = m->slot_count + 1;
	out->completion = true;
	out->data = m->options.control;
	out->data_length = rndis_client_write(r, ++m->request_id, m->options.control);
	out->message.type = NVSP_RNDIS_PACKET;
	out->message.rndis_packet.channel_type = NVSP_CHANNEL_CONTROL;
	out->message.rndis_packet.section_index = NVSP_NO_SECTION;
	return true;
}

/* The memory of the last message is the driver's again. */
static void netvsc_machine_control_completed(struct netvsc_machine *m, enum netvsc_result result)
{
	m->control_busy = false;
	if (m->state == NETVSC_HALTS && m->asked) { /* which has no answer */
		m->current = NULL;
		netvsc_machine_enter(m, NETVSC_REVOKES_RECEIVE);
	} else if (result != NETVSC_DONE) {
		netvsc_machine_current_fails(m, result == NETVSC_REFUSED ? RNDIS_CLIENT_REFUSED
		                                                         : RNDIS_CLIENT_NONSENSE);
	}
}

void netvsc_machine_ask(struct netvsc_machine *m, struct rndis_client_request *r)
{
	r->status = 0;
	if (m->state == NETVSC_CLOSED || m->state > NETVSC_READY)
		netvsc_request_over(m, r, RNDIS_CLIENT_REMOVED);
	else
		netvsc_requests_add(&m->questions, r);
}

/* ---- frames out ---- */

static bool netvsc_machine_takes(const struct netvsc_machine *m, const struct netvsc_frame *f)
{
	uint32_t most =
		m->state == NETVSC_READY ? m->mtu + NETVSC_ETHERNET : netvsc_machine_frame_max(m);

	return f->length >= NETVSC_ETHERNET && f->length <= most + NETVSC_VLAN_TAG;
}

void netvsc_machine_send(struct netvsc_machine *m, struct netvsc_frame *f)
{
	if (m->state == NETVSC_CLOSED || m->state > NETVSC_READY)
		netvsc_frame_over(m, f, NETVSC_REMOVED);
	else if (!netvsc_machine_takes(m, f))
		netvsc_frame_over(m, f, NETVSC_BAD_FRAME);
	else
		netvsc_frames_add(&m->waiting, f);
}

/* The next one that may be sent: what came before the limit was known is held to it here. */
static struct netvsc_frame *netvsc_machine_take_frame(struct netvsc_machine *m)
{
	struct netvsc_frame *f;

	while ((f = netvsc_frames_take(&m->waiting)) && !netvsc_machine_takes(m, f))
		netvsc_frame_over(m, f, NETVSC_BAD_FRAME);
	return f;
}

/* Into its section: all of it, or what stands before it. Returns how much that is. */
static uint32_t netvsc_machine_fill(struct netvsc_machine *m, uint32_t section,
                                    const struct netvsc_frame *f, bool copied)
{
	uint8_t *at = m->options.send + section * m->section_size;

	rndis_client_write_frame(f->length, at);
	if (!copied)
		return RNDIS_CLIENT_FRAME_HEADER;
	__builtin_memcpy(at + RNDIS_CLIENT_FRAME_HEADER, f->data, f->length);
	return (uint32_t)RNDIS_CLIENT_FRAME_HEADER + f->length;
}

static bool netvsc_machine_next_frame(struct netvsc_machine *m, struct netvsc_output *out)
{
	struct netvsc_slot *slot = m->free;
	struct netvsc_frame *f = slot ? netvsc_machine_take_frame(m) : NULL;
	bool copied;

	if (!f)
		return false;
	copied = !f->by_reference && RNDIS_CLIENT_FRAME_HEADER + f->length <= m->section_size;
	m->free = slot->next;
	slot->frame = f;
	out->id = (uint32_t)(slot - m->slots);
	out->completion = true;
	out->message.type = NVSP_RNDIS_PACKET;
	out->message.rndis_packet.channel_type = NVSP_CHANNEL_DATA;
	out->message.rndis_packet.section_index = out->id;
	out->message.rndis_packet.section_bytes = netvsc_machine_fill(m, out->id, f, copied);
	out->data = copied ? NULL : f->data;
	out->data_length = copied ? 0 : f->length;
	return true;
}

/* What was at the host with that id, whose slot is free now; NULL: nothing. */
static struct netvsc_frame *netvsc_machine_free(struct netvsc_machine *m, uint64_t id)
{
	struct netvsc_frame *f = id < m->slot_count ? m->slots[id].frame : NULL;

	if (!f)
		return NULL;
	m->slots[id].frame = NULL;
	m->slots[id].next = m->free;
	m->free = &m->slots[id];
	return f;
}

/* ---- packets out, and their completions ---- */

static bool netvsc_machine_next_step(struct netvsc_machine *m, struct netvsc_output *out)
{
	if (m->asked)
		return false;
	m->asked = true;
	out->id = m->slot_count;
	out->completion = !netvsc_machine_is_told(m);
	netvsc_machine_write_step(m, &out->message);
	return true;
}

/* The message is as long as the newest version's, whatever was agreed on, as Linux's is. */
bool netvsc_machine_next(struct netvsc_machine *m, struct netvsc_output *out)
{
	__builtin_memset(out, 0, sizeof(*out));
	out->size = sizeof(out->message);
	netvsc_machine_go_on(m);
	if (netvsc_machine_is_nvsp(m))
		return netvsc_machine_next_step(m, out);
	if (netvsc_machine_next_control(m, out))
		return true;
	return m->state == NETVSC_READY && netvsc_machine_next_frame(m, out);
}

static void netvsc_machine_put_back_control(struct netvsc_machine *m)
{
	struct rndis_client_request *r = m->current;

	m->current = NULL;
	m->control_busy = false;
	if (r == &m->own)
		m->asked = false;
	else if (r)
		netvsc_requests_push(&m->questions, r);
}

void netvsc_machine_put_back(struct netvsc_machine *m, uint32_t id)
{
	struct netvsc_frame *f = netvsc_machine_free(m, id);

	if (f)
		netvsc_frames_push(&m->waiting, f);
	else if (id == m->slot_count)
		m->asked = false;
	else if (id == m->slot_count + 1 && m->control_busy)
		netvsc_machine_put_back_control(m);
}

void netvsc_machine_not_sent(struct netvsc_machine *m, uint32_t id)
{
	struct netvsc_frame *f = netvsc_machine_free(m, id);

	if (f) {
		netvsc_frame_over(m, f, NETVSC_NOT_SENT);
	} else if (id == m->slot_count + 1 && m->current && m->current != &m->own) {
		m->control_busy = false;
		netvsc_machine_current_fails(m, RNDIS_CLIENT_NOT_SENT);
	} else {
		m->current = NULL;
		m->control_busy = false;
		netvsc_machine_fail(m, NETVSC_NOT_SENT, 0);
	}
}

/* What the completion of an RNDIS message says. */
static enum netvsc_result netvsc_machine_rndis_result(struct netvsc_machine *m,
                                                      const struct nvsp_message *a, uint32_t size)
{
	const uint32_t least = 4 + sizeof(struct nvsp_rndis_packet_complete);

	if (size < least) {
		machine_fault(&m->fault, "bytes of a completion", least, size);
		return NETVSC_NONSENSE;
	}
	if (a->type != NVSP_RNDIS_PACKET_COMPLETE) {
		machine_fault(&m->fault, "type of a completion", NVSP_RNDIS_PACKET_COMPLETE,
		              a->type);
		return NETVSC_NONSENSE;
	}
	return a->rndis_packet_complete.status == NVSP_STATUS_SUCCESS ? NETVSC_DONE
	                                                              : NETVSC_REFUSED;
}

bool netvsc_machine_completed(struct netvsc_machine *m, uint64_t id, const void *payload,
                              uint32_t size)
{
	struct nvsp_message a;
	struct netvsc_frame *f;

	__builtin_memset(&a, 0, sizeof(a));
	__builtin_memcpy(&a, payload, size < sizeof(a) ? size : sizeof(a));
	if (id == m->slot_count && m->asked && netvsc_machine_is_nvsp(m) &&
	    !netvsc_machine_is_told(m))
		return netvsc_machine_stepped(m, &a, size);
	if (id == (uint64_t)m->slot_count + 1 && m->control_busy) {
		netvsc_machine_control_completed(m, netvsc_machine_rndis_result(m, &a, size));
		return true;
	}
	f = netvsc_machine_free(m, id);
	if (!f)
		return machine_fault(&m->fault, "id of a completion; there are fewer than",
		                     m->slot_count, id);
	netvsc_frame_over(m, f, netvsc_machine_rndis_result(m, &a, size));
	return true;
}

bool netvsc_machine_lost(struct netvsc_machine *m, uint64_t id)
{
	struct netvsc_frame *f = netvsc_machine_free(m, id);

	if (f)
		netvsc_frame_over(m, f, NETVSC_REMOVED);
	if (id == (uint64_t)m->slot_count + 1)
		m->control_busy = false;
	return f != NULL;
}

/* ---- what comes ---- */

static void netvsc_machine_take_link(struct netvsc_machine *m, bool up)
{
	m->link_up = up;
	m->link_changes++;
}

static void netvsc_machine_indicated(struct netvsc_machine *m, const uint8_t *message,
                                     uint32_t size)
{
	uint32_t status;

	if (!rndis_client_read_indication(message, size, &status, &m->fault))
		return;
	if (status == RNDIS_STATUS_MEDIA_CONNECT || status == RNDIS_STATUS_MEDIA_DISCONNECT)
		netvsc_machine_take_link(m, status == RNDIS_STATUS_MEDIA_CONNECT);
}

static void netvsc_machine_answers(struct netvsc_machine *m, uint32_t type, const uint8_t *message,
                                   uint32_t size)
{
	if (!m->current)
		machine_fault(&m->fault, "type of a message; no question was asked", RNDIS_PACKET,
		              type);
	else if (rndis_client_take(m->current, m->request_id, type, message, size, &m->fault))
		netvsc_machine_current_over(m);
}

/* One message; true: it is a frame. Its copy is on the stack, of which callers have little. */
static __attribute__((noinline)) bool netvsc_machine_take_message(struct netvsc_machine *m,
                                                                  const uint8_t *message,
                                                                  uint32_t size,
                                                                  struct rndis_client_frame *frame)
{
	struct rndis_header header;

	if (size < sizeof(header))
		return machine_fault(&m->fault, "bytes of a message", sizeof(header), size);
	machine_copy(&header, message, sizeof(header));
	if (header.length < sizeof(header) || header.length > size)
		return machine_fault(&m->fault, "length of a message", size, header.length);
	if (header.type == RNDIS_PACKET)
		return rndis_client_read_frame(message, header.length, frame, &m->fault);
	if (header.type == RNDIS_INDICATE_STATUS)
		netvsc_machine_indicated(m, message, header.length);
	else
		netvsc_machine_answers(m, header.type, message, header.length);
	return false;
}

bool netvsc_machine_received(struct netvsc_machine *m, struct netvsc_incoming *in,
                             uint16_t pageset_id, const void *ranges, uint32_t count,
                             const void *payload, uint32_t size)
{
	uint32_t type;

	in->ranges = ranges;
	in->count = 0;
	if (!m->slot_size)
		return machine_fault(&m->fault, "a receive buffer (1)", 1, 0);
	if (pageset_id != NETVSC_RECEIVE_BUFFER_ID)
		return machine_fault(&m->fault, "id of a receive buffer", NETVSC_RECEIVE_BUFFER_ID,
		                     pageset_id);
	if (size < sizeof(type))
		return machine_fault(&m->fault, "bytes of a message", sizeof(type), size);
	__builtin_memcpy(&type, payload, sizeof(type));
	if (type != NVSP_RNDIS_PACKET)
		return machine_fault(&m->fault, "type of a packet with ranges", NVSP_RNDIS_PACKET,
		                     type);
	in->count = count;
	return true;
}

bool netvsc_machine_frame(struct netvsc_machine *m, struct netvsc_incoming *in,
                          struct rndis_client_frame *frame)
{
	struct netvsc_range range;

	while (in->count) {
		__builtin_memcpy(&range, in->ranges, sizeof(range));
		in->ranges += sizeof(range);
		in->count--;
		if (range.byte_offset > m->options.receive_size ||
		    range.byte_count > m->options.receive_size - range.byte_offset)
			machine_fault(&m->fault, "end of a range in the receive buffer",
			              m->options.receive_size,
			              (uint64_t)range.byte_offset + range.byte_count);
		else if (netvsc_machine_take_message(m, m->options.receive + range.byte_offset,
		                                     range.byte_count, frame))
			return true;
	}
	return false;
}

void netvsc_machine_completion(uint8_t completion[NETVSC_COMPLETION_BYTES])
{
	static const uint32_t words[] = { NVSP_RNDIS_PACKET_COMPLETE, NVSP_STATUS_SUCCESS };

	__builtin_memcpy(completion, words, NETVSC_COMPLETION_BYTES);
}

bool netvsc_machine_said(struct netvsc_machine *m, const void *payload, uint32_t size)
{
	uint32_t type;

	if (size < sizeof(type))
		return machine_fault(&m->fault, "bytes of a message", sizeof(type), size);
	__builtin_memcpy(&type, payload, sizeof(type));
	if (type != NVSP_SEND_INDIRECTION_TABLE && type != NVSP_SEND_VF_ASSOCIATION)
		return machine_fault(&m->fault, "type of a message", NVSP_SEND_INDIRECTION_TABLE,
		                     type);
	return true;
}

/* ---- the channel ---- */

void netvsc_machine_init(struct netvsc_machine *m, const struct netvsc_machine_options *options,
                         struct netvsc_slot *slots, uint32_t depth)
{
	uint32_t i;

	__builtin_memset(m, 0, sizeof(*m));
	m->options = *options;
	m->slots = slots;
	m->slot_count = depth;
	for (i = 0; i < depth; i++) {
		slots[i].frame = NULL;
		slots[i].next = NULL;
	}
}

void netvsc_machine_stop(struct netvsc_machine *m)
{
	if (m->state == NETVSC_CLOSED || m->state > NETVSC_READY)
		return;
	/* Before it was ready there is nothing that the host would have to let go of in order. */
	netvsc_machine_enter(m, m->state == NETVSC_READY ? NETVSC_HALTS : NETVSC_STOPPED);
	netvsc_machine_end_waiting(m);
}

void netvsc_machine_close(struct netvsc_machine *m)
{
	netvsc_machine_enter(m, NETVSC_CLOSED);
	netvsc_machine_end_waiting(m);
	m->slot_size = 0;
}
