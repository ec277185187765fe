/* SPDX-License-Identifier: BSD-2-Clause */
#include "ic_guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RING_PAGES 3u /* as Linux's HV_UTIL_RING_SEND_SIZE */

const struct ic_version ic_guest_frameworks[] = { { 3, 0 }, { 1, 0 }, { 0, 0 } };
const struct ic_version ic_guest_old_frameworks[] = { { 1, 0 }, { 0, 0 } };

/* ---- answers ---- */

void ic_guest_send(struct ic_guest *g, const void *message, uint32_t size)
{
	VMBPACKET packet = VmbPacketAllocate(g->vmb);
	uint8_t *copy = malloc(size + 1);

	memcpy(copy, message, size);
	if (!NT_SUCCESS(VmbPacketSend(packet, copy, size, NULL, 0)))
		VmbPacketFree(packet);
	free(copy);
}

void ic_guest_answer(struct ic_guest *g, const struct ic_guest_message *m)
{
	ic_guest_send(g, m, (uint32_t)sizeof(m->header) + m->size);
}

/* The newest of its own that the host has too; 0.0: none. */
static struct ic_version choose(const struct ic_version *own, const struct ic_version *offered,
                                uint32_t count)
{
	uint32_t i;

	for (; own->major; own++) {
		for (i = 0; i < count; i++) {
			if (offered[i].major == own->major && offered[i].minor == own->minor)
				return *own;
		}
	}
	return *own;
}

/* As vmbus_prep_negotiate_resp() answers: the size in the header changes, not the message's. */
static void negotiate(struct ic_guest *g, struct ic_guest_message *m)
{
	struct ic_negotiation n;
	struct ic_version offered[32] = { { 0 } }, chosen[2];

	memcpy(&n, m->body, sizeof(n));
	memcpy(offered, m->body + sizeof(n), sizeof(offered));
	chosen[0] = choose(g->frameworks, offered, n.framework_count);
	chosen[1] = choose(g->versions, offered + n.framework_count, n.message_count);
	n.framework_count = n.message_count = chosen[0].major && chosen[1].major;
	m->header.size = 0x10;
	memcpy(m->body, &n, sizeof(n));
	memcpy(m->body + sizeof(n), chosen, sizeof(chosen));
}

static void respond(struct ic_guest *g, struct ic_guest_message *m)
{
	if (g->instead) {
		g->instead(g, m);
		return;
	}
	if (m->header.type == IC_NEGOTIATE)
		negotiate(g, m);
	else
		g->request(g, m);
	m->header.flags = IC_TRANSACTION | IC_RESPONSE;
	if (!g->spoil || g->spoil(g, m))
		ic_guest_answer(g, m);
}

static void take(struct ic_guest *g, struct ic_guest_message *m)
{
	bool mute;
	KIRQL irql;

	KeAcquireSpinLock(&g->lock, &irql);
	mute = g->mute;
	g->last = *m;
	if (mute && g->held_count < 16)
		g->held[g->held_count++] = *m;
	KeReleaseSpinLock(&g->lock, irql);
	if (m->header.type == IC_NEGOTIATE)
		g->negotiations++;
	else
		g->requests++;
	if (!mute)
		respond(g, m);
}

static VOID process_packet(VMBCHANNEL vmb, VMBPACKETCOMPLETION completion, PVOID buffer,
                           UINT32 length, UINT32 flags)
{
	struct ic_guest *g = VmbChannelGetPointer(vmb);
	struct ic_guest_message *m = calloc(1, sizeof(*m));

	memcpy(m, buffer, length);
	m->size = length - (uint32_t)sizeof(m->header);
	take(g, m);
	free(m);
	VmbChannelPacketComplete(completion, NULL, 0);
}

void ic_guest_unmute(struct ic_guest *g)
{
	struct ic_guest_message *held = calloc(16, sizeof(*held));
	uint32_t count, i;
	KIRQL irql;

	KeAcquireSpinLock(&g->lock, &irql);
	g->mute = false;
	count = g->held_count;
	g->held_count = 0;
	memcpy(held, g->held, count * sizeof(*held));
	KeReleaseSpinLock(&g->lock, irql);
	for (i = 0; i < count; i++)
		respond(g, &held[i]);
	free(held);
}

void ic_guest_last(struct ic_guest *g, struct ic_guest_message *m)
{
	KIRQL irql;

	KeAcquireSpinLock(&g->lock, &irql);
	*m = g->last;
	KeReleaseSpinLock(&g->lock, irql);
}

/* ---- the channel ---- */

static VOID post_started(VMBCHANNEL vmb)
{
	struct ic_guest *g = VmbChannelGetPointer(vmb);

	g->is_open = true;
	KeSetEvent(&g->settled, 0, FALSE);
}

static VOID pnp_failure(VMBCHANNEL vmb, NTSTATUS status)
{
	struct ic_guest *g = VmbChannelGetPointer(vmb);

	KeSetEvent(&g->settled, 0, FALSE);
}

static bool configure(struct ic_guest *g)
{
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS callbacks;

	VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(&callbacks);
	callbacks.EvtChannelPostStarted = post_started;
	VmbChannelSetPointer(g->vmb, g);
	VmbChannelInitSetFlags(g->vmb, VMBUS_CHANNEL_INIT_FLAG_IS_PIPE);
	VmbChannelInitSetMaximumPacketSize(g->vmb, IC_GUEST_MAX);
	VmbChannelInitSetProcessPacketCallbacks(g->vmb, process_packet, NULL);
	VmbChannelInitSetStateChangeCallbacks(g->vmb, &callbacks);
	VmbClientChannelInitSetTargetPnp(g->vmb, &g->type, NULL, pnp_failure);
	return NT_SUCCESS(
		VmbClientChannelInitSetRingBufferPageCount(g->vmb, RING_PAGES, RING_PAGES));
}

/* What it opens may be an offer that the host is about to revoke: then there is a next one. */
bool ic_guest_open(struct ic_guest *g, PDEVICE_OBJECT bus)
{
	LARGE_INTEGER timeout = { .QuadPart = -20ll * 10000000 };
	int tries = 20;

	KeInitializeSpinLock(&g->lock);
	KeInitializeEvent(&g->settled, SynchronizationEvent, FALSE);
	g->is_open = false;
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

void ic_guest_close(struct ic_guest *g)
{
	if (!g->vmb)
		return;
	VmbChannelDisable(g->vmb);
	VmbChannelCleanup(g->vmb);
	g->vmb = NULL;
	g->held_count = 0;
}

/* ---- both ends ---- */

bool ic_fixture_open(struct ic_fixture *f, const char *uri_pattern)
{
	static unsigned int number;

	snprintf(f->uri, sizeof(f->uri), uri_pattern, getpid(), number++);
	return NT_SUCCESS(kmcl_host_open(f->uri, &f->vmbus)) &&
	       NT_SUCCESS(kmcl_guest_open(f->uri, &f->bus));
}

void ic_fixture_close(struct ic_fixture *f)
{
	ic_guest_close(&f->guest);
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

void ic_log_begin(void)
{
	log_used = 0;
	kmcl_log_set(log_line, NULL, KMCL_LOG_WARNING);
}

uint32_t ic_log_count(const char *text)
{
	uint32_t i, n = 0;
	KIRQL irql;

	KeAcquireSpinLock(&log_lock, &irql);
	for (i = 0; i < log_used; i++)
		n += strstr(log_lines[i], text) != NULL;
	KeReleaseSpinLock(&log_lock, irql);
	return n;
}

void ic_log_end(void)
{
	kmcl_log_set(NULL, NULL, KMCL_LOG_WARNING);
}
