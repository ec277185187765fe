/* SPDX-License-Identifier: BSD-2-Clause */
/* The network adapter: its channels, and the negotiation with the guest's driver. */
#include "net/netvsp_private.h"

#include "common/channel_name.h"
#include "common/guid.h"
#include "common/monitored.h"

#include <errno.h>
#include <kmcl/options.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_NAME  "Network Adapter" /* Hyper-V's; Linux makes no alias of it */
#define DEFAULT_DEPTH 512u
#define DEFAULT_SPEED 10000000000u
#define MAX_PACKET    256u /* guests send 40 bytes at most; a longer one is read as far as known */

static const GUID interface_type = NETVSC_INTERFACE_TYPE;

/* ---- what is common ---- */

void netvsp_refuse(struct kmcl_net *s, uint16_t channel, const char *what, uint64_t expected,
                   uint64_t actual)
{
	atomic_fetch_add_explicit(&s->refused, 1, memory_order_relaxed);
	if (atomic_fetch_add_explicit(&s->complaints, 1, memory_order_relaxed) < NETVSP_COMPLAINTS)
		kmcl_channel_log(s->channels[0]->vmb, KMCL_LOG_WARNING,
		                 "%s.%u: refused: %s: expected %#llx, got %#llx", s->name, channel,
		                 what, (unsigned long long)expected, (unsigned long long)actual);
}

void netvsp_count_traffic(struct traffic *t, const uint8_t *destination, uint32_t length)
{
	static const uint8_t broadcast[NET_ADDRESS] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	int kind = destination[0] & 1;

	if (kind && !memcmp(destination, broadcast, NET_ADDRESS))
		kind = 2;
	counter_add(&t->frames[kind], 1);
	counter_add(&t->bytes[kind], length);
}

void netvsp_request_done(struct netvsp_request *r)
{
	struct nvsp_message answer = { .type = NVSP_RNDIS_PACKET_COMPLETE };

	if (atomic_fetch_sub_explicit(&r->pending, 1, memory_order_acq_rel) != 1)
		return;
	answer.rndis_packet_complete.status = r->status; /* not sooner: others set it */
	VmbChannelPacketComplete(r->completion, &answer, r->adapter->message_size);
}

/* ---- negotiation ---- */

static bool version_known(const struct kmcl_net *s, uint32_t version)
{
	static const uint32_t known[] = { NVSP_VERSION_1, NVSP_VERSION_2, NVSP_VERSION_4,
		                          NVSP_VERSION_5, NVSP_VERSION_6, NVSP_VERSION_61 };
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i] == version)
			return !s->options.version_max || version <= s->options.version_max;
	}
	return false;
}

static void out_of_turn(struct kmcl_net *s, const struct nvsp_message *m)
{
	netvsp_refuse(s, 0, "message out of turn", s->state, m->type);
}

/* The answer's size is that of the versions before 6.1 whatever comes of it (OpenVMM). A driver
 * whose version is not agreed to tries its next one. */
static uint32_t on_init(struct kmcl_net *s, const struct nvsp_message *m,
                        struct nvsp_message *answer)
{
	uint32_t version = m->init.version;

	answer->type = NVSP_INIT_COMPLETE;
	answer->init_complete.negotiated_version = NVSP_VERSION_INVALID;
	answer->init_complete.max_mdl_chain = NETVSP_MDL_CHAIN;
	if (s->state != NETVSP_OPEN) {
		out_of_turn(s, m);
		answer->init_complete.status = NVSP_STATUS_FAILURE;
		return s->message_size;
	}
	if (!version_known(s, version))
		return NVSP_MESSAGE_SIZE_1;
	if (version == NVSP_VERSION_1)
		answer->init_complete.negotiated_version = version;
	answer->init_complete.status = NVSP_STATUS_SUCCESS;
	s->version = version;
	s->message_size = version >= NVSP_VERSION_61 ? NVSP_MESSAGE_SIZE_61 : NVSP_MESSAGE_SIZE_1;
	s->state = NETVSP_VERSIONED;
	return NVSP_MESSAGE_SIZE_1;
}

/* What cannot be is the nearest that can, where vmswitch takes the usual one (OpenVMM): the message
 * has no answer, and the guest asks which it is (Linux rndis_filter_device_add). */
static uint32_t nearest_mtu(uint32_t mtu)
{
	if (mtu < NETVSP_MTU_MIN)
		return NETVSP_MTU_MIN;
	return mtu > NETVSP_MTU_MAX ? NETVSP_MTU_MAX : mtu;
}

static uint32_t on_ndis_config(struct kmcl_net *s, const struct nvsp_message *m)
{
	uint32_t mtu = m->ndis_config.mtu;

	if (s->has_config || s->ready) {
		out_of_turn(s, m);
		return 0;
	}
	s->has_config = true;
	if (mtu > NETVSP_MTU_MAX)
		netvsp_refuse(s, 0, "largest frame that the guest wants", NETVSP_MTU_MAX, mtu);
	s->mtu = nearest_mtu(mtu);
	s->capabilities = m->ndis_config.capabilities;
	pthread_mutex_lock(&s->control_lock);
	s->device.mtu = s->mtu;
	pthread_mutex_unlock(&s->control_lock);
	return 0;
}

static uint32_t on_ndis_version(struct kmcl_net *s, const struct nvsp_message *m)
{
	pthread_mutex_lock(&s->control_lock);
	s->device.ndis_version =
		NVSP_NDIS_VERSION(m->ndis_version.major & 0xffff, m->ndis_version.minor & 0xffff);
	pthread_mutex_unlock(&s->control_lock);
	return 0;
}

static bool take_receive_buffer(struct kmcl_net *s, const struct nvsp_message *m,
                                struct nvsp_receive_section *section)
{
	struct netvsp_buffer buffer;
	NTSTATUS status =
		netvsp_buffer_map(&buffer, s->channels[0]->vmb, &m->buffer, NETVSP_RECEIVE_MAX);

	if (!NT_SUCCESS(status)) {
		netvsp_refuse(s, 0, "receive buffer", NETVSP_RECEIVE_MAX, (uint32_t)status);
		return false;
	}
	section->slot_size = s->mtu + NETVSP_SLOT_EXTRA;
	section->slot_count = buffer.size / section->slot_size;
	section->end_offset = section->slot_size * section->slot_count;
	if (section->slot_count < 3) /* one for frames, one for answers, and 0 */
		netvsp_refuse(s, 0, "slots of the receive buffer", 3, section->slot_count);
	else if (netvsp_receive_begin(s, &buffer, section->slot_size, section->slot_count))
		return true;
	netvsp_buffer_unmap(&buffer, s->channels[0]->vmb);
	return false;
}

static uint32_t on_receive_buffer(struct kmcl_net *s, const struct nvsp_message *m,
                                  struct nvsp_message *answer)
{
	struct nvsp_receive_buffer_complete *complete = &answer->receive_buffer_complete;

	answer->type = NVSP_SEND_RECEIVE_BUFFER_COMPLETE;
	complete->status = NVSP_STATUS_FAILURE;
	/* Once for each time it is open; of version 2 on the size of the slots has to be known. */
	if (s->slots.count || (s->version >= NVSP_VERSION_2 && !s->has_config)) {
		out_of_turn(s, m);
	} else if (take_receive_buffer(s, m, &complete->section)) {
		complete->status = NVSP_STATUS_SUCCESS;
		complete->section_count = 1;
		s->ready = true;
	}
	return s->message_size;
}

static uint32_t on_send_buffer(struct kmcl_net *s, const struct nvsp_message *m,
                               struct nvsp_message *answer)
{
	NTSTATUS status;

	answer->type = NVSP_SEND_SEND_BUFFER_COMPLETE;
	answer->send_buffer_complete.status = NVSP_STATUS_FAILURE;
	if (s->send_buffer.gpadl) {
		out_of_turn(s, m);
		return s->message_size;
	}
	status = netvsp_buffer_map(&s->send_buffer, s->channels[0]->vmb, &m->buffer,
	                           NETVSP_SEND_MAX);
	if (!NT_SUCCESS(status)) {
		netvsp_refuse(s, 0, "send buffer", NETVSP_SEND_MAX, (uint32_t)status);
		return s->message_size;
	}
	ExReInitializeRundownProtection(&s->send_users);
	answer->send_buffer_complete.status = NVSP_STATUS_SUCCESS;
	answer->send_buffer_complete.section_size = NETVSP_SECTION_SIZE;
	return s->message_size;
}

static void give_back_receive_buffer(struct kmcl_net *s)
{
	struct netvsp_buffer buffer;

	s->ready = false;
	netvsp_receive_revoke(s, &buffer);
	netvsp_buffer_unmap(&buffer, s->channels[0]->vmb);
}

static void give_back_send_buffer(struct kmcl_net *s)
{
	if (!s->send_buffer.gpadl)
		return;
	ExWaitForRundownProtectionRelease(&s->send_users);
	netvsp_buffer_unmap(&s->send_buffer, s->channels[0]->vmb);
}

/* A virtual function is never offered, so there is only one path to be on. */
static uint32_t on_switch_data_path(struct kmcl_net *s, const struct nvsp_message *m)
{
	if (m->switch_data_path.path)
		netvsp_refuse(s, 0, "data path", 0, m->switch_data_path.path);
	return 0;
}

static uint32_t on_oid_query_ex(struct kmcl_net *s, struct nvsp_message *answer)
{
	answer->type = NVSP_OID_QUERY_EX_COMPLETE;
	answer->oid_query_ex_complete.status = RNDIS_STATUS_NOT_SUPPORTED;
	return s->message_size;
}

static uint16_t create_subchannels(struct kmcl_net *s, uint32_t count);

static uint32_t on_subchannel(struct kmcl_net *s, const struct nvsp_message *m,
                              struct nvsp_message *answer)
{
	const struct nvsp_subchannel_request *request = &m->subchannel_request;

	answer->type = NVSP_SUBCHANNEL;
	answer->subchannel_complete.status = NVSP_STATUS_FAILURE;
	if (!s->ready || s->subchannels) {
		out_of_turn(s, m);
	} else if (request->operation != NVSP_SUBCHANNEL_ALLOCATE || !request->count ||
	           request->count >= s->options.queues) {
		netvsp_refuse(s, 0, "subchannels", s->options.queues - 1u, request->count);
	} else {
		answer->subchannel_complete.status = NVSP_STATUS_SUCCESS;
		answer->subchannel_complete.count = create_subchannels(s, request->count);
	}
	return s->message_size;
}

/* How much of a message has to be there, and since which version there is such a one; 0: no. */
static uint32_t least_size(uint32_t type, uint32_t *version)
{
	*version = NVSP_VERSION_1;
	switch (type) {
	case NVSP_INIT:
		*version = 0;
		return 4 + sizeof(struct nvsp_init);
	case NVSP_SEND_NDIS_VERSION:
		return 4 + sizeof(struct nvsp_ndis_version);
	case NVSP_SEND_RECEIVE_BUFFER:
	case NVSP_SEND_SEND_BUFFER:
		return 4 + offsetof(struct nvsp_buffer, reserved);
	case NVSP_REVOKE_RECEIVE_BUFFER:
	case NVSP_REVOKE_SEND_BUFFER:
		return 4 + offsetof(struct nvsp_revoke, reserved);
	case NVSP_RNDIS_PACKET:
		return 4 + sizeof(struct nvsp_rndis_packet);
	case NVSP_SEND_NDIS_CONFIG:
		*version = NVSP_VERSION_2;
		return 4 + sizeof(struct nvsp_ndis_config);
	case NVSP_SWITCH_DATA_PATH:
		*version = NVSP_VERSION_4;
		return 4 + sizeof(struct nvsp_switch_data_path);
	case NVSP_OID_QUERY_EX:
		*version = NVSP_VERSION_5;
		return 4 + sizeof(struct nvsp_oid_query_ex);
	case NVSP_SUBCHANNEL:
		*version = NVSP_VERSION_5;
		return 4 + sizeof(struct nvsp_subchannel_request);
	}
	return 0;
}

/* Returns the size of the answer. An empty one is what drivers expect where they ask for any at all
 * (UEFI's of the first two; Linux of the data path). */
static uint32_t negotiate(struct kmcl_net *s, const struct nvsp_message *m,
                          struct nvsp_message *answer)
{
	switch (m->type) {
	case NVSP_INIT:
		return on_init(s, m, answer);
	case NVSP_SEND_NDIS_CONFIG:
		return on_ndis_config(s, m);
	case NVSP_SEND_NDIS_VERSION:
		return on_ndis_version(s, m);
	case NVSP_SEND_RECEIVE_BUFFER:
		return on_receive_buffer(s, m, answer);
	case NVSP_REVOKE_RECEIVE_BUFFER:
		give_back_receive_buffer(s);
		return 0;
	case NVSP_SEND_SEND_BUFFER:
		return on_send_buffer(s, m, answer);
	case NVSP_REVOKE_SEND_BUFFER:
		give_back_send_buffer(s);
		return 0;
	case NVSP_SWITCH_DATA_PATH:
		return on_switch_data_path(s, m);
	case NVSP_OID_QUERY_EX:
		return on_oid_query_ex(s, answer);
	default:
		return on_subchannel(s, m, answer);
	}
}

/* ---- packets ---- */

static bool message_valid(struct netvsp_channel *c, const struct nvsp_message *m, uint32_t size)
{
	struct kmcl_net *s = c->adapter;
	uint32_t version, least;

	if (size < sizeof(m->type)) {
		netvsp_refuse(s, c->index, "size of a message", sizeof(m->type), size);
		return false;
	}
	least = least_size(m->type, &version);
	if (!least || (version && version > s->version) ||
	    (c->index && m->type != NVSP_RNDIS_PACKET)) {
		netvsp_refuse(s, c->index, "type of a message", NVSP_RNDIS_PACKET, m->type);
		return false;
	}
	if (size < least) {
		netvsp_refuse(s, c->index, "size of a message", least, size);
		return false;
	}
	return true;
}

static void process_rndis(struct netvsp_channel *c, VMBPACKETCOMPLETION completion,
                          const struct nvsp_message *m, PMDL mdl)
{
	struct netvsp_request *r = VmbChannelPacketGetClientContext(completion);

	r->adapter = c->adapter;
	r->completion = completion;
	r->status = NVSP_STATUS_FAILURE;
	atomic_init(&r->pending, 1);
	if (atomic_load_explicit(&c->adapter->ready, memory_order_acquire)) {
		netvsp_transmit(c, r, &m->rndis_packet, mdl);
		return;
	}
	netvsp_refuse(c->adapter, c->index, "RNDIS without a receive buffer", 1, 0);
	netvsp_request_done(r);
}

/* Memory is mapped and channels are made: that takes PASSIVE_LEVEL. */
static void process_control(struct netvsp_channel *c, VMBPACKETCOMPLETION completion,
                            const struct nvsp_message *m)
{
	struct nvsp_message answer = { 0 };

	if (KeGetCurrentIrql() > PASSIVE_LEVEL) {
		VmbChannelPacketDeferToPassive(completion);
		return;
	}
	VmbChannelPacketComplete(completion, &answer, negotiate(c->adapter, m, &answer));
}

static void process_packet(VMBCHANNEL vmb, VMBPACKETCOMPLETION completion, PVOID buffer,
                           UINT32 length, UINT32 flags)
{
	struct netvsp_channel *c = VmbChannelGetPointer(vmb);
	struct nvsp_message m = { 0 };
	PMDL mdl = NULL;
	NTSTATUS status;

	memcpy(&m, buffer, length < sizeof(m) ? length : sizeof(m));
	if (!message_valid(c, &m, length)) {
		VmbChannelPacketComplete(completion, NULL, 0);
		return;
	}
	if (m.type != NVSP_RNDIS_PACKET) {
		process_control(c, completion, &m);
		return;
	}
	if (flags & VMBUS_CHANNEL_PROCESS_PACKET_FLAG_EXTERNAL_DATA) {
		status = VmbChannelPacketGetExternalData(
			completion, VMBUS_CHANNEL_PACKET_EXTERNAL_DATA_FLAG_READ_ONLY, &mdl);
		if (status == STATUS_PENDING)
			return;
		if (!NT_SUCCESS(status)) {
			netvsp_refuse(c->adapter, c->index, "memory of a packet", 0,
			              (uint32_t)status);
			mdl = NULL;
		}
	}
	process_rndis(c, completion, &m, mdl);
}

/* ---- channels ---- */

/* Which queue the guest shall send a flow on: all of them, one after the other. */
static void send_indirection_table(struct kmcl_net *s, uint16_t queues)
{
	struct {
		struct nvsp_message message;
		uint32_t entries[NVSP_INDIRECTION_ENTRIES];
	} table = { .message = { .type = NVSP_SEND_INDIRECTION_TABLE } };
	VMBPACKET packet = VmbPacketAllocate(s->channels[0]->vmb);
	uint32_t i;

	if (!packet)
		return;
	/*
	 * Right behind the longest message: with versions before 6.1 Linux looks there whatever the
	 * offset says, as hosts had it wrong (netvsc_send_table).
	 */
	table.message.indirection_table.count = NVSP_INDIRECTION_ENTRIES;
	table.message.indirection_table.offset = sizeof(table.message);
	for (i = 0; i < NVSP_INDIRECTION_ENTRIES; i++)
		table.entries[i] = i % queues;
	if (!NT_SUCCESS(VmbPacketSend(packet, &table, sizeof(table), NULL, 0)))
		VmbPacketFree(packet);
}

static void forget_session(struct kmcl_net *s)
{
	s->version = 0;
	s->message_size = NVSP_MESSAGE_SIZE_1;
	s->mtu = NET_MTU_FRAME;
	s->has_config = false;
	s->ready = false;
	s->capabilities = 0;
	atomic_store(&s->complaints, 0);
	pthread_mutex_lock(&s->control_lock);
	rndis_reset_device(&s->device);
	s->device.mtu = NET_MTU_FRAME;
	s->device.ndis_version = 0;
	netvsp_rules_changed(s);
	pthread_mutex_unlock(&s->control_lock);
}

static NTSTATUS opened(VMBCHANNEL vmb)
{
	struct netvsp_channel *c = VmbChannelGetPointer(vmb);

	if (!c->index) {
		forget_session(c->adapter);
		c->adapter->state = NETVSP_OPEN;
	}
	return STATUS_SUCCESS;
}

/* The last of the subchannels that the guest asked for tells where to send. */
static void started(VMBCHANNEL vmb)
{
	struct netvsp_channel *c = VmbChannelGetPointer(vmb);
	struct kmcl_net *s = c->adapter;
	uint16_t active = 0, i;

	netvsp_channel_activate(c, true);
	if (!c->index)
		return;
	pthread_mutex_lock(&s->rx.lock);
	for (i = 0; i < KMCL_NET_QUEUES; i++)
		active += s->rx.channels[i] && s->rx.channels[i]->active;
	pthread_mutex_unlock(&s->rx.lock);
	if (active == s->subchannels + 1)
		send_indirection_table(s, active);
}

static void suspend(VMBCHANNEL vmb)
{
	netvsp_channel_activate(VmbChannelGetPointer(vmb), false);
}

static void close_subchannels(struct kmcl_net *s);

static void closed(VMBCHANNEL vmb)
{
	struct netvsp_channel *c = VmbChannelGetPointer(vmb);
	struct kmcl_net *s = c->adapter;

	if (c->index)
		return;
	s->state = NETVSP_CLOSED;
	close_subchannels(s);
	give_back_receive_buffer(s);
	give_back_send_buffer(s);
	netvsp_receive_end(s);
	forget_session(s);
}

static NTSTATUS configure_channel(struct netvsp_channel *c)
{
	struct kmcl_net *s = c->adapter;
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS callbacks;
	NTSTATUS status;

	VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(&callbacks);
	callbacks.EvtChannelOpened = opened;
	callbacks.EvtChannelStarted = started;
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
		status = VmbChannelInitSetMaximumExternalData(c->vmb, NETVSP_EXTERNAL_MAX,
		                                              NETVSP_CHAIN_MAX);
	if (NT_SUCCESS(status))
		status = VmbChannelInitSetClientContextSize(c->vmb, sizeof(struct netvsp_request));
	if (NT_SUCCESS(status))
		status = VmbChannelInitSetProcessPacketCallbacks(c->vmb, process_packet, NULL);
	if (NT_SUCCESS(status))
		status = VmbChannelInitSetStateChangeCallbacks(c->vmb, &callbacks);
	if (NT_SUCCESS(status))
		status = monitored_configure(c->vmb, s->options.monitored);
	if (NT_SUCCESS(status))
		status = channel_name(c->vmb, c->adapter->name, c->index);
	VmbChannelSetTransactionQuota(c->vmb, s->options.queue_depth);
	return status;
}

static void set_receiver(struct kmcl_net *s, uint16_t index, struct netvsp_channel *c)
{
	pthread_mutex_lock(&s->rx.lock);
	s->rx.channels[index] = c;
	pthread_mutex_unlock(&s->rx.lock);
	s->channels[index] = c;
}

static void free_channel(struct netvsp_channel *c)
{
	if (c->vmb)
		VmbChannelCleanup(c->vmb);
	free(c);
}

static NTSTATUS make_channel(struct kmcl_net *s, uint16_t index, struct netvsp_channel **out)
{
	struct netvsp_channel *c = calloc(1, sizeof(*c));
	NTSTATUS status;

	if (!c)
		return STATUS_INSUFFICIENT_RESOURCES;
	c->adapter = s;
	c->index = index;
	c->queue = &s->queues[index];
	status = VmbChannelAllocate(NULL, TRUE, &c->vmb);
	if (!NT_SUCCESS(status)) {
		c->vmb = NULL;
		goto free;
	}
	VmbChannelSetPointer(c->vmb, c);
	status = configure_channel(c);
	if (!NT_SUCCESS(status))
		goto free;
	*out = c;
	return STATUS_SUCCESS;
free:
	free_channel(c);
	return status;
}

/* The guest may open it as soon as it is offered. */
static NTSTATUS offer_channel(struct kmcl_net *s, uint16_t index)
{
	struct netvsp_channel *c = NULL;
	NTSTATUS status = make_channel(s, index, &c);

	if (!NT_SUCCESS(status))
		return status;
	set_receiver(s, index, c);
	status = VmbChannelEnable(c->vmb);
	if (NT_SUCCESS(status)) {
		VmbChannelStart(c->vmb);
		return status;
	}
	set_receiver(s, index, NULL);
	free_channel(c);
	return status;
}

/* Returns how many there are now: the guest opens as many as it is told. */
static uint16_t create_subchannels(struct kmcl_net *s, uint32_t count)
{
	uint16_t i;

	s->subchannels = (uint16_t)count;
	for (i = 1; i <= count; i++) {
		if (!NT_SUCCESS(offer_channel(s, i)))
			break;
	}
	s->subchannels = i - 1;
	return i - 1;
}

static void close_subchannels(struct kmcl_net *s)
{
	uint16_t i;

	for (i = 1; i < KMCL_NET_QUEUES; i++) {
		struct netvsp_channel *c = s->channels[i];

		if (!c)
			continue;
		VmbChannelDisable(c->vmb);
		set_receiver(s, i, NULL);
		free_channel(c);
	}
	s->subchannels = 0;
}

/* ---- link ---- */

static void indicate(struct kmcl_net *s, uint32_t status, const void *data, uint32_t size)
{
	uint8_t message[RNDIS_ANSWER_MAX];

	netvsp_rules_changed(s);
	if (s->device.initialized)
		netvsp_send_control(s, message, rndis_indicate(status, data, size, message));
}

void kmcl_net_set_link(struct kmcl_net *s, bool up)
{
	pthread_mutex_lock(&s->control_lock);
	if (s->device.link_up != up) {
		s->device.link_up = up;
		s->link_up = up;
		indicate(s, up ? RNDIS_STATUS_MEDIA_CONNECT : RNDIS_STATUS_MEDIA_DISCONNECT, NULL,
		         0);
	}
	pthread_mutex_unlock(&s->control_lock);
}

/* Linux takes 32 bits, of 100 bit/s each, and says that it has to offer TEAMING to be told. */
void kmcl_net_set_speed(struct kmcl_net *s, uint64_t speed)
{
	uint64_t units = speed / 100;
	uint32_t value = units < UINT32_MAX ? (uint32_t)units : UINT32_MAX;

	pthread_mutex_lock(&s->control_lock);
	s->device.speed = speed;
	if (s->capabilities & NVSP_CAPABILITY_TEAMING)
		indicate(s, RNDIS_STATUS_LINK_SPEED, &value, sizeof(value));
	pthread_mutex_unlock(&s->control_lock);
}

/* ---- counting ---- */

static void add_traffic(struct rndis_counts *sum, const struct traffic *t)
{
	int i;

	for (i = 0; i < 3; i++) {
		sum->frames[i] += counter_get(&t->frames[i]);
		sum->bytes[i] += counter_get(&t->bytes[i]);
	}
}

static void count(void *context, struct rndis_counts *rx, struct rndis_counts *tx)
{
	struct kmcl_net *s = context;
	int i;

	for (i = 0; i < (int)KMCL_NET_QUEUES; i++) {
		add_traffic(rx, &s->queues[i].rx);
		add_traffic(tx, &s->queues[i].tx);
	}
	rx->errors = counter_get(&s->rx.too_long);
	rx->discards = counter_get(&s->rx.filtered);
	tx->errors = s->tx_errors;
	tx->discards = s->tx_dropped;
}

static uint64_t total(const uint64_t parts[3])
{
	return parts[0] + parts[1] + parts[2];
}

static void queue_statistics(struct kmcl_net *s, struct kmcl_net_statistics *statistics, int i)
{
	const struct netvsp_queue *q = &s->queues[i];
	struct rndis_counts rx = { 0 }, tx = { 0 };

	add_traffic(&rx, &q->rx);
	add_traffic(&tx, &q->tx);
	statistics->queue[i].rx_frames = total(rx.frames);
	statistics->queue[i].tx_frames = total(tx.frames);
	statistics->rx_frames += total(rx.frames);
	statistics->rx_bytes += total(rx.bytes);
	statistics->tx_frames += total(tx.frames);
	statistics->tx_bytes += total(tx.bytes);
	statistics->rx_packets += counter_get(&q->rx_packets);
	statistics->tx_checksums += counter_get(&q->tx_checksums);
	statistics->tx_large_sends += counter_get(&q->tx_large_sends);
	statistics->tx_segments += counter_get(&q->tx_segments);
}

static void receive_statistics(struct kmcl_net *s, struct kmcl_net_statistics *statistics)
{
	uint16_t i;

	pthread_mutex_lock(&s->rx.lock);
	for (i = 1; i < KMCL_NET_QUEUES; i++)
		statistics->subchannels += s->rx.channels[i] != NULL;
	statistics->ready = s->rx.channels[0]->active && s->rx.buffer.gpadl &&
	                    s->rx.rules.initialized && s->rx.rules.filter;
	pthread_mutex_unlock(&s->rx.lock);
	pthread_mutex_lock(&s->slots.lock);
	statistics->slots = s->slots.count ? s->slots.count - 1 : 0;
	statistics->slots_free = s->slots.free_count;
	pthread_mutex_unlock(&s->slots.lock);
}

int kmcl_net_get_statistics(struct kmcl_net *s, struct kmcl_net_statistics *statistics)
{
	struct kmcl_net_statistics all = { .size = sizeof(all) };
	int i;

	for (i = 0; i < (int)KMCL_NET_QUEUES; i++)
		queue_statistics(s, &all, i);
	receive_statistics(s, &all);
	all.tx_dropped = s->tx_dropped;
	all.tx_errors = s->tx_errors;
	all.rx_filtered = counter_get(&s->rx.filtered);
	all.rx_too_long = counter_get(&s->rx.too_long);
	all.rx_waits = counter_get(&s->rx.waits);
	all.refused = s->refused;
	all.version = s->version;
	all.mtu = s->mtu;
	all.link_up = s->link_up;
	pthread_mutex_lock(&s->control_lock);
	memcpy(all.address, s->device.address, NET_ADDRESS);
	pthread_mutex_unlock(&s->control_lock);
	return kmcl_options_give(statistics, &all, sizeof(all));
}

/* ---- the adapter ---- */

static int take_options(struct kmcl_net *s, const struct kmcl_net_options *options)
{
	struct kmcl_net_options *own = &s->options;
	int error = kmcl_options_take(own, sizeof(*own), options);

	if (error)
		return error;
	if (!own->queues)
		own->queues = 1;
	if (!own->queue_depth)
		own->queue_depth = DEFAULT_DEPTH;
	if (!own->speed)
		own->speed = DEFAULT_SPEED;
	if (own->queues > KMCL_NET_QUEUES || own->queue_depth > 65536 || own->address[0] & 1 ||
	    !own->backend)
		return -EINVAL;
	snprintf(s->name, sizeof(s->name), "%s", own->name ? own->name : DEFAULT_NAME);
	own->name = s->name;
	own->instance = guid_or_name(own->instance, s->name);
	s->backend = own->backend;
	return 0;
}

/* The same adapter keeps its address: Hyper-V's prefix, and three bytes of the instance's hash. */
static void make_address(struct kmcl_net_options *o)
{
	static const uint8_t none[NET_ADDRESS];
	const uint8_t *p = (const uint8_t *)&o->instance;
	uint32_t hash = 0x811c9dc5u; /* FNV-1a */
	size_t i;

	if (memcmp(o->address, none, NET_ADDRESS))
		return;
	for (i = 0; i < sizeof(o->instance); i++)
		hash = (hash ^ p[i]) * 0x01000193u;
	net_put32(o->address, 0x00155d00);
	net_put32(o->address + 2, 0x5d000000 | (hash & 0xffffff));
}

static void init_device(struct kmcl_net *s)
{
	struct rndis_device *d = &s->device;

	memcpy(d->permanent_address, s->options.address, NET_ADDRESS);
	memcpy(d->address, s->options.address, NET_ADDRESS);
	d->name = s->name;
	d->queues = s->options.queues;
	d->speed = s->options.speed;
	d->link_up = !s->options.link_down;
	s->link_up = d->link_up;
	d->count = count;
	d->context = s;
}

static struct kmcl_net *allocate(void)
{
	struct kmcl_net *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->port.ops = &netvsp_port_ops;
	s->rx.pending_last = &s->rx.pending;
	pthread_mutex_init(&s->control_lock, NULL);
	pthread_mutex_init(&s->rx.lock, NULL);
	pthread_mutex_init(&s->slots.lock, NULL);
	ExInitializeRundownProtection(&s->send_users);
	ExRundownCompleted(&s->send_users);
	return s;
}

static void release(struct kmcl_net *s)
{
	pthread_mutex_destroy(&s->slots.lock);
	pthread_mutex_destroy(&s->rx.lock);
	pthread_mutex_destroy(&s->control_lock);
	free(s);
}

void kmcl_net_backend_destroy(struct kmcl_net_backend *backend)
{
	if (backend)
		backend->ops->destroy(backend);
}

/* The back end's end of the adapter is ready before its channel is. */
static int offer(struct kmcl_net *s, struct kmcl_host *host)
{
	NTSTATUS status = VmbConvertVmbusHandleToKernelHandle(kmcl_host_handle(host), &s->vmbus);

	if (!NT_SUCCESS(status))
		return kmcl_errno(status);
	status = STATUS_UNSUCCESSFUL;
	if (s->backend->ops->start(s->backend, &s->port))
		status = offer_channel(s, 0);
	if (!NT_SUCCESS(status))
		ZwClose(s->vmbus);
	return kmcl_errno(status);
}

int kmcl_net_create(struct kmcl_host *host, const struct kmcl_net_options *options,
                    struct kmcl_net **net)
{
	struct kmcl_net *s = allocate();
	int error = s ? take_options(s, options) : -ENOMEM;

	if (!error) {
		make_address(&s->options);
		init_device(s);
		forget_session(s);
		error = offer(s, host);
	}
	if (!error) {
		*net = s;
		return 0;
	}
	if (options)
		kmcl_net_backend_destroy(options->backend); /* it may use the port until then */
	if (s)
		release(s);
	return error;
}

void kmcl_net_destroy(struct kmcl_net *s)
{
	struct netvsp_channel *primary;

	if (!s)
		return;
	primary = s->channels[0];
	VmbChannelDisable(primary->vmb);
	close_subchannels(s); /* there are none left unless it never closed */
	set_receiver(s, 0, NULL);
	free_channel(primary);
	kmcl_net_backend_destroy(s->backend);
	ZwClose(s->vmbus);
	release(s);
}
