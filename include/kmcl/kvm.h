/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KMCL_KVM_H
#define KMCL_KVM_H

/*
 * A virtual machine on KVM as the guest of a VMBus host: for authors of virtual machine monitors.
 * This header knows no NT types. docs/embedding.md walks through it; vmm/ is a monitor that uses
 * it.
 *
 * The monitor makes the virtual machine, its in-kernel interrupt controller and its processors as
 * it likes, and says here which they are. kmcl then gives them Hyper-V's processor leaves and
 * synthetic interrupt controllers (KVM_CAP_HYPERV_SYNIC2), takes the exits that are VMBus's
 * (KVM_EXIT_HYPERV), and carries messages and events. Services reach the guest as every other:
 * kmcl_host_open("kvm:NAME").
 *
 * Functions that can fail return 0 or -errno. Any thread may call them, but for what a comment
 * says.
 */

#include <kmcl/api.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A virtual machine, from its making to its end. The host of its name outlives it: a machine that
 * is destroyed and made again is, to the host, a guest that was reset. */
struct kmcl_kvm;

#define KMCL_KVM_PROCESSORS_MAX 64u

struct kmcl_kvm_options {
	uint32_t size;    /* sizeof(struct kmcl_kvm_options) */
	int vm;           /* the virtual machine's descriptor; borrowed until kmcl_kvm_destroy() */
	const char *name; /* the NAME in "kvm:NAME"; copied */
	/* The first of the global system interrupt numbers that kmcl may route to synthetic
	 * interrupts; from here on they are its own: behind the 24 of the IOAPIC, and so that a
	 * thousand are left of those that KVM can route, which are 4096. */
	uint32_t first_gsi;
	/*
	 * KVM_SET_GSI_ROUTING replaces the whole table, and the table is the monitor's: this has to
	 * set the monitor's own routes and `count` of kmcl's, which are all it has. Called from any
	 * thread, one at a time, while the machine exists. 0, -errno. NULL: kmcl sets the table
	 * itself, with the routes that KVM starts with (PIC and IOAPIC) and its own.
	 */
	int (*set_routes)(void *context, const struct kvm_irq_routing_entry *routes,
	                  uint32_t count);
	void *context;
};

/*
 * Makes the bus of a virtual machine. -EINVAL, -E2BIG: the options; -EEXIST: there is a machine of
 * that name; -ENOTSUP: this KVM has no KVM_CAP_HYPERV_SYNIC2, KVM_CAP_HYPERV_EVENTFD or
 * KVM_CAP_IRQFD_RESAMPLE; -ENXIO: the machine has no interrupt controllers in the kernel
 * (KVM_CREATE_IRQCHIP); -ENOMEM, -EMFILE.
 */
KMCL_API int kmcl_kvm_create(const struct kmcl_kvm_options *options, struct kmcl_kvm **kvm);

/*
 * Memory of the guest: `size` bytes from guest physical address `gpa` on are at `address` here,
 * where the slot in KVM has them too, to be read and written; and at `offset` of the descriptor
 * `fd` if that is not -1 (then rings can be mapped without a seam). All whole pages. -EINVAL;
 * -EEXIST: it overlaps; -EBUSY: after kmcl_kvm_start(); -ENOMEM.
 */
KMCL_API int kmcl_kvm_add_memory(struct kmcl_kvm *kvm, uint64_t gpa, uint64_t size, void *address,
                                 int fd, uint64_t offset);

/*
 * The virtual processor with Hyper-V's index `vp`, which in KVM is the number of the processor in
 * the order of making, from 0 on. Turns its synthetic interrupt controller on, so this comes before
 * KVM_SET_CPUID2. -EINVAL: also where the processor has another index; -EEXIST; -EBUSY: after
 * kmcl_kvm_start(); or what KVM_ENABLE_CAP said.
 */
KMCL_API int kmcl_kvm_add_processor(struct kmcl_kvm *kvm, uint32_t vp, int vcpu);

/*
 * Puts Hyper-V's leaves in a processor's table: those that this KVM has, under Microsoft's name,
 * which guests look for, and in leaf 1 the bit that says that there is a hypervisor. Leaves of
 * other hypervisors go. There is room for `capacity` entries, of which it needs up to 16. -EINVAL:
 * it has more than that already; -E2BIG, or what KVM_GET_SUPPORTED_HV_CPUID said.
 */
KMCL_API int kmcl_kvm_cpuid(int vcpu, struct kvm_cpuid2 *cpuid, uint32_t capacity);

/*
 * What a monitor has not done yet, in a sentence for people: memory, processors, their leaves, a
 * host, kmcl_kvm_start(). 0: all is there; -EAGAIN. The leaves are looked at before the start only.
 *
 * Without it: the first hypercall of the guest that cannot be served for such a reason is answered
 * with an error and said once, in the host's log or, with no host there, on standard error.
 */
KMCL_API int kmcl_kvm_check(struct kmcl_kvm *kvm, char *why, size_t why_size);

/* The guest is there: the host learns of it, and it may run. */
KMCL_API void kmcl_kvm_start(struct kmcl_kvm *kvm);

/*
 * After each KVM_RUN of processor `vp` that ended with an exit, in its thread. True: the exit was
 * one of kmcl's, is dealt with, and KVM_RUN may go on. Never blocks for long.
 */
KMCL_API bool kmcl_kvm_exit(struct kmcl_kvm *kvm, uint32_t vp, struct kvm_run *run);

/* The guest was reset: all processors stand still and will begin anew, with the same memory. The
 * host is told; returns when it has let go of the guest's memory. */
KMCL_API void kmcl_kvm_reset(struct kmcl_kvm *kvm);

/* The end of the machine; no processor runs. The host is told; returns when it has let go of the
 * guest's memory. NULL is nothing. */
KMCL_API void kmcl_kvm_destroy(struct kmcl_kvm *kvm);

struct kmcl_kvm_statistics {
	uint32_t size;                      /* sizeof(struct kmcl_kvm_statistics) */
	uint64_t messages_in, messages_out; /* to and from the host */
	uint64_t messages_waited;           /* found the guest's slot taken */
	uint64_t events_out;                /* flags raised in the guest */
	uint64_t exits;                     /* of the guest's, that kmcl took */
	uint64_t refused;                   /* hypercalls that made no sense */
};
/* What has gone between the guest and its host so far. -EINVAL: the size. */
KMCL_API int kmcl_kvm_get_statistics(struct kmcl_kvm *kvm, struct kmcl_kvm_statistics *statistics);

#ifdef __cplusplus
}
#endif

#endif
