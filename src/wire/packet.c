/* SPDX-License-Identifier: BSD-2-Clause */
#include "wire/packet.h"

/* Both packets with headers have 8 bytes after the descriptor, the range count in the last 4. */
#define HEAD_SIZE 8u
static_assert(sizeof(struct wire_gpa_direct) - sizeof(struct wire_packet) == HEAD_SIZE, "ABI");
static_assert(sizeof(struct wire_transfer_pages) - sizeof(struct wire_packet) == HEAD_SIZE, "ABI");

static bool refuse(struct wire_packet_fault *fault, const char *what, uint64_t expected,
                   uint64_t actual)
{
	*fault = (struct wire_packet_fault){ what, expected, actual };
	return false;
}

/* The range count, which is in both kinds of header at the same place. */
static bool check_head(const uint8_t *headers, uint32_t size, uint32_t limit, uint32_t *count,
                       struct wire_packet_fault *fault)
{
	if (size < HEAD_SIZE)
		return refuse(fault, "size of the headers", HEAD_SIZE, size);
	__builtin_memcpy(count, headers + 4, sizeof(*count));
	if (*count == 0)
		return refuse(fault, "range count", 1, 0);
	if (*count > limit)
		return refuse(fault, "range count", limit, *count);
	return true;
}

static bool check_gpa_range(const struct wire_gpa_range *range, uint32_t size,
                            struct wire_packet_fault *fault)
{
	uint64_t pages;

	if (range->byte_count == 0)
		return refuse(fault, "byte count of a range", 1, 0);
	if (range->byte_offset >= WIRE_PAGE_SIZE)
		return refuse(fault, "byte offset of a range", WIRE_PAGE_SIZE - 1,
		              range->byte_offset);
	pages = wire_pages_spanned(range->byte_offset, range->byte_count);
	if (pages > size / sizeof(uint64_t))
		return refuse(fault, "pages of a range", size / sizeof(uint64_t), pages);
	return true;
}

bool wire_gpa_ranges_check(struct wire_gpa_ranges *ranges, const void *headers, uint32_t size,
                           const struct wire_gpa_limits *limits, struct wire_packet_fault *fault)
{
	const uint8_t *at = headers;
	uint64_t pages = 0, bytes = 0;
	uint32_t count;

	if (!check_head(at, size, limits->ranges, &count, fault))
		return false;
	at += HEAD_SIZE;
	size -= HEAD_SIZE;
	*ranges = (struct wire_gpa_ranges){ .next = at, .left = count };
	for (uint32_t i = 0; i < count; i++) {
		struct wire_gpa_range range;
		uint32_t spanned;

		if (size < sizeof(range))
			return refuse(fault, "range count", i, count);
		__builtin_memcpy(&range, at, sizeof(range));
		at += sizeof(range);
		size -= (uint32_t)sizeof(range);
		if (!check_gpa_range(&range, size, fault))
			return false;
		spanned = (uint32_t)wire_pages_spanned(range.byte_offset, range.byte_count);
		at += spanned * sizeof(uint64_t);
		size -= spanned * (uint32_t)sizeof(uint64_t);
		pages += spanned;
		bytes += range.byte_count;
	}
	if (pages > limits->pages)
		return refuse(fault, "pages of all ranges", limits->pages, pages);
	if (bytes > limits->bytes)
		return refuse(fault, "bytes of all ranges", limits->bytes, bytes);
	ranges->page_count = (uint32_t)pages;
	ranges->byte_count = bytes;
	return true;
}

bool wire_gpa_ranges_next(struct wire_gpa_ranges *ranges, struct wire_gpa_extent *extent)
{
	struct wire_gpa_range range;

	if (ranges->left == 0)
		return false;
	__builtin_memcpy(&range, ranges->next, sizeof(range));
	extent->byte_count = range.byte_count;
	extent->byte_offset = range.byte_offset;
	extent->pfn_count = (uint32_t)wire_pages_spanned(range.byte_offset, range.byte_count);
	extent->pfns = (const void *)(ranges->next + sizeof(range));
	ranges->next += sizeof(range) + extent->pfn_count * sizeof(uint64_t);
	ranges->left--;
	return true;
}

bool wire_gpa_write_begin(struct wire_gpa_writer *w, void *headers, uint32_t room)
{
	*w = (struct wire_gpa_writer){ .start = headers };
	if (room < HEAD_SIZE)
		return false;
	w->at = w->start + HEAD_SIZE;
	w->end = w->start + room;
	return true;
}

uint64_t *wire_gpa_write_range(struct wire_gpa_writer *w, uint32_t byte_offset, uint32_t byte_count)
{
	struct wire_gpa_range range = { byte_count, byte_offset };
	uint64_t pages = wire_pages_spanned(byte_offset, byte_count);
	uint8_t *at = w->at;

	if (sizeof(range) + pages * sizeof(uint64_t) > (uint64_t)(w->end - at))
		return NULL;
	__builtin_memcpy(at, &range, sizeof(range));
	w->at += sizeof(range) + pages * sizeof(uint64_t);
	w->ranges++;
	return (uint64_t *)(void *)(at + sizeof(range));
}

uint32_t wire_gpa_write_end(struct wire_gpa_writer *w)
{
	__builtin_memset(w->start, 0, HEAD_SIZE);
	__builtin_memcpy(w->start + 4, &w->ranges, sizeof(w->ranges));
	return (uint32_t)(w->at - w->start);
}

bool wire_transfer_check(struct wire_transfer *transfer, const void *headers, uint32_t size,
                         uint32_t range_limit, uint32_t buffer_size,
                         struct wire_packet_fault *fault)
{
	const uint8_t *at = headers;
	const struct wire_transfer_range *ranges;
	uint32_t count;

	if (!check_head(at, size, range_limit, &count, fault))
		return false;
	if (count > (size - HEAD_SIZE) / sizeof(*ranges))
		return refuse(fault, "range count", (size - HEAD_SIZE) / sizeof(*ranges), count);
	ranges = (const void *)(at + HEAD_SIZE);
	for (uint32_t i = 0; i < count; i++) {
		struct wire_transfer_range range;
		uint64_t end;

		__builtin_memcpy(&range, &ranges[i], sizeof(range));
		end = (uint64_t)range.byte_offset + range.byte_count;

		if (end > buffer_size)
			return refuse(fault, "end of a range", buffer_size, end);
	}
	__builtin_memcpy(&transfer->pageset_id, at, sizeof(transfer->pageset_id));
	transfer->sender_owns_set = at[2] != 0;
	transfer->range_count = count;
	transfer->ranges = ranges;
	return true;
}

uint32_t wire_transfer_encode(void *headers, uint32_t room, const struct wire_transfer *transfer)
{
	uint64_t size = HEAD_SIZE + transfer->range_count * (uint64_t)sizeof(*transfer->ranges);
	uint8_t *at = headers;

	if (transfer->range_count == 0 || size > room)
		return 0;
	__builtin_memcpy(at, &transfer->pageset_id, sizeof(transfer->pageset_id));
	at[2] = transfer->sender_owns_set;
	at[3] = 0;
	__builtin_memcpy(at + 4, &transfer->range_count, sizeof(transfer->range_count));
	__builtin_memcpy(at + HEAD_SIZE, transfer->ranges, size - HEAD_SIZE);
	return (uint32_t)size;
}

bool wire_pipe_check(const void *payload, uint32_t size, uint32_t *data_size,
                     struct wire_packet_fault *fault)
{
	struct wire_pipe_header header;

	if (size < sizeof(header))
		return refuse(fault, "size of a pipe packet", sizeof(header), size);
	__builtin_memcpy(&header, payload, sizeof(header));
	if (header.type != WIRE_PIPE_DATA)
		return refuse(fault, "type of a pipe packet", WIRE_PIPE_DATA, header.type);
	if (header.data_size > size - sizeof(header))
		return refuse(fault, "data size of a pipe packet", size - sizeof(header),
		              header.data_size);
	*data_size = header.data_size;
	return true;
}
