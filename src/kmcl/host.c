/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The host end of a guest's bus: feeds the server machine what comes from the partition and from
 * the channels, and does what it asks for. host->lock serialises all of that; it is taken before
 * any channel's lock.
 */

#include "kmcl/channel.h"
#include "kmcl/interrupts.h"
#include "kmcl/messages.h"
#include "kmcl/monitor.h"

#include <kmcl/options.h>
#include <stdlib.h>
#include <string.h>

#define HOST_KIND        "kmcl host"
#define HOST_KERNEL_KIND "kmcl host, kernel handle" /* each keeps the object of the other kind */

/* What the machine is owed once the call that asked is over; a call asks for one of a kind at most,
 * but for GPADLs, which are linked. */
struct host_due {
	bool contact;
	bool contact_accepted;
	struct channel *modify;
	struct channel *refuse_on;
	uint32_t refuse_gpadl;
	bool tl;
	struct bus_guid tl_endpoint;
	struct bus_guid tl_service;
	struct host_gpadl *gpadls;
};

/* GPADLs that the guest called read-only and has not described yet. */
#define HOST_READ_ONLY_MAX 64u

struct host {
	void *object; /* behind its handles */
	struct account account;
	pthread_mutex_t lock;
	struct partition *partition;
	struct server *server;
	struct messages messages;
	struct nt_log_account log;
	struct host_due due;
	struct message_read_only read_only[HOST_READ_ONLY_MAX];
	uint32_t read_only_count;
	/* The channels; changed under both locks. Threads that report interrupts take this one
	 * only. */
	pthread_mutex_t channels_lock;
	struct channel *channels;
	/* the connection */
	struct server_contact contact;
	struct partition_pin *pin; /* of the shared pages */
	void *region;              /* the guest's memory, where it is foreign */
	struct interrupt_page *interrupt_page;
	struct monitor_page *monitor_page;
	struct interrupts *interrupts; /* guests before 2.4: all signals */
	struct monitor *monitor;
	bool said_unguarded;
};

/* ---- answers ---- */

void host_gpadl_due(struct host *host, struct host_gpadl *gpadl)
{
	gpadl->next_due = host->due.gpadls;
	host->due.gpadls = gpadl;
}

static void gpadl_forget(struct host_gpadl *gpadl)
{
	struct host_gpadl **p = &gpadl->channel->gpadls;

	while (*p != gpadl)
		p = &(*p)->next;
	*p = gpadl->next;
	atomic_fetch_sub(&gpadl->channel->gpadl_count, 1);
	account_free(&gpadl->channel->host->account, ACCOUNT_GPADLS, gpadl, sizeof(*gpadl));
}

static void host_answer_gpadl(struct host *host, struct host_gpadl *gpadl)
{
	struct channel *ch = gpadl->channel;
	uint32_t id = gpadl->id;

	if (gpadl->tearing_down) {
		gpadl_forget(gpadl);
		server_gpadl_teardown_done(host->server, ch->offer, id);
	} else {
		gpadl->established = true;
		server_gpadl_done(host->server, ch->offer, id, BUS_STATUS_SUCCESS);
	}
}

static bool host_answer_one(struct host *host)
{
	struct host_due *due = &host->due;
	struct host_gpadl *gpadl = due->gpadls;
	struct channel *ch;

	if (due->contact) {
		due->contact = false;
		server_contact_done(host->server, due->contact_accepted);
	} else if (gpadl) {
		due->gpadls = gpadl->next_due;
		host_answer_gpadl(host, gpadl);
	} else if (due->modify) {
		ch = due->modify;
		due->modify = NULL;
		server_modify_done(host->server, ch->offer, BUS_STATUS_SUCCESS);
	} else if (due->refuse_on) {
		ch = due->refuse_on;
		due->refuse_on = NULL;
		server_gpadl_done(host->server, ch->offer, due->refuse_gpadl,
		                  BUS_STATUS_INSUFFICIENT_RESOURCES);
	} else if (due->tl) {
		due->tl = false;
		server_tl_result(host->server, &due->tl_endpoint, &due->tl_service,
		                 BUS_STATUS_CONNECTION_REFUSED);
	} else {
		return false;
	}
	return true;
}

struct account *host_account(struct host *host)
{
	return &host->account;
}

void host_enter(struct host *host)
{
	pthread_mutex_lock(&host->lock);
}

void host_leave(struct host *host)
{
	while (host_answer_one(host))
		;
	pthread_mutex_unlock(&host->lock);
}

/* ---- what the machine asks for ---- */

static void *host_allocate(void *context, size_t size)
{
	return calloc(1, size);
}

static void host_release(void *context, void *memory, size_t size)
{
	free(memory);
}

static void *host_allocate_gpadl(void *context, size_t size)
{
	struct host *host = context;

	return account_allocate(&host->account, ACCOUNT_GPADLS, size);
}

static void host_release_gpadl(void *context, void *memory, size_t size)
{
	struct host *host = context;

	account_free(&host->account, ACCOUNT_GPADLS, memory, size);
}

static void host_send(void *context, const void *message, size_t size, uint32_t vp, uint8_t sint)
{
	struct host *host = context;
	struct partition_address to = { .vp = vp, .sint = sint };

	if (messages_post(&host->messages, host->partition, to, message, size) != 0)
		nt_log_limited(&host->log, NT_LOG_MESSAGES, NT_LOG_ERROR, "bus",
		               "no room for a message to the guest: it reads nothing");
}

static void host_raised_channel(void *context, uint32_t channel_id)
{
	struct host *host = context;

	pthread_mutex_lock(&host->channels_lock);
	for (struct channel *ch = host->channels; ch; ch = ch->next)
		if (ch->bus_offer.channel_id == channel_id)
			dispatcher_kick(ch);
	pthread_mutex_unlock(&host->channels_lock);
}

static void host_raised_monitor(void *context, uint32_t monitor_id)
{
	struct host *host = context;

	pthread_mutex_lock(&host->channels_lock);
	for (struct channel *ch = host->channels; ch; ch = ch->next)
		if (ch->bus_offer.monitor_allocated && ch->bus_offer.monitor_id == monitor_id)
			dispatcher_kick(ch);
	pthread_mutex_unlock(&host->channels_lock);
}

/* Of a kind of partition that never has guards the documents say so. */
static void host_unguarded(void *context, const char *why)
{
	struct host *host = context;

	if (!why || host->said_unguarded)
		return;
	host->said_unguarded = true;
	nt_log_limited(&host->log, NT_LOG_OPERATOR, NT_LOG_WARNING, "bus",
	               "monitored channels cost looks at their page also while nothing moves: %s",
	               why);
}

/* A page that the guest shares, by its address, which may be 0 for none. */
static bool host_shared_page(struct host *host, uint64_t gpa, void **page)
{
	*page = NULL;
	if (gpa == 0)
		return true;
	if (host->pin && gpa % WIRE_PAGE_SIZE == 0)
		*page = partition_page(host->pin, gpa / WIRE_PAGE_SIZE);
	return *page != NULL;
}

static bool host_lacks_thread(struct host *host, const char *what)
{
	nt_log_limited(&host->log, NT_LOG_OPERATOR, NT_LOG_ERROR, "bus",
	               "no guest can connect: no thread, memory or descriptor for its %s", what);
	return false;
}

static bool host_take_over_pages(struct host *host, const struct server_contact *contact)
{
	static const struct monitor_calls calls = { host_raised_monitor, host_unguarded };
	void *interrupt = NULL, *monitor = NULL;

	if (!host_shared_page(host, contact->interrupt_page, &interrupt) ||
	    !host_shared_page(host, contact->monitor_pages[1], &monitor)) {
		nt_log_limited(&host->log, NT_LOG_RINGS, NT_LOG_ERROR, "bus",
		               "the guest's shared pages are not in its memory");
		return false;
	}
	host->interrupt_page = interrupt;
	host->monitor_page = monitor;
	if (interrupt && contact->version < WIRE_VERSION_2_4) {
		host->interrupts =
			interrupts_open(host->partition, WIRE_CONNECTION_EVENT,
		                        host->interrupt_page->to_host, host_raised_channel, host);
		if (!host->interrupts)
			return host_lacks_thread(host, "interrupts");
	}
	if (monitor)
		host->monitor = monitor_open(host->monitor_page, host->pin, &calls, host);
	return !monitor || host->monitor || host_lacks_thread(host, "monitor page");
}

/* So that its pages can be mapped in other orders. With both ends in one process they can already.
 */
static void host_add_region(struct host *host)
{
	struct partition_ram ram = partition_pin_memory(host->pin);

	if (ram.size && ram.base != nt_ram()->base &&
	    nt_region_add(ram.base, ram.size, ram.fd, 0) == 0)
		host->region = ram.base;
}

static void host_disconnected(void *context)
{
	struct host *host = context;

	interrupts_close(host->interrupts);
	monitor_close(host->monitor);
	host->interrupts = NULL;
	host->monitor = NULL;
	host->interrupt_page = NULL;
	host->monitor_page = NULL;
	host->due.contact = false;
	host->read_only_count = 0;
	memset(&host->contact, 0, sizeof(host->contact));
	if (host->region)
		nt_region_remove(host->region);
	host->region = NULL;
	if (host->pin)
		partition_unpin(host->pin);
	host->pin = NULL;
}

static void host_contact(void *context, const struct server_contact *contact)
{
	struct host *host = context;
	bool accepted;

	host->contact = *contact;
	host->pin = partition_pin(host->partition);
	if (host->pin)
		host_add_region(host);
	accepted = host_take_over_pages(host, contact);
	if (!accepted)
		host_disconnected(host); /* the machine never was connected, and will not say so */
	host->due.contact = true;
	host->due.contact_accepted = accepted;
}

static void host_open(void *context, void *owner, const struct server_open *open)
{
	channel_on_open(owner, open);
}

static void host_close(void *context, void *owner)
{
	channel_on_close(owner);
}

/* The link that the guest wants signals on; NULL where it wants none. */
static struct partition_link *host_link(struct host *host, const struct server_open *open)
{
	struct partition_address to = { .id = open->event_flag,
		                        .vp = open->target_vp,
		                        .sint = host->contact.message_sint };
	struct partition_link *link = NULL;

	if (host->contact.version < WIRE_VERSION_2_4)
		to.id = 0; /* the interrupt page says which channel it is for */
	if (open->target_vp == WIRE_VP_NO_INTERRUPT ||
	    partition_connect(host->partition, to, &link) != 0)
		return NULL;
	return link;
}

static void host_set_link(struct channel *ch, struct partition_link *link)
{
	struct partition_link *old;

	spin_lock(&ch->out.lock);
	old = ch->out.link;
	ch->out.link = link;
	spin_unlock(&ch->out.lock);
	outgoing_wait_left(ch);
	if (old)
		partition_disconnect(old);
}

static void host_modify(void *context, void *owner, uint32_t target_vp)
{
	struct host *host = context;
	struct channel *ch = owner;

	pthread_mutex_lock(&ch->lock);
	ch->open.target_vp = target_vp;
	pthread_mutex_unlock(&ch->lock);
	host_set_link(ch, host_link(host, &ch->open));
	host->due.modify = ch;
}

/* Was it called read-only? Asked once. */
static bool host_take_read_only(struct host *host, uint32_t channel_id, uint32_t gpadl)
{
	for (uint32_t i = 0; i < host->read_only_count; i++) {
		if (host->read_only[i].channel_id != channel_id ||
		    host->read_only[i].gpadl != gpadl)
			continue;
		host->read_only[i] = host->read_only[--host->read_only_count];
		return true;
	}
	return false;
}

static void host_on_read_only(struct host *host, const void *payload, size_t size)
{
	if (size != sizeof(struct message_read_only) ||
	    host->read_only_count == HOST_READ_ONLY_MAX) {
		nt_log_limited(
			&host->log, NT_LOG_MESSAGES, NT_LOG_WARNING, "bus",
			"guest's read-only notice: expected %zu bytes and at most %u of them, got %zu",
			sizeof(struct message_read_only), HOST_READ_ONLY_MAX, size);
		return;
	}
	memcpy(&host->read_only[host->read_only_count++], payload, size);
}

static void host_gpadl(void *context, void *owner, uint32_t id, const struct bus_gpa_range *ranges,
                       uint32_t count)
{
	struct host *host = context;
	struct channel *ch = owner;
	struct host_gpadl *gpadl = account_allocate(&host->account, ACCOUNT_GPADLS, sizeof(*gpadl));

	if (!gpadl) {
		host->due.refuse_on = ch;
		host->due.refuse_gpadl = id;
		return;
	}
	gpadl->channel = ch;
	gpadl->id = id;
	gpadl->ranges = ranges;
	gpadl->count = count;
	gpadl->read_only = host_take_read_only(host, ch->bus_offer.channel_id, id);
	gpadl->next = ch->gpadls;
	ch->gpadls = gpadl;
	atomic_fetch_add(&ch->gpadl_count, 1);
	host_gpadl_due(host, gpadl);
}

struct host_gpadl *host_find_gpadl(struct channel *ch, uint32_t id)
{
	struct host_gpadl *gpadl = ch->gpadls;

	while (gpadl && gpadl->id != id)
		gpadl = gpadl->next;
	return gpadl;
}

static void host_gpadl_teardown(void *context, void *owner, uint32_t id)
{
	struct host *host = context;
	struct host_gpadl *gpadl = host_find_gpadl(owner, id);

	gpadl->tearing_down = true;
	if (!gpadl->mdl)
		host_gpadl_due(host, gpadl);
}

static void host_revoked(void *context, void *owner)
{
	struct channel *ch = owner;

	ch->offer = NULL;
	channel_on_revoked(ch);
}

static void host_tl_connect(void *context, const struct bus_guid *endpoint,
                            const struct bus_guid *service, const struct bus_guid *silo)
{
	struct host *host = context;

	host->due.tl = true;
	host->due.tl_endpoint = *endpoint;
	host->due.tl_service = *service;
}

static void host_fault(void *context, const struct bus_fault *fault)
{
	struct host *host = context;

	bus_log_fault(&host->log, "guest", fault);
}

static const struct server_ops host_ops = {
	.memory = { host_allocate, host_release },
	.gpadl_memory = { host_allocate_gpadl, host_release_gpadl },
	.send = host_send,
	.contact = host_contact,
	.disconnected = host_disconnected,
	.open = host_open,
	.close = host_close,
	.modify = host_modify,
	.gpadl = host_gpadl,
	.gpadl_teardown = host_gpadl_teardown,
	.revoked = host_revoked,
	.tl_connect = host_tl_connect,
	.fault = host_fault,
};

/* ---- what comes from the partition ---- */

static void host_on_message(void *context, uint32_t id, const void *payload, size_t size)
{
	struct host *host = context;

	host_enter(host);
	if (id == MESSAGES_KMCL_CONNECTION)
		host_on_read_only(host, payload, size);
	else
		server_message(host->server, payload, size);
	host_leave(host);
}

static void host_on_writable(void *context)
{
	struct host *host = context;

	host_enter(host);
	messages_flush(&host->messages, host->partition);
	host_leave(host);
}

static void host_on_presence(void *context, enum partition_presence what)
{
	struct host *host = context;

	if (what != PARTITION_GONE)
		return;
	host_enter(host);
	messages_drop(&host->messages);
	server_reset(host->server);
	host_leave(host);
}

static void host_on_log(void *context, int level, const char *text)
{
	struct host *host = context;

	bus_log(&host->log, level, text);
}

/* ---- opening and closing the host ---- */

static void host_destroy(void *object)
{
	struct host *host = object;

	if (host->partition)
		partition_close(host->partition);
	if (host->server) {
		host_disconnected(host);
		server_destroy(host->server);
	}
	messages_drop(&host->messages);
	pthread_mutex_destroy(&host->channels_lock);
	pthread_mutex_destroy(&host->lock);
	free(host);
}

_Static_assert(KMCL_HOST_MEMORY_MAX == PARTITION_MEMORY_MAX, "the partition's default");

static NTSTATUS host_open_partition(struct host *host, const char *uri, uint64_t memory_max)
{
	struct partition_settings settings = {
		.end = PARTITION_HOST,
		.upcalls = { .message = host_on_message,
		             .writable = host_on_writable,
		             .presence = host_on_presence,
		             .log = host_on_log },
		.context = host,
		.message_id_max = WIRE_CONNECTION_MULTICLIENT,
		.memory_max = memory_max,
	};
	char why[256] = "";
	int rc = partition_open(uri, &settings, &host->partition, why, sizeof(why));

	if (rc == 0)
		return STATUS_SUCCESS;
	host->partition = NULL;
	nt_log(NT_LOG_ERROR, uri, "cannot become the host: %s", why);
	return bus_status(rc);
}

static void host_learn_object(struct host *host, HANDLE vmbus)
{
	void *body;

	if (NT_SUCCESS(nt_handle_reference(vmbus, HOST_KIND, &body, &host->object)))
		nt_object_release(host->object); /* the handle keeps it */
}

NTSTATUS kmcl_host_open_ex(const char *partition, const struct kmcl_host_options *options,
                           HANDLE *vmbus)
{
	struct kmcl_host_options own;
	struct host *host;
	NTSTATUS status;

	if (!partition)
		return STATUS_INVALID_PARAMETER_1;
	if (kmcl_options_take(&own, sizeof(own), options))
		return STATUS_INVALID_PARAMETER_2;
	if (!own.version_max)
		own.version_max = WIRE_VERSION_6_0;
	if (!wire_version_known(own.version_max))
		return STATUS_INVALID_PARAMETER_2;
	if (!vmbus)
		return STATUS_INVALID_PARAMETER_3;
	if (!nt_irql_at_most(PASSIVE_LEVEL, "kmcl_host_open", partition))
		return STATUS_INVALID_DEVICE_STATE;
	if (!bus_prepare(partition))
		return STATUS_INSUFFICIENT_RESOURCES;
	host = calloc(1, sizeof(*host));
	if (!host)
		return STATUS_INSUFFICIENT_RESOURCES;
	pthread_mutex_init(&host->lock, NULL);
	pthread_mutex_init(&host->channels_lock, NULL);
	messages_init(&host->messages, &host->account);
	status = STATUS_INSUFFICIENT_RESOURCES;
	if (server_create(&host_ops, host, &server_limits_default, own.version_max,
	                  &host->server) == BUS_OK)
		status = host_open_partition(host, partition, own.memory_max);
	if (NT_SUCCESS(status))
		status = nt_handle_create(HOST_KIND, host, host_destroy, vmbus);
	if (!NT_SUCCESS(status)) {
		host_destroy(host);
		return status;
	}
	host_learn_object(host, *vmbus);
	return STATUS_SUCCESS;
}

NTSTATUS kmcl_host_open(const char *partition, HANDLE *vmbus)
{
	return kmcl_host_open_ex(partition, NULL, vmbus);
}

static void host_drop(void *body)
{
	struct host *host = body;

	nt_object_release(host->object);
}

NTSTATUS VmbConvertVmbusHandleToKernelHandle(HANDLE VmbusHandle, PHANDLE KernelHandle)
{
	void *object = NULL, *reference = NULL;
	NTSTATUS status;

	if (!KernelHandle)
		return STATUS_INVALID_PARAMETER_2;
	if (!nt_irql_at_most(PASSIVE_LEVEL, __func__, "host"))
		return STATUS_INVALID_DEVICE_STATE;
	status = nt_handle_reference(VmbusHandle, HOST_KIND, &object, &reference);
	if (status == STATUS_OBJECT_TYPE_MISMATCH)
		return nt_handle_duplicate(VmbusHandle, HOST_KERNEL_KIND, KernelHandle);
	if (!NT_SUCCESS(status))
		return status;
	status = nt_handle_create(HOST_KERNEL_KIND, object, host_drop, KernelHandle);
	if (!NT_SUCCESS(status))
		nt_object_release(reference);
	return status;
}

NTSTATUS host_reference(HANDLE handle, HANDLE *mine, struct host **host)
{
	void *object = NULL, *reference = NULL;
	NTSTATUS status = nt_handle_duplicate(handle, HOST_KERNEL_KIND, mine);

	if (!NT_SUCCESS(status))
		return status;
	status = nt_handle_reference(*mine, HOST_KERNEL_KIND, &object, &reference);
	if (!NT_SUCCESS(status)) {
		ZwClose(*mine);
		return status;
	}
	nt_object_release(reference); /* the handle keeps it */
	*host = object;
	return STATUS_SUCCESS;
}

/* Either kind of handle will do. */
static NTSTATUS host_reference_any(HANDLE handle, HANDLE *mine, struct host **host)
{
	HANDLE kernel;
	NTSTATUS status = VmbConvertVmbusHandleToKernelHandle(handle, &kernel);

	if (!NT_SUCCESS(status))
		return status;
	status = host_reference(kernel, mine, host);
	ZwClose(kernel);
	return status;
}

struct nt_log_account *host_log_account(struct host *host)
{
	return &host->log;
}

struct partition *host_partition(struct host *host)
{
	return host->partition;
}

/* ---- what comes from the channels ---- */

static void host_add_channel(struct host *host, struct channel *ch, const struct bus_offer *offer)
{
	pthread_mutex_lock(&host->channels_lock);
	pthread_mutex_lock(&ch->lock);
	ch->bus_offer = *offer;
	pthread_mutex_unlock(&ch->lock);
	ch->next = host->channels;
	host->channels = ch;
	pthread_mutex_unlock(&host->channels_lock);
}

static void host_remove_channel(struct host *host, struct channel *ch)
{
	struct channel **p = &host->channels;

	pthread_mutex_lock(&host->channels_lock);
	while (*p && *p != ch)
		p = &(*p)->next;
	if (*p)
		*p = ch->next;
	pthread_mutex_unlock(&host->channels_lock);
}

/* A pipe's offer says so in its first bytes: messages, not a stream (OpenVMM vmbus_core, PipeType).
 */
#define HOST_PIPE_TYPE_MESSAGE 4u

static void host_fill_offer(const struct channel *ch, struct bus_offer *offer)
{
	const struct channel_config *config = &ch->config;
	uint32_t flags = config->server_flags, pipe = HOST_PIPE_TYPE_MESSAGE;

	memset(offer, 0, sizeof(*offer));
	memcpy(offer->type.bytes, &config->type, sizeof(GUID));
	memcpy(offer->instance.bytes, &config->instance, sizeof(GUID));
	if (flags & VMBUS_SERVER_CHANNEL_INIT_FLAG_ENUMERATE_DEVICE_INTERFACE)
		offer->flags |= WIRE_OFFER_FLAG_ENUMERATE_DEVICE_INTERFACE;
	if (flags & VMBUS_SERVER_CHANNEL_INIT_FLAG_LOOPBACK_OFFER)
		offer->flags |= WIRE_OFFER_FLAG_LOOPBACK_OFFER;
	if (flags & VMBUS_SERVER_CHANNEL_INIT_FLAG_TLNPI_PROVIDER_OFFER)
		offer->flags |= WIRE_OFFER_FLAG_TLNPI_PROVIDER;
	memcpy(offer->user_defined, config->offer_data, sizeof(offer->user_defined));
	if (flags & VMBUS_SERVER_CHANNEL_INIT_FLAG_OFFER_AS_PIPE) {
		offer->flags |= WIRE_OFFER_FLAG_NAMED_PIPE_MODE;
		memcpy(offer->user_defined, &pipe, sizeof(pipe));
	}
	offer->mmio_megabytes = config->mmio_megabytes;
	offer->mmio_megabytes_optional = config->mmio_megabytes_optional;
	offer->subchannel_index = config->subchannel;
	offer->vtl = config->vtl;
	offer->monitor_allocated = config->monitored;
	offer->dedicated_interrupt = config->dedicated_interrupt;
}

NTSTATUS host_offer(struct channel *ch)
{
	NTSTATUS status = ch->host ? STATUS_SUCCESS : loopback_join(ch);
	struct host *host = ch->host;
	struct bus_offer offer;
	int rc;

	if (!NT_SUCCESS(status))
		return status;
	host_fill_offer(ch, &offer);
	host_enter(host);
	rc = server_offer(host->server, &offer, ch, &ch->offer);
	if (rc == 0)
		host_add_channel(host, ch, &offer);
	host_leave(host);
	if (rc == -2)
		return STATUS_OBJECT_NAME_COLLISION;
	return rc == 0 ? STATUS_SUCCESS : STATUS_QUOTA_EXCEEDED;
}

void host_revoke(struct channel *ch)
{
	host_enter(ch->host);
	if (ch->offer)
		server_revoke(ch->host->server, ch->offer);
	host_leave(ch->host);
}

void host_forget(struct channel *ch)
{
	host_enter(ch->host);
	host_remove_channel(ch->host, ch);
	host_leave(ch->host);
}

/* The pages of the GPADL that holds the rings, as page numbers of this process. */
static NTSTATUS host_ring_pages(struct channel *ch, PFN_NUMBER **pfns, size_t *count)
{
	struct host_gpadl *gpadl = host_find_gpadl(ch, ch->open.ring_gpadl);
	uint64_t pages;

	if (!gpadl || gpadl->count != 1 || gpadl->ranges[0].byte_offset != 0 ||
	    gpadl->ranges[0].byte_count % WIRE_PAGE_SIZE != 0)
		return STATUS_INVALID_PARAMETER;
	pages = gpadl->ranges[0].byte_count / WIRE_PAGE_SIZE;
	if (ch->open.ring_offset == 0 || ch->open.ring_offset >= pages)
		return STATUS_INVALID_PARAMETER;
	*pfns = calloc(pages, sizeof(**pfns));
	if (!*pfns)
		return STATUS_INSUFFICIENT_RESOURCES;
	*count = pages;
	ch->rings.in_gpn = gpadl->ranges[0].pfns[0];
	ch->rings.out_gpn = gpadl->ranges[0].pfns[ch->open.ring_offset];
	for (uint64_t i = 0; i < pages; i++) {
		void *page = partition_page(ch->pin, gpadl->ranges[0].pfns[i]);

		if (!page) {
			free(*pfns);
			return STATUS_INVALID_PARAMETER;
		}
		(*pfns)[i] = (uintptr_t)page >> PAGE_SHIFT;
	}
	return STATUS_SUCCESS;
}

static NTSTATUS host_attach_rings(struct channel *ch)
{
	PFN_NUMBER *pfns = NULL;
	size_t pages = 0, in;
	NTSTATUS status;

	host_enter(ch->host);
	status = host_ring_pages(ch, &pfns, &pages);
	host_leave(ch->host);
	if (!NT_SUCCESS(status)) {
		nt_log_limited(&ch->host->log, NT_LOG_RINGS, NT_LOG_ERROR, channel_name(ch),
		               "the rings that the guest names are not in its memory");
		return status;
	}
	in = ch->open.ring_offset;
	status = rings_attach(ch, pfns, in, pfns + in, pages - in);
	free(pfns);
	return status;
}

/* Guests before 2.4 look at the interrupt page for what a signal is about. */
static void host_attach_interrupts(struct channel *ch)
{
	struct host *host = ch->host;

	host_enter(host);
	host_set_link(ch, host_link(host, &ch->open));
	if (host->contact.version < WIRE_VERSION_2_4 && host->interrupt_page)
		ch->out.interrupt_bits = host->interrupt_page->to_guest;
	if (ch->bus_offer.monitor_allocated && host->monitor)
		monitor_watch(host->monitor, ch->bus_offer.monitor_id, ch->config.latency);
	host_leave(host);
}

/* Signals on the shared connection are taken by the host's interrupts. */
static NTSTATUS host_listen(struct channel *ch)
{
	if (ch->open.connection_id == WIRE_CONNECTION_EVENT)
		return STATUS_SUCCESS;
	return bus_status(partition_listen(ch->host->partition, ch->open.connection_id, &ch->port));
}

NTSTATUS host_attach(struct channel *ch)
{
	NTSTATUS status;

	ch->pin = partition_pin(ch->host->partition);
	if (!ch->pin)
		return STATUS_DEVICE_REMOVED;
	status = host_attach_rings(ch);
	if (NT_SUCCESS(status))
		status = host_listen(ch);
	if (NT_SUCCESS(status)) {
		host_attach_interrupts(ch);
		status = dispatcher_attach(ch);
	}
	if (!NT_SUCCESS(status))
		host_detach(ch);
	return status;
}

void host_detach(struct channel *ch)
{
	struct host *host = ch->host;

	dispatcher_detach(ch);
	host_enter(host);
	if (ch->bus_offer.monitor_allocated && host->monitor)
		monitor_unwatch(host->monitor, ch->bus_offer.monitor_id);
	ch->out.interrupt_bits = NULL;
	host_set_link(ch, NULL);
	host_leave(host);
	if (ch->port)
		partition_unlisten(ch->port);
	ch->port = NULL;
	rings_detach(ch);
	if (ch->pin)
		partition_unpin(ch->pin);
	ch->pin = NULL;
}

/* What the opener is told: the bus knows fewer reasons than the driver. */
static uint32_t host_open_status(NTSTATUS status)
{
	return NT_SUCCESS(status) ? BUS_STATUS_SUCCESS : (uint32_t)status;
}

void host_open_done(struct channel *ch, NTSTATUS status)
{
	host_enter(ch->host);
	server_open_done(ch->host->server, ch->offer, host_open_status(status));
	host_leave(ch->host);
}

void host_close_done(struct channel *ch)
{
	host_enter(ch->host);
	server_close_done(ch->host->server, ch->offer);
	host_leave(ch->host);
}

NTSTATUS kmcl_server_channel_get_open_data(VMBCHANNEL channel, void *data, uint32_t n)
{
	struct channel *ch = channel_of(channel);

	if (!ch || !ch->server)
		return STATUS_INVALID_PARAMETER_1;
	if (n > CHANNEL_USER_DATA)
		return STATUS_INVALID_PARAMETER_3;
	if (!data && n)
		return STATUS_INVALID_PARAMETER_2;
	pthread_mutex_lock(&ch->lock);
	if (n)
		memcpy(data, ch->open.user_data, n);
	pthread_mutex_unlock(&ch->lock);
	return STATUS_SUCCESS;
}

/* ---- what there is ---- */

uint32_t kmcl_host_channels(HANDLE vmbus, struct kmcl_channel_info *info, uint32_t capacity)
{
	struct host *host;
	HANDLE mine;
	uint32_t count = 0;

	if (!NT_SUCCESS(host_reference_any(vmbus, &mine, &host)))
		return 0;
	host_enter(host);
	for (struct channel *ch = host->channels; ch; ch = ch->next, count++)
		if (count < capacity)
			kmcl_channel_info(channel_handle(ch), &info[count]);
	host_leave(host);
	ZwClose(mine);
	return count;
}

NTSTATUS kmcl_host_info(HANDLE vmbus, struct kmcl_bus_info *info)
{
	struct host *host;
	HANDLE mine;
	NTSTATUS status = host_reference_any(vmbus, &mine, &host);
	struct partition_visitors visitors;

	if (!NT_SUCCESS(status))
		return status;
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	visitors = partition_visitors(host->partition);
	info->visitors = visitors.came;
	info->visitors_refused = visitors.refused;
	info->visitors_stuck = visitors.stuck;
	info_of_account(&host->account, true, info);
	host_enter(host);
	info->version = server_version(host->server);
	info->features = info->version ? host->contact.feature_flags : 0;
	info->other_process = partition_other_process(host->partition);
	for (struct channel *ch = host->channels; ch; ch = ch->next)
		info->channels++;
	host_leave(host);
	ZwClose(mine);
	return STATUS_SUCCESS;
}
