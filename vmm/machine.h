/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

/* The inside of the monitor. */

#include "vmm.h"

#include <kmcl/acpi.h>
#include <kmcl/kvm.h>

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

/* Guest physical addresses. RAM ends below the MMIO window, and goes on at 4 GiB. */
#define VMM_LOW_END    0xc0000000ull
#define VMM_HIGH_BASE  0x100000000ull
#define VMM_ACPI_BASE  KMCL_ACPI_ADDRESS
#define VMM_ACPI_SIZE  0x10000ull
#define VMM_EBDA       0x9fc00ull
#define VMM_FIRST_GSI  24u /* after the IOAPIC's pins */
#define VMM_SERIAL_IRQ 4u

/* Ports, beside those that kmcl/acpi.h names. */
#define VMM_PORT_SERIAL 0x3f8u

struct memory {
	int fd; /* memfd */
	uint8_t *base;
	uint64_t size;
	uint64_t low, high; /* bytes below VMM_LOW_END, and from VMM_HIGH_BASE on */
};

struct boot {
	uint64_t entry;
	uint64_t boot_params;
};

struct serial;

struct clock {
	_Atomic(uint8_t) index; /* the register that is read next */
	_Atomic(int64_t) taken; /* the time that is being read, in seconds since 1970 */
};

struct processor {
	struct vmm *vmm;
	uint32_t index;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool started;
};

struct vmm {
	struct vmm_options options;
	int kvm, vm;
	size_t run_size;
	struct memory memory;
	struct boot boot;
	struct kmcl_kvm *bus;
	struct serial *serial;
	struct clock clock;
	struct processor processors[VMM_CPUS_MAX];
	_Atomic(uint64_t) exits, port_exits, memory_exits, vmbus_exits;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool paused;
	uint32_t standing;         /* processors that wait for the end of the pause */
	bool panicked;             /* `why` is its panic, and after panic_end it has had its time */
	struct timespec panic_end; /* CLOCK_MONOTONIC */
	bool ended;
	enum vmm_end end;
	char why[512];
};

/* memory.c */
int memory_create(struct memory *memory, uint64_t size);
void memory_destroy(struct memory *memory);
int memory_give(struct memory *memory, int vm, struct kmcl_kvm *bus);
/* Where that is here, or NULL. */
void *memory_at(const struct memory *memory, uint64_t gpa, uint64_t size);

/* kernel.c: the kernel and its initial file system, in memory. 0, -errno. */
struct kernel_image {
	uint64_t entry;
	uint64_t end;    /* of what it needs to begin with */
	uint8_t *header; /* a bzImage's setup header, as it is in boot_params; or NULL */
	size_t header_size;
	uint64_t initrd_max; /* the highest address it takes an initrd at */
};
int kernel_load(const char *path, const struct memory *memory, struct kernel_image *image,
                char *why, size_t why_size);

/* boot.c: what a kernel finds when it begins */
int boot_prepare(struct vmm *vmm, const struct kernel_image *image, char *why, size_t why_size);
int boot_set_registers(struct processor *processor);

/* acpi.c: the tables. 0, -errno. */
int acpi_build(const struct memory *memory, uint32_t cpus);

/* processor.c */
int processor_create(struct processor *processor);
int processor_set_cpuid(struct processor *processor);
int processor_start(struct processor *processor);
void processor_kick(struct processor *processor);
void processor_destroy(struct processor *processor);

/* msrs.c: registers that KVM knows and refuses */
void msrs_ask_for(int vm);
/* KVM_EXIT_X86_WRMSR and _RDMSR: takes it, or lets the guest have its fault. */
void msrs_answer(struct kvm_run *run);

/* ports.c */
void ports_access(struct vmm *vmm, uint16_t port, bool out, void *data, uint32_t size);

/* clock.c: a PC's clock; the registers behind its two ports */
void clock_select(struct clock *clock, uint8_t index);
uint8_t clock_read(struct clock *clock, time_t now);

/* panic.c: what the guest left in the crash registers */
void panic_describe(struct processor *processor, char *text, size_t size);

/* serial.c: a 16550 */
struct serial *serial_create(int vm, int in, int out);
void serial_destroy(struct serial *serial);
void serial_write(struct serial *serial, uint8_t reg, uint8_t value);
uint8_t serial_read(struct serial *serial, uint8_t reg);

/* vmm.c: the machine comes to its end; the first reason counts, and a panic more than what the
 * guest does after it. */
void vmm_panicked(struct vmm *vmm, const char *what);
void vmm_end(struct vmm *vmm, enum vmm_end end, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
