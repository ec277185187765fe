/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * local:NAME, both ends in one process. Each end has a thread that makes its upcalls and a bounded
 * queue of messages to it. A page number is an address >> 12.
 *
 * A session is a host and a guest being there together; sessions of a name are numbered. An end
 * learns of them in its own time: `seen` is the session its upcalls have told of, and everything it
 * posts or pins goes to that one or nowhere.
 *
 * Locks: the registry's, then a pair's, then a slot's.
 */

#include "partition/id_table.h"
#include "partition/partition.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LOCAL_QUEUE_MAX  128u  /* messages under way to one end */
#define LOCAL_SLOTS_MAX  8192u /* event ids of one end in use at once: flags and connection ids */
#define LOCAL_PAGE_SHIFT 12u

struct local_message {
	uint32_t session;
	uint32_t id;
	size_t size;
	uint8_t payload[PARTITION_MESSAGE_MAX];
};

/* An event id of one end. It is there while a port or a link refers to it or a signal waits. */
struct local_slot {
	struct id_node node;
	struct local_pair *pair;
	enum partition_end end;
	unsigned int refs;    /* under the pair's lock */
	pthread_mutex_t lock; /* for the rest */
	int fd;               /* of the port that listens, or -1 */
	bool pending;         /* signalled while none listened */
};

struct local_port {
	struct partition_port head;
	struct local_slot *slot;
};

struct local_link {
	struct partition_link head;
	struct local_slot *slot;
	uint32_t session; /* the one it signals in */
};

/* The guest's memory as the host sees it in one session. */
struct local_pin {
	struct partition_pin head;
	atomic_uint refs;
	struct partition_ram ram;
};

struct local_end {
	struct partition head;
	atomic_uint refs; /* the opener, ports, links, pins */
	struct local_pair *pair;
	pthread_t thread;
	/* under the pair's lock */
	pthread_cond_t work;
	bool closing;
	bool wants_writable;
	uint32_t seen; /* session, or 0 */
	struct local_message queue[LOCAL_QUEUE_MAX];
	unsigned int head_of_queue, queued;
};

/* All that goes by one name. */
struct local_pair {
	struct local_pair *next;
	char *name;
	atomic_uint refs; /* the ends' until they are freed */
	pthread_mutex_t lock;
	struct local_end *ends[2];
	atomic_uint session; /* or 0: only one end is there. Written under the lock */
	uint32_t last_session;
	struct local_pin *ram; /* of this session */
	struct id_table slots[2];
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct local_pair *registry;

static enum partition_end other_end(enum partition_end end)
{
	return end == PARTITION_HOST ? PARTITION_GUEST : PARTITION_HOST;
}

static struct local_end *local_end_of(const struct partition *p)
{
	return (struct local_end *)(uintptr_t)p;
}

/* ---- lifetimes ---- */

static void pair_release(struct local_pair *pair)
{
	if (atomic_fetch_sub(&pair->refs, 1) != 1)
		return;
	pthread_mutex_destroy(&pair->lock);
	free(pair->name);
	free(pair);
}

static void end_release(struct local_end *end)
{
	if (atomic_fetch_sub(&end->refs, 1) != 1)
		return;
	pair_release(end->pair);
	pthread_cond_destroy(&end->work);
	partition_fini(&end->head);
	free(end);
}

static void pin_release(struct local_pin *pin)
{
	struct local_end *host = local_end_of(pin->head.partition);

	if (atomic_fetch_sub(&pin->refs, 1) != 1)
		return;
	free(pin);
	end_release(host);
}

/* ---- event ids ---- */

static struct local_slot *slot_of_node(struct id_node *node)
{
	static_assert(offsetof(struct local_slot, node) == 0, "a node is its slot");
	return (struct local_slot *)node;
}

/* The slot for an id with a reference, made if need be. Under the pair's lock. */
static struct local_slot *slot_get(struct local_pair *pair, enum partition_end end, uint32_t id)
{
	struct id_table *table = &pair->slots[end];
	struct id_node *node = id_table_find(table, id);
	struct local_slot *slot = node ? slot_of_node(node) : NULL;

	if (!slot) {
		if (table->count >= LOCAL_SLOTS_MAX)
			return NULL;
		slot = calloc(1, sizeof(*slot));
		if (!slot)
			return NULL;
		pthread_mutex_init(&slot->lock, NULL);
		slot->node.id = id;
		slot->pair = pair;
		slot->end = end;
		slot->fd = -1;
		id_table_insert(table, &slot->node);
	}
	slot->refs++;
	return slot;
}

static void slot_free_if_unused(struct local_slot *slot)
{
	bool pending;

	pthread_mutex_lock(&slot->lock);
	pending = slot->pending;
	pthread_mutex_unlock(&slot->lock);
	if (slot->refs || pending)
		return;
	id_table_remove(&slot->pair->slots[slot->end], &slot->node);
	pthread_mutex_destroy(&slot->lock);
	free(slot);
}

static void slot_put(struct local_slot *slot)
{
	slot->refs--;
	slot_free_if_unused(slot);
}

static void slot_forget_signal(struct id_node *node, void *context)
{
	struct local_slot *slot = slot_of_node(node);

	pthread_mutex_lock(&slot->lock);
	slot->pending = false;
	pthread_mutex_unlock(&slot->lock);
	slot_free_if_unused(slot);
}

static void event_set(int fd)
{
	uint64_t one = 1;

	/* EAGAIN, the only failure, means that 2^64 - 2 signals wait: it is set. */
	if (write(fd, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN);
}

/* Was it set? */
static bool event_clear(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) > 0;
}

static int local_listen(struct partition *p, uint32_t id, struct partition_port **port)
{
	struct local_end *end = local_end_of(p);
	struct local_pair *pair = end->pair;
	struct local_port *new = calloc(1, sizeof(*new));
	int error = 0;
	int fd;

	if (!new)
		return -ENOMEM;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0) {
		error = errno == ENOMEM ? -ENOMEM : -EMFILE;
		free(new);
		return error;
	}
	pthread_mutex_lock(&pair->lock);
	new->slot = slot_get(pair, p->settings.end, id);
	if (!new->slot) {
		error = -ENOMEM;
	} else {
		pthread_mutex_lock(&new->slot->lock);
		if (new->slot->fd >= 0) {
			error = -EEXIST;
		} else {
			new->slot->fd = fd;
			if (new->slot->pending)
				event_set(fd);
			new->slot->pending = false;
		}
		pthread_mutex_unlock(&new->slot->lock);
		if (error)
			slot_put(new->slot);
	}
	pthread_mutex_unlock(&pair->lock);
	if (error) {
		close(fd);
		free(new);
		return error;
	}
	atomic_fetch_add(&end->refs, 1);
	new->head = (struct partition_port){ .partition = p, .fd = fd, .id = id };
	*port = &new->head;
	return 0;
}

static void local_unlisten(struct partition_port *port)
{
	struct local_end *end = local_end_of(port->partition);
	struct local_slot *slot = ((struct local_port *)port)->slot;

	pthread_mutex_lock(&end->pair->lock);
	pthread_mutex_lock(&slot->lock);
	slot->fd = -1;
	slot->pending = event_clear(port->fd) && end->pair->session;
	pthread_mutex_unlock(&slot->lock);
	slot_put(slot);
	pthread_mutex_unlock(&end->pair->lock);
	close(port->fd);
	free(port);
	end_release(end);
}

static void local_port_clear(struct partition_port *port)
{
	event_clear(port->fd);
}

static int local_connect(struct partition *p, struct partition_address to,
                         struct partition_link **link)
{
	struct local_end *end = local_end_of(p);
	struct local_pair *pair = end->pair;
	struct local_link *new = calloc(1, sizeof(*new));

	if (!new)
		return -ENOMEM;
	pthread_mutex_lock(&pair->lock);
	new->slot = slot_get(pair, other_end(p->settings.end), to.id);
	if (end->seen)
		new->session = end->seen;
	else
		new->session = pair->session ? pair->session : pair->last_session + 1;
	pthread_mutex_unlock(&pair->lock);
	if (!new->slot) {
		free(new);
		return -ENOMEM;
	}
	atomic_fetch_add(&end->refs, 1);
	new->head = (struct partition_link){ .partition = p, .to = to };
	*link = &new->head;
	return 0;
}

static void local_disconnect(struct partition_link *link)
{
	struct local_end *end = local_end_of(link->partition);

	pthread_mutex_lock(&end->pair->lock);
	slot_put(((struct local_link *)link)->slot);
	pthread_mutex_unlock(&end->pair->lock);
	free(link);
	end_release(end);
}

static void local_signal(struct partition_link *link)
{
	struct local_link *l = (struct local_link *)link;
	struct local_slot *slot = l->slot;

	pthread_mutex_lock(&slot->lock);
	if (atomic_load(&slot->pair->session) == l->session) {
		if (slot->fd >= 0)
			event_set(slot->fd);
		else
			slot->pending = true;
	}
	pthread_mutex_unlock(&slot->lock);
}

/* ---- memory ---- */

static struct partition_pin *local_pin(struct partition *p)
{
	struct local_end *end = local_end_of(p);
	struct local_pin *pin = NULL;

	pthread_mutex_lock(&end->pair->lock);
	if (p->settings.end == PARTITION_HOST && end->seen && end->seen == end->pair->session) {
		pin = end->pair->ram;
		atomic_fetch_add(&pin->refs, 1);
	}
	pthread_mutex_unlock(&end->pair->lock);
	return pin ? &pin->head : NULL;
}

static void local_unpin(struct partition_pin *pin)
{
	pin_release((struct local_pin *)pin);
}

static struct partition_ram local_pin_memory(const struct partition_pin *pin)
{
	return ((const struct local_pin *)pin)->ram;
}

/* Is the page inside? A guest may name any page of the process; only these are its own. */
static bool ram_has_page(const struct partition_ram *ram, uint64_t page)
{
	uint64_t first = (uintptr_t)ram->base >> LOCAL_PAGE_SHIFT;

	return page >= first && page - first < ram->size >> LOCAL_PAGE_SHIFT;
}

static void *local_page(const struct partition_pin *pin, uint64_t gpn)
{
	if (!ram_has_page(&((const struct local_pin *)pin)->ram, gpn))
		return NULL;
	return (void *)(uintptr_t)(gpn << LOCAL_PAGE_SHIFT);
}

static uint64_t local_gpn(const struct partition *p, const void *address)
{
	uint64_t page = (uintptr_t)address >> LOCAL_PAGE_SHIFT;

	if (p->settings.end != PARTITION_GUEST || !ram_has_page(&p->settings.ram, page))
		return PARTITION_NO_PAGE;
	return page;
}

/* ---- messages ---- */

static int local_post(struct partition *p, struct partition_address to, const void *payload,
                      size_t size)
{
	struct local_end *end = local_end_of(p);
	struct local_pair *pair = end->pair;
	int error = 0;

	pthread_mutex_lock(&pair->lock);
	if (!end->seen || end->seen != pair->session) {
		error = -ENOTCONN;
	} else {
		struct local_end *receiver = pair->ends[other_end(p->settings.end)];

		if (receiver->queued == LOCAL_QUEUE_MAX) {
			end->wants_writable = true;
			error = -EAGAIN;
		} else {
			unsigned int at = receiver->head_of_queue + receiver->queued++;
			struct local_message *m = &receiver->queue[at % LOCAL_QUEUE_MAX];

			m->session = end->seen;
			m->id = to.id;
			m->size = size;
			memcpy(m->payload, payload, size);
			pthread_cond_signal(&receiver->work);
		}
	}
	pthread_mutex_unlock(&pair->lock);
	return error;
}

enum local_work {
	LOCAL_NONE,
	LOCAL_MESSAGE,
	LOCAL_CAME,
	LOCAL_GONE,
	LOCAL_WRITABLE,
};

static struct local_message *first_message(struct local_end *end)
{
	return end->queued ? &end->queue[end->head_of_queue] : NULL;
}

/* Is there room for who waits for it? Not at the first free place: then each post would wait. */
static bool has_room(const struct local_end *end)
{
	return end->queued <= LOCAL_QUEUE_MAX / 2;
}

static void drop_first_message(struct local_end *end)
{
	struct local_end *sender = end->pair->ends[other_end(end->head.settings.end)];

	end->head_of_queue = (end->head_of_queue + 1) % LOCAL_QUEUE_MAX;
	end->queued--;
	if (sender && sender->wants_writable && has_room(end))
		pthread_cond_signal(&sender->work);
}

/* What an end's thread has to say next; takes it out. Under the pair's lock. */
static enum local_work next_work(struct local_end *end, struct local_message *message)
{
	struct local_pair *pair = end->pair;
	enum partition_end side = end->head.settings.end;
	uint32_t session = pair->session;
	struct local_end *other = pair->ends[other_end(side)];
	struct local_message *first;
	bool held = side == PARTITION_HOST && end->wants_writable && end->seen == session;

	/* Of a session that ended before this end heard of it. */
	while ((first = first_message(end)) && first->session != end->seen &&
	       first->session != session)
		drop_first_message(end);

	if (first && first->session == end->seen && !held) {
		message->id = first->id;
		message->size = first->size;
		memcpy(message->payload, first->payload, first->size);
		drop_first_message(end);
		return LOCAL_MESSAGE;
	}
	if (end->seen && end->seen != session) {
		end->seen = 0;
		end->wants_writable = false;
		return LOCAL_GONE;
	}
	if (!end->seen && session) {
		end->seen = session;
		return LOCAL_CAME;
	}
	if (end->wants_writable && other && has_room(other)) {
		end->wants_writable = false;
		return LOCAL_WRITABLE;
	}
	return LOCAL_NONE;
}

static void say(struct local_end *end, enum local_work work, const struct local_message *message)
{
	const struct partition_upcalls *up = &end->head.settings.upcalls;
	void *context = end->head.settings.context;

	switch (work) {
	case LOCAL_MESSAGE:
		up->message(context, message->id, message->payload, message->size);
		break;
	case LOCAL_CAME:
		up->presence(context, PARTITION_CAME);
		break;
	case LOCAL_GONE:
		up->presence(context, PARTITION_GONE);
		break;
	case LOCAL_WRITABLE:
		up->writable(context);
		break;
	case LOCAL_NONE:
		break;
	}
}

static void *local_thread(void *argument)
{
	struct local_end *end = argument;
	struct local_pair *pair = end->pair;
	struct local_message message;

	pthread_mutex_lock(&pair->lock);
	while (!end->closing) {
		enum local_work work = next_work(end, &message);

		if (work == LOCAL_NONE) {
			pthread_cond_wait(&end->work, &pair->lock);
			continue;
		}
		pthread_mutex_unlock(&pair->lock);
		say(end, work, &message);
		pthread_mutex_lock(&pair->lock);
	}
	pthread_mutex_unlock(&pair->lock);
	return NULL;
}

/* ---- opening and closing ---- */

/* Both ends are there. `ram` is the session's, its reference now the pair's. */
static void session_begin(struct local_pair *pair, struct local_pin *ram)
{
	ram->head.partition = &pair->ends[PARTITION_HOST]->head;
	ram->ram = pair->ends[PARTITION_GUEST]->head.settings.ram;
	atomic_store(&ram->refs, 1);
	atomic_fetch_add(&pair->ends[PARTITION_HOST]->refs, 1);
	pair->ram = ram;
	if (++pair->last_session == 0)
		pair->last_session = 1;
	atomic_store(&pair->session, pair->last_session);
	pthread_cond_signal(&pair->ends[PARTITION_HOST]->work);
	pthread_cond_signal(&pair->ends[PARTITION_GUEST]->work);
}

/* Returns the reference to the session's memory that the pair had. */
static struct local_pin *session_end(struct local_pair *pair)
{
	struct local_pin *ram = pair->ram;

	if (!pair->session)
		return NULL;
	atomic_store(&pair->session, 0);
	pair->ram = NULL;
	id_table_each(&pair->slots[PARTITION_HOST], slot_forget_signal, NULL);
	id_table_each(&pair->slots[PARTITION_GUEST], slot_forget_signal, NULL);
	return ram;
}

/* The pair of that name with a reference, or NULL. Under the registry's lock. */
static struct local_pair *pair_find(const char *name)
{
	struct local_pair *pair = registry;

	while (pair && strcmp(pair->name, name))
		pair = pair->next;
	if (pair)
		atomic_fetch_add(&pair->refs, 1);
	return pair;
}

/* A new one in the registry, with a reference. Under the registry's lock. */
static struct local_pair *pair_new(const char *name)
{
	struct local_pair *pair = calloc(1, sizeof(*pair));

	if (!pair)
		return NULL;
	pair->name = strdup(name);
	if (!pair->name) {
		free(pair);
		return NULL;
	}
	pthread_mutex_init(&pair->lock, NULL);
	atomic_store(&pair->refs, 1);
	pair->next = registry;
	registry = pair;
	return pair;
}

/* Drops it from the registry when no end is open. Under the registry's and the pair's lock. */
static void pair_forget_if_empty(struct local_pair *pair)
{
	struct local_pair **at = &registry;

	if (pair->ends[PARTITION_HOST] || pair->ends[PARTITION_GUEST])
		return;
	while (*at != pair)
		at = &(*at)->next;
	*at = pair->next;
}

/* Takes its place in the pair. Under the registry's lock. */
static int local_join(struct local_end *end, const char *name, struct local_pin **ram)
{
	enum partition_end side = end->head.settings.end;
	struct local_pair *pair = pair_find(name);
	int error;

	if (!pair && side == PARTITION_GUEST)
		return -ENOENT;
	if (!pair)
		pair = pair_new(name);
	if (!pair)
		return -ENOMEM;
	pthread_mutex_lock(&pair->lock);
	if (pair->ends[side]) {
		error = -EADDRINUSE;
	} else if (side == PARTITION_GUEST && !pair->ends[PARTITION_HOST]) {
		error = -ENOENT;
	} else {
		end->pair = pair;
		error = partition_start_thread(&end->thread, "kmcl-local", local_thread, end);
	}
	if (!error) {
		pair->ends[side] = end;
		if (pair->ends[other_end(side)]) {
			session_begin(pair, *ram);
			*ram = NULL;
		}
	}
	pair_forget_if_empty(pair);
	pthread_mutex_unlock(&pair->lock);
	if (error)
		pair_release(pair);
	return error;
}

static int local_open(const char *rest, const struct partition_settings *settings,
                      struct partition **partition, char *why, size_t why_size)
{
	struct local_end *end = calloc(1, sizeof(*end));
	struct local_pin *ram = calloc(1, sizeof(*ram));
	int error =
		end && ram ? partition_init(&end->head, &local_partition, rest, settings) : -ENOMEM;

	if (error)
		goto free_memory;
	atomic_store(&end->refs, 1);
	pthread_cond_init(&end->work, NULL);
	*partition = &end->head;
	pthread_mutex_lock(&registry_lock);
	error = local_join(end, rest, &ram);
	pthread_mutex_unlock(&registry_lock);
	if (!error) {
		free(ram);
		return 0;
	}
	pthread_cond_destroy(&end->work);
	partition_fini(&end->head);
free_memory:
	if (error == -EADDRINUSE)
		snprintf(why, why_size, "local:%s: it has a %s already", rest,
		         settings->end == PARTITION_HOST ? "host" : "guest");
	else if (error == -ENOENT)
		snprintf(why, why_size, "local:%s: no host by this name in this process", rest);
	else
		snprintf(why, why_size, "local:%s: %s", rest, strerror(-error));
	free(ram);
	free(end);
	return error;
}

static void local_close(struct partition *p)
{
	struct local_end *end = local_end_of(p);
	struct local_pair *pair = end->pair;
	enum partition_end side = p->settings.end;
	struct local_end *other;
	struct local_pin *ram;

	assert(!pthread_equal(pthread_self(), end->thread)); /* not from an upcall */
	pthread_mutex_lock(&registry_lock);
	pthread_mutex_lock(&pair->lock);
	ram = session_end(pair);
	end->closing = true;
	end->seen = 0;
	pthread_cond_signal(&end->work);
	other = pair->ends[other_end(side)];
	if (other)
		pthread_cond_signal(&other->work);
	pair->ends[side] = NULL;
	pair_forget_if_empty(pair);
	pthread_mutex_unlock(&pair->lock);
	pthread_mutex_unlock(&registry_lock);
	pthread_join(end->thread, NULL);
	if (ram)
		pin_release(ram);
	end_release(end);
}

static pid_t local_other_process(const struct partition *p)
{
	return local_end_of(p)->pair->session ? getpid() : 0;
}

const struct partition_ops local_partition = {
	.scheme = "local",
	.open = local_open,
	.close = local_close,
	.post = local_post,
	.listen = local_listen,
	.unlisten = local_unlisten,
	.port_clear = local_port_clear,
	.connect = local_connect,
	.disconnect = local_disconnect,
	.signal = local_signal,
	.pin = local_pin,
	.unpin = local_unpin,
	.page = local_page,
	.pin_memory = local_pin_memory,
	.guard = partition_guard_page,
	.gpn = local_gpn,
	.other_process = local_other_process,
};
