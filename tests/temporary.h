/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_TEMPORARY_H
#define TESTS_TEMPORARY_H

/* Where tests put their files: $TMPDIR, which scripts/check gives them, and which it finds empty
 * afterwards. */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define TEMPORARY_PATH_MAX 128

static inline const char *temporary_directory(void)
{
	const char *directory = getenv("TMPDIR");

	return directory && *directory ? directory : "/tmp";
}

/* `name` there, into `path`. */
static inline char *temporary_path(char *path, size_t size, const char *name)
{
	snprintf(path, size, "%s/%s", temporary_directory(), name);
	return path;
}

/* A file of so many zeros there, whose name ends as `name` says: mkstemp()'s. */
static inline bool temporary_image(char *path, size_t size, const char *name, off_t bytes)
{
	int fd = mkstemp(temporary_path(path, size, name));
	bool good = fd >= 0 && !ftruncate(fd, bytes);

	if (fd >= 0)
		close(fd);
	return good;
}

/* A URI, or a pattern of one, with what stands behind "unix:/tmp/" there. */
static inline const char *temporary_uri(const char *uri)
{
	static const char usual[] = "unix:/tmp/";
	static char text[256];

	if (strncmp(uri, usual, strlen(usual)))
		return uri;
	snprintf(text, sizeof(text), "unix:%s/%s", temporary_directory(), uri + strlen(usual));
	return text;
}

#endif
