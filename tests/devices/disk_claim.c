/* SPDX-License-Identifier: BSD-2-Clause */
/* Images that somebody else uses are refused, also through loop devices and where they are mounted.
 * Where there is root and loop devices, with those; the search in sysfs and mountinfo also with
 * files of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../temporary.h"
#include "scsi/disk_image.h"

#define SIZE (8u << 20)

struct fixture {
	char directory[TEMPORARY_PATH_MAX], image[160], mount[160], loop[32];
	int image_fd;
	bool mounted;
	char why[1024];
};

/* ---- files that look like the kernel's ---- */

static void write_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

/* "a/b/c" below the directory, with its parents. */
static void make_directories(const struct fixture *f, const char *below)
{
	char path[512];
	int n = snprintf(path, sizeof(path), "%s/%s", f->directory, below);

	for (int i = (int)strlen(f->directory) + 1; i <= n; i++) {
		char c = path[i];

		if (c && c != '/')
			continue;
		path[i] = 0;
		mkdir(path, 0755);
		path[i] = c;
	}
}

static void put(const struct fixture *f, const char *below, const char *text)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", f->directory, below);
	write_text(path, text);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	temporary_path(f->directory, sizeof(f->directory), "kmcl-claim-XXXXXX");
	if (!mkdtemp(f->directory))
		return -1;
	snprintf(f->image, sizeof(f->image), "%s/image", f->directory);
	snprintf(f->mount, sizeof(f->mount), "%s/mount", f->directory);
	f->image_fd = open(f->image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return f->image_fd < 0 || ftruncate(f->image_fd, SIZE) || mkdir(f->mount, 0755);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[TEMPORARY_PATH_MAX + 16];
	int fd;

	if (f->mounted)
		umount(f->mount);
	if (*f->loop) {
		fd = open(f->loop, O_RDWR | O_CLOEXEC);
		ioctl(fd, LOOP_CLR_FD, 0);
		close(fd);
	}
	close(f->image_fd);
	snprintf(command, sizeof(command), "rm -rf %s", f->directory);
	free(f);
	return system(command);
}

static void lock_image(const struct fixture *f, short type)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET };

	assert_int_equal(fcntl(f->image_fd, F_OFD_SETLK, &l), 0);
}

static int below(struct fixture *f, unsigned int minor, bool read_only)
{
	struct disk_claim_options options = { .read_only = read_only, .sysfs = f->directory };
	struct disk_claim claim = { .count = 0 };
	int error =
		disk_claim_below(&claim, 7, minor, "the disk", &options, f->why, sizeof(f->why));

	disk_claim_drop(&claim);
	return error;
}

static void what_a_device_lies_on_is_locked_with_it(void **state)
{
	struct fixture *f = *state;
	char text[256];

	snprintf(text, sizeof(text), "%s\n", f->image);
	make_directories(f, "dev/block/7:0/loop");
	put(f, "dev/block/7:0/loop/backing_file", text);
	make_directories(f, "dev/block/7:0/part"); /* a partition of it, as the kernel links it */
	snprintf(text, sizeof(text), "%s/dev/block/7:1", f->directory);
	assert_int_equal(symlink("7:0/part", text), 0);
	make_directories(f, "dev/block/7:2/slaves/loop0/loop"); /* a device mapper on it */
	snprintf(text, sizeof(text), "%s\n", f->image);
	put(f, "dev/block/7:2/slaves/loop0/loop/backing_file", text);
	make_directories(f, "dev/block/7:3"); /* on nothing that is known */

	for (unsigned int minor = 0; minor < 3; minor++) {
		assert_int_equal(below(f, minor, false), 0);
		lock_image(f, F_RDLCK);
		assert_int_equal(below(f, minor, true), 0);
		assert_int_equal(below(f, minor, false), -EBUSY);
		lock_image(f, F_WRLCK);
		assert_int_equal(below(f, minor, true), -EBUSY);
		assert_int_equal(below(f, minor, false), -EBUSY);
		assert_non_null(strstr(f->why, "the disk: its image "));
		assert_non_null(strstr(f->why, f->image));
		assert_non_null(strstr(f->why, "in use by another host"));
		lock_image(f, F_UNLCK);
	}
	lock_image(f, F_WRLCK);
	assert_int_equal(below(f, 3, false), 0);
	assert_int_equal(below(f, 4, false), 0); /* a device of another kind */
	put(f, "dev/block/7:0/loop/backing_file", "/no/such (deleted)\n");
	assert_int_equal(below(f, 0, false), -ENOENT);
	assert_non_null(strstr(f->why, "',force'"));
}

static void mounts_are_found(void **state)
{
	struct fixture *f = *state;
	char path[256], where[64];
	struct disk_claim_options options = { .mountinfo = path };

	snprintf(path, sizeof(path), "%s/mountinfo", f->directory);
	put(f, "mountinfo",
	    "21 1 259:1 / / rw,relatime shared:1 - ext4 /dev/no/such rw\n"
	    "rubbish\n"
	    "22 21 7:5 /sub /srv/data rw - xfs /dev/no/loop5 rw\n");
	assert_true(disk_claim_mounted(7, 5, &options, where, sizeof(where)));
	assert_string_equal(where, "/srv/data");
	assert_true(disk_claim_mounted(259, 1, &options, where, sizeof(where)));
	assert_string_equal(where, "/");
	assert_false(disk_claim_mounted(7, 6, &options, where, sizeof(where)));
}

static void a_file_behind_a_loop_device_in_use_is_found(void **state)
{
	struct fixture *f = *state;
	char path[256], text[256], loop[64];
	struct disk_claim_options options = { .sysfs = f->directory, .mountinfo = path };

	snprintf(path, sizeof(path), "%s/mountinfo", f->directory);
	put(f, "mountinfo", "22 21 7:99 / /srv/data rw - ext4 /dev/no/loop99 rw\n");
	make_directories(f, "block/loop99/loop");
	put(f, "block/loop99/dev", "7:99\n");
	snprintf(text, sizeof(text), "%s\n", f->image);
	put(f, "block/loop99/loop/backing_file", text);
	make_directories(f, "block/sda");
	assert_true(disk_claim_above(f->image_fd, &options, loop, sizeof(loop)));
	assert_string_equal(loop, "/dev/loop99");
	put(f, "mountinfo", "22 21 7:98 / /srv/data rw - ext4 /dev/no/loop98 rw\n");
	assert_false(disk_claim_above(f->image_fd, &options, loop, sizeof(loop)));
	put(f, "mountinfo", "22 21 7:99 / /srv/data rw - ext4 /dev/no/loop99 rw\n");
	put(f, "block/loop99/loop/backing_file", "/etc/passwd\n");
	assert_false(disk_claim_above(f->image_fd, &options, loop, sizeof(loop)));
}

/* ---- real ones ---- */

static int skipped(const char *why)
{
	print_message("# skipped: %s: %s\n", why, strerror(errno));
	return -1;
}

static int attach_once(struct fixture *f)
{
	struct loop_config config = { .fd = (uint32_t)f->image_fd };
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), number, fd, error;

	if (control < 0)
		return skipped("loop devices are needed, and root to make them");
	number = ioctl(control, LOOP_CTL_GET_FREE);
	close(control);
	if (number < 0)
		return skipped("no loop device is free");
	snprintf(f->loop, sizeof(f->loop), "/dev/loop%d", number);
	fd = open(f->loop, O_RDWR | O_CLOEXEC);
	error = fd < 0 || ioctl(fd, LOOP_CONFIGURE, &config) ? errno : 0;
	if (fd >= 0)
		close(fd);
	if (!error)
		return 0;
	*f->loop = 0;
	errno = error;
	return error == EBUSY ? 1 : skipped("the loop device cannot be set up");
}

/* Another test may take the free one. False: there are none here. */
static bool attach(struct fixture *f)
{
	int result, tries = 50;

	do
		result = attach_once(f);
	while (result > 0 && tries-- > 0);
	return !result;
}

static int try_open(struct fixture *f, const char *path, bool read_only, bool force)
{
	struct disk_image_options options = { .read_only = read_only, .force = force };
	struct disk_image image;
	int error = disk_image_open(path, &options, &image, f->why, sizeof(f->why));

	if (!error) {
		/* Else io_uring would not wait for the device. */
		assert_false(fcntl(image.fd, F_GETFL) & O_NONBLOCK);
		disk_image_close(&image);
	}
	return error;
}

static void a_loop_device_over_an_image_in_use_is_refused(void **state)
{
	struct fixture *f = *state;
	struct disk_image_options options = { 0 };
	struct disk_image image;

	if (!attach(f))
		skip();
	assert_int_equal(try_open(f, f->loop, false, false), 0);
	assert_int_equal(disk_image_open(f->image, &options, &image, f->why, sizeof(f->why)), 0);
	assert_int_equal(try_open(f, f->loop, false, false), -EBUSY);
	assert_non_null(strstr(f->why, f->image));
	assert_int_equal(try_open(f, f->loop, true, false), -EBUSY);
	assert_int_equal(try_open(f, f->loop, false, true), 0);
	disk_image_close(&image);
	/* And the other way round, and twice the same. */
	assert_int_equal(disk_image_open(f->loop, &options, &image, f->why, sizeof(f->why)), 0);
	assert_int_equal(try_open(f, f->image, false, false), -EBUSY);
	assert_int_equal(try_open(f, f->image, true, false), -EBUSY);
	assert_int_equal(try_open(f, f->loop, false, false), -EBUSY);
	disk_image_close(&image);
	assert_int_equal(try_open(f, f->image, false, false), 0);
}

static bool mount_loop(struct fixture *f)
{
	char command[TEMPORARY_PATH_MAX + 16];

	/* Nobody else sees the mount. */
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return !skipped("a mount name space is needed");
	snprintf(command, sizeof(command), "PATH=$PATH:/sbin:/usr/sbin mke2fs -q -t ext4 -F %s",
	         f->loop);
	if (system(command))
		return !skipped("mke2fs is needed");
	if (mount(f->loop, f->mount, "ext4", 0, NULL))
		return !skipped("ext4 cannot be mounted");
	f->mounted = true;
	return true;
}

static void a_mounted_device_is_refused_unless_told_otherwise(void **state)
{
	struct fixture *f = *state;

	if (!attach(f) || !mount_loop(f))
		skip();
	assert_int_equal(try_open(f, f->loop, false, false), -EBUSY);
	assert_non_null(strstr(f->why, f->mount));
	assert_non_null(strstr(f->why, "',force'"));
	assert_int_equal(try_open(f, f->image, false, false), -EBUSY); /* what it lies on, too */
	assert_non_null(strstr(f->why, f->loop));
	assert_int_equal(try_open(f, f->loop, true, false), 0);
	assert_int_equal(try_open(f, f->image, true, false), 0);
	assert_int_equal(try_open(f, f->loop, false, true), 0);
	assert_int_equal(try_open(f, f->image, false, true), 0);
	assert_int_equal(umount(f->mount), 0);
	f->mounted = false;
	assert_int_equal(try_open(f, f->loop, false, false), 0);
	assert_int_equal(try_open(f, f->image, false, false), 0);
}

static void while_it_is_served_it_is_not_mounted(void **state)
{
	struct fixture *f = *state;
	struct disk_image_options options = { 0 };
	struct disk_image image;

	if (!attach(f) || !mount_loop(f))
		skip();
	assert_int_equal(umount(f->mount), 0);
	f->mounted = false;
	assert_int_equal(disk_image_open(f->loop, &options, &image, f->why, sizeof(f->why)), 0);
	assert_int_equal(mount(f->loop, f->mount, "ext4", 0, NULL), -1);
	assert_int_equal(errno, EBUSY);
	disk_image_close(&image);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_a_device_lies_on_is_locked_with_it),
		TEST(mounts_are_found),
		TEST(a_file_behind_a_loop_device_in_use_is_found),
		TEST(a_loop_device_over_an_image_in_use_is_refused),
		TEST(a_mounted_device_is_refused_unless_told_otherwise),
		TEST(while_it_is_served_it_is_not_mounted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
