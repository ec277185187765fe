/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * What is around the machine of life.h: a lock for it, the strand on which its actions are done, a
 * condition on which callers wait, and the actions themselves. What happens in which order, and who
 * waits for what, is the machine's to say.
 */

#include "kmcl/channel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void channel_step(void *context);

/* A call that waits: when that is said, and that it was. */
struct channel_patience {
	struct timespec until;
	bool said;
};

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

static void channel_lock(struct channel *ch)
{
	pthread_mutex_lock(&ch->lock);
}

static void channel_unlock(struct channel *ch)
{
	pthread_mutex_unlock(&ch->lock);
}

/* Something went into the machine. */
static void channel_unlock_kicked(struct channel *ch)
{
	channel_kick_locked(ch);
	channel_unlock(ch);
}

bool channel_is_closing(struct channel *ch)
{
	bool closing;

	channel_lock(ch);
	closing = life_is_closing(&ch->life);
	channel_unlock(ch);
	return closing;
}

bool channel_is_open(struct channel *ch)
{
	bool open;

	channel_lock(ch);
	open = life_is_open(&ch->life);
	channel_unlock(ch);
	return open;
}

/* ---- inputs from the rings and the bus ---- */

void channel_stop(struct channel *ch)
{
	atomic_store(&ch->in.failed, true);
	channel_lock(ch);
	life_fault(&ch->life);
	channel_unlock_kicked(ch);
}

/* "; here VmbChannelInit...() is N: is it so at the guest?" */
static void setting_words(const struct channel *ch, enum packet_setting setting, char *text,
                          size_t size)
{
	const char *other = ch->server ? "guest" : "host";

	switch (setting) {
	case PACKET_SETTING_NONE:
		*text = 0;
		break;
	case PACKET_SETTING_PAYLOAD:
		snprintf(text, size,
		         "; VmbChannelInitSetMaximumPacketSize is %u here: is it more at the %s?",
		         ch->config.limits.payload_max, other);
		break;
	case PACKET_SETTING_RANGES:
		snprintf(
			text, size,
			"; VmbChannelInitSetMaximumExternalData is %u bytes in %u MDLs here: is it "
			"more at the %s?",
			ch->config.limits.external_max, ch->config.limits.ranges_max, other);
		break;
	case PACKET_SETTING_PIPE:
		snprintf(text, size,
		         "; VMBUS_CHANNEL_INIT_FLAG_IS_PIPE is set here: is it not at the %s?",
		         other);
		break;
	}
}

void channel_fault_setting(struct channel *ch, const char *what, uint64_t expected, uint64_t actual,
                           enum packet_setting setting)
{
	char words[160];

	atomic_fetch_add(&ch->faults, 1);
	setting_words(ch, setting, words, sizeof(words));
	if (!atomic_exchange(&ch->in.failed, true))
		nt_log_limited(
			bus_log_account(ch), NT_LOG_PACKETS, NT_LOG_ERROR, channel_name(ch),
			"malformed %s from the %s: expected at most %#llx, got %#llx; channel "
			"stopped%s",
			what, ch->server ? "guest" : "host", (unsigned long long)expected,
			(unsigned long long)actual, words);
	channel_stop(ch);
}

void channel_fault(struct channel *ch, const char *what, uint64_t expected, uint64_t actual)
{
	channel_fault_setting(ch, what, expected, actual, PACKET_SETTING_NONE);
}

void channel_drained_locked(struct channel *ch)
{
	life_drained(&ch->life);
	channel_kick_locked(ch);
}

void channel_on_open(struct channel *ch, const struct server_open *open)
{
	channel_lock(ch);
	ch->open = *open;
	life_open(&ch->life);
	channel_unlock_kicked(ch);
}

void channel_on_offer(struct channel *ch)
{
	channel_lock(ch);
	life_offer(&ch->life);
	channel_unlock_kicked(ch);
}

void channel_on_close(struct channel *ch)
{
	channel_lock(ch);
	life_close(&ch->life);
	channel_unlock_kicked(ch);
}

void channel_on_revoked(struct channel *ch)
{
	channel_lock(ch);
	life_revoked(&ch->life);
	channel_unlock_kicked(ch);
}

/* ---- what takes long is said ---- */

uint32_t channel_wait_notice_ms = 1000, channel_start_notice_ms = 10000;

/* On a DPC. */
static void channel_not_started(PRKDPC dpc, PVOID context, PVOID unused1, PVOID unused2)
{
	struct channel *ch = context;
	bool say;

	channel_lock(ch);
	say = life_is_open(&ch->life) && ch->life.enabled && !ch->started && !ch->start_notice_said;
	ch->start_notice_said |= say;
	channel_unlock(ch);
	if (say)
		nt_log(NT_LOG_WARNING, channel_name(ch),
		       "the guest has opened it and nothing is delivered: it is enabled, and "
		       "VmbChannelStart was not called");
}

void channel_init_notices(struct channel *ch)
{
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&ch->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	KeInitializeTimer(&ch->start_notice);
	KeInitializeDpc(&ch->start_notice_dpc, channel_not_started, ch);
}

/* The guest has opened it. */
static void channel_expect_start(struct channel *ch)
{
	bool expected;

	channel_lock(ch);
	expected = !ch->started && !ch->start_notice_said;
	ch->start_notice_set |= expected;
	channel_unlock(ch);
	if (expected)
		KeSetTimer(&ch->start_notice,
		           (LARGE_INTEGER){ .QuadPart = -10000ll * channel_start_notice_ms },
		           &ch->start_notice_dpc);
}

static void channel_end_notices(struct channel *ch)
{
	if (ch->start_notice_set && !KeCancelTimer(&ch->start_notice) &&
	    !KeRemoveQueueDpc(&ch->start_notice_dpc))
		KeFlushQueuedDpcs(); /* it may run just now */
}

/* For how many packets the driver owes the completion, or what else its Disable or Pause waits
 * for. */
static void channel_say_waiting(struct channel *ch, const char *function)
{
	uint32_t owed = (uint32_t)(atomic_load(&ch->in.owed) & INCOMING_OWED_COUNT);
	bool post = ch->life.post == LIFE_POST_RUNS;

	channel_unlock(ch); /* the log's callback may look at the channel */
	if (owed)
		nt_log(NT_LOG_WARNING, channel_name(ch),
		       "%s waits for the driver to complete %u packet%s", function, owed,
		       owed == 1 ? "" : "s");
	else if (post)
		nt_log(NT_LOG_WARNING, channel_name(ch),
		       "%s waits for EvtChannelPostStarted to return", function);
	channel_lock(ch);
}

/* Caller holds the lock, and asks again what it waits for. */
static void channel_wait(struct channel *ch, const char *function, struct channel_patience *p)
{
	if (p->said) {
		pthread_cond_wait(&ch->changed, &ch->lock);
		return;
	}
	if (!p->until.tv_sec) {
		uint64_t ns;

		clock_gettime(CLOCK_MONOTONIC, &p->until);
		ns = (uint64_t)p->until.tv_nsec + channel_wait_notice_ms * 1000000ull;
		p->until.tv_sec += (time_t)(ns / 1000000000u);
		p->until.tv_nsec = (long)(ns % 1000000000u);
	}
	if (pthread_cond_timedwait(&ch->changed, &ch->lock, &p->until) != ETIMEDOUT)
		return;
	p->said = true;
	channel_say_waiting(ch, function);
}

/* ---- inputs from the driver ---- */

/* The calls that hold a channel, of this thread: it runs their callbacks. */
static _Thread_local struct channel_held *held_here;

static bool channel_holds(const struct channel *ch)
{
	const struct channel_held *held = held_here;

	while (held && held->channel != ch)
		held = held->outer;
	return held != NULL;
}

/* Would waiting for the channel's strand wait for the caller itself? */
static bool channel_in_callback(const struct channel *ch)
{
	return channel_holds(ch) || nt_strand_is_current(&ch->strand) ||
	       nt_strand_is_current(&ch->post_strand) || nt_strand_is_current(&ch->delivery_strand);
}

static void channel_misuse_in_callback(const struct channel *ch, const char *function)
{
	nt_misuse(function, channel_name(ch), "not from a callback of the same channel");
}

/* The channel of a call that may wait, locked; or NULL. */
static struct channel *channel_enter(VMBCHANNEL handle, const char *function)
{
	struct channel *ch = channel_of(handle);

	if (!ch || !nt_irql_at_most(PASSIVE_LEVEL, function, channel_name(ch)))
		return NULL;
	if (channel_in_callback(ch)) {
		channel_misuse_in_callback(ch, function);
		return NULL;
	}
	channel_lock(ch);
	return ch;
}

static NTSTATUS channel_check_configured(const struct channel *ch)
{
	if (!ch->config.process || !ch->config.has_target)
		return STATUS_INVALID_DEVICE_STATE;
	if (ch->server && !ch->host &&
	    !(ch->config.server_flags & VMBUS_SERVER_CHANNEL_INIT_FLAG_LOOPBACK_OFFER))
		return STATUS_INVALID_DEVICE_STATE;
	return STATUS_SUCCESS;
}

/* Claims it for being made known to the bus. */
static NTSTATUS channel_enable_begin(struct channel *ch)
{
	bool inside = channel_in_callback(ch);
	enum life_answer answer;

	if (life_is_configurable(&ch->life) && !NT_SUCCESS(channel_check_configured(ch)))
		return STATUS_INVALID_DEVICE_STATE;
	life_enter(&ch->life);
	while ((answer = life_enable(&ch->life, inside)) == LIFE_WAIT)
		pthread_cond_wait(&ch->changed, &ch->lock);
	life_leave(&ch->life);
	if (answer == LIFE_REFUSED) {
		pthread_cond_broadcast(&ch->changed);
		return STATUS_INVALID_PARAMETER_1;
	}
	ch->restored_chunks = 0;
	ch->started = ch->start_notice_said = false;
	atomic_store(&ch->in.failed, false);
	return STATUS_SUCCESS;
}

NTSTATUS VmbChannelEnable(VMBCHANNEL Channel)
{
	struct channel *ch = channel_of(Channel);
	NTSTATUS status;

	if (!ch)
		return STATUS_INVALID_PARAMETER_1;
	if (!nt_irql_at_most(PASSIVE_LEVEL, __func__, channel_name(ch)))
		return STATUS_INVALID_DEVICE_STATE;
	channel_lock(ch);
	status = channel_enable_begin(ch);
	channel_unlock(ch);
	if (!NT_SUCCESS(status))
		return status;
	status = ch->server ? host_offer(ch) : guest_wait_for_offer(ch);
	channel_lock(ch);
	life_enabled(&ch->life, NT_SUCCESS(status));
	channel_unlock_kicked(ch);
	return status;
}

VOID VmbChannelDisable(VMBCHANNEL Channel)
{
	struct channel *ch = channel_enter(Channel, __func__);
	struct outgoing_item *queued = NULL;
	struct channel_patience patience = { 0 };
	struct life_wait wait;

	if (!ch)
		return;
	life_disable(&ch->life, &wait);
	channel_kick_locked(ch);
	while (!life_disable_over(&ch->life, &wait))
		channel_wait(ch, __func__, &patience);
	life_disable_end(&ch->life);
	pthread_cond_broadcast(&ch->changed);
	if (!ch->server && life_is_configurable(&ch->life)) /* nobody has enabled it meanwhile */
		queued = outgoing_take_queued(ch);
	channel_unlock(ch);
	outgoing_end_queued(queued, STATUS_CANCELLED);
}

VOID VmbChannelStart(VMBCHANNEL Channel)
{
	struct channel *ch = channel_enter(Channel, __func__);

	if (!ch)
		return;
	life_start(&ch->life);
	ch->started = true;
	channel_unlock_kicked(ch);
}

VOID VmbChannelPause(VMBCHANNEL Channel)
{
	struct channel *ch = channel_enter(Channel, __func__);
	struct channel_patience patience = { 0 };
	struct life_wait wait;

	if (!ch)
		return;
	life_pause(&ch->life, &wait);
	channel_kick_locked(ch);
	while (!life_pause_over(&ch->life, &wait))
		channel_wait(ch, __func__, &patience);
	life_leave(&ch->life);
	pthread_cond_broadcast(&ch->changed);
	channel_unlock(ch);
}

bool channel_clean_up(struct channel *ch)
{
	enum life_answer answer;

	channel_lock(ch);
	while ((answer = life_cleanup(&ch->life)) == LIFE_WAIT)
		pthread_cond_wait(&ch->changed, &ch->lock);
	channel_unlock(ch);
	if (answer == LIFE_REFUSED)
		return false;
	nt_strand_drain(&ch->strand);
	nt_strand_drain(&ch->post_strand);
	nt_strand_drain(&ch->delivery_strand);
	channel_end_notices(ch);
	return true;
}

bool channel_save_begin(struct channel *ch, struct save *save)
{
	enum life_answer answer;

	channel_lock(ch);
	while ((answer = life_save_begin(&ch->life)) == LIFE_WAIT)
		pthread_cond_wait(&ch->changed, &ch->lock);
	if (answer == LIFE_GO)
		ch->save = save;
	channel_unlock(ch);
	return answer == LIFE_GO;
}

struct save *channel_save_end(struct channel *ch)
{
	struct save *save = NULL;

	channel_lock(ch);
	while (ch->life.held) /* by a SaveContinue of another thread's, which uses it */
		pthread_cond_wait(&ch->changed, &ch->lock);
	if (life_save_end(&ch->life)) {
		save = ch->save;
		ch->save = NULL;
	}
	channel_unlock_kicked(ch);
	return save;
}

bool channel_may_hold(struct channel *ch, const char *function)
{
	if (!channel_holds(ch))
		return true;
	channel_misuse_in_callback(ch, function);
	return false;
}

bool channel_hold(struct channel *ch, bool saving, struct channel_held *held)
{
	enum life_answer answer;

	channel_lock(ch);
	while ((answer = life_hold(&ch->life, saving)) == LIFE_WAIT)
		pthread_cond_wait(&ch->changed, &ch->lock);
	channel_unlock(ch);
	if (answer != LIFE_GO)
		return false;
	*held = (struct channel_held){ ch, held_here };
	held_here = held;
	return true;
}

void channel_unhold(struct channel_held *held)
{
	struct channel *ch = held->channel;

	held_here = held->outer;
	channel_lock(ch);
	life_unhold(&ch->life);
	channel_unlock_kicked(ch);
}

/* ---- the actions: on the strand, without a lock ---- */

static void channel_call(struct channel *ch, void (*callback)(VMBCHANNEL))
{
	if (callback)
		callback(channel_handle(ch));
}

static NTSTATUS channel_call_opened(struct channel *ch)
{
	PFN_VMB_CHANNEL_OPENED opened = ch->config.state.EvtChannelOpened;

	return opened ? opened(channel_handle(ch)) : STATUS_SUCCESS;
}

static enum life_result channel_revoke(struct channel *ch)
{
	host_revoke(ch);
	return LIFE_DONE;
}

static enum life_result channel_opened(struct channel *ch)
{
	counter_add(&ch->statistics.opens, 1);
	outgoing_open(ch);
	return LIFE_DONE;
}

static enum life_result channel_open_server(struct channel *ch)
{
	ch->open_status = host_attach(ch);
	if (!NT_SUCCESS(ch->open_status))
		return LIFE_FAILED;
	ch->open_status = channel_call_opened(ch);
	if (NT_SUCCESS(ch->open_status)) {
		channel_expect_start(ch);
		return channel_opened(ch);
	}
	host_detach(ch);
	return LIFE_FAILED;
}

static enum life_result channel_open_client(struct channel *ch)
{
	bool lost;

	ch->open_status = guest_open_channel(ch);
	lost = ch->open_status == STATUS_DEVICE_REMOVED && guest_lost_offer(ch);
	if (NT_SUCCESS(ch->open_status)) {
		ch->open_status = channel_call_opened(ch);
		if (NT_SUCCESS(ch->open_status))
			return channel_opened(ch);
		guest_close_channel(ch);
	}
	guest_detach(ch);
	if (lost)
		return LIFE_LOST;
	guest_release_channel(ch);
	ch->pnp_failure = ch->config.pnp_failure; /* disabled, it may be set up anew */
	return LIFE_FAILED;
}

static enum life_result channel_open(struct channel *ch)
{
	return ch->server ? channel_open_server(ch) : channel_open_client(ch);
}

static enum life_result channel_answer_open(struct channel *ch)
{
	host_open_done(ch, ch->life.opened ? STATUS_SUCCESS : ch->open_status);
	return LIFE_DONE;
}

static enum life_result channel_refuse_open(struct channel *ch)
{
	host_open_done(ch, STATUS_DEVICE_REMOVED);
	return LIFE_DONE;
}

static enum life_result channel_start(struct channel *ch)
{
	channel_call(ch, ch->config.state.EvtChannelStarted);
	incoming_start(ch);
	return LIFE_DONE;
}

static void channel_post_started(void *context)
{
	struct channel *ch = context;

	channel_call(ch, ch->config.state.EvtChannelPostStarted);
	channel_lock(ch);
	life_post_returned(&ch->life);
	channel_unlock_kicked(ch);
}

static enum life_result channel_post_start(struct channel *ch)
{
	ch->post.routine = channel_post_started;
	ch->post.context = ch;
	nt_strand_queue(&ch->post_strand, &ch->post);
	return LIFE_DONE;
}

/*
 * A client says so to the host and waits until the host has let go of the rings: what the host may
 * still read from them is then no more than what it could when it was told. What is sent after the
 * first time is cancelled the next.
 */
static enum life_result channel_cancel(struct channel *ch)
{
	if (!ch->server && !ch->life.bus_closed) {
		outgoing_stop(ch);
		guest_close_channel(ch);
	}
	outgoing_close(ch, STATUS_CANCELLED);
	return LIFE_DONE;
}

static enum life_result channel_suspend(struct channel *ch)
{
	incoming_stop(ch);
	channel_call(ch, ch->config.state.EvtChannelSuspend);
	return LIFE_DONE;
}

static enum life_result channel_close(struct channel *ch)
{
	channel_cancel(ch);
	channel_call(ch, ch->config.state.EvtChannelClosed);
	if (ch->server) {
		host_detach(ch);
	} else {
		guest_detach(ch);
		guest_release_channel(ch);
	}
	atomic_store(&ch->in.failed, false);
	return LIFE_DONE;
}

static enum life_result channel_answer_close(struct channel *ch)
{
	host_close_done(ch);
	return LIFE_DONE;
}

static enum life_result channel_wait_again(struct channel *ch)
{
	guest_release_channel(ch);
	guest_wait_for_offer(ch);
	return LIFE_DONE;
}

static enum life_result channel_forget(struct channel *ch)
{
	if (ch->server)
		host_forget(ch);
	else if (!guest_stop_waiting(ch))
		guest_release_channel(ch);
	return LIFE_DONE;
}

static enum life_result channel_pnp_failure(struct channel *ch)
{
	if (ch->pnp_failure) /* which may enable the channel again */
		ch->pnp_failure(channel_handle(ch), ch->open_status);
	return LIFE_DONE;
}

static enum life_result channel_end_save(struct channel *ch)
{
	VmbChannelSaveEnd(channel_handle(ch));
	return LIFE_DONE;
}

static enum life_result (*const channel_actions[])(struct channel *ch) = {
	[LIFE_REVOKE] = channel_revoke,
	[LIFE_OPEN] = channel_open,
	[LIFE_ANSWER_OPEN] = channel_answer_open,
	[LIFE_REFUSE_OPEN] = channel_refuse_open,
	[LIFE_START] = channel_start,
	[LIFE_POST_START] = channel_post_start,
	[LIFE_RELEASE_POST] = channel_cancel,
	[LIFE_SUSPEND] = channel_suspend,
	[LIFE_CLOSE] = channel_close,
	[LIFE_ANSWER_CLOSE] = channel_answer_close,
	[LIFE_WAIT_AGAIN] = channel_wait_again,
	[LIFE_FORGET] = channel_forget,
	[LIFE_PNP_FAILURE] = channel_pnp_failure,
	[LIFE_END_SAVE] = channel_end_save,
};

/* Asked under the lock: the completion of the last packet says so under it, or need not. */
static bool channel_owes(const struct channel *ch)
{
	return (atomic_load(&ch->in.owed) & INCOMING_OWED_COUNT) != 0;
}

static void channel_step(void *context)
{
	struct channel *ch = context;
	enum life_action action;
	enum life_result result;

	channel_lock(ch);
	ch->step_queued = false;
	while ((action = life_begin(&ch->life)) != LIFE_NOTHING) {
		channel_unlock(ch);
		result = channel_actions[action](ch);
		channel_lock(ch);
		if (action == LIFE_SUSPEND && channel_owes(ch))
			result = LIFE_PENDING;
		life_end(&ch->life, result);
	}
	pthread_cond_broadcast(&ch->changed);
	channel_unlock(ch);
}
