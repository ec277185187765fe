/* SPDX-License-Identifier: BSD-2-Clause */
#include "net_guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION

static const GUID interface_type = NETVSC_INTERFACE_TYPE;

uint8_t *net_pool(size_t size)
{
	uint8_t *p = ExAllocatePoolWithTag(NonPagedPoolNx, size, NET_GUEST_TAG);

	assert_non_null(p);
	return p;
}

/* ---- what comes; the checks are those of Linux 6.1 netvsc.c and rndis_filter.c ---- */

static void complain(struct net_guest *g, const char *what, uint64_t value)
{
	if (!atomic_fetch_add(&g->wrong, 1))
		snprintf(g->complaint, sizeof(g->complaint), "%s: %#llx", what,
		         (unsigned long long)value);
}

static const uint8_t *find_info(struct net_guest *g, const uint8_t *packet, uint32_t size,
                                uint32_t type)
{
	struct rndis_packet head;
	struct rndis_packet_info info;
	uint32_t left;
	const uint8_t *at;

	memcpy(&head, packet, sizeof(head));
	if (!head.info_offset)
		return NULL;
	if (head.info_offset < sizeof(head) || head.info_offset > size ||
	    head.info_length < sizeof(info) || head.info_length > size - head.info_offset) {
		complain(g, "per-packet information", head.info_offset);
		return NULL;
	}
	at = packet + head.info_offset;
	for (left = head.info_length; left; left -= info.size, at += info.size) {
		memcpy(&info, at, sizeof(info));
		if (info.size > left || info.size < sizeof(info) ||
		    info.value_offset >= info.size || info.size - info.value_offset < 4) {
			complain(g, "size of information", info.size);
			return NULL;
		}
		if (info.type == type)
			return at + info.value_offset;
	}
	return NULL;
}

static bool take_info(struct net_guest *g, const uint8_t *packet, uint32_t size, uint32_t type,
                      uint32_t *value)
{
	const uint8_t *at = find_info(g, packet, size, type);

	if (at)
		memcpy(value, at, sizeof(*value));
	return at != NULL;
}

static void take_frame(struct net_guest_queue *q, const uint8_t *message, uint32_t size)
{
	struct net_guest *g = q->guest;
	const uint8_t *packet = message + sizeof(struct rndis_header);
	struct net_guest_frame *frame;
	struct rndis_packet head;

	if (size < sizeof(struct rndis_header) + sizeof(head)) {
		complain(g, "rndis pkt too small", size);
		return;
	}
	size -= sizeof(struct rndis_header);
	memcpy(&head, packet, sizeof(head));
	if (head.data_offset >= size || head.data_length > size - head.data_offset) {
		complain(g, "rndis packet offset", head.data_offset);
		return;
	}
	frame = calloc(1, sizeof(*frame) + head.data_length);
	frame->queue = q->index;
	frame->length = head.data_length;
	memcpy(frame->data, packet + head.data_offset, head.data_length);
	frame->has_checksum = take_info(g, packet, size, RNDIS_INFO_CHECKSUM, &frame->checksum);
	frame->has_vlan = take_info(g, packet, size, RNDIS_INFO_VLAN, &frame->vlan);
	frame->has_hash = take_info(g, packet, size, RNDIS_INFO_HASH, &frame->hash);
	pthread_mutex_lock(&g->lock);
	*g->frames_last = frame;
	g->frames_last = &frame->next;
	g->frame_count++;
	pthread_mutex_unlock(&g->lock);
	atomic_fetch_add(&q->frames, 1);
}

static void take_message(struct net_guest_queue *q, const uint8_t *message, uint32_t size)
{
	struct net_guest *g = q->guest;
	struct rndis_header header;
	uint8_t *copy;

	memcpy(&header, message, sizeof(header));
	if (header.type == RNDIS_PACKET) {
		take_frame(q, message, size);
		return;
	}
	if (q->index)
		complain(g, "control on a subchannel", header.type);
	copy = malloc(size);
	memcpy(copy, message, size);
	pthread_mutex_lock(&g->lock);
	if (g->message_count < NET_GUEST_MESSAGES) {
		g->messages[g->message_count] = copy;
		g->message_count++;
	} else
		free(copy);
	pthread_mutex_unlock(&g->lock);
}

static void take_ranges(struct net_guest_queue *q, const struct kmcl_transfer_range *ranges,
                        uint32_t count)
{
	struct net_guest *g = q->guest;
	uint32_t i, size = g->options.receive_size;

	for (i = 0; i < count; i++) {
		struct rndis_header header = { 0 };

		if (ranges[i].byte_offset > size ||
		    ranges[i].byte_count > size - ranges[i].byte_offset) {
			complain(g, "Packet offset + len too big", ranges[i].byte_offset);
			continue;
		}
		if (ranges[i].byte_count > g->section.slot_size ||
		    ranges[i].byte_offset % g->section.slot_size) {
			complain(g, "Packet too big", ranges[i].byte_count);
			continue;
		}
		memcpy(&header, g->receive + ranges[i].byte_offset, sizeof(header));
		if (header.length < sizeof(header) || header.length > ranges[i].byte_count) {
			complain(g, "Invalid rndis_msg", header.length);
			continue;
		}
		take_message(q, g->receive + ranges[i].byte_offset, ranges[i].byte_count);
	}
}

static void take_table(struct net_guest *g, const uint8_t *message, uint32_t size)
{
	struct nvsp_message m = { 0 };
	uint32_t offset;

	memcpy(&m, message, size < sizeof(m) ? size : sizeof(m));
	offset = m.indirection_table.offset;
	/* what Linux does for old hosts must come to the same */
	if (g->version <= NVSP_VERSION_6 && size >= 40 + 64 && offset != 40)
		complain(g, "send-table offset", offset);
	if (m.indirection_table.count != 16 || size < 64 || offset > size - 64) {
		complain(g, "wrong send-table", offset);
		return;
	}
	pthread_mutex_lock(&g->lock);
	memcpy(g->table, message + offset, sizeof(g->table));
	g->table_count++;
	pthread_mutex_unlock(&g->lock);
}

static void complete_received(VMBPACKETCOMPLETION completion)
{
	uint32_t answer[2] = { NVSP_RNDIS_PACKET_COMPLETE, NVSP_STATUS_SUCCESS };

	VmbChannelPacketComplete(completion, answer, sizeof(answer));
}

static void take_inband(struct net_guest_queue *q, VMBPACKETCOMPLETION completion,
                        const uint8_t *buffer, uint32_t size)
{
	uint32_t type = 0;

	memcpy(&type, buffer, size < 4 ? size : 4);
	if (type == NVSP_SEND_INDIRECTION_TABLE)
		take_table(q->guest, buffer, size);
	else
		complain(q->guest, "message in-band", type);
	VmbChannelPacketComplete(completion, NULL, 0);
}

static VOID process_packet(VMBCHANNEL vmb, VMBPACKETCOMPLETION completion, PVOID buffer,
                           UINT32 size, UINT32 flags)
{
	struct net_guest_queue *q = VmbChannelGetPointer(vmb);
	struct net_guest *g = q->guest;
	const struct kmcl_transfer_range *ranges;
	struct nvsp_message m = { 0 };
	uint32_t count;
	uint16_t set;
	bool hold;

	if (kmcl_packet_get_transfer_pages(completion, &set, &ranges, &count) == STATUS_NOT_FOUND) {
		take_inband(q, completion, buffer, size);
		return;
	}
	memcpy(&m, buffer, size < sizeof(m) ? size : sizeof(m));
	if (m.type != NVSP_RNDIS_PACKET || set != NET_GUEST_SET)
		complain(g, "xfer page set id", set);
	else
		take_ranges(q, ranges, count);
	atomic_fetch_add(&q->packets, 1);
	pthread_mutex_lock(&g->lock);
	hold = g->hold && g->held_count < 4096;
	if (hold)
		g->held[g->held_count++] = completion;
	pthread_mutex_unlock(&g->lock);
	if (!hold)
		complete_received(completion);
}

void net_guest_hold(struct net_guest *g, bool hold)
{
	VMBPACKETCOMPLETION held[4096];
	uint32_t count, i;

	pthread_mutex_lock(&g->lock);
	g->hold = hold;
	count = hold ? 0 : g->held_count;
	memcpy(held, g->held, count * sizeof(held[0]));
	if (!hold)
		g->held_count = 0;
	pthread_mutex_unlock(&g->lock);
	for (i = 0; i < count; i++)
		complete_received(held[i]);
}

uint32_t net_guest_held(struct net_guest *g)
{
	uint32_t count;

	pthread_mutex_lock(&g->lock);
	count = g->held_count;
	pthread_mutex_unlock(&g->lock);
	return count;
}

static struct net_guest_frame *try_receive(struct net_guest *g)
{
	struct net_guest_frame *frame;

	pthread_mutex_lock(&g->lock);
	frame = g->frames;
	if (frame) {
		g->frames = frame->next;
		if (!g->frames)
			g->frames_last = &g->frames;
		g->frame_count--;
	}
	pthread_mutex_unlock(&g->lock);
	return frame;
}

struct net_guest_frame *net_guest_receive(struct net_guest *g)
{
	struct net_guest_frame *frame = NULL;

	net_wait((frame = frame ? frame : try_receive(g)) != NULL);
	return frame;
}

/* ---- channels ---- */

static VOID post_started(VMBCHANNEL vmb)
{
	struct net_guest_queue *q = VmbChannelGetPointer(vmb);

	KeSetEvent(&q->started, 0, FALSE);
}

/* The offer was that of an adapter which is gone, and the word of it still on its way: wait for the
 * next. */
static VOID pnp_failure(VMBCHANNEL vmb, NTSTATUS status)
{
	VmbChannelEnable(vmb);
}

static VOID channel_closed(VMBCHANNEL vmb)
{
	struct net_guest_queue *q = VmbChannelGetPointer(vmb);
	struct net_guest *g = q->guest;

	if (q->index)
		return;
	if (g->receive_gpadl)
		VmbChannelDeleteGpadl(vmb, g->receive_gpadl);
	if (g->send_gpadl)
		VmbChannelDeleteGpadl(vmb, g->send_gpadl);
	g->receive_gpadl = 0;
	g->send_gpadl = 0;
}

static void open_queue(struct net_guest *g, uint16_t index)
{
	struct net_guest_queue *q = &g->queues[index];
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS callbacks;
	LARGE_INTEGER timeout = { .QuadPart = -10000ll * NET_GUEST_WAIT_MS };

	q->guest = g;
	q->index = index;
	KeInitializeEvent(&q->started, NotificationEvent, FALSE);
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(&callbacks);
	callbacks.EvtChannelPostStarted = post_started;
	callbacks.EvtChannelClosed = channel_closed;
	assert_int_equal(VmbChannelAllocate(g->bus, FALSE, &q->vmb), 0);
	VmbChannelSetPointer(q->vmb, q);
	assert_int_equal(VmbChannelInitSetStateChangeCallbacks(q->vmb, &callbacks), 0);
	assert_int_equal(VmbChannelInitSetProcessPacketCallbacks(q->vmb, process_packet, NULL), 0);
	assert_int_equal(VmbChannelInitSetMaximumPacketSize(q->vmb, 256), 0);
	assert_int_equal(VmbChannelInitSetMaximumExternalData(q->vmb, 512 << 10, 64), 0);
	assert_int_equal(VmbClientChannelInitSetRingBufferPageCount(q->vmb, 32, 32), 0);
	if (index)
		assert_int_equal(kmcl_channel_init_set_subchannel(q->vmb, index), 0);
	assert_int_equal(VmbClientChannelInitSetTargetPnp(q->vmb, &interface_type, &g->instance,
	                                                  pnp_failure),
	                 0);
	assert_int_equal(VmbChannelEnable(q->vmb), 0);
	assert_int_equal(KeWaitForSingleObject(&q->started, Executive, KernelMode, FALSE, &timeout),
	                 STATUS_SUCCESS);
}

static void close_queues(struct net_guest *g)
{
	int i;

	net_guest_hold(g, false);
	for (i = KMCL_NET_QUEUES - 1; i >= 0; i--) {
		if (!g->queues[i].vmb)
			continue;
		VmbChannelDisable(g->queues[i].vmb);
		VmbChannelCleanup(g->queues[i].vmb);
		g->queues[i].vmb = NULL;
	}
	g->version = 0;
}

static void set_options(struct net_guest *g, const struct net_guest_options *options)
{
	static const struct net_guest_options defaults;

	g->options = options ? *options : defaults;
	if (!g->options.mtu)
		g->options.mtu = NET_MTU_FRAME;
	if (!g->options.receive_size)
		g->options.receive_size = 256 << 10;
	if (!g->options.send_size)
		g->options.send_size = 64 << 10;
	if (!g->options.capabilities)
		g->options.capabilities = NVSP_CAPABILITY_VLAN | NVSP_CAPABILITY_TEAMING;
	g->receive = net_pool(g->options.receive_size);
	g->send = net_pool(g->options.send_size);
	memset(g->receive, 0xdd, g->options.receive_size);
}

static void free_buffers(struct net_guest *g)
{
	ExFreePoolWithTag(g->receive, NET_GUEST_TAG);
	ExFreePoolWithTag(g->send, NET_GUEST_TAG);
}

struct net_guest *net_guest_open(PDEVICE_OBJECT bus, const GUID *instance,
                                 const struct net_guest_options *options)
{
	struct net_guest *g = calloc(1, sizeof(*g));

	g->bus = bus;
	g->instance = *instance;
	g->frames_last = &g->frames;
	pthread_mutex_init(&g->lock, NULL);
	set_options(g, options);
	open_queue(g, 0);
	return g;
}

static void forget_received(struct net_guest *g)
{
	struct net_guest_frame *frame;

	while ((frame = try_receive(g)))
		free(frame);
	while (g->message_count)
		free(g->messages[--g->message_count]);
}

void net_guest_close(struct net_guest *g)
{
	close_queues(g);
	forget_received(g);
	if (g->wrong)
		print_error("the driver complains: %s\n", g->complaint);
	assert_int_equal(g->wrong, 0);
	free_buffers(g);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

void net_guest_reopen(struct net_guest *g, const struct net_guest_options *options)
{
	close_queues(g);
	forget_received(g);
	free_buffers(g);
	set_options(g, options);
	open_queue(g, 0);
}

/* ---- NVSP ---- */

uint32_t net_guest_say(struct net_guest *g, uint32_t queue, const void *message, uint32_t size,
                       struct nvsp_message *answer)
{
	LARGE_INTEGER timeout = { .QuadPart = -10000ll * NET_GUEST_WAIT_MS };
	uint8_t copy[256], reply[256];
	UINT32 got = sizeof(reply);

	memcpy(copy, message, size);
	assert_int_equal(VmbChannelSendSynchronousRequest(g->queues[queue].vmb, copy, size, NULL,
	                                                  answer ? WAIT : 0, answer ? reply : NULL,
	                                                  answer ? &got : NULL, &timeout),
	                 STATUS_SUCCESS);
	if (!answer)
		return 0;
	memset(answer, 0, sizeof(*answer));
	memcpy(answer, reply, got < sizeof(*answer) ? got : sizeof(*answer));
	return got;
}

/* netvsc_send_completion falls through from check to check: the shortest answer that passes all. */
#define LINUX_LEAST 28u

uint32_t net_guest_init(struct net_guest *g, uint32_t version)
{
	struct nvsp_message m = { .type = NVSP_INIT, .init = { version, version } }, answer;

	if (net_guest_say(g, 0, &m, sizeof(m), &answer) < LINUX_LEAST ||
	    answer.type != NVSP_INIT_COMPLETE)
		complain(g, "INIT_COMPLETE", answer.type);
	if (answer.init_complete.status == NVSP_STATUS_SUCCESS)
		g->version = version;
	return answer.init_complete.status;
}

void net_guest_config(struct net_guest *g)
{
	struct nvsp_message m = { .type = NVSP_SEND_NDIS_CONFIG };
	struct nvsp_message version = { .type = NVSP_SEND_NDIS_VERSION };

	m.ndis_config.mtu = g->options.mtu;
	m.ndis_config.capabilities = g->options.capabilities;
	if (g->version > NVSP_VERSION_1)
		net_guest_say(g, 0, &m, sizeof(m), NULL);
	version.ndis_version.major = 6;
	version.ndis_version.minor = g->version <= NVSP_VERSION_4 ? 1 : 30;
	net_guest_say(g, 0, &version, sizeof(version), NULL);
}

/* One range, as a guest's driver describes it, however large: IoAllocateMdl stops short of 16 MiB.
 */
static void show(struct net_guest *g, uint8_t *memory, uint32_t size, uint32_t *gpadl)
{
	PMDL mdl = calloc(1, sizeof(MDL) + (size / PAGE_SIZE + 2) * sizeof(PFN_NUMBER));

	MmInitializeMdl(mdl, memory, size);
	MmBuildMdlForNonPagedPool(mdl);
	assert_int_equal(VmbChannelCreateGpadlFromMdl(g->queues[0].vmb, 0, mdl, 0, 0, gpadl), 0);
	free(mdl);
}

uint32_t net_guest_give_receive_buffer(struct net_guest *g)
{
	struct nvsp_message m = { .type = NVSP_SEND_RECEIVE_BUFFER }, answer;
	const struct nvsp_receive_buffer_complete *complete = &answer.receive_buffer_complete;

	if (!g->receive_gpadl)
		show(g, g->receive, g->options.receive_size, &g->receive_gpadl);
	m.buffer.gpadl = g->receive_gpadl;
	m.buffer.id = NET_GUEST_SET;
	if (net_guest_say(g, 0, &m, sizeof(m), &answer) < LINUX_LEAST ||
	    answer.type != NVSP_SEND_RECEIVE_BUFFER_COMPLETE)
		complain(g, "SEND_RECV_BUF_COMPLETE", answer.type);
	if (complete->status != NVSP_STATUS_SUCCESS)
		return complete->status;
	g->section = complete->section;
	if (complete->section_count != 1 || g->section.offset || g->section.slot_size < 68 ||
	    (uint64_t)g->section.slot_size * g->section.slot_count > g->options.receive_size)
		complain(g, "invalid recv_section_size", g->section.slot_size);
	return complete->status;
}

static uint32_t give_send_buffer(struct net_guest *g)
{
	struct nvsp_message m = { .type = NVSP_SEND_SEND_BUFFER }, answer;

	if (!g->send_gpadl)
		show(g, g->send, g->options.send_size, &g->send_gpadl);
	m.buffer.gpadl = g->send_gpadl;
	if (net_guest_say(g, 0, &m, sizeof(m), &answer) < LINUX_LEAST ||
	    answer.type != NVSP_SEND_SEND_BUFFER_COMPLETE)
		complain(g, "SEND_SEND_BUF_COMPLETE", answer.type);
	if (answer.send_buffer_complete.status != NVSP_STATUS_SUCCESS)
		return answer.send_buffer_complete.status;
	g->section_size = answer.send_buffer_complete.section_size;
	if (g->section_size < 68)
		complain(g, "invalid send_section_size", g->section_size);
	return answer.send_buffer_complete.status;
}

uint32_t net_guest_give_buffers(struct net_guest *g)
{
	uint32_t status = net_guest_give_receive_buffer(g);

	return status == NVSP_STATUS_SUCCESS ? give_send_buffer(g) : status;
}

/* ---- RNDIS ---- */

static uint8_t *take_answer(struct net_guest *g, uint32_t type, uint32_t id)
{
	uint8_t *found = NULL;
	uint32_t i;

	pthread_mutex_lock(&g->lock);
	for (i = 0; i < g->message_count && !found; i++) {
		uint32_t words[3];

		memcpy(words, g->messages[i], sizeof(words));
		if (words[0] != type || (words[2] != id && type != RNDIS_INDICATE_STATUS))
			continue;
		found = g->messages[i];
		g->messages[i] = g->messages[--g->message_count];
	}
	pthread_mutex_unlock(&g->lock);
	return found;
}

uint32_t net_guest_ask(struct net_guest *g, uint32_t type, void *body, uint32_t size, void *answer,
                       uint32_t capacity)
{
	struct rndis_header header = { type, (uint32_t)sizeof(header) + size };
	uint8_t *message = net_pool(header.length), *reply = NULL;
	uint32_t done = g->completed;

	memcpy(body, &(uint32_t){ ++g->next_id }, 4);
	memcpy(message, &header, sizeof(header));
	memcpy(message + sizeof(header), body, size);
	net_guest_send(g, 0, NVSP_NO_SECTION, 0, message, header.length);
	net_wait(g->completed == done + 1);
	assert_int_equal(g->last_status, NVSP_STATUS_SUCCESS);
	ExFreePoolWithTag(message, NET_GUEST_TAG);
	if (!answer)
		return 0;
	net_wait((reply = reply ? reply : take_answer(g, type | RNDIS_COMPLETE, g->next_id)));
	memcpy(&header, reply, sizeof(header));
	size = header.length - (uint32_t)sizeof(header);
	assert_true(size <= capacity);
	memcpy(answer, reply + sizeof(header), size);
	free(reply);
	return size;
}

uint32_t net_guest_query(struct net_guest *g, uint32_t oid, void *data, uint32_t capacity,
                         uint32_t *status)
{
	struct rndis_query request = { .oid = oid, .offset = sizeof(request) };
	struct rndis_query_complete complete;
	uint8_t answer[RNDIS_ANSWER_MAX];
	uint32_t size =
		net_guest_ask(g, RNDIS_QUERY, &request, sizeof(request), answer, sizeof(answer));

	memcpy(&complete, answer, sizeof(complete));
	assert_true(complete.offset >= sizeof(complete) && complete.offset <= size &&
	            complete.length <= size - complete.offset && complete.length <= capacity);
	memcpy(data, answer + complete.offset, complete.length);
	*status = complete.status;
	return complete.length;
}

uint32_t net_guest_set(struct net_guest *g, uint32_t oid, const void *data, uint32_t size)
{
	struct rndis_query request = { .oid = oid, .length = size, .offset = sizeof(request) };
	struct rndis_set_complete complete;
	uint8_t body[2048];

	memcpy(body, &request, sizeof(request));
	memcpy(body + sizeof(request), data, size);
	assert_int_equal(net_guest_ask(g, RNDIS_SET, body, (uint32_t)sizeof(request) + size,
	                               &complete, sizeof(complete)),
	                 sizeof(complete));
	return complete.status;
}

uint32_t net_guest_indicated(struct net_guest *g, uint32_t *value)
{
	struct rndis_indicate_status indicate;
	uint8_t *message = NULL;

	net_wait((message = message ? message : take_answer(g, RNDIS_INDICATE_STATUS, 0)));
	memcpy(&indicate, message + 8, sizeof(indicate));
	if (value && indicate.length >= 4)
		memcpy(value, message + 8 + indicate.offset, 4);
	free(message);
	return indicate.status;
}

void net_guest_rndis_init(struct net_guest *g)
{
	struct rndis_initialize request = { .major = 1, .max_transfer = 0x4000 };
	struct rndis_initialize_complete complete;

	assert_int_equal(net_guest_ask(g, RNDIS_INITIALIZE, &request, sizeof(request), &complete,
	                               sizeof(complete)),
	                 sizeof(complete));
	assert_int_equal(complete.status, RNDIS_STATUS_SUCCESS);
}

void net_guest_filter(struct net_guest *g, uint32_t filter)
{
	assert_int_equal(net_guest_set(g, OID_GEN_CURRENT_PACKET_FILTER, &filter, sizeof(filter)),
	                 0);
}

void net_guest_start(struct net_guest *g)
{
	static const uint32_t versions[] = { NVSP_VERSION_61, NVSP_VERSION_6, NVSP_VERSION_5,
		                             NVSP_VERSION_4,  NVSP_VERSION_2, NVSP_VERSION_1 };
	size_t i;

	for (i = 0; i < sizeof(versions) / sizeof(versions[0]) && !g->version; i++) {
		if (!g->options.version || versions[i] <= g->options.version)
			net_guest_init(g, versions[i]);
	}
	assert_int_not_equal(g->version, 0);
	net_guest_config(g);
	assert_int_equal(net_guest_give_buffers(g), NVSP_STATUS_SUCCESS);
	net_guest_rndis_init(g);
	net_guest_filter(g, NDIS_PACKET_TYPE_DIRECTED | NDIS_PACKET_TYPE_ALL_MULTICAST |
	                            NDIS_PACKET_TYPE_BROADCAST);
}

void net_guest_subchannels(struct net_guest *g, uint32_t count)
{
	struct nvsp_message m = { .type = NVSP_SUBCHANNEL }, answer;
	uint32_t i;

	m.subchannel_request.operation = NVSP_SUBCHANNEL_ALLOCATE;
	m.subchannel_request.count = count;
	assert_true(net_guest_say(g, 0, &m, sizeof(m), &answer) >= 12);
	assert_int_equal(answer.type, NVSP_SUBCHANNEL);
	assert_int_equal(answer.subchannel_complete.status, NVSP_STATUS_SUCCESS);
	assert_int_equal(answer.subchannel_complete.count, count);
	for (i = 1; i <= count; i++)
		open_queue(g, (uint16_t)i);
}

uint32_t net_guest_rss_queue(uint32_t entry, uint32_t queues)
{
	return (entry / 3 + entry * entry / 7) % queues;
}

void net_guest_rss(struct net_guest *g, uint32_t queues, uint32_t types)
{
	struct {
		struct ndis_rss_parameters p;
		uint32_t table[NDIS_RSS_TABLE_ENTRIES];
		uint8_t key[NDIS_RSS_KEY_SIZE];
	} rss = { .p = { .header = { NDIS_OBJECT_RSS_PARAMETERS, 2, sizeof(rss.p) } } };
	uint32_t i;

	rss.p.flags = NDIS_RSS_DISABLE;
	assert_int_equal(net_guest_set(g, OID_GEN_RECEIVE_SCALE_PARAMETERS, &rss, sizeof(rss)), 0);
	rss.p.flags = 0;
	rss.p.hash = NDIS_HASH_TOEPLITZ | types;
	rss.p.table_size = sizeof(rss.table);
	rss.p.table_offset = sizeof(rss.p);
	rss.p.key_size = sizeof(rss.key);
	rss.p.key_offset = sizeof(rss.p) + sizeof(rss.table);
	for (i = 0; i < NDIS_RSS_TABLE_ENTRIES; i++)
		rss.table[i] = net_guest_rss_queue(i, queues);
	for (i = 0; i < NDIS_RSS_KEY_SIZE; i++)
		rss.key[i] = (uint8_t)(i * 37 + 11);
	assert_int_equal(net_guest_set(g, OID_GEN_RECEIVE_SCALE_PARAMETERS, &rss, sizeof(rss)), 0);
}

/* ---- sending ---- */

static VOID send_completed(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 size)
{
	struct net_guest_queue *q = VmbChannelGetPointer(VmbPacketGetChannel(packet));
	PMDL mdl = VmbPacketGetPointer(packet);
	struct nvsp_message m = { 0 };

	VmbPacketFree(packet);
	if (mdl)
		IoFreeMdl(mdl);
	if (NT_SUCCESS(status)) {
		memcpy(&m, buffer, size < sizeof(m) ? size : sizeof(m));
		/* a ring makes 32 of the 28 bytes of the versions before 6.1 */
		if (size != (q->guest->version >= NVSP_VERSION_61 ? 40 : 32) ||
		    m.type != NVSP_RNDIS_PACKET_COMPLETE)
			complain(q->guest, "Unknown send completion type", m.type);
	}
	atomic_store(&q->guest->last_status, m.rndis_packet_complete.status);
	atomic_fetch_add(&q->guest->completed, 1);
}

void net_guest_send(struct net_guest *g, uint32_t queue, uint32_t section, uint32_t section_bytes,
                    void *external, uint32_t external_bytes)
{
	VMBPACKET packet = VmbPacketAllocate(g->queues[queue].vmb);
	struct nvsp_message m = { .type = NVSP_RNDIS_PACKET };
	PMDL mdl = NULL;

	m.rndis_packet.section_index = section;
	m.rndis_packet.section_bytes = section_bytes;
	if (external) {
		mdl = IoAllocateMdl(external, external_bytes, FALSE, FALSE, NULL);
		MmBuildMdlForNonPagedPool(mdl);
	}
	VmbPacketSetPointer(packet, mdl);
	VmbPacketSetCompletionRoutine(packet, send_completed);
	assert_int_equal(VmbPacketSend(packet, &m, sizeof(m), mdl, WAIT), STATUS_SUCCESS);
}

static uint32_t add_info(uint8_t *message, uint32_t at, uint32_t type, uint32_t value)
{
	const uint32_t info[4] = { 16, type, 12, value };

	memcpy(message + at, info, sizeof(info));
	return at + (uint32_t)sizeof(info);
}

uint32_t net_guest_build(uint8_t *message, const struct net_guest_infos *infos, const void *frame,
                         uint32_t length)
{
	struct rndis_packet packet = { .data_length = length, .info_offset = sizeof(packet) };
	struct rndis_header header = { .type = RNDIS_PACKET };
	uint32_t at = sizeof(header) + sizeof(packet), start = at, end;

	if (infos && infos->has_vlan)
		at = add_info(message, at, RNDIS_INFO_VLAN, infos->vlan);
	if (infos && infos->has_large_send)
		at = add_info(message, at, RNDIS_INFO_LARGE_SEND, infos->large_send);
	if (infos && infos->has_checksum)
		at = add_info(message, at, RNDIS_INFO_CHECKSUM, infos->checksum);
	packet.info_length = at - start;
	packet.data_offset = at - (uint32_t)sizeof(header);
	memcpy(message + at, frame, length);
	end = (at + length + 7) & ~7u;
	memset(message + at + length, 0, end - at - length);
	header.length = end;
	memcpy(message, &header, sizeof(header));
	memcpy(message + sizeof(header), &packet, sizeof(packet));
	return end;
}

uint8_t *net_guest_section(struct net_guest *g, uint32_t section)
{
	return g->send + section * g->section_size;
}

void net_guest_send_frame(struct net_guest *g, uint32_t queue, const struct net_guest_infos *infos,
                          const void *frame, uint32_t length)
{
	uint32_t done = g->completed;

	net_guest_send(g, queue, 1, net_guest_build(net_guest_section(g, 1), infos, frame, length),
	               NULL, 0);
	net_wait(g->completed == done + 1);
	assert_int_equal(g->last_status, NVSP_STATUS_SUCCESS);
}
