/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BUS_ID_TREE_H
#define BUS_ID_TREE_H

/*
 * Things by a 32-bit id that the other end chose: a digital search tree, one bit of the id a level.
 * It is at most 33 deep whatever ids come, allocates nothing, and needs no secret.
 */

#include "wire/bare.h"

#ifdef __cplusplus
extern "C" {
#endif

struct id_node {
	uint32_t id;
	struct id_node *child[2];
};

struct id_tree {
	struct id_node *root;
};

/* The node of that id, or NULL. */
struct id_node *id_tree_find(const struct id_tree *tree, uint32_t id);
/* node->id is set and not in the tree. */
void id_tree_insert(struct id_tree *tree, struct id_node *node);
/* The node is in the tree. */
void id_tree_remove(struct id_tree *tree, struct id_node *node);

#define ID_TREE_ENTRY(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

#ifdef __cplusplus
}
#endif

#endif
