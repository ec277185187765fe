/* SPDX-License-Identifier: BSD-2-Clause */

/* The guest's memory. One object a session; every pin is a reference to it. */

#include "partition/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_SHIFT 12u

struct socket_ram *socket_ram_new(struct socket_end *end, int fd, uint64_t size, char *why,
                                  size_t why_size)
{
	struct socket_ram *ram;
	void *base = NULL;

	ram = calloc(1, sizeof(*ram));
	if (ram && fd >= 0)
		base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (!ram || base == MAP_FAILED) {
		snprintf(why, why_size, "memory: %llu bytes cannot be mapped: %s",
		         (unsigned long long)size, strerror(errno));
		if (fd >= 0)
			close(fd);
		free(ram);
		return NULL;
	}
	if (base)
		madvise(base, size, MADV_DONTFORK); /* a doorman lives longer than a guest */
	atomic_store(&ram->refs, 1);
	atomic_fetch_add(&end->refs, 1);
	ram->head.partition = &end->head;
	ram->ram = (struct partition_ram){ .fd = fd, .base = base, .size = size };
	return ram;
}

void socket_ram_release(struct socket_ram *ram)
{
	struct socket_end *end = socket_end_of(ram->head.partition);

	if (atomic_fetch_sub(&ram->refs, 1) != 1)
		return;
	if (ram->ram.size) {
		munmap(ram->ram.base, ram->ram.size);
		close(ram->ram.fd);
	}
	free(ram);
	socket_end_release(end);
}

int socket_ram_seal(const struct partition_ram *ram, char *why, size_t why_size)
{
	const int needed = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	int seals;

	if (!ram->size)
		return 0;
	seals = fcntl(ram->fd, F_GET_SEALS);
	if (seals >= 0 && (seals & needed) != needed &&
	    fcntl(ram->fd, F_ADD_SEALS, needed & ~seals)) {
		snprintf(why, why_size,
		         "memory: the memfd cannot be sealed (%s): make it with MFD_ALLOW_SEALING",
		         strerror(errno));
		return -EPERM;
	}
	return socket_check_memory(ram->fd, ram->size, why, why_size) ? 0 : -EINVAL;
}

struct partition_pin *socket_pin(struct partition *p)
{
	struct socket_end *end = socket_end_of(p);
	struct socket_ram *ram;

	pthread_mutex_lock(&end->lock);
	ram = end->ram;
	if (ram)
		atomic_fetch_add(&ram->refs, 1);
	pthread_mutex_unlock(&end->lock);
	return ram ? &ram->head : NULL;
}

void socket_unpin(struct partition_pin *pin)
{
	socket_ram_release((struct socket_ram *)pin);
}

struct partition_ram socket_pin_memory(const struct partition_pin *pin)
{
	return ((const struct socket_ram *)pin)->ram;
}

void *socket_page(const struct partition_pin *pin, uint64_t gpn)
{
	const struct partition_ram *ram = &((const struct socket_ram *)pin)->ram;

	if (gpn >= ram->size >> PAGE_SHIFT)
		return NULL;
	return (char *)ram->base + (gpn << PAGE_SHIFT);
}

uint64_t socket_gpn(const struct partition *p, const void *address)
{
	uint64_t offset = (uintptr_t)address - (uintptr_t)p->settings.ram.base;

	if (p->settings.end != PARTITION_GUEST || offset >= p->settings.ram.size)
		return PARTITION_NO_PAGE;
	return offset >> PAGE_SHIFT;
}
