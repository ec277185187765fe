/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A monitor that boots Linux with a disk and a network, on what is installed and KVM: one
 * processor, a serial port to look at, and VMBus. docs/embedding.md says why it does what it does.
 *
 *     boot_linux KERNEL INITRD DISK COMMAND-LINE
 *
 * KERNEL is a bzImage. ^C or SIGTERM asks the guest to shut down.
 *
 *     cc boot_linux.c $(pkg-config --cflags --libs kmcl-devices) -o boot_linux
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create() */
#endif

#include <kmcl/acpi.h>
#include <kmcl/disk.h>
#include <kmcl/ic.h>
#include <kmcl/kvm.h>
#include <kmcl/net.h>

#include <asm/bootparam.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The guest's memory, and what is where in it. */
#define MEMORY       (256u << 20)
#define GDT          0x6000u
#define BOOT_PARAMS  0x7000u
#define STACK        0x9000u
#define PAGE_TABLES  0xa000u /* three pages: the first GiB as it is */
#define COMMAND_LINE 0x20000u
#define LOW_END      0x9fc00u
#define BIOS_BEGIN   0xffff0u
#define HIGH_BEGIN   0x100000u

#define FIRST_GSI    24u /* behind the IOAPIC's pins */
#define LEAVES       128u
#define SERIAL_PORT  0x3f8u
#define SERIAL_IRQ   4u
#define PORT_CMOS    0x71u
#define TSS_ADDRESS  0xfffbd000ul /* three pages that Intel's processors need */
#define SETUP_HEADER 0x1f1u       /* in a bzImage: Linux Documentation/arch/x86/boot.rst */
#define ENTRY_64     0x200u
#define CODE         0x10u
#define DATA         0x18u

static struct monitor {
	int kvm, vm, vcpu;
	uint8_t *memory;
	struct kvm_run *run;
	struct kmcl_kvm *bus;
	struct kmcl_host *host;
	struct kmcl_scsi *disks;
	struct kmcl_net *net;
	struct kmcl_shutdown *shutdown;
	pthread_t asker;
	struct {
		uint8_t reg[8];
		bool sent; /* and the guest has not been told */
	} serial;
} m;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "boot_linux: %s: %s\n", what, why);
	exit(1);
}

static int must(int result, const char *what)
{
	if (result < 0)
		die(what, strerror(errno));
	return result;
}

/* Of what returns -errno. */
static void must_kmcl(int error, const char *what)
{
	if (error)
		die(what, strerror(-error));
}

static void *must_map(size_t size, int flags, int protection, int fd, const char *what)
{
	void *at = mmap(NULL, size, protection, flags, fd, 0);

	if (at == MAP_FAILED)
		die(what, strerror(errno));
	return at;
}

static const uint8_t *file(const char *path, size_t *size)
{
	int fd = must(open(path, O_RDONLY | O_CLOEXEC), path);
	const uint8_t *bytes;
	struct stat st;

	must(fstat(fd, &st), path);
	*size = (size_t)st.st_size;
	bytes = must_map(*size, MAP_PRIVATE, PROT_READ, fd, path);
	close(fd);
	return bytes;
}

/* ---- the machine ---- */

static void make_machine(void)
{
	struct kvm_userspace_memory_region region = { .memory_size = MEMORY };
	struct kmcl_kvm_options options = { .size = sizeof(options), .name = "linux" };
	int fd;

	m.kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	m.vm = must(ioctl(m.kvm, KVM_CREATE_VM, 0), "a virtual machine");
	must(ioctl(m.vm, KVM_SET_TSS_ADDR, TSS_ADDRESS), "a virtual machine");
	must(ioctl(m.vm, KVM_CREATE_IRQCHIP, 0), "interrupt controllers");
	fd = must(memfd_create("guest", MFD_CLOEXEC), "memory");
	must(ftruncate(fd, MEMORY), "memory");
	m.memory = must_map(MEMORY, MAP_SHARED, PROT_READ | PROT_WRITE, fd, "memory");
	region.userspace_addr = (uintptr_t)m.memory;
	must(ioctl(m.vm, KVM_SET_USER_MEMORY_REGION, &region), "memory");

	options.vm = m.vm;
	options.first_gsi = FIRST_GSI;
	must_kmcl(kmcl_kvm_create(&options, &m.bus), "VMBus on this KVM");
	must_kmcl(kmcl_kvm_add_memory(m.bus, 0, MEMORY, m.memory, fd, 0), "memory");
}

/* The processor is the first of one, wherever this runs. */
static void set_cpuid(void)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + LEAVES * sizeof(cpuid->entries[0]));

	if (!cpuid)
		die("leaves", strerror(ENOMEM));
	cpuid->nent = LEAVES;
	must(ioctl(m.kvm, KVM_GET_SUPPORTED_CPUID, cpuid), "leaves");
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *leaf = &cpuid->entries[i];

		if (leaf->function == 1)
			leaf->ebx = (leaf->ebx & 0xffff) | 1 << 16;
		else if (leaf->function == 0xb || leaf->function == 0x1f)
			leaf->edx = 0;
		else if (leaf->function == 0x8000001e)
			leaf->eax = leaf->ebx = leaf->ecx = 0;
	}
	must_kmcl(kmcl_kvm_cpuid(m.vcpu, cpuid, LEAVES), "Hyper-V's leaves");
	must(ioctl(m.vcpu, KVM_SET_CPUID2, cpuid), "leaves");
	free(cpuid);
}

static struct kvm_segment segment(uint16_t selector, uint8_t type, bool code)
{
	return (struct kvm_segment){ .limit = 0xffffffff,
		                     .selector = selector,
		                     .type = type,
		                     .present = 1,
		                     .s = 1,
		                     .g = 1,
		                     .l = code,
		                     .db = !code };
}

/* In 64-bit mode, at the kernel's entry. */
static void make_processor(uint64_t entry)
{
	struct kvm_regs regs = { .rip = entry, .rsi = BOOT_PARAMS, .rsp = STACK, .rflags = 2 };
	uint64_t *gdt = (void *)(m.memory + GDT), *tables = (void *)(m.memory + PAGE_TABLES);
	struct kvm_sregs sregs;

	m.vcpu = must(ioctl(m.vm, KVM_CREATE_VCPU, 0), "a processor");
	m.run = must_map((size_t)must(ioctl(m.kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "a processor"),
	                 MAP_SHARED, PROT_READ | PROT_WRITE, m.vcpu, "a processor");
	must_kmcl(kmcl_kvm_add_processor(m.bus, 0, m.vcpu), "the processor");
	set_cpuid();

	gdt[CODE / 8] = 0x00af9b000000ffff;
	gdt[DATA / 8] = 0x00cf93000000ffff;
	tables[0] = (PAGE_TABLES + 0x1000) | 3;
	tables[512] = (PAGE_TABLES + 0x2000) | 3;
	for (uint64_t i = 0; i < 512; i++)
		tables[1024 + i] = i << 21 | 0x83; /* 2 MiB each */
	must(ioctl(m.vcpu, KVM_GET_SREGS, &sregs), "registers");
	sregs.cs = segment(CODE, 0xb, true);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = segment(DATA, 3, false);
	sregs.gdt.base = GDT;
	sregs.gdt.limit = DATA + 7;
	sregs.cr3 = PAGE_TABLES;
	sregs.cr4 |= 0x20;       /* PAE */
	sregs.cr0 |= 0x80000001; /* paging, protection */
	sregs.efer |= 0x500;     /* long mode */
	must(ioctl(m.vcpu, KVM_SET_SREGS, &sregs), "registers");
	must(ioctl(m.vcpu, KVM_SET_REGS, &regs), "registers");
}

/* ---- what the kernel finds ---- */

/* Returns its 64-bit entry. */
static uint64_t load_kernel(const char *path, struct boot_params *params, uint64_t *end)
{
	size_t size, setup;
	const uint8_t *kernel = file(path, &size);
	struct setup_header *header = &params->hdr;

	if (size < 0x1000 || memcmp(kernel + 0x202, "HdrS", 4) != 0)
		die(path, "not a bzImage");
	memcpy(header, kernel + SETUP_HEADER, sizeof(*header));
	setup = (header->setup_sects + 1u) * 512;
	*end = header->pref_address + header->init_size;
	if (header->version < 0x20c || !(header->xloadflags & XLF_KERNEL_64) || setup > size ||
	    size - setup > header->init_size || header->pref_address > MEMORY ||
	    header->init_size > MEMORY - header->pref_address)
		die(path, "has no 64-bit entry, or does not fit in the guest's memory");
	memcpy(m.memory + header->pref_address, kernel + setup, size - setup);
	return header->pref_address + ENTRY_64;
}

static void load_initrd(const char *path, struct boot_params *params, uint64_t from)
{
	size_t size;
	const uint8_t *initrd = file(path, &size);
	uint64_t at = size < MEMORY ? (MEMORY - size) & ~0xfffull : 0;

	if (at < from)
		die(path, "does not fit in the guest's memory");
	memcpy(m.memory + at, initrd, size);
	params->hdr.ramdisk_image = (uint32_t)at;
	params->hdr.ramdisk_size = (uint32_t)size;
}

static uint64_t load_linux(const char *kernel, const char *initrd, const char *command)
{
	struct boot_params *params = (void *)(m.memory + BOOT_PARAMS);
	uint64_t end, entry = load_kernel(kernel, params, &end);

	load_initrd(initrd, params, end);
	if (strlen(command) > params->hdr.cmdline_size)
		die("the command line", "longer than the kernel takes");
	memcpy(m.memory + COMMAND_LINE, command, strlen(command) + 1);
	params->hdr.type_of_loader = 0xff;
	params->hdr.cmd_line_ptr = COMMAND_LINE;
	params->acpi_rsdp_addr = KMCL_ACPI_ADDRESS;
	/* A kernel that resets the machine asks the BIOS to, whose beginning this is: write
	 * KMCL_ACPI_RESET to KMCL_ACPI_RESET_PORT. */
	memcpy(m.memory + BIOS_BEGIN, "\xba\x02\x06\xb0\x01\xee\xf4", 7);
	/* memory, what is reserved for the tables, and memory */
	params->e820_entries = 3;
	params->e820_table[0] = (struct boot_e820_entry){ 0, LOW_END, 1 };
	params->e820_table[1] = (struct boot_e820_entry){ LOW_END, HIGH_BEGIN - LOW_END, 2 };
	params->e820_table[2] = (struct boot_e820_entry){ HIGH_BEGIN, MEMORY - HIGH_BEGIN, 1 };
	return entry;
}

static void write_tables(void)
{
	struct kmcl_acpi_options options = { .size = sizeof(options),
		                             .processors = 1,
		                             .address = KMCL_ACPI_ADDRESS,
		                             .serial_port = SERIAL_PORT,
		                             .serial_irq = SERIAL_IRQ };
	size_t size;

	must_kmcl(kmcl_acpi_build(&options, m.memory + KMCL_ACPI_ADDRESS,
	                          BIOS_BEGIN - KMCL_ACPI_ADDRESS, &size),
	          "the ACPI tables");
}

/* ---- services ---- */

static void make_services(const char *disk)
{
	struct kmcl_net_options net = { .size = sizeof(net) };
	char why[256];

	must_kmcl(kmcl_host_create("kvm:linux", NULL, &m.host), "the host");
	must_kmcl(kmcl_scsi_create(m.host, NULL, &m.disks), "the controller");
	if (kmcl_scsi_add_disk(m.disks, 0, 0, disk, NULL, why, sizeof(why)))
		die(disk, why);
	if (kmcl_net_user_create(NULL, &net.backend, why, sizeof(why)))
		die("the network", why);
	must_kmcl(kmcl_net_create(m.host, &net, &m.net), "the network adapter");
	must_kmcl(kmcl_shutdown_create(m.host, NULL, &m.shutdown), "the shutdown component");
}

/* SIGUSR1: there is nobody to ask any more. */
static void *ask_to_shut_down(void *signals)
{
	struct kmcl_shutdown_request request = { .size = sizeof(request) };
	int number, error;

	while (sigwait(signals, &number) == 0 && number != SIGUSR1) {
		error = kmcl_shutdown_ask(m.shutdown, &request, 0, NULL);
		if (error)
			fprintf(stderr, "boot_linux: no shutdown: %s\n", strerror(-error));
	}
	return NULL;
}

/* ---- the serial port: a 16550 that sends at once and receives nothing ---- */

enum { TX, IER, IIR, LCR, MCR, LSR, MSR };

static bool serial_tells(void)
{
	return m.serial.sent && m.serial.reg[IER] & 2;
}

static void serial_interrupt(void)
{
	struct kvm_irq_level line = { .irq = SERIAL_IRQ,
		                      .level = serial_tells() && m.serial.reg[MCR] & 8 };

	must(ioctl(m.vm, KVM_IRQ_LINE, &line), "an interrupt");
}

static void serial_write(uint16_t reg, uint8_t value)
{
	if (reg <= IER && m.serial.reg[LCR] & 0x80)
		return; /* the speed */
	if (reg == TX && write(STDOUT_FILENO, &value, 1) < 0)
		die("the console", strerror(errno));
	if (reg == TX || (reg == IER && value & 2 && !(m.serial.reg[IER] & 2)))
		m.serial.sent = true;
	m.serial.reg[reg] = reg == IER ? value & 15 : value;
	serial_interrupt();
}

static uint8_t serial_read(uint16_t reg)
{
	uint8_t iir = serial_tells() ? 0xc2 : 0xc1; /* with a FIFO */

	if (reg == TX || reg == LSR)
		return reg == LSR ? 0x60 : 0; /* all is sent, nothing has come */
	if (reg == MSR)
		return 0xb0; /* somebody listens */
	if (reg != IIR)
		return m.serial.reg[reg];
	m.serial.sent = m.serial.sent && iir != 0xc2;
	serial_interrupt();
	return iir;
}

/* ---- running ---- */

/* Why the machine is at its end, or NULL. */
static const char *on_port(uint16_t port, bool out, uint8_t *value)
{
	if (port - SERIAL_PORT < 8u && out)
		serial_write((uint16_t)(port - SERIAL_PORT), *value);
	else if (port - SERIAL_PORT < 8u)
		*value = serial_read((uint16_t)(port - SERIAL_PORT));
	else if (!out)
		*value = port == PORT_CMOS || port == KMCL_ACPI_STATUS_PORT ? 0 : 0xff;
	else if (port == KMCL_ACPI_SLEEP_PORT && *value == KMCL_ACPI_POWER_OFF)
		return "powered off";
	else if (port == KMCL_ACPI_RESET_PORT && *value == KMCL_ACPI_RESET)
		return "reset";
	return NULL;
}

/* Nothing here is wider than a byte; who looks for PCI reads ones. */
static const char *on_io(void)
{
	uint8_t *data = (uint8_t *)m.run + m.run->io.data_offset;
	bool out = m.run->io.direction == KVM_EXIT_IO_OUT;
	const char *end = NULL;

	for (uint32_t i = 0; i < m.run->io.count && !end; i++, data += m.run->io.size) {
		if (m.run->io.size == 1)
			end = on_port(m.run->io.port, out, data);
		else if (!out)
			memset(data, 0xff, m.run->io.size);
	}
	return end;
}

static const char *run(void)
{
	const char *end = NULL;

	while (!end) {
		if (ioctl(m.vcpu, KVM_RUN, 0) < 0) {
			if (errno != EINTR && errno != EAGAIN)
				die("KVM_RUN", strerror(errno));
			continue;
		}
		if (kmcl_kvm_exit(m.bus, 0, m.run))
			continue;
		if (m.run->exit_reason == KVM_EXIT_IO)
			end = on_io();
		else if (m.run->exit_reason == KVM_EXIT_MMIO)
			memset(m.run->mmio.data, 0xff, sizeof(m.run->mmio.data));
		else if (m.run->exit_reason == KVM_EXIT_SHUTDOWN)
			end = "reset"; /* a triple fault */
		else if (m.run->exit_reason == KVM_EXIT_SYSTEM_EVENT)
			end = "panicked";
		else
			die("KVM_RUN", "an exit that nobody knows");
	}
	return end;
}

int main(int argc, char **argv)
{
	static sigset_t signals;
	const char *end;
	char why[512];

	if (argc != 5)
		die("usage", "boot_linux KERNEL INITRD DISK COMMAND-LINE");
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);

	make_machine();
	make_services(argv[3]);
	make_processor(load_linux(argv[1], argv[2], argv[4]));
	write_tables();
	must_kmcl(-pthread_create(&m.asker, NULL, ask_to_shut_down, &signals), "a thread");
	kmcl_kvm_start(m.bus);
	if (kmcl_kvm_check(m.bus, why, sizeof(why)))
		die("this monitor", why);
	end = run();
	kmcl_kvm_destroy(m.bus); /* before the memory goes */
	pthread_kill(m.asker, SIGUSR1);
	pthread_join(m.asker, NULL);
	kmcl_shutdown_destroy(m.shutdown);
	kmcl_net_destroy(m.net);
	kmcl_scsi_destroy(m.disks);
	kmcl_host_destroy(m.host);
	fprintf(stderr, "boot_linux: the guest %s\n", end);
	return strcmp(end, "powered off") == 0 ? 0 : 1;
}
