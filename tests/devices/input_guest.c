/* SPDX-License-Identifier: BSD-2-Clause */
#include "input_guest.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

void input_guest_send(struct input_guest *g, const void *message, uint32_t size)
{
	VMBPACKET packet = VmbPacketAllocate(g->vmb);
	uint8_t copy[INPUT_GUEST_MESSAGE];

	memcpy(copy, message, size);
	if (!NT_SUCCESS(VmbPacketSend(packet, copy, size, NULL, 0)))
		VmbPacketFree(packet);
}

static void keep(struct input_guest *g, const void *message, uint32_t size)
{
	struct input_guest_message *m = &g->messages[g->count];

	if (g->count == INPUT_GUEST_MESSAGES)
		return;
	m->size = size;
	memcpy(m->bytes, message, size < sizeof(m->bytes) ? size : sizeof(m->bytes));
	g->count++;
}

/* The channel has a quota of one: while that is held nothing more is read. */
static VOID process_packet(VMBCHANNEL vmb, VMBPACKETCOMPLETION completion, PVOID buffer,
                           UINT32 length, UINT32 flags)
{
	struct input_guest *g = VmbChannelGetPointer(vmb);
	bool hold = g->deaf; /* as it was before anybody could have seen this message */
	KIRQL irql;

	keep(g, buffer, length);
	KeAcquireSpinLock(&g->lock, &irql);
	hold = hold && g->deaf;
	if (hold)
		g->held = completion;
	KeReleaseSpinLock(&g->lock, irql);
	if (!hold)
		VmbChannelPacketComplete(completion, NULL, 0);
}

void input_guest_hear(struct input_guest *g)
{
	VMBPACKETCOMPLETION held;
	KIRQL irql;

	KeAcquireSpinLock(&g->lock, &irql);
	g->deaf = false;
	held = g->held;
	g->held = NULL;
	KeReleaseSpinLock(&g->lock, irql);
	if (held)
		VmbChannelPacketComplete(held, NULL, 0);
}

/* ---- the channel ---- */

static VOID post_started(VMBCHANNEL vmb)
{
	struct input_guest *g = VmbChannelGetPointer(vmb);

	g->is_open = true;
	KeSetEvent(&g->settled, 0, FALSE);
}

static VOID pnp_failure(VMBCHANNEL vmb, NTSTATUS status)
{
	struct input_guest *g = VmbChannelGetPointer(vmb);

	KeSetEvent(&g->settled, 0, FALSE);
}

static bool configure(struct input_guest *g)
{
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS callbacks;

	VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(&callbacks);
	callbacks.EvtChannelPostStarted = post_started;
	VmbChannelSetPointer(g->vmb, g);
	if (g->pipe)
		VmbChannelInitSetFlags(g->vmb, VMBUS_CHANNEL_INIT_FLAG_IS_PIPE);
	VmbChannelInitSetMaximumPacketSize(g->vmb, INPUT_GUEST_MESSAGE);
	VmbChannelInitSetProcessPacketCallbacks(g->vmb, process_packet, NULL);
	VmbChannelInitSetStateChangeCallbacks(g->vmb, &callbacks);
	VmbChannelSetTransactionQuota(g->vmb, 1);
	VmbClientChannelInitSetTargetPnp(g->vmb, &g->type, NULL, pnp_failure);
	return NT_SUCCESS(VmbClientChannelInitSetRingBufferPageCount(g->vmb, INPUT_GUEST_PAGES,
	                                                             INPUT_GUEST_PAGES));
}

/* What it opens may be an offer that the host is about to revoke: then there is a next one. */
bool input_guest_open(struct input_guest *g, PDEVICE_OBJECT bus)
{
	LARGE_INTEGER timeout = { .QuadPart = -20ll * 10000000 };
	int tries = 20;

	KeInitializeSpinLock(&g->lock);
	KeInitializeEvent(&g->settled, SynchronizationEvent, FALSE);
	g->is_open = false;
	g->count = 0;
	if (!NT_SUCCESS(VmbChannelAllocate(bus, FALSE, &g->vmb)) || !configure(g))
		return false;
	while (!g->is_open && tries-- > 0) {
		if (!NT_SUCCESS(VmbChannelEnable(g->vmb)) ||
		    KeWaitForSingleObject(&g->settled, Executive, KernelMode, FALSE, &timeout) !=
		            STATUS_SUCCESS)
			return false;
		if (!g->is_open)
			VmbChannelDisable(g->vmb);
	}
	return g->is_open;
}

void input_guest_close(struct input_guest *g)
{
	if (!g->vmb)
		return;
	input_guest_hear(g);
	VmbChannelDisable(g->vmb);
	VmbChannelCleanup(g->vmb);
	g->vmb = NULL;
}

/* ---- both ends ---- */

bool input_fixture_open(struct input_fixture *f, const char *uri_pattern)
{
	static unsigned int number;

	snprintf(f->uri, sizeof(f->uri), uri_pattern, getpid(), number++);
	return NT_SUCCESS(kmcl_host_open(f->uri, &f->vmbus)) &&
	       NT_SUCCESS(kmcl_guest_open(f->uri, &f->bus));
}

void input_fixture_close(struct input_fixture *f)
{
	input_guest_close(&f->guest);
	kmcl_guest_close(f->bus);
	ZwClose(f->vmbus);
}

/* ---- the log ---- */

static KSPIN_LOCK log_lock;
static char log_lines[64][256];
static uint32_t log_used;

static void log_line(void *context, enum kmcl_log_level level, const char *channel,
                     const char *text)
{
	KIRQL irql;

	if (level > KMCL_LOG_WARNING)
		return;
	KeAcquireSpinLock(&log_lock, &irql);
	if (log_used < 64)
		snprintf(log_lines[log_used++], sizeof(log_lines[0]), "%s", text);
	KeReleaseSpinLock(&log_lock, irql);
}

void input_log_begin(void)
{
	log_used = 0;
	kmcl_log_set(log_line, NULL, KMCL_LOG_WARNING);
}

uint32_t input_log_count(const char *text)
{
	uint32_t i, n = 0;
	KIRQL irql;

	KeAcquireSpinLock(&log_lock, &irql);
	for (i = 0; i < log_used; i++)
		n += strstr(log_lines[i], text) != NULL;
	KeReleaseSpinLock(&log_lock, irql);
	return n;
}

void input_log_end(void)
{
	kmcl_log_set(NULL, NULL, KMCL_LOG_WARNING);
}
