/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kmcl demo: a host process serves a disk image with a file system on it; this process, as its
 * guest, reads it whole, writes it to a second disk, verifies both, and says what that took.
 */
#include "cli.h"
#include "echo/echo.h"
#include "pump.h"
#include "scsi/storvsc.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char help[] =
	"Usage: kmcl demo [OPTION]...\n"
	"\n"
	"Make a disk image with an ext4 file system and files, serve it from a host process,\n"
	"read it as a guest with 1 MiB transactions, write it to a copy, and verify both.\n"
	"\n"
	"      --size N       of the image; default 256M\n"
	"      --image FILE   use this raw image (it is not changed) instead of making one\n"
	"      --directory D  where files are made; default $TMPDIR or /tmp\n"
	"      --keep         leave them there\n"
	"      --json         figures for programs\n"
	"  -h, --help         this text\n"
	"\n"
	"Making an image needs mke2fs (package e2fsprogs).\n";

#define CHUNK        (1u << 20)
#define DEPTH        4u
#define SRB_ANSWER   64u /* bytes: the packet comes back with the outcome in it */
#define ECHO_COUNT   50000u
#define RANDOM_NS    1000000000u
#define RANDOM_COUNT (4u << 20)

/* What a phase took, from the guest's end of the channel. */
struct phase {
	uint64_t bytes, elapsed_ns;
	uint32_t answer; /* bytes of a completion's payload */
	struct kmcl_statistics used;
	struct percentiles latency;
};

struct demo {
	uint64_t size;
	const char *image_given, *parent;
	bool keep, json;
	char directory[256], image[320], copy[320], uri[320];
	pid_t host;
	PDEVICE_OBJECT bus;
	struct storvsc *controller;
	struct storvsc_disk source, target;
	struct phase echo, read, write;
	struct pump_bench random[2];
	struct percentiles random_latency[2];
	char read_hash[HASH_TEXT_SIZE], copy_hash[HASH_TEXT_SIZE];
	char image_hash[HASH_TEXT_SIZE], copy_file_hash[HASH_TEXT_SIZE];
};

static int failed(const char *what, NTSTATUS status)
{
	cli_error("%s: %s", what, cli_status(status));
	return EXIT_FAILED;
}

static int failed_errno(const char *what)
{
	cli_error("%s: %s", what, cli_reason(errno));
	return EXIT_FAILED;
}

static void say(const struct demo *d, const char *text)
{
	if (!d->json) {
		printf("%s\n", text);
		fflush(stdout);
	}
}

/* ---- the image ---- */

/* Debian keeps mke2fs where only an administrator's PATH leads. */
static void widen_path(void)
{
	const char *path = getenv("PATH");
	char wide[4096];

	if ((size_t)snprintf(wide, sizeof(wide), "%s:/usr/sbin:/sbin",
	                     path ? path : "/usr/bin:/bin") < sizeof(wide))
		setenv("PATH", wide, 1);
}

/* Runs a program with its output thrown away; its exit status, or -1. */
static int run(char *const argv[])
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, STDOUT_FILENO);
		widen_path();
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static int fill_file(int fd, const char *path, const uint64_t *words, size_t size)
{
	int error = words ? cli_write(fd, words, size) : -ENOMEM;

	if (error)
		cli_error("%s: %s", path, cli_reason(error));
	return error ? EXIT_FAILED : EXIT_OK;
}

static int make_file(const char *directory, unsigned int number, size_t size)
{
	char path[400];
	uint64_t random = 88172645463325252u + number, *words = malloc(size);
	size_t i;
	int fd, code = EXIT_OK;

	snprintf(path, sizeof(path), "%s/file-%03u.bin", directory, number);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	for (i = 0; words && i < size / sizeof(*words); i++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		words[i] = random;
	}
	if (fd < 0)
		code = failed_errno(path);
	else
		code = fill_file(fd, path, words, size);
	if (fd >= 0)
		close(fd);
	free(words);
	return code;
}

/* Files for half of the image: from 4 KiB to 4 MiB each. */
static int make_tree(const struct demo *d, const char *tree)
{
	uint64_t left = d->size / 2;
	unsigned int number = 0;
	int code = EXIT_OK;

	if (mkdir(tree, 0755))
		return failed_errno(tree);
	while (left >= 4096 && !code && number < 1000) {
		size_t size = (size_t)4096 << (number * 7 % 11);

		if (size > left)
			size = 4096;
		code = make_file(tree, number++, size);
		left -= size;
	}
	return code;
}

static void remove_tree(const char *path)
{
	char *const argv[] = { (char[]){ "rm" }, (char[]){ "-rf" }, (char[]){ "--" }, strdup(path),
		               NULL };

	run(argv);
	free(argv[3]);
}

static int make_image(struct demo *d)
{
	char tree[320], kilobytes[32];
	char *const argv[] = { (char[]){ "mke2fs" },
		               (char[]){ "-q" },
		               (char[]){ "-F" },
		               (char[]){ "-t" },
		               (char[]){ "ext4" },
		               (char[]){ "-d" },
		               tree,
		               d->image,
		               kilobytes,
		               NULL };
	int code, status;

	snprintf(tree, sizeof(tree), "%s/files", d->directory);
	snprintf(d->image, sizeof(d->image), "%s/disk.img", d->directory);
	snprintf(kilobytes, sizeof(kilobytes), "%lluk", (unsigned long long)d->size >> 10);
	code = make_tree(d, tree);
	if (code)
		return code;
	status = run(argv);
	remove_tree(tree);
	if (!status)
		return EXIT_OK;
	cli_error(status == 127 ? "mke2fs is not installed (package e2fsprogs)"
	                        : "mke2fs could not make the image");
	return EXIT_FAILED;
}

static int make_copy(struct demo *d)
{
	int fd;

	snprintf(d->copy, sizeof(d->copy), "%s/copy.img", d->directory);
	fd = open(d->copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 || ftruncate(fd, (off_t)d->size))
		return failed_errno(d->copy);
	close(fd);
	return EXIT_OK;
}

static int use_image(struct demo *d)
{
	struct stat st;

	if (stat(d->image_given, &st))
		return failed_errno(d->image_given);
	if (strlen(d->image_given) >= sizeof(d->image)) {
		cli_error("%s: the name is too long", d->image_given);
		return EXIT_FAILED;
	}
	strcpy(d->image, d->image_given);
	d->size = (uint64_t)st.st_size;
	return EXIT_OK;
}

static int make_files(struct demo *d)
{
	int code;

	snprintf(d->directory, sizeof(d->directory), "%s/kmcl-demo-XXXXXX", d->parent);
	if (!mkdtemp(d->directory)) {
		*d->directory = 0;
		return failed_errno(d->parent);
	}
	snprintf(d->uri, sizeof(d->uri), "unix:%s/vmbus", d->directory);
	say(d, d->image_given ? "using the image ..." : "making an ext4 image with files ...");
	code = d->image_given ? use_image(d) : make_image(d);
	return code ? code : make_copy(d);
}

/* ---- the host ---- */

static void exec_host(struct demo *d)
{
	char source[400], program[4096];
	ssize_t length = readlink("/proc/self/exe", program, sizeof(program));
	char *const argv[] = { (char[]){ "kmcl" },     (char[]){ "host" },
		               (char[]){ "--listen" }, d->uri,
		               (char[]){ "--disk" },   source,
		               (char[]){ "--disk" },   d->copy,
		               (char[]){ "--echo" },   NULL };

	snprintf(source, sizeof(source), "%s,ro", d->image);
	/* By its name: under valgrind the link itself leads to valgrind. */
	if (length > 0 && (size_t)length < sizeof(program)) {
		program[length] = 0;
		execv(program, argv);
	}
	_exit(127);
}

/* Returns when the host says that it listens. */
static int start_host(struct demo *d)
{
	char line[512] = "";
	FILE *output;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return failed_errno("pipe");
	d->host = fork();
	if (!d->host) {
		dup2(fds[1], STDOUT_FILENO);
		exec_host(d);
	}
	close(fds[1]);
	output = fdopen(fds[0], "r");
	if (d->host < 0 || !output || !fgets(line, sizeof(line), output) ||
	    strncmp(line, "listening on ", 13)) {
		cli_error("the host did not start");
		return EXIT_FAILED;
	}
	/* Its last words go nowhere; it ignores SIGPIPE. */
	fclose(output);
	return EXIT_OK;
}

static void stop_host(struct demo *d)
{
	if (d->host > 0) {
		kill(d->host, SIGTERM);
		waitpid(d->host, NULL, 0);
	}
}

/* ---- the guest ---- */

static int connect_guest(struct demo *d)
{
	struct storvsc_options options = { .queue_depth = 64 };
	NTSTATUS status = kmcl_guest_open(d->uri, &d->bus);

	if (!NT_SUCCESS(status))
		return failed(d->uri, status);
	status = storvsc_open(d->bus, &options, &d->controller);
	if (!NT_SUCCESS(status))
		return failed("SCSI controller", status);
	status = storvsc_identify(d->controller, (struct storvsc_address){ 0, 0 }, &d->source);
	if (NT_SUCCESS(status))
		status = storvsc_identify(d->controller, (struct storvsc_address){ 0, 1 },
		                          &d->target);
	return NT_SUCCESS(status) ? EXIT_OK : failed("disks", status);
}

static void statistics_now(VMBCHANNEL channel, struct kmcl_statistics *s)
{
	struct kmcl_channel_info info;

	kmcl_channel_info(channel, &info);
	*s = info.statistics;
}

/* What was counted since `used` was taken. */
static void statistics_since(VMBCHANNEL channel, struct kmcl_statistics *used)
{
	struct kmcl_statistics before = *used, now;

	statistics_now(channel, &now);
	used->packets_in = now.packets_in - before.packets_in;
	used->packets_out = now.packets_out - before.packets_out;
	used->bytes_in = now.bytes_in - before.bytes_in;
	used->bytes_out = now.bytes_out - before.bytes_out;
	used->completions_in = now.completions_in - before.completions_in;
	used->completions_out = now.completions_out - before.completions_out;
	used->signals_in = now.signals_in - before.signals_in;
	used->signals_out = now.signals_out - before.signals_out;
	used->external_bytes = now.external_bytes - before.external_bytes;
	used->bounced_bytes = now.bounced_bytes - before.bounced_bytes;
}

static int measure_echo(struct demo *d)
{
	struct echo_run run = {
		.operation = ECHO_ECHO, .size = 64, .depth = 1, .count = ECHO_COUNT
	};
	struct echo *echo;
	NTSTATUS status;

	run.latencies_ns = calloc(run.count, sizeof(uint32_t));
	status = run.latencies_ns ? echo_open(d->bus, NULL, 0, &echo)
	                          : STATUS_INSUFFICIENT_RESOURCES;
	if (!NT_SUCCESS(status)) {
		free(run.latencies_ns);
		return failed("echo", status);
	}
	say(d, "round trips through the echo service ...");
	statistics_now(echo_channel(echo), &d->echo.used);
	status = echo_run(echo, &run);
	statistics_since(echo_channel(echo), &d->echo.used);
	echo_close(echo);
	percentiles_of(run.latencies_ns, run.count, &d->echo.latency);
	free(run.latencies_ns);
	d->echo.bytes = 2ull * run.count * run.size;
	d->echo.answer = run.size;
	d->echo.elapsed_ns = run.elapsed_ns;
	if (NT_SUCCESS(status) && run.mismatches)
		status = STATUS_DATA_ERROR;
	return NT_SUCCESS(status) ? EXIT_OK : failed("echo", status);
}

static int measure_pump(struct demo *d, enum pump_kind kind, const char *what, struct phase *phase)
{
	struct progress progress;
	struct pump p = {
		.kind = kind,
		.what = what,
		.controller = d->controller,
		.disk = &d->source,
		.to = &d->target,
		.length = d->size,
		.chunk = CHUNK,
		.depth = DEPTH,
		.progress = &progress,
	};
	NTSTATUS status = STATUS_INSUFFICIENT_RESOURCES;

	p.latencies_ns = calloc(pump_requests(&p), sizeof(uint32_t));
	statistics_now(storvsc_channel(d->controller), &phase->used);
	progress_begin(&progress, what, d->size);
	if (p.latencies_ns)
		status = pump_run(&p);
	if (NT_SUCCESS(status) && kind == PUMP_COPY)
		status = storvsc_flush(d->controller, &d->target);
	progress_end(&progress);
	statistics_since(storvsc_channel(d->controller), &phase->used);
	phase->bytes = d->size;
	phase->answer = SRB_ANSWER;
	phase->elapsed_ns = p.elapsed_ns;
	percentiles_of(p.latencies_ns, pump_requests(&p), &phase->latency);
	free(p.latencies_ns);
	return NT_SUCCESS(status) ? EXIT_OK : failed(what, status);
}

static bool add_to_hash(void *context, uint8_t *buffer, uint32_t n)
{
	hash_add(context, buffer, n);
	return true;
}

static int hash_disk(struct demo *d, const struct storvsc_disk *disk, char text[HASH_TEXT_SIZE])
{
	struct progress progress;
	struct pump p = {
		.kind = PUMP_READ,
		.what = "hashing",
		.controller = d->controller,
		.disk = disk,
		.length = d->size,
		.chunk = CHUNK,
		.depth = DEPTH,
		.data = add_to_hash,
		.context = hash_new(),
		.progress = &progress,
	};
	NTSTATUS status = STATUS_INSUFFICIENT_RESOURCES;

	if (p.context) {
		progress_begin(&progress, "hashing", d->size);
		status = pump_run(&p);
		progress_end(&progress);
		hash_finish(p.context, text);
	}
	return NT_SUCCESS(status) ? EXIT_OK : failed("hashing", status);
}

/* Both disks as the guest reads them, and both files as they are. */
static int verify(struct demo *d)
{
	int code = hash_disk(d, &d->source, d->read_hash), error;

	if (!code)
		code = hash_disk(d, &d->target, d->copy_hash);
	if (code)
		return code;
	error = hash_file(d->image, d->image_hash);
	if (!error)
		error = hash_file(d->copy, d->copy_file_hash);
	if (error) {
		cli_error("%s or %s: %s", d->image, d->copy, cli_reason(error));
		return EXIT_FAILED;
	}
	if (strcmp(d->image_hash, d->read_hash) || strcmp(d->image_hash, d->copy_hash) ||
	    strcmp(d->image_hash, d->copy_file_hash)) {
		cli_error("SHA-256 differ: image %s, read %s, copy read %s, copy %s", d->image_hash,
		          d->read_hash, d->copy_hash, d->copy_file_hash);
		return EXIT_MISMATCH;
	}
	return EXIT_OK;
}

static int measure_random(struct demo *d, unsigned int which, uint32_t depth)
{
	struct pump_bench *b = &d->random[which];
	NTSTATUS status = STATUS_INSUFFICIENT_RESOURCES;
	uint64_t n;

	*b = (struct pump_bench){
		.controller = d->controller,
		.disk = &d->source,
		.size = 4096,
		.depth = depth,
		.duration_ns = RANDOM_NS,
		.capacity = RANDOM_COUNT,
		.latencies_ns = calloc(RANDOM_COUNT, sizeof(uint32_t)),
	};
	if (b->latencies_ns)
		status = pump_bench(b);
	n = b->operations < b->capacity ? b->operations : b->capacity;
	percentiles_of(b->latencies_ns, n, &d->random_latency[which]);
	free(b->latencies_ns);
	b->latencies_ns = NULL;
	return NT_SUCCESS(status) ? EXIT_OK : failed("random reads", status);
}

static int guest(struct demo *d)
{
	int code = connect_guest(d);

	if (!code)
		code = measure_echo(d);
	if (!code) {
		say(d, "reading the disk, 1 MiB a transaction ...");
		code = measure_pump(d, PUMP_READ, "reading", &d->read);
	}
	if (!code) {
		say(d, "writing it to a second disk ...");
		code = measure_pump(d, PUMP_COPY, "copying", &d->write);
	}
	if (!code) {
		say(d, "verifying both ...");
		code = verify(d);
	}
	if (!code) {
		say(d, "random reads of 4 KiB ...");
		code = measure_random(d, 0, 1);
	}
	if (!code)
		code = measure_random(d, 1, 32);
	if (d->controller)
		storvsc_close(d->controller);
	if (d->bus)
		kmcl_guest_close(d->bus);
	return code;
}

/* ---- figures ---- */

static double rate(uint64_t n, uint64_t ns)
{
	return ns ? (double)n * 1e9 / (double)ns : 0;
}

static double signals_per_packet(const struct kmcl_statistics *s)
{
	uint64_t packets = s->packets_out + s->packets_in + s->completions_in + s->completions_out;

	return packets ? (double)(s->signals_in + s->signals_out) / (double)packets : 0;
}

/* Payloads in the ring, the answers' too, and what had to be copied into shared memory. */
static uint64_t copied(const struct phase *p)
{
	const struct kmcl_statistics *s = &p->used;

	return s->bytes_in + s->bytes_out + s->completions_in * p->answer + s->bounced_bytes;
}

static uint64_t by_reference(const struct kmcl_statistics *s)
{
	return s->external_bytes - s->bounced_bytes;
}

static void print_phase(const char *name, const struct phase *p)
{
	printf("%-18s %9.1f MB/s %9.1f %9.1f %9.1f us %7.3f %14llu %14llu\n", name,
	       rate(p->bytes, p->elapsed_ns) / 1e6, p->latency.p50, p->latency.p99, p->latency.max,
	       signals_per_packet(&p->used), (unsigned long long)copied(p),
	       (unsigned long long)by_reference(&p->used));
}

static void print_text(const struct demo *d)
{
	unsigned int i;

	printf("\n%-18s %14s %9s %9s %12s %7s %14s %14s\n", "", "throughput", "p50", "p99", "max",
	       "signals", "bytes copied", "by reference");
	printf("%-18s %14s %9s %9s %12s %7s %14s %14s\n", "", "", "", "", "", "/packet",
	       "in the ring", "");
	print_phase("echo, 64 bytes", &d->echo);
	print_phase("read, 1 MiB", &d->read);
	print_phase("copy, 1 MiB", &d->write);
	for (i = 0; i < 2; i++)
		printf("read, 4 KiB x %-3u  %9.0f IOPS %9.1f %9.1f %9.1f us\n", d->random[i].depth,
		       rate(d->random[i].operations, d->random[i].elapsed_ns),
		       d->random_latency[i].p50, d->random_latency[i].p99,
		       d->random_latency[i].max);
	printf("\nsha256 %s\nthe image, what the guest read, the copy and what it read of that: "
	       "the same\n",
	       d->image_hash);
}

static void phase_json(struct json *j, const char *key, const struct phase *p)
{
	json_open(j, key, '{');
	json_number(j, "bytes", p->bytes);
	json_real(j, "megabytes_per_second", rate(p->bytes, p->elapsed_ns) / 1e6);
	percentiles_json(j, "latency_us", &p->latency);
	json_number(j, "packets", p->used.packets_out);
	json_real(j, "signals_per_packet", signals_per_packet(&p->used));
	json_number(j, "bytes_copied", copied(p));
	json_number(j, "bytes_by_reference", by_reference(&p->used));
	json_close(j, '}');
}

static void print_json(const struct demo *d)
{
	struct json j;
	unsigned int i;

	json_begin(&j, stdout);
	json_open(&j, NULL, '{');
	if (d->keep)
		json_string(&j, "directory", d->directory);
	else
		json_null(&j, "directory");
	json_number(&j, "image_bytes", d->size);
	json_string(&j, "sha256", d->image_hash);
	phase_json(&j, "echo", &d->echo);
	phase_json(&j, "read", &d->read);
	phase_json(&j, "copy", &d->write);
	json_open(&j, "random_reads", '[');
	for (i = 0; i < 2; i++) {
		json_open(&j, NULL, '{');
		json_number(&j, "size", d->random[i].size);
		json_number(&j, "depth", d->random[i].depth);
		json_real(&j, "reads_per_second",
		          rate(d->random[i].operations, d->random[i].elapsed_ns));
		percentiles_json(&j, "latency_us", &d->random_latency[i]);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_close(&j, '}');
	json_end(&j);
}

static int parse(struct demo *d, int argc, char **argv)
{
	enum { SIZE = 256, IMAGE, DIRECTORY, KEEP, JSON };
	static const struct option options[] = {
		{ "size", required_argument, NULL, SIZE },
		{ "image", required_argument, NULL, IMAGE },
		{ "directory", required_argument, NULL, DIRECTORY },
		{ "keep", no_argument, NULL, KEEP },
		{ "json", no_argument, NULL, JSON },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (c) {
		case SIZE:
			if (!cli_parse_size(optarg, 8u << 20, 1ull << 40, &d->size) ||
			    d->size % CHUNK)
				return cli_usage("demo", "--size takes whole MiB, 8M or more");
			break;
		case IMAGE:
			d->image_given = optarg;
			break;
		case DIRECTORY:
			d->parent = optarg;
			break;
		case KEEP:
			d->keep = true;
			break;
		case JSON:
			d->json = true;
			break;
		case 'h':
			fputs(help, stdout);
			exit(cli_end(EXIT_OK));
		default:
			return cli_bad_option("demo", c, argv);
		}
	}
	if (optind < argc)
		return cli_usage("demo", "no use for '%s'", argv[optind]);
	return EXIT_OK;
}

int demo_main(int argc, char **argv)
{
	const char *parent = getenv("TMPDIR");
	struct demo d = { .size = 256u << 20, .parent = parent ? parent : "/tmp" };
	int code = parse(&d, argc, argv);

	if (code)
		return code;
	code = make_files(&d);
	if (!code)
		code = start_host(&d);
	if (!code)
		code = guest(&d);
	stop_host(&d);
	if (!code && d.json)
		print_json(&d);
	else if (!code)
		print_text(&d);
	if (d.keep)
		say(&d, d.directory);
	else if (*d.directory)
		remove_tree(d.directory);
	return code;
}
