/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Kernel files: a bzImage (Linux Documentation/x86/boot.rst) or a 64-bit ELF kernel. Both are
 * entered in 64-bit mode, with the address of the boot parameters in RSI.
 */

#include "machine.h"

#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SETUP_HEADER_AT 0x1f1u
#define SETUP_MAGIC     0x53726448u /* "HdrS" */
#define SETUP_VERSION   0x020cu     /* the first with a 64-bit entry */
#define SETUP_SECTOR    512u
#define ENTRY_64        0x200u
#define ELF_INITRD_MAX  0x37ffffffull /* what boot.rst says for those that do not say */
#define KERNEL_FILE_MAX (1ull << 30)

struct file {
	const uint8_t *bytes;
	uint64_t size;
};

static int file_open(const char *path, struct file *file, char *why, size_t why_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), error = 0;
	struct stat st;
	void *bytes = MAP_FAILED;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
		bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	else if (fd >= 0)
		errno = EINVAL;
	if (bytes == MAP_FAILED) {
		error = -errno;
		snprintf(why, why_size, "%s: %s", path,
		         error == -EINVAL ? "not a file with anything in it" : strerror(-error));
	} else {
		file->bytes = bytes;
		file->size = (uint64_t)st.st_size;
	}
	if (fd >= 0)
		close(fd);
	return error;
}

static void file_close(struct file *file)
{
	munmap((void *)(uintptr_t)file->bytes, file->size);
}

static int no_room(const char *path, uint64_t gpa, uint64_t size, char *why, size_t why_size)
{
	snprintf(why, why_size,
	         "%s: needs %llu bytes from %#llx on, where the guest has no such memory", path,
	         (unsigned long long)size, (unsigned long long)gpa);
	return -ENOMEM;
}

static int load_bzimage(const char *path, const struct file *file, const struct memory *memory,
                        struct kernel_image *image, char *why, size_t why_size)
{
	struct setup_header header;
	uint64_t setup, size, end, room;
	uint8_t *at;

	memcpy(&header, file->bytes + SETUP_HEADER_AT, sizeof(header));
	if (header.version < SETUP_VERSION || !(header.xloadflags & XLF_KERNEL_64)) {
		snprintf(why, why_size,
		         "%s: a kernel without a 64-bit entry (boot protocol %x.%02x)", path,
		         header.version >> 8, header.version & 0xffu);
		return -ENOEXEC;
	}
	setup = (uint64_t)((header.setup_sects ? header.setup_sects : 4) + 1) * SETUP_SECTOR;
	if (setup >= file->size) {
		snprintf(why, why_size,
		         "%s: ends within its setup: expected more than %llu bytes, "
		         "got %llu",
		         path, (unsigned long long)setup, (unsigned long long)file->size);
		return -ENOEXEC;
	}
	size = file->size - setup;
	room = header.init_size > size ? header.init_size : size;
	at = memory_at(memory, header.pref_address, room);
	if (!at)
		return no_room(path, header.pref_address, room, why, why_size);
	memcpy(at, file->bytes + setup, size);
	/* All of the header, as far as it says itself (boot.rst, "jump"). */
	end = 0x202u + file->bytes[0x201];
	image->header_size = end - SETUP_HEADER_AT;
	image->header = malloc(image->header_size);
	if (!image->header)
		return -ENOMEM;
	memcpy(image->header, file->bytes + SETUP_HEADER_AT, image->header_size);
	image->entry = header.pref_address + ENTRY_64;
	image->end = header.pref_address + room;
	image->initrd_max = header.initrd_addr_max;
	return 0;
}

static int load_segment(const char *path, const struct file *file, const Elf64_Phdr *segment,
                        const struct memory *memory, struct kernel_image *image, char *why,
                        size_t why_size)
{
	uint8_t *at;

	if (segment->p_offset > file->size || segment->p_filesz > file->size - segment->p_offset ||
	    segment->p_filesz > segment->p_memsz) {
		snprintf(why, why_size, "%s: a segment lies outside of the file", path);
		return -ENOEXEC;
	}
	at = memory_at(memory, segment->p_paddr, segment->p_memsz);
	if (!at)
		return no_room(path, segment->p_paddr, segment->p_memsz, why, why_size);
	memcpy(at, file->bytes + segment->p_offset, segment->p_filesz);
	memset(at + segment->p_filesz, 0, segment->p_memsz - segment->p_filesz);
	if (segment->p_paddr + segment->p_memsz > image->end)
		image->end = segment->p_paddr + segment->p_memsz;
	return 0;
}

static int load_elf(const char *path, const struct file *file, const struct memory *memory,
                    struct kernel_image *image, char *why, size_t why_size)
{
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	int error = 0;

	memcpy(&header, file->bytes, sizeof(header));
	if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64 ||
	    header.e_phentsize != sizeof(segment) || header.e_phoff > file->size ||
	    header.e_phnum > (file->size - header.e_phoff) / sizeof(segment)) {
		snprintf(why, why_size, "%s: an ELF file, but not of a 64-bit x86 kernel", path);
		return -ENOEXEC;
	}
	for (unsigned int i = 0; i < header.e_phnum && !error; i++) {
		memcpy(&segment, file->bytes + header.e_phoff + i * sizeof(segment),
		       sizeof(segment));
		if (segment.p_type == PT_LOAD && segment.p_memsz)
			error = load_segment(path, file, &segment, memory, image, why, why_size);
	}
	image->entry = header.e_entry;
	image->initrd_max = ELF_INITRD_MAX;
	return error;
}

static bool is_bzimage(const struct file *file)
{
	uint32_t magic;

	if (file->size < 0x202 + 256)
		return false;
	memcpy(&magic, file->bytes + 0x202, sizeof(magic));
	return magic == SETUP_MAGIC;
}

static bool is_elf(const struct file *file)
{
	return file->size > sizeof(Elf64_Ehdr) && memcmp(file->bytes, ELFMAG, SELFMAG) == 0;
}

int kernel_load(const char *path, const struct memory *memory, struct kernel_image *image,
                char *why, size_t why_size)
{
	struct file file = { 0 };
	int error = file_open(path, &file, why, why_size);

	memset(image, 0, sizeof(*image));
	if (error)
		return error;
	if (file.size > KERNEL_FILE_MAX) {
		snprintf(why, why_size, "%s: larger than a kernel can be", path);
		error = -ENOEXEC;
	} else if (is_bzimage(&file)) {
		error = load_bzimage(path, &file, memory, image, why, why_size);
	} else if (is_elf(&file)) {
		error = load_elf(path, &file, memory, image, why, why_size);
	} else {
		snprintf(why, why_size, "%s: neither a bzImage nor an ELF kernel", path);
		error = -ENOEXEC;
	}
	file_close(&file);
	return error;
}
