/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The guest end of the bus: the client machine, the offers it has heard of, and the channels that
 * wait for one or have one. guest->lock serialises all of it and is taken before any channel's
 * lock. Calls that need the host's answer wait for it here, with a limit: the host may never give
 * one.
 */

#include "kmcl/channel.h"
#include "kmcl/interrupts.h"
#include "kmcl/messages.h"
#include "kmcl/monitor.h"

#include <errno.h>
#include <kmcl/options.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GUEST_OPEN_TIMEOUT_MS 5000u
#define GUEST_PATIENCE_MS     1500u /* between complaints, where there is no limit */
#define GUEST_LOST_MAX        64u
#define GUEST_OFFERS_MAX      2047u
#define GUEST_VTL_MAX         2u

/* What the guest shares with the host beside rings and data. An address of 0 would mean "none" to
 * the host, so the first page, which may be the guest's very first, stays unused. */
enum guest_pages {
	GUEST_PAGE_UNUSED,
	GUEST_PAGE_INTERRUPT,
	GUEST_PAGE_MONITOR_TO_GUEST,
	GUEST_PAGE_MONITOR_TO_HOST,
	GUEST_PAGES,
};

enum guest_answer {
	ANSWER_OPENED,
	ANSWER_GPADL_CREATED,
	ANSWER_GPADL_TORNDOWN,
	ANSWER_MODIFIED,
	ANSWER_TL
};

/* Somebody waits for an answer of the host's; lives on that one's stack. */
struct guest_wait {
	struct guest_wait *next;
	enum guest_answer answer;
	uint32_t channel_id;
	uint32_t gpadl;
	struct bus_guid endpoint, service; /* ANSWER_TL */
	bool read_only;                    /* ANSWER_GPADL_CREATED: the host is to be told so */
	bool done;
	uint32_t status; /* 0, or a failure by NT_SUCCESS()'s measure */
};

/* Memory of rings that the host may still have: given up, and kept until it says that it let go, or
 * is gone. */
struct guest_lost {
	struct guest_lost *next;
	uint32_t gpadl;
	void *memory;
	size_t pages;
};

struct guest_offer {
	struct guest_offer *next;
	struct bus_offer offer;
	struct channel *owner;
	bool rescinded;
	bool going;       /* the host has said that it will be */
	bool release_due; /* nobody had it: the host may have it back at once */
	bool gone;        /* the machine has forgotten it with the connection */
};

struct guest {
	struct bus bus;
	bool loopback; /* of this process to itself; its offers are for channels of all buses */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct partition *partition;
	struct client *client;
	struct account account;
	struct nt_log_account log;
	struct client_contact contact;
	bool host_there;
	bool contact_answered;
	uint32_t noticed; /* the GPADL of which the host was last told that it is read-only */
	struct bus_gpa_range
		*half_said; /* of a GPADL that nobody waits for: see guest_end_ranges() */
	bool offers_known;
	uint32_t version;
	uint32_t features;
	struct guest_offer *offers;
	uint32_t offer_count;
	bool releases_due;
	struct channel *waiting;  /* for an offer; through ch->next */
	struct channel *channels; /* that have one; likewise. Changed under channels_lock too */
	pthread_mutex_t channels_lock;
	struct guest_wait *waits, **last_wait;
	struct guest_lost *lost;
	uint32_t lost_count;
	uint8_t *pages;
	struct interrupts *interrupts; /* hosts before 2.4 */
};

uint32_t guest_answer_timeout_ms = 10000;

static void *guest_shared(struct guest *guest, enum guest_pages page)
{
	return guest->pages + page * WIRE_PAGE_SIZE;
}

static struct monitor_page *guest_monitor(struct guest *guest)
{
	return guest_shared(guest, GUEST_PAGE_MONITOR_TO_HOST);
}

struct nt_log_account *guest_log_account(struct guest *guest)
{
	return &guest->log;
}

struct account *guest_account(struct guest *guest)
{
	return &guest->account;
}

/* ---- entering and leaving ---- */

static void guest_enter(struct guest *guest)
{
	pthread_mutex_lock(&guest->lock);
}

static void guest_free_offer(struct guest *guest, struct guest_offer *offer)
{
	struct guest_offer **p = &guest->offers;

	while (*p && *p != offer)
		p = &(*p)->next;
	if (*p) {
		*p = offer->next;
		guest->offer_count--;
	}
	free(offer);
}

/* Offers that were rescinded while nobody had them; the machine could not be told right away. */
static void guest_release_due(struct guest *guest)
{
	struct guest_offer *next;

	if (!guest->releases_due)
		return;
	guest->releases_due = false;
	for (struct guest_offer *offer = guest->offers; offer; offer = next) {
		next = offer->next;
		if (!offer->release_due)
			continue;
		if (!offer->gone)
			client_release(guest->client, offer->offer.channel_id);
		guest_free_offer(guest, offer);
	}
}

static void guest_leave(struct guest *guest)
{
	guest_release_due(guest);
	pthread_mutex_unlock(&guest->lock);
}

/* ---- offers and those who wait for them ---- */

static bool guest_matches(const struct channel *ch, const struct bus_offer *offer)
{
	const struct channel_config *config = &ch->config;

	return memcmp(&config->type, offer->type.bytes, sizeof(GUID)) == 0 &&
	       (config->any_instance ||
	        memcmp(&config->instance, offer->instance.bytes, sizeof(GUID)) == 0) &&
	       config->subchannel == offer->subchannel_index;
}

static void guest_channels_add(struct guest *guest, struct channel *ch)
{
	pthread_mutex_lock(&guest->channels_lock);
	ch->next = guest->channels;
	guest->channels = ch;
	pthread_mutex_unlock(&guest->channels_lock);
}

static bool guest_list_remove(struct channel **p, struct channel *ch)
{
	while (*p && *p != ch)
		p = &(*p)->next;
	if (!*p)
		return false;
	*p = ch->next;
	return true;
}

static void guest_channels_remove(struct guest *guest, struct channel *ch)
{
	pthread_mutex_lock(&guest->channels_lock);
	guest_list_remove(&guest->channels, ch);
	pthread_mutex_unlock(&guest->channels_lock);
}

static void guest_give(struct guest *guest, struct guest_offer *offer, struct channel *ch)
{
	offer->owner = ch;
	ch->guest_offer = offer;
	pthread_mutex_lock(&ch->lock);
	ch->bus_offer = offer->offer;
	pthread_mutex_unlock(&ch->lock);
	guest_channels_add(guest, ch);
	channel_on_offer(ch);
}

/* One that is being taken back helps nobody who waits for one. */
static bool guest_offer_is_free(const struct guest_offer *offer)
{
	return !offer->owner && !offer->rescinded && !offer->going;
}

static void guest_match_offer(struct guest *guest, struct guest_offer *offer)
{
	if (!guest_offer_is_free(offer))
		return;
	for (struct channel **p = &guest->waiting; *p; p = &(*p)->next) {
		struct channel *ch = *p;

		if (!guest_matches(ch, &offer->offer))
			continue;
		*p = ch->next;
		guest_give(guest, offer, ch);
		return;
	}
}

/* Serialises those who begin and end to wait, on whatever bus; taken before any guest's lock. */
static pthread_mutex_t waiting_lock = PTHREAD_MUTEX_INITIALIZER;

/* Without an offer of the process's own it stays the same, and is not written. */
static void guest_set(struct channel *ch, struct guest *guest)
{
	if (ch->guest != guest)
		ch->guest = guest;
}

static bool guest_take_offer(struct guest *guest, struct channel *ch)
{
	struct guest_offer *offer;

	guest_enter(guest);
	for (offer = guest->offers; offer; offer = offer->next)
		if (guest_offer_is_free(offer) && guest_matches(ch, &offer->offer))
			break;
	if (offer) {
		guest_set(ch, guest);
		guest_give(guest, offer, ch);
	}
	guest_leave(guest);
	return offer != NULL;
}

/* An offer of the channel's own bus, or of this process itself; or it waits at its bus. */
static void guest_wait_locked(struct channel *ch)
{
	struct guest *loopback = loopback_guest(), *bus = ch->bus;

	if (loopback && guest_take_offer(loopback, ch))
		return;
	if (guest_take_offer(bus, ch))
		return;
	guest_set(ch, bus);
	guest_enter(bus);
	ch->next = bus->waiting;
	bus->waiting = ch;
	for (struct guest_offer *offer = bus->offers; offer; offer = offer->next)
		guest_match_offer(bus, offer); /* that came in between */
	guest_leave(bus);
}

NTSTATUS guest_wait_for_offer(struct channel *ch)
{
	pthread_mutex_lock(&waiting_lock);
	guest_wait_locked(ch);
	pthread_mutex_unlock(&waiting_lock);
	return STATUS_SUCCESS;
}

struct channel *guest_take_waiting(struct guest *guest, struct channel *list)
{
	struct channel *ch;

	guest_enter(guest);
	while ((ch = guest->waiting) != NULL) {
		guest->waiting = ch->next;
		ch->next = list;
		list = ch;
	}
	guest_leave(guest);
	return list;
}

/* The process has something to offer itself: all who wait look again. Without a guest's lock. */
static void guest_look_again(void)
{
	struct channel *next;

	pthread_mutex_lock(&waiting_lock);
	for (struct channel *ch = buses_take_waiting(); ch; ch = next) {
		next = ch->next;
		guest_wait_locked(ch);
	}
	pthread_mutex_unlock(&waiting_lock);
}

bool guest_stop_waiting(struct channel *ch)
{
	bool waiting;

	pthread_mutex_lock(&waiting_lock);
	guest_enter(ch->bus);
	waiting = guest_list_remove(&ch->bus->waiting, ch);
	guest_leave(ch->bus);
	pthread_mutex_unlock(&waiting_lock);
	return waiting;
}

void guest_release_channel(struct channel *ch)
{
	struct guest *guest = ch->guest;
	struct guest_offer *offer;

	guest_enter(guest);
	offer = ch->guest_offer;
	if (offer) {
		guest_channels_remove(guest, ch);
		ch->guest_offer = NULL;
		offer->owner = NULL;
		if (offer->rescinded) {
			offer->release_due = true;
			guest->releases_due = true;
		} else {
			guest_match_offer(guest, offer);
		}
	}
	guest_leave(guest);
	if (guest->loopback)
		guest_look_again();
}

/* ---- what the machine says ---- */

static void *guest_allocate(void *context, size_t size)
{
	return calloc(1, size);
}

static void guest_free(void *context, void *memory, size_t size)
{
	free(memory);
}

/* False: there is no room for it now. What fails otherwise is lost with the host. */
static bool guest_post(struct guest *guest, const void *message, size_t size,
                       uint32_t connection_id)
{
	struct partition_address to = { .id = connection_id };

	return partition_post(guest->partition, to, message, size) != -EAGAIN;
}

/* Its header is said only while somebody waits for it. */
static bool guest_is_read_only(const struct guest *guest, uint32_t gpadl)
{
	const struct guest_wait *wait = guest->waits;

	while (wait && (wait->answer != ANSWER_GPADL_CREATED || wait->gpadl != gpadl))
		wait = wait->next;
	return wait && wait->read_only;
}

/* Once, also where the header itself has to wait. */
static bool guest_send_read_only(struct guest *guest, const struct wire_gpadl_header *header)
{
	struct message_read_only notice = { header->channel_id, header->gpadl };

	if (guest->noticed == header->gpadl || !guest_is_read_only(guest, header->gpadl))
		return true;
	if (!guest_post(guest, &notice, sizeof(notice), MESSAGES_KMCL_CONNECTION))
		return false;
	guest->noticed = header->gpadl;
	return true;
}

static bool guest_send(void *context, const void *message, size_t size, uint32_t connection_id)
{
	struct guest *guest = context;
	const struct wire_message_header *header = message;

	if (header->type == WIRE_GPADL_HEADER && !guest_send_read_only(guest, message))
		return false;
	return guest_post(guest, message, size, connection_id);
}

static void guest_raised_channel(void *context, uint32_t channel_id)
{
	struct guest *guest = context;

	pthread_mutex_lock(&guest->channels_lock);
	for (struct channel *ch = guest->channels; ch; ch = ch->next)
		if (ch->bus_offer.channel_id == channel_id)
			dispatcher_kick(ch);
	pthread_mutex_unlock(&guest->channels_lock);
}

static void guest_connected(void *context, uint32_t version, uint32_t features)
{
	struct guest *guest = context;
	struct interrupt_page *page = guest_shared(guest, GUEST_PAGE_INTERRUPT);

	guest->contact_answered = true;
	guest->version = version;
	guest->features = features;
	if (version && client_hears_shared_interrupt(guest->client) && !guest->interrupts)
		guest->interrupts = interrupts_open(guest->partition, 0, page->to_guest,
		                                    guest_raised_channel, guest);
	pthread_cond_broadcast(&guest->changed);
}

static void guest_offer(void *context, const struct bus_offer *bus_offer, void **owner)
{
	struct guest *guest = context;
	struct guest_offer *offer;

	if (guest->offer_count >= GUEST_OFFERS_MAX)
		return;
	offer = calloc(1, sizeof(*offer));
	if (!offer) {
		nt_log_limited(&guest->log, NT_LOG_MESSAGES, NT_LOG_ERROR, "bus",
		               "no memory for an offer");
		return;
	}
	offer->offer = *bus_offer;
	offer->next = guest->offers;
	guest->offers = offer;
	guest->offer_count++;
	*owner = offer;
	guest_match_offer(guest, offer);
}

static void guest_offers_delivered(void *context)
{
	struct guest *guest = context;

	guest->offers_known = true;
	pthread_cond_broadcast(&guest->changed);
}

static void guest_rescind(void *context, void *owner, uint32_t channel_id)
{
	struct guest *guest = context;
	struct guest_offer *offer = owner;

	if (!offer) /* there was no room for it */
		return;
	offer->rescinded = true;
	if (offer->owner) {
		channel_on_close(offer->owner);
	} else {
		offer->release_due = true;
		guest->releases_due = true;
	}
	pthread_cond_broadcast(&guest->changed);
}

/* Whether `answer` is what that one waits for. */
static bool guest_answers(const struct guest_wait *answer, const struct guest_wait *wait)
{
	return !wait->done && wait->answer == answer->answer &&
	       wait->channel_id == answer->channel_id && wait->gpadl == answer->gpadl &&
	       !memcmp(&wait->endpoint, &answer->endpoint, sizeof(wait->endpoint)) &&
	       !memcmp(&wait->service, &answer->service, sizeof(wait->service));
}

/* The one who has waited longest has it. */
static bool guest_answer(struct guest *guest, const struct guest_wait *answer)
{
	for (struct guest_wait *wait = guest->waits; wait; wait = wait->next) {
		if (!guest_answers(answer, wait))
			continue;
		wait->done = true;
		wait->status = answer->status;
		pthread_cond_broadcast(&guest->changed);
		return true;
	}
	return false;
}

static void guest_opened(void *context, void *owner, uint32_t channel_id, uint32_t open_id,
                         uint32_t status)
{
	guest_answer(context, &(struct guest_wait){ .answer = ANSWER_OPENED,
	                                            .channel_id = channel_id,
	                                            .status = status });
}

static void guest_gpadl_created(void *context, void *owner, uint32_t channel_id, uint32_t gpadl,
                                uint32_t status)
{
	guest_answer(context, &(struct guest_wait){ .answer = ANSWER_GPADL_CREATED,
	                                            .channel_id = channel_id,
	                                            .gpadl = gpadl,
	                                            .status = status });
}

/* The host has let go of it after all. */
static void guest_found(struct guest *guest, uint32_t gpadl)
{
	struct guest_lost **p = &guest->lost, *lost;

	while (*p && (*p)->gpadl != gpadl)
		p = &(*p)->next;
	lost = *p;
	if (!lost)
		return;
	*p = lost->next;
	guest->lost_count--;
	if (lost->memory)
		nt_pages_free(lost->memory, lost->pages);
	free(lost);
}

static void guest_gpadl_torndown(void *context, void *owner, uint32_t channel_id, uint32_t gpadl)
{
	if (!guest_answer(context, &(struct guest_wait){ .answer = ANSWER_GPADL_TORNDOWN,
	                                                 .channel_id = channel_id,
	                                                 .gpadl = gpadl }))
		guest_found(context, gpadl);
}

static void guest_modified(void *context, void *owner, uint32_t channel_id, uint32_t status)
{
	guest_answer(context, &(struct guest_wait){ .answer = ANSWER_MODIFIED,
	                                            .channel_id = channel_id,
	                                            .status = status });
}

static void guest_tl_result(void *context, const struct bus_guid *endpoint,
                            const struct bus_guid *service, uint32_t status)
{
	static const struct bus_fault unasked = {
		.message = "TL_CONNECT_RESULT", .what = "nobody waits for that endpoint and service"
	};
	struct guest *guest = context;

	if (!guest_answer(guest, &(struct guest_wait){ .answer = ANSWER_TL,
	                                               .endpoint = *endpoint,
	                                               .service = *service,
	                                               .status = status }))
		bus_log_fault(&guest->log, "host", &unasked);
}

/* A host that is gone answers none of them. */
static void guest_end_tl_waits(struct guest *guest)
{
	for (struct guest_wait *wait = guest->waits; wait; wait = wait->next) {
		if (wait->answer != ANSWER_TL || wait->done)
			continue;
		wait->done = true;
		wait->status = BUS_STATUS_UNSUCCESSFUL;
	}
}

static void guest_unloaded(void *context)
{
	struct guest *guest = context;

	guest->version = 0;
	pthread_cond_broadcast(&guest->changed);
}

static void guest_fault(void *context, const struct bus_fault *fault)
{
	struct guest *guest = context;

	bus_log_fault(&guest->log, "host", fault);
}

static const struct client_ops guest_ops = {
	.memory = { guest_allocate, guest_free },
	.send = guest_send,
	.connected = guest_connected,
	.offer = guest_offer,
	.offers_delivered = guest_offers_delivered,
	.rescind = guest_rescind,
	.opened = guest_opened,
	.gpadl_created = guest_gpadl_created,
	.gpadl_torndown = guest_gpadl_torndown,
	.modified = guest_modified,
	.tl_result = guest_tl_result,
	.unloaded = guest_unloaded,
	.fault = guest_fault,
};

/* ---- what comes from the partition ---- */

static void guest_on_message(void *context, uint32_t id, const void *payload, size_t size)
{
	struct guest *guest = context;

	guest_enter(guest);
	client_message(guest->client, payload, size);
	guest_leave(guest);
	if (guest->loopback)
		guest_look_again();
}

static void guest_on_writable(void *context)
{
	struct guest *guest = context;

	guest_enter(guest);
	client_resume(guest->client);
	guest_leave(guest);
}

static void guest_lost_host(struct guest *guest)
{
	client_reset(guest->client);
	guest->noticed = 0;
	guest->host_there = false;
	guest->contact_answered = false; /* which the machine said in its place */
	for (struct guest_offer *offer = guest->offers; offer; offer = offer->next)
		offer->gone = true;
	guest_end_tl_waits(guest);
	guest->version = 0;
	guest->offers_known = false;
	pthread_cond_broadcast(&guest->changed);
}

static uint64_t guest_shared_gpa(struct guest *guest, enum guest_pages page)
{
	return partition_gpn(guest->partition, guest_shared(guest, page)) * WIRE_PAGE_SIZE;
}

static void guest_make_contact(struct guest *guest)
{
	struct client_contact *contact = &guest->contact;

	guest->host_there = true;
	guest->contact_answered = false;
	memset(guest->pages, 0, GUEST_PAGES * WIRE_PAGE_SIZE);
	contact->interrupt_page = guest_shared_gpa(guest, GUEST_PAGE_INTERRUPT);
	contact->monitor_pages[0] = guest_shared_gpa(guest, GUEST_PAGE_MONITOR_TO_GUEST);
	contact->monitor_pages[1] = guest_shared_gpa(guest, GUEST_PAGE_MONITOR_TO_HOST);
	client_connect(guest->client, contact);
}

static void guest_on_presence(void *context, enum partition_presence what)
{
	struct guest *guest = context;

	guest_enter(guest);
	if (what == PARTITION_GONE) {
		guest_lost_host(guest);
	} else {
		guest_make_contact(guest);
	}
	guest_leave(guest);
}

static void guest_on_log(void *context, int level, const char *text)
{
	struct guest *guest = context;

	bus_log(&guest->log, level, text);
}

/* ---- waiting for answers; guest->lock is held ---- */

static struct timespec guest_deadline(uint32_t ms)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += ms / 1000;
	ts.tv_nsec += (long)(ms % 1000) * 1000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	return ts;
}

static void guest_wait_add(struct guest *guest, struct guest_wait *wait)
{
	wait->next = NULL;
	*guest->last_wait = wait;
	guest->last_wait = &wait->next;
}

static void guest_wait_remove(struct guest *guest, struct guest_wait *wait)
{
	struct guest_wait **p = &guest->waits;

	while (*p != wait)
		p = &(*p)->next;
	*p = wait->next;
	if (!*p)
		guest->last_wait = p;
	if (wait->answer == ANSWER_MODIFIED) /* the next one's turn */
		pthread_cond_broadcast(&guest->changed);
}

static bool guest_wait_some(struct guest *guest, const struct guest_wait *wait, uint32_t ms)
{
	struct timespec deadline = guest_deadline(ms);
	int rc = 0;

	while (!wait->done && rc == 0)
		rc = pthread_cond_timedwait(&guest->changed, &guest->lock, &deadline);
	return wait->done;
}

/* The wait is on the list since before the request was made. STATUS_IO_TIMEOUT: no answer came, and
 * nothing else is that: a host that says so has answered. */
static NTSTATUS guest_wait_for(struct guest *guest, struct guest_wait *wait)
{
	guest_wait_some(guest, wait, guest_answer_timeout_ms);
	guest_wait_remove(guest, wait);
	if (!wait->done)
		return STATUS_IO_TIMEOUT;
	return wait->status == (uint32_t)STATUS_IO_TIMEOUT ? STATUS_UNSUCCESSFUL
	                                                   : (NTSTATUS)wait->status;
}

/* What the machine answers in the place of a host that is gone, or took its offer back, says so. */
static NTSTATUS guest_answer_status(const struct channel *ch, NTSTATUS status)
{
	struct guest_offer *offer = ch->guest_offer;

	if (status == STATUS_DEVICE_REMOVED && offer)
		offer->going = true;
	if (status == (NTSTATUS)BUS_STATUS_UNSUCCESSFUL &&
	    (!offer || offer->rescinded || offer->gone))
		return STATUS_DEVICE_REMOVED;
	return status;
}

/* A host that does not read may be told of them when their owner has long gone. */
static struct bus_gpa_range *guest_copy_ranges(const struct bus_gpa_range *ranges, uint32_t count)
{
	struct bus_gpa_range *copy;
	size_t pages = 0;
	uint64_t *pfns;

	for (uint32_t i = 0; i < count; i++)
		pages += wire_pages_spanned(ranges[i].byte_offset, ranges[i].byte_count);
	copy = malloc(count * sizeof(*copy) + pages * sizeof(*pfns));
	if (!copy)
		return NULL;
	pfns = (uint64_t *)(copy + count);
	for (uint32_t i = 0; i < count; i++) {
		pages = wire_pages_spanned(ranges[i].byte_offset, ranges[i].byte_count);
		copy[i] = ranges[i];
		copy[i].pfns = memcpy(pfns, ranges[i].pfns, pages * sizeof(*pfns));
		pfns += pages;
	}
	return copy;
}

/* Nobody waits for that GPADL any more. At most one is half said, as the next one is not begun
 * before: then the last one of which that was true is not any more. */
static void guest_end_ranges(struct guest *guest, uint32_t gpadl, struct bus_gpa_range *copy)
{
	if (client_gpadl_is_said(guest->client, gpadl)) {
		free(copy);
		return;
	}
	free(guest->half_said);
	guest->half_said = copy;
}

/* Under the lock. STATUS_IO_TIMEOUT: the host may create it yet; give_up() has seen to that. */
static NTSTATUS guest_ask_gpadl(struct channel *ch, const struct bus_gpa_range *ranges,
                                uint32_t count, bool read_only, uint32_t *gpadl,
                                void (*give_up)(struct channel *ch, uint32_t gpadl))
{
	struct guest *guest = ch->guest;
	struct guest_wait wait = { .answer = ANSWER_GPADL_CREATED,
		                   .channel_id = ch->bus_offer.channel_id,
		                   .read_only = read_only };
	struct bus_gpa_range *copy = guest_copy_ranges(ranges, count);
	NTSTATUS status;

	if (!copy)
		return STATUS_INSUFFICIENT_RESOURCES;
	guest_wait_add(guest, &wait);
	if (client_gpadl_create(guest->client, wait.channel_id, copy, count, &wait.gpadl) != 0) {
		guest_wait_remove(guest, &wait);
		free(copy);
		return STATUS_DEVICE_REMOVED;
	}
	*gpadl = wait.gpadl;
	status = guest_answer_status(ch, guest_wait_for(guest, &wait));
	if (status == STATUS_IO_TIMEOUT)
		give_up(ch, wait.gpadl);
	guest_end_ranges(guest, wait.gpadl, copy);
	return status;
}

static void guest_give_up_gpadl(struct channel *ch, uint32_t gpadl)
{
	client_gpadl_teardown(ch->guest->client, ch->bus_offer.channel_id, gpadl);
}

NTSTATUS guest_gpadl_create(struct channel *ch, const struct bus_gpa_range *ranges, uint32_t count,
                            bool read_only, uint32_t *gpadl)
{
	NTSTATUS status;

	guest_enter(ch->guest);
	status = guest_ask_gpadl(ch, ranges, count, read_only, gpadl, guest_give_up_gpadl);
	guest_leave(ch->guest);
	return status;
}

/* Under the lock. */
static NTSTATUS guest_tear_down(struct channel *ch, uint32_t gpadl, bool patient)
{
	struct guest *guest = ch->guest;
	struct guest_wait wait = { .answer = ANSWER_GPADL_TORNDOWN,
		                   .channel_id = ch->bus_offer.channel_id,
		                   .gpadl = gpadl };

	guest_wait_add(guest, &wait);
	if (client_gpadl_teardown(guest->client, wait.channel_id, gpadl) != 0) {
		/* The connection is gone, and the host's hold on the memory with it. */
		guest_wait_remove(guest, &wait);
		return STATUS_SUCCESS;
	}
	while (patient && !guest_wait_some(guest, &wait, GUEST_PATIENCE_MS))
		nt_log_limited(&guest->log, NT_LOG_MESSAGES, NT_LOG_WARNING, channel_name(ch),
		               "the host has GPADL %#x still mapped", gpadl);
	return guest_wait_for(guest, &wait);
}

NTSTATUS guest_gpadl_teardown(struct channel *ch, uint32_t gpadl, bool patient)
{
	NTSTATUS status;

	guest_enter(ch->guest);
	status = guest_tear_down(ch, gpadl, patient);
	guest_leave(ch->guest);
	return status;
}

/* ---- opening and closing a channel ---- */

uint64_t guest_page(struct channel *ch, const void *address)
{
	return partition_gpn(ch->guest->partition, address);
}

/*
 * The library can do without the memory of two rings. From here on it is not used again before the
 * host says that it has let go, or is gone: then the entry goes. Under the lock.
 */
static void guest_lose_rings(struct channel *ch)
{
	struct guest *guest = ch->guest;
	struct guest_lost *lost = calloc(1, sizeof(*lost));

	nt_log_limited(
		&ch->guest->log, NT_LOG_MESSAGES, NT_LOG_ERROR, channel_name(ch),
		"the host does not let go of the rings: their memory is not used until it does");
	ch->rings.shared = false;
	if (!lost) {
		ch->rings.memory = NULL;
		return;
	}
	lost->gpadl = ch->rings.gpadl;
	lost->next = guest->lost;
	guest->lost = lost;
	guest->lost_count++;
}

/* The channel lets go of its rings; those lost are kept. */
static void guest_keep_lost(struct channel *ch)
{
	struct channel_rings *rings = &ch->rings;
	struct guest_lost *lost;

	guest_enter(ch->guest);
	for (lost = ch->guest->lost; lost && (lost->memory || lost->gpadl != rings->gpadl);)
		lost = lost->next;
	if (lost) {
		lost->memory = rings->memory;
		lost->pages = rings->memory_pages;
		rings->memory = NULL;
	}
	guest_leave(ch->guest);
}

/* The host has not answered, and may yet. It is told to let go once it does; nobody waits. Under
 * the lock. */
static void guest_abandon_rings(struct channel *ch, uint32_t gpadl)
{
	struct guest *guest = ch->guest;

	guest_lose_rings(ch);
	client_close(guest->client, ch->bus_offer.channel_id);
	if (client_gpadl_teardown(guest->client, ch->bus_offer.channel_id, gpadl) != 0)
		guest_found(guest, gpadl);
}

static NTSTATUS guest_ask_rings(struct channel *ch, const struct bus_gpa_range *range)
{
	NTSTATUS status = STATUS_INSUFFICIENT_RESOURCES;

	guest_enter(ch->guest);
	if (ch->guest->lost_count < GUEST_LOST_MAX)
		status =
			guest_ask_gpadl(ch, range, 1, false, &ch->rings.gpadl, guest_abandon_rings);
	else
		nt_log_limited(
			&ch->guest->log, NT_LOG_MESSAGES, NT_LOG_ERROR, channel_name(ch),
			"the host has the rings of %u openings still: none more is asked for",
			GUEST_LOST_MAX);
	ch->rings.shared = NT_SUCCESS(status);
	guest_leave(ch->guest);
	return status;
}

static NTSTATUS guest_share_rings(struct channel *ch)
{
	struct channel_rings *rings = &ch->rings;
	struct bus_gpa_range range = { .byte_count =
		                               (uint32_t)rings->memory_pages * WIRE_PAGE_SIZE };
	uint64_t *gpns = calloc(rings->memory_pages, sizeof(*gpns));
	NTSTATUS status;

	if (!gpns)
		return STATUS_INSUFFICIENT_RESOURCES;
	for (size_t i = 0; i < rings->memory_pages; i++)
		gpns[i] = guest_page(ch, (uint8_t *)rings->memory + i * WIRE_PAGE_SIZE);
	range.pfns = gpns;
	rings->out_gpn = gpns[0];
	rings->in_gpn = gpns[rings->out_pages];
	status = guest_ask_rings(ch, &range);
	free(gpns);
	return status;
}

/* The driver's own memory it must not give back while a host that was only slow may come to a
 * packet that says to write there. */
static void guest_unshare_rings(struct channel *ch)
{
	bool patient;

	if (!ch->rings.shared)
		return;
	patient = packet_external_in_flight(ch);
	guest_enter(ch->guest);
	if (guest_tear_down(ch, ch->rings.gpadl, patient) == STATUS_IO_TIMEOUT)
		guest_lose_rings(ch);
	ch->rings.shared = false;
	guest_leave(ch->guest);
}

static NTSTATUS guest_listen(struct channel *ch)
{
	struct guest *guest = ch->guest;
	struct partition_address to = { .id = ch->bus_offer.connection_id };
	struct interrupt_page *page = guest_shared(guest, GUEST_PAGE_INTERRUPT);
	struct monitor_page *monitor = guest_monitor(guest);
	uint8_t monitor_id = ch->bus_offer.monitor_id;
	bool shared, hears;

	guest_enter(guest);
	shared = client_uses_shared_interrupt(guest->client, &ch->bus_offer);
	hears = client_hears_shared_interrupt(guest->client);
	guest_leave(guest);
	if (!hears && partition_listen(guest->partition, ch->bus_offer.channel_id, &ch->port) != 0)
		return STATUS_INSUFFICIENT_RESOURCES;
	if (partition_connect(guest->partition, to, &ch->out.link) != 0)
		return STATUS_INSUFFICIENT_RESOURCES;
	if (shared)
		ch->out.interrupt_bits = page->to_host;
	if (ch->bus_offer.monitor_allocated)
		ch->out.monitor_pending = &monitor->trigger[monitor_id / 32 % 4].pending;
	return dispatcher_attach(ch);
}

static NTSTATUS guest_open_and_wait(struct channel *ch)
{
	struct guest *guest = ch->guest;
	struct guest_wait wait = { .answer = ANSWER_OPENED,
		                   .channel_id = ch->bus_offer.channel_id };
	struct client_open open = { .ring_gpadl = ch->rings.gpadl,
		                    .ring_offset = (uint32_t)ch->rings.out_pages,
		                    .target_vp = ch->config.target_vp };
	NTSTATUS status = STATUS_DEVICE_REMOVED;

	memcpy(open.user_data, ch->config.open_data, sizeof(open.user_data));
	guest_enter(guest);
	guest_wait_add(guest, &wait);
	if (client_open(guest->client, wait.channel_id, &open) == 0)
		status = guest_answer_status(ch, guest_wait_for(guest, &wait));
	else
		guest_wait_remove(guest, &wait);
	if (status ==
	    STATUS_IO_TIMEOUT) /* it may still open: it is told then that we do not want it */
		guest_abandon_rings(ch, ch->rings.gpadl);
	guest_leave(guest);
	return status;
}

bool guest_lost_offer(struct channel *ch)
{
	struct guest_offer *offer;
	bool lost;

	guest_enter(ch->guest);
	offer = ch->guest_offer;
	lost = !offer || offer->rescinded || offer->going || offer->gone;
	guest_leave(ch->guest);
	return lost;
}

NTSTATUS guest_open_channel(struct channel *ch)
{
	NTSTATUS status = rings_create(ch);

	if (NT_SUCCESS(status))
		status = guest_share_rings(ch);
	if (NT_SUCCESS(status))
		status = guest_listen(ch);
	if (NT_SUCCESS(status))
		status = guest_open_and_wait(ch);
	if (!NT_SUCCESS(status))
		guest_unshare_rings(ch);
	return status;
}

void guest_close_channel(struct channel *ch)
{
	guest_enter(ch->guest);
	client_close(ch->guest->client, ch->bus_offer.channel_id);
	guest_leave(ch->guest);
	guest_unshare_rings(ch);
}

void guest_detach(struct channel *ch)
{
	struct partition_link *link;

	dispatcher_detach(ch);
	spin_lock(&ch->out.lock);
	link = ch->out.link;
	ch->out.link = NULL;
	ch->out.interrupt_bits = NULL;
	ch->out.monitor_pending = NULL;
	spin_unlock(&ch->out.lock);
	outgoing_wait_left(ch);
	if (link)
		partition_disconnect(link);
	if (ch->port)
		partition_unlisten(ch->port);
	ch->port = NULL;
	guest_keep_lost(ch);
	rings_destroy(ch);
}

/* ---- becoming the guest ---- */

static void guest_destroy(struct guest *guest)
{
	if (guest->partition)
		partition_close(guest->partition);
	interrupts_close(guest->interrupts);
	if (guest->client)
		client_destroy(guest->client);
	free(guest->half_said);
	while (guest->offers)
		guest_free_offer(guest, guest->offers);
	while (guest->lost)
		guest_found(guest, guest->lost->gpadl);
	if (guest->pages)
		nt_pages_free(guest->pages, GUEST_PAGES);
	pthread_cond_destroy(&guest->changed);
	pthread_mutex_destroy(&guest->channels_lock);
	pthread_mutex_destroy(&guest->lock);
	free(guest);
}

static struct guest *guest_create(void)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	pthread_condattr_t monotonic;

	if (!guest)
		return NULL;
	guest->bus.guest = guest;
	guest->bus.device.Type = IO_TYPE_DEVICE;
	guest->bus.device.StackSize = 1;
	guest->last_wait = &guest->waits;
	pthread_mutex_init(&guest->lock, NULL);
	pthread_mutex_init(&guest->channels_lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&guest->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	guest->pages = nt_pages_allocate(GUEST_PAGES);
	if (client_create(&guest_ops, guest, &guest->client) == BUS_OK && guest->pages)
		return guest;
	guest_destroy(guest);
	return NULL;
}

static void guest_fill_contact(struct guest *guest, const struct kmcl_guest_options *options)
{
	struct client_contact *contact = &guest->contact;

	contact->version_max =
		options && options->version_max ? options->version_max : WIRE_VERSION_6_0;
	contact->message_sint = WIRE_SINT_DEFAULT;
	contact->vtl = options ? options->vtl : 0;
}

static NTSTATUS guest_open_partition(struct guest *guest, const char *uri, uint32_t patience_ms)
{
	const struct nt_ram *ram = nt_ram();
	struct partition_settings settings = {
		.end = PARTITION_GUEST,
		.upcalls = { .message = guest_on_message,
		             .writable = guest_on_writable,
		             .presence = guest_on_presence,
		             .log = guest_on_log },
		.context = guest,
		.patience_ms = patience_ms,
	};
	char why[256] = "";
	int rc;

	if (!ram)
		return STATUS_INSUFFICIENT_RESOURCES;
	settings.ram = (struct partition_ram){ ram->fd, ram->base, ram->size };
	rc = partition_open(uri, &settings, &guest->partition, why, sizeof(why));
	if (rc == 0)
		return STATUS_SUCCESS;
	guest->partition = NULL;
	nt_log(NT_LOG_ERROR, uri, "cannot become the guest: %s", why);
	return bus_status(rc);
}

static NTSTATUS guest_wait_connected(struct guest *guest, const struct timespec *deadline)
{
	NTSTATUS status = STATUS_SUCCESS;
	int rc = 0;

	guest_enter(guest);
	while (!guest->offers_known && !(guest->contact_answered && !guest->version) && rc == 0)
		rc = pthread_cond_timedwait(&guest->changed, &guest->lock, deadline);
	if (guest->contact_answered && !guest->version)
		status = STATUS_CONNECTION_REFUSED;
	else if (!guest->host_there) /* it hung up, and no other came */
		status = STATUS_OBJECT_NAME_NOT_FOUND;
	else if (!guest->offers_known)
		status = STATUS_IO_TIMEOUT;
	guest_leave(guest);
	return status;
}

static bool guest_options_good(const struct kmcl_guest_options *options)
{
	uint32_t version = WIRE_VERSION_6_0;

	if (options->version_max)
		version = options->version_max;
	if (options->vtl > GUEST_VTL_MAX || (options->vtl && version < WIRE_VERSION_5_1))
		return false;
	return wire_version_known(version);
}

static NTSTATUS guest_open(const char *partition, const struct kmcl_guest_options *options,
                           uint32_t timeout_ms, bool of_itself, struct guest **opened)
{
	struct timespec deadline = guest_deadline(timeout_ms);
	struct guest *guest = guest_create();
	NTSTATUS status;

	if (!guest)
		return STATUS_INSUFFICIENT_RESOURCES;
	guest->loopback = of_itself;
	guest_fill_contact(guest, options);
	status = guest_open_partition(guest, partition, timeout_ms);
	if (NT_SUCCESS(status))
		status = guest_wait_connected(guest, &deadline);
	if (!NT_SUCCESS(status)) {
		guest_destroy(guest);
		return status;
	}
	*opened = guest;
	return STATUS_SUCCESS;
}

NTSTATUS guest_open_loopback(const char *partition, struct guest **guest)
{
	return guest_open(partition, NULL, GUEST_OPEN_TIMEOUT_MS, true, guest);
}

NTSTATUS kmcl_guest_open_ex(const char *partition, const struct kmcl_guest_options *options,
                            PDEVICE_OBJECT *bus)
{
	struct kmcl_guest_options own;
	struct guest *guest;
	NTSTATUS status;

	if (!partition)
		return STATUS_INVALID_PARAMETER_1;
	if (kmcl_options_take(&own, sizeof(own), options) || !guest_options_good(&own))
		return STATUS_INVALID_PARAMETER_2;
	if (!own.timeout_ms)
		own.timeout_ms = GUEST_OPEN_TIMEOUT_MS;
	if (!bus)
		return STATUS_INVALID_PARAMETER_3;
	if (!nt_irql_at_most(PASSIVE_LEVEL, "kmcl_guest_open", partition))
		return STATUS_INVALID_DEVICE_STATE;
	if (!bus_prepare(partition))
		return STATUS_INSUFFICIENT_RESOURCES;
	status = guest_open(partition, &own, own.timeout_ms, false, &guest);
	if (!NT_SUCCESS(status))
		return status;
	buses_add(&guest->bus);
	*bus = &guest->bus.device;
	return STATUS_SUCCESS;
}

NTSTATUS kmcl_guest_open(const char *partition, PDEVICE_OBJECT *bus)
{
	return kmcl_guest_open_ex(partition, NULL, bus);
}

void kmcl_guest_close(PDEVICE_OBJECT bus)
{
	struct guest *guest = guest_of(bus);
	struct timespec deadline = guest_deadline(GUEST_OPEN_TIMEOUT_MS);
	int rc = 0;

	if (!guest || !nt_irql_at_most(PASSIVE_LEVEL, __func__, "bus"))
		return;
	buses_remove(&guest->bus);
	guest_enter(guest);
	if (guest->channels || guest->waiting)
		nt_misuse(__func__, "bus", "disable and clean up its channels first");
	if (guest->version)
		client_unload(guest->client);
	while (guest->version && rc == 0)
		rc = pthread_cond_timedwait(&guest->changed, &guest->lock, &deadline);
	guest_leave(guest);
	guest_destroy(guest);
}

/* ---- the rest of what a guest may ask of the host ---- */

NTSTATUS kmcl_guest_tl_connect(PDEVICE_OBJECT bus, LPCGUID endpoint, LPCGUID service)
{
	struct guest *guest = guest_of(bus);
	struct guest_wait wait = { .answer = ANSWER_TL };
	NTSTATUS status;

	if (!guest)
		return STATUS_INVALID_PARAMETER_1;
	if (!endpoint)
		return STATUS_INVALID_PARAMETER_2;
	if (!service)
		return STATUS_INVALID_PARAMETER_3;
	if (!nt_irql_at_most(PASSIVE_LEVEL, __func__, "bus"))
		return STATUS_INVALID_DEVICE_STATE;
	memcpy(wait.endpoint.bytes, endpoint, sizeof(wait.endpoint));
	memcpy(wait.service.bytes, service, sizeof(wait.service));
	guest_enter(guest);
	if (guest->version < WIRE_VERSION_4_1) { /* hosts before 4.1 do not say */
		guest_leave(guest);
		return STATUS_NOT_SUPPORTED;
	}
	guest_wait_add(guest, &wait);
	if (client_tl_connect(guest->client, &wait.endpoint, &wait.service) == BUS_OK) {
		status = guest_wait_for(guest, &wait);
	} else { /* the host has not read of the last one yet */
		guest_wait_remove(guest, &wait);
		status = STATUS_DEVICE_BUSY;
	}
	guest_leave(guest);
	return status;
}

/* One at a time: until nobody waits for such an answer of this channel's. */
static void guest_wait_modified(struct guest *guest, uint32_t channel_id)
{
	const struct guest_wait *wait = guest->waits;

	while (wait) {
		if (wait->answer != ANSWER_MODIFIED || wait->channel_id != channel_id) {
			wait = wait->next;
			continue;
		}
		pthread_cond_wait(&guest->changed, &guest->lock);
		wait = guest->waits;
	}
}

NTSTATUS kmcl_client_channel_set_target_vp(VMBCHANNEL channel, uint32_t vp)
{
	struct channel *ch = channel_of(channel);
	struct guest_wait wait = { .answer = ANSWER_MODIFIED };
	NTSTATUS status = STATUS_NOT_SUPPORTED;
	bool open;

	if (!ch || ch->server)
		return STATUS_INVALID_PARAMETER_1;
	if (!nt_irql_at_most(PASSIVE_LEVEL, __func__, channel_name(ch)))
		return STATUS_INVALID_DEVICE_STATE;
	pthread_mutex_lock(&ch->lock);
	ch->config.target_vp = vp;
	open = ch->life.phase >= LIFE_PAUSED && ch->life.phase < LIFE_CLOSING;
	wait.channel_id = ch->bus_offer.channel_id;
	pthread_mutex_unlock(&ch->lock);
	if (!open)
		return STATUS_SUCCESS;
	guest_enter(ch->guest);
	guest_wait_modified(ch->guest, wait.channel_id);
	guest_wait_add(ch->guest, &wait);
	if (client_modify(ch->guest->client, wait.channel_id, vp) == 0)
		status = guest_wait_for(ch->guest, &wait);
	else
		guest_wait_remove(ch->guest, &wait);
	if (status == STATUS_IO_TIMEOUT)
		client_modify_give_up(ch->guest->client, wait.channel_id);
	guest_leave(ch->guest);
	return status;
}

NTSTATUS VmbChannelSetInterruptLatency(VMBCHANNEL Channel, UINT16 Latency, PUINT16 OriginalLatency)
{
	struct channel *ch = channel_of(Channel);
	uint8_t id;
	uint16_t old;
	bool open;

	if (!ch || ch->server)
		return STATUS_INVALID_PARAMETER_1;
	pthread_mutex_lock(&ch->lock);
	open = life_is_open(&ch->life);
	id = ch->bus_offer.monitor_id;
	pthread_mutex_unlock(&ch->lock);
	if (!open)
		return STATUS_INVALID_DEVICE_STATE;
	if (!ch->bus_offer.monitor_allocated)
		return STATUS_NOT_SUPPORTED;
	old = atomic_exchange(&guest_monitor(ch->guest)->latency[id / 32 % 4][id % 32], Latency);
	if (OriginalLatency)
		*OriginalLatency = old;
	return STATUS_SUCCESS;
}

/* ---- what there is ---- */

uint32_t kmcl_guest_channels(PDEVICE_OBJECT bus, struct kmcl_channel_info *info, uint32_t capacity)
{
	struct guest *guest = guest_of(bus);
	uint32_t count = 0;

	if (!guest)
		return 0;
	guest_enter(guest);
	for (struct guest_offer *offer = guest->offers; offer; offer = offer->next) {
		if (offer->gone || offer->rescinded)
			continue;
		if (count < capacity && offer->owner)
			kmcl_channel_info(channel_handle(offer->owner), &info[count]);
		else if (count < capacity)
			info_of_offer(&offer->offer, &info[count]);
		count++;
	}
	guest_leave(guest);
	return count;
}

NTSTATUS kmcl_guest_info(PDEVICE_OBJECT bus, struct kmcl_bus_info *info)
{
	struct guest *guest = guest_of(bus);

	if (!guest)
		return STATUS_INVALID_PARAMETER_1;
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	guest_enter(guest);
	info->version = guest->version;
	info->features = guest->version ? guest->features : 0;
	info->other_process = partition_other_process(guest->partition);
	info_of_account(&guest->account, false, info);
	for (struct guest_offer *offer = guest->offers; offer; offer = offer->next)
		info->channels += !offer->gone && !offer->rescinded;
	guest_leave(guest);
	return STATUS_SUCCESS;
}
