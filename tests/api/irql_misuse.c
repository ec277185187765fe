/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Misuse of the API. In a debug build it stops the process with a message that names the function,
 * the channel and the rule; in a release build it is logged and refused. Each is tried in a child.
 */

#include "pair.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION

/* The child's. */
static struct pair *pair;
static VMBPACKET packet;
static PMDL mdl;
static uint8_t *pool;

enum { NOTHING_RETURNED = 0x10000001 };

#define RETURNS_NOTHING(call)            \
	do {                             \
		call;                    \
		return NOTHING_RETURNED; \
	} while (0)

static NTSTATUS allocate(void)
{
	VMBCHANNEL ch;

	return VmbChannelAllocate(NULL, TRUE, &ch);
}

static NTSTATUS cleanup(void)
{
	RETURNS_NOTHING(VmbChannelCleanup(pair->server.channel));
}

static NTSTATUS enable(void)
{
	return VmbChannelEnable(pair->server.channel);
}

static NTSTATUS disable(void)
{
	RETURNS_NOTHING(VmbChannelDisable(pair->server.channel));
}

static NTSTATUS start(void)
{
	RETURNS_NOTHING(VmbChannelStart(pair->server.channel));
}

static NTSTATUS pause_it(void)
{
	RETURNS_NOTHING(VmbChannelPause(pair->server.channel));
}

static NTSTATUS request(void)
{
	uint64_t word = 1;

	return VmbChannelSendSynchronousRequest(pair->client.channel, &word, 8, NULL, WAIT, NULL,
	                                        NULL, NULL);
}

static NTSTATUS gpadl_from_mdl(void)
{
	UINT32 handle;

	return VmbChannelCreateGpadlFromMdl(pair->client.channel, 0, mdl, 0, 0, &handle);
}

static NTSTATUS gpadl_from_buffer(void)
{
	UINT32 handle;

	return VmbChannelCreateGpadlFromBuffer(pair->client.channel, 0, pool, 4096, &handle);
}

static NTSTATUS gpadl_delete(void)
{
	RETURNS_NOTHING(VmbChannelDeleteGpadl(pair->client.channel, 1));
}

static NTSTATUS gpadl_map(void)
{
	PMDL mapped;

	return VmbChannelMapGpadl(pair->server.channel, 0, 1, &mapped);
}

static NTSTATUS gpadl_unmap(void)
{
	RETURNS_NOTHING(VmbChannelUnmapGpadl(pair->server.channel, 1));
}

static NTSTATUS save_begin(void)
{
	return VmbChannelSaveBegin(pair->server.channel);
}

static NTSTATUS save_continue(void)
{
	ULONG filled, required;

	return VmbChannelSaveContinue(pair->server.channel, pool, 4096, &filled, &required);
}

static NTSTATUS save_end(void)
{
	RETURNS_NOTHING(VmbChannelSaveEnd(pair->server.channel));
}

static NTSTATUS restore(void)
{
	return VmbChannelRestoreFromBuffer(pair->server.channel, pool, 4096);
}

static NTSTATUS packet_restore(void)
{
	return VmbPacketRestore(packet, pool, 4096);
}

static NTSTATUS convert(void)
{
	HANDLE handle;

	return VmbConvertVmbusHandleToKernelHandle(pair->vmbus, &handle);
}

static NTSTATUS host_open(void)
{
	HANDLE handle;

	return kmcl_host_open("local:misuse", &handle);
}

static NTSTATUS guest_open(void)
{
	PDEVICE_OBJECT bus;

	return kmcl_guest_open("local:misuse", &bus);
}

static NTSTATUS guest_close(void)
{
	RETURNS_NOTHING(kmcl_guest_close(pair->bus));
}

static NTSTATUS tl_connect(void)
{
	return kmcl_guest_tl_connect(pair->bus, &pair_type, &pair_instance);
}

static NTSTATUS target_vp(void)
{
	return kmcl_client_channel_set_target_vp(pair->client.channel, 1);
}

struct misuse {
	const char *function;
	const char *object;
	NTSTATUS (*call)(void);
};

static const struct misuse at_dispatch[] = {
	{ "VmbChannelAllocate", "(new)", allocate },
	{ "VmbChannelCleanup", "test server", cleanup },
	{ "VmbChannelEnable", "test server", enable },
	{ "VmbChannelDisable", "test server", disable },
	{ "VmbChannelStart", "test server", start },
	{ "VmbChannelPause", "test server", pause_it },
	{ "VmbChannelSendSynchronousRequest", "test client", request },
	{ "VmbChannelCreateGpadlFromMdl", "test client", gpadl_from_mdl },
	{ "VmbChannelCreateGpadlFromBuffer", "test client", gpadl_from_buffer },
	{ "VmbChannelDeleteGpadl", "test client", gpadl_delete },
	{ "VmbChannelMapGpadl", "test server", gpadl_map },
	{ "VmbChannelUnmapGpadl", "test server", gpadl_unmap },
	{ "VmbChannelSaveBegin", "test server", save_begin },
	{ "VmbChannelSaveContinue", "test server", save_continue },
	{ "VmbChannelSaveEnd", "test server", save_end },
	{ "VmbChannelRestoreFromBuffer", "test server", restore },
	{ "VmbPacketRestore", "test server", packet_restore },
	{ "VmbConvertVmbusHandleToKernelHandle", "host", convert },
	{ "kmcl_host_open", "local:misuse", host_open },
	{ "kmcl_guest_open", "local:misuse", guest_open },
	{ "kmcl_guest_close", "bus", guest_close },
	{ "kmcl_guest_tl_connect", "bus", tl_connect },
	{ "kmcl_client_channel_set_target_vp", "test client", target_vp },
};

/* ---- rules that are not about the IRQL; these are called at PASSIVE_LEVEL ---- */

static NTSTATUS cleanup_enabled(void)
{
	RETURNS_NOTHING(VmbChannelCleanup(pair->client.channel));
}

static NTSTATUS quota_zero(void)
{
	RETURNS_NOTHING(VmbChannelSetTransactionQuota(pair->server.channel, 0));
}

static NTSTATUS unmap_nothing(void)
{
	RETURNS_NOTHING(VmbChannelUnmapGpadl(pair->server.channel, 0x12345));
}

static NTSTATUS free_twice(void)
{
	VMBPACKET mine = VmbPacketAllocate(pair->client.channel);

	VmbPacketFree(mine);
	RETURNS_NOTHING(VmbPacketFree(mine));
}

static NTSTATUS free_while_sent(void)
{
	uint64_t word = 1;
	VMBPACKET mine = VmbPacketAllocate(pair->client.channel);

	VmbPacketSetCompletionRoutine(mine, pair_completed);
	if (VmbPacketSend(mine, &word, 8, NULL, WAIT) != STATUS_SUCCESS)
		exit(3);
	RETURNS_NOTHING(VmbPacketFree(mine));
}

/* ---- from the callbacks of save and restore; a call that waited would wait for itself ---- */

static NTSTATUS (*in_callback)(void);
static uint8_t saved[4096];
static NTSTATUS called;

static NTSTATUS save_packet(VMBCHANNEL channel, VMBPACKET mine, PVOID buffer, UINT32 size,
                            PUINT32 needed)
{
	called = in_callback();
	return STATUS_SUCCESS;
}

static NTSTATUS restore_packet(VMBCHANNEL channel, PVOID library, UINT32 library_size, PVOID save,
                               UINT32 save_size)
{
	called = in_callback();
	return STATUS_UNSUCCESSFUL;
}

/* The channel is offered anew, with nobody there, and a packet queued. */
static ULONG save_from_callback(void)
{
	VMBCHANNEL ch = pair->server.channel;
	uint64_t word = 1;
	ULONG filled = 0, required;

	VmbChannelDisable(pair->client.channel);
	VmbChannelDisable(ch);
	VmbServerChannelInitSetSaveRestorePacketCallbacks(ch, save_packet, restore_packet);
	pair_send(&pair->server, &word, sizeof(word), 0);
	if (VmbChannelEnable(ch) != STATUS_SUCCESS || VmbChannelSaveBegin(ch) != STATUS_SUCCESS ||
	    VmbChannelSaveContinue(ch, saved, sizeof(saved), &filled, &required))
		exit(3);
	return filled;
}

static NTSTATUS save_calls(NTSTATUS (*what)(void))
{
	in_callback = what;
	save_from_callback();
	return called;
}

static NTSTATUS nothing(void)
{
	return STATUS_SUCCESS;
}

static NTSTATUS restore_calls(NTSTATUS (*what)(void))
{
	ULONG size;

	in_callback = nothing;
	size = save_from_callback();
	VmbChannelSaveEnd(pair->server.channel);
	in_callback = what;
	called = STATUS_SUCCESS;
	if (NT_SUCCESS(VmbChannelRestoreFromBuffer(pair->server.channel, saved, size)))
		exit(3);
	return called;
}

#define FROM_CALLBACKS(call)                    \
	static NTSTATUS call##_in_save(void)    \
	{                                       \
		return save_calls(call);        \
	}                                       \
	static NTSTATUS call##_in_restore(void) \
	{                                       \
		return restore_calls(call);     \
	}

FROM_CALLBACKS(disable)
FROM_CALLBACKS(start)
FROM_CALLBACKS(pause_it)
FROM_CALLBACKS(save_begin)
FROM_CALLBACKS(save_continue)
FROM_CALLBACKS(save_end)
FROM_CALLBACKS(restore)

static const struct misuse in_callbacks[] = {
	{ "VmbChannelDisable", "test server", disable_in_save },
	{ "VmbChannelDisable", "test server", disable_in_restore },
	{ "VmbChannelStart", "test server", start_in_save },
	{ "VmbChannelStart", "test server", start_in_restore },
	{ "VmbChannelPause", "test server", pause_it_in_save },
	{ "VmbChannelPause", "test server", pause_it_in_restore },
	{ "VmbChannelSaveBegin", "test server", save_begin_in_save },
	{ "VmbChannelSaveBegin", "test server", save_begin_in_restore },
	{ "VmbChannelSaveContinue", "test server", save_continue_in_save },
	{ "VmbChannelSaveContinue", "test server", save_continue_in_restore },
	{ "VmbChannelSaveEnd", "test server", save_end_in_save },
	{ "VmbChannelSaveEnd", "test server", save_end_in_restore },
	{ "VmbChannelRestoreFromBuffer", "test server", restore_in_save },
	{ "VmbChannelRestoreFromBuffer", "test server", restore_in_restore },
};

static const struct misuse at_passive[] = {
	{ "VmbChannelCleanup", "test client", cleanup_enabled },
	{ "VmbChannelSetTransactionQuota", "test server", quota_zero },
	{ "VmbChannelUnmapGpadl", "test server", unmap_nothing },
	{ "VmbPacketFree", "test client", free_twice },
	{ "VmbPacketFree", "test client", free_while_sent },
};

static void set_up(void)
{
	pair = pair_create();
	pool = ExAllocatePoolWithTag(NonPagedPoolNx, 4096, 'tset');
	mdl = IoAllocateMdl(pool, 4096, FALSE, FALSE, NULL);
	MmBuildMdlForNonPagedPool(mdl);
	packet = VmbPacketAllocate(pair->server.channel);
	pair_open(pair);
}

/* The child has the whole library for itself: the parent, with its single thread, only watches. */
static void run(const struct misuse *m, KIRQL irql, int out)
{
	KIRQL old;
	NTSTATUS status;

	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	signal(SIGABRT, SIG_DFL);
	alarm(PAIR_WAIT_MS / 1000);
	set_up();
	kmcl_log_set(NULL, NULL, KMCL_LOG_ERROR); /* to stderr */
	KeRaiseIrql(irql, &old);
	status = m->call();
	fprintf(stderr, "returned %#x\n", (unsigned)status);
	_exit(status == NOTHING_RETURNED || !NT_SUCCESS(status) ? 0 : 4);
}

static void expect_misuse(const struct misuse *m, KIRQL irql)
{
	char said[2048] = "";
	int fds[2], status;
	size_t n = 0;
	ssize_t got;
	pid_t child;

	assert_int_equal(pipe(fds), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		run(m, irql, fds[1]);
	close(fds[1]);
	while ((got = read(fds[0], said + n, sizeof(said) - 1 - n)) > 0)
		n += (size_t)got;
	close(fds[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	pair_forget(child);
#ifdef NDEBUG
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("%s: status %#x, said %s", m->function, status, said);
#else
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
		fail_msg("%s did not stop the process: status %#x, said %s", m->function, status,
		         said);
#endif
	if (!strstr(said, m->function) || !strstr(said, m->object))
		fail_msg("%s: neither it nor %s in: %s", m->function, m->object, said);
	if (irql != PASSIVE_LEVEL && !strstr(said, "needs PASSIVE_LEVEL"))
		fail_msg("%s: not the rule: %s", m->function, said);
}

/* covers: VmbChannelAllocate, VmbChannelCleanup, VmbChannelEnable, VmbChannelDisable,
 * VmbChannelStart, VmbChannelPause, VmbChannelSendSynchronousRequest, VmbChannelCreateGpadlFromMdl,
 * VmbChannelCreateGpadlFromBuffer, VmbChannelDeleteGpadl, VmbChannelMapGpadl, VmbChannelUnmapGpadl,
 * VmbChannelSaveBegin, VmbChannelSaveContinue, VmbChannelSaveEnd, VmbChannelRestoreFromBuffer,
 * VmbPacketRestore, VmbConvertVmbusHandleToKernelHandle, kmcl_host_open, kmcl_guest_open,
 * kmcl_guest_close, kmcl_guest_tl_connect, kmcl_client_channel_set_target_vp */
static void passive_functions_at_dispatch_level(void **state)
{
	for (size_t i = 0; i < sizeof(at_dispatch) / sizeof(at_dispatch[0]); i++)
		expect_misuse(&at_dispatch[i], DISPATCH_LEVEL);
}

/* covers: VmbChannelCleanup, VmbChannelSetTransactionQuota, VmbChannelUnmapGpadl, VmbPacketFree */
static void other_rules(void **state)
{
	for (size_t i = 0; i < sizeof(at_passive) / sizeof(at_passive[0]); i++)
		expect_misuse(&at_passive[i], PASSIVE_LEVEL);
}

/* covers: EVT_VMB_CHANNEL_SAVE_PACKET, EVT_VMB_CHANNEL_RESTORE_PACKET, VmbChannelDisable,
 * VmbChannelStart, VmbChannelPause, VmbChannelSaveBegin, VmbChannelSaveContinue,
 * VmbChannelSaveEnd, VmbChannelRestoreFromBuffer */
static void from_callbacks_of_save_and_restore(void **state)
{
	for (size_t i = 0; i < sizeof(in_callbacks) / sizeof(in_callbacks[0]); i++)
		expect_misuse(&in_callbacks[i], PASSIVE_LEVEL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_callbacks_of_save_and_restore),
		cmocka_unit_test(passive_functions_at_dispatch_level),
		cmocka_unit_test(other_rules),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("irql_misuse", tests, NULL, NULL);
}
