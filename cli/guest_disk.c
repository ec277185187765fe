/* SPDX-License-Identifier: BSD-2-Clause */
/* kmcl guest disk: what the disks are, and their data from, to and against files. */
#include "cli.h"
#include "pump.h"
#include "scsi/storvsc.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
	"Usage: kmcl guest --connect URI disk info\n"
	"       kmcl guest --connect URI disk read [OPTION]... FILE\n"
	"       kmcl guest --connect URI disk write [OPTION]... FILE\n"
	"       kmcl guest --connect URI disk verify [OPTION]... (FILE | --sha256 HEX)\n"
	"       kmcl guest --connect URI disk bench [OPTION]...\n"
	"\n"
	"Use the host's disks. FILE may be - for standard output or input.\n"
	"\n"
	"      --disk T:L        target and LUN; default: the first disk there is\n"
	"      --offset N        where to begin; default 0\n"
	"      --length N        how much; default: to the end of the disk, or of FILE\n"
	"  -s, --size N          bytes of a request; default 1M, bench 4k\n"
	"  -d, --depth N         requests in flight; default 4, bench 32\n"
	"      --sha256 HEX      verify: what the range must hash to\n"
	"  -t, --time SECONDS    bench: how long; default 5\n"
	"  -h, --help            this text\n"
	"\n"
	"Numbers may end in k, M, G or T. Offset, length and size are whole blocks.\n";

enum action { INFO, READ, WRITE, VERIFY, BENCH };

struct settings {
	enum action action;
	bool disk_given, length_given;
	struct storvsc_address address;
	uint64_t offset, length, size, depth, seconds;
	const char *sha256, *file;
	bool json;
	struct storvsc *controller;
	struct storvsc_disk disk;
};

/* ---- the command line ---- */

static bool parse_address(const char *text, struct storvsc_address *a)
{
	unsigned int target, lun;
	char rest;

	if (sscanf(text, "%u:%u%c", &target, &lun, &rest) != 2 || target > 255 || lun > 255)
		return false;
	*a = (struct storvsc_address){ (uint8_t)target, (uint8_t)lun };
	return true;
}

static bool parse_hash(const char *text)
{
	return strlen(text) == HASH_TEXT_SIZE - 1 &&
	       strspn(text, "0123456789abcdefABCDEF") == HASH_TEXT_SIZE - 1;
}

enum { DISK = 256, OFFSET, LENGTH, SHA256 };

static bool parse_option(struct settings *s, int c, const char *value)
{
	switch (c) {
	case DISK:
		return s->disk_given = parse_address(value, &s->address);
	case OFFSET:
		return cli_parse_size(value, 0, UINT64_MAX, &s->offset);
	case LENGTH:
		return s->length_given = cli_parse_size(value, 1, UINT64_MAX, &s->length);
	case 's':
		return cli_parse_size(value, 512, 4u << 20, &s->size);
	case 'd':
		return cli_parse_size(value, 1, 1024, &s->depth);
	case 't':
		return cli_parse_size(value, 1, 3600, &s->seconds);
	case SHA256:
		s->sha256 = value;
		return parse_hash(value);
	default:
		return false;
	}
}

static int wrong_value(int c, const char *value)
{
	static const struct {
		int option;
		const char *takes;
	} options[] = {
		{ DISK, "--disk takes TARGET:LUN, such as 0:1" },
		{ OFFSET, "--offset takes a number of bytes, such as 1M" },
		{ LENGTH, "--length takes a number of bytes, such as 1M" },
		{ 's', "--size takes 512 to 4M" },
		{ 'd', "--depth takes 1 to 1024" },
		{ 't', "--time takes 1 to 3600 seconds" },
		{ SHA256, "--sha256 takes 64 hexadecimal digits" },
	};
	size_t i = 0;

	while (options[i].option != c)
		i++;
	return cli_usage("guest disk", "%s, not '%s'", options[i].takes, value);
}

static int parse_action(struct settings *s, const char *name)
{
	static const char *const names[] = { "info", "read", "write", "verify", "bench" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(name, names[i])) {
			s->action = (enum action)i;
			return EXIT_OK;
		}
	}
	return cli_usage("guest disk", "no command '%s'", name);
}

static int check_file(struct settings *s, int left)
{
	bool wants = s->action == READ || s->action == WRITE || (s->action == VERIFY && !s->sha256);

	if (left > (wants ? 1 : 0))
		return cli_usage("guest disk", "too many arguments");
	if (wants && !s->file)
		return cli_usage("guest disk", "a FILE is needed");
	if (s->sha256 && s->action != VERIFY)
		return cli_usage("guest disk", "--sha256 is for verify");
	return EXIT_OK;
}

static int parse(struct settings *s, int argc, char **argv)
{
	static const struct option options[] = {
		{ "disk", required_argument, NULL, DISK },
		{ "offset", required_argument, NULL, OFFSET },
		{ "length", required_argument, NULL, LENGTH },
		{ "size", required_argument, NULL, 's' },
		{ "depth", required_argument, NULL, 'd' },
		{ "time", required_argument, NULL, 't' },
		{ "sha256", required_argument, NULL, SHA256 },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c, code;

	while ((c = getopt_long(argc, argv, ":s:d:t:h", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			exit(cli_end(EXIT_OK));
		}
		if (c == '?' || c == ':')
			return cli_bad_option("guest disk", c, argv);
		if (!parse_option(s, c, optarg))
			return wrong_value(c, optarg);
	}
	if (optind == argc)
		return cli_usage("guest disk", "what shall it do?");
	code = parse_action(s, argv[optind]);
	if (code)
		return code;
	s->file = argv[optind + 1];
	if (!s->size)
		s->size = s->action == BENCH ? 4096 : 1 << 20;
	if (!s->depth)
		s->depth = s->action == BENCH ? 32 : 4;
	return check_file(s, argc - optind - 1);
}

/* ---- which disk, which range ---- */

/* Also what the host answered, in its own words for it. */
static int failed(const struct settings *s, const char *what, NTSTATUS status)
{
	char answer[160] = "";

	if (s->controller)
		storvsc_failure(s->controller, status, answer, sizeof(answer));
	cli_error("%s: %s%s%s", what, cli_status(status), *answer ? "; " : "", answer);
	return EXIT_FAILED;
}

static NTSTATUS identify(struct settings *s, struct storvsc_address address)
{
	char what[64];
	NTSTATUS status;

	snprintf(what, sizeof(what), "what disk %u:%u is", address.target, address.lun);
	patience_wait(what);
	status = storvsc_identify(s->controller, address, &s->disk);
	patience_idle();
	return status;
}

static int choose_disk(struct settings *s)
{
	uint32_t count = 0;
	NTSTATUS status;

	char name[32];

	if (!s->disk_given) {
		patience_wait("the list of the disks");
		status = storvsc_list(s->controller, &s->address, 1, &count);
		patience_idle();
		if (!NT_SUCCESS(status))
			return failed(s, "cannot list the disks", status);
		if (!count) {
			cli_error("the host has no disks");
			return EXIT_FAILED;
		}
	}
	status = identify(s, s->address);
	if (NT_SUCCESS(status))
		return EXIT_OK;
	snprintf(name, sizeof(name), "disk %u:%u", s->address.target, s->address.lun);
	return failed(s, name, status);
}

/* The length where none was given: `file_size` bytes, or, if that is 0, to the end. */
static int check_range(struct settings *s, uint64_t file_size)
{
	uint32_t block = s->disk.block_size;

	if (s->size > storvsc_max_transfer(s->controller))
		s->size = storvsc_max_transfer(s->controller);
	if (s->offset > s->disk.size) {
		cli_error("the disk ends at %llu", (unsigned long long)s->disk.size);
		return EXIT_FAILED;
	}
	if (!s->length_given)
		s->length = file_size ? file_size : s->disk.size - s->offset;
	if (s->length > s->disk.size - s->offset) {
		cli_error("%llu bytes from %llu on are more than the disk's %llu",
		          (unsigned long long)s->length, (unsigned long long)s->offset,
		          (unsigned long long)s->disk.size);
		return EXIT_FAILED;
	}
	if (s->offset % block || s->length % block || s->size % block) {
		cli_error("offset, length and size must be whole blocks of %u bytes", block);
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

/* ---- info ---- */

static void print_disk(struct json *unused, const struct storvsc_disk *d)
{
	printf("disk %u:%u\n\t%s %s, revision %s, serial %s\n\t%llu bytes (%.1f MiB), blocks of "
	       "%u, physically %u\n\t%s, %s\n",
	       d->address.target, d->address.lun, d->vendor, d->product, d->revision, d->serial,
	       (unsigned long long)d->size, (double)d->size / (1 << 20), d->block_size,
	       d->physical_block_size, d->read_only ? "read-only" : "writable",
	       d->discards ? "can discard" : "cannot discard");
}

static void disk_json(struct json *j, const struct storvsc_disk *d)
{
	json_open(j, NULL, '{');
	json_number(j, "target", d->address.target);
	json_number(j, "lun", d->address.lun);
	json_string(j, "vendor", d->vendor);
	json_string(j, "product", d->product);
	json_string(j, "revision", d->revision);
	json_string(j, "serial", d->serial);
	json_number(j, "bytes", d->size);
	json_number(j, "block_size", d->block_size);
	json_number(j, "physical_block_size", d->physical_block_size);
	json_bool(j, "read_only", d->read_only);
	json_bool(j, "discards", d->discards);
	json_close(j, '}');
}

#define MOST_DISKS 512u

/* Tells each of the disks that are there to `tell`. */
static NTSTATUS each_disk(struct settings *s, const struct storvsc_address *list, uint32_t count,
                          void (*tell)(struct json *j, const struct storvsc_disk *d),
                          struct json *j)
{
	for (uint32_t i = 0; i < count && i < MOST_DISKS; i++) {
		NTSTATUS status = identify(s, list[i]);

		if (status == STATUS_NO_SUCH_DEVICE) /* a CD drive, or it is gone already */
			continue;
		if (!NT_SUCCESS(status))
			return status;
		tell(j, &s->disk);
	}
	return STATUS_SUCCESS;
}

static NTSTATUS info_text(struct settings *s, const struct storvsc_address *list, uint32_t count)
{
	uint16_t version = storvsc_version(s->controller);

	printf("SCSI controller, protocol %u.%u, requests up to %u KiB, %u unit%s\n", version >> 8,
	       version & 0xff, storvsc_max_transfer(s->controller) >> 10, count,
	       count == 1 ? "" : "s");
	return each_disk(s, list, count, print_disk, NULL);
}

/* The whole document, or nothing of it. */
static NTSTATUS info_json(struct settings *s, const struct storvsc_address *list, uint32_t count)
{
	uint16_t version = storvsc_version(s->controller);
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	struct json j;
	NTSTATUS status;

	if (!out)
		return STATUS_INSUFFICIENT_RESOURCES;
	json_begin(&j, out);
	json_open(&j, NULL, '{');
	json_number(&j, "protocol_major", version >> 8);
	json_number(&j, "protocol_minor", version & 0xff);
	json_number(&j, "max_transfer", storvsc_max_transfer(s->controller));
	json_open(&j, "disks", '[');
	status = each_disk(s, list, count, disk_json, &j);
	json_close(&j, ']');
	json_close(&j, '}');
	json_end(&j);
	if (fclose(out))
		status = STATUS_INSUFFICIENT_RESOURCES;
	if (NT_SUCCESS(status))
		fputs(text, stdout);
	free(text);
	return status;
}

static int info(struct settings *s)
{
	struct storvsc_address *list = calloc(MOST_DISKS, sizeof(*list));
	uint32_t count = 0;
	NTSTATUS status = STATUS_INSUFFICIENT_RESOURCES;

	patience_wait("the list of the disks");
	if (list)
		status = storvsc_list(s->controller, list, MOST_DISKS, &count);
	patience_idle();
	if (NT_SUCCESS(status))
		status = (s->json ? info_json : info_text)(s, list, count);
	free(list);
	return NT_SUCCESS(status) ? EXIT_OK : failed(s, "cannot identify the disks", status);
}

/* ---- read, write, verify ---- */

struct stream {
	int fd; /* -1: none */
	int error;
	struct hash *hash;
	uint8_t *compare; /* verify: room for a request's worth of the file */
	uint64_t at;
	bool differs; /* first at `at` */
};

static bool read_all(struct stream *t, uint8_t *data, size_t n)
{
	while (n) {
		ssize_t r = read(t->fd, data, n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0) {
			t->error = r < 0 ? errno : ENODATA;
			return false;
		}
		data += r;
		n -= (size_t)r;
	}
	return true;
}

static bool to_file(void *context, uint8_t *buffer, uint32_t n)
{
	struct stream *t = context;

	hash_add(t->hash, buffer, n);
	t->error = -cli_write(t->fd, buffer, n);
	return !t->error;
}

static bool from_file(void *context, uint8_t *buffer, uint32_t n)
{
	struct stream *t = context;

	if (!read_all(t, buffer, n))
		return false;
	hash_add(t->hash, buffer, n);
	return true;
}

static bool against_file(void *context, uint8_t *buffer, uint32_t n)
{
	struct stream *t = context;
	uint32_t i;

	hash_add(t->hash, buffer, n);
	if (t->fd < 0)
		return true;
	if (!read_all(t, t->compare, n))
		return false;
	if (memcmp(buffer, t->compare, n)) {
		for (i = 0; buffer[i] == t->compare[i]; i++)
			;
		t->at += i;
		t->differs = true;
		return false;
	}
	t->at += n;
	return true;
}

static const char *file_name(const struct settings *s)
{
	if (strcmp(s->file, "-") != 0)
		return s->file;
	return s->action == READ ? "standard output" : "standard input";
}

static int open_stream(struct settings *s, struct stream *t, uint64_t *size)
{
	struct stat st;

	*size = 0;
	t->fd = -1;
	t->hash = hash_new();
	t->compare = malloc(s->size);
	if (!t->hash || !t->compare) {
		cli_error("out of memory");
		return EXIT_FAILED;
	}
	if (!s->file)
		return EXIT_OK;
	if (!strcmp(s->file, "-"))
		t->fd = dup(s->action == READ ? STDOUT_FILENO : STDIN_FILENO);
	else if (s->action == READ)
		t->fd = open(s->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	else
		t->fd = open(s->file, O_RDONLY | O_CLOEXEC);
	if (t->fd < 0 || fstat(t->fd, &st)) {
		cli_error("%s: %s", file_name(s), cli_reason(errno));
		return EXIT_FAILED;
	}
	if (s->action != READ && S_ISREG(st.st_mode))
		*size = (uint64_t)st.st_size;
	return EXIT_OK;
}

/* verify: where it differs first; UINT64_MAX: it does not, or only its hash tells. */
static void print_result(const struct settings *s, const struct pump *p, const char *hash,
                         bool same, uint64_t differs_at)
{
	static const char *const verbs[] = { "", "read", "written", "verified" };
	double seconds = (double)p->elapsed_ns / 1e9;
	/* Data on standard output: what there is to say goes to the other one. */
	FILE *file = s->action == READ && !strcmp(s->file, "-") ? stderr : stdout;
	struct json j;

	if (!s->json) {
		fprintf(file, "%llu bytes %s in %.2f s, %.1f MB/s\nsha256 %s\n",
		        (unsigned long long)p->length, verbs[s->action], seconds,
		        (double)p->length / 1e6 / seconds, hash);
		return;
	}
	json_begin(&j, file);
	json_open(&j, NULL, '{');
	json_number(&j, "bytes", p->length);
	json_real(&j, "seconds", seconds);
	json_real(&j, "megabytes_per_second", (double)p->length / 1e6 / seconds);
	if (differs_at == UINT64_MAX)
		json_string(&j, "sha256", hash);
	else
		json_null(&j, "sha256"); /* the rest was not read */
	if (s->action == VERIFY) {
		json_bool(&j, "same", same);
		if (differs_at == UINT64_MAX)
			json_null(&j, "differs_at");
		else
			json_number(&j, "differs_at", differs_at);
	}
	json_close(&j, '}');
	json_end(&j);
}

static int judge(const struct settings *s, const struct stream *t, const struct pump *p,
                 const char *hash)
{
	bool same = !t->differs && (!s->sha256 || !strcasecmp(s->sha256, hash));

	if (t->differs) {
		cli_error("the disk and %s differ at byte %llu", file_name(s),
		          (unsigned long long)(s->offset + t->at));
		if (s->json)
			print_result(s, p, hash, false, s->offset + t->at);
		return EXIT_MISMATCH;
	}
	print_result(s, p, hash, same, UINT64_MAX);
	if (!same) {
		cli_error("its SHA-256 should be %s", s->sha256);
		return EXIT_MISMATCH;
	}
	return EXIT_OK;
}

static int end_write(struct settings *s)
{
	NTSTATUS status;

	patience_wait("what was written to be on stable storage");
	status = storvsc_flush(s->controller, &s->disk);
	patience_idle();
	return NT_SUCCESS(status) ? EXIT_OK : failed(s, "cannot flush", status);
}

static int move(struct settings *s, struct stream *t)
{
	static const char *const what[] = { "", "reading", "writing", "checking" };
	static bool (*const data[])(void *, uint8_t *, uint32_t) = { NULL, to_file, from_file,
		                                                     against_file };
	struct progress progress;
	struct pump p = {
		.kind = s->action == WRITE ? PUMP_WRITE : PUMP_READ,
		.what = s->action == WRITE ? "writes to the disk" : "reads of the disk",
		.controller = s->controller,
		.disk = &s->disk,
		.at = s->offset,
		.length = s->length,
		.chunk = (uint32_t)s->size,
		.depth = (uint32_t)s->depth,
		.data = data[s->action],
		.context = t,
		.progress = &progress,
	};
	char hash[HASH_TEXT_SIZE];
	NTSTATUS status;

	progress_begin(&progress, what[s->action], s->length);
	status = pump_run(&p);
	progress_end(&progress);
	hash_finish(t->hash, hash);
	t->hash = NULL;
	if (!NT_SUCCESS(status))
		return failed(s, "the disk", status);
	if (t->error) {
		cli_error("%s: %s", file_name(s),
		          t->error == ENODATA ? "it is too short" : cli_reason(t->error));
		return EXIT_FAILED;
	}
	if (s->action == WRITE && end_write(s))
		return EXIT_FAILED;
	return judge(s, t, &p, hash);
}

static int transfer(struct settings *s)
{
	struct stream t = { 0 };
	uint64_t file_size;
	char unused[HASH_TEXT_SIZE];
	int code = open_stream(s, &t, &file_size);

	if (!code)
		code = check_range(s, file_size);
	if (!code)
		code = move(s, &t);
	if (t.hash)
		hash_finish(t.hash, unused);
	free(t.compare);
	if (t.fd >= 0 && close(t.fd) && !code) {
		cli_error("%s: %s", file_name(s), cli_reason(errno));
		code = EXIT_FAILED;
	}
	return code;
}

/* ---- bench ---- */

#define MOST_LATENCIES (8u << 20)

static void print_bench(const struct settings *s, const struct pump_bench *b)
{
	double seconds = (double)b->elapsed_ns / 1e9;
	uint64_t n = b->operations < b->capacity ? b->operations : b->capacity;
	struct percentiles p;
	struct json j;

	percentiles_of(b->latencies_ns, n, &p);
	if (!s->json) {
		printf("%llu reads of %u bytes, %u at a time, in %.2f s: %.0f/s, %.1f MB/s\n",
		       (unsigned long long)b->operations, b->size, b->depth, seconds,
		       (double)b->operations / seconds,
		       (double)b->operations * b->size / 1e6 / seconds);
		printf("latency in us: min %.1f, p50 %.1f, p90 %.1f, p99 %.1f, p99.9 %.1f, max "
		       "%.1f\n",
		       p.min, p.p50, p.p90, p.p99, p.p999, p.max);
		return;
	}
	json_begin(&j, stdout);
	json_open(&j, NULL, '{');
	json_number(&j, "reads", b->operations);
	json_number(&j, "size", b->size);
	json_number(&j, "depth", b->depth);
	json_real(&j, "seconds", seconds);
	json_real(&j, "reads_per_second", (double)b->operations / seconds);
	percentiles_json(&j, "latency_us", &p);
	json_close(&j, '}');
	json_end(&j);
}

static int bench(struct settings *s)
{
	struct progress progress;
	struct pump_bench b = {
		.controller = s->controller,
		.disk = &s->disk,
		.size = (uint32_t)s->size,
		.depth = (uint32_t)s->depth,
		.duration_ns = (s->seconds ? s->seconds : 5) * 1000000000u,
		.capacity = MOST_LATENCIES,
		.latencies_ns = calloc(MOST_LATENCIES, sizeof(uint32_t)),
		.progress = &progress,
	};
	NTSTATUS status = STATUS_INSUFFICIENT_RESOURCES;
	int code = check_range(s, 0);

	if (!code) {
		progress_begin(&progress, "reading", b.duration_ns);
		if (b.latencies_ns)
			status = pump_bench(&b);
		progress_end(&progress);
		if (NT_SUCCESS(status))
			print_bench(s, &b);
		else
			code = failed(s, "the disk", status);
	}
	free(b.latencies_ns);
	return code;
}

int guest_disk(struct guest_options *o, int argc, char **argv)
{
	struct settings s = { .json = o->json };
	struct storvsc_options options = { 0 };
	NTSTATUS status;
	int code = parse(&s, argc, argv);

	if (code)
		return code;
	code = guest_connect(o);
	if (code)
		return code;
	options.queue_depth = (uint32_t)s.depth;
	options.timeout_ms = o->timeout_ms;
	patience_say("the SCSI controller to open");
	status = storvsc_open(o->bus, &options, &s.controller);
	patience_idle();
	if (!NT_SUCCESS(status))
		return failed(&s, "the host offers no SCSI controller", status);
	if (s.action != INFO)
		code = choose_disk(&s);
	if (!code) {
		if (s.action == INFO)
			code = info(&s);
		else if (s.action == BENCH)
			code = bench(&s);
		else
			code = transfer(&s);
	}
	patience_wait("the SCSI controller to close");
	storvsc_close(s.controller);
	patience_idle();
	return code;
}
