/* SPDX-License-Identifier: BSD-2-Clause */

/* GPADLs beside the rings' own: the guest describes memory once, the host maps it as often as it
 * likes. */

#include "kmcl/channel.h"

#include <stdlib.h>
#include <string.h>

/* One range an MDL, as on Windows; the pages in one array behind them. */
struct gpadl_ranges {
	struct bus_gpa_range *ranges;
	uint64_t *gpns;
	uint32_t count;
};

static void gpadl_ranges_free(struct gpadl_ranges *r)
{
	free(r->ranges);
	free(r->gpns);
}

static NTSTATUS gpadl_add_range(struct channel *ch, struct gpadl_ranges *r, uint64_t *gpns,
                                const PFN_NUMBER *pfns, uint32_t offset, uint32_t length)
{
	uint64_t pages = wire_pages_spanned(offset, length);

	for (uint64_t i = 0; i < pages; i++) {
		gpns[i] = guest_page(ch, (void *)(uintptr_t)(pfns[i] << PAGE_SHIFT));
		if (gpns[i] == PARTITION_NO_PAGE)
			return STATUS_INVALID_USER_BUFFER;
	}
	r->ranges[r->count++] = (struct bus_gpa_range){ length, offset, gpns };
	return STATUS_SUCCESS;
}

/* `length` bytes from `offset` on of the chain; 0: all that is left. */
static NTSTATUS gpadl_ranges_build(struct channel *ch, PMDL mdl, uint64_t offset, uint64_t length,
                                   struct gpadl_ranges *r)
{
	uint64_t mdls = 0, pages = 0, size = 0, used = 0;
	NTSTATUS status = STATUS_SUCCESS;

	for (PMDL m = mdl; m; m = m->Next, mdls++) {
		size += MmGetMdlByteCount(m);
		pages += wire_pages_spanned(MmGetMdlByteOffset(m), MmGetMdlByteCount(m));
	}
	if (offset >= size)
		return STATUS_INVALID_PARAMETER_4;
	if (length == 0)
		length = size - offset;
	if (length > size - offset)
		return STATUS_INVALID_PARAMETER_5;
	r->count = 0;
	r->ranges = calloc(mdls, sizeof(*r->ranges));
	r->gpns = calloc(pages, sizeof(*r->gpns));
	if (!r->ranges || !r->gpns)
		status = STATUS_INSUFFICIENT_RESOURCES;
	for (; NT_SUCCESS(status) && length; mdl = mdl->Next) {
		uint32_t here = MmGetMdlByteCount(mdl), in_page;
		uint64_t start, spanned;

		if (offset >= here) {
			offset -= here;
			continue;
		}
		start = MmGetMdlByteOffset(mdl) + offset;
		in_page = (uint32_t)(start % WIRE_PAGE_SIZE);
		here -= (uint32_t)offset;
		here = here < length ? here : (uint32_t)length;
		spanned = wire_pages_spanned(in_page, here);
		if (used + spanned + r->count + 1 > WIRE_GPADL_WORDS_MAX) {
			status = STATUS_INVALID_BUFFER_SIZE;
			break;
		}
		status = gpadl_add_range(ch, r, r->gpns + used,
		                         MmGetMdlPfnArray(mdl) + start / WIRE_PAGE_SIZE, in_page,
		                         here);
		used += spanned;
		length -= here;
		offset = 0;
	}
	if (!NT_SUCCESS(status))
		gpadl_ranges_free(r);
	return status;
}

NTSTATUS VmbChannelCreateGpadlFromMdl(VMBCHANNEL Channel, UINT32 Flags, PMDL Mdl,
                                      UINT32 StartOffsetWithinMdl, UINT32 DataLengthWithinMdl,
                                      PUINT32 GpadlHandle)
{
	struct channel *ch = channel_of(Channel);
	struct gpadl_ranges r;
	NTSTATUS status;

	if (!ch || ch->server)
		return STATUS_INVALID_PARAMETER_1;
	if (Flags & ~VMBUS_CHANNEL_GPADL_FLAGS)
		return STATUS_INVALID_PARAMETER_2;
	if (!Mdl)
		return STATUS_INVALID_PARAMETER_3;
	if (!GpadlHandle)
		return STATUS_INVALID_PARAMETER_6;
	if (!nt_irql_at_most(PASSIVE_LEVEL, __func__, channel_name(ch)) || !channel_is_open(ch))
		return STATUS_INVALID_DEVICE_STATE;
	status = gpadl_ranges_build(ch, Mdl, StartOffsetWithinMdl, DataLengthWithinMdl, &r);
	if (!NT_SUCCESS(status))
		return status;
	status = guest_gpadl_create(ch, r.ranges, r.count,
	                            Flags & VMBUS_CHANNEL_GPADL_FLAG_READ_ONLY, GpadlHandle);
	gpadl_ranges_free(&r);
	return status;
}

NTSTATUS VmbChannelCreateGpadlFromBuffer(VMBCHANNEL Channel, UINT32 Flags, PVOID Buffer,
                                         UINT32 ByteCount, PUINT32 GpadlHandle)
{
	struct channel *ch = channel_of(Channel);
	PMDL mdl;
	NTSTATUS status;

	if (!ch || ch->server)
		return STATUS_INVALID_PARAMETER_1;
	if (!Buffer)
		return STATUS_INVALID_PARAMETER_3;
	if (ByteCount == 0)
		return STATUS_INVALID_PARAMETER_4;
	if (!GpadlHandle)
		return STATUS_INVALID_PARAMETER_5;
	if (!nt_irql_at_most(PASSIVE_LEVEL, __func__, channel_name(ch)))
		return STATUS_INVALID_DEVICE_STATE;
	mdl = IoAllocateMdl(Buffer, ByteCount, FALSE, FALSE, NULL);
	if (!mdl)
		return STATUS_INSUFFICIENT_RESOURCES;
	MmBuildMdlForNonPagedPool(mdl);
	status = VmbChannelCreateGpadlFromMdl(Channel, Flags, mdl, 0, 0, GpadlHandle);
	IoFreeMdl(mdl);
	return status;
}

VOID VmbChannelDeleteGpadl(VMBCHANNEL Channel, UINT32 GpadlHandle)
{
	struct channel *ch = channel_of(Channel);

	if (!ch || ch->server || !nt_irql_at_most(PASSIVE_LEVEL, __func__, channel_name(ch)))
		return;
	guest_gpadl_teardown(ch, GpadlHandle, true);
}

/* ---- the host's side ---- */

static size_t gpadl_mdl_size(uint32_t offset, uint32_t length)
{
	return sizeof(MDL) + wire_pages_spanned(offset, length) * sizeof(PFN_NUMBER);
}

static void gpadl_free_mdls(struct host *host, PMDL mdl)
{
	while (mdl) {
		PMDL next = mdl->Next;

		if (mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA)
			MmUnmapLockedPages(mdl->MappedSystemVa, mdl);
		account_free(host_account(host), ACCOUNT_GPADLS, mdl,
		             gpadl_mdl_size(mdl->ByteOffset, mdl->ByteCount));
		mdl = next;
	}
}

static NTSTATUS gpadl_build_mdls(const struct host_gpadl *gpadl, PMDL *first)
{
	struct host *host = gpadl->channel->host;
	PMDL *last = first;

	*first = NULL;
	for (uint32_t i = 0; i < gpadl->count; i++) {
		const struct bus_gpa_range *range = &gpadl->ranges[i];
		size_t size = gpadl_mdl_size(range->byte_offset, range->byte_count);
		PMDL mdl = account_allocate(host_account(host), ACCOUNT_GPADLS, size);
		NTSTATUS status = mdl ? extdata_fill_mdl(mdl, gpadl->pin, range->byte_offset,
		                                         range->byte_count, range->pfns)
		                      : STATUS_INSUFFICIENT_RESOURCES;

		if (!NT_SUCCESS(status)) {
			account_free(host_account(host), ACCOUNT_GPADLS, mdl, size);
			gpadl_free_mdls(host, *first);
			*first = NULL;
			return status;
		}
		*last = mdl;
		last = &mdl->Next;
	}
	return STATUS_SUCCESS;
}

/* The rings' own GPADL is no business of the driver's. */
static struct host_gpadl *gpadl_find(struct channel *ch, uint32_t id)
{
	struct host_gpadl *gpadl = host_find_gpadl(ch, id);

	if (!gpadl || !gpadl->established || gpadl->tearing_down || id == ch->open.ring_gpadl)
		return NULL;
	return gpadl;
}

static NTSTATUS gpadl_map(struct channel *ch, struct host_gpadl *gpadl)
{
	NTSTATUS status;

	gpadl->pin = partition_pin(host_partition(ch->host));
	if (!gpadl->pin)
		return STATUS_DEVICE_REMOVED;
	status = gpadl_build_mdls(gpadl, &gpadl->mdl);
	if (!NT_SUCCESS(status)) {
		partition_unpin(gpadl->pin);
		gpadl->pin = NULL;
	}
	return status;
}

NTSTATUS VmbChannelMapGpadl(VMBCHANNEL Channel, UINT32 Flags, UINT32 GpadlHandle, PMDL *Mdl)
{
	struct channel *ch = channel_of(Channel);
	struct host_gpadl *gpadl;
	NTSTATUS status;

	if (!ch || !ch->server)
		return STATUS_INVALID_PARAMETER_1;
	if (Flags & ~VMBUS_CHANNEL_GPADL_FLAGS)
		return STATUS_INVALID_PARAMETER_2;
	if (!Mdl)
		return STATUS_INVALID_PARAMETER_4;
	if (!nt_irql_at_most(PASSIVE_LEVEL, __func__, channel_name(ch)))
		return STATUS_INVALID_DEVICE_STATE;
	*Mdl = NULL;
	host_enter(ch->host);
	gpadl = gpadl_find(ch, GpadlHandle);
	if (!gpadl)
		status = STATUS_INVALID_PARAMETER_3;
	else if (gpadl->read_only && !(Flags & VMBUS_CHANNEL_GPADL_FLAG_READ_ONLY))
		status = STATUS_ACCESS_DENIED;
	else if (gpadl->mdl)
		status = STATUS_ALREADY_COMMITTED;
	else
		status = gpadl_map(ch, gpadl);
	if (NT_SUCCESS(status))
		*Mdl = gpadl->mdl;
	host_leave(ch->host);
	return status;
}

VOID VmbChannelUnmapGpadl(VMBCHANNEL Channel, UINT32 GpadlHandle)
{
	struct channel *ch = channel_of(Channel);
	struct host_gpadl *gpadl;

	if (!ch || !ch->server || !nt_irql_at_most(PASSIVE_LEVEL, __func__, channel_name(ch)))
		return;
	host_enter(ch->host);
	gpadl = host_find_gpadl(ch, GpadlHandle);
	if (gpadl && gpadl->mdl) {
		gpadl_free_mdls(ch->host, gpadl->mdl);
		gpadl->mdl = NULL;
		partition_unpin(gpadl->pin);
		gpadl->pin = NULL;
		if (gpadl->tearing_down)
			host_gpadl_due(ch->host, gpadl);
		gpadl = NULL;
		host_leave(ch->host);
		return;
	}
	host_leave(ch->host);
	nt_misuse(__func__, channel_name(ch), "the GPADL is not mapped");
}
