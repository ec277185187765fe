/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_GUESTS_VISIT_H
#define TESTS_GUESTS_VISIT_H

/* A persona at our host. */

#include "persona_kvp.h"
#include "services.h"

struct visit {
	struct services host;
	struct persona guest;
};

static inline void visit_begin(struct visit *v, const struct services_options *options)
{
	static const struct services_options usual = { .subchannels = 4, .queues = 4 };
	const char *uri = persona_uri();

	services_open(&v->host, uri, options ? options : &usual);
	persona_begin(&v->guest, uri);
}

static inline void visit_close(struct visit *v)
{
	services_close(&v->host);
	persona_end(&v->guest);
}

static inline void visit_end(struct visit *v)
{
	persona_leave(&v->guest);
	visit_close(v);
}

/* The guest said UNLOAD and did not wait; it is answered or not before it is gone. */
static inline void visit_end_without_answer(struct visit *v)
{
	persona_leave(&v->guest);
	v->guest.read = v->guest.written;
	visit_close(v);
}

/* The heartbeat's channel is open and its versions are agreed: it beats, and the host takes it. */
void visit_beat(struct visit *v, struct persona_ic *ic, int beats);
/* The channel of key-value pairs likewise: the host sets, reads, lists and deletes some. */
void visit_pairs(struct visit *v, struct persona_kvp *kvp);

#endif
