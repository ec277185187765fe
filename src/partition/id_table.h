/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PARTITION_ID_TABLE_H
#define PARTITION_ID_TABLE_H

/* Objects by event id: a hash table of nodes that are part of the objects. The caller locks. */

#include <stddef.h>
#include <stdint.h>

#define ID_TABLE_BUCKETS 256u

struct id_node {
	struct id_node *next;
	uint32_t id;
};

struct id_table {
	struct id_node *buckets[ID_TABLE_BUCKETS];
	size_t count;
};

static inline struct id_node **id_table_bucket(struct id_table *table, uint32_t id)
{
	return &table->buckets[(id * 2654435769u) >> 24]; /* Fibonacci hashing: 2^32 / phi */
}

static inline struct id_node *id_table_find(struct id_table *table, uint32_t id)
{
	struct id_node *node = *id_table_bucket(table, id);

	while (node && node->id != id)
		node = node->next;
	return node;
}

static inline void id_table_insert(struct id_table *table, struct id_node *node)
{
	struct id_node **bucket = id_table_bucket(table, node->id);

	node->next = *bucket;
	*bucket = node;
	table->count++;
}

static inline void id_table_remove(struct id_table *table, struct id_node *node)
{
	struct id_node **at = id_table_bucket(table, node->id);

	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	table->count--;
}

/* Calls `visit` for each; it may remove the node it is given. */
static inline void id_table_each(struct id_table *table,
                                 void (*visit)(struct id_node *node, void *context), void *context)
{
	for (size_t i = 0; i < ID_TABLE_BUCKETS; i++) {
		struct id_node *next;

		for (struct id_node *node = table->buckets[i]; node; node = next) {
			next = node->next;
			visit(node, context);
		}
	}
}

#endif
