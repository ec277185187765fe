/* SPDX-License-Identifier: BSD-2-Clause */
/* The SCSI controller: its channels, and the negotiation with the guest's driver. */
#include "scsi/storvsp_private.h"

#include "common/channel_name.h"
#include "common/guid.h"
#include "common/monitored.h"

#include <errno.h>
#include <kmcl/options.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STORVSP_FLUSH 8u /* requests that are begun together */
#define DEFAULT_DEPTH 256u

/* Guests send 64 bytes at most; a longer packet is read as far as it is known. */
#define MAX_PACKET 256u

static const GUID interface_type = STORVSC_INTERFACE_TYPE;

static void send_enumerate_bus(struct kmcl_scsi *s)
{
	struct storvsc_packet packet = { .operation = STORVSC_ENUMERATE_BUS };
	uint32_t size =
		s->version < STORVSC_VERSION_WIN8 ? STORVSC_PACKET_SIZE_OLD : sizeof(packet);
	VMBPACKET p = VmbPacketAllocate(s->channels[0]->vmb);

	if (p && !NT_SUCCESS(VmbPacketSend(p, &packet, size, NULL, 0)))
		VmbPacketFree(p);
}

/*
 * A guest looks for units by itself once, after the negotiation; about changes after that it must
 * be told. Not before: Linux's storvsc_probe() negotiates before it has what this makes it use.
 * Version 2.0 has no word for it. Nobody asks for an answer, so the transaction id is 0, which is
 * how Linux knows such a packet (storvsc_on_channel_callback); it then asks each unit that it knows
 * whether it is ready, and drops those whose LUN is invalid.
 */
void storvsp_tell_guest(struct kmcl_scsi *s)
{
	pthread_mutex_lock(&s->lock);
	if (s->state == STORVSP_READY && s->looked && s->version >= STORVSC_VERSION_WIN7)
		send_enumerate_bus(s);
	pthread_mutex_unlock(&s->lock);
}

/* ---- negotiation ---- */

static bool version_known(const struct kmcl_scsi *s, uint16_t version)
{
	static const uint16_t known[] = {
		STORVSC_VERSION_WIN6, STORVSC_VERSION_WIN7,   STORVSC_VERSION(5, 0),
		STORVSC_VERSION_WIN8, STORVSC_VERSION_WIN8_1, STORVSC_VERSION_WIN10,
	};
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i] == version)
			return !s->options.version_max || version <= s->options.version_max;
	}
	return false;
}

static NTSTATUS begin_initialization(struct kmcl_scsi *s)
{
	s->state = STORVSP_BEGUN;
	return STATUS_SUCCESS;
}

static NTSTATUS query_version(struct kmcl_scsi *s, struct storvsp_request *r)
{
	uint16_t version = r->packet.version.major_minor;

	memset(r->packet.bytes, 0, sizeof(r->packet.bytes));
	r->packet.version.major_minor = version;
	if (!version_known(s, version))
		return STATUS_REVISION_MISMATCH; /* the guest tries its next one */
	s->version = version;
	s->state = STORVSP_VERSIONED;
	return STATUS_SUCCESS;
}

static NTSTATUS query_properties(struct kmcl_scsi *s, struct storvsp_request *r)
{
	struct storvsc_properties *p = &r->packet.properties;

	memset(r->packet.bytes, 0, sizeof(r->packet.bytes));
	p->max_transfer = KMCL_SCSI_MAX_TRANSFER;
	if (s->version >= STORVSC_VERSION_WIN8 && s->options.subchannels) {
		p->max_subchannels = s->options.subchannels;
		p->flags = STORVSC_MULTI_CHANNEL;
	}
	s->state = STORVSP_PROPERTIES;
	return STATUS_SUCCESS;
}

static NTSTATUS end_initialization(struct kmcl_scsi *s)
{
	s->state = STORVSP_READY;
	return STATUS_SUCCESS;
}

/* What is in flight here finishes by itself, as at Hyper-V's hosts, where resets do nothing
 * (OpenVMM storvsp); the guest waits for it after this (Linux storvsc_host_reset_handler). */
static NTSTATUS reset(struct kmcl_scsi *s, struct storvsp_request *r)
{
	const struct storvsc_srb *srb = &r->packet.srb;
	bool one = r->packet.operation == STORVSC_RESET_LUN;

	storvsp_units_reset(s, one ? srb->target : KMCL_SCSI_TARGETS, srb->lun);
	return STATUS_SUCCESS;
}

static NTSTATUS create_subchannels(struct kmcl_scsi *s, struct storvsp_request *r);

/* What the guest may say when; anything else is out of turn. */
static NTSTATUS negotiate(struct kmcl_scsi *s, struct storvsp_request *r)
{
	enum storvsp_state state = s->state;

	switch (r->packet.operation) {
	case STORVSC_BEGIN_INITIALIZATION:
		if (state == STORVSP_OPEN)
			return begin_initialization(s);
		break;
	case STORVSC_QUERY_PROTOCOL_VERSION:
		if (state == STORVSP_BEGUN)
			return query_version(s, r);
		break;
	case STORVSC_QUERY_PROPERTIES:
		if (state == STORVSP_VERSIONED)
			return query_properties(s, r);
		break;
	case STORVSC_CREATE_SUB_CHANNELS:
		if (state == STORVSP_PROPERTIES || state == STORVSP_READY)
			return create_subchannels(s, r);
		break;
	case STORVSC_END_INITIALIZATION:
		if (state == STORVSP_PROPERTIES)
			return end_initialization(s);
		break;
	case STORVSC_RESET_LUN:
	case STORVSC_RESET_ADAPTER:
	case STORVSC_RESET_BUS:
		if (state == STORVSP_READY)
			return reset(s, r);
		break;
	case STORVSC_EXECUTE_SRB:
		break;
	default:
		return STATUS_INVALID_PARAMETER;
	}
	return STATUS_INVALID_DEVICE_STATE;
}

/* ---- channels ---- */

static void process_control(struct storvsp_channel *c, struct storvsp_request *r)
{
	NTSTATUS status;

	/* A subchannel is for SRBs alone. */
	status = c->index ? STATUS_INVALID_DEVICE_STATE : negotiate(c->controller, r);
	if (!NT_SUCCESS(status) && status != STATUS_REVISION_MISMATCH)
		atomic_fetch_add_explicit(&c->refused, 1, memory_order_relaxed);
	storvsp_answer(r, status);
}

static void begin_queued(struct storvsp_channel *c)
{
	c->unflushed = 0;
	disk_queue_flush(c->queue);
}

/* Not all of a batch at once: the guest goes on with the first answers while the rest is read. */
static void execute_srb(struct storvsp_channel *c, struct storvsp_request *r, UINT32 flags)
{
	if (!atomic_load_explicit(&c->controller->looked, memory_order_relaxed))
		c->controller->looked = true; /* before it sees what there is */
	storvsp_execute_srb(r, flags);
	if (++c->unflushed >= STORVSP_FLUSH)
		begin_queued(c);
}

static void process_packet(VMBCHANNEL vmb, VMBPACKETCOMPLETION completion, PVOID buffer,
                           UINT32 length, UINT32 flags)
{
	struct storvsp_channel *c = VmbChannelGetPointer(vmb);
	struct storvsp_request *r = VmbChannelPacketGetClientContext(completion);

	r->channel = c;
	r->completion = completion;
	r->size = length < sizeof(r->packet) ? length : sizeof(r->packet);
	memset(&r->packet, 0, sizeof(r->packet));
	memcpy(&r->packet, buffer, r->size);
	if (r->size < STORVSC_PACKET_SIZE_OLD) {
		r->size = STORVSC_PACKET_SIZE_OLD; /* no version has them that short */
		atomic_fetch_add_explicit(&c->refused, 1, memory_order_relaxed);
		storvsp_answer(r, STATUS_INVALID_PARAMETER);
		return;
	}
	if (r->packet.operation == STORVSC_EXECUTE_SRB &&
	    atomic_load_explicit(&c->controller->state, memory_order_acquire) == STORVSP_READY)
		execute_srb(c, r, flags);
	else if (KeGetCurrentIrql() > PASSIVE_LEVEL)
		VmbChannelPacketDeferToPassive(completion); /* making channels needs PASSIVE */
	else
		process_control(c, r);
}

static void processing_complete(VMBCHANNEL vmb, UINT32 count)
{
	begin_queued(VmbChannelGetPointer(vmb));
}

/* The channel will close. What was sent from here on would wait for the next opening, and come
 * before that one's negotiation. */
static void suspend(VMBCHANNEL vmb)
{
	struct storvsp_channel *c = VmbChannelGetPointer(vmb);

	processing_complete(vmb, 0);
	if (c->index)
		return;
	pthread_mutex_lock(&c->controller->lock);
	c->controller->state = STORVSP_CLOSED;
	c->controller->looked = false;
	pthread_mutex_unlock(&c->controller->lock);
}

static void close_subchannels(struct kmcl_scsi *s);

static NTSTATUS opened(VMBCHANNEL vmb)
{
	struct storvsp_channel *c = VmbChannelGetPointer(vmb);

	if (!c->index) {
		c->controller->version = 0;
		c->controller->state = STORVSP_OPEN;
		storvsp_units_start(c->controller);
	}
	return STATUS_SUCCESS;
}

static void closed(VMBCHANNEL vmb)
{
	struct storvsp_channel *c = VmbChannelGetPointer(vmb);

	if (!c->index)
		close_subchannels(c->controller);
}

static NTSTATUS configure_channel(struct storvsp_channel *c)
{
	struct kmcl_scsi *s = c->controller;
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS callbacks;
	NTSTATUS status;

	VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(&callbacks);
	callbacks.EvtChannelOpened = opened;
	callbacks.EvtChannelSuspend = suspend;
	callbacks.EvtChannelClosed = closed;
	status = VmbServerChannelInitSetVmbusHandle(c->vmb, s->vmbus);
	if (NT_SUCCESS(status))
		status = VmbServerChannelInitSetTargetInterfaceId(
			c->vmb, interface_type, kmcl_guid_to_nt(s->options.instance));
	if (NT_SUCCESS(status) && c->index)
		status = kmcl_channel_init_set_subchannel(c->vmb, c->index);
	if (NT_SUCCESS(status))
		status = VmbChannelInitSetMaximumPacketSize(c->vmb, MAX_PACKET);
	if (NT_SUCCESS(status))
		status = VmbChannelInitSetMaximumExternalData(c->vmb, KMCL_SCSI_MAX_TRANSFER, 1);
	if (NT_SUCCESS(status))
		status = VmbChannelInitSetClientContextSize(c->vmb, sizeof(struct storvsp_request));
	if (NT_SUCCESS(status))
		status = VmbChannelInitSetProcessPacketCallbacks(c->vmb, process_packet,
		                                                 processing_complete);
	if (NT_SUCCESS(status))
		status = VmbChannelInitSetStateChangeCallbacks(c->vmb, &callbacks);
	if (NT_SUCCESS(status))
		status = monitored_configure(c->vmb, s->options.monitored);
	if (NT_SUCCESS(status))
		status = channel_name(c->vmb, c->controller->name, c->index);
	VmbChannelSetTransactionQuota(c->vmb, s->options.queue_depth);
	return status;
}

static void free_channel(struct storvsp_channel *c)
{
	if (c->vmb)
		VmbChannelCleanup(c->vmb);
	if (c->queue)
		disk_queue_destroy(c->queue);
	free(c);
}

static NTSTATUS make_channel(struct kmcl_scsi *s, uint16_t index, struct storvsp_channel **out)
{
	struct storvsp_channel *c = calloc(1, sizeof(*c));
	NTSTATUS status;

	if (!c)
		return STATUS_INSUFFICIENT_RESOURCES;
	c->controller = s;
	c->index = index;
	status = VmbChannelAllocate(NULL, TRUE, &c->vmb);
	if (!NT_SUCCESS(status)) {
		c->vmb = NULL;
		goto free;
	}
	VmbChannelSetPointer(c->vmb, c);
	status = configure_channel(c);
	if (!NT_SUCCESS(status))
		goto free;
	if (disk_queue_create(s->options.queue_depth, storvsp_operations_done, c, &c->queue)) {
		status = STATUS_INSUFFICIENT_RESOURCES;
		goto free;
	}
	*out = c;
	return STATUS_SUCCESS;
free:
	free_channel(c);
	return status;
}

static NTSTATUS offer_channel(struct storvsp_channel *c)
{
	NTSTATUS status = VmbChannelEnable(c->vmb);

	if (NT_SUCCESS(status))
		VmbChannelStart(c->vmb);
	return status;
}

static NTSTATUS create_subchannel(struct kmcl_scsi *s, uint16_t index)
{
	struct storvsp_channel *c;
	NTSTATUS status = make_channel(s, index, &c);

	if (!NT_SUCCESS(status))
		return status;
	status = offer_channel(c);
	if (!NT_SUCCESS(status)) {
		free_channel(c);
		return status;
	}
	pthread_mutex_lock(&s->lock);
	s->channels[index] = c;
	pthread_mutex_unlock(&s->lock);
	return STATUS_SUCCESS;
}

static NTSTATUS create_subchannels(struct kmcl_scsi *s, struct storvsp_request *r)
{
	uint16_t count = r->packet.subchannels, i;
	NTSTATUS status = STATUS_SUCCESS;

	if (s->version < STORVSC_VERSION_WIN8 || count > s->options.subchannels)
		return STATUS_INVALID_PARAMETER;
	for (i = 1; i <= count && NT_SUCCESS(status); i++) {
		if (!s->channels[i]) /* the primary's callbacks alone change the table */
			status = create_subchannel(s, i);
	}
	return status;
}

static void add_channel_statistics(struct kmcl_scsi_statistics *sum, struct storvsp_channel *c)
{
	struct disk_queue_counters io;

	disk_queue_counters(c->queue, &io);
	sum->requests += c->requests.value;
	sum->reads += c->reads.value;
	sum->writes += c->writes.value;
	sum->read_bytes += c->read_bytes.value;
	sum->written_bytes += c->written_bytes.value;
	sum->other += c->other.value;
	sum->errors += c->errors;
	sum->refused += c->refused;
	sum->submits += io.submits;
}

static void close_subchannels(struct kmcl_scsi *s)
{
	uint16_t i;

	for (i = 1; i <= KMCL_SCSI_SUBCHANNELS; i++) {
		struct storvsp_channel *c = s->channels[i];

		if (!c)
			continue;
		VmbChannelDisable(c->vmb);
		pthread_mutex_lock(&s->lock);
		s->channels[i] = NULL;
		add_channel_statistics(&s->past, c);
		pthread_mutex_unlock(&s->lock);
		free_channel(c);
	}
}

/* ---- the controller ---- */

static int take_options(struct kmcl_scsi *s, const struct kmcl_scsi_options *options)
{
	struct kmcl_scsi_options *own = &s->options;
	int error = kmcl_options_take(own, sizeof(*own), options);

	if (error)
		return error;
	if (!own->queue_depth)
		own->queue_depth = DEFAULT_DEPTH;
	if (own->queue_depth > 4096 || own->queue_depth & (own->queue_depth - 1) ||
	    own->subchannels > KMCL_SCSI_SUBCHANNELS)
		return -EINVAL;
	snprintf(s->name, sizeof(s->name), "%s", own->name ? own->name : "scsi");
	own->name = s->name;
	own->instance = guid_or_name(own->instance, s->name);
	return 0;
}

/* The controller's one channel that is always there. */
static NTSTATUS offer(struct kmcl_scsi *s, struct kmcl_host *host)
{
	NTSTATUS status = VmbConvertVmbusHandleToKernelHandle(kmcl_host_handle(host), &s->vmbus);

	if (!NT_SUCCESS(status))
		return status;
	status = make_channel(s, 0, &s->channels[0]);
	if (!NT_SUCCESS(status))
		goto close;
	status = offer_channel(s->channels[0]);
	if (NT_SUCCESS(status))
		return status;
	free_channel(s->channels[0]);
close:
	ZwClose(s->vmbus);
	return status;
}

int kmcl_scsi_create(struct kmcl_host *host, const struct kmcl_scsi_options *options,
                     struct kmcl_scsi **controller)
{
	struct kmcl_scsi *s = calloc(1, sizeof(*s));
	int error;

	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->lock, NULL);
	error = take_options(s, options);
	if (!error)
		error = kmcl_errno(offer(s, host));
	if (error) {
		pthread_mutex_destroy(&s->lock);
		free(s);
		return error;
	}
	*controller = s;
	return 0;
}

void kmcl_scsi_destroy(struct kmcl_scsi *s)
{
	if (!s)
		return;
	VmbChannelDisable(s->channels[0]->vmb);
	close_subchannels(s); /* there are none left unless it never closed */
	free_channel(s->channels[0]);
	ZwClose(s->vmbus);
	storvsp_units_free(s);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

int kmcl_scsi_get_statistics(struct kmcl_scsi *s, struct kmcl_scsi_statistics *statistics)
{
	struct kmcl_scsi_statistics all;

	pthread_mutex_lock(&s->lock);
	all = s->past;
	for (uint16_t i = 0; i <= KMCL_SCSI_SUBCHANNELS; i++) {
		if (!s->channels[i])
			continue;
		add_channel_statistics(&all, s->channels[i]);
		all.subchannels = i;
	}
	pthread_mutex_unlock(&s->lock);
	all.losses = s->losses;
	all.failed = storvsp_units_failed(s);
	all.version = s->version;
	return kmcl_options_give(statistics, &all, sizeof(all));
}
