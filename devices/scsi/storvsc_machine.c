/* SPDX-License-Identifier: BSD-2-Clause */
#include "scsi/storvsc_machine.h"
#include "scsi/scsi.h"
#include "scsi/storvsc_answer.h"

#define STORVSC_VERSIONS 5u

static const uint16_t storvsc_versions[STORVSC_VERSIONS] = {
	STORVSC_VERSION_WIN10, STORVSC_VERSION_WIN8_1, STORVSC_VERSION_WIN8,
	STORVSC_VERSION_WIN7,  STORVSC_VERSION_WIN6,
};

/* ---- lists ---- */

static void storvsc_queue_add(struct storvsc_queue *q, struct storvsc_request *r)
{
	r->next = NULL;
	if (q->first)
		q->last->next = r;
	else
		q->first = r;
	q->last = r;
}

static void storvsc_queue_push(struct storvsc_queue *q, struct storvsc_request *r)
{
	r->next = q->first;
	if (!q->first)
		q->last = r;
	q->first = r;
}

static struct storvsc_request *storvsc_queue_take(struct storvsc_queue *q)
{
	struct storvsc_request *r = q->first;

	if (r)
		q->first = r->next;
	return r;
}

static void storvsc_queue_move(struct storvsc_queue *to, struct storvsc_queue *from)
{
	if (!from->first)
		return;
	if (to->first)
		to->last->next = from->first;
	else
		to->first = from->first;
	to->last = from->last;
	from->first = NULL;
}

static void storvsc_machine_over(struct storvsc_machine *m, struct storvsc_request *r,
                                 enum storvsc_result result)
{
	r->result = result;
	storvsc_queue_add(&m->over, r);
}

static void storvsc_machine_over_all(struct storvsc_machine *m, struct storvsc_queue *q)
{
	struct storvsc_request *r;

	while ((r = storvsc_queue_take(q)))
		storvsc_machine_over(m, r, STORVSC_RESULT_REMOVED);
}

struct storvsc_request *storvsc_machine_ended(struct storvsc_machine *m)
{
	struct storvsc_request *first = m->over.first;

	m->over.first = NULL;
	return first;
}

/* ---- negotiation ---- */

static void storvsc_machine_enter(struct storvsc_machine *m, enum storvsc_state state)
{
	m->state = state;
	m->asked = false;
}

static void storvsc_machine_fail(struct storvsc_machine *m, enum storvsc_result why)
{
	m->failure = why;
	storvsc_machine_enter(m, STORVSC_FAILED);
	storvsc_machine_over_all(m, &m->waiting);
}

/* The newest that was not asked for yet; STORVSC_VERSIONS: none. */
static uint32_t storvsc_machine_version(const struct storvsc_machine *m)
{
	uint32_t i = m->versions;

	while (i < STORVSC_VERSIONS && m->options.version_max &&
	       storvsc_versions[i] > m->options.version_max)
		i++;
	return i;
}

static void storvsc_machine_ask_version(struct storvsc_machine *m)
{
	m->versions = storvsc_machine_version(m);
	if (m->versions == STORVSC_VERSIONS)
		storvsc_machine_fail(m, STORVSC_RESULT_NO_VERSION);
	else
		storvsc_machine_enter(m, STORVSC_ASKS_VERSION);
}

static void storvsc_machine_take_version(struct storvsc_machine *m)
{
	m->version = storvsc_versions[m->versions];
	if (m->version < STORVSC_VERSION_WIN8)
		m->packet_size = STORVSC_PACKET_SIZE_OLD;
	storvsc_machine_enter(m, STORVSC_ASKS_PROPERTIES);
}

/* To what both ends take. */
static void storvsc_machine_limit(struct storvsc_machine *m, uint32_t hosts)
{
	uint32_t own = m->options.max_transfer;

	m->max_transfer = own && own < hosts ? own : hosts;
	m->max_transfer &= ~(STORVSC_MIN_TRANSFER - 1);
}

static void storvsc_machine_take_properties(struct storvsc_machine *m,
                                            const struct storvsc_properties *p)
{
	if (p->max_transfer < STORVSC_MIN_TRANSFER) {
		machine_fault(&m->fault, "bytes of the largest transfer", STORVSC_MIN_TRANSFER,
		              p->max_transfer);
		storvsc_machine_fail(m, STORVSC_RESULT_NONSENSE);
		return;
	}
	storvsc_machine_limit(m, p->max_transfer);
	if (m->version >= STORVSC_VERSION_WIN8 && p->flags & STORVSC_MULTI_CHANNEL)
		m->subchannels = p->max_subchannels < m->options.subchannels
		                         ? p->max_subchannels
		                         : m->options.subchannels;
	storvsc_machine_enter(m, STORVSC_ENDS);
}

static void storvsc_machine_take_step(struct storvsc_machine *m, const struct storvsc_packet *p)
{
	switch (m->state) {
	case STORVSC_BEGINS:
		storvsc_machine_ask_version(m);
		break;
	case STORVSC_ASKS_VERSION:
		storvsc_machine_take_version(m);
		break;
	case STORVSC_ASKS_PROPERTIES:
		storvsc_machine_take_properties(m, &p->properties);
		break;
	case STORVSC_ENDS:
		storvsc_machine_enter(m, m->subchannels ? STORVSC_ASKS_SUBCHANNELS : STORVSC_READY);
		break;
	default:
		storvsc_machine_enter(m, STORVSC_READY);
	}
}

/* What an older host has not, and a driver can do without. */
static bool storvsc_machine_goes_on(struct storvsc_machine *m, uint32_t status)
{
	if (m->state == STORVSC_ASKS_VERSION && status == STORVSC_STATUS_REVISION_MISMATCH) {
		m->versions++;
		storvsc_machine_ask_version(m);
		return true;
	}
	if (m->state == STORVSC_ASKS_SUBCHANNELS) {
		m->subchannels = 0;
		storvsc_machine_enter(m, STORVSC_READY);
		return true;
	}
	return false;
}

static void storvsc_machine_refused(struct storvsc_machine *m, uint32_t status)
{
	if (storvsc_machine_goes_on(m, status))
		return;
	/* 0 alone is a yes; what else NT takes for one makes no sense here. */
	if ((int32_t)status >= 0)
		machine_fault(&m->fault, "status of a step of the negotiation",
		              STORVSC_STATUS_SUCCESS, status);
	m->host_status = status;
	storvsc_machine_fail(m, (int32_t)status >= 0 ? STORVSC_RESULT_NONSENSE
	                                             : STORVSC_RESULT_REFUSED);
}

static bool storvsc_machine_answer_wrong(struct storvsc_machine *m, uint32_t operation,
                                         uint32_t size)
{
	if (size < STORVSC_PACKET_SIZE_OLD)
		return !machine_fault(&m->fault, "bytes of an answer", STORVSC_PACKET_SIZE_OLD,
		                      size);
	if (operation != STORVSC_COMPLETE_IO)
		return !machine_fault(&m->fault, "operation of an answer", STORVSC_COMPLETE_IO,
		                      operation);
	return false;
}

static bool storvsc_machine_negotiated(struct storvsc_machine *m, const void *payload,
                                       uint32_t size)
{
	struct storvsc_packet p;

	__builtin_memset(&p, 0, sizeof(p));
	__builtin_memcpy(&p, payload, size < sizeof(p) ? size : sizeof(p));
	if (storvsc_machine_answer_wrong(m, p.operation, size)) {
		storvsc_machine_fail(m, STORVSC_RESULT_NONSENSE);
		return false;
	}
	if (p.status != STORVSC_STATUS_SUCCESS)
		storvsc_machine_refused(m, p.status);
	else
		storvsc_machine_take_step(m, &p);
	return true;
}

static void storvsc_machine_step(struct storvsc_machine *m, struct storvsc_packet *p)
{
	static const uint8_t operations[] = {
		[STORVSC_BEGINS] = STORVSC_BEGIN_INITIALIZATION,
		[STORVSC_ASKS_VERSION] = STORVSC_QUERY_PROTOCOL_VERSION,
		[STORVSC_ASKS_PROPERTIES] = STORVSC_QUERY_PROPERTIES,
		[STORVSC_ENDS] = STORVSC_END_INITIALIZATION,
		[STORVSC_ASKS_SUBCHANNELS] = STORVSC_CREATE_SUB_CHANNELS,
	};

	p->operation = operations[m->state];
	if (m->state == STORVSC_ASKS_VERSION)
		p->version.major_minor = storvsc_versions[m->versions];
	if (m->state == STORVSC_ASKS_SUBCHANNELS)
		p->subchannels = m->subchannels;
}

void storvsc_machine_open(struct storvsc_machine *m)
{
	m->version = 0;
	m->versions = 0;
	m->subchannels = 0;
	m->max_transfer = 0;
	m->packet_size = sizeof(struct storvsc_packet);
	m->failure = STORVSC_RESULT_DONE;
	m->host_status = 0;
	storvsc_machine_enter(m, STORVSC_BEGINS);
}

void storvsc_machine_join(struct storvsc_machine *m, const struct storvsc_machine *first)
{
	m->version = first->version;
	storvsc_machine_limit(m, first->max_transfer);
	m->packet_size = first->packet_size;
}

void storvsc_machine_joined(struct storvsc_machine *m)
{
	storvsc_machine_enter(m, STORVSC_READY);
}

/* ---- requests ---- */

static void storvsc_machine_build(const struct storvsc_machine *m, const struct storvsc_request *r,
                                  struct storvsc_packet *p)
{
	static const uint8_t data_in[] = { STORVSC_DATA_UNSPECIFIED, STORVSC_DATA_IN,
		                           STORVSC_DATA_OUT };
	static const uint32_t flags[] = { 0, STORVSC_SRB_DATA_IN, STORVSC_SRB_DATA_OUT };
	struct storvsc_srb *srb = &p->srb;

	p->operation = STORVSC_EXECUTE_SRB;
	srb->length = (uint16_t)(m->packet_size - STORVSC_PACKET_HEADER);
	srb->target = r->address.target;
	srb->lun = r->address.lun;
	srb->cdb_length = r->cdb_length;
	srb->sense_length =
		m->version < STORVSC_VERSION_WIN8 ? SCSI_SENSE_SIZE : STORVSC_SENSE_SIZE;
	srb->data_in = data_in[r->direction];
	srb->transfer_length = r->length;
	__builtin_memcpy(srb->cdb, r->cdb, sizeof(srb->cdb));
	srb->queue_action = STORVSC_SRB_SIMPLE_TAG;
	srb->srb_flags = flags[r->direction] | STORVSC_SRB_QUEUE_ACTION_ENABLE |
	                 STORVSC_SRB_DISABLE_SYNCH_TRANSFER | STORVSC_SRB_NO_QUEUE_FREEZE;
	srb->timeout = 60;
}

static void storvsc_machine_reset(struct storvsc_request *r)
{
	r->transferred = 0;
	r->scsi_status = r->srb_status = r->sense_key = 0;
	r->asc = 0;
}

static bool storvsc_machine_takes(const struct storvsc_machine *m, const struct storvsc_request *r)
{
	return r->cdb_length <= sizeof(r->cdb) && (uint32_t)r->direction <= STORVSC_TO_DISK &&
	       (m->state != STORVSC_READY || r->length <= m->max_transfer);
}

void storvsc_machine_submit(struct storvsc_machine *m, struct storvsc_request *r)
{
	storvsc_machine_reset(r);
	r->repeats = 0;
	if (m->state == STORVSC_CLOSED || m->state == STORVSC_FAILED)
		storvsc_machine_over(m, r, STORVSC_RESULT_REMOVED);
	else if (!storvsc_machine_takes(m, r))
		storvsc_machine_over(m, r, STORVSC_RESULT_BAD_REQUEST);
	else
		storvsc_queue_add(&m->waiting, r);
}

/* The next one that may be sent: what came before the limit was known is held to it here. */
static struct storvsc_request *storvsc_machine_take(struct storvsc_machine *m)
{
	struct storvsc_request *r;

	while ((r = storvsc_queue_take(&m->waiting)) && r->length > m->max_transfer)
		storvsc_machine_over(m, r, STORVSC_RESULT_BAD_REQUEST);
	return r;
}

static bool storvsc_machine_send(struct storvsc_machine *m, struct storvsc_output *out)
{
	struct storvsc_slot *slot = m->free;
	struct storvsc_request *r = slot ? storvsc_machine_take(m) : NULL;

	if (!r)
		return false;
	m->free = slot->next;
	slot->request = r;
	storvsc_machine_build(m, r, &out->packet);
	out->id = (uint32_t)(slot - m->slots);
	out->request = r->length ? r : NULL;
	return true;
}

static bool storvsc_machine_ask(struct storvsc_machine *m, struct storvsc_output *out)
{
	if (m->asked)
		return false;
	m->asked = true;
	storvsc_machine_step(m, &out->packet);
	out->id = m->slot_count;
	return true;
}

bool storvsc_machine_next(struct storvsc_machine *m, struct storvsc_output *out)
{
	__builtin_memset(out, 0, sizeof(*out));
	out->size = m->packet_size;
	out->packet.flags = STORVSC_REQUEST_COMPLETION;
	if (storvsc_machine_negotiates(m))
		return storvsc_machine_ask(m, out);
	return m->state == STORVSC_READY && storvsc_machine_send(m, out);
}

/* What was at the host with that id, whose slot is free now; NULL: nothing. */
static struct storvsc_request *storvsc_machine_free(struct storvsc_machine *m, uint64_t id)
{
	struct storvsc_request *r = id < m->slot_count ? m->slots[id].request : NULL;

	if (!r)
		return NULL;
	m->slots[id].request = NULL;
	m->slots[id].next = m->free;
	m->free = &m->slots[id];
	return r;
}

void storvsc_machine_put_back(struct storvsc_machine *m, uint32_t id)
{
	struct storvsc_request *r = storvsc_machine_free(m, id);

	if (r)
		storvsc_queue_push(&m->waiting, r);
	else
		m->asked = false;
}

void storvsc_machine_not_sent(struct storvsc_machine *m, uint32_t id)
{
	struct storvsc_request *r = storvsc_machine_free(m, id);

	if (r)
		storvsc_machine_over(m, r, STORVSC_RESULT_NOT_SENT);
	else
		storvsc_machine_fail(m, STORVSC_RESULT_NOT_SENT);
}

/* Says whether it was taken: it is to be sent again. */
static bool storvsc_machine_repeats(struct storvsc_machine *m, struct storvsc_request *r,
                                    enum storvsc_next next)
{
	uint32_t most = next == STORVSC_AGAIN ? STORVSC_REPEATS_AGAIN : STORVSC_REPEATS_LATER;

	if (next == STORVSC_ENDED || r->once || m->state != STORVSC_READY || r->repeats >= most)
		return false;
	r->repeats++;
	if (next == STORVSC_AGAIN)
		storvsc_machine_reset(r);
	storvsc_queue_add(next == STORVSC_AGAIN ? &m->waiting : &m->later, r);
	return true;
}

bool storvsc_machine_completed(struct storvsc_machine *m, uint64_t id, const void *payload,
                               uint32_t size)
{
	struct storvsc_request *r;
	enum storvsc_next next;

	if (id == m->slot_count && m->asked)
		return storvsc_machine_negotiated(m, payload, size);
	r = storvsc_machine_free(m, id);
	if (!r)
		return machine_fault(&m->fault, "id of an answer; there are fewer than",
		                     m->slot_count, id);
	next = storvsc_take_answer(r, payload, size);
	if (!storvsc_machine_repeats(m, r, next))
		storvsc_queue_add(&m->over, r);
	return true;
}

bool storvsc_machine_lost(struct storvsc_machine *m, uint64_t id)
{
	struct storvsc_request *r = storvsc_machine_free(m, id);

	if (r)
		storvsc_machine_over(m, r, STORVSC_RESULT_REMOVED);
	return r != NULL;
}

bool storvsc_machine_waits(const struct storvsc_machine *m)
{
	return m->later.first != NULL;
}

void storvsc_machine_later(struct storvsc_machine *m)
{
	struct storvsc_request *r;

	for (r = m->later.first; r; r = r->next)
		storvsc_machine_reset(r);
	storvsc_queue_move(&m->waiting, &m->later);
}

bool storvsc_machine_said(const void *payload, uint32_t size)
{
	uint32_t operation;

	if (size < sizeof(operation))
		return false;
	__builtin_memcpy(&operation, payload, sizeof(operation));
	return operation == STORVSC_ENUMERATE_BUS || operation == STORVSC_REMOVE_DEVICE;
}

/* ---- the channel ---- */

void storvsc_machine_init(struct storvsc_machine *m, const struct storvsc_machine_options *options,
                          struct storvsc_slot *slots, uint32_t depth)
{
	uint32_t i;

	__builtin_memset(m, 0, sizeof(*m));
	m->options = *options;
	m->slots = slots;
	m->slot_count = depth;
	for (i = 0; i < depth; i++) {
		slots[i].request = NULL;
		slots[i].next = m->free;
		m->free = &slots[i];
	}
}

void storvsc_machine_close(struct storvsc_machine *m)
{
	storvsc_machine_enter(m, STORVSC_CLOSED);
	storvsc_machine_over_all(m, &m->waiting);
	storvsc_machine_over_all(m, &m->later);
}
