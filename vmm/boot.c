/* SPDX-License-Identifier: BSD-2-Clause */

/* What a kernel finds when it begins: boot parameters, memory map, command line, initrd, and the
 * first processor in 64-bit mode (Linux Documentation/x86/boot.rst, 64-bit boot protocol). */

#include "machine.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Below the EBDA; the kernel takes over all of it. */
#define BOOT_GDT          0x6000u
#define BOOT_PARAMS       0x7000u
#define BOOT_STACK        0x9000u
#define BOOT_PML4         0xa000u
#define BOOT_PDPT         0xb000u
#define BOOT_PD           0xc000u /* four pages: the first 4 GiB */
#define BOOT_COMMAND      0x20000u
#define BOOT_COMMAND_MAX  0x8000u
#define BOOT_RESET_VECTOR 0xffff0u

#define PAGE_PRESENT_WRITE 0x03u
#define PAGE_LARGE         0x80u
#define CR0_PE_PG          0x80000001ull
#define CR4_PAE            0x20ull
#define EFER_LME_LMA       0x500ull
#define BOOT_CS            0x10u
#define BOOT_DS            0x18u

static int read_initrd(int fd, uint8_t *at, uint64_t size)
{
	while (size) {
		ssize_t n = read(fd, at, size);

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		at += n;
		size -= (uint64_t)n;
	}
	return 0;
}

/* As high as the kernel takes it, and above the kernel. */
static int load_initrd(const struct vmm *vmm, const struct kernel_image *image,
                       struct boot_params *params, char *why, size_t why_size)
{
	const char *path = vmm->options.initrd;
	uint64_t top = vmm->memory.low, gpa;
	int fd = open(path, O_RDONLY | O_CLOEXEC), error = 0;
	struct stat st;

	if (fd < 0 || fstat(fd, &st)) {
		error = -errno;
		snprintf(why, why_size, "%s: %s", path, strerror(-error));
		if (fd >= 0)
			close(fd);
		return error;
	}
	if (top > image->initrd_max)
		top = image->initrd_max;
	if ((uint64_t)st.st_size > top ||
	    (gpa = (top - (uint64_t)st.st_size) & ~0xfffull) < image->end) {
		snprintf(why, why_size, "%s: %lld bytes do not fit in the guest's memory", path,
		         (long long)st.st_size);
		error = -ENOMEM;
	} else {
		error = read_initrd(fd, vmm->memory.base + gpa, (uint64_t)st.st_size);
		if (error)
			snprintf(why, why_size, "%s: %s", path, strerror(-error));
		params->hdr.ramdisk_image = (uint32_t)gpa;
		params->hdr.ramdisk_size = (uint32_t)st.st_size;
	}
	close(fd);
	return error;
}

static void add_region(struct boot_params *params, uint64_t from, uint64_t to, uint32_t type)
{
	params->e820_table[params->e820_entries++] =
		(struct boot_e820_entry){ .addr = from, .size = to - from, .type = type };
}

#define E820_RAM_TYPE      1u
#define E820_RESERVED_TYPE 2u

static void fill_memory_map(const struct memory *memory, struct boot_params *params)
{
	add_region(params, 0, VMM_EBDA, E820_RAM_TYPE);
	add_region(params, VMM_EBDA, 0x100000, E820_RESERVED_TYPE);
	add_region(params, 0x100000, memory->low, E820_RAM_TYPE);
	if (memory->high)
		add_region(params, VMM_HIGH_BASE, VMM_HIGH_BASE + memory->high, E820_RAM_TYPE);
}

static void fill_page_tables(const struct memory *memory)
{
	uint64_t *pml4 = memory_at(memory, BOOT_PML4, 4096);
	uint64_t *pdpt = memory_at(memory, BOOT_PDPT, 4096);
	uint64_t *pd = memory_at(memory, BOOT_PD, 4 * 4096);

	pml4[0] = BOOT_PDPT | PAGE_PRESENT_WRITE;
	for (uint64_t i = 0; i < 4; i++)
		pdpt[i] = (BOOT_PD + i * 4096) | PAGE_PRESENT_WRITE;
	for (uint64_t i = 0; i < 4 * 512; i++)
		pd[i] = i << 21 | PAGE_LARGE | PAGE_PRESENT_WRITE;
}

static void fill_gdt(const struct memory *memory)
{
	uint64_t *gdt = memory_at(memory, BOOT_GDT, 4096);

	gdt[BOOT_CS / 8] = 0x00af9b000000ffffull; /* 64-bit code */
	gdt[BOOT_DS / 8] = 0x00cf93000000ffffull; /* flat data */
}

/*
 * All there is of firmware. A kernel on a hardware-reduced machine asks EFI to reset it, and where
 * there is none, the BIOS: it goes back to real mode and jumps to where that would begin (Linux
 * arch/x86/kernel/reboot.c, native_machine_emergency_restart).
 */
static void fill_reset_vector(const struct memory *memory)
{
	static const uint8_t code[] = {
		0xba,
		KMCL_ACPI_RESET_PORT & 0xff,
		KMCL_ACPI_RESET_PORT >> 8, /* mov dx, port */
		0xb0,
		KMCL_ACPI_RESET, /* mov al, value */
		0xee,            /* out dx, al */
		0xf4,
		0xeb,
		0xfd, /* hlt, again */
	};

	memcpy(memory_at(memory, BOOT_RESET_VECTOR, sizeof(code)), code, sizeof(code));
}

static int fill_command(const struct vmm *vmm, const struct kernel_image *image, char *why,
                        size_t why_size)
{
	const char *command = vmm->options.command ? vmm->options.command : "";
	size_t size = strlen(command) + 1, max = BOOT_COMMAND_MAX;
	struct setup_header header = { 0 };

	if (image->header) {
		memcpy(&header, image->header,
		       image->header_size < sizeof(header) ? image->header_size : sizeof(header));
		if (header.cmdline_size < max)
			max = header.cmdline_size + 1;
	}
	if (size > max) {
		snprintf(why, why_size, "the kernel takes a command line of %zu bytes, not of %zu",
		         max - 1, size - 1);
		return -E2BIG;
	}
	memcpy(memory_at(&vmm->memory, BOOT_COMMAND, BOOT_COMMAND_MAX), command, size);
	return 0;
}

int boot_prepare(struct vmm *vmm, const struct kernel_image *image, char *why, size_t why_size)
{
	struct boot_params *params = memory_at(&vmm->memory, BOOT_PARAMS, sizeof(*params));
	size_t size = image->header_size;
	int error;

	if (size > sizeof(params->hdr))
		size = sizeof(params->hdr);
	if (image->header)
		memcpy(&params->hdr, image->header, size);
	params->hdr.type_of_loader = 0xff; /* none that has a number */
	params->hdr.cmd_line_ptr = BOOT_COMMAND;
	params->acpi_rsdp_addr = VMM_ACPI_BASE;
	fill_memory_map(&vmm->memory, params);
	fill_page_tables(&vmm->memory);
	fill_gdt(&vmm->memory);
	fill_reset_vector(&vmm->memory);
	error = fill_command(vmm, image, why, why_size);
	if (!error && vmm->options.initrd)
		error = load_initrd(vmm, image, params, why, why_size);
	vmm->boot = (struct boot){ .entry = image->entry, .boot_params = BOOT_PARAMS };
	return error;
}

static void flat_segment(struct kvm_segment *segment, uint16_t selector, uint8_t type, bool code)
{
	*segment = (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.g = 1,
		.l = code,
		.db = !code,
	};
}

int boot_set_registers(struct processor *processor)
{
	const struct boot *boot = &processor->vmm->boot;
	struct kvm_regs regs = {
		.rip = boot->entry,
		.rsi = boot->boot_params,
		.rsp = BOOT_STACK,
		.rflags = 2,
	};
	struct kvm_sregs sregs;

	if (ioctl(processor->fd, KVM_GET_SREGS, &sregs))
		return -errno;
	flat_segment(&sregs.cs, BOOT_CS, 0xb, true);
	flat_segment(&sregs.ds, BOOT_DS, 0x3, false);
	sregs.es = sregs.fs = sregs.gs = sregs.ss = sregs.ds;
	sregs.gdt.base = BOOT_GDT;
	sregs.gdt.limit = BOOT_DS + 7;
	sregs.cr0 |= CR0_PE_PG;
	sregs.cr3 = BOOT_PML4;
	sregs.cr4 |= CR4_PAE;
	sregs.efer |= EFER_LME_LMA;
	if (ioctl(processor->fd, KVM_SET_SREGS, &sregs) ||
	    ioctl(processor->fd, KVM_SET_REGS, &regs))
		return -errno;
	return 0;
}
