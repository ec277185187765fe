/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * kmcl in the hands of a virtual machine monitor, at its smallest: what docs/embedding.md talks
 * about, with every line that is kmcl's marked. The guest is a few bytes of real mode that ask for
 * a Hyper-V leaf and leave; the host offers it an echo service all the same.
 *
 *     embed_kvm       needs a KVM with KVM_CAP_HYPERV_SYNIC2
 */

#include <kmcl/echo.h>
#include <kmcl/kvm.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY      (2u << 20)
#define LEAVES      128u
#define PORT_RESULT 0xf0u
#define FIRST_GSI   24u /* behind the IOAPIC's pins */

/* cpuid(0x40000000), and three letters of the hypervisor's name to a port. */
static const uint8_t guest_code[] = {
	0x66, 0xb8,        0x00, 0x00, 0x00, 0x40, /* mov eax, 0x40000000 */
	0x0f, 0xa2,                                /* cpuid */
	0x66, 0x89,        0xd8,                   /* mov eax, ebx */
	0xe7, PORT_RESULT,                         /* out PORT_RESULT, ax */
	0xf4,                                      /* hlt */
};

struct monitor {
	int kvm, vm, vcpu, memory_fd;
	uint8_t *memory;
	struct kvm_run *run;
	struct kmcl_kvm *bus; /* kmcl */
	char answer[3];
};

static void die(const char *what, int error)
{
	fprintf(stderr, "embed_kvm: %s: %s\n", what, strerror(error));
	exit(1);
}

static int must(int result, const char *what)
{
	if (result < 0)
		die(what, errno);
	return result;
}

/* kmcl's functions return -errno. */
static void must_kmcl(int result, const char *what)
{
	if (result < 0)
		die(what, -result);
}

/* A monitor has its own ways for all of this. */
static void make_machine(struct monitor *m)
{
	struct kvm_userspace_memory_region region = { .memory_size = MEMORY };

	m->kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	m->vm = must(ioctl(m->kvm, KVM_CREATE_VM, 0), "a virtual machine");
	must(ioctl(m->vm, KVM_CREATE_IRQCHIP, 0), "interrupt controllers");
	m->memory_fd = must(memfd_create("guest", MFD_CLOEXEC), "memory");
	must(ftruncate(m->memory_fd, MEMORY), "memory");
	m->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, m->memory_fd, 0);
	if (m->memory == MAP_FAILED)
		die("memory", errno);
	region.userspace_addr = (uintptr_t)m->memory;
	must(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region), "memory");
	memcpy(m->memory + 0x1000, guest_code, sizeof(guest_code));
}

/* kmcl: the machine becomes the guest of whoever opens kvm:example. */
static void attach_bus(struct monitor *m)
{
	struct kmcl_kvm_options options = {
		.size = sizeof(options),
		.vm = m->vm,
		.name = "example",
		.first_gsi = FIRST_GSI,
	};

	must_kmcl(kmcl_kvm_create(&options, &m->bus), "VMBus on this KVM");
	must_kmcl(kmcl_kvm_add_memory(m->bus, 0, MEMORY, m->memory, m->memory_fd, 0), "memory");
}

static void set_cpuid(struct monitor *m)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + LEAVES * sizeof(cpuid->entries[0]));

	if (!cpuid)
		die("leaves", ENOMEM);
	cpuid->nent = LEAVES;
	must(ioctl(m->kvm, KVM_GET_SUPPORTED_CPUID, cpuid), "leaves");
	must_kmcl(kmcl_kvm_cpuid(m->vcpu, cpuid, LEAVES), "Hyper-V's leaves"); /* kmcl */
	must(ioctl(m->vcpu, KVM_SET_CPUID2, cpuid), "leaves");
	free(cpuid);
}

static void make_processor(struct monitor *m)
{
	int size = must(ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "a processor");
	struct kvm_regs regs = { .rip = 0x1000, .rflags = 2 };
	struct kvm_sregs sregs;

	m->vcpu = must(ioctl(m->vm, KVM_CREATE_VCPU, 0), "a processor");
	m->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
	if (m->run == MAP_FAILED)
		die("a processor", errno);
	must_kmcl(kmcl_kvm_add_processor(m->bus, 0, m->vcpu), "the processor"); /* kmcl */
	set_cpuid(m);
	must(ioctl(m->vcpu, KVM_GET_SREGS, &sregs), "registers");
	sregs.cs.base = sregs.cs.selector = 0;
	must(ioctl(m->vcpu, KVM_SET_SREGS, &sregs), "registers");
	must(ioctl(m->vcpu, KVM_SET_REGS, &regs), "registers");
}

/* kmcl: its exits first, the monitor's own after them. */
static void run_processor(struct monitor *m)
{
	kmcl_kvm_start(m->bus);
	for (;;) {
		must(ioctl(m->vcpu, KVM_RUN, 0), "KVM_RUN");
		if (kmcl_kvm_exit(m->bus, 0, m->run))
			continue;
		if (m->run->exit_reason != KVM_EXIT_IO || m->run->io.port != PORT_RESULT)
			die("the guest does what was not foreseen", EPROTO);
		memcpy(m->answer, (uint8_t *)m->run + m->run->io.data_offset, 2);
		return;
	}
}

/* kmcl: a host for the machine, and a service of it. */
static struct kmcl_echo *offer_service(struct kmcl_host **host)
{
	struct kmcl_echo *echo;

	must_kmcl(kmcl_host_create("kvm:example", NULL, host), "the host");
	must_kmcl(kmcl_echo_create(*host, NULL, &echo), "the service");
	return echo;
}

int main(void)
{
	struct monitor m = { 0 };
	struct kmcl_host *host;
	struct kmcl_echo *service;

	make_machine(&m);
	attach_bus(&m);
	make_processor(&m);
	service = offer_service(&host);
	run_processor(&m);
	kmcl_kvm_destroy(m.bus); /* kmcl: before the memory goes */
	kmcl_echo_destroy(service);
	kmcl_host_destroy(host);
	printf("the guest sees a hypervisor whose name begins with \"%s\"\n", m.answer);
	return strcmp(m.answer, "Mi") == 0 ? 0 : 1;
}
