/* SPDX-License-Identifier: BSD-2-Clause */
#include "machine.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

uint64_t machine_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- what the partition says, on its thread ---- */

static void machine_wake(struct machine *m)
{
	uint64_t one = 1;

	if (write(m->wake, &one, sizeof(one)) != sizeof(one))
		abort();
}

/* The host waits for a slot that is free, as a hypervisor has it. */
static void on_message(void *context, uint32_t id, const void *payload, size_t size)
{
	struct machine *m = context;
	struct machine_message *message;

	pthread_mutex_lock(&m->lock);
	while (m->written - m->read == MACHINE_MESSAGES && !m->stopping) {
		pthread_mutex_unlock(&m->lock);
		sched_yield();
		pthread_mutex_lock(&m->lock);
	}
	if (!m->stopping) {
		message = &m->messages[m->written++ % MACHINE_MESSAGES];
		memcpy(message->bytes, payload, size);
		message->size = (uint32_t)size;
	}
	pthread_mutex_unlock(&m->lock);
	machine_wake(m);
}

static void on_presence(void *context, enum partition_presence what)
{
	struct machine *m = context;

	pthread_mutex_lock(&m->lock);
	m->there = what == PARTITION_CAME;
	m->gone = m->gone || what == PARTITION_GONE;
	pthread_mutex_unlock(&m->lock);
	machine_wake(m);
}

static void on_writable(void *context)
{
	machine_wake(context);
}

/* ---- what the kit asks ---- */

static uint64_t page_number(void *context, const void *address)
{
	struct machine *m = context;

	return partition_gpn(m->partition, (const void *)((uintptr_t)address & ~4095ull));
}

static bool post(void *context, uint32_t connection_id, const void *message, uint32_t size)
{
	struct machine *m = context;
	struct partition_address to = { .id = connection_id };

	return partition_post(m->partition, to, message, size) != -EAGAIN;
}

static struct partition_link *link_to(struct machine *m, uint32_t connection_id)
{
	struct partition_address to = { .id = connection_id };
	uint32_t i = 0;

	while (i < m->link_count && m->links[i]->to.id != connection_id)
		i++;
	if (i == m->link_count) {
		if (i == 64 || partition_connect(m->partition, to, &m->links[i]) != 0)
			abort();
		m->link_count++;
	}
	return m->links[i];
}

/* By any processor. */
static void send_signal(void *context, uint32_t connection_id)
{
	struct machine *m = context;
	struct partition_link *link;

	pthread_mutex_lock(&m->lock);
	m->signals++;
	link = link_to(m, connection_id);
	pthread_mutex_unlock(&m->lock);
	partition_signal(link);
}

static void *map_ring(void *context, void *pages, uint32_t count)
{
	struct machine *m = context;
	size_t size = count * (size_t)VG_PAGE, data = size - VG_PAGE;
	off_t offset = (uint8_t *)pages - (uint8_t *)m->ram.base;
	uint8_t *at;

	if (!m->maps_rings)
		return NULL;
	at = mmap(NULL, size + data, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(at != MAP_FAILED);
	assert_true(mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, m->ram.fd,
	                 offset) != MAP_FAILED);
	assert_true(mmap(at + size, data, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, m->ram.fd,
	                 offset + VG_PAGE) != MAP_FAILED);
	return at;
}

static void unmap_ring(void *context, void *mapping, uint32_t count)
{
	munmap(mapping, (2 * (size_t)count - 1) * VG_PAGE);
}

static void take_fault(void *context, const char *subject, const char *what, uint64_t expected,
                       uint64_t actual)
{
	struct machine *m = context;

	m->faults++;
	snprintf(m->last_fault, sizeof(m->last_fault), "%s: %s", subject, what);
}

/* ---- the machine ---- */

static void make_ram(struct machine *m)
{
	m->ram.size = MACHINE_RAM;
	m->ram.fd = memfd_create("kmcl-guest-kit", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(m->ram.fd >= 0);
	assert_int_equal(ftruncate(m->ram.fd, MACHINE_RAM), 0);
	m->ram.base = mmap(NULL, MACHINE_RAM, PROT_READ | PROT_WRITE, MAP_SHARED, m->ram.fd, 0);
	assert_true(m->ram.base != MAP_FAILED);
	m->used = VG_PAGE; /* nothing is in page 0 */
}

void *machine_pages(struct machine *m, size_t count)
{
	void *pages = (uint8_t *)m->ram.base + m->used;

	m->used += count * VG_PAGE;
	assert_in_range(m->used, 0, MACHINE_RAM);
	return memset(pages, 0, count * VG_PAGE);
}

void machine_start(struct machine *m, const char *uri)
{
	struct partition_settings settings = {
		.end = PARTITION_GUEST,
		.upcalls = { .message = on_message,
		             .presence = on_presence,
		             .writable = on_writable },
		.context = m,
	};
	uint64_t until = machine_ms() + MACHINE_WAIT_MS;
	bool there = false;
	int error;
	char why[256] = "";

	pthread_mutex_init(&m->lock, NULL);
	m->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	make_ram(m);
	settings.ram = m->ram;
	/* a host that is a process of its own may not be there yet */
	while ((error = partition_open(uri, &settings, &m->partition, why, sizeof(why))) != 0) {
		if ((error != -ENOENT && error != -ECONNREFUSED) || machine_ms() > until)
			fail_msg("%s: %s", uri, why);
		usleep(2000);
	}
	while (!there && machine_ms() < until) {
		pthread_mutex_lock(&m->lock);
		there = m->there;
		pthread_mutex_unlock(&m->lock);
		sched_yield();
	}
	assert_true(there);
	m->platform = (struct vg_platform){
		.context = m,
		.page_number = page_number,
		.post = post,
		.signal = send_signal,
		.map_ring = map_ring,
		.unmap_ring = unmap_ring,
		.log = take_fault,
	};
	if (!m->memory_size)
		m->memory_size = MACHINE_MEMORY;
	m->memory = aligned_alloc(16, m->memory_size);
	assert_int_equal(vg_init(&m->vg, &m->platform, &m->events, m->memory, m->memory_size),
	                 VG_OK);
}

void machine_stop(struct machine *m)
{
	vg_destroy(m->vg);
	pthread_mutex_lock(&m->lock);
	m->stopping = true;
	pthread_mutex_unlock(&m->lock);
	partition_close(m->partition);
	for (uint32_t i = 0; i < m->link_count; i++)
		partition_disconnect(m->links[i]);
	munmap(m->ram.base, MACHINE_RAM);
	close(m->ram.fd);
	close(m->wake);
	free(m->memory);
	pthread_mutex_destroy(&m->lock);
}

void machine_feed(struct machine *m)
{
	bool gone;

	pthread_mutex_lock(&m->lock);
	while (m->read != m->written) {
		struct machine_message message = m->messages[m->read++ % MACHINE_MESSAGES];

		pthread_mutex_unlock(&m->lock);
		vg_message(m->vg, message.bytes, message.size);
		pthread_mutex_lock(&m->lock);
	}
	gone = m->gone;
	m->gone = false;
	pthread_mutex_unlock(&m->lock);
	if (gone)
		vg_host_gone(m->vg);
}

void machine_run(struct machine *m, const uint32_t *what)
{
	uint64_t until = machine_ms() + MACHINE_WAIT_MS;

	while (!*what) {
		machine_feed(m);
		if (vg_poll(m->vg, 64) == 0)
			sched_yield();
		if (machine_ms() > until)
			fail_msg("waited for %d s; last fault: %s", MACHINE_WAIT_MS / 1000,
			         m->last_fault);
	}
}
