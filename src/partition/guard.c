/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A guard on a page of guest memory, by userfaultfd. While it is armed the page is write-protected:
 * the first who writes there, be it a virtual processor in KVM_RUN, a thread of this process or the
 * kernel on its behalf, waits until the guard's thread has lifted the protection. That thread
 * touches no guest memory and takes no lock but the guard's own, whose holders wait for nobody; so
 * wherever a guest has its page, nobody waits there for longer than that takes.
 *
 * Sources: Linux Documentation/admin-guide/mm/userfaultfd.rst (write-protect mode: anonymous memory
 * since 5.7, shared memory since 5.19; faults of the kernel's, as KVM's are, need /dev/userfaultfd,
 * CAP_SYS_PTRACE or vm.unprivileged_userfaultfd); QEMU migration/ram.c, which protects the memory
 * of running guests so.
 */

#include "partition/partition.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096u

/* What headers older than the running kernel do not know. */
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xaa, 0x00)
#endif
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif

struct partition_guard {
	pthread_t thread;
	uint8_t *page;
	int faults;  /* userfaultfd */
	int tripped; /* eventfd */
	int stop;    /* eventfd */
	pthread_mutex_t lock;
	bool armed; /* the page is protected */
};

static int faults_new(void)
{
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	int fd = -1;

	if (device >= 0) {
		fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
		close(device);
	}
	return fd >= 0 ? fd : (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
}

static int faults_open(struct partition_guard *guard)
{
	struct uffdio_api api = { .api = UFFD_API,
		                  .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP |
		                              UFFD_FEATURE_WP_HUGETLBFS_SHMEM };
	struct uffdio_register range = { .range = { (uintptr_t)guard->page, PAGE },
		                         .mode = UFFDIO_REGISTER_MODE_WP };

	guard->faults = faults_new();
	if (guard->faults < 0 || ioctl(guard->faults, UFFDIO_API, &api) ||
	    ioctl(guard->faults, UFFDIO_REGISTER, &range))
		return -errno;
	return 0;
}

static int guard_protect(struct partition_guard *guard, uint64_t mode)
{
	struct uffdio_writeprotect protect = {
		.range = { (uintptr_t)guard->page, PAGE },
		.mode = mode,
	};

	return ioctl(guard->faults, UFFDIO_WRITEPROTECT, &protect) ? -errno : 0;
}

/* Lets all who wait go on, also where the page has been unmapped meanwhile. Under the lock. */
static void guard_lift(struct partition_guard *guard)
{
	struct uffdio_range range = { (uintptr_t)guard->page, PAGE };

	if (guard_protect(guard, 0))
		ioctl(guard->faults, UFFDIO_WAKE, &range);
	guard->armed = false;
}

static void guard_trip(struct partition_guard *guard)
{
	struct uffd_msg messages[16];

	while (read(guard->faults, messages, sizeof(messages)) == sizeof(messages))
		; /* who they are does not matter */
	pthread_mutex_lock(&guard->lock);
	guard_lift(guard);
	eventfd_write(guard->tripped, 1);
	pthread_mutex_unlock(&guard->lock);
}

static void *guard_main(void *argument)
{
	struct partition_guard *guard = argument;
	struct pollfd fds[] = {
		{ .fd = guard->stop, .events = POLLIN },
		{ .fd = guard->faults, .events = POLLIN },
	};

	do {
		if (poll(fds, 2, -1) > 0 && fds[1].revents)
			guard_trip(guard);
	} while (!fds[0].revents);
	return NULL;
}

static void guard_free(struct partition_guard *guard)
{
	if (guard->faults >= 0)
		close(guard->faults);
	if (guard->tripped >= 0)
		close(guard->tripped);
	if (guard->stop >= 0)
		close(guard->stop);
	pthread_mutex_destroy(&guard->lock);
	free(guard);
}

int partition_guard_page(void *page, struct partition_guard **result)
{
	struct partition_guard *guard = calloc(1, sizeof(*guard));
	int error;

	if (!guard)
		return -ENOMEM;
	pthread_mutex_init(&guard->lock, NULL);
	guard->page = page;
	guard->faults = -1;
	guard->tripped = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	guard->stop = eventfd(0, EFD_CLOEXEC);
	error = guard->tripped < 0 || guard->stop < 0 ? -errno : faults_open(guard);
	if (!error)
		error = partition_start_thread(&guard->thread, "kmcl-guard", guard_main, guard);
	if (error) {
		guard_free(guard);
		return error;
	}
	*result = guard;
	return 0;
}

void partition_unguard(struct partition_guard *guard)
{
	partition_guard_disarm(guard);
	eventfd_write(guard->stop, 1);
	pthread_join(guard->thread, NULL);
	guard_free(guard);
}

int partition_guard_fd(const struct partition_guard *guard)
{
	return guard->tripped;
}

/* Writes what is there, as the guest may write too; an "or" of 0 is no more than a load to clang.
 */
static void touch(uint8_t *byte)
{
	uint8_t value = __atomic_load_n(byte, __ATOMIC_RELAXED);

	__atomic_compare_exchange_n(byte, &value, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

int partition_guard_arm(struct partition_guard *guard)
{
	eventfd_t count;
	int error;

	/* Anonymous memory that is not there yet cannot be protected. */
	touch(guard->page);
	pthread_mutex_lock(&guard->lock);
	eventfd_read(guard->tripped, &count);
	error = guard_protect(guard, UFFDIO_WRITEPROTECT_MODE_WP);
	guard->armed = !error;
	pthread_mutex_unlock(&guard->lock);
	return error;
}

void partition_guard_disarm(struct partition_guard *guard)
{
	pthread_mutex_lock(&guard->lock);
	if (guard->armed)
		guard_lift(guard);
	pthread_mutex_unlock(&guard->lock);
}

bool partition_guard_armed(struct partition_guard *guard)
{
	bool armed;

	pthread_mutex_lock(&guard->lock);
	armed = guard->armed;
	pthread_mutex_unlock(&guard->lock);
	return armed;
}
