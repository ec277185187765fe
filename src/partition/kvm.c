/* SPDX-License-Identifier: BSD-2-Clause */

/* kvm:NAME, the host end: a thread that makes its upcalls, and what the room's face asks of it. */

#include "partition/kvm.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define REST_MS 1000 /* how long end-of-message is listened for in vain */

struct kvm_host *kvm_host_of(const struct partition *p)
{
	return (struct kvm_host *)(uintptr_t)p;
}

void kvm_host_wake(struct kvm_host *host)
{
	kvm_event_set(host->wake);
}

void kvm_host_log(struct kvm_host *host, int level, const char *format, ...)
{
	const struct partition_settings *settings = &host->head.settings;
	char text[256];
	va_list ap;

	if (!settings->upcalls.log)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	settings->upcalls.log(settings->context, level, text);
}

static void host_put(struct kvm_host *host)
{
	if (atomic_fetch_sub(&host->refs, 1) != 1)
		return;
	kvm_bus_put(host->bus);
	partition_fini(&host->head);
	free(host);
}

/* ---- upcalls ---- */

enum kvm_work {
	KVM_NONE,
	KVM_MESSAGE,
	KVM_CAME,
	KVM_GONE,
	KVM_WRITABLE,
};

/* Is there room for who waits for it? Not at the first free place: then each post would wait. */
static bool has_room(const struct kvm_bus *bus)
{
	return bus->session && bus->kvm->queued <= KVM_QUEUE_MAX / 2;
}

/* What the thread has to say next; takes it out. Under the bus's lock. */
static enum kvm_work next_work(struct kvm_host *host, struct kvm_message **message)
{
	struct kvm_bus *bus = host->bus;

	if (host->seen && host->seen != bus->session)
		return KVM_GONE;
	if (!host->seen && bus->session) {
		host->seen = bus->session;
		return KVM_CAME;
	}
	if (host->wants_writable && has_room(bus)) {
		host->wants_writable = false;
		return KVM_WRITABLE;
	}
	if (host->seen && !host->wants_writable && (*message = kvm_message_take(&bus->incoming)))
		return KVM_MESSAGE;
	return KVM_NONE;
}

static void say(struct kvm_host *host, enum kvm_work work, struct kvm_message *message)
{
	const struct partition_upcalls *up = &host->head.settings.upcalls;
	void *context = host->head.settings.context;

	switch (work) {
	case KVM_MESSAGE:
		up->message(context, message->id, message->payload, message->size);
		free(message);
		break;
	case KVM_CAME:
		up->presence(context, PARTITION_CAME);
		break;
	case KVM_GONE:
		up->presence(context, PARTITION_GONE);
		break;
	case KVM_WRITABLE:
		up->writable(context);
		break;
	case KVM_NONE:
		break;
	}
}

/* The guest's machine may go only when the host has been told. Under the bus's lock. */
static void note_gone(struct kvm_host *host)
{
	host->seen = 0;
	host->wants_writable = false;
	pthread_cond_broadcast(&host->bus->changed);
}

static void say_all(struct kvm_host *host)
{
	struct kvm_bus *bus = host->bus;
	struct kvm_message *message = NULL;
	enum kvm_work work;

	while (!host->closing && (work = next_work(host, &message)) != KVM_NONE) {
		pthread_mutex_unlock(&bus->lock);
		say(host, work, message);
		pthread_mutex_lock(&bus->lock);
		if (work == KVM_GONE)
			note_gone(host);
	}
}

static void take_event(struct kvm_host *host, const struct epoll_event *event)
{
	if (!event->data.ptr)
		kvm_event_clear(host->wake);
	else if (host->bus->session)
		kvm_line_end_of_message(host->bus->kvm, event->data.ptr);
}

static void *host_thread(void *argument)
{
	struct kvm_host *host = argument;
	struct kvm_bus *bus = host->bus;
	bool listening = false; /* for an end of message */

	pthread_mutex_lock(&bus->lock);
	while (!host->closing) {
		struct epoll_event events[16];
		int n;

		pthread_mutex_unlock(&bus->lock);
		n = epoll_wait(host->epoll, events, 16, listening ? REST_MS : -1);
		pthread_mutex_lock(&bus->lock);
		for (int i = 0; i < n; i++)
			take_event(host, &events[i]);
		say_all(host);
		listening = bus->session && kvm_lines_listen(bus->kvm, n == 0);
	}
	pthread_mutex_unlock(&bus->lock);
	return NULL;
}

/* ---- messages ---- */

static int kvm_post(struct partition *p, struct partition_address to, const void *payload,
                    size_t size)
{
	struct kvm_host *host = kvm_host_of(p);
	struct kvm_bus *bus = host->bus;
	struct kvm_message *message = NULL;
	struct kvm_line *line = NULL;
	int error = 0;

	pthread_mutex_lock(&bus->lock);
	if (!host->seen || host->seen != bus->session) {
		error = -ENOTCONN;
	} else if (bus->kvm->queued >= KVM_QUEUE_MAX) {
		host->wants_writable = true;
		error = -EAGAIN;
	} else {
		line = kvm_line_get(bus->kvm, to.vp, to.sint);
		message = malloc(sizeof(*message));
		if (!line || !message)
			error = -ENOMEM;
	}
	if (error) {
		free(message);
	} else {
		message->size = size;
		memcpy(message->payload, payload, size);
		kvm_message_add(&line->queue, message);
		bus->kvm->queued++;
		kvm_line_deliver(line);
	}
	if (line)
		kvm_line_put(line);
	pthread_mutex_unlock(&bus->lock);
	return error;
}

/* ---- events ---- */

/* A signal that came while none listened on the id. Under the bus's lock. */
static bool take_kept(struct kvm_bus *bus, uint32_t id)
{
	struct id_node *node = id_table_find(&bus->kept, id);

	if (!node)
		return false;
	id_table_remove(&bus->kept, node);
	free((struct kvm_kept *)((char *)node - offsetof(struct kvm_kept, node)));
	return true;
}

static int port_open(struct kvm_bus *bus, struct kvm_port *port)
{
	int error = 0;

	if (id_table_find(&bus->ports, port->node.id))
		return -EEXIST;
	if (bus->session)
		error = kvm_port_assign(bus->kvm, &port->head, true);
	if (error)
		return error;
	id_table_insert(&bus->ports, &port->node);
	if (take_kept(bus, port->node.id))
		kvm_event_set(port->head.fd);
	return 0;
}

static int kvm_listen(struct partition *p, uint32_t id, struct partition_port **result)
{
	struct kvm_host *host = kvm_host_of(p);
	struct kvm_port *port = calloc(1, sizeof(*port));
	int error;

	if (!port)
		return -ENOMEM;
	port->node.id = id;
	port->head = (struct partition_port){ .partition = p, .id = id };
	port->head.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (port->head.fd < 0) {
		error = errno == ENOMEM ? -ENOMEM : -EMFILE;
		free(port);
		return error;
	}
	pthread_mutex_lock(&host->bus->lock);
	error = port_open(host->bus, port);
	pthread_mutex_unlock(&host->bus->lock);
	if (error) {
		close(port->head.fd);
		free(port);
		return error;
	}
	atomic_fetch_add(&host->refs, 1);
	*result = &port->head;
	return 0;
}

/* Under the bus's lock. Without memory the signal is lost, and so would be the next listener. */
static void keep_signal(struct kvm_bus *bus, uint32_t id)
{
	struct kvm_kept *kept;

	if (!bus->session || id_table_find(&bus->kept, id))
		return;
	kept = calloc(1, sizeof(*kept));
	if (!kept)
		return;
	kept->node.id = id;
	id_table_insert(&bus->kept, &kept->node);
}

static void kvm_unlisten(struct partition_port *head)
{
	struct kvm_port *port = (struct kvm_port *)head;
	struct kvm_host *host = kvm_host_of(head->partition);
	struct kvm_bus *bus = host->bus;

	pthread_mutex_lock(&bus->lock);
	id_table_remove(&bus->ports, &port->node);
	if (bus->session)
		kvm_port_assign(bus->kvm, head, false);
	if (kvm_event_clear(head->fd))
		keep_signal(bus, head->id);
	pthread_mutex_unlock(&bus->lock);
	close(head->fd);
	free(port);
	host_put(host);
}

static void kvm_port_clear(struct partition_port *port)
{
	kvm_event_clear(port->fd);
}

/* With nobody there it leads nowhere: a machine that comes has other lines. */
static int kvm_connect(struct partition *p, struct partition_address to,
                       struct partition_link **result)
{
	struct kvm_host *host = kvm_host_of(p);
	struct kvm_bus *bus = host->bus;
	struct kvm_link *link = calloc(1, sizeof(*link));

	if (!link)
		return -ENOMEM;
	pthread_mutex_lock(&bus->lock);
	if (host->seen && host->seen == bus->session)
		link->line = kvm_line_get(bus->kvm, to.vp, to.sint);
	pthread_mutex_unlock(&bus->lock);
	atomic_fetch_add(&host->refs, 1);
	link->head = (struct partition_link){ .partition = p, .to = to };
	*result = &link->head;
	return 0;
}

static void kvm_disconnect(struct partition_link *head)
{
	struct kvm_link *link = (struct kvm_link *)head;
	struct kvm_host *host = kvm_host_of(head->partition);

	if (link->line)
		kvm_line_put(link->line);
	free(link);
	host_put(host);
}

static void kvm_signal(struct partition_link *head)
{
	struct kvm_link *link = (struct kvm_link *)head;

	if (link->line)
		kvm_line_raise(link->line, head->to.id);
}

/* ---- memory ---- */

static struct partition_pin *kvm_pin(struct partition *p)
{
	struct kvm_host *host = kvm_host_of(p);
	struct kvm_bus *bus = host->bus;
	struct kvm_pin *pin = calloc(1, sizeof(*pin));

	if (!pin)
		return NULL;
	pthread_mutex_lock(&bus->lock);
	if (host->seen && host->seen == bus->session) {
		pin->kvm = bus->kvm;
		pin->kvm->pins++;
	}
	pthread_mutex_unlock(&bus->lock);
	if (!pin->kvm) {
		free(pin);
		return NULL;
	}
	atomic_fetch_add(&pin->kvm->refs, 1);
	atomic_fetch_add(&host->refs, 1);
	pin->head.partition = p;
	return &pin->head;
}

static void kvm_unpin(struct partition_pin *head)
{
	struct kvm_pin *pin = (struct kvm_pin *)head;
	struct kvm_host *host = kvm_host_of(head->partition);

	pthread_mutex_lock(&host->bus->lock);
	pin->kvm->pins--;
	pthread_cond_broadcast(&host->bus->changed);
	pthread_mutex_unlock(&host->bus->lock);
	kvm_machine_put(pin->kvm);
	free(pin);
	host_put(host);
}

static void *kvm_page(const struct partition_pin *head, uint64_t gpn)
{
	if (gpn > UINT64_MAX / 4096)
		return NULL;
	return kvm_machine_address(((const struct kvm_pin *)head)->kvm, gpn * 4096, 4096);
}

static struct partition_ram kvm_pin_memory(const struct partition_pin *head)
{
	return ((const struct kvm_pin *)head)->kvm->ram;
}

static uint64_t kvm_gpn(const struct partition *p, const void *address)
{
	return PARTITION_NO_PAGE;
}

static pid_t kvm_other_process(const struct partition *p)
{
	struct kvm_host *host = kvm_host_of(p);
	bool there;

	pthread_mutex_lock(&host->bus->lock);
	there = host->bus->session != 0;
	pthread_mutex_unlock(&host->bus->lock);
	return there ? getpid() : 0;
}

/* ---- opening and closing ---- */

static int host_open_fds(struct kvm_host *host)
{
	struct epoll_event event = { .events = EPOLLIN };

	host->epoll = epoll_create1(EPOLL_CLOEXEC);
	host->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (host->epoll < 0 || host->wake < 0 ||
	    epoll_ctl(host->epoll, EPOLL_CTL_ADD, host->wake, &event))
		return -errno;
	return 0;
}

static void host_free(struct kvm_host *host)
{
	if (host->wake >= 0)
		close(host->wake);
	if (host->epoll >= 0)
		close(host->epoll);
	host->wake = host->epoll = -1;
	host_put(host);
}

static int host_join(struct kvm_host *host)
{
	struct kvm_bus *bus = host->bus;
	int error = -EADDRINUSE;

	pthread_mutex_lock(&bus->lock);
	if (!bus->host) {
		error = partition_start_thread(&host->thread, "kmcl-kvm", host_thread, host);
		if (!error) {
			bus->host = host;
			kvm_session_begin(bus);
		}
	}
	pthread_mutex_unlock(&bus->lock);
	return error;
}

static int kvm_open(const char *rest, const struct partition_settings *settings,
                    struct partition **partition, char *why, size_t why_size)
{
	struct kvm_host *host;
	int error;

	if (settings->end != PARTITION_HOST) {
		snprintf(why, why_size, "kvm:%s: its guest is a virtual machine", rest);
		return -EINVAL;
	}
	host = calloc(1, sizeof(*host));
	if (!host)
		return -ENOMEM;
	host->wake = host->epoll = -1;
	atomic_init(&host->refs, 1);
	host->bus = kvm_bus_get(rest);
	error = host->bus ? partition_init(&host->head, &kvm_partition, rest, settings) : -ENOMEM;
	if (error) {
		if (host->bus)
			kvm_bus_put(host->bus);
		free(host);
		return error;
	}
	*partition = &host->head;
	error = host_open_fds(host);
	if (!error)
		error = host_join(host);
	if (!error)
		return 0;
	if (error == -EADDRINUSE)
		snprintf(why, why_size, "kvm:%s: it has a host already", rest);
	else
		snprintf(why, why_size, "kvm:%s: %s", rest, strerror(-error));
	host_free(host);
	return error;
}

static void kvm_close(struct partition *p)
{
	struct kvm_host *host = kvm_host_of(p);
	struct kvm_bus *bus = host->bus;

	assert(!pthread_equal(pthread_self(), host->thread)); /* not from an upcall */
	pthread_mutex_lock(&bus->lock);
	host->closing = true;
	kvm_host_wake(host);
	pthread_mutex_unlock(&bus->lock);
	pthread_join(host->thread, NULL);
	pthread_mutex_lock(&bus->lock);
	kvm_session_end(bus);
	bus->host = NULL;
	note_gone(host);
	pthread_mutex_unlock(&bus->lock);
	host_free(host);
}

const struct partition_ops kvm_partition = {
	.scheme = "kvm",
	.open = kvm_open,
	.close = kvm_close,
	.post = kvm_post,
	.listen = kvm_listen,
	.unlisten = kvm_unlisten,
	.port_clear = kvm_port_clear,
	.connect = kvm_connect,
	.disconnect = kvm_disconnect,
	.signal = kvm_signal,
	.pin = kvm_pin,
	.unpin = kvm_unpin,
	.page = kvm_page,
	.pin_memory = kvm_pin_memory,
	.guard = partition_guard_page,
	.gpn = kvm_gpn,
	.other_process = kvm_other_process,
};
