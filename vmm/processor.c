/* SPDX-License-Identifier: BSD-2-Clause */

/* A virtual processor: what it claims to be, and its thread. */

#include "machine.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define CPUID_MAX   128u
#define KICK_SIGNAL SIGRTMIN

/* ---- what it claims to be ---- */

static uint32_t bits_for(uint32_t n)
{
	uint32_t bits = 0;

	while (1u << bits < n)
		bits++;
	return bits;
}

/* One package of as many cores, each with one thread; the APIC's number is the core's. */
static void cpuid_topology(struct kvm_cpuid_entry2 *leaf, uint32_t index, uint32_t cpus)
{
	switch (leaf->function) {
	case 0x1:
		leaf->ebx = (leaf->ebx & 0x0000ffffu) | cpus << 16 | index << 24;
		if (cpus > 1)
			leaf->edx |= 1u << 28;
		break;
	case 0x4:
		leaf->eax = (leaf->eax & 0x03ffffffu) | (cpus - 1) << 26;
		break;
	case 0xb:
	case 0x1f:
		leaf->edx = index;
		leaf->eax = leaf->index == 1 ? bits_for(cpus) : 0;
		leaf->ebx = leaf->index == 0 ? 1 : leaf->index == 1 ? cpus : 0;
		leaf->ecx = leaf->index | (leaf->index < 2 ? (leaf->index + 1) << 8 : 0);
		break;
	case 0x80000008:
		leaf->ecx = (leaf->ecx & 0xffff0000u) | bits_for(cpus) << 12 | (cpus - 1);
		break;
	case 0x8000001e:
		leaf->eax = index;
		leaf->ebx = index;
		leaf->ecx = 0;
		break;
	}
}

/* Without XSAVE, and what needs its state: AVX and later, protection keys. */
static void cpuid_plain(struct kvm_cpuid_entry2 *leaf)
{
	if (leaf->function == 0x1) {
		leaf->ecx &= ~(1u << 12 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 29);
	} else if (leaf->function == 0x7) {
		leaf->ebx &= ~(1u << 5 | 1u << 14 | 0xdc230000u);
		leaf->ecx &= ~(1u << 1 | 1u << 3 | 1u << 6 | 0x5f00u);
		leaf->edx &=
			~(1u << 2 | 1u << 3 | 1u << 8 | 1u << 22 | 1u << 23 | 1u << 24 | 1u << 25);
		if (leaf->index == 1)
			leaf->eax = 0;
	} else if (leaf->function == 0xd) {
		leaf->eax = leaf->ebx = leaf->ecx = leaf->edx = 0;
	} else if (leaf->function == 0x80000001) {
		leaf->ecx &= ~(1u << 11 | 1u << 15 | 1u << 16); /* XOP, LWP, FMA4 */
	}
}

static int cpuid_fill(const struct processor *processor, struct kvm_cpuid2 *cpuid)
{
	const struct vmm *vmm = processor->vmm;

	cpuid->nent = CPUID_MAX;
	if (ioctl(vmm->kvm, KVM_GET_SUPPORTED_CPUID, cpuid))
		return -errno;
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		cpuid_topology(&cpuid->entries[i], processor->index, vmm->options.cpus);
		if (vmm->options.plain_cpu)
			cpuid_plain(&cpuid->entries[i]);
	}
	return kmcl_kvm_cpuid(processor->fd, cpuid, CPUID_MAX);
}

int processor_set_cpuid(struct processor *processor)
{
	struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + CPUID_MAX * sizeof(cpuid->entries[0]));
	int error;

	if (!cpuid)
		return -ENOMEM;
	error = cpuid_fill(processor, cpuid);
	if (!error && ioctl(processor->fd, KVM_SET_CPUID2, cpuid))
		error = -errno;
	free(cpuid);
	return error;
}

int processor_create(struct processor *processor)
{
	struct vmm *vmm = processor->vmm;
	void *run;

	processor->fd = ioctl(vmm->vm, KVM_CREATE_VCPU, (unsigned long)processor->index);
	if (processor->fd < 0)
		return -errno;
	run = mmap(NULL, vmm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, processor->fd, 0);
	if (run == MAP_FAILED)
		return -errno;
	processor->run = run;
	return kmcl_kvm_add_processor(vmm->bus, processor->index, processor->fd);
}

void processor_destroy(struct processor *processor)
{
	if (processor->run)
		munmap(processor->run, processor->vmm->run_size);
	if (processor->fd >= 0)
		close(processor->fd);
	processor->run = NULL;
	processor->fd = -1;
}

/* ---- running ---- */

static void on_system_event(struct processor *processor)
{
	struct vmm *vmm = processor->vmm;
	char text[256];

	switch (processor->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		vmm_end(vmm, VMM_POWERED_OFF, "the guest powered off");
		break;
	case KVM_SYSTEM_EVENT_RESET:
		vmm_end(vmm, VMM_REBOOTED, "the guest reset itself");
		break;
	case KVM_SYSTEM_EVENT_CRASH:
		panic_describe(processor, text, sizeof(text));
		vmm_panicked(vmm, text);
		break;
	default:
		vmm_end(vmm, VMM_FAILED, "KVM told of a system event %u, which is not known here",
		        processor->run->system_event.type);
	}
}

static void on_io(struct processor *processor)
{
	struct kvm_run *run = processor->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	atomic_fetch_add_explicit(&processor->vmm->port_exits, 1, memory_order_relaxed);
	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size)
		ports_access(processor->vmm, run->io.port, run->io.direction == KVM_EXIT_IO_OUT,
		             data, run->io.size);
}

/* There is nothing: reads as on a bus that nobody drives. */
static void on_mmio(struct processor *processor)
{
	struct kvm_run *run = processor->run;

	atomic_fetch_add_explicit(&processor->vmm->memory_exits, 1, memory_order_relaxed);
	if (!run->mmio.is_write)
		memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
}

static void on_exit_reason(struct processor *processor)
{
	struct vmm *vmm = processor->vmm;
	struct kvm_run *run = processor->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		on_io(processor);
		break;
	case KVM_EXIT_MMIO:
		on_mmio(processor);
		break;
	case KVM_EXIT_X86_WRMSR:
	case KVM_EXIT_X86_RDMSR:
		msrs_answer(run);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_HLT:
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		on_system_event(processor);
		break;
	case KVM_EXIT_SHUTDOWN: /* a triple fault, which resets a machine */
		vmm_end(vmm, VMM_REBOOTED, "processor %u: triple fault", processor->index);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		vmm_end(vmm, VMM_FAILED,
		        "processor %u: the hardware refused to enter, reason %#llx",
		        processor->index,
		        (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
		break;
	default:
		vmm_end(vmm, VMM_FAILED, "processor %u: exit %u, which is not known here",
		        processor->index, run->exit_reason);
	}
}

/* Stands still while the machine is paused. False: it has ended. */
static bool processor_may_run(struct processor *processor)
{
	struct vmm *vmm = processor->vmm;
	bool ended;

	pthread_mutex_lock(&vmm->lock);
	processor->run->immediate_exit = 0;
	while (vmm->paused && !vmm->ended) {
		vmm->standing++;
		pthread_cond_broadcast(&vmm->changed);
		pthread_cond_wait(&vmm->changed, &vmm->lock);
		vmm->standing--;
	}
	ended = vmm->ended;
	pthread_mutex_unlock(&vmm->lock);
	return !ended;
}

static void *processor_main(void *argument)
{
	struct processor *processor = argument;
	struct vmm *vmm = processor->vmm;
	bool look = true; /* for a pause or the end */

	while (!look || processor_may_run(processor)) {
		int rc = ioctl(processor->fd, KVM_RUN, 0);

		look = rc < 0;
		if (rc < 0 && errno != EINTR && errno != EAGAIN) {
			vmm_end(vmm, VMM_FAILED, "processor %u: KVM_RUN: %s", processor->index,
			        strerror(errno));
			continue;
		}
		if (rc < 0)
			continue;
		atomic_fetch_add_explicit(&vmm->exits, 1, memory_order_relaxed);
		if (kmcl_kvm_exit(vmm->bus, processor->index, processor->run)) {
			atomic_fetch_add_explicit(&vmm->vmbus_exits, 1, memory_order_relaxed);
			continue;
		}
		on_exit_reason(processor);
		look = processor->run->immediate_exit;
	}
	return NULL;
}

static void on_kick(int signal)
{
}

int processor_start(struct processor *processor)
{
	struct sigaction action = { .sa_handler = on_kick };
	int error;

	sigaction(KICK_SIGNAL, &action, NULL);
	error = pthread_create(&processor->thread, NULL, processor_main, processor);
	processor->started = !error;
	return -error;
}

/* immediate_exit catches one that is about to enter, the signal one that is inside. */
void processor_kick(struct processor *processor)
{
	if (!processor->started)
		return;
	processor->run->immediate_exit = 1;
	if (!pthread_equal(pthread_self(), processor->thread))
		pthread_kill(processor->thread, KICK_SIGNAL);
}
