/* SPDX-License-Identifier: BSD-2-Clause */
/* Where liburing was not there when the library was built. There is no controller, so nobody has
 * one to call the rest with. */
#include <kmcl/disk.h>

#include <errno.h>
#include <stdio.h>

static int refuse(char *why, size_t why_size)
{
	snprintf(why, why_size, "this kmcl was built without disks (liburing)");
	return -ENOTSUP;
}

int kmcl_scsi_create(struct kmcl_host *host, const struct kmcl_scsi_options *options,
                     struct kmcl_scsi **scsi)
{
	return -ENOTSUP;
}

void kmcl_scsi_destroy(struct kmcl_scsi *scsi)
{
}

int kmcl_scsi_add_disk(struct kmcl_scsi *scsi, uint8_t target, uint8_t lun, const char *path,
                       const struct kmcl_disk_options *options, char *why, size_t why_size)
{
	return refuse(why, why_size);
}

int kmcl_scsi_add_cd(struct kmcl_scsi *scsi, uint8_t target, uint8_t lun, const char *path,
                     const char *serial, char *why, size_t why_size)
{
	return refuse(why, why_size);
}

int kmcl_scsi_remove(struct kmcl_scsi *scsi, uint8_t target, uint8_t lun)
{
	return -ENOTSUP;
}

int kmcl_scsi_insert(struct kmcl_scsi *scsi, uint8_t target, uint8_t lun, const char *path,
                     char *why, size_t why_size)
{
	return refuse(why, why_size);
}

int kmcl_scsi_eject(struct kmcl_scsi *scsi, uint8_t target, uint8_t lun, bool force)
{
	return -ENOTSUP;
}

int kmcl_scsi_resize(struct kmcl_scsi *scsi, uint8_t target, uint8_t lun, uint64_t size, char *why,
                     size_t why_size)
{
	return refuse(why, why_size);
}

int kmcl_scsi_query(struct kmcl_scsi *scsi, uint8_t target, uint8_t lun,
                    struct kmcl_scsi_unit *unit)
{
	return -ENOTSUP;
}

int kmcl_scsi_inject(struct kmcl_scsi *scsi, uint8_t target, uint8_t lun,
                     const struct kmcl_scsi_fault *fault)
{
	return -ENOTSUP;
}

int kmcl_scsi_heal(struct kmcl_scsi *scsi, uint8_t target, uint8_t lun)
{
	return -ENOTSUP;
}

int kmcl_scsi_get_statistics(struct kmcl_scsi *scsi, struct kmcl_scsi_statistics *statistics)
{
	return -ENOTSUP;
}
