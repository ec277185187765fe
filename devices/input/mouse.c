/* SPDX-License-Identifier: BSD-2-Clause */
/* The mouse's face; kmcl/input.h. */
#include "input/input.h"
#include "input/mouse_session.h"

#include <errno.h>
#include <kmcl/input.h>
#include <kmcl/options.h>
#include <stdlib.h>

static_assert(KMCL_MOUSE_POSITION_MAX == MOUSE_POSITION_MAX, "");
static_assert(KMCL_MOUSE_QUEUE == MOUSE_QUEUE, "");

struct kmcl_mouse {
	struct input input;
	struct mouse_session session;
};

/* ---- what the shell asks of the session ---- */

static void open_session(void *session)
{
	mouse_session_open(session);
}

static void close_session(void *session)
{
	mouse_session_close(session);
}

static bool receive(void *session, const void *message, uint32_t size, struct machine_fault *fault)
{
	return mouse_session_receive(session, message, size, fault);
}

static uint32_t next(void *session, void *message)
{
	return mouse_session_next(session, message);
}

static const struct input_kind kind = {
	.name = "mouse",
	.type = MOUSE_INTERFACE_TYPE,
	.instance = MOUSE_INSTANCE,
	.pipe = true,
	.packet_max = MOUSE_MESSAGE_MAX,
	.open = open_session,
	.close = close_session,
	.receive = receive,
	.next = next,
};

/* ---- its face ---- */

int kmcl_mouse_create(struct kmcl_host *host, const struct kmcl_mouse_options *options,
                      struct kmcl_mouse **mouse)
{
	struct kmcl_mouse *m = calloc(1, sizeof(*m));
	struct kmcl_mouse_options own;
	int error = m ? kmcl_options_take(&own, sizeof(own), options) : -ENOMEM;

	if (!error) {
		struct input_offer offer = { own.instance, own.monitored };

		error = input_create(host, &kind, &offer, &m->session, &m->input);
	}
	if (error)
		free(m);
	else
		*mouse = m;
	return error;
}

void kmcl_mouse_destroy(struct kmcl_mouse *m)
{
	if (!m)
		return;
	input_destroy(&m->input);
	free(m);
}

static int ready_locked(const struct kmcl_mouse *m)
{
	if (m->session.state == MOUSE_REFUSED)
		return -EPROTONOSUPPORT;
	return m->session.state == MOUSE_READY ? 0 : -ENOTCONN;
}

int kmcl_mouse_report(struct kmcl_mouse *m, const struct kmcl_mouse_state *state)
{
	struct kmcl_mouse_state own;
	struct mouse_input input;
	int error = kmcl_options_take(&own, sizeof(own), state);
	KIRQL irql;

	if (error || own.x > MOUSE_POSITION_MAX || own.y > MOUSE_POSITION_MAX ||
	    own.buttons & ~MOUSE_BUTTONS || own.wheel < -(int)MOUSE_POSITION_MAX ||
	    own.wheel > (int)MOUSE_POSITION_MAX)
		return error ? error : -EINVAL;
	input = (struct mouse_input){ (uint16_t)own.x, (uint16_t)own.y, (uint8_t)own.buttons,
		                      (int16_t)own.wheel, false };
	irql = input_lock(&m->input);
	error = ready_locked(m);
	if (!error && !mouse_session_report(&m->session, &input))
		error = -EAGAIN;
	input_unlock(&m->input, irql);
	return error;
}

int kmcl_mouse_query(struct kmcl_mouse *m, struct kmcl_mouse_info *info)
{
	KIRQL irql = input_lock(&m->input);
	struct kmcl_mouse_info all = {
		.version = m->session.state == MOUSE_READY ? MOUSE_VERSION : 0,
		.waiting = m->session.count,
		.opens = m->input.opens,
		.sent = m->input.sent,
		.wrong = m->input.wrong,
	};

	input_unlock(&m->input, irql);
	return kmcl_options_give(info, &all, sizeof(all));
}
