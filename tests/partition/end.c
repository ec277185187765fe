/* SPDX-License-Identifier: BSD-2-Clause */

#include "end.h"

#include "../temporary.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_SECONDS 20 /* far more than anything takes, also under a sanitizer */

const char *end_scheme = "local";
uint64_t end_memory_max;

static char directory[80];
static unsigned int uris;

void must_failed(const char *file, int line, const char *condition)
{
	fprintf(stderr, "%s:%d: %s does not hold: %s\n", file, line, condition, strerror(errno));
	abort();
}

const char *end_new_uri(void)
{
	static char uri[128];

	if (!strcmp(end_scheme, "local")) {
		snprintf(uri, sizeof(uri), "local:test-%u", uris++);
		return uri;
	}
	if (!directory[0]) {
		temporary_path(directory, sizeof(directory), "kmcl-test-XXXXXX");
		assert_non_null(mkdtemp(directory));
	}
	snprintf(uri, sizeof(uri), "unix:%s/%u", directory, uris++);
	return uri;
}

void end_forget_uris(void)
{
	char path[128];

	for (unsigned int i = 0; directory[0] && i < uris; i++) {
		snprintf(path, sizeof(path), "%s/%u", directory, i);
		unlink(path);
		snprintf(path, sizeof(path), "%s/%u.lock", directory, i);
		unlink(path);
	}
	if (directory[0])
		rmdir(directory);
}

/* ---- upcalls ---- */

static void on_message(void *context, uint32_t id, const void *payload, size_t size)
{
	void (*then)(struct end *, const struct end_message *);
	struct end *end = context;
	struct end_message *m;

	pthread_mutex_lock(&end->lock);
	must(end->messages < END_MESSAGES_MAX);
	must(size <= PARTITION_MESSAGE_MAX);
	end->in_upcall = true;
	m = &end->message[end->messages++];
	m->id = id;
	m->size = size;
	memcpy(m->payload, payload, size);
	pthread_cond_broadcast(&end->changed);
	while (end->stuck)
		pthread_cond_wait(&end->changed, &end->lock);
	end->in_upcall = false;
	then = end->on_message;
	pthread_mutex_unlock(&end->lock);
	if (then)
		then(end, m);
}

static void on_writable(void *context)
{
	void (*then)(struct end *);
	struct end *end = context;

	pthread_mutex_lock(&end->lock);
	end->writable++;
	pthread_cond_broadcast(&end->changed);
	then = end->on_writable;
	pthread_mutex_unlock(&end->lock);
	if (then)
		then(end);
}

static void on_presence(void *context, enum partition_presence what)
{
	struct end *end = context;

	pthread_mutex_lock(&end->lock);
	if (what == PARTITION_CAME)
		end->came++;
	else
		end->gone++;
	pthread_cond_broadcast(&end->changed);
	pthread_mutex_unlock(&end->lock);
}

static void on_log(void *context, int level, const char *text)
{
	struct end *end = context;
	size_t used;

	pthread_mutex_lock(&end->lock);
	used = strlen(end->log);
	snprintf(end->log + used, sizeof(end->log) - used, "%d %s\n", level, text);
	pthread_cond_broadcast(&end->changed);
	pthread_mutex_unlock(&end->lock);
}

/* ---- opening and closing ---- */

struct partition_ram ram_new(size_t pages)
{
	struct partition_ram ram = { .fd = -1, .size = pages * 4096 };

	if (!pages)
		return ram;
	ram.fd = memfd_create("kmcl-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(ram.fd >= 0);
	assert_int_equal(ftruncate(ram.fd, (off_t)ram.size), 0);
	ram.base = mmap(NULL, ram.size, PROT_READ | PROT_WRITE, MAP_SHARED, ram.fd, 0);
	assert_true(ram.base != MAP_FAILED);
	return ram;
}

void ram_free(struct partition_ram *ram)
{
	if (!ram->size)
		return;
	munmap(ram->base, ram->size);
	close(ram->fd);
	ram->size = 0;
}

static int try_open(struct end *end, enum partition_end side, const char *uri, size_t pages,
                    end_hook message_hook)
{
	int error;

	memset(end, 0, offsetof(struct end, message));
	pthread_mutex_init(&end->lock, NULL);
	pthread_cond_init(&end->changed, NULL);
	end->on_message = message_hook;
	end->settings = (struct partition_settings){
		.end = side,
		.upcalls = { on_message, on_writable, on_presence, on_log },
		.context = end,
		.memory_max = end_memory_max,
	};
	if (side == PARTITION_GUEST)
		end->settings.ram = ram_new(pages);
	error = partition_open(uri, &end->settings, &end->partition, end->why, sizeof(end->why));
	if (error)
		end_free_ram(end);
	return error;
}

int end_try_open(struct end *end, enum partition_end side, const char *uri, size_t pages)
{
	return try_open(end, side, uri, pages, NULL);
}

void end_open_hooked(struct end *end, enum partition_end side, const char *uri, size_t pages,
                     end_hook message_hook)
{
	int error = try_open(end, side, uri, pages, message_hook);

	if (error)
		fail_msg("partition_open: %s: %s", strerror(-error), end->why);
}

void end_open(struct end *end, enum partition_end side, const char *uri, size_t pages)
{
	end_open_hooked(end, side, uri, pages, NULL);
}

void end_close(struct end *end)
{
	end_set_stuck(end, false);
	partition_close(end->partition);
}

void end_free_ram(struct end *end)
{
	ram_free(&end->settings.ram);
}

void end_open_both(struct end *host, struct end *guest, size_t pages)
{
	const char *uri = end_new_uri();

	end_open(host, PARTITION_HOST, uri, 0);
	end_open(guest, PARTITION_GUEST, uri, pages);
	end_await(host, &host->came, 1);
	end_await(guest, &guest->came, 1);
}

void end_close_both(struct end *host, struct end *guest)
{
	end_close(guest);
	end_free_ram(guest);
	end_close(host);
}

/* ---- waiting ---- */

static bool counter_reached(struct end *end, const void *counter, unsigned int count)
{
	return *(const unsigned int *)counter >= count;
}

static bool log_has(struct end *end, const void *part, unsigned int count)
{
	return strstr(end->log, part);
}

static void await(struct end *end, bool (*met)(struct end *, const void *, unsigned int),
                  const void *what, unsigned int count, const char *name)
{
	struct timespec deadline;
	int error = 0;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += PATIENCE_SECONDS;
	pthread_mutex_lock(&end->lock);
	while (!met(end, what, count) && !error)
		error = pthread_cond_timedwait(&end->changed, &end->lock, &deadline);
	pthread_mutex_unlock(&end->lock);
	if (error)
		fail_msg("waited in vain for %s (%u); came %u gone %u messages %u writable %u; "
		         "log: %s",
		         name, count, end->came, end->gone, end->messages, end->writable, end->log);
}

void end_await(struct end *end, const unsigned int *counter, unsigned int count)
{
	await(end, counter_reached, counter, count,
	      counter == &end->came       ? "CAME"
	      : counter == &end->gone     ? "GONE"
	      : counter == &end->messages ? "messages"
	                                  : "writable");
}

void end_await_log(struct end *end, const char *part)
{
	await(end, log_has, part, 0, part);
}

unsigned int end_read(struct end *end, const unsigned int *counter)
{
	unsigned int value;

	pthread_mutex_lock(&end->lock);
	value = *counter;
	pthread_mutex_unlock(&end->lock);
	return value;
}

void end_set_stuck(struct end *end, bool stuck)
{
	pthread_mutex_lock(&end->lock);
	end->stuck = stuck;
	pthread_cond_broadcast(&end->changed);
	pthread_mutex_unlock(&end->lock);
}

void end_set_hooks(struct end *end, end_hook message_hook, void (*writable_hook)(struct end *end))
{
	pthread_mutex_lock(&end->lock);
	end->on_message = message_hook;
	end->on_writable = writable_hook;
	pthread_mutex_unlock(&end->lock);
}

bool port_readable(const struct partition_port *port, int ms)
{
	struct pollfd poll_fd = { .fd = partition_port_fd(port), .events = POLLIN };

	return poll(&poll_fd, 1, ms) == 1;
}

long cpu_ms(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

unsigned int count_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int count = 0;

	assert_non_null(d);
	while (readdir(d))
		count++;
	closedir(d);
	return count;
}

unsigned int settled_descriptors(void)
{
	unsigned int count = count_descriptors(), same = 0;

	for (int i = 0; i < 500 && same < 10; i++) {
		unsigned int now;

		usleep(20000);
		now = count_descriptors();
		same = now == count ? same + 1 : 0;
		count = now;
	}
	return count;
}
