/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * External data: memory that a packet refers to. The guest turns MDLs or page numbers into the
 * ranges of a GPA direct header; the host turns those into MDLs over the guest's pages. Memory that
 * the host cannot see is bounced: copied into shared pages for the length of the transaction, and
 * back.
 */

#include "kmcl/channel.h"

#include <stdlib.h>
#include <string.h>

uint32_t extdata_mdls_max(const struct channel_config *config)
{
	return config->limits.ranges_max * (uint32_t)sizeof(MDL) +
	       packet_gpa_pages_max(&config->limits) * (uint32_t)sizeof(PFN_NUMBER);
}

/* ---- walking through what a sender gave ---- */

/* Piece by piece, a piece lying in one MDL. */
struct extdata_cursor {
	PMDL mdl;
	const PFN_NUMBER *pfns; /* from the piece's first page on */
	uint32_t byte_offset;   /* into that page */
	uint32_t byte_count;
	uint32_t skip; /* before the next piece */
	uint32_t left; /* from the next piece on */
};

static bool cursor_next(struct extdata_cursor *cursor)
{
	while (cursor->mdl && cursor->left) {
		PMDL mdl = cursor->mdl;
		uint32_t size = MmGetMdlByteCount(mdl);
		uint64_t start;

		cursor->mdl = mdl->Next;
		if (cursor->skip >= size) {
			cursor->skip -= size;
			continue;
		}
		start = (uint64_t)MmGetMdlByteOffset(mdl) + cursor->skip;
		cursor->byte_count = size - cursor->skip;
		if (cursor->byte_count > cursor->left)
			cursor->byte_count = cursor->left;
		cursor->skip = 0;
		cursor->left -= cursor->byte_count;
		cursor->pfns = MmGetMdlPfnArray(mdl) + start / WIRE_PAGE_SIZE;
		cursor->byte_offset = (uint32_t)(start % WIRE_PAGE_SIZE);
		return true;
	}
	return false;
}

/* Page numbers, and a forced length, are a single piece and need no walk. */
static bool source_is_piece(const struct extdata_source *source)
{
	return source->pfns || source->force_length;
}

static bool source_first(const struct extdata_source *source, struct extdata_cursor *cursor)
{
	*cursor = (struct extdata_cursor){ .mdl = source->mdl,
		                           .skip = source->offset,
		                           .left = source->length };
	if (!source_is_piece(source))
		return cursor_next(cursor);
	cursor->mdl = NULL;
	cursor->left = 0;
	cursor->byte_count = source->length;
	cursor->pfns = source->pfns;
	cursor->byte_offset = source->offset;
	if (source->mdl) {
		uint64_t start = (uint64_t)MmGetMdlByteOffset(source->mdl) + source->offset;

		cursor->pfns = MmGetMdlPfnArray(source->mdl) + start / WIRE_PAGE_SIZE;
		cursor->byte_offset = (uint32_t)(start % WIRE_PAGE_SIZE);
	}
	return cursor->byte_count != 0;
}

static uint64_t chain_size(PMDL mdl)
{
	uint64_t size = 0;

	for (; mdl; mdl = mdl->Next)
		size += MmGetMdlByteCount(mdl);
	return size;
}

/* The bytes that a length may reach, and those that no length means: of the chain, or, forced, of
 * the first MDL, whose last page may be used to its end if that is asked for. */
static uint64_t source_size(const struct extdata_source *source, uint64_t *standard)
{
	uint64_t start = MmGetMdlByteOffset(source->mdl), end;

	if (!source->force_length) {
		*standard = chain_size(source->mdl);
		return *standard;
	}
	*standard = MmGetMdlByteCount(source->mdl);
	end = start + *standard;
	return ROUND_TO_PAGES(end) - start;
}

/* Fills in the length, and checks that offset and length lie in what is described. */
static NTSTATUS source_resolve(struct extdata_source *source)
{
	uint64_t size, standard;

	if (source->pfns) {
		source->offset = 0;
		if (source->pfn_count == 0 || source->pfn_count > UINT32_MAX / WIRE_PAGE_SIZE)
			return STATUS_INVALID_PARAMETER_5;
		source->length = source->pfn_count * WIRE_PAGE_SIZE;
		return STATUS_SUCCESS;
	}
	size = source_size(source, &standard);
	if (source->offset >= (source->length ? size : standard))
		return STATUS_INVALID_PARAMETER_5;
	if (source->length == 0) {
		uint64_t rest = standard - source->offset;

		if (rest > UINT32_MAX)
			return STATUS_INVALID_BUFFER_SIZE;
		source->length = (uint32_t)rest;
	}
	return source->length <= size - source->offset ? STATUS_SUCCESS
	                                               : STATUS_INVALID_PARAMETER_6;
}

/* ---- building the header ---- */

struct header_piece {
	struct channel *channel;
	const PFN_NUMBER *pfns;
};

static_assert(PARTITION_NO_PAGE == PACKET_NO_PAGE, "as the packet layer has it");

static uint64_t header_page_number(void *context, uint64_t index)
{
	const struct header_piece *piece = context;

	return guest_page(piece->channel, (void *)(uintptr_t)(piece->pfns[index] << PAGE_SHIFT));
}

/* STATUS_INVALID_USER_BUFFER: a page that the host cannot see. */
static NTSTATUS header_add_piece(struct wire_gpa_writer *w, struct channel *ch,
                                 const struct extdata_cursor *at)
{
	struct header_piece piece = { ch, at->pfns };

	switch (packet_gpa_add(w, at->byte_offset, at->byte_count, header_page_number, &piece)) {
	case PACKET_GPA_OK:
		return STATUS_SUCCESS;
	case PACKET_GPA_NO_ROOM:
		return STATUS_INVALID_BUFFER_SIZE;
	case PACKET_GPA_NO_PAGE:
		return STATUS_INVALID_USER_BUFFER;
	}
	return STATUS_INVALID_USER_BUFFER;
}

static NTSTATUS header_write(struct packet *packet, const struct extdata_source *source)
{
	struct wire_gpa_writer w;
	struct extdata_cursor piece;
	NTSTATUS status;

	if (!wire_gpa_write_begin(&w, packet->header, packet->header_capacity) ||
	    !source_first(source, &piece))
		return STATUS_INVALID_BUFFER_SIZE;
	do {
		status = header_add_piece(&w, packet->channel, &piece);
		if (!NT_SUCCESS(status))
			return status;
	} while (cursor_next(&piece));
	if (w.ranges > packet->channel->config.limits.ranges_max)
		return STATUS_INVALID_BUFFER_SIZE;
	packet->header_size = wire_gpa_write_end(&w);
	return STATUS_SUCCESS;
}

/* ---- bouncing ---- */

/* Copies between the source and a flat buffer. The source's pages are this process's own. */
static void source_copy(const struct extdata_source *source, uint8_t *flat, bool to_flat)
{
	struct extdata_cursor piece;
	bool more = source_first(source, &piece);

	for (; more; more = cursor_next(&piece)) {
		uint32_t offset = piece.byte_offset, left = piece.byte_count;

		for (const PFN_NUMBER *pfn = piece.pfns; left; pfn++) {
			uint32_t n =
				WIRE_PAGE_SIZE - offset < left ? WIRE_PAGE_SIZE - offset : left;
			uint8_t *page = (uint8_t *)(uintptr_t)(*pfn << PAGE_SHIFT) + offset;

			if (to_flat)
				memcpy(flat, page, n);
			else
				memcpy(page, flat, n);
			flat += n;
			left -= n;
			offset = 0;
		}
	}
}

static NTSTATUS bounce_begin(struct packet *packet, const struct extdata_source *source)
{
	struct bounce *bounce = &packet->bounce;
	size_t pages = BYTES_TO_PAGES((size_t)source->length);
	struct extdata_source flat = { .length = source->length };
	PFN_NUMBER *pfns;
	NTSTATUS status;

	bounce->source = *source;
	bounce->pages = nt_pages_allocate(pages);
	pfns = malloc(pages * sizeof(*pfns) + source->pfn_count * sizeof(*pfns));
	if (!bounce->pages || !pfns) {
		free(pfns);
		if (bounce->pages)
			nt_pages_free(bounce->pages, pages);
		bounce->pages = NULL;
		return STATUS_INSUFFICIENT_RESOURCES;
	}
	bounce->page_count = pages;
	if (source->pfns) { /* the caller's array may be gone when the transaction ends */
		memcpy(pfns + pages, source->pfns, source->pfn_count * sizeof(*pfns));
		bounce->source.pfns = pfns + pages;
	}
	for (size_t i = 0; i < pages; i++)
		pfns[i] = ((uintptr_t)bounce->pages >> PAGE_SHIFT) + i;
	bounce->pfns = pfns;
	flat.pfns = pfns;
	source_copy(&bounce->source, bounce->pages, true);
	status = header_write(packet, &flat);
	if (NT_SUCCESS(status))
		counter_add_shared(&packet->channel->statistics.bounced_bytes, source->length);
	else
		extdata_abandon(packet);
	return status;
}

/* Memory that was locked for reading only has not been written by the host. */
static bool bounce_writes_back(const struct bounce *bounce)
{
	const MDL *mdl = bounce->source.mdl;

	return !mdl || !(mdl->MdlFlags & MDL_PAGES_LOCKED) || (mdl->MdlFlags & MDL_WRITE_OPERATION);
}

void extdata_abandon(struct packet *packet)
{
	struct bounce *bounce = &packet->bounce;

	if (!bounce->pages)
		return;
	nt_pages_free(bounce->pages, bounce->page_count);
	free(bounce->pfns);
	bounce->pages = NULL;
	bounce->pfns = NULL;
}

void extdata_finish(struct packet *packet, bool copy_back)
{
	struct bounce *bounce = &packet->bounce;

	if (bounce->pages && copy_back && NT_SUCCESS(packet->status) && bounce_writes_back(bounce))
		source_copy(&bounce->source, bounce->pages, false);
	extdata_abandon(packet);
}

NTSTATUS extdata_build(struct packet *packet, const struct extdata_source *given)
{
	struct extdata_source source = *given;
	NTSTATUS status = source_resolve(&source);

	if (!NT_SUCCESS(status))
		return status;
	if (source.length > packet->channel->config.limits.external_max)
		return STATUS_INVALID_BUFFER_SIZE;
	packet->external_size = source.length;
	status = header_write(packet, &source);
	if (status == STATUS_INVALID_USER_BUFFER)
		status = bounce_begin(packet, &source);
	return status;
}

/* ---- the host's side ---- */

NTSTATUS extdata_fill_mdl(PMDL mdl, const struct partition_pin *pin, uint32_t offset,
                          uint32_t length, const uint64_t *gpns)
{
	uint64_t pages = wire_pages_spanned(offset, length);
	PPFN_NUMBER pfns;

	MmInitializeMdl(mdl, (void *)(uintptr_t)offset, length);
	mdl->MdlFlags |= MDL_PAGES_LOCKED;
	pfns = MmGetMdlPfnArray(mdl);
	for (uint64_t i = 0; i < pages; i++) {
		void *page = partition_page(pin, gpns[i]);

		if (!page)
			return STATUS_ACCESS_VIOLATION;
		pfns[i] = (uintptr_t)page >> PAGE_SHIFT;
	}
	return STATUS_SUCCESS;
}

NTSTATUS extdata_map_packet(struct incoming_packet *packet)
{
	struct wire_gpa_ranges ranges = packet->in.ranges;
	struct wire_gpa_extent extent;
	PMDL first = NULL, last = NULL;
	uint8_t *at = packet->mdls;

	while (wire_gpa_ranges_next(&ranges, &extent)) {
		PMDL mdl = (PMDL)at;
		NTSTATUS status = extdata_fill_mdl(mdl, packet->channel->pin, extent.byte_offset,
		                                   extent.byte_count, extent.pfns);

		if (!NT_SUCCESS(status))
			return status;
		at += sizeof(MDL) + extent.pfn_count * sizeof(PFN_NUMBER);
		if (last)
			last->Next = mdl;
		else
			first = mdl;
		last = mdl;
	}
	packet->mdl = first;
	return STATUS_SUCCESS;
}

void extdata_unmap_packet(struct incoming_packet *packet)
{
	for (PMDL mdl = packet->mdl; mdl; mdl = mdl->Next)
		if (mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA)
			MmUnmapLockedPages(mdl->MappedSystemVa, mdl);
	packet->mdl = NULL;
}

/* ---- for everybody ---- */

static void iov_add(struct iovec *iov, uint32_t capacity, uint32_t *count, uint8_t *base,
                    size_t size)
{
	uint32_t last = *count - 1;

	if (*count && last < capacity &&
	    (uint8_t *)iov[last].iov_base + iov[last].iov_len == base) {
		iov[last].iov_len += size;
		return;
	}
	if (*count < capacity)
		iov[*count] = (struct iovec){ base, size };
	(*count)++;
}

uint32_t kmcl_mdl_iovec(PMDL mdl, uint32_t offset, uint32_t length, struct iovec *iov,
                        uint32_t capacity)
{
	struct extdata_source source = { .mdl = mdl, .offset = offset, .length = length };
	struct extdata_cursor piece;
	uint32_t count = 0;
	bool more;

	if (!mdl || length == 0 || !NT_SUCCESS(source_resolve(&source)))
		return 0;
	for (more = source_first(&source, &piece); more; more = cursor_next(&piece)) {
		uint32_t start = piece.byte_offset, left = piece.byte_count;

		for (const PFN_NUMBER *pfn = piece.pfns; left; pfn++) {
			uint32_t n = WIRE_PAGE_SIZE - start < left ? WIRE_PAGE_SIZE - start : left;

			iov_add(iov, capacity, &count,
			        (uint8_t *)(uintptr_t)(*pfn << PAGE_SHIFT) + start, n);
			left -= n;
			start = 0;
		}
	}
	return count;
}
