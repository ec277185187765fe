/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KMCL_LIFE_H
#define KMCL_LIFE_H

/*
 * The life of a channel as a pure machine: no lock, no thread, no memory, no callback. Inputs are
 * what the driver and the bus want; they only set a field. What there is to do is asked for with
 * life_begin(), one action at a time, done by the caller, and reported with life_end(). Calls that
 * wait are a begin, a question whether the wait is over, and an end.
 *
 * channel.c is what is around it: a lock, the strand on which actions are done, and a condition on
 * which callers wait. tests/life walks through every order of inputs.
 */

#include <stdbool.h>
#include <stdint.h>

enum life_phase {
	LIFE_DISABLED,
	LIFE_ENABLING, /* its Enable is about to make it known to the bus */
	LIFE_ENABLED,  /* offered, or waiting for the offer */
	LIFE_OPENING,
	LIFE_PAUSED,        /* open, nothing delivered */
	LIFE_STARTING,      /* in the Started callback */
	LIFE_POST_STARTING, /* delivering; PostStarted has not returned */
	LIFE_ACTIVE,
	LIFE_SUSPENDING, /* in the Suspend callback, or packets are still to be completed */
	LIFE_CLOSING,    /* in the Closed callback or around it */
};

enum life_action {
	LIFE_NOTHING,
	LIFE_REVOKE,       /* server: take the offer back */
	LIFE_OPEN,         /* take up the rings and call Opened; a client asks the host before */
	LIFE_ANSWER_OPEN,  /* server: tell the bus how that went (`opened`) */
	LIFE_REFUSE_OPEN,  /* server: tell the bus that it will not be opened */
	LIFE_START,        /* call Started, then deliver */
	LIFE_POST_START,   /* begin PostStarted; life_post_returned() when it is over */
	LIFE_RELEASE_POST, /* end what PostStarted may be waiting for: it will not come any more */
	LIFE_SUSPEND,      /* stop delivering, then call Suspend */
	LIFE_CLOSE,        /* cancel what is outstanding, call Closed, let go of the rings */
	LIFE_ANSWER_CLOSE, /* server: tell the bus */
	LIFE_WAIT_AGAIN,   /* client: let go of an offer that was taken back; wait for the next */
	LIFE_FORGET,       /* the bus shall not know it any more */
	LIFE_PNP_FAILURE,  /* client: call PnpFailure; the channel is disabled already */
	LIFE_END_SAVE,     /* end the save: the channel is being disabled under it */
};

enum life_result {
	LIFE_DONE,
	LIFE_FAILED,  /* of LIFE_OPEN */
	LIFE_LOST,    /* of LIFE_OPEN, client: the offer was taken back before it was opened */
	LIFE_PENDING, /* of LIFE_SUSPEND: packets are still to be completed */
};

enum life_post {
	LIFE_POST_NONE,
	LIFE_POST_DUE,
	LIFE_POST_RUNS,
	LIFE_POST_RETURNED,
};

struct life {
	bool server;
	enum life_phase phase;
	enum life_action action; /* that is being done */
	/* what is wanted */
	bool enabled;
	bool running;      /* Start was the last said, not Pause */
	bool pausing;      /* a Pause waits for it to be suspended, whatever was said since */
	bool open_wanted;  /* server: the guest opens; client: the offer is there */
	bool close_wanted; /* the other end closed, took the offer back or is gone */
	bool revoked;      /* server: the bus has let go of it */
	bool faulty;       /* malformed, or given up by the driver */
	bool lost;         /* client: the offer is of no use */
	/* what has been done */
	bool revoke_said;
	bool opened;       /* how LIFE_OPEN ended */
	bool answer_open;  /* the bus waits for it */
	bool answer_close; /* likewise */
	bool bus_closed;   /* client: the host knows of the close */
	bool cancelled;    /* in this close, what was outstanding has been */
	bool drained;      /* the driver owes no completion */
	bool pnp_failure;  /* to be called */
	enum life_post post;
	/* save and restore */
	bool saving;   /* between SaveBegin and SaveEnd */
	uint32_t held; /* calls during which nothing may change */
	/* calls under way */
	uint32_t inside;
	uint32_t disabling; /* of them, Disable */
	bool cleaned_up;
	uint32_t paused_serial;   /* counts the times it got paused */
	uint32_t disabled_serial; /* ... and disabled */
};

/* A call that waits. */
struct life_wait {
	bool over; /* it was so to begin with; or else when the serial has moved on */
	uint32_t serial;
};

void life_init(struct life *l, bool server);

/* ---- what there is to do ---- */

/* The next action, which is then under way; LIFE_NOTHING: none now. One at a time. */
enum life_action life_begin(struct life *l);
void life_end(struct life *l, enum life_result result);
/* PostStarted is over. */
void life_post_returned(struct life *l);
/* The last packet that the driver owed a completion is completed. */
void life_drained(struct life *l);

/* ---- inputs from the bus ---- */

void life_open(struct life *l);    /* server */
void life_offer(struct life *l);   /* client: an offer is this channel's now */
void life_close(struct life *l);   /* the other end closed, or took the offer back */
void life_revoked(struct life *l); /* server */
void life_fault(struct life *l);

/* ---- inputs from the driver ---- */

enum life_answer {
	LIFE_GO,
	LIFE_WAIT, /* ask again when something has changed */
	LIFE_REFUSED,
};

/* Enable is two halves with the bus between them: LIFE_GO, make it known to the bus, and say how
 * that went. `inside`: called from one of the channel's own callbacks, which must not wait. */
enum life_answer life_enable(struct life *l, bool inside);
void life_enabled(struct life *l, bool good);
/* A waiting Enable counts as a call under way. */
void life_enter(struct life *l);
void life_leave(struct life *l);

void life_disable(struct life *l, struct life_wait *wait);
bool life_disable_over(const struct life *l, const struct life_wait *wait);
void life_disable_end(struct life *l);

void life_start(struct life *l);
void life_pause(struct life *l, struct life_wait *wait);
bool life_pause_over(const struct life *l, const struct life_wait *wait);

/* LIFE_GO: nobody knows it any more. LIFE_REFUSED: it is not disabled. */
enum life_answer life_cleanup(struct life *l);

enum life_answer life_save_begin(struct life *l);
/* False: there was none to end. */
bool life_save_end(struct life *l);
/* Keeps it as it is for the length of a SaveContinue (`saving`) or of a restore. */
enum life_answer life_hold(struct life *l, bool saving);
void life_unhold(struct life *l);

/* ---- questions ---- */

/* From before Opened until after Closed. */
bool life_is_open(const struct life *l);
/* Packets are delivered, or may be, or are not all completed. */
bool life_is_active(const struct life *l);
/* What is sent now will never be answered. */
bool life_is_closing(const struct life *l);
/* Nothing runs that was configured: it may be configured anew. */
bool life_is_configurable(const struct life *l);

#endif
