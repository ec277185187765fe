/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The life of a channel. Inputs (the driver's Enable, Disable, Start and Pause; the bus's open,
 * close and revoke; faults) only set fields under ch->lock and kick. One routine, channel_step(),
 * runs on the channel's strand, compares the inputs with the phase, and takes one step at a time
 * towards what they ask for, calling the driver's callbacks on the way. So no callback runs out of
 * order, whichever end asked and however the requests race.
 */

#include "kmcl/channel.h"

#include <string.h>

static void channel_step(void *context);

void channel_kick_locked(struct channel *ch)
{
	pthread_cond_broadcast(&ch->changed);
	if (ch->step_queued)
		return;
	ch->step_queued = true;
	ch->step.routine = channel_step;
	ch->step.context = ch;
	nt_strand_queue(&ch->strand, &ch->step);
}

void channel_kick(struct channel *ch)
{
	pthread_mutex_lock(&ch->lock);
	channel_kick_locked(ch);
	pthread_mutex_unlock(&ch->lock);
}

void channel_stop(struct channel *ch)
{
	atomic_store(&ch->in.failed, true);
	channel_kick(ch);
}

bool channel_is_closing(struct channel *ch)
{
	bool closing;

	pthread_mutex_lock(&ch->lock);
	closing = !ch->enabled || ch->close_requested || ch->phase == CHANNEL_CLOSING;
	pthread_mutex_unlock(&ch->lock);
	return closing;
}

void channel_fault(struct channel *ch, const char *what, uint64_t expected, uint64_t actual)
{
	atomic_fetch_add(&ch->faults, 1);
	if (!atomic_exchange(&ch->in.failed, true))
		nt_log_limited(
			bus_log_account(ch), NT_LOG_PACKETS, NT_LOG_ERROR, ch->config.name,
			"malformed %s from the %s: expected at most %#llx, got %#llx; channel stopped",
			what, ch->server ? "guest" : "host", (unsigned long long)expected,
			(unsigned long long)actual);
	channel_kick(ch);
}

/* ---- inputs from the bus ---- */

void channel_on_open(struct channel *ch, const struct server_open *open)
{
	pthread_mutex_lock(&ch->lock);
	ch->open = *open;
	ch->open_requested = true;
	channel_kick_locked(ch);
	pthread_mutex_unlock(&ch->lock);
}

void channel_on_offer(struct channel *ch)
{
	pthread_mutex_lock(&ch->lock);
	ch->open_requested = true;
	channel_kick_locked(ch);
	pthread_mutex_unlock(&ch->lock);
}

void channel_on_close(struct channel *ch)
{
	pthread_mutex_lock(&ch->lock);
	ch->close_requested = true;
	channel_kick_locked(ch);
	pthread_mutex_unlock(&ch->lock);
}

void channel_on_revoked(struct channel *ch)
{
	pthread_mutex_lock(&ch->lock);
	ch->revoked = true;
	channel_kick_locked(ch);
	pthread_mutex_unlock(&ch->lock);
}

/* ---- inputs from the driver ---- */

static NTSTATUS channel_check_configured(const struct channel *ch)
{
	if (!ch->config.process || !ch->config.has_target)
		return STATUS_INVALID_DEVICE_STATE;
	if (ch->server && !ch->host)
		return STATUS_INVALID_DEVICE_STATE;
	return STATUS_SUCCESS;
}

/* A client's channel that closes by itself is about to be disabled: wait for that. */
static void channel_wait_closed_locked(struct channel *ch)
{
	while (!ch->server && ch->phase != CHANNEL_DISABLED &&
	       (ch->close_requested || ch->phase == CHANNEL_CLOSING) &&
	       !nt_strand_is_current(&ch->strand) && !nt_strand_is_current(&ch->post_strand))
		pthread_cond_wait(&ch->changed, &ch->lock);
}

NTSTATUS VmbChannelEnable(VMBCHANNEL Channel)
{
	struct channel *ch = channel_of(Channel);
	NTSTATUS status;

	if (!ch)
		return STATUS_INVALID_PARAMETER_1;
	if (!nt_irql_at_most(PASSIVE_LEVEL, __func__, ch->config.name))
		return STATUS_INVALID_DEVICE_STATE;
	pthread_mutex_lock(&ch->lock);
	channel_wait_closed_locked(ch);
	if (ch->phase != CHANNEL_DISABLED || ch->enabled) {
		pthread_mutex_unlock(&ch->lock);
		return STATUS_INVALID_PARAMETER_1;
	}
	status = channel_check_configured(ch);
	if (!NT_SUCCESS(status)) {
		pthread_mutex_unlock(&ch->lock);
		return status;
	}
	ch->enabled = true;
	ch->started = !ch->server && !ch->config.paused;
	ch->open_requested = false;
	ch->close_requested = false;
	ch->revoked = false;
	ch->restored_chunks = 0;
	ch->phase = CHANNEL_ENABLED;
	atomic_store(&ch->in.failed, false);
	pthread_mutex_unlock(&ch->lock);

	status = ch->server ? host_offer(ch) : guest_wait_for_offer(ch);
	if (!NT_SUCCESS(status)) {
		pthread_mutex_lock(&ch->lock);
		ch->enabled = false;
		ch->phase = CHANNEL_DISABLED;
		pthread_mutex_unlock(&ch->lock);
	}
	return status;
}

/* Would waiting for the channel's strand wait for the caller itself? */
static bool channel_in_callback(const struct channel *ch)
{
	return nt_strand_is_current(&ch->strand) || nt_strand_is_current(&ch->post_strand) ||
	       nt_strand_is_current(&ch->delivery_strand);
}

VOID VmbChannelDisable(VMBCHANNEL Channel)
{
	struct channel *ch = channel_of(Channel);

	if (!ch || !nt_irql_at_most(PASSIVE_LEVEL, __func__, ch->config.name))
		return;
	if (channel_in_callback(ch)) {
		nt_misuse(__func__, ch->config.name, "not from a callback of the same channel");
		return;
	}
	pthread_mutex_lock(&ch->lock);
	if (ch->phase == CHANNEL_DISABLED) {
		pthread_mutex_unlock(&ch->lock);
		return;
	}
	ch->enabled = false;
	channel_kick_locked(ch);
	pthread_mutex_unlock(&ch->lock);

	if (ch->server)
		host_revoke(ch);

	pthread_mutex_lock(&ch->lock);
	while (ch->phase != CHANNEL_DISABLED)
		pthread_cond_wait(&ch->changed, &ch->lock);
	pthread_mutex_unlock(&ch->lock);
}

VOID VmbChannelStart(VMBCHANNEL Channel)
{
	struct channel *ch = channel_of(Channel);

	if (!ch || !nt_irql_at_most(PASSIVE_LEVEL, __func__, ch->config.name))
		return;
	if (channel_in_callback(ch)) {
		nt_misuse(__func__, ch->config.name, "not from a callback of the same channel");
		return;
	}
	pthread_mutex_lock(&ch->lock);
	if (ch->phase == CHANNEL_DISABLED) {
		ch->config.paused = false;
	} else if (!ch->save) {
		ch->started = true;
		channel_kick_locked(ch);
	}
	pthread_mutex_unlock(&ch->lock);
}

static bool channel_is_active(const struct channel *ch)
{
	return ch->phase == CHANNEL_POST_STARTING || ch->phase == CHANNEL_ACTIVE ||
	       ch->phase == CHANNEL_SUSPENDING;
}

VOID VmbChannelPause(VMBCHANNEL Channel)
{
	struct channel *ch = channel_of(Channel);

	if (!ch || !nt_irql_at_most(PASSIVE_LEVEL, __func__, ch->config.name))
		return;
	if (channel_in_callback(ch)) {
		nt_misuse(__func__, ch->config.name, "not from a callback of the same channel");
		return;
	}
	pthread_mutex_lock(&ch->lock);
	if (ch->phase == CHANNEL_DISABLED) {
		ch->config.paused = true;
	} else {
		ch->started = false;
		channel_kick_locked(ch);
		while (channel_is_active(ch) && !ch->started)
			pthread_cond_wait(&ch->changed, &ch->lock);
	}
	pthread_mutex_unlock(&ch->lock);
}

/* ---- the steps; each is called on the strand with ch->lock held and returns with it ---- */

static void channel_set_phase(struct channel *ch, enum channel_phase phase)
{
	ch->phase = phase;
	pthread_cond_broadcast(&ch->changed);
}

static bool channel_wants_close(const struct channel *ch)
{
	return ch->close_requested || !ch->enabled;
}

static NTSTATUS channel_call_opened(struct channel *ch)
{
	PFN_VMB_CHANNEL_OPENED opened = ch->config.state.EvtChannelOpened;

	return opened ? opened(channel_handle(ch)) : STATUS_SUCCESS;
}

static void channel_call(struct channel *ch, void (*callback)(VMBCHANNEL))
{
	if (callback)
		callback(channel_handle(ch));
}

/* Server: the guest opens. */
static void channel_step_open_server(struct channel *ch)
{
	NTSTATUS status;

	ch->open_requested = false;
	channel_set_phase(ch, CHANNEL_OPENING);
	pthread_mutex_unlock(&ch->lock);
	status = host_attach(ch);
	if (NT_SUCCESS(status)) {
		status = channel_call_opened(ch);
		if (!NT_SUCCESS(status))
			host_detach(ch);
	}
	if (NT_SUCCESS(status))
		outgoing_open(ch);
	pthread_mutex_lock(&ch->lock);
	counter_add(&ch->statistics.opens, NT_SUCCESS(status));
	ch->cancelled = false;
	channel_set_phase(ch, NT_SUCCESS(status) ? CHANNEL_PAUSED : CHANNEL_ENABLED);
	pthread_mutex_unlock(&ch->lock);
	host_open_done(ch, status);
	pthread_mutex_lock(&ch->lock);
}

static void channel_disable_client(struct channel *ch)
{
	ch->enabled = false;
	ch->open_requested = false;
	ch->close_requested = false;
	channel_set_phase(ch, CHANNEL_DISABLED);
}

/* Client: the awaited offer is there. */
static void channel_step_open_client(struct channel *ch)
{
	PFN_VMB_CHANNEL_PNP_FAILURE failed;
	NTSTATUS status;

	ch->open_requested = false;
	ch->bus_closed = false;
	ch->cancelled = false;
	channel_set_phase(ch, CHANNEL_OPENING);
	pthread_mutex_unlock(&ch->lock);
	status = guest_open_channel(ch);
	if (NT_SUCCESS(status)) {
		status = channel_call_opened(ch);
		if (NT_SUCCESS(status))
			outgoing_open(ch);
		else
			guest_close_channel(ch);
	}
	if (!NT_SUCCESS(status)) {
		guest_detach(ch);
		guest_release_channel(ch);
	}
	pthread_mutex_lock(&ch->lock);
	if (NT_SUCCESS(status)) {
		counter_add(&ch->statistics.opens, 1);
		channel_set_phase(ch, CHANNEL_PAUSED);
		return;
	}
	failed = ch->config.pnp_failure; /* a disabled channel may be set up anew at any time */
	channel_disable_client(ch);
	pthread_mutex_unlock(&ch->lock);
	if (failed) /* which may enable the channel again */
		failed(channel_handle(ch), status);
	pthread_mutex_lock(&ch->lock);
}

static void channel_post_started(void *context)
{
	struct channel *ch = context;

	channel_call(ch, ch->config.state.EvtChannelPostStarted);
	pthread_mutex_lock(&ch->lock);
	ch->post_returned = true;
	channel_kick_locked(ch);
	pthread_mutex_unlock(&ch->lock);
}

static void channel_step_start(struct channel *ch)
{
	pthread_mutex_unlock(&ch->lock);
	channel_call(ch, ch->config.state.EvtChannelStarted);
	incoming_start(ch);
	pthread_mutex_lock(&ch->lock);
	ch->post_returned = false;
	channel_set_phase(ch, CHANNEL_POST_STARTING);
	ch->post.routine = channel_post_started;
	ch->post.context = ch;
	nt_strand_queue(&ch->post_strand, &ch->post);
}

/* A client's own close: says so to the host and waits until the host has let go of the rings. What
 * the host may still read from them is then no more than what it could when it was told. */
static void channel_close_bus(struct channel *ch)
{
	if (ch->server || ch->bus_closed)
		return;
	ch->bus_closed = true;
	pthread_mutex_unlock(&ch->lock);
	outgoing_stop(ch);
	guest_close_channel(ch);
	pthread_mutex_lock(&ch->lock);
}

/* May be called more than once a close: what is sent after the first time waits for the next. */
static void channel_cancel_outgoing(struct channel *ch)
{
	ch->cancelled = true;
	pthread_mutex_unlock(&ch->lock);
	outgoing_close(ch, STATUS_CANCELLED);
	pthread_mutex_lock(&ch->lock);
}

/* PostStarted may wait for what will not come any more: end its waiting. */
static void channel_step_release_post(struct channel *ch)
{
	channel_close_bus(ch);
	channel_cancel_outgoing(ch);
}

static void channel_step_suspend(struct channel *ch)
{
	channel_set_phase(ch, CHANNEL_SUSPENDING);
	pthread_mutex_unlock(&ch->lock);
	incoming_stop(ch);
	channel_call(ch, ch->config.state.EvtChannelSuspend);
	pthread_mutex_lock(&ch->lock);
}

static void channel_step_close(struct channel *ch)
{
	channel_set_phase(ch, CHANNEL_CLOSING);
	channel_close_bus(ch);
	channel_cancel_outgoing(ch);
	pthread_mutex_unlock(&ch->lock);
	channel_call(ch, ch->config.state.EvtChannelClosed);
	if (ch->server) {
		host_detach(ch);
	} else {
		guest_detach(ch);
		guest_release_channel(ch);
	}
	pthread_mutex_lock(&ch->lock);
	atomic_store(&ch->in.failed, false);
	if (!ch->server) {
		channel_disable_client(ch);
		return;
	}
	ch->close_requested = false;
	channel_set_phase(ch, CHANNEL_ENABLED);
	pthread_mutex_unlock(&ch->lock);
	host_close_done(ch);
	pthread_mutex_lock(&ch->lock);
}

static bool channel_drained(const struct channel *ch)
{
	return (atomic_load(&ch->in.owed) & INCOMING_OWED_COUNT) == 0;
}

static bool channel_step_enabled(struct channel *ch)
{
	if (ch->server) {
		if (ch->open_requested) {
			channel_step_open_server(ch);
			return true;
		}
		if (!ch->enabled && ch->revoked) {
			pthread_mutex_unlock(&ch->lock);
			host_forget(ch);
			pthread_mutex_lock(&ch->lock);
			channel_set_phase(ch, CHANNEL_DISABLED);
			return true;
		}
		return false;
	}
	if (!ch->enabled) {
		bool waiting;

		pthread_mutex_unlock(&ch->lock);
		waiting = guest_stop_waiting(ch);
		if (!waiting)
			guest_release_channel(ch);
		pthread_mutex_lock(&ch->lock);
		channel_disable_client(ch);
		return true;
	}
	if (ch->close_requested) { /* rescinded before it was opened: wait for another */
		ch->close_requested = false;
		ch->open_requested = false;
		pthread_mutex_unlock(&ch->lock);
		guest_release_channel(ch);
		guest_wait_for_offer(ch);
		pthread_mutex_lock(&ch->lock);
		return true;
	}
	if (ch->open_requested) {
		channel_step_open_client(ch);
		return true;
	}
	return false;
}

/* A server's channel closes when the bus says so, also after its own Disable. */
static bool channel_must_close(const struct channel *ch)
{
	return ch->server ? ch->close_requested
	                  : channel_wants_close(ch) || atomic_load(&ch->in.failed);
}

/* Takes one step; false: there is none to take. */
static bool channel_step_once(struct channel *ch)
{
	switch (ch->phase) {
	case CHANNEL_ENABLED:
		return channel_step_enabled(ch);
	case CHANNEL_PAUSED:
		if (channel_must_close(ch))
			channel_step_close(ch);
		else if (ch->started && ch->enabled && !atomic_load(&ch->in.failed))
			channel_step_start(ch);
		else
			return false;
		return true;
	case CHANNEL_POST_STARTING:
		if (ch->post_returned) {
			channel_set_phase(ch, CHANNEL_ACTIVE);
			return true;
		}
		if (channel_must_close(ch) && !ch->cancelled) {
			channel_step_release_post(ch);
			return true;
		}
		return false;
	case CHANNEL_ACTIVE:
		if (!channel_wants_close(ch) && ch->started && !atomic_load(&ch->in.failed))
			return false;
		channel_step_suspend(ch);
		return true;
	case CHANNEL_SUSPENDING:
		if (!channel_drained(ch))
			return false;
		channel_set_phase(ch, CHANNEL_PAUSED);
		return true;
	case CHANNEL_DISABLED:
	case CHANNEL_OPENING:
	case CHANNEL_CLOSING:
		break;
	}
	return false;
}

static void channel_step(void *context)
{
	struct channel *ch = context;

	pthread_mutex_lock(&ch->lock);
	ch->step_queued = false;
	while (channel_step_once(ch))
		;
	pthread_mutex_unlock(&ch->lock);
}
