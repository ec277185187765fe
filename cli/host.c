/* SPDX-License-Identifier: BSD-2-Clause */
/* kmcl host: offers disks and an echo service until it is told to stop. */
#include "cli.h"
#include "echo.h"
#include "storvsp.h"

#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
	"Usage: kmcl host --listen URI [--disk IMAGE[,OPTION]...]... [--echo]\n"
	"\n"
	"Be the host of the guest behind URI until SIGINT or SIGTERM.\n"
	"\n"
	"  -l, --listen URI      unix:PATH: a guest process connects there\n"
	"  -d, --disk IMAGE      serve a raw disk image; may be given again. After the name:\n"
	"                          ,ro          read-only\n"
	"                          ,cd          a disc, in a DVD-ROM drive\n"
	"                          ,direct      past the page cache\n"
	"                          ,target=N    0 or 1; default 0\n"
	"                          ,lun=N       0 to 63; default the next one\n"
	"                          ,serial=TEXT its serial number\n"
	"                          ,block=N     512 (default) or 4096 bytes\n"
	"  -e, --echo            offer the echo service\n"
	"      --subchannels N   the most a disk driver may ask for, 0 to 16; default 4\n"
	"      --queue-depth N   requests in flight per channel, a power of two; default 256\n"
	"      --json            statistics at the end as JSON\n"
	"  -q, --quiet           say nothing unless it fails\n"
	"  -h, --help            this text\n"
	"\n"
	"'listening on URI' on standard output says that a guest may come.\n";

#define MAX_DISKS 128u

struct disk_spec {
	char path[4096];
	char serial[37];
	uint64_t target, lun;
	bool lun_given, cd;
	struct storvsp_disk_options options;
};

struct host {
	const char *listen;
	struct disk_spec *disks;
	uint32_t disk_count;
	bool echo, json, quiet;
	uint64_t subchannels, queue_depth;
	HANDLE vmbus;
	struct storvsp *scsi;
	struct echo_service *echo_service;
};

/* ---- the command line ---- */

static bool disk_option(struct disk_spec *d, const char *option)
{
	uint64_t block;

	if (!strcmp(option, "ro"))
		return d->options.read_only = true;
	if (!strcmp(option, "cd"))
		return d->cd = true;
	if (!strcmp(option, "direct"))
		return d->options.direct = true;
	if (!strncmp(option, "target=", 7))
		return cli_parse_size(option + 7, 0, STORVSP_TARGETS - 1, &d->target);
	if (!strncmp(option, "lun=", 4))
		return d->lun_given = cli_parse_size(option + 4, 0, STORVSP_LUNS - 1, &d->lun);
	if (!strncmp(option, "block=", 6)) {
		if (!cli_parse_size(option + 6, 512, 4096, &block))
			return false;
		d->options.block_size = (uint32_t)block;
		return true;
	}
	if (!strncmp(option, "serial=", 7) && option[7] && strlen(option + 7) < sizeof(d->serial)) {
		strcpy(d->serial, option + 7);
		return true;
	}
	return false;
}

static int add_disk_spec(struct host *h, const char *text)
{
	struct disk_spec *d = &h->disks[h->disk_count];
	char *option, *rest;

	if (h->disk_count == MAX_DISKS)
		return cli_usage("host", "more than %u disks", MAX_DISKS);
	if (strlen(text) >= sizeof(d->path))
		return cli_usage("host", "--disk: the name is too long");
	memset(d, 0, sizeof(*d));
	strcpy(d->path, text);
	rest = strchr(d->path, ',');
	if (rest)
		*rest++ = 0;
	while ((option = strsep(&rest, ","))) {
		if (!disk_option(d, option))
			return cli_usage("host", "--disk %s: not an option: '%s'", d->path, option);
	}
	if (!*d->path)
		return cli_usage("host", "--disk: no image");
	h->disk_count++;
	return EXIT_OK;
}

static int parse(struct host *h, int argc, char **argv)
{
	enum { SUBCHANNELS = 256, DEPTH, JSON };
	static const struct option options[] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "disk", required_argument, NULL, 'd' },
		{ "echo", no_argument, NULL, 'e' },
		{ "subchannels", required_argument, NULL, SUBCHANNELS },
		{ "queue-depth", required_argument, NULL, DEPTH },
		{ "json", no_argument, NULL, JSON },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c, code;

	while ((c = getopt_long(argc, argv, "l:d:eqh", options, NULL)) != -1) {
		switch (c) {
		case 'l':
			h->listen = optarg;
			break;
		case 'd':
			code = add_disk_spec(h, optarg);
			if (code)
				return code;
			break;
		case 'e':
			h->echo = true;
			break;
		case SUBCHANNELS:
			if (!cli_parse_size(optarg, 0, STORVSP_SUBCHANNELS, &h->subchannels))
				return cli_usage("host", "--subchannels takes 0 to %u",
				                 STORVSP_SUBCHANNELS);
			break;
		case DEPTH:
			if (!cli_parse_size(optarg, 1, 4096, &h->queue_depth) ||
			    h->queue_depth & (h->queue_depth - 1))
				return cli_usage("host",
				                 "--queue-depth takes a power of two up to 4096");
			break;
		case JSON:
			h->json = true;
			break;
		case 'q':
			h->quiet = true;
			break;
		case 'h':
			fputs(help, stdout);
			exit(EXIT_OK);
		default:
			return cli_usage("host", "that is no option of it");
		}
	}
	if (optind < argc)
		return cli_usage("host", "no use for '%s'", argv[optind]);
	if (!h->listen)
		return cli_usage("host", "--listen is needed");
	if (!h->disk_count && !h->echo)
		return cli_usage("host", "nothing to offer: give --disk or --echo");
	return EXIT_OK;
}

/* ---- serving ---- */

static bool lun_taken(const struct host *h, const struct disk_spec *self, uint64_t lun)
{
	uint32_t i;

	for (i = 0; i < h->disk_count; i++) {
		const struct disk_spec *d = &h->disks[i];

		if (d != self && d->lun_given && d->target == self->target && d->lun == lun)
			return true;
	}
	return false;
}

static NTSTATUS put_in(struct host *h, const struct disk_spec *d, char *why, size_t why_size)
{
	uint8_t target = (uint8_t)d->target;
	uint8_t lun = d->lun < STORVSP_LUNS ? (uint8_t)d->lun : STORVSP_LUNS;

	if (d->cd)
		return storvsp_add_cd(h->scsi, target, lun, d->path, d->options.serial, why,
		                      why_size);
	return storvsp_add_disk(h->scsi, target, lun, d->path, &d->options, why, why_size);
}

static int add_disk(struct host *h, struct disk_spec *d)
{
	char why[512];

	if (!d->lun_given) {
		while (lun_taken(h, d, d->lun))
			d->lun++;
		d->lun_given = true;
	}
	if (*d->serial)
		d->options.serial = d->serial;
	if (!NT_SUCCESS(put_in(h, d, why, sizeof(why)))) {
		cli_error("%s", why);
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

static int offer_disks(struct host *h)
{
	struct storvsp_options options = {
		.subchannels = (uint16_t)h->subchannels,
		.queue_depth = (uint32_t)h->queue_depth,
	};
	NTSTATUS status;
	uint32_t i;
	int code;

	cli_make_guid("kmcl host scsi 0", &options.instance);
	status = storvsp_create(h->vmbus, &options, &h->scsi);
	if (!NT_SUCCESS(status)) {
		cli_error("cannot offer disks: %s", cli_status(status));
		return EXIT_FAILED;
	}
	for (i = 0; i < h->disk_count; i++) {
		code = add_disk(h, &h->disks[i]);
		if (code)
			return code;
	}
	return EXIT_OK;
}

static int offer_echo(struct host *h)
{
	GUID instance;
	NTSTATUS status;

	cli_make_guid("kmcl host echo 0", &instance);
	status = echo_service_create(h->vmbus, &instance, &h->echo_service);
	if (NT_SUCCESS(status))
		return EXIT_OK;
	cli_error("cannot offer the echo service: %s", cli_status(status));
	return EXIT_FAILED;
}

static void print_json(const struct storvsp_statistics *s)
{
	struct json j;

	json_begin(&j, stdout);
	json_open(&j, NULL, '{');
	json_number(&j, "requests", s->requests);
	json_number(&j, "reads", s->reads);
	json_number(&j, "writes", s->writes);
	json_number(&j, "read_bytes", s->read_bytes);
	json_number(&j, "written_bytes", s->written_bytes);
	json_number(&j, "other", s->other);
	json_number(&j, "errors", s->errors);
	json_number(&j, "refused", s->refused);
	json_number(&j, "io_submits", s->submits);
	json_close(&j, '}');
	json_end(&j);
}

static void print_statistics(struct host *h)
{
	struct storvsp_statistics s;

	if (!h->scsi || h->quiet)
		return;
	storvsp_statistics(h->scsi, &s);
	if (h->json) {
		print_json(&s);
		return;
	}
	printf("%llu requests: %llu reads (%llu bytes), %llu writes (%llu bytes), %llu others; "
	       "%llu failed\n",
	       (unsigned long long)s.requests, (unsigned long long)s.reads,
	       (unsigned long long)s.read_bytes, (unsigned long long)s.writes,
	       (unsigned long long)s.written_bytes, (unsigned long long)s.other,
	       (unsigned long long)s.errors);
}

static int serve(struct host *h, const sigset_t *signals)
{
	int code = EXIT_OK, signal;

	if (h->disk_count)
		code = offer_disks(h);
	if (!code && h->echo)
		code = offer_echo(h);
	if (!code) {
		if (!h->quiet) {
			printf("listening on %s\n", h->listen);
			fflush(stdout);
		}
		sigwait(signals, &signal);
		print_statistics(h);
	}
	if (h->echo_service)
		echo_service_destroy(h->echo_service);
	if (h->scsi)
		storvsp_destroy(h->scsi);
	return code;
}

int host_main(int argc, char **argv)
{
	struct host h = { .subchannels = 4, .queue_depth = 256 };
	sigset_t signals;
	NTSTATUS status;
	int code;

	h.disks = calloc(MAX_DISKS, sizeof(*h.disks));
	if (!h.disks) {
		cli_error("out of memory");
		return EXIT_FAILED;
	}
	code = parse(&h, argc, argv);
	if (code)
		goto free;
	/* Before there are threads, which then have them blocked too. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);

	status = kmcl_host_open(h.listen, &h.vmbus);
	if (!NT_SUCCESS(status)) {
		cli_error("%s: %s", h.listen, cli_status(status));
		code = EXIT_FAILED;
		goto free;
	}
	code = serve(&h, &signals);
	ZwClose(h.vmbus);
free:
	free(h.disks);
	return code;
}
