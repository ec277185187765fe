/* SPDX-License-Identifier: BSD-2-Clause */
#include "scsi/disk_claim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define DEPTH_MAX 8u /* loop devices on device mappers on loop devices */

struct search {
	struct disk_claim *claim;
	const char *path;
	const struct disk_claim_options *options;
	char *why;
	size_t why_size;
};

static const char *sysfs(const struct disk_claim_options *o)
{
	return o->sysfs ? o->sysfs : "/sys";
}

/* ---- locks ---- */

/* On the open file, not the process: it is gone when the last descriptor is. */
static int lock(int fd, bool read_only)
{
	struct flock l = { .l_type = read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };

	if (!fcntl(fd, F_OFD_SETLK, &l))
		return 0;
	return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
}

static int lock_file_below(struct search *s, const char *file)
{
	int fd, error;

	if (s->claim->count == DISK_CLAIM_FILES) {
		snprintf(s->why, s->why_size, "%s: it lies on more than %u files", s->path,
		         DISK_CLAIM_FILES);
		return -E2BIG;
	}
	fd = open(file, (s->options->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
	error = fd < 0 ? -errno : lock(fd, s->options->read_only);
	if (!error) {
		s->claim->files[s->claim->count++] = fd;
		return 0;
	}
	if (fd >= 0)
		close(fd);
	if (error == -EBUSY)
		snprintf(s->why, s->why_size, "%s: its image %s is in use by another host", s->path,
		         file);
	else
		snprintf(s->why, s->why_size,
		         "%s: whether its image %s is in use cannot be found out (%s); with "
		         "',force' it is served all the same",
		         s->path, file, strerror(-error));
	return error;
}

/* ---- what a block device lies on ---- */

static bool read_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");
	bool got = file && fgets(line, (int)size, file);

	if (got)
		line[strcspn(line, "\n")] = 0;
	if (file)
		fclose(file);
	return got;
}

static int search_device(struct search *s, const char *directory, unsigned int depth);

static int search_file(struct search *s, const char *file, unsigned int depth)
{
	char directory[PATH_MAX];
	struct stat st;

	if (stat(file, &st) || !S_ISBLK(st.st_mode))
		return lock_file_below(s, file);
	snprintf(directory, sizeof(directory), "%s/dev/block/%u:%u", sysfs(s->options),
	         major(st.st_rdev), minor(st.st_rdev));
	return search_device(s, directory, depth + 1);
}

/* Device mappers and RAIDs name what they lie on. */
static int search_slaves(struct search *s, const char *directory, unsigned int depth)
{
	char path[PATH_MAX], slave[PATH_MAX + NAME_MAX + 2];
	struct dirent *entry;
	int error = 0;
	DIR *slaves;

	snprintf(path, sizeof(path), "%.4000s/slaves", directory);
	slaves = opendir(path);
	while (slaves && !error && (entry = readdir(slaves))) {
		if (*entry->d_name == '.')
			continue;
		snprintf(slave, sizeof(slave), "%s/%s", path, entry->d_name);
		error = search_device(s, slave, depth + 1);
	}
	if (slaves)
		closedir(slaves);
	return error;
}

/* `directory` is the device's in sysfs; a partition's is in its disk's. */
static int search_device(struct search *s, const char *directory, unsigned int depth)
{
	static const char *const places[] = { "loop/backing_file", "../loop/backing_file" };
	char path[PATH_MAX + 32], file[PATH_MAX];
	size_t i;

	if (depth > DEPTH_MAX) {
		snprintf(s->why, s->why_size, "%s: more than %u devices lie on each other", s->path,
		         DEPTH_MAX);
		return -ELOOP;
	}
	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, places[i]);
		if (read_line(path, file, sizeof(file)))
			return search_file(s, file, depth);
	}
	return search_slaves(s, directory, depth);
}

int disk_claim_below(struct disk_claim *claim, unsigned int major, unsigned int minor,
                     const char *path, const struct disk_claim_options *options, char *why,
                     size_t why_size)
{
	struct search s = { claim, path, options, why, why_size };
	char directory[PATH_MAX];
	int error;

	snprintf(directory, sizeof(directory), "%s/dev/block/%u:%u", sysfs(options), major, minor);
	error = search_device(&s, directory, 0);
	if (error)
		disk_claim_drop(claim);
	return error;
}

void disk_claim_drop(struct disk_claim *claim)
{
	while (claim->count)
		close(claim->files[--claim->count]);
}

/* ---- who else uses it ---- */

static bool source_is(const char *source, dev_t device)
{
	struct stat st;

	return *source == '/' && !stat(source, &st) && S_ISBLK(st.st_mode) && st.st_rdev == device;
}

/* A line of mountinfo (man 5 proc): id, parent, major:minor, root, where, ..., "-", type, source.
 */
static bool line_names(char *line, dev_t device, char *where, size_t size)
{
	unsigned int line_major, line_minor;
	char place[PATH_MAX], source[PATH_MAX] = "";
	const char *rest = strstr(line, " - ");

	if (sscanf(line, "%*d %*d %u:%u %*s %4095s", &line_major, &line_minor, place) != 3)
		return false;
	if (rest)
		sscanf(rest, " - %*s %4095s", source);
	if (makedev(line_major, line_minor) != device && !source_is(source, device))
		return false;
	snprintf(where, size, "%s", place);
	return true;
}

bool disk_claim_mounted(unsigned int major, unsigned int minor,
                        const struct disk_claim_options *options, char *where, size_t size)
{
	const char *path = options->mountinfo ? options->mountinfo : "/proc/self/mountinfo";
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t capacity = 0;
	bool found = false;

	while (file && !found && getline(&line, &capacity, file) > 0)
		found = line_names(line, makedev(major, minor), where, size);
	free(line);
	if (file)
		fclose(file);
	return found;
}

/* Does a mounted file system, or somebody who wants it for himself, have the device? */
static bool in_use(const char *name, const struct disk_claim_options *options)
{
	char path[PATH_MAX], where[PATH_MAX];
	unsigned int major, minor;
	char line[32];
	int fd, error;

	snprintf(path, sizeof(path), "%s/block/%s/dev", sysfs(options), name);
	if (!read_line(path, line, sizeof(line)) || sscanf(line, "%u:%u", &major, &minor) != 2)
		return false;
	if (disk_claim_mounted(major, minor, options, where, sizeof(where)))
		return true;
	snprintf(path, sizeof(path), "/dev/%s", name);
	fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK);
	error = errno;
	if (fd >= 0)
		close(fd);
	return fd < 0 && error == EBUSY;
}

static bool is_behind(const struct stat *st, const char *name,
                      const struct disk_claim_options *options)
{
	char path[PATH_MAX], file[PATH_MAX];
	struct stat behind;

	snprintf(path, sizeof(path), "%s/block/%s/loop/backing_file", sysfs(options), name);
	return read_line(path, file, sizeof(file)) && !stat(file, &behind) &&
	       behind.st_dev == st->st_dev && behind.st_ino == st->st_ino;
}

bool disk_claim_above(int fd, const struct disk_claim_options *options, char *loop, size_t size)
{
	char path[PATH_MAX];
	struct dirent *entry;
	bool found = false;
	struct stat st;
	DIR *blocks;

	snprintf(path, sizeof(path), "%s/block", sysfs(options));
	if (fstat(fd, &st))
		return false;
	blocks = opendir(path);
	while (blocks && !found && (entry = readdir(blocks))) {
		found = !strncmp(entry->d_name, "loop", 4) &&
		        is_behind(&st, entry->d_name, options) && in_use(entry->d_name, options);
		if (found)
			snprintf(loop, size, "/dev/%s", entry->d_name);
	}
	if (blocks)
		closedir(blocks);
	return found;
}

/* ---- all together ---- */

static int refuse_device(struct search *s, dev_t device, int error)
{
	char where[1024];

	if (error != EBUSY)
		snprintf(s->why, s->why_size, "%s: %s", s->path, strerror(error));
	else if (disk_claim_mounted(major(device), minor(device), s->options, where, sizeof(where)))
		snprintf(
			s->why, s->why_size,
			"%s: it is mounted on %s, and a guest that writes to it would damage that "
			"file system; unmount it, or serve it with ',ro', or with ',force' all the "
			"same",
			s->path, where);
	else
		snprintf(s->why, s->why_size,
		         "%s: it is in use: a file system, a swap area, another device or another "
		         "host has it, or one of its partitions; with ',force' it is served all "
		         "the same",
		         s->path);
	return -error;
}

/* Opens it anew, for ourselves alone: the kernel says EBUSY where a file system is mounted from it,
 * and keeps any from being mounted while it is open. */
static int claim_device(struct search *s, int *fd, dev_t device)
{
	char self[32];
	int flags = fcntl(*fd, F_GETFL), alone;

	if (s->options->read_only || s->options->force)
		return 0;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", *fd);
	alone = open(self, (flags & (O_ACCMODE | O_DIRECT)) | O_EXCL | O_CLOEXEC | O_NONBLOCK);
	if (alone < 0)
		return refuse_device(s, device, errno);
	close(*fd);
	*fd = alone;
	return 0;
}

static int claim_file(struct search *s, int fd)
{
	char loop[512];

	if (s->options->read_only || s->options->force ||
	    !disk_claim_above(fd, s->options, loop, sizeof(loop)))
		return 0;
	snprintf(
		s->why, s->why_size,
		"%s: it is behind %s, which is in use, perhaps mounted; serve it with ',ro', or with "
		"',force' all the same",
		s->path, loop);
	return -EBUSY;
}

int disk_claim_take(struct disk_claim *claim, int *fd, const char *path,
                    const struct disk_claim_options *options, char *why, size_t why_size)
{
	struct search s = { claim, path, options, why, why_size };
	struct stat st;
	int error;

	claim->count = 0;
	if (fstat(*fd, &st)) {
		snprintf(why, why_size, "%s: %s", path, strerror(errno));
		return -errno;
	}
	error = S_ISBLK(st.st_mode) ? claim_device(&s, fd, st.st_rdev) : claim_file(&s, *fd);
	if (error)
		return error;
	error = lock(*fd, options->read_only);
	if (error) {
		snprintf(why, why_size, "%s: %s", path,
		         error == -EBUSY ? "in use by another host" : strerror(-error));
		return error;
	}
	if (!S_ISBLK(st.st_mode) || options->force)
		return 0;
	return disk_claim_below(claim, major(st.st_rdev), minor(st.st_rdev), path, options, why,
	                        why_size);
}
