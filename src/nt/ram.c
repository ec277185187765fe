/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEFAULT_MB 1024
#define MIN_MB     16
#define MAX_MB     (1024 * 1024) /* a page number fits in 28 bits */

struct nt_shared nt_shared;

static struct nt_ram ram;
static const struct nt_ram *made;

static uint64_t ram_size(void)
{
	const char *text = getenv("KMCL_RAM_MB");
	unsigned long mb;
	char *end;

	if (!text)
		return (uint64_t)DEFAULT_MB << 20;
	errno = 0;
	mb = strtoul(text, &end, 10);
	if (errno || end == text || *end || mb < MIN_MB || mb > MAX_MB) {
		nt_log(NT_LOG_WARNING, NULL, "KMCL_RAM_MB: expected %d to %d, came '%s'; using %d",
		       MIN_MB, MAX_MB, text, DEFAULT_MB);
		mb = DEFAULT_MB;
	}
	return (uint64_t)mb << 20;
}

/* Who maps it relies on its size: it is sealed before anybody else sees it. */
static int make_memfd(uint64_t size)
{
	int fd = memfd_create("kmcl-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -1;
	if (ftruncate(fd, (off_t)size) != 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The memfd, and right after it as much that is private. */
static void *map_both(int fd, uint64_t size)
{
	uint8_t *base = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE,
	                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return base;
	if (mmap(base, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd,
	         0) == MAP_FAILED) {
		int error = errno;

		munmap(base, 2 * size);
		errno = error;
		return MAP_FAILED;
	}
	return base;
}

void nt_fill_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) > STDERR_FILENO)
			return; /* another thread's is there by now */
}

static void ram_make(void)
{
	uint64_t size = ram_size();
	void *base = MAP_FAILED;
	int fd;

	nt_fill_descriptors();
	fd = make_memfd(size);
	if (fd >= 0)
		base = map_both(fd, size);
	if (base == MAP_FAILED) {
		nt_log(NT_LOG_ERROR, NULL, "no RAM of %llu MiB: %s",
		       (unsigned long long)(size >> 20), strerror(errno));
		if (fd >= 0)
			close(fd);
		return;
	}
	ram = (struct nt_ram){ .fd = fd, .base = base, .size = size };
	made = &ram;
	atomic_store(&nt_shared.base, (uintptr_t)base);
	atomic_store(&nt_shared.size, size);
}

const struct nt_ram *nt_ram(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, ram_make);
	return made;
}
