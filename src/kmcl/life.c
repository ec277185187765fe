/* SPDX-License-Identifier: BSD-2-Clause */

#include "kmcl/life.h"

#include <string.h>

void life_init(struct life *l, bool server)
{
	memset(l, 0, sizeof(*l));
	l->server = server;
	l->running = !server;
}

/* ---- questions ---- */

bool life_is_open(const struct life *l)
{
	return l->phase >= LIFE_OPENING;
}

bool life_is_active(const struct life *l)
{
	return l->phase >= LIFE_STARTING && l->phase <= LIFE_SUSPENDING;
}

bool life_is_closing(const struct life *l)
{
	return !l->enabled || l->close_wanted || l->phase == LIFE_CLOSING;
}

bool life_is_configurable(const struct life *l)
{
	return l->phase == LIFE_DISABLED;
}

/* A server's channel closes when the bus says so, also after its own Disable. */
static bool life_must_close(const struct life *l)
{
	if (l->server)
		return l->close_wanted;
	return l->close_wanted || !l->enabled || l->faulty;
}

static bool life_must_suspend(const struct life *l)
{
	return !l->running || l->pausing || !l->enabled || l->close_wanted || l->faulty;
}

/* ---- what there is to do ---- */

static void life_set_disabled(struct life *l)
{
	l->phase = LIFE_DISABLED;
	l->enabled = false;
	l->open_wanted = false;
	l->close_wanted = false;
	l->lost = false;
	if (!l->pnp_failure)
		l->disabled_serial++;
}

static void life_set_paused(struct life *l)
{
	l->phase = LIFE_PAUSED;
	l->pausing = false;
	l->paused_serial++;
}

static enum life_action life_take_open(struct life *l)
{
	l->open_wanted = false;
	if (l->server && !l->enabled) /* on its way out: Opened is not called any more */
		return LIFE_REFUSE_OPEN;
	l->faulty = false;
	l->bus_closed = false;
	l->cancelled = false;
	l->phase = LIFE_OPENING;
	return LIFE_OPEN;
}

static enum life_action life_from_enabled_server(struct life *l)
{
	if (l->open_wanted)
		return life_take_open(l);
	return !l->enabled && l->revoked ? LIFE_FORGET : LIFE_NOTHING;
}

static enum life_action life_from_enabled_client(struct life *l)
{
	if (!l->enabled)
		return LIFE_FORGET;
	if (l->close_wanted || l->lost) {
		l->close_wanted = false;
		l->open_wanted = false;
		l->lost = false;
		return LIFE_WAIT_AGAIN;
	}
	return l->open_wanted ? life_take_open(l) : LIFE_NOTHING;
}

static enum life_action life_from_paused(struct life *l)
{
	if (life_must_close(l)) {
		l->phase = LIFE_CLOSING;
		return LIFE_CLOSE;
	}
	if (life_must_suspend(l))
		return LIFE_NOTHING;
	l->phase = LIFE_STARTING;
	return LIFE_START;
}

static enum life_action life_from_post_starting(struct life *l)
{
	if (l->post == LIFE_POST_DUE)
		return LIFE_POST_START;
	if (l->post == LIFE_POST_RETURNED)
		l->phase = LIFE_ACTIVE;
	else if (life_must_close(l) && !l->cancelled)
		return LIFE_RELEASE_POST;
	return LIFE_NOTHING;
}

/* What the phase leads to; a saved channel stays as it is while it is enabled. */
static enum life_action life_from_phase(struct life *l)
{
	switch (l->phase) {
	case LIFE_ENABLED:
		if (l->saving)
			return LIFE_NOTHING;
		return l->server ? life_from_enabled_server(l) : life_from_enabled_client(l);
	case LIFE_PAUSED:
		return l->saving ? LIFE_NOTHING : life_from_paused(l);
	case LIFE_POST_STARTING:
		return life_from_post_starting(l);
	case LIFE_ACTIVE:
		if (!life_must_suspend(l))
			return LIFE_NOTHING;
		l->phase = LIFE_SUSPENDING;
		l->drained = false;
		return LIFE_SUSPEND;
	case LIFE_SUSPENDING:
		if (l->drained)
			life_set_paused(l);
		return LIFE_NOTHING;
	case LIFE_DISABLED:
	case LIFE_ENABLING:
	case LIFE_OPENING:
	case LIFE_STARTING:
	case LIFE_CLOSING:
		break;
	}
	return LIFE_NOTHING;
}

/* What is owed to others comes before anything else. */
static enum life_action life_owed(struct life *l)
{
	if (l->answer_open) {
		l->answer_open = false;
		return LIFE_ANSWER_OPEN;
	}
	if (l->answer_close) {
		l->answer_close = false;
		return LIFE_ANSWER_CLOSE;
	}
	if (l->pnp_failure)
		return LIFE_PNP_FAILURE;
	if (l->enabled || l->phase <= LIFE_ENABLING)
		return LIFE_NOTHING;
	if (l->server && !l->revoke_said) {
		l->revoke_said = true;
		return LIFE_REVOKE;
	}
	return l->saving ? LIFE_END_SAVE : LIFE_NOTHING;
}

enum life_action life_begin(struct life *l)
{
	enum life_phase before;

	if (l->action != LIFE_NOTHING || l->held)
		return LIFE_NOTHING;
	do {
		before = l->phase;
		l->action = life_owed(l);
		if (l->action == LIFE_NOTHING)
			l->action = life_from_phase(l);
	} while (l->action == LIFE_NOTHING && l->phase != before);
	return l->action;
}

static void life_open_ended(struct life *l, enum life_result result)
{
	l->opened = result == LIFE_DONE;
	if (l->opened) {
		life_set_paused(l);
	} else if (l->server || result == LIFE_LOST) {
		l->phase = LIFE_ENABLED;
		l->lost = result == LIFE_LOST;
	} else {
		l->pnp_failure = true;
		life_set_disabled(l);
	}
	l->answer_open = l->server;
}

static void life_close_ended(struct life *l)
{
	if (!l->server) {
		life_set_disabled(l);
		return;
	}
	l->close_wanted = false;
	l->phase = LIFE_ENABLED;
	l->answer_close = true;
}

void life_end(struct life *l, enum life_result result)
{
	enum life_action action = l->action;

	l->action = LIFE_NOTHING;
	switch (action) {
	case LIFE_OPEN:
		life_open_ended(l, result);
		break;
	case LIFE_START:
		l->phase = LIFE_POST_STARTING;
		l->post = LIFE_POST_DUE;
		break;
	case LIFE_POST_START:
		if (l->post == LIFE_POST_DUE)
			l->post = LIFE_POST_RUNS;
		break;
	case LIFE_RELEASE_POST:
		l->bus_closed = true;
		l->cancelled = true;
		break;
	case LIFE_SUSPEND:
		l->drained = result == LIFE_DONE;
		break;
	case LIFE_CLOSE:
		life_close_ended(l);
		break;
	case LIFE_WAIT_AGAIN:
		if (!l->open_wanted) /* then that was still about the offer before */
			l->close_wanted = false;
		break;
	case LIFE_FORGET:
		life_set_disabled(l);
		break;
	case LIFE_PNP_FAILURE:
		l->pnp_failure = false;
		if (l->phase == LIFE_DISABLED) /* it may have been enabled from there */
			l->disabled_serial++;
		break;
	case LIFE_NOTHING:
	case LIFE_REVOKE:
	case LIFE_ANSWER_OPEN:
	case LIFE_REFUSE_OPEN:
	case LIFE_ANSWER_CLOSE:
	case LIFE_END_SAVE:
		break;
	}
}

void life_post_returned(struct life *l)
{
	l->post = LIFE_POST_RETURNED;
}

void life_drained(struct life *l)
{
	if (l->phase ==
	    LIFE_SUSPENDING) /* until delivery has stopped, others may follow: see life_end */
		l->drained = true;
}

/* ---- inputs from the bus ---- */

void life_open(struct life *l)
{
	l->open_wanted = true;
}

void life_offer(struct life *l)
{
	l->open_wanted = true;
	l->close_wanted = false; /* that was about the one before */
}

void life_close(struct life *l)
{
	l->close_wanted = true;
}

void life_revoked(struct life *l)
{
	l->revoked = true;
}

void life_fault(struct life *l)
{
	l->faulty = true;
}

/* ---- inputs from the driver ---- */

/* A client's channel gets disabled by itself, or PnpFailure says why it was: an Enable may wait. */
static bool life_is_ending(const struct life *l)
{
	if (l->server)
		return false;
	return l->pnp_failure || l->phase == LIFE_CLOSING ||
	       (life_is_open(l) && life_must_close(l));
}

enum life_answer life_enable(struct life *l, bool inside)
{
	if (l->cleaned_up)
		return LIFE_REFUSED;
	if (!inside && life_is_ending(l))
		return LIFE_WAIT;
	/* A Disable that waits for PnpFailure means the channel to be disabled when it returns. */
	if (l->phase != LIFE_DISABLED || (inside && l->disabling))
		return LIFE_REFUSED;
	l->phase = LIFE_ENABLING;
	l->enabled = true;
	if (l->server) /* which has to call Start each time */
		l->running = false;
	l->open_wanted = false;
	l->close_wanted = false;
	l->revoke_said = false;
	l->revoked = false;
	return LIFE_GO;
}

void life_enabled(struct life *l, bool good)
{
	if (good)
		l->phase = LIFE_ENABLED;
	else
		life_set_disabled(l);
}

void life_enter(struct life *l)
{
	l->inside++;
}

void life_leave(struct life *l)
{
	l->inside--;
}

static bool life_is_disabled(const struct life *l)
{
	return l->phase == LIFE_DISABLED && !l->pnp_failure;
}

void life_disable(struct life *l, struct life_wait *wait)
{
	wait->over = life_is_disabled(l);
	wait->serial = l->disabled_serial;
	if (l->phase != LIFE_DISABLED)
		l->enabled = false;
	l->disabling++;
	life_enter(l);
}

bool life_disable_over(const struct life *l, const struct life_wait *wait)
{
	return wait->over || l->disabled_serial != wait->serial;
}

void life_disable_end(struct life *l)
{
	l->disabling--;
	life_leave(l);
}

void life_start(struct life *l)
{
	if (!l->server || l->enabled)
		l->running = true;
}

void life_pause(struct life *l, struct life_wait *wait)
{
	wait->over = !life_is_active(l);
	wait->serial = l->paused_serial;
	l->running = false;
	l->pausing = !wait->over;
	life_enter(l);
}

bool life_pause_over(const struct life *l, const struct life_wait *wait)
{
	return wait->over || l->paused_serial != wait->serial;
}

enum life_answer life_cleanup(struct life *l)
{
	if (l->phase != LIFE_DISABLED)
		return LIFE_REFUSED;
	l->cleaned_up = true;
	return l->inside || l->pnp_failure || l->action != LIFE_NOTHING ? LIFE_WAIT : LIFE_GO;
}

/* ---- save and restore ---- */

/* The bus is being answered, which is not long, or nothing happens at all. */
static enum life_answer life_rests(const struct life *l)
{
	if (!l->enabled || (l->phase != LIFE_PAUSED && l->phase != LIFE_ENABLED))
		return LIFE_REFUSED;
	return l->action == LIFE_NOTHING ? LIFE_GO : LIFE_WAIT;
}

enum life_answer life_save_begin(struct life *l)
{
	enum life_answer answer = l->saving || l->running ? LIFE_REFUSED : life_rests(l);

	if (answer == LIFE_GO)
		l->saving = true;
	return answer;
}

bool life_save_end(struct life *l)
{
	bool was = l->saving;

	l->saving = false;
	return was;
}

enum life_answer life_hold(struct life *l, bool saving)
{
	enum life_answer answer = l->saving == saving ? life_rests(l) : LIFE_REFUSED;

	if (answer == LIFE_GO)
		l->held++;
	return answer;
}

void life_unhold(struct life *l)
{
	l->held--;
}
