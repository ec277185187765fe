/* SPDX-License-Identifier: BSD-2-Clause */
#include "bus/id_tree.h"

/* All ids below a node at depth d agree with it in their d highest bits. */
static unsigned int id_bit(uint32_t id, unsigned int depth)
{
	return id >> (31 - depth) & 1;
}

struct id_node *id_tree_find(const struct id_tree *tree, uint32_t id)
{
	struct id_node *node = tree->root;

	for (unsigned int depth = 0; node && node->id != id; depth++)
		node = node->child[id_bit(id, depth)];
	return node;
}

void id_tree_insert(struct id_tree *tree, struct id_node *node)
{
	struct id_node **slot = &tree->root;

	for (unsigned int depth = 0; *slot; depth++)
		slot = &(*slot)->child[id_bit(node->id, depth)];
	node->child[0] = NULL;
	node->child[1] = NULL;
	*slot = node;
}

/* Takes some leaf below (or at) *slot out of the tree. */
static struct id_node *id_tree_take_leaf(struct id_node **slot)
{
	struct id_node *leaf;

	while ((*slot)->child[0] || (*slot)->child[1])
		slot = &(*slot)->child[(*slot)->child[0] ? 0 : 1];
	leaf = *slot;
	*slot = NULL;
	return leaf;
}

void id_tree_remove(struct id_tree *tree, struct id_node *node)
{
	struct id_node **slot = &tree->root;
	struct id_node *leaf;

	for (unsigned int depth = 0; *slot != node; depth++)
		slot = &(*slot)->child[id_bit(node->id, depth)];
	leaf = id_tree_take_leaf(slot);
	if (leaf == node)
		return; /* it was one itself */
	leaf->child[0] = node->child[0];
	leaf->child[1] = node->child[1];
	*slot = leaf;
}
