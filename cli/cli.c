/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

void cli_error(const char *format, ...)
{
	char text[8192]; /* with names of files in it */
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	cli_clean(text, "");
	fprintf(stderr, "kmcl: %s\n", text);
}

int cli_usage(const char *command, const char *format, ...)
{
	char text[8192];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	cli_clean(text, "");
	fprintf(stderr, "kmcl: %s\nTry 'kmcl %s%s--help'.\n", text, command, *command ? " " : "");
	return EXIT_USAGE;
}

int cli_bad_option(const char *command, int c, char **argv)
{
	const char *word = argv[optind - 1];
	/* It is 0 for a long option that is not known, a letter, or what a known long one stands
	 * for. */
	bool is_long = !strncmp(word, "--", 2) && (c == ':' || !optopt || strchr(word, '='));

	if (c == ':' && is_long)
		return cli_usage(command, "%s needs a value", word);
	if (c == ':')
		return cli_usage(command, "-%c needs a value", optopt);
	if (!is_long)
		return cli_usage(command, "no option '-%c'", optopt);
	return optopt ? cli_usage(command, "%s: it takes no value", word)
	              : cli_usage(command, "no option '%s', or several begin so", word);
}

int cli_check_socket(const char *command, const char *option, const char *path)
{
	static const size_t most = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;

	if (!*path)
		return cli_usage(command, "%s: no name", option);
	if (strlen(path) > most)
		return cli_usage(command, "%s: a socket's path has at most %zu characters: '%s'",
		                 option, most, path);
	return EXIT_OK;
}

int cli_check_partition(const char *command, const char *option, const char *uri)
{
	if (!strncmp(uri, "local:", 6))
		return cli_usage(command,
		                 "%s %s: both ends of it are in one process, and this command is "
		                 "one of them: use unix:PATH",
		                 option, uri);
	if (strncmp(uri, "unix:", 5) != 0 || !uri[5])
		return cli_usage(command, "%s takes unix:PATH, not '%s'", option, uri);
	return cli_check_socket(command, option, uri + 5);
}

int cli_end(int code)
{
	bool failed = ferror(stdout);

	errno = 0;
	failed = fflush(stdout) || failed;
	if (!failed)
		return code;
	/* Who went while there was more to read knows that it has not got all. */
	if (errno != EPIPE)
		cli_error("standard output: %s",
		          errno ? strerror(errno) : "not all of it could be written");
	return code ? code : EXIT_FAILED;
}

int cli_write(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t n = write(fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

const char *cli_reason(int error)
{
	if (!error)
		return "the reason is not known";
	return strerror(error < 0 ? -error : error);
}

const char *cli_status(NTSTATUS status)
{
	static const struct {
		NTSTATUS status;
		const char *text;
	} texts[] = {
		{ STATUS_INVALID_PARAMETER, "the request is not valid" },
		{ STATUS_INVALID_PARAMETER_1, "no such partition" },
		{ STATUS_SHARING_VIOLATION, "in use already" },
		{ STATUS_INSUFFICIENT_RESOURCES, "out of memory" },
		{ STATUS_ACCESS_DENIED, "access denied" },
		{ STATUS_OBJECT_NAME_NOT_FOUND, "nobody is host there" },
		{ STATUS_OBJECT_PATH_NOT_FOUND, "there is no such directory" },
		{ STATUS_OBJECT_NAME_COLLISION, "there is one of that name already" },
		{ STATUS_CONNECTION_REFUSED, "the host agreed to no version" },
		{ STATUS_IO_TIMEOUT, "no answer in time" },
		{ STATUS_NO_SUCH_DEVICE, "no such device" },
		{ STATUS_DEVICE_REMOVED, "the channel was closed" },
		{ STATUS_CANCELLED, "cancelled" },
		{ STATUS_DEVICE_DATA_ERROR, "the disk could not be read or written" },
		{ STATUS_MEDIA_WRITE_PROTECTED, "the disk is read-only" },
		{ STATUS_DISK_FULL, "no space left behind the disk" },
		{ STATUS_INVALID_DEVICE_REQUEST, "the disk refused the request" },
		{ STATUS_DEVICE_PROTOCOL_ERROR, "the other end's answer makes no sense" },
		{ STATUS_REVISION_MISMATCH, "no protocol version in common" },
		{ STATUS_DATA_ERROR, "the data came back changed" },
	};
	static _Thread_local char text[96];
	const char *words = "failed";
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (texts[i].status == status)
			words = texts[i].text;
	}
	snprintf(text, sizeof(text), "%s (status 0x%08x)", words, (unsigned int)status);
	return text;
}

bool cli_parse_size(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	static const char units[] = "kMGT";
	const char *unit;
	unsigned int shift = 0;
	char *end;
	unsigned long long n;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno)
		return false;
	if (*end) {
		unit = strchr(units, *end == 'K' ? 'k' : *end);
		if (!unit || end[1])
			return false;
		shift = 10 * (unsigned int)(unit - units + 1);
	}
	if (n > UINT64_MAX >> shift)
		return false;
	*value = (uint64_t)n << shift;
	return *value >= min && *value <= max;
}

void cli_guid(const struct kmcl_guid *g, char text[CLI_GUID_SIZE])
{
	snprintf(text, CLI_GUID_SIZE, "%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x",
	         (unsigned int)g->data1, g->data2, g->data3, g->data4[0], g->data4[1], g->data4[2],
	         g->data4[3], g->data4[4], g->data4[5], g->data4[6], g->data4[7]);
}

uint64_t cli_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void cli_shift(int *argc, char ***argv, int n)
{
	*argc -= n;
	*argv += n;
	optind = 0;
}

/* ---- latencies ---- */

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static double at(const uint32_t *ns, uint64_t count, double fraction)
{
	uint64_t index = (uint64_t)(fraction * (double)(count - 1) + 0.5);

	return (double)ns[index] / 1000;
}

void percentiles_of(uint32_t *ns, uint64_t count, struct percentiles *p)
{
	double sum = 0;
	uint64_t i;

	memset(p, 0, sizeof(*p));
	if (!count)
		return;
	qsort(ns, count, sizeof(*ns), by_value);
	for (i = 0; i < count; i++)
		sum += (double)ns[i] / 1000;
	p->mean = sum / (double)count;
	p->min = at(ns, count, 0);
	p->p50 = at(ns, count, 0.5);
	p->p90 = at(ns, count, 0.9);
	p->p99 = at(ns, count, 0.99);
	p->p999 = at(ns, count, 0.999);
	p->max = at(ns, count, 1);
}

void percentiles_json(struct json *j, const char *key, const struct percentiles *p)
{
	json_open(j, key, '{');
	json_real(j, "min", p->min);
	json_real(j, "p50", p->p50);
	json_real(j, "p90", p->p90);
	json_real(j, "p99", p->p99);
	json_real(j, "p99.9", p->p999);
	json_real(j, "max", p->max);
	json_real(j, "mean", p->mean);
	json_close(j, '}');
}
