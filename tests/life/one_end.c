/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Every order of inputs, from two callers and the bus, to one end of a channel: as many as it takes
 * until more lead to nothing new. What is
 * around the machine is played here as channel.c does it, one step at a time, with the bus of that
 * end reduced to what it may ask when; and what the documentation promises is watched from outside.
 */

#include "walk.h"

#include "kmcl/life.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What the bus of this end knows of the channel. */
enum bus {
	BUS_NONE,
	BUS_WAITING, /* client: for an offer */
	BUS_OFFERED, /* server: closed; client: the offer is its own */
	BUS_GONE,    /* client: the offer was taken back */
	BUS_OPENING, /* server: an answer is owed, as with the next two */
	BUS_OPEN,
	BUS_CLOSING,
};

/* Where the driver's callbacks say that it is. */
enum stage { STAGE_CLOSED, STAGE_OPEN, STAGE_STARTED, STAGE_POST, STAGE_ACTIVE };

enum doing {
	DOING_NOTHING,
	DOING_ENABLE,
	DOING_REGISTER,
	DOING_REGISTERED,
	DOING_DISABLE,
	DOING_PAUSE,
	DOING_CLEANUP
};

struct caller {
	uint8_t doing; /* enum doing */
	bool seen;     /* what it waits for has been so since it began */
	struct life_wait wait;
};

struct world {
	struct life life;
	struct caller callers[3]; /* two threads; PnpFailure */
	uint8_t bus;              /* enum bus */
	uint8_t stage;            /* enum stage */
	uint8_t owed;             /* packets that the driver has not completed */
	bool delivering;
	bool revoked;    /* at the bus */
	bool reopen;     /* the guest opens again once the close is answered */
	bool post_stuck; /* PostStarted returns when it is released, not before */
	bool post_released;
	bool saving;
	bool saved_end; /* the save was ended by a Disable */
	bool holding;
	bool cleaned_up;
	bool let_go;    /* server: the bus, of the revoked channel */
	bool waits;     /* client: LIFE_WAIT_AGAIN has let go of the offer */
	bool faulted;   /* since it was opened */
	bool told;      /* client: the host, of the close */
	bool rescinded; /* client: the offer that is gone; it may only have been announced */
};

/* ---- what is watched ---- */

static bool world_is_paused(const struct world *w)
{
	return !w->delivering && w->owed == 0 && w->stage <= STAGE_OPEN &&
	       w->life.action != LIFE_START && w->life.action != LIFE_SUSPEND;
}

static bool world_is_disabled(const struct world *w)
{
	return w->bus == BUS_NONE && w->stage == STAGE_CLOSED &&
	       w->life.action != LIFE_PNP_FAILURE && !w->life.pnp_failure;
}

static void watch(struct world *w)
{
	for (int i = 0; i < 3; i++) {
		struct caller *c = &w->callers[i];

		if (c->doing == DOING_PAUSE && world_is_paused(w))
			c->seen = true;
		if (c->doing == DOING_DISABLE && world_is_disabled(w))
			c->seen = true;
	}
	if (w->cleaned_up && (w->bus != BUS_NONE || w->stage != STAGE_CLOSED ||
	                      w->life.action != LIFE_NOTHING || w->owed))
		walk_wrong("it is reachable after Cleanup");
	for (int i = 0; i < 3 && w->cleaned_up; i++)
		if (w->callers[i].doing != DOING_NOTHING)
			walk_wrong("Cleanup has returned, and another call has not");
}

static void expect(bool good, const char *what)
{
	if (!good)
		walk_wrong(what);
}

/* ---- the bus ---- */

static void bus_close(struct world *w)
{
	w->bus = BUS_CLOSING;
	life_close(&w->life);
}

static void bus_is_closed(struct world *w)
{
	w->bus = BUS_OFFERED;
	if (w->reopen) {
		w->bus = BUS_OPENING;
		life_open(&w->life);
	}
	w->reopen = false;
}

static void bus_revoke(struct world *w)
{
	expect(!w->revoked && w->bus >= BUS_OFFERED, "revoked twice, or never offered");
	w->revoked = true;
	w->reopen = false;
	if (w->bus == BUS_OPEN)
		bus_close(w);
}

/* What the guest has shown is let go of as well, when that may be. */
static bool bus_lets_go(struct world *w)
{
	if (!w->revoked || w->bus != BUS_OFFERED || w->let_go)
		return false;
	w->let_go = true;
	life_revoked(&w->life);
	return true;
}

static void bus_answer_open(struct world *w, bool good)
{
	expect(w->bus == BUS_OPENING, "an open answered that nobody asked for");
	if (!good) {
		bus_is_closed(w);
		return;
	}
	w->bus = BUS_OPEN;
	if (w->revoked)
		bus_close(w);
}

/* ---- actions ---- */

static bool saved(const struct world *w)
{
	return w->saving && !w->saved_end;
}

/* What must hold when an action begins. */
static void action_began(struct world *w)
{
	const struct life *l = &w->life;

	expect(!w->holding, "something happens during a SaveContinue");
	expect(!w->cleaned_up, "something happens after Cleanup");
	switch (l->action) {
	case LIFE_OPEN:
		expect(w->stage == STAGE_CLOSED, "Opened out of order");
		expect(l->enabled, "opened after Disable");
		w->told = false;
		expect(!saved(w), "opened while it is saved");
		expect(w->bus == (l->server ? BUS_OPENING : BUS_OFFERED) || w->bus == BUS_GONE,
		       "opened, and nobody asked for it");
		break;
	case LIFE_START:
		expect(w->stage == STAGE_OPEN && !w->delivering, "Started out of order");
		expect(!saved(w), "started while it is saved");
		break;
	case LIFE_POST_START:
		expect(w->stage == STAGE_STARTED, "PostStarted out of order");
		w->stage = STAGE_POST;
		break;
	case LIFE_SUSPEND:
		expect(w->stage == STAGE_ACTIVE, "Suspend out of order");
		break;
	case LIFE_CLOSE:
		expect(w->stage == STAGE_OPEN && !w->delivering, "Closed out of order");
		expect(w->owed == 0, "Closed before the last packet was completed");
		expect(!saved(w), "closed while it is saved");
		expect(w->told == l->bus_closed, "the host is told twice, or never");
		w->told = true;
		break;
	case LIFE_RELEASE_POST:
		expect(w->stage == STAGE_POST, "released what does not run");
		w->post_released = true;
		w->told = w->told || !l->bus_closed;
		break;
	case LIFE_WAIT_AGAIN:
		expect(w->bus == BUS_GONE, "let go of a good offer");
		break;
	case LIFE_FORGET:
		expect(w->stage == STAGE_CLOSED, "forgotten while open");
		expect(!l->server || (w->let_go && w->bus == BUS_OFFERED),
		       "forgotten before it was revoked");
		break;
	case LIFE_PNP_FAILURE:
		expect(w->stage == STAGE_CLOSED && w->bus == BUS_NONE, "PnpFailure out of order");
		break;
	default:
		break;
	}
}

/* Does it, as channel.c does; `good`: where it can fail, it does not. */
static enum life_result action_done(struct world *w, enum life_result wanted)
{
	struct life *l = &w->life;

	switch (l->action) {
	case LIFE_REVOKE:
		bus_revoke(w);
		break;
	case LIFE_OPEN:
		if (!l->server && w->bus == BUS_GONE)
			wanted = LIFE_LOST;
		w->faulted = w->faulted && wanted == LIFE_DONE;
		if (wanted == LIFE_DONE)
			w->stage = STAGE_OPEN;
		else if (wanted == LIFE_LOST) /* the host's word for it, if nothing else */
			w->bus = BUS_GONE;
		else if (!l->server)
			w->bus = BUS_NONE;
		return wanted;
	case LIFE_ANSWER_OPEN:
		bus_answer_open(w, l->opened);
		break;
	case LIFE_REFUSE_OPEN:
		bus_answer_open(w, false);
		break;
	case LIFE_START:
		w->stage = STAGE_STARTED;
		w->delivering = true;
		break;
	case LIFE_SUSPEND:
		w->stage = STAGE_OPEN;
		w->delivering = false;
		return w->owed ? LIFE_PENDING : LIFE_DONE;
	case LIFE_CLOSE:
		w->stage = STAGE_CLOSED;
		w->faulted = false;
		if (!l->server)
			w->bus = BUS_NONE;
		break;
	case LIFE_ANSWER_CLOSE:
		expect(w->bus == BUS_CLOSING, "a close answered that nobody asked for");
		bus_is_closed(w);
		break;
	case LIFE_WAIT_AGAIN:
		w->waits = false;
		break;
	case LIFE_FORGET:
		w->bus = BUS_NONE;
		w->revoked = false;
		w->let_go = false;
		break;
	case LIFE_END_SAVE:
		w->saved_end = true;
		life_save_end(l);
		break;
	default:
		break;
	}
	return LIFE_DONE;
}

static bool end_action(struct world *w, enum life_result wanted)
{
	if (w->life.action == LIFE_NOTHING || w->callers[2].doing != DOING_NOTHING)
		return false;
	if (w->life.action == LIFE_WAIT_AGAIN && !w->waits)
		return false;
	if (wanted == LIFE_FAILED && w->life.action != LIFE_OPEN)
		return false;
	if (wanted == LIFE_LOST && (w->life.action != LIFE_OPEN || w->life.server))
		return false;
	expect(!w->holding, "something happens during a SaveContinue");
	life_end(&w->life, action_done(w, wanted));
	if (w->bus == BUS_NONE)
		w->rescinded = false;
	return true;
}

/* From here on the next offer may come; the step is not over yet. */
static bool waits_again(struct world *w)
{
	if (w->life.action != LIFE_WAIT_AGAIN || w->waits)
		return false;
	w->waits = true;
	w->bus = BUS_WAITING;
	w->rescinded = false;
	return true;
}

static bool begin_action(struct world *w)
{
	struct life before = w->life;

	if (life_begin(&w->life) != LIFE_NOTHING)
		action_began(w);
	return memcmp(&before, &w->life, sizeof(before)) != 0;
}

/* ---- callers ---- */

static bool caller_begin(struct world *w, struct caller *c, enum doing doing)
{
	if (c->doing != DOING_NOTHING || w->life.cleaned_up)
		return false;
	if (doing == DOING_CLEANUP &&
	    (w->callers[0].doing == DOING_CLEANUP || w->callers[1].doing == DOING_CLEANUP))
		return false; /* nobody frees a thing twice */
	c->doing = (uint8_t)doing;
	c->seen = false;
	switch (doing) {
	case DOING_ENABLE:
		life_enter(&w->life);
		break;
	case DOING_DISABLE:
		life_disable(&w->life, &c->wait);
		break;
	case DOING_PAUSE:
		life_pause(&w->life, &c->wait);
		break;
	default:
		break;
	}
	return true;
}

static void caller_end(struct caller *c)
{
	memset(c, 0, sizeof(*c));
}

static bool caller_enables(struct world *w, struct caller *c)
{
	enum life_answer answer = life_enable(&w->life, false);

	if (answer == LIFE_WAIT)
		return false;
	life_leave(&w->life);
	if (answer == LIFE_GO) {
		expect(w->bus == BUS_NONE && w->stage == STAGE_CLOSED, "enabled twice");
		c->doing = DOING_REGISTER;
	} else {
		caller_end(c);
	}
	return true;
}

static bool caller_cleans_up(struct world *w, struct caller *c)
{
	bool before = w->life.cleaned_up;
	enum life_answer answer = life_cleanup(&w->life);

	if (answer == LIFE_WAIT) {
		c->seen = true;
		return !before;
	}
	expect(answer == LIFE_GO || !c->seen, "Cleanup waited, and then was refused");
	w->cleaned_up = answer == LIFE_GO;
	caller_end(c);
	return true;
}

/* It wakes up, if what it waits for is so. */
static bool caller_goes_on(struct world *w, struct caller *c)
{
	switch (c->doing) {
	case DOING_ENABLE:
		return caller_enables(w, c);
	case DOING_REGISTER:
		w->bus = w->life.server ? BUS_OFFERED : BUS_WAITING;
		c->doing = DOING_REGISTERED;
		return true;
	case DOING_REGISTERED:
		life_enabled(&w->life, true);
		caller_end(c);
		return true;
	case DOING_DISABLE:
		if (!life_disable_over(&w->life, &c->wait))
			return false;
		expect(c->seen, "Disable returned early");
		life_disable_end(&w->life);
		caller_end(c);
		return true;
	case DOING_PAUSE:
		if (!life_pause_over(&w->life, &c->wait))
			return false;
		expect(c->seen, "Pause returned early");
		life_leave(&w->life);
		caller_end(c);
		return true;
	case DOING_CLEANUP:
		return caller_cleans_up(w, c);
	}
	return false;
}

/* Nothing of the bus's came of it: a second offer of the same kind, or no memory. */
static bool registering_fails(struct world *w, struct caller *c)
{
	if (c->doing != DOING_REGISTER)
		return false;
	life_enabled(&w->life, false);
	caller_end(c);
	return true;
}

/* ---- moves ---- */

enum move {
	/* inner steps */
	MOVE_BEGIN,
	MOVE_END,
	MOVE_POST_RETURNS,
	MOVE_COMPLETE,
	MOVE_WAKE_A,
	MOVE_WAKE_B,
	MOVE_WAKE_INSIDE,
	MOVE_UNHOLD,
	MOVE_LET_GO,
	MOVE_WAITS_AGAIN,
	/* inputs */
	MOVE_FAIL,
	MOVE_LOSE,
	MOVE_POST_IS_STUCK,
	MOVE_DELIVER,
	MOVE_FAULT,
	MOVE_ENABLE_A,
	MOVE_ENABLE_B,
	MOVE_REGISTERING_FAILS_A,
	MOVE_REGISTERING_FAILS_B,
	MOVE_DISABLE_A,
	MOVE_DISABLE_B,
	MOVE_PAUSE_A,
	MOVE_PAUSE_B,
	MOVE_START,
	MOVE_CLEANUP_A,
	MOVE_CLEANUP_B,
	MOVE_ENABLE_INSIDE,
	MOVE_OPEN,
	MOVE_CLOSE,
	MOVE_SAVE_BEGIN,
	MOVE_HOLD,
	MOVE_SAVE_END,
	MOVES
};

static const char *move_name(uint32_t move)
{
	static const char *const names[MOVES] = {
		"the strand takes a step",
		"the step is over",
		"PostStarted returns",
		"the last packet is completed",
		"A goes on",
		"B goes on",
		"PnpFailure goes on",
		"SaveContinue is over",
		"the bus has let go of it",
		"the offer is let go of",
		"the opening fails",
		"the offer is lost while it is opened",
		"PostStarted waits for an answer",
		"a packet is delivered",
		"a fault",
		"A: Enable",
		"B: Enable",
		"A: the bus will not have it",
		"B: the bus will not have it",
		"A: Disable",
		"B: Disable",
		"A: Pause",
		"B: Pause",
		"Start",
		"A: Cleanup",
		"B: Cleanup",
		"PnpFailure: Enable",
		"the guest opens, or an offer comes",
		"the other end closes, or takes the offer back",
		"SaveBegin",
		"SaveContinue or restore",
		"SaveEnd",
	};

	return names[move];
}

static bool post_returns(struct world *w)
{
	if (w->stage != STAGE_POST || (w->post_stuck && !w->post_released))
		return false;
	w->stage = STAGE_ACTIVE;
	w->post_stuck = false;
	w->post_released = false;
	life_post_returned(&w->life);
	return true;
}

static bool post_is_stuck(struct world *w)
{
	if (w->stage != STAGE_POST || w->post_stuck || w->post_released)
		return false;
	w->post_stuck = true;
	return true;
}

static bool complete(struct world *w)
{
	if (!w->owed)
		return false;
	w->owed--;
	life_drained(&w->life);
	return true;
}

static bool deliver(struct world *w)
{
	if (!w->delivering || w->owed)
		return false;
	w->owed++;
	return true;
}

static bool fault(struct world *w)
{
	if (!w->life.enabled)
		return false;
	w->faulted = life_is_open(&w->life); /* else of an earlier opening, by a slow thread */
	life_fault(&w->life);
	return true;
}

static bool enable_inside(struct world *w)
{
	struct caller *c = &w->callers[2];

	if (w->life.action != LIFE_PNP_FAILURE || c->doing != DOING_NOTHING ||
	    life_enable(&w->life, true) != LIFE_GO)
		return false;
	c->doing = DOING_REGISTER;
	return true;
}

static bool bus_opens(struct world *w)
{
	if (w->life.server && w->bus == BUS_OFFERED && !w->revoked) {
		w->bus = BUS_OPENING;
		life_open(&w->life);
	} else if (w->life.server && w->bus == BUS_CLOSING && !w->revoked && !w->reopen) {
		w->reopen = true;
	} else if (!w->life.server && w->bus == BUS_WAITING) {
		w->bus = BUS_OFFERED;
		life_offer(&w->life);
	} else {
		return false;
	}
	return true;
}

static bool bus_closes(struct world *w)
{
	if (w->life.server && w->bus == BUS_OPEN) {
		bus_close(w);
	} else if (!w->life.server && w->bus == BUS_OFFERED) {
		w->bus = BUS_GONE;
		w->rescinded = true;
		life_close(&w->life);
	} else if (!w->life.server && w->bus == BUS_GONE && !w->rescinded) {
		w->rescinded = true;
		life_close(&w->life);
	} else {
		return false;
	}
	return true;
}

static bool save_begins(struct world *w)
{
	if (w->saving || !w->life.server || life_save_begin(&w->life) != LIFE_GO)
		return false;
	expect(world_is_paused(w), "saved while packets may be delivered");
	expect(w->life.enabled && !w->life.running, "saved, and it is not paused");
	w->saving = true;
	w->saved_end = false;
	return true;
}

static bool save_ends(struct world *w)
{
	if (!w->saving || w->holding)
		return false;
	expect(life_save_end(&w->life) == !w->saved_end, "a save ended that was none");
	w->saving = false;
	w->saved_end = false;
	return true;
}

static bool hold(struct world *w)
{
	if (w->holding || !w->life.server || life_hold(&w->life, w->saving) != LIFE_GO)
		return false;
	expect(!w->saving || saved(w), "a save goes on that was ended");
	w->holding = true;
	return true;
}

static bool unhold(struct world *w)
{
	if (!w->holding)
		return false;
	w->holding = false;
	life_unhold(&w->life);
	return true;
}

static bool make_move(struct world *w, enum move move)
{
	struct caller *a = &w->callers[0], *b = &w->callers[1];

	switch (move) {
	case MOVE_BEGIN:
		return begin_action(w);
	case MOVE_END:
		return end_action(w, LIFE_DONE);
	case MOVE_POST_RETURNS:
		return post_returns(w);
	case MOVE_COMPLETE:
		return complete(w);
	case MOVE_WAKE_A:
		return caller_goes_on(w, a);
	case MOVE_WAKE_B:
		return caller_goes_on(w, b);
	case MOVE_WAKE_INSIDE:
		return caller_goes_on(w, &w->callers[2]);
	case MOVE_UNHOLD:
		return unhold(w);
	case MOVE_LET_GO:
		return bus_lets_go(w);
	case MOVE_WAITS_AGAIN:
		return waits_again(w);
	case MOVE_FAIL:
		return end_action(w, LIFE_FAILED);
	case MOVE_LOSE:
		return end_action(w, LIFE_LOST);
	case MOVE_POST_IS_STUCK:
		return post_is_stuck(w);
	case MOVE_DELIVER:
		return deliver(w);
	case MOVE_FAULT:
		return fault(w);
	case MOVE_ENABLE_A:
		return caller_begin(w, a, DOING_ENABLE);
	case MOVE_ENABLE_B:
		return caller_begin(w, b, DOING_ENABLE);
	case MOVE_REGISTERING_FAILS_A:
		return registering_fails(w, a);
	case MOVE_REGISTERING_FAILS_B:
		return registering_fails(w, b);
	case MOVE_DISABLE_A:
		return caller_begin(w, a, DOING_DISABLE);
	case MOVE_DISABLE_B:
		return caller_begin(w, b, DOING_DISABLE);
	case MOVE_PAUSE_A:
		return caller_begin(w, a, DOING_PAUSE);
	case MOVE_PAUSE_B:
		return caller_begin(w, b, DOING_PAUSE);
	case MOVE_START: /* returns at once: whose it is does not matter */
		life_start(&w->life);
		return !w->life.cleaned_up;
	case MOVE_CLEANUP_A:
		return caller_begin(w, a, DOING_CLEANUP);
	case MOVE_CLEANUP_B:
		return caller_begin(w, b, DOING_CLEANUP);
	case MOVE_ENABLE_INSIDE:
		return enable_inside(w);
	case MOVE_OPEN:
		return bus_opens(w);
	case MOVE_CLOSE:
		return bus_closes(w);
	case MOVE_SAVE_BEGIN:
		return save_begins(w);
	case MOVE_HOLD:
		return hold(w);
	case MOVE_SAVE_END:
		return save_ends(w);
	case MOVES:
		break;
	}
	return false;
}

static bool one_move(void *context, uint32_t move, bool *input)
{
	struct world *w = context;

	*input = move >= MOVE_FAIL;
	if (!make_move(w, (enum move)move))
		return false;
	watch(w);
	return true;
}

/* Of serials all that counts is whether they have moved on since a call began. */
static void normalise_serials(struct world *w)
{
	for (int i = 0; i < 3; i++) {
		struct caller *c = &w->callers[i];
		bool moved = false;

		if (c->doing == DOING_DISABLE)
			moved = c->wait.serial != w->life.disabled_serial;
		else if (c->doing == DOING_PAUSE)
			moved = c->wait.serial != w->life.paused_serial;
		c->wait.over = c->wait.over || moved;
		c->wait.serial = 0;
	}
	w->life.disabled_serial = 0;
	w->life.paused_serial = 0;
}

/* What is not looked at before it is set again. */
static void normalise(void *context)
{
	struct world *w = context;

	normalise_serials(w);
	if (w->life.phase != LIFE_SUSPENDING)
		w->life.drained = false;
	if (!w->life.answer_open && w->life.action != LIFE_ANSWER_OPEN)
		w->life.opened = false;
}

static const char *call_that_waits(const struct world *w)
{
	for (int i = 0; i < 3; i++) {
		switch (w->callers[i].doing) {
		case DOING_NOTHING:
			continue;
		case DOING_ENABLE:
			return "Enable never returns";
		case DOING_DISABLE:
			return "Disable never returns";
		case DOING_PAUSE:
			/* That PostStarted waits for the other end is the driver's affair. */
			if (w->post_stuck)
				continue;
			return "Pause never returns";
		default:
			return "Cleanup never returns";
		}
	}
	return NULL;
}

/* What of it is as nobody wants it. */
static const char *work_left(const struct world *w)
{
	const struct life *l = &w->life;
	bool server = l->server;

	if (!l->enabled)
		return l->phase == LIFE_DISABLED ? NULL : "never gets disabled";
	if (saved(w))
		return NULL;
	if (w->bus == BUS_OPENING || (!server && w->bus == BUS_OFFERED && w->stage == STAGE_CLOSED))
		return "an open is never answered";
	if (w->bus == BUS_CLOSING && !w->post_stuck)
		return "a close is never answered";
	if (w->bus == BUS_GONE)
		return "an offer that is gone is held for ever";
	if (w->faulted)
		return server ? NULL : "a faulty channel is not closed";
	if (w->stage == STAGE_OPEN && l->running)
		return "started, and it does not run";
	if (w->stage == STAGE_ACTIVE && !l->running)
		return "paused, and it runs";
	return NULL;
}

/* Callbacks return, packets are completed and the bus answers: then no call waits, and what was
 * wanted is so. */
static const char *rest(const void *context)
{
	const char *what = call_that_waits(context);

	return what ? what : work_left(context);
}

static void explore(bool server)
{
	const char *inputs = getenv("LIFE_INPUTS");
	struct walk walk = { .size = sizeof(struct world),
		             .inputs = inputs ? (uint32_t)atoi(inputs) : 60,
		             .moves = MOVES,
		             .move = one_move,
		             .name = move_name,
		             .normalise = normalise,
		             .rest = rest };
	struct walk_result result;
	struct world first;

	_Static_assert(sizeof(struct world) <= WALK_WORLD_MAX, "fits");
	memset(&first, 0, sizeof(first));
	life_init(&first.life, server);
	assert_true(walk_all(&walk, &first, &result));
	if (!inputs) /* more of them lead to nothing new */
		assert_true(result.inputs < walk.inputs);
	print_message("# %s, up to %u inputs: %llu states, %llu moves, %llu at rest\n",
	              server ? "server" : "client", result.inputs,
	              (unsigned long long)result.worlds, (unsigned long long)result.moves,
	              (unsigned long long)result.rests);
}

static void the_servers_end(void **state)
{
	explore(true);
}

static void the_clients_end(void **state)
{
	explore(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_servers_end),
		cmocka_unit_test(the_clients_end),
	};

	return cmocka_run_group_tests_name("one_end", tests, NULL, NULL);
}
