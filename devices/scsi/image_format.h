/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_SCSI_IMAGE_FORMAT_H
#define DEVICES_SCSI_IMAGE_FORMAT_H

/*
 * Images that are not raw, by what they begin or end with. Only to refuse them: what a guest may
 * write to its own raw disk says nothing of what that disk is.
 */

#include <stdint.h>

struct image_format {
	const char *name; /* "a qcow2 image" */
	const char *tool; /* the command before the name of the file that makes a raw one of it; */
	const char *rest; /* and after it */
};

/* 0: what the file or block device of that size has in it is taken for raw, *format is NULL; or it
 * is not. -errno: it cannot be read. The descriptor may have O_DIRECT. */
int image_format_look(int fd, uint64_t size, const struct image_format **format);

#endif
