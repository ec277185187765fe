/* SPDX-License-Identifier: BSD-2-Clause */

#define INITGUID
#include "pair.h"

#include "../temporary.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

DEFINE_GUID(pair_type, 0x6b6d636c, 0x7465, 0x7374, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07);
DEFINE_GUID(pair_instance, 0x6b6d636c, 0x7465, 0x7374, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16,
            0x17);

const char *pair_scheme = "local";

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static uint32_t errors;
static struct timespec deadline;

static void pair_log(void *context, enum kmcl_log_level level, const char *channel,
                     const char *text)
{
	if (level > KMCL_LOG_WARNING)
		return;
	/* a slow machine is no fault */
	if (strstr(text, "VmbChannelDisable waits") || strstr(text, "VmbChannelPause waits"))
		return;
	__atomic_fetch_add(&errors, 1, __ATOMIC_RELAXED);
	if (getenv("KMCL_TEST_LOG"))
		fprintf(stderr, "# %s: %s\n", channel, text);
}

uint32_t pair_logged_errors(void)
{
	return __atomic_exchange_n(&errors, 0, __ATOMIC_RELAXED);
}

void pair_main(int argc, char **argv)
{
	pthread_condattr_t monotonic;

	if (argc > 1)
		pair_scheme = argv[1];
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&changed, &monotonic);
	kmcl_log_set(pair_log, NULL, KMCL_LOG_WARNING);
}

void pair_lock(void)
{
	pthread_mutex_lock(&lock);
}

void pair_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

void pair_changed(void)
{
	pthread_mutex_lock(&lock);
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

void pair_wait_begin(void)
{
	pthread_mutex_lock(&lock);
	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += PAIR_WAIT_MS / 1000;
}

bool pair_wait_more(void)
{
	return pthread_cond_timedwait(&changed, &lock, &deadline) == 0;
}

void pair_wait_end(void)
{
	pthread_mutex_unlock(&lock);
}

static struct pair *last_pair;

static void tell_channels(const char *end, const struct kmcl_channel_info *infos, uint32_t count)
{
	for (uint32_t i = 0; i < count && i < 8; i++)
		print_error("%s: channel %u, state %d, faults %llu\n", end, infos[i].channel_id,
		            infos[i].state, (unsigned long long)infos[i].statistics.faults);
}

void pair_tell(void)
{
	struct kmcl_channel_info infos[8];

	if (!last_pair)
		return;
	print_error("seen: by the server's end \"%s\", by the client's \"%s\"\n",
	            last_pair->server.trace, last_pair->client.trace);
	tell_channels("host", infos, kmcl_host_channels(last_pair->vmbus, infos, 8));
	tell_channels("guest", infos, kmcl_guest_channels(last_pair->bus, infos, 8));
}

/* ---- recording ---- */

void pair_trace(struct pair_end *end, char what)
{
	size_t n;

	pthread_mutex_lock(&lock);
	n = strlen(end->trace);
	if (n + 1 < sizeof(end->trace))
		end->trace[n] = what;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

bool pair_traced(const struct pair_end *end, const char *trace)
{
	size_t n = strlen(end->trace), m = strlen(trace);

	return n >= m && strcmp(end->trace + n - m, trace) == 0;
}

/* Callbacks come for the fixture's channels alone. */
static struct pair_end *end_of(VMBCHANNEL channel)
{
	struct pair_end *end = VmbChannelGetPointer(channel);

	if (!end)
		abort();
	return end;
}

static NTSTATUS pair_called(VMBCHANNEL channel, char what, size_t hook)
{
	struct pair_end *end = end_of(channel);
	pair_hook *call = *(pair_hook **)((char *)end + hook);
	NTSTATUS status = STATUS_SUCCESS;

	if (KeGetCurrentIrql() != PASSIVE_LEVEL)
		abort();
	if (call)
		status = call(end);
	pair_trace(end, what);
	return status;
}

static NTSTATUS pair_opened(VMBCHANNEL channel)
{
	return pair_called(channel, 'O', offsetof(struct pair_end, on_opened));
}

static VOID pair_started(VMBCHANNEL channel)
{
	pair_called(channel, 'S', offsetof(struct pair_end, on_started));
}

static VOID pair_post_started(VMBCHANNEL channel)
{
	pair_called(channel, 'P', offsetof(struct pair_end, on_post_started));
}

static VOID pair_suspend(VMBCHANNEL channel)
{
	pair_called(channel, 'U', offsetof(struct pair_end, on_suspend));
}

static VOID pair_closed(VMBCHANNEL channel)
{
	pair_called(channel, 'C', offsetof(struct pair_end, on_closed));
}

static VOID pair_pnp_failure(VMBCHANNEL channel, NTSTATUS status)
{
	struct pair_end *end = end_of(channel);

	end->pnp_status = status;
	pair_trace(end, 'F');
}

static VOID pair_process_packet(VMBCHANNEL channel, VMBPACKETCOMPLETION packet, PVOID buffer,
                                UINT32 size, UINT32 flags)
{
	struct pair_end *end = end_of(channel);
	pair_process *process = end->process;

	pthread_mutex_lock(&lock);
	end->packets++;
	end->batch_ended = false;
	end->bytes += size;
	end->passive_packets += KeGetCurrentIrql() == PASSIVE_LEVEL;
	end->last_size = size < sizeof(end->last) ? size : sizeof(end->last);
	memcpy(end->last, buffer, end->last_size);
	end->last_flags = flags;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	if (process)
		process(end, packet, buffer, size, flags);
	else
		VmbChannelPacketComplete(packet, buffer, size);
}

static VOID pair_processing_complete(VMBCHANNEL channel, UINT32 count)
{
	struct pair_end *end = end_of(channel);

	pthread_mutex_lock(&lock);
	end->batches++;
	end->batched += count;
	end->batch_ended = true;
	end->batches_at_dispatch += KeGetCurrentIrql() == DISPATCH_LEVEL;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

VOID pair_completed(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 size)
{
	struct pair_end *end = VmbChannelGetPointer(VmbPacketGetChannel(packet));

	VmbPacketFree(packet);
	pthread_mutex_lock(&lock);
	end->completions++;
	end->cancelled += status == STATUS_CANCELLED;
	end->last_status = status;
	end->answer_size = size < sizeof(end->answer) ? size : sizeof(end->answer);
	if (size)
		memcpy(end->answer, buffer, end->answer_size);
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

NTSTATUS pair_send(struct pair_end *end, const void *buffer, uint32_t size, uint32_t flags)
{
	VMBPACKET packet = VmbPacketAllocate(end->channel);
	NTSTATUS status;

	assert_non_null(packet);
	VmbPacketSetCompletionRoutine(packet, pair_completed);
	status = VmbPacketSend(packet, (void *)(uintptr_t)buffer, size, NULL, flags);
	if (!NT_SUCCESS(status))
		VmbPacketFree(packet);
	return status;
}

/* ---- making and unmaking ---- */

static void pair_configure(struct pair_end *end)
{
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS callbacks;
	UNICODE_STRING name;

	VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(&callbacks);
	callbacks.EvtChannelOpened = pair_opened;
	callbacks.EvtChannelStarted = pair_started;
	callbacks.EvtChannelPostStarted = pair_post_started;
	callbacks.EvtChannelSuspend = pair_suspend;
	callbacks.EvtChannelClosed = pair_closed;
	RtlInitUnicodeString(&name, end->server ? L"test server" : L"test client");
	VmbChannelSetPointer(end->channel, end);
	assert_int_equal(VmbChannelInitSetStateChangeCallbacks(end->channel, &callbacks), 0);
	assert_int_equal(VmbChannelInitSetFriendlyName(end->channel, &name), 0);
	assert_int_equal(VmbChannelInitSetProcessPacketCallbacks(end->channel, pair_process_packet,
	                                                         pair_processing_complete),
	                 0);
}

void pair_add_server(struct pair *pair, struct pair_end *end, const GUID *instance)
{
	HANDLE kernel;

	end->server = true;
	assert_int_equal(VmbChannelAllocate(NULL, TRUE, &end->channel), 0);
	pair_configure(end);
	assert_int_equal(VmbConvertVmbusHandleToKernelHandle(pair->vmbus, &kernel), 0);
	assert_int_equal(VmbServerChannelInitSetVmbusHandle(end->channel, kernel), 0);
	ZwClose(kernel);
	assert_int_equal(
		VmbServerChannelInitSetTargetInterfaceId(end->channel, pair_type, *instance), 0);
}

void pair_add_client(struct pair *pair, struct pair_end *end, const GUID *instance)
{
	assert_int_equal(VmbChannelAllocate(pair->bus, FALSE, &end->channel), 0);
	pair_configure(end);
	assert_int_equal(VmbClientChannelInitSetTargetPnp(end->channel, &pair_type, instance,
	                                                  pair_pnp_failure),
	                 0);
}

void pair_remove(struct pair_end *end)
{
	if (!end->channel)
		return;
	VmbChannelDisable(end->channel);
	VmbChannelCleanup(end->channel);
	end->channel = NULL;
}

/* "unix:" and a path, or "local:" and a name. */
static void pair_uri(char *uri, size_t size, pid_t process, int serial)
{
	char directory[100] = "";

	if (strcmp(pair_scheme, "unix") == 0)
		temporary_path(directory, sizeof(directory), "");
	snprintf(uri, size, "%s:%skmcl-test-%d-%d", pair_scheme, directory, (int)process, serial);
}

void pair_forget(pid_t process)
{
	char uri[128], lock_file[140];

	pair_uri(uri, sizeof(uri), process, 0);
	snprintf(lock_file, sizeof(lock_file), "%s.lock", uri);
	if (strcmp(pair_scheme, "unix") != 0)
		return;
	unlink(uri + strlen("unix:"));
	unlink(lock_file + strlen("unix:"));
}

struct pair *pair_create_versions(uint32_t host_max, uint32_t guest_max)
{
	struct kmcl_host_options host = { .size = sizeof(host), .version_max = host_max };
	struct kmcl_guest_options guest = { .size = sizeof(guest), .version_max = guest_max };
	struct pair *pair = calloc(1, sizeof(*pair));
	static int serial;

	assert_non_null(pair);
	pair_uri(pair->uri, sizeof(pair->uri), getpid(), serial++);
	assert_int_equal(kmcl_host_open_ex(pair->uri, &host, &pair->vmbus), 0);
	assert_int_equal(kmcl_guest_open_ex(pair->uri, &guest, &pair->bus), 0);
	pair_add_server(pair, &pair->server, &pair_instance);
	pair_add_client(pair, &pair->client, &pair_instance);
	last_pair = pair;
	return pair;
}

struct pair *pair_create(void)
{
	return pair_create_versions(0, 0);
}

void pair_destroy(struct pair *pair)
{
	pair_remove(&pair->client);
	pair_remove(&pair->server);
	if (pair->bus)
		kmcl_guest_close(pair->bus);
	if (pair->vmbus)
		ZwClose(pair->vmbus);
	if (last_pair == pair)
		last_pair = NULL;
	free(pair);
}

void pair_open(struct pair *pair)
{
	assert_int_equal(VmbChannelEnable(pair->server.channel), 0);
	VmbChannelStart(pair->server.channel);
	assert_int_equal(VmbChannelEnable(pair->client.channel), 0);
	pair_wait(pair_traced(&pair->server, "OSP"));
	pair_wait(pair_traced(&pair->client, "OSP"));
}
