/* SPDX-License-Identifier: BSD-2-Clause */
#include "scsi/image_format.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Where each has its mark:
 *   qcow2, QED   QEMU's docs/interop/qcow2.rst and qed_spec.rst: "QFI\xfb", "QED\0"
 *   VHDX         [MS-VHDX] 2.2.1: "vhdxfile"
 *   VHD          Microsoft's "Virtual Hard Disk Image Format Specification": the cookie "conectix"
 *                begins the footer, the last 512 bytes, and its copy at the start of a dynamic one
 *   VMDK         VMware's "Virtual Disk Format 5.0": "KDMV" of a sparse extent, the first line of a
 *                descriptor; "COWD" of ESX's older ones is in QEMU's block/vmdk.c
 *   VDI          VirtualBox's VDICore.h: 0xbeda107f, little-endian, behind 64 bytes of text
 *   gzip, xz     RFC 1952, 2.3.1; the .xz file format, 2.1.1.1
 *   Zstandard    RFC 8878, 3.1.1
 *   bzip2        behind "BZh" and a digit its first block's, 0x314159265359
 */
#define MARK(at, mark, name, convert, rest) \
	{                                   \
		at, sizeof(mark) - 1, mark, \
		{                           \
			name, convert, rest \
		}                           \
	}
#define QEMU(at, mark, name, format) \
	MARK(at, mark, name, "qemu-img convert -f " format " -O raw", " raw.img")
#define AT_END UINT32_MAX

static const struct {
	uint32_t at; /* AT_END: in the last sector */
	uint32_t length;
	const char *mark;
	struct image_format format;
} known[] = {
	QEMU(0, "QFI\xfb", "a qcow2 image", "qcow2"),
	QEMU(0, "QED\0", "a QED image", "qed"),
	QEMU(0, "vhdxfile", "a VHDX image", "vhdx"),
	QEMU(0, "conectix", "a VHD image", "vpc"),
	QEMU(AT_END, "conectix", "a VHD image", "vpc"),
	QEMU(0, "KDMV", "a VMDK image", "vmdk"),
	QEMU(0, "COWD", "a VMDK image", "vmdk"),
	QEMU(0, "# Disk DescriptorFile", "the descriptor of a VMDK image", "vmdk"),
	QEMU(64, "\x7f\x10\xda\xbe", "a VDI image", "vdi"),
	MARK(0, "\x1f\x8b\x08", "compressed with gzip", "gzip -dc", " >raw.img"),
	MARK(0, "\xfd\x37zXZ\0", "compressed with xz", "xz -dc", " >raw.img"),
	MARK(0, "\x28\xb5\x2f\xfd", "compressed with zstd", "zstd -dc", " >raw.img"),
	MARK(4, "1AY&SY", "compressed with bzip2", "bzip2 -dc", " >raw.img"),
};

/* What is read at once: enough for O_DIRECT, too. */
#define LOOK   4096u
#define SECTOR 512u

struct part {
	uint64_t begin, end; /* of the image, that is read */
	uint8_t *bytes;      /* LOOK of them */
};

static int read_part(int fd, struct part *part, uint64_t begin)
{
	ssize_t n = pread(fd, part->bytes, LOOK, (off_t)begin);

	part->begin = begin;
	part->end = begin + (n > 0 ? (uint64_t)n : 0);
	return n < 0 ? -errno : 0;
}

static const struct image_format *find(const struct part *part, uint64_t size)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		uint64_t at = known[i].at;

		if (at == AT_END)
			at = size >= SECTOR ? size - SECTOR : UINT64_MAX - LOOK;
		if (at >= part->begin && at + known[i].length <= part->end &&
		    !memcmp(part->bytes + (at - part->begin), known[i].mark, known[i].length))
			return &known[i].format;
	}
	return NULL;
}

int image_format_look(int fd, uint64_t size, const struct image_format **format)
{
	struct part part = { .bytes = aligned_alloc(LOOK, LOOK) };
	uint64_t last = size < SECTOR ? 0 : (size - SECTOR) & ~(uint64_t)(LOOK - 1);
	int error = part.bytes ? read_part(fd, &part, 0) : -ENOMEM;

	*format = NULL;
	if (!error)
		*format = find(&part, size);
	if (!error && !*format && last) {
		error = read_part(fd, &part, last);
		if (!error)
			*format = find(&part, size);
	}
	free(part.bytes);
	return error;
}
