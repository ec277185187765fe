/* SPDX-License-Identifier: BSD-2-Clause */

#define INITGUID
#include "traffic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ECHOES     8u
#define DATA       4u
#define DATA_SIZE  (24u << 10)
#define GPADL_SIZE (3u * 4096)
#define GPADL_MARK 0xa5u

DEFINE_GUID(traffic_type, 0x6b6d636c, 0x7072, 0x6f63, 0, 1, 2, 3, 4, 5, 6, 7);
DEFINE_GUID(traffic_instance, 0x6b6d636c, 0x7072, 0x6f63, 8, 9, 10, 11, 12, 13, 14, 15);

enum kind { KIND_ECHO = 1, KIND_STREAM, KIND_NOW, KIND_DATA, KIND_GPADL, KIND_REQUEST };

/* What every packet begins with; bytes that follow from `serial` fill it up to `size`. */
struct note {
	uint32_t kind;
	uint32_t size;
	uint64_t serial;
	uint64_t argument;
};

/* A packet that is sent again and again. */
struct flight {
	struct traffic *t;
	VMBPACKET packet;
	_Atomic(bool) sent;
	uint8_t bytes[TRAFFIC_PAYLOAD_MAX];
	PMDL mdl; /* NULL: no external data */
	uint8_t *data;
	uint8_t first; /* of the data, when it was sent */
	bool bounced;
};

struct traffic {
	bool server;
	HANDLE vmbus;
	PDEVICE_OBJECT bus;
	VMBCHANNEL channel;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	char trace[64];
	uint64_t suspended; /* times */
	bool stopping;
	uint32_t busy; /* threads in the middle of something */
	pthread_t streamer;
	pthread_t caller;
	/* Held while packets are sent; `active` from Started to Suspend. */
	pthread_mutex_t gate;
	bool active;
	unsigned held_kinds;
	uint64_t stream_out;
	uint64_t stream_in;
	_Atomic(uint64_t) serial;
	_Atomic(uint32_t) held; /* incoming packets */
	_Atomic(uint64_t) sent, ended, answered, cancelled, received, external, gpadls, requests;
	struct flight flights[ECHOES + DATA];
};

#define must(condition) ((condition) ? (void)0 : failed(#condition, __FILE__, __LINE__))

static _Noreturn void failed(const char *what, const char *file, int line)
{
	fprintf(stderr, "process %d: %s:%d: %s does not hold\n", (int)getpid(), file, line, what);
	abort();
}

static void must_status(NTSTATUS status, const char *what)
{
	if (NT_SUCCESS(status))
		return;
	fprintf(stderr, "process %d: %s: status %#x\n", (int)getpid(), what, (unsigned)status);
	abort();
}

/* ---- the bytes of a packet ---- */

static uint8_t byte_at(uint64_t serial, uint32_t i)
{
	return (uint8_t)(serial * 31 + i * 7 + i / 256);
}

static uint32_t note_write(struct traffic *t, uint8_t *bytes, enum kind kind, uint64_t argument)
{
	uint64_t serial = atomic_fetch_add(&t->serial, 1);
	struct note note = { .kind = kind, .serial = serial, .argument = argument };

	note.size = (uint32_t)(sizeof(note) + serial * 97 % (TRAFFIC_PAYLOAD_MAX - sizeof(note)));
	memcpy(bytes, &note, sizeof(note));
	for (uint32_t i = sizeof(note); i < note.size; i++)
		bytes[i] = byte_at(serial, i);
	return note.size;
}

static struct note note_read(const uint8_t *bytes, uint32_t size)
{
	struct note note;

	must(size >= sizeof(note));
	memcpy(&note, bytes, sizeof(note));
	must(note.size <= size && size - note.size < 8);
	for (uint32_t i = sizeof(note); i < note.size; i++)
		must(bytes[i] == byte_at(note.serial, i));
	return note;
}

/* ---- what comes in ---- */

static uint64_t use_external_data(VMBPACKETCOMPLETION packet)
{
	struct iovec iov[16];
	uint32_t count, total = 0;
	PMDL mdl;

	must_status(VmbChannelPacketGetExternalData(packet, 0, &mdl), "external data");
	count = kmcl_mdl_iovec(mdl, 0, DATA_SIZE, iov, 16);
	must(count > 0 && count <= 16);
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *bytes = iov[i].iov_base;

		for (size_t k = 0; k < iov[i].iov_len; k += 512)
			bytes[k]++;
		total += (uint32_t)iov[i].iov_len;
	}
	return total;
}

/*
 * At PASSIVE_LEVEL. Where either end goes it cannot be mapped: the guest may be dead, and a host
 * that has revoked its offer is not shown what the guest creates until it knows.
 */
static uint64_t use_gpadl(struct traffic *t, uint32_t gpadl)
{
	uint8_t *bytes;
	PMDL mdl;

	if (!NT_SUCCESS(VmbChannelMapGpadl(t->channel, 0, gpadl, &mdl)))
		return 0;
	bytes = MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority);
	must(bytes && MmGetMdlByteCount(mdl) == GPADL_SIZE);
	memset(bytes, GPADL_MARK, GPADL_SIZE);
	VmbChannelUnmapGpadl(t->channel, gpadl);
	return 1;
}

static bool wants_passive(const struct note *note)
{
	return KeGetCurrentIrql() != PASSIVE_LEVEL &&
	       (note->kind == KIND_GPADL || (note->kind == KIND_ECHO && note->serial % 16 == 1));
}

static VOID on_packet(VMBCHANNEL channel, VMBPACKETCOMPLETION packet, PVOID buffer, UINT32 size,
                      UINT32 flags)
{
	struct traffic *t = VmbChannelGetPointer(channel);
	struct note note = note_read(buffer, size);

	if (wants_passive(&note)) {
		VmbChannelPacketDeferToPassive(packet);
		return;
	}
	atomic_fetch_add(&t->received, 1);
	atomic_fetch_add(&t->held, 1);
	switch (note.kind) {
	case KIND_STREAM:
		must(note.argument == t->stream_in);
		t->stream_in++;
		break;
	case KIND_DATA:
		must(flags & VMBUS_CHANNEL_PROCESS_PACKET_FLAG_EXTERNAL_DATA);
		note.argument = use_external_data(packet);
		memcpy(buffer, &note, sizeof(note));
		break;
	case KIND_GPADL:
		note.argument = use_gpadl(t, (uint32_t)note.argument);
		memcpy(buffer, &note, sizeof(note));
		break;
	default:
		must(note.kind <= KIND_REQUEST);
	}
	VmbChannelPacketComplete(packet, buffer, note.size);
	atomic_fetch_sub(&t->held, 1);
}

/* ---- what goes out: transactions ---- */

static VOID flight_done(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 size);

/* Under the gate. */
static void flight_send(struct flight *f)
{
	struct traffic *t = f->t;
	uint32_t size = note_write(t, f->bytes, f->mdl ? KIND_DATA : KIND_ECHO, 0);

	must(!atomic_exchange(&f->sent, true));
	atomic_fetch_add(&t->sent, 1);
	if (f->data)
		f->first = f->data[0];
	VmbPacketSetCompletionRoutine(f->packet, flight_done);
	must_status(VmbPacketSend(f->packet, f->bytes, size, f->mdl,
	                          VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION),
	            "sending");
}

static void flight_check(struct flight *f, const uint8_t *buffer, uint32_t size)
{
	struct note sent, note = note_read(buffer, size);

	memcpy(&sent, f->bytes, sizeof(sent));
	must(note.kind == sent.kind && note.serial == sent.serial && note.size == sent.size);
	if (!f->mdl)
		return;
	must(note.argument == DATA_SIZE);
	for (uint32_t i = 0; i < DATA_SIZE; i += 512)
		must(f->data[i] == (uint8_t)(f->first + 1));
	atomic_fetch_add(&f->t->external, 1);
}

/* The host may have been killed in the middle of it. */
static void flight_reset_data(struct flight *f)
{
	if (f->data)
		memset(f->data, f->first, DATA_SIZE);
}

/* Under the gate. */
static bool is_held(const struct traffic *t, const struct flight *f)
{
	return f->mdl && t->held_kinds & TRAFFIC_DATA;
}

static VOID flight_done(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 size)
{
	struct flight *f = VmbPacketGetPointer(packet);
	struct traffic *t = f->t;

	must(f->packet == packet && atomic_load(&f->sent));
	if (NT_SUCCESS(status)) {
		flight_check(f, buffer, size);
		atomic_fetch_add(&t->answered, 1);
	} else {
		must(status == STATUS_CANCELLED && size == 0);
		flight_reset_data(f);
		atomic_fetch_add(&t->cancelled, 1);
	}
	must(atomic_exchange(&f->sent, false));
	atomic_fetch_add(&t->ended, 1);
	pthread_mutex_lock(&t->gate);
	if (t->active && NT_SUCCESS(status) && !is_held(t, f))
		flight_send(f);
	pthread_mutex_unlock(&t->gate);
}

static void flight_create(struct traffic *t, struct flight *f, bool data, bool bounced)
{
	f->t = t;
	f->packet = VmbPacketAllocate(t->channel);
	must(f->packet);
	VmbPacketSetPointer(f->packet, f);
	if (!data)
		return;
	f->bounced = bounced;
	f->data = bounced ? calloc(1, DATA_SIZE)
	                  : ExAllocatePool2(POOL_FLAG_NON_PAGED, DATA_SIZE, 'tset');
	must(f->data);
	f->mdl = IoAllocateMdl(f->data, DATA_SIZE, FALSE, FALSE, NULL);
	must(f->mdl);
	MmBuildMdlForNonPagedPool(f->mdl);
}

static void flight_destroy(struct flight *f)
{
	VmbPacketFree(f->packet);
	if (!f->mdl)
		return;
	IoFreeMdl(f->mdl);
	if (f->bounced)
		free(f->data);
	else
		ExFreePoolWithTag(f->data, 'tset');
}

static uint32_t flight_count(const struct traffic *t)
{
	return t->server ? ECHOES : ECHOES + DATA;
}

/* ---- what goes out: streams ---- */

static VOID stream_done(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 size)
{
	struct traffic *t = VmbChannelGetPointer(VmbPacketGetChannel(packet));

	VmbPacketFree(packet);
	must(NT_SUCCESS(status) || status == STATUS_CANCELLED);
	atomic_fetch_add(NT_SUCCESS(status) ? &t->answered : &t->cancelled, 1);
	atomic_fetch_add(&t->ended, 1);
}

/* Under the gate. */
static void stream_send(struct traffic *t)
{
	VMBPACKET packet = VmbPacketAllocate(t->channel);
	uint8_t bytes[TRAFFIC_PAYLOAD_MAX];
	uint32_t size = note_write(t, bytes, KIND_STREAM, t->stream_out++);

	must(packet);
	VmbPacketSetCompletionRoutine(packet, stream_done);
	atomic_fetch_add(&t->sent, 1);
	must_status(VmbPacketSend(packet, bytes, size, NULL, 0), "streaming");
}

/* Under the gate. It is not queued when the ring is full. */
static void stream_send_now(struct traffic *t)
{
	LARGE_INTEGER none = { .QuadPart = 0 };
	uint8_t bytes[TRAFFIC_PAYLOAD_MAX];
	uint32_t size = note_write(t, bytes, KIND_NOW, 0);
	NTSTATUS status = VmbChannelSendSynchronousRequest(t->channel, bytes, size, NULL, 0, NULL,
	                                                   NULL, &none);

	must(NT_SUCCESS(status) || status == STATUS_BUFFER_OVERFLOW ||
	     status == STATUS_DEVICE_REMOVED);
}

/* Waits until traffic may flow, and counts the caller as busy; false: it is over. */
static bool begin(struct traffic *t)
{
	bool stopping;

	pthread_mutex_lock(&t->lock);
	while (!t->active && !t->stopping)
		pthread_cond_wait(&t->changed, &t->lock);
	stopping = t->stopping;
	t->busy += !stopping;
	pthread_mutex_unlock(&t->lock);
	return !stopping;
}

static void end(struct traffic *t)
{
	pthread_mutex_lock(&t->lock);
	t->busy--;
	pthread_mutex_unlock(&t->lock);
}

/* Of streams as well: the other end may read none for a while. */
#define OUTSTANDING_MAX 512u

static bool may_stream(struct traffic *t)
{
	return t->active && !(t->held_kinds & TRAFFIC_STREAMS) &&
	       atomic_load(&t->sent) - atomic_load(&t->ended) < OUTSTANDING_MAX;
}

/* Bursts that fill the ring now and then. */
static void *streamer_main(void *context)
{
	struct traffic *t = context;

	while (begin(t)) {
		pthread_mutex_lock(&t->gate);
		for (unsigned i = 0; i < 24 && may_stream(t); i++)
			stream_send(t);
		if (may_stream(t))
			stream_send_now(t);
		pthread_mutex_unlock(&t->gate);
		end(t);
		usleep(200);
	}
	return NULL;
}

/* ---- what goes out: requests of a guest ---- */

/* What a request may end with when the host is gone, or stopped; anything else is the library's
 * fault. */
static bool host_is_gone(NTSTATUS status)
{
	return status == STATUS_DEVICE_REMOVED || status == STATUS_CANCELLED ||
	       status == STATUS_INVALID_DEVICE_STATE || status == STATUS_IO_TIMEOUT;
}

static bool request(struct traffic *t, enum kind kind, uint64_t argument, struct note *answer)
{
	uint8_t bytes[TRAFFIC_PAYLOAD_MAX], back[TRAFFIC_PAYLOAD_MAX];
	uint32_t size = note_write(t, bytes, kind, argument), n = sizeof(back);
	NTSTATUS status;

	atomic_fetch_add(&t->sent, 1);
	status = VmbChannelSendSynchronousRequest(t->channel, bytes, size, NULL,
	                                          VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION,
	                                          back, &n, NULL);
	atomic_fetch_add(&t->ended, 1);
	if (!NT_SUCCESS(status)) {
		if (!host_is_gone(status))
			must_status(status, "a synchronous request");
		atomic_fetch_add(&t->cancelled, 1);
		return false;
	}
	*answer = note_read(back, n);
	must(answer->kind == (uint32_t)kind && answer->size == size);
	atomic_fetch_add(&t->answered, 1);
	atomic_fetch_add(&t->requests, 1);
	return true;
}

/* Whether the channel has been suspended since, or is before long. */
static bool was_going(struct traffic *t, uint64_t suspended_before)
{
	struct timespec end;
	bool going;
	int error = 0;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 10;
	pthread_mutex_lock(&t->lock);
	while (t->suspended == suspended_before && error == 0)
		error = pthread_cond_timedwait(&t->changed, &t->lock, &end);
	going = t->suspended != suspended_before;
	pthread_mutex_unlock(&t->lock);
	return going;
}

static uint64_t suspended(struct traffic *t)
{
	uint64_t n;

	pthread_mutex_lock(&t->lock);
	n = t->suspended;
	pthread_mutex_unlock(&t->lock);
	return n;
}

static void gpadl_cycle(struct traffic *t)
{
	uint8_t *bytes = ExAllocatePool2(POOL_FLAG_NON_PAGED, GPADL_SIZE, 'tset');
	struct note answer;
	uint64_t before = suspended(t);
	uint32_t gpadl;
	NTSTATUS status;

	must(bytes);
	status = VmbChannelCreateGpadlFromBuffer(t->channel, 0, bytes, GPADL_SIZE, &gpadl);
	if (NT_SUCCESS(status)) {
		if (request(t, KIND_GPADL, gpadl, &answer) &&
		    (answer.argument == 1 || !was_going(t, before))) {
			must(answer.argument == 1);
			must(bytes[0] == GPADL_MARK && bytes[GPADL_SIZE - 1] == GPADL_MARK);
			atomic_fetch_add(&t->gpadls, 1);
		}
		VmbChannelDeleteGpadl(t->channel, gpadl);
	} else if (!host_is_gone(status)) {
		must_status(status, "creating a GPADL");
	}
	ExFreePoolWithTag(bytes, 'tset');
}

static void *caller_main(void *context)
{
	struct traffic *t = context;
	struct note answer;

	while (begin(t)) {
		request(t, KIND_REQUEST, 0, &answer);
		gpadl_cycle(t);
		end(t);
		usleep(100);
	}
	return NULL;
}

/* ---- callbacks ---- */

static void record(struct traffic *t, char what)
{
	size_t n;

	must(KeGetCurrentIrql() == PASSIVE_LEVEL);
	pthread_mutex_lock(&t->lock);
	n = strlen(t->trace);
	must(n + 1 < sizeof(t->trace));
	t->trace[n] = what;
	pthread_mutex_unlock(&t->lock);
}

static NTSTATUS on_opened(VMBCHANNEL channel)
{
	struct traffic *t = VmbChannelGetPointer(channel);

	t->stream_in = 0;
	record(t, 'O');
	return STATUS_SUCCESS;
}

static void set_active(struct traffic *t, bool active)
{
	pthread_mutex_lock(&t->gate);
	pthread_mutex_lock(&t->lock);
	t->active = active;
	t->suspended += !active;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
	pthread_mutex_unlock(&t->gate);
}

static VOID on_started(VMBCHANNEL channel)
{
	struct traffic *t = VmbChannelGetPointer(channel);

	record(t, 'S');
	t->stream_out = 0;
	for (uint32_t i = 0; i < flight_count(t); i++)
		if (!is_held(t, &t->flights[i]))
			flight_send(&t->flights[i]);
	set_active(t, true);
}

/* It may wait, and the other end may go meanwhile. */
static VOID on_post_started(VMBCHANNEL channel)
{
	struct traffic *t = VmbChannelGetPointer(channel);

	if (atomic_load(&t->serial) % 2)
		usleep(5000);
	record(t, 'P');
}

static VOID on_suspend(VMBCHANNEL channel)
{
	struct traffic *t = VmbChannelGetPointer(channel);

	must(atomic_load(&t->held) == 0); /* each is completed where it is processed */
	set_active(t, false);
	record(t, 'U');
}

static VOID on_closed(VMBCHANNEL channel)
{
	record(VmbChannelGetPointer(channel), 'C');
}

static VOID on_pnp_failure(VMBCHANNEL channel, NTSTATUS status)
{
	record(VmbChannelGetPointer(channel), 'F');
}

/* ---- opening and closing ---- */

static void configure(struct traffic *t)
{
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS callbacks;
	UNICODE_STRING name;

	VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(&callbacks);
	callbacks.EvtChannelOpened = on_opened;
	callbacks.EvtChannelStarted = on_started;
	callbacks.EvtChannelPostStarted = on_post_started;
	callbacks.EvtChannelSuspend = on_suspend;
	callbacks.EvtChannelClosed = on_closed;
	RtlInitUnicodeString(&name, t->server ? L"traffic host" : L"traffic guest");
	VmbChannelSetPointer(t->channel, t);
	must_status(VmbChannelInitSetStateChangeCallbacks(t->channel, &callbacks), "callbacks");
	must_status(VmbChannelInitSetFriendlyName(t->channel, &name), "name");
	must_status(VmbChannelInitSetMaximumPacketSize(t->channel, TRAFFIC_PAYLOAD_MAX), "size");
	must_status(VmbChannelInitSetMaximumExternalData(t->channel, DATA_SIZE, 4),
	            "external data");
	must_status(VmbChannelInitSetProcessPacketCallbacks(t->channel, on_packet, NULL),
	            "packets");
}

static void open_server(struct traffic *t, const char *uri)
{
	HANDLE kernel;

	must_status(kmcl_host_open(uri, &t->vmbus), "opening the host");
	must_status(VmbChannelAllocate(NULL, TRUE, &t->channel), "allocating");
	configure(t);
	must_status(VmbConvertVmbusHandleToKernelHandle(t->vmbus, &kernel), "the handle");
	must_status(VmbServerChannelInitSetVmbusHandle(t->channel, kernel), "the handle");
	ZwClose(kernel);
	must_status(VmbServerChannelInitSetTargetInterfaceId(t->channel, traffic_type,
	                                                     traffic_instance),
	            "the interface");
}

/* A host that has just been started may have a socket and not listen on it yet. */
static void open_client(struct traffic *t, const char *uri)
{
	unsigned tries = 0;

	while (kmcl_guest_open(uri, &t->bus) == STATUS_OBJECT_NAME_NOT_FOUND && tries++ < 1000)
		usleep(1000);
	must(t->bus);
	must_status(VmbChannelAllocate(t->bus, FALSE, &t->channel), "allocating");
	configure(t);
	must_status(VmbClientChannelInitSetTargetPnp(t->channel, &traffic_type, &traffic_instance,
	                                             on_pnp_failure),
	            "the interface");
}

struct traffic *traffic_open(bool server, const char *uri)
{
	struct traffic *t = calloc(1, sizeof(*t));

	must(t);
	t->server = server;
	pthread_mutex_init(&t->lock, NULL);
	pthread_mutex_init(&t->gate, NULL);
	pthread_cond_init(&t->changed, NULL);
	if (server)
		open_server(t, uri);
	else
		open_client(t, uri);
	for (uint32_t i = 0; i < flight_count(t); i++)
		flight_create(t, &t->flights[i], i >= ECHOES, i % 2);
	must(pthread_create(&t->streamer, NULL, streamer_main, t) == 0);
	if (!server)
		must(pthread_create(&t->caller, NULL, caller_main, t) == 0);
	must_status(VmbChannelEnable(t->channel), "enabling");
	if (server)
		VmbChannelStart(t->channel);
	return t;
}

static enum kmcl_channel_state state_of(struct traffic *t)
{
	struct kmcl_channel_info info;

	kmcl_channel_info(t->channel, &info);
	return info.state;
}

void traffic_enable(struct traffic *t)
{
	if (!t->server && state_of(t) == KMCL_CHANNEL_DISABLED)
		must_status(VmbChannelEnable(t->channel), "enabling again");
}

void traffic_close(struct traffic *t)
{
	pthread_mutex_lock(&t->lock);
	t->stopping = true;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
	VmbChannelDisable(t->channel);
	pthread_join(t->streamer, NULL);
	if (!t->server)
		pthread_join(t->caller, NULL);
	for (uint32_t i = 0; i < flight_count(t); i++)
		flight_destroy(&t->flights[i]);
	must(atomic_load(&t->sent) == atomic_load(&t->ended));
	VmbChannelCleanup(t->channel);
	if (t->bus)
		kmcl_guest_close(t->bus);
	if (t->vmbus)
		ZwClose(t->vmbus);
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->gate);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

VMBCHANNEL traffic_channel(struct traffic *t)
{
	return t->channel;
}

/* ---- looking at it ---- */

void traffic_take_trace(struct traffic *t, char *trace)
{
	pthread_mutex_lock(&t->lock);
	memcpy(trace, t->trace, sizeof(t->trace));
	memset(t->trace, 0, sizeof(t->trace));
	pthread_mutex_unlock(&t->lock);
}

bool traffic_has_come_to(struct traffic *t, char what)
{
	bool has;

	pthread_mutex_lock(&t->lock);
	has = strchr(t->trace, what) != NULL;
	pthread_mutex_unlock(&t->lock);
	return has;
}

static bool data_in_flight(struct traffic *t)
{
	for (uint32_t i = ECHOES; i < flight_count(t); i++)
		if (atomic_load(&t->flights[i].sent))
			return true;
	return false;
}

void traffic_hold(struct traffic *t, unsigned kinds)
{
	pthread_mutex_lock(&t->gate);
	t->held_kinds = kinds;
	pthread_mutex_unlock(&t->gate);
	while (kinds & TRAFFIC_DATA && data_in_flight(t))
		usleep(500);
}

bool traffic_is_active(struct traffic *t)
{
	bool active;

	pthread_mutex_lock(&t->lock);
	active = t->active && strchr(t->trace, 'P');
	pthread_mutex_unlock(&t->lock);
	return active;
}

static bool is_disconnected(struct traffic *t)
{
	struct kmcl_bus_info info;

	if (t->server)
		must_status(kmcl_host_info(t->vmbus, &info), "the host's information");
	else
		must_status(kmcl_guest_info(t->bus, &info), "the guest's information");
	return info.version == 0 && info.other_process == 0;
}

bool traffic_is_idle(struct traffic *t)
{
	size_t n;
	bool idle;

	pthread_mutex_lock(&t->lock);
	n = strlen(t->trace);
	idle = !t->busy && !t->active && (n == 0 || strchr("CF", t->trace[n - 1]));
	pthread_mutex_unlock(&t->lock);
	return idle;
}

/* A guest's channel that was opened, or could not be, is disabled; one that never was goes on
 * waiting. */
static enum kmcl_channel_state rest_state(struct traffic *t)
{
	bool over;

	pthread_mutex_lock(&t->lock);
	over = !t->server && t->trace[0];
	pthread_mutex_unlock(&t->lock);
	return over ? KMCL_CHANNEL_DISABLED : KMCL_CHANNEL_ENABLED;
}

bool traffic_is_settled(struct traffic *t)
{
	struct kmcl_channel_info info;

	if (!is_disconnected(t) || !traffic_is_idle(t) ||
	    atomic_load(&t->sent) != atomic_load(&t->ended) || atomic_load(&t->held))
		return false;
	kmcl_channel_info(t->channel, &info);
	return info.outstanding_in == 0 && info.outstanding_out == 0 && info.gpadls == 0 &&
	       info.ring_in_bytes == 0 && info.ring_out_bytes == 0 && info.state == rest_state(t);
}

void traffic_describe(struct traffic *t)
{
	struct kmcl_channel_info info;

	kmcl_channel_info(t->channel, &info);
	fprintf(stderr,
	        "# trace %s, %u threads busy, %sconnected, sent %llu, ended %llu, held %u, state "
	        "%d, "
	        "outstanding %u in %u out, %u GPADLs, rings %u %u\n",
	        t->trace, t->busy, is_disconnected(t) ? "dis" : "",
	        (unsigned long long)atomic_load(&t->sent),
	        (unsigned long long)atomic_load(&t->ended), atomic_load(&t->held), info.state,
	        info.outstanding_in, info.outstanding_out, info.gpadls, info.ring_in_bytes,
	        info.ring_out_bytes);
}

struct traffic_counts traffic_counts(struct traffic *t)
{
	return (struct traffic_counts){
		.sent = atomic_load(&t->sent),
		.ended = atomic_load(&t->ended),
		.answered = atomic_load(&t->answered),
		.cancelled = atomic_load(&t->cancelled),
		.received = atomic_load(&t->received),
		.external = atomic_load(&t->external),
		.gpadls = atomic_load(&t->gpadls),
		.requests = atomic_load(&t->requests),
	};
}
