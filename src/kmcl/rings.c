/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The memory of a channel's two rings: donated by the guest, seen by both ends. Where the pages can
 * be mapped again, each ring is mapped with its data twice in a row; otherwise through a page list.
 */

#include "kmcl/channel.h"

#include <stdlib.h>
#include <string.h>

#define RING_DEFAULT_PAGES   16u
#define RING_DEFAULT_PACKETS 4u /* of the largest; or more pages */

/* Data pages: what was set, but never less than the largest packet takes. In what order the limits
 * and the pages were set makes no difference: all of it is known by now. */
static uint32_t ring_data_pages(const struct channel_config *config, uint32_t set)
{
	uint32_t bytes = (uint32_t)packet_ring_least(&config->limits);
	uint32_t least = (uint32_t)BYTES_TO_PAGES(bytes);
	uint32_t pages = set ? set : (uint32_t)BYTES_TO_PAGES(RING_DEFAULT_PACKETS * bytes);

	if (!set && pages < RING_DEFAULT_PAGES)
		pages = RING_DEFAULT_PAGES;
	return pages < least ? least : pages;
}

static_assert(RING_DEFAULT_PACKETS * (CHANNEL_PACKET_MAX + CHANNEL_HEADER_MAX + 64) <=
                      CHANNEL_RING_PAGES_MAX * WIRE_PAGE_SIZE,
              "the largest packets have room in the largest rings");

/* Maps one ring; `pages` counts the control page. */
static NTSTATUS ring_map(struct ring_map *map, const PFN_NUMBER *pfns, size_t pages,
                         struct ring_memory *memory)
{
	map->pages = pages;
	memory->size = (uint32_t)(pages - 1) * WIRE_PAGE_SIZE;
	map->mapping = nt_map_pages(pfns, pages, 1);
	if (map->mapping) {
		memory->control = map->mapping;
		memory->data = (uint8_t *)map->mapping + WIRE_PAGE_SIZE;
		return STATUS_SUCCESS;
	}
	map->list = calloc(pages, sizeof(*map->list));
	if (!map->list)
		return STATUS_INSUFFICIENT_RESOURCES;
	for (size_t i = 0; i < pages; i++)
		map->list[i] = (uint8_t *)(uintptr_t)(pfns[i] << PAGE_SHIFT);
	memory->control = (struct wire_ring_control *)map->list[0];
	memory->pages = map->list + 1;
	return STATUS_SUCCESS;
}

static void ring_unmap(struct ring_map *map)
{
	if (map->mapping)
		nt_unmap_pages(map->mapping, map->pages, 1);
	free(map->list);
	map->mapping = NULL;
	map->list = NULL;
	map->pages = 0;
}

static NTSTATUS rings_fault(struct channel *ch, const char *which, const struct ring_fault *fault)
{
	nt_log_limited(bus_log_account(ch), NT_LOG_RINGS, NT_LOG_ERROR, channel_name(ch),
	               "malformed %s ring: %s, expected at most %#llx, got %#llx", which,
	               fault->what, (unsigned long long)fault->expected,
	               (unsigned long long)fault->actual);
	atomic_fetch_add(&ch->faults, 1);
	return STATUS_INVALID_PARAMETER;
}

NTSTATUS rings_attach(struct channel *ch, const PFN_NUMBER *in, size_t in_pages,
                      const PFN_NUMBER *out, size_t out_pages)
{
	struct ring_memory in_memory = { 0 }, out_memory = { 0 };
	NTSTATUS status;

	if (in_pages < 2 || out_pages < 2 || in_pages > CHANNEL_RING_PAGES_MAX + 1 ||
	    out_pages > CHANNEL_RING_PAGES_MAX + 1)
		return STATUS_INVALID_PARAMETER;
	status = ring_map(&ch->rings.in, in, in_pages, &in_memory);
	if (NT_SUCCESS(status))
		status = ring_map(&ch->rings.out, out, out_pages, &out_memory);
	if (NT_SUCCESS(status))
		status = incoming_prepare(ch);
	if (NT_SUCCESS(status) && incoming_attach(ch, &in_memory) != RING_OK)
		status = rings_fault(ch, "incoming", &ch->in.reader.ring.fault);
	if (NT_SUCCESS(status) && ring_writer_init(&ch->out.ring, &out_memory) != RING_OK)
		status = rings_fault(ch, "outgoing", &ch->out.ring.fault);
	if (!NT_SUCCESS(status))
		rings_detach(ch);
	return status;
}

void rings_detach(struct channel *ch)
{
	incoming_release(ch);
	ring_unmap(&ch->rings.in);
	ring_unmap(&ch->rings.out);
}

NTSTATUS rings_create(struct channel *ch)
{
	struct channel_rings *rings = &ch->rings;
	const struct channel_config *config = &ch->config;
	size_t out = 1 + ring_data_pages(config, config->out_pages);
	size_t in = 1 + ring_data_pages(config, config->in_pages);
	PFN_NUMBER *pfns = calloc(out + in, sizeof(*pfns));
	NTSTATUS status;

	if (!pfns)
		return STATUS_INSUFFICIENT_RESOURCES;
	rings->memory = nt_pages_allocate(out + in);
	if (!rings->memory) {
		free(pfns);
		return STATUS_INSUFFICIENT_RESOURCES;
	}
	rings->memory_pages = out + in;
	rings->out_pages = out;
	for (size_t i = 0; i < out + in; i++)
		pfns[i] = ((uintptr_t)rings->memory >> PAGE_SHIFT) + i;
	status = rings_attach(ch, pfns + out, in, pfns, out);
	free(pfns);
	if (!NT_SUCCESS(status))
		rings_destroy(ch);
	return status;
}

void rings_destroy(struct channel *ch)
{
	struct channel_rings *rings = &ch->rings;

	rings_detach(ch);
	if (rings->memory)
		nt_pages_free(rings->memory, rings->memory_pages);
	rings->memory = NULL;
	rings->memory_pages = 0;
}
