/* SPDX-License-Identifier: BSD-2-Clause */

#include "walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where a world came from, for the print. */
struct origin {
	uint32_t parent;
	uint8_t move;
	uint8_t inputs; /* used */
};

struct edge {
	uint32_t from, to;
};

struct search {
	const struct walk *walk;
	uint8_t *worlds; /* all of them, in the order they were found */
	struct origin *origins;
	uint32_t count, capacity;
	uint32_t *table; /* index + 1 of a world, by its hash */
	uint32_t table_size;
	uint32_t *layers[2]; /* worlds to go on from: with so many inputs, and with one more */
	uint32_t layer_count[2], layer_capacity[2];
	struct edge *edges; /* inner steps, in the order of the worlds they begin at */
	uint32_t edge_count, edge_capacity;
};

static const char *wrong;

void walk_wrong(const char *what)
{
	if (!wrong)
		wrong = what;
}

static uint64_t hash_of(const uint8_t *bytes, size_t n)
{
	uint64_t h = 0x9e3779b97f4a7c15u;

	for (size_t i = 0; i < n; i++) {
		h = (h ^ bytes[i]) * 0x100000001b3u;
		h ^= h >> 29;
	}
	return h;
}

static void *grown(void *memory, size_t count, size_t size)
{
	memory = reallocarray(memory, count, size);
	if (!memory)
		abort();
	return memory;
}

static uint8_t *world_at(const struct search *s, uint32_t index)
{
	return s->worlds + (size_t)index * s->walk->size;
}

static uint32_t *slot_of(const struct search *s, const void *world)
{
	uint64_t i = hash_of(world, s->walk->size) & (s->table_size - 1);

	while (s->table[i] && memcmp(world_at(s, s->table[i] - 1), world, s->walk->size) != 0)
		i = (i + 1) & (s->table_size - 1);
	return &s->table[i];
}

static void grow_table(struct search *s)
{
	s->table_size = s->table_size ? 2 * s->table_size : 1u << 16;
	free(s->table);
	s->table = calloc(s->table_size, sizeof(*s->table));
	if (!s->table)
		abort();
	for (uint32_t i = 0; i < s->count; i++)
		*slot_of(s, world_at(s, i)) = i + 1;
}

static void layer_add(struct search *s, uint32_t layer, uint32_t index)
{
	if (s->layer_count[layer] == s->layer_capacity[layer]) {
		s->layer_capacity[layer] = s->layer_capacity[layer] * 2 + 1024;
		s->layers[layer] =
			grown(s->layers[layer], s->layer_capacity[layer], sizeof(uint32_t));
	}
	s->layers[layer][s->layer_count[layer]++] = index;
}

static void edge_add(struct search *s, uint32_t from, uint32_t to)
{
	if (s->edge_count == s->edge_capacity) {
		s->edge_capacity = s->edge_capacity * 2 + 4096;
		s->edges = grown(s->edges, s->edge_capacity, sizeof(*s->edges));
	}
	s->edges[s->edge_count++] = (struct edge){ from, to };
}

/* Worlds are found in the order of their inputs, so the first way to one is the best. */
static void add(struct search *s, const void *world, struct origin origin, uint32_t layer)
{
	uint32_t *slot;

	if (2 * s->count >= s->table_size)
		grow_table(s);
	slot = slot_of(s, world);
	if (*slot)
		return;
	if (s->count == s->capacity) {
		s->capacity = s->capacity * 2 + 4096;
		s->worlds = grown(s->worlds, s->capacity, s->walk->size);
		s->origins = grown(s->origins, s->capacity, sizeof(*s->origins));
	}
	memcpy(world_at(s, s->count), world, s->walk->size);
	s->origins[s->count] = origin;
	*slot = ++s->count;
	layer_add(s, layer, s->count - 1);
}

static void print_way(const struct search *s, uint32_t index)
{
	if (index) {
		print_way(s, s->origins[index].parent);
		fprintf(stderr, "#   %s\n", s->walk->name(s->origins[index].move));
	}
}

static bool violation(const struct search *s, uint32_t index, const char *move, const char *what)
{
	fprintf(stderr, "# after\n");
	print_way(s, index);
	fprintf(stderr, "#   %s\n# %s\n", move, what);
	wrong = NULL;
	return false;
}

/* A world may be found again with fewer inputs than it was found with, within its own layer only
 * by inner steps; then it is older, and was gone on from already. */
static bool go_on_from(struct search *s, uint32_t index, struct walk_result *result)
{
	_Alignas(16) uint8_t world[WALK_WORLD_MAX];
	bool rests = true;

	for (uint32_t move = 0; move < s->walk->moves; move++) {
		struct origin origin = s->origins[index];
		bool input = false;

		memcpy(world, world_at(s, index), s->walk->size);
		if (!s->walk->move(world, move, &input)) {
			if (wrong)
				return violation(s, index, s->walk->name(move), wrong);
			continue;
		}
		rests = rests && input;
		if (wrong)
			return violation(s, index, s->walk->name(move), wrong);
		if (input && origin.inputs == s->walk->inputs)
			continue;
		result->moves++;
		origin.parent = index;
		origin.move = (uint8_t)move;
		origin.inputs = (uint8_t)(origin.inputs + input);
		s->walk->normalise(world);
		add(s, world, origin, input);
		if (!input)
			edge_add(s, index, *slot_of(s, world) - 1);
	}
	if (!rests)
		return true;
	result->rests++;
	wrong = s->walk->rest(world_at(s, index));
	return wrong ? violation(s, index, "nothing", wrong) : true;
}

static int compare_edges(const void *a, const void *b)
{
	uint32_t x = ((const struct edge *)a)->from, y = ((const struct edge *)b)->from;

	return x < y ? -1 : x > y;
}

/* Where inner steps go round in a circle: those worlds stay when all others are taken away, a world
 * once no step leads to it. Returns one, or the count. */
static uint32_t find_circle(struct search *s)
{
	uint32_t *into = calloc(s->count, sizeof(*into));
	uint32_t *first = calloc((size_t)s->count + 1, sizeof(*first));
	uint32_t *free_worlds = calloc(s->count, sizeof(*free_worlds));
	uint32_t n = 0, circle = s->count;

	if (!into || !first || !free_worlds)
		abort();
	for (uint32_t i = 0; i < s->edge_count; i++) {
		into[s->edges[i].to]++;
		first[s->edges[i].from + 1]++;
	}
	for (uint32_t i = 0; i < s->count; i++)
		first[i + 1] += first[i];
	for (uint32_t i = 0; i < s->count; i++)
		if (!into[i])
			free_worlds[n++] = i;
	qsort(s->edges, s->edge_count, sizeof(*s->edges), compare_edges);
	for (uint32_t done = 0; done < n; done++)
		for (uint32_t e = first[free_worlds[done]]; e < first[free_worlds[done] + 1]; e++)
			if (!--into[s->edges[e].to])
				free_worlds[n++] = s->edges[e].to;
	for (uint32_t i = 0; i < s->count && circle == s->count; i++)
		if (into[i])
			circle = i;
	free(into);
	free(first);
	free(free_worlds);
	return circle;
}

static void swap_layers(struct search *s)
{
	uint32_t *layer = s->layers[0], capacity = s->layer_capacity[0];

	s->layers[0] = s->layers[1];
	s->layer_count[0] = s->layer_count[1];
	s->layer_capacity[0] = s->layer_capacity[1];
	s->layers[1] = layer;
	s->layer_count[1] = 0;
	s->layer_capacity[1] = capacity;
}

bool walk_all(const struct walk *walk, const void *first, struct walk_result *result)
{
	struct search s = { .walk = walk };
	uint32_t circle;
	bool good = true;

	memset(result, 0, sizeof(*result));
	add(&s, first, (struct origin){ 0 }, 0);
	while (good && s.layer_count[0]) {
		for (uint32_t i = 0; good && i < s.layer_count[0]; i++)
			good = go_on_from(&s, s.layers[0][i], result);
		swap_layers(&s);
	}
	if (good && (circle = find_circle(&s)) != s.count)
		good = violation(&s, circle, "inner steps", "goes round for ever");
	result->worlds = s.count;
	result->inputs = s.origins[s.count - 1].inputs;
	free(s.worlds);
	free(s.origins);
	free(s.table);
	free(s.layers[0]);
	free(s.layers[1]);
	free(s.edges);
	return good;
}
