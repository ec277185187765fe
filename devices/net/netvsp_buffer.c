/* SPDX-License-Identifier: BSD-2-Clause */
/* The receive buffer and the send buffer: memory that the guest shows once, as a GPADL. */
#include "net/netvsp_private.h"

#include <stdlib.h>
#include <string.h>

static uint64_t chain_size(PMDL mdl)
{
	uint64_t size = 0;

	for (; mdl; mdl = mdl->Next)
		size += MmGetMdlByteCount(mdl);
	return size;
}

/* Whole pages; no driver gives anything else, and OpenVMM takes nothing else. */
static bool take_pages(struct netvsp_buffer *b, PMDL mdl)
{
	uint32_t i;

	for (i = 0; i < b->size / PAGE_SIZE; i++) {
		struct iovec iov;

		if (kmcl_mdl_iovec(mdl, i * PAGE_SIZE, PAGE_SIZE, &iov, 1) != 1 ||
		    (uintptr_t)iov.iov_base % PAGE_SIZE)
			return false;
		b->pages[i] = iov.iov_base;
	}
	return true;
}

static NTSTATUS take_mdl(struct netvsp_buffer *b, PMDL mdl, uint32_t size_max)
{
	uint64_t size = chain_size(mdl);

	if (!size || size > size_max || size % PAGE_SIZE)
		return STATUS_INVALID_BUFFER_SIZE;
	b->size = (uint32_t)size;
	b->pages = calloc(size / PAGE_SIZE, sizeof(*b->pages));
	if (!b->pages)
		return STATUS_INSUFFICIENT_RESOURCES;
	if (take_pages(b, mdl))
		return STATUS_SUCCESS;
	free(b->pages);
	b->pages = NULL;
	return STATUS_INVALID_BUFFER_SIZE;
}

NTSTATUS netvsp_buffer_map(struct netvsp_buffer *b, VMBCHANNEL vmb,
                           const struct nvsp_buffer *message, uint32_t size_max)
{
	NTSTATUS status;
	PMDL mdl;

	memset(b, 0, sizeof(*b));
	status = VmbChannelMapGpadl(vmb, 0, message->gpadl, &mdl);
	if (!NT_SUCCESS(status))
		return status;
	status = take_mdl(b, mdl, size_max);
	if (!NT_SUCCESS(status)) {
		VmbChannelUnmapGpadl(vmb, message->gpadl);
		return status;
	}
	b->gpadl = message->gpadl;
	b->id = message->id;
	return STATUS_SUCCESS;
}

void netvsp_buffer_unmap(struct netvsp_buffer *b, VMBCHANNEL vmb)
{
	if (!b->gpadl)
		return;
	VmbChannelUnmapGpadl(vmb, b->gpadl);
	free(b->pages);
	memset(b, 0, sizeof(*b));
}

void netvsp_buffer_write(const struct netvsp_buffer *b, uint32_t offset, const void *bytes,
                         uint32_t size)
{
	const uint8_t *from = bytes;

	while (size) {
		uint32_t at = offset % PAGE_SIZE;
		uint32_t n = PAGE_SIZE - at < size ? PAGE_SIZE - at : size;

		memcpy(b->pages[offset / PAGE_SIZE] + at, from, n);
		from += n;
		offset += n;
		size -= n;
	}
}

uint32_t netvsp_buffer_iovec(const struct netvsp_buffer *b, uint32_t offset, uint32_t size,
                             struct iovec *iov, uint32_t capacity)
{
	uint32_t count = 0;

	while (size && count < capacity) {
		uint32_t at = offset % PAGE_SIZE;
		uint32_t n = PAGE_SIZE - at < size ? PAGE_SIZE - at : size;

		iov[count++] = (struct iovec){ b->pages[offset / PAGE_SIZE] + at, n };
		offset += n;
		size -= n;
	}
	return count;
}
