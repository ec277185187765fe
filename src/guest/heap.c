/* SPDX-License-Identifier: BSD-2-Clause */

/* The memory that was handed over: first fit, and neighbours are joined. */

#include "guest/private.h"

struct heap_piece {
	struct heap_piece *next;
	size_t size;
};

#define HEAP_GRAIN 16u

/* A piece of nothing is one, too: it has an address, and comes back. */
static size_t heap_round(size_t size)
{
	if (size == 0)
		return HEAP_GRAIN;
	return (size + HEAP_GRAIN - 1) & ~(size_t)(HEAP_GRAIN - 1);
}

void heap_init(struct heap *heap, void *memory, size_t size)
{
	heap->free = memory;
	heap->free->next = NULL;
	heap->free->size = size & ~(size_t)(HEAP_GRAIN - 1);
	heap->used = 0;
	heap->peak = 0;
}

void *heap_allocate(struct heap *heap, size_t size)
{
	struct heap_piece **p = &heap->free, *piece;

	size = heap_round(size);
	while ((piece = *p) != NULL && piece->size < size)
		p = &piece->next;
	if (piece == NULL)
		return NULL;
	if (piece->size == size) {
		*p = piece->next;
	} else {
		struct heap_piece *rest = (struct heap_piece *)(void *)((uint8_t *)piece + size);

		rest->next = piece->next;
		rest->size = piece->size - size;
		*p = rest;
	}
	heap->used += size;
	if (heap->used > heap->peak)
		heap->peak = heap->used;
	__builtin_memset(piece, 0, size);
	return piece;
}

/* Joins a piece with the one that follows it, if there is nothing between them. */
static void heap_join(struct heap_piece *piece)
{
	struct heap_piece *next = piece->next;

	if ((uint8_t *)piece + piece->size != (uint8_t *)next)
		return;
	piece->size += next->size;
	piece->next = next->next;
}

void heap_release(struct heap *heap, void *memory, size_t size)
{
	struct heap_piece *piece = memory, *before = NULL, *after = heap->free;

	if (memory == NULL)
		return;
	while (after != NULL && after < piece) {
		before = after;
		after = after->next;
	}
	piece->size = heap_round(size);
	piece->next = after;
	heap->used -= piece->size;
	heap_join(piece);
	if (before == NULL) {
		heap->free = piece;
	} else {
		before->next = piece;
		heap_join(before);
	}
}
