/* SPDX-License-Identifier: BSD-2-Clause */

/* The guest's memory: one memfd, mapped here in one piece, in two slots around the MMIO window. */

#include "machine.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

int memory_create(struct memory *memory, uint64_t size)
{
	*memory = (struct memory){ .fd = -1, .size = size };
	memory->low = size < VMM_LOW_END ? size : VMM_LOW_END;
	memory->high = size - memory->low;
	memory->fd = memfd_create("kmcl guest", MFD_CLOEXEC);
	if (memory->fd < 0 || ftruncate(memory->fd, (off_t)size))
		return -errno;
	memory->base =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memory->fd, 0);
	if (memory->base == MAP_FAILED) {
		memory->base = NULL;
		return -errno;
	}
	return 0;
}

void memory_destroy(struct memory *memory)
{
	if (memory->base)
		munmap(memory->base, memory->size);
	if (memory->fd >= 0)
		close(memory->fd);
	memory->base = NULL;
	memory->fd = -1;
}

static int give_slot(const struct memory *memory, int vm, struct kmcl_kvm *bus, uint32_t slot,
                     uint64_t gpa, uint64_t size, uint64_t offset)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)(memory->base + offset),
	};

	if (size == 0)
		return 0;
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region))
		return -errno;
	return kmcl_kvm_add_memory(bus, gpa, size, memory->base + offset, memory->fd, offset);
}

int memory_give(struct memory *memory, int vm, struct kmcl_kvm *bus)
{
	int error = give_slot(memory, vm, bus, 0, 0, memory->low, 0);

	if (error)
		return error;
	return give_slot(memory, vm, bus, 1, VMM_HIGH_BASE, memory->high, memory->low);
}

void *memory_at(const struct memory *memory, uint64_t gpa, uint64_t size)
{
	if (gpa < memory->low && size <= memory->low - gpa)
		return memory->base + gpa;
	if (gpa >= VMM_HIGH_BASE && gpa - VMM_HIGH_BASE < memory->high &&
	    size <= memory->high - (gpa - VMM_HIGH_BASE))
		return memory->base + memory->low + (gpa - VMM_HIGH_BASE);
	return NULL;
}
