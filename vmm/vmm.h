/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef VMM_VMM_H
#define VMM_VMM_H

/*
 * A small virtual machine monitor on KVM: boots a Linux kernel, with VMBus as its only bus. No
 * firmware, no PCI. It knows of VMBus what include/kmcl/kvm.h says, and of no device: services
 * reach the guest through kmcl_host_open("kvm:NAME").
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VMM_CPUS_MAX   8u
#define VMM_MEMORY_MIN (64ull << 20)

struct vmm;

struct vmm_options {
	const char *name;    /* of the partition, kvm:NAME */
	const char *kernel;  /* a bzImage, or a 64-bit ELF kernel */
	const char *initrd;  /* NULL: none */
	const char *command; /* the kernel's command line; NULL: "" */
	uint32_t cpus;
	uint64_t memory; /* bytes, whole MiB */
	/* Leave out XSAVE and what needs it: an emulated host is slow and unreliable at it. */
	bool plain_cpu;
	int console_in, console_out; /* of the serial port; -1: none */
	/* Seconds that a guest that tells of a panic may go on, to print it or to dump itself. */
	uint32_t panic_wait;
};

enum vmm_end {
	VMM_POWERED_OFF,
	VMM_REBOOTED, /* asked for; destroy it, and make it again */
	VMM_PANICKED, /* the guest said so, whatever it did after that */
	VMM_STOPPED,  /* by vmm_stop() */
	VMM_FAILED,   /* KVM could not go on */
};

/* Loads the kernel. 0, or -errno with a sentence for people in `why`. */
int vmm_create(const struct vmm_options *options, struct vmm **vmm, char *why, size_t why_size);
/* Runs it to its end; `why` says more about a panic or a failure. */
enum vmm_end vmm_run(struct vmm *vmm, char *why, size_t why_size);
void vmm_destroy(struct vmm *vmm);

/* From any thread while it runs. */
void vmm_stop(struct vmm *vmm);
/* The processors stand still until vmm_resume(); what is in flight at the services goes on. */
void vmm_pause(struct vmm *vmm);
void vmm_resume(struct vmm *vmm);

/* The guest's reference time, in 100 ns: what it reads as HV_X64_MSR_TIME_REF_COUNT. Any thread. */
uint64_t vmm_reference_time(struct vmm *vmm);

struct vmm_statistics {
	uint64_t exits, port_exits, memory_exits, vmbus_exits;
};
void vmm_statistics(struct vmm *vmm, struct vmm_statistics *statistics);

#endif
