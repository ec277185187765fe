/* SPDX-License-Identifier: BSD-2-Clause */

#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Where no guest looks: three pages that Intel's processors need for real mode. */
#define TSS_ADDRESS 0xfffbd000ul

static int say_why(int error, char *why, size_t why_size, const char *what)
{
	snprintf(why, why_size, "%s: %s", what, strerror(-error));
	return error;
}

static int check_options(const struct vmm_options *options, char *why, size_t why_size)
{
	if (options->cpus < 1 || options->cpus > VMM_CPUS_MAX) {
		snprintf(why, why_size, "a guest has 1 to %u processors, not %u", VMM_CPUS_MAX,
		         options->cpus);
		return -EINVAL;
	}
	if (options->memory < VMM_MEMORY_MIN || options->memory % (1u << 20)) {
		snprintf(why, why_size, "a guest has whole MiB of memory, %llu or more",
		         VMM_MEMORY_MIN >> 20);
		return -EINVAL;
	}
	return 0;
}

static int open_kvm(struct vmm *vmm, char *why, size_t why_size)
{
	int size;

	vmm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vmm->kvm < 0)
		return say_why(-errno, why, why_size, "/dev/kvm");
	size = ioctl(vmm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	vmm->vm = ioctl(vmm->kvm, KVM_CREATE_VM, 0);
	if (vmm->vm < 0 || size < 0)
		return say_why(-errno, why, why_size, "KVM makes no virtual machine");
	vmm->run_size = (size_t)size;
	msrs_ask_for(vmm->vm);
	if (ioctl(vmm->vm, KVM_SET_TSS_ADDR, TSS_ADDRESS) || ioctl(vmm->vm, KVM_CREATE_IRQCHIP, 0))
		return say_why(-errno, why, why_size, "KVM makes no interrupt controllers");
	return 0;
}

static int open_bus(struct vmm *vmm, char *why, size_t why_size)
{
	struct kmcl_kvm_options options = {
		.size = sizeof(options),
		.vm = vmm->vm,
		.name = vmm->options.name,
		.first_gsi = VMM_FIRST_GSI,
	};
	int error = kmcl_kvm_create(&options, &vmm->bus);

	if (error == -ENOTSUP)
		snprintf(why, why_size,
		         "this KVM has no synthetic interrupt controllers (KVM_CAP_HYPERV_SYNIC2)");
	else if (error)
		say_why(error, why, why_size, "kvm");
	return error;
}

static int create_processors(struct vmm *vmm)
{
	int error = 0;

	for (uint32_t i = 0; i < vmm->options.cpus && !error; i++) {
		vmm->processors[i].vmm = vmm;
		vmm->processors[i].index = i;
		error = processor_create(&vmm->processors[i]);
	}
	for (uint32_t i = 0; i < vmm->options.cpus && !error; i++)
		error = processor_set_cpuid(&vmm->processors[i]);
	return error;
}

static int load(struct vmm *vmm, char *why, size_t why_size)
{
	struct kernel_image image;
	int error = kernel_load(vmm->options.kernel, &vmm->memory, &image, why, why_size);

	if (!error)
		error = boot_prepare(vmm, &image, why, why_size);
	free(image.header);
	if (error)
		return error;
	error = acpi_build(&vmm->memory, vmm->options.cpus);
	if (error)
		return say_why(error, why, why_size, "the ACPI tables");
	error = boot_set_registers(&vmm->processors[0]);
	return error ? say_why(error, why, why_size, "processor 0") : 0;
}

static int vmm_fill(struct vmm *vmm, char *why, size_t why_size)
{
	int error = open_kvm(vmm, why, why_size);

	if (!error)
		error = open_bus(vmm, why, why_size);
	if (error)
		return error;
	error = memory_create(&vmm->memory, vmm->options.memory);
	if (!error)
		error = memory_give(&vmm->memory, vmm->vm, vmm->bus);
	if (error)
		return say_why(error, why, why_size, "the guest's memory");
	error = create_processors(vmm);
	if (error)
		return say_why(error, why, why_size, "the guest's processors");
	vmm->serial = serial_create(vmm->vm, vmm->options.console_in, vmm->options.console_out);
	if (!vmm->serial)
		return say_why(-ENOMEM, why, why_size, "the serial port");
	return load(vmm, why, why_size);
}

static void init_changed(struct vmm *vmm)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&vmm->changed, &attributes);
	pthread_condattr_destroy(&attributes);
}

int vmm_create(const struct vmm_options *options, struct vmm **result, char *why, size_t why_size)
{
	int error = check_options(options, why, why_size);
	struct vmm *vmm;

	*result = NULL;
	if (error)
		return error;
	vmm = calloc(1, sizeof(*vmm));
	if (!vmm)
		return say_why(-ENOMEM, why, why_size, "the machine");
	vmm->options = *options;
	vmm->kvm = vmm->vm = vmm->memory.fd = -1;
	for (uint32_t i = 0; i < VMM_CPUS_MAX; i++)
		vmm->processors[i].fd = -1;
	pthread_mutex_init(&vmm->lock, NULL);
	init_changed(vmm);
	error = vmm_fill(vmm, why, why_size);
	if (error)
		vmm_destroy(vmm);
	else
		*result = vmm;
	return error;
}

/* The host lets go of the guest's memory before that goes. */
void vmm_destroy(struct vmm *vmm)
{
	if (vmm->bus)
		kmcl_kvm_destroy(vmm->bus);
	serial_destroy(vmm->serial);
	for (uint32_t i = 0; i < VMM_CPUS_MAX; i++)
		if (vmm->processors[i].vmm)
			processor_destroy(&vmm->processors[i]);
	memory_destroy(&vmm->memory);
	if (vmm->vm >= 0)
		close(vmm->vm);
	if (vmm->kvm >= 0)
		close(vmm->kvm);
	pthread_cond_destroy(&vmm->changed);
	pthread_mutex_destroy(&vmm->lock);
	free(vmm);
}

/* ---- running ---- */

static void kick_all(struct vmm *vmm)
{
	for (uint32_t i = 0; i < vmm->options.cpus; i++)
		processor_kick(&vmm->processors[i]);
}

static void end_locked(struct vmm *vmm, enum vmm_end end)
{
	vmm->ended = true;
	vmm->end = end;
	pthread_cond_broadcast(&vmm->changed);
	kick_all(vmm);
}

void vmm_end(struct vmm *vmm, enum vmm_end end, const char *format, ...)
{
	va_list ap;

	pthread_mutex_lock(&vmm->lock);
	if (vmm->panicked && (end == VMM_POWERED_OFF || end == VMM_REBOOTED)) {
		end = VMM_PANICKED;
	} else if (!vmm->ended) {
		va_start(ap, format);
		vsnprintf(vmm->why, sizeof(vmm->why), format, ap);
		va_end(ap);
	}
	if (!vmm->ended)
		end_locked(vmm, end);
	pthread_mutex_unlock(&vmm->lock);
}

/* A guest tells of its panic before it prints it to the end and starts its crash kernel (Linux
 * crash_kexec_post_notifiers, which it sets on Hyper-V). */
void vmm_panicked(struct vmm *vmm, const char *what)
{
	pthread_mutex_lock(&vmm->lock);
	if (!vmm->ended && !vmm->panicked) {
		vmm->panicked = true;
		snprintf(vmm->why, sizeof(vmm->why), "%s", what);
		clock_gettime(CLOCK_MONOTONIC, &vmm->panic_end);
		vmm->panic_end.tv_sec += vmm->options.panic_wait;
		pthread_cond_broadcast(&vmm->changed);
	}
	pthread_mutex_unlock(&vmm->lock);
}

static void wait_for_end(struct vmm *vmm)
{
	pthread_mutex_lock(&vmm->lock);
	while (!vmm->ended) {
		if (!vmm->panicked)
			pthread_cond_wait(&vmm->changed, &vmm->lock);
		else if (pthread_cond_timedwait(&vmm->changed, &vmm->lock, &vmm->panic_end) ==
		                 ETIMEDOUT &&
		         !vmm->ended)
			end_locked(vmm, VMM_PANICKED);
	}
	pthread_mutex_unlock(&vmm->lock);
}

enum vmm_end vmm_run(struct vmm *vmm, char *why, size_t why_size)
{
	int error = 0;

	kmcl_kvm_start(vmm->bus);
	pthread_mutex_lock(&vmm->lock);
	for (uint32_t i = 0; i < vmm->options.cpus && !error; i++)
		error = processor_start(&vmm->processors[i]);
	pthread_mutex_unlock(&vmm->lock);
	if (error)
		vmm_end(vmm, VMM_FAILED, "no thread for a processor: %s", strerror(-error));
	wait_for_end(vmm);
	for (uint32_t i = 0; i < vmm->options.cpus; i++)
		if (vmm->processors[i].started)
			pthread_join(vmm->processors[i].thread, NULL);
	pthread_mutex_lock(&vmm->lock);
	for (uint32_t i = 0; i < vmm->options.cpus; i++)
		vmm->processors[i].started = false;
	pthread_mutex_unlock(&vmm->lock);
	snprintf(why, why_size, "%s", vmm->why);
	return vmm->end;
}

void vmm_stop(struct vmm *vmm)
{
	vmm_end(vmm, VMM_STOPPED, "stopped");
}

void vmm_pause(struct vmm *vmm)
{
	pthread_mutex_lock(&vmm->lock);
	vmm->paused = true;
	kick_all(vmm);
	while (vmm->paused && !vmm->ended && vmm->standing < vmm->options.cpus)
		pthread_cond_wait(&vmm->changed, &vmm->lock);
	pthread_mutex_unlock(&vmm->lock);
}

void vmm_resume(struct vmm *vmm)
{
	pthread_mutex_lock(&vmm->lock);
	vmm->paused = false;
	pthread_cond_broadcast(&vmm->changed);
	pthread_mutex_unlock(&vmm->lock);
}

/* KVM counts it by the machine's clock (Linux arch/x86/kvm/hyperv.c, get_time_ref_counter). */
uint64_t vmm_reference_time(struct vmm *vmm)
{
	struct kvm_clock_data clock = { 0 };

	return ioctl(vmm->vm, KVM_GET_CLOCK, &clock) ? 0 : clock.clock / 100;
}

void vmm_statistics(struct vmm *vmm, struct vmm_statistics *statistics)
{
	*statistics = (struct vmm_statistics){
		.exits = atomic_load(&vmm->exits),
		.port_exits = atomic_load(&vmm->port_exits),
		.memory_exits = atomic_load(&vmm->memory_exits),
		.vmbus_exits = atomic_load(&vmm->vmbus_exits),
	};
}
