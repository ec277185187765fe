/* SPDX-License-Identifier: BSD-2-Clause */

#include "partition/partition.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct partition_ops *const kinds[] = {
	&local_partition,
	&socket_partition,
#ifdef KMCL_KVM
	&kvm_partition,
#endif
};

/* The kind a URI names, and what of the URI is left for it. */
static const struct partition_ops *kind_of(const char *uri, const char **rest)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t length = strlen(kinds[i]->scheme);

		if (!strncmp(uri, kinds[i]->scheme, length) && uri[length] == ':') {
			*rest = uri + length + 1;
			return kinds[i];
		}
	}
	return NULL;
}

/* Guest memory has to be whole pages, or a page number would name less than a page. */
static bool ram_is_sound(const struct partition_ram *ram)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t base = (uintptr_t)ram->base;

	return base % page == 0 && ram->size % page == 0 && (!ram->size || base) &&
	       ram->size <= UINT64_MAX - base;
}

int partition_open(const char *uri, const struct partition_settings *settings,
                   struct partition **partition, char *why, size_t why_size)
{
	const char *rest;
	const struct partition_ops *kind = kind_of(uri, &rest);
	int error;

	*partition = NULL;
	if (!kind || !*rest) {
		snprintf(why, why_size, "%s: a partition is local:NAME, unix:PATH or kvm:NAME",
		         uri);
		return -EINVAL;
	}
	if (settings->end == PARTITION_GUEST && !ram_is_sound(&settings->ram)) {
		snprintf(why, why_size, "%s: guest memory at %p, %llu bytes, is not whole pages",
		         uri, settings->ram.base, (unsigned long long)settings->ram.size);
		return -EINVAL;
	}
	error = kind->open(rest, settings, partition, why, why_size);
	if (error)
		*partition = NULL;
	return error;
}

int partition_init(struct partition *p, const struct partition_ops *ops, const char *rest,
                   const struct partition_settings *settings)
{
	p->ops = ops;
	p->settings = *settings;
	if (asprintf(&p->uri, "%s:%s", ops->scheme, rest) < 0) {
		p->uri = NULL;
		return -ENOMEM;
	}
	return 0;
}

void partition_fini(struct partition *p)
{
	free(p->uri);
}

int partition_start_thread(pthread_t *thread, const char *name, void *(*routine)(void *),
                           void *argument)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(thread, NULL, routine, argument);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!error)
		pthread_setname_np(*thread, name);
	return -error;
}

void partition_close(struct partition *p)
{
	p->ops->close(p);
}

int partition_post(struct partition *p, struct partition_address to, const void *payload,
                   size_t size)
{
	if (size > PARTITION_MESSAGE_MAX)
		return -EMSGSIZE;
	return p->ops->post(p, to, payload, size);
}

int partition_listen(struct partition *p, uint32_t id, struct partition_port **port)
{
	return p->ops->listen(p, id, port);
}

void partition_unlisten(struct partition_port *port)
{
	port->partition->ops->unlisten(port);
}

int partition_port_fd(const struct partition_port *port)
{
	return port->fd;
}

void partition_port_clear(struct partition_port *port)
{
	port->partition->ops->port_clear(port);
}

int partition_connect(struct partition *p, struct partition_address to,
                      struct partition_link **link)
{
	return p->ops->connect(p, to, link);
}

void partition_disconnect(struct partition_link *link)
{
	link->partition->ops->disconnect(link);
}

void partition_signal(struct partition_link *link)
{
	link->partition->ops->signal(link);
}

struct partition_pin *partition_pin(struct partition *p)
{
	return p->ops->pin(p);
}

void partition_unpin(struct partition_pin *pin)
{
	pin->partition->ops->unpin(pin);
}

void *partition_page(const struct partition_pin *pin, uint64_t gpn)
{
	return pin->partition->ops->page(pin, gpn);
}

struct partition_ram partition_pin_memory(const struct partition_pin *pin)
{
	return pin->partition->ops->pin_memory(pin);
}

int partition_guard(const struct partition_pin *pin, void *page, struct partition_guard **guard)
{
	const struct partition_ops *ops = pin->partition->ops;

	return ops->guard ? ops->guard(page, guard) : -ENOTSUP;
}

uint64_t partition_gpn(const struct partition *p, const void *address)
{
	return p->ops->gpn(p, address);
}

const char *partition_uri(const struct partition *p)
{
	return p->uri;
}

pid_t partition_other_process(const struct partition *p)
{
	return p->ops->other_process(p);
}

struct partition_visitors partition_visitors(struct partition *p)
{
	return p->ops->visitors ? p->ops->visitors(p) : (struct partition_visitors){ 0 };
}
