/* SPDX-License-Identifier: BSD-2-Clause */
#include "services.h"

#include <stdlib.h>
#include <string.h>

const char services_help[] =
	"  -d, --disk IMAGE      serve a raw disk image; may be given again. After the name:\n"
	"                          ,ro          read-only\n"
	"                          ,direct      past the page cache\n"
	"                          ,target=N    0 or 1; default 0\n"
	"                          ,lun=N       0 to 63; default the next one\n"
	"                          ,serial=TEXT its serial number\n"
	"                          ,block=N     512 (default) or 4096 bytes\n"
	"  -e, --echo            offer the echo service\n"
	"      --subchannels N   the most a disk driver may ask for, 0 to 16; default 4\n"
	"      --queue-depth N   requests in flight per channel, a power of two; default 256\n";

void services_init(struct services *s, const char *command)
{
	*s = (struct services){ .command = command, .subchannels = 4, .queue_depth = 256 };
	s->disks = calloc(SERVICES_DISKS_MAX, sizeof(*s->disks));
}

void services_fini(struct services *s)
{
	free(s->disks);
	s->disks = NULL;
}

/* ---- the command line ---- */

static bool disk_option(struct disk_spec *d, const char *option)
{
	uint64_t block;

	if (!strcmp(option, "ro"))
		return d->options.read_only = true;
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

static int add_disk_spec(struct services *s, const char *text)
{
	struct disk_spec *d = &s->disks[s->disk_count];
	char *option, *rest;

	if (s->disk_count == SERVICES_DISKS_MAX)
		return cli_usage(s->command, "more than %u disks", SERVICES_DISKS_MAX);
	if (strlen(text) >= sizeof(d->path))
		return cli_usage(s->command, "--disk: the name is too long");
	memset(d, 0, sizeof(*d));
	strcpy(d->path, text);
	rest = strchr(d->path, ',');
	if (rest)
		*rest++ = 0;
	while ((option = strsep(&rest, ","))) {
		if (!disk_option(d, option))
			return cli_usage(s->command, "--disk %s: not an option: '%s'", d->path,
			                 option);
	}
	if (!*d->path)
		return cli_usage(s->command, "--disk: no image");
	s->disk_count++;
	return EXIT_OK;
}

int services_option(struct services *s, int option, const char *argument)
{
	switch (option) {
	case 'd':
		return add_disk_spec(s, argument);
	case 'e':
		s->echo = true;
		return EXIT_OK;
	case SERVICES_SUBCHANNELS:
		if (!cli_parse_size(argument, 0, STORVSP_SUBCHANNELS, &s->subchannels))
			return cli_usage(s->command, "--subchannels takes 0 to %u",
			                 STORVSP_SUBCHANNELS);
		return EXIT_OK;
	case SERVICES_DEPTH:
		if (!cli_parse_size(argument, 1, 4096, &s->queue_depth) ||
		    s->queue_depth & (s->queue_depth - 1))
			return cli_usage(s->command,
			                 "--queue-depth takes a power of two up to 4096");
		return EXIT_OK;
	default:
		return -1;
	}
}

bool services_any(const struct services *s)
{
	return s->disk_count || s->echo;
}

/* ---- serving ---- */

static bool lun_taken(const struct services *s, const struct disk_spec *self, uint64_t lun)
{
	uint32_t i;

	for (i = 0; i < s->disk_count; i++) {
		const struct disk_spec *d = &s->disks[i];

		if (d != self && d->lun_given && d->target == self->target && d->lun == lun)
			return true;
	}
	return false;
}

static int add_disk(struct services *s, struct disk_spec *d)
{
	char why[512];
	NTSTATUS status;

	if (!d->lun_given) {
		while (lun_taken(s, d, d->lun))
			d->lun++;
		d->lun_given = true;
	}
	if (*d->serial)
		d->options.serial = d->serial;
	status = storvsp_add_disk(s->scsi, (uint8_t)d->target,
	                          d->lun < STORVSP_LUNS ? (uint8_t)d->lun : STORVSP_LUNS, d->path,
	                          &d->options, why, sizeof(why));
	if (!NT_SUCCESS(status)) {
		cli_error("%s", why);
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

static int offer_disks(struct services *s)
{
	struct storvsp_options options = {
		.subchannels = (uint16_t)s->subchannels,
		.queue_depth = (uint32_t)s->queue_depth,
	};
	NTSTATUS status;
	uint32_t i;
	int code;

	cli_make_guid("kmcl host scsi 0", &options.instance);
	status = storvsp_create(s->vmbus, &options, &s->scsi);
	if (!NT_SUCCESS(status)) {
		cli_error("cannot offer disks: %s", cli_status(status));
		return EXIT_FAILED;
	}
	for (i = 0; i < s->disk_count; i++) {
		code = add_disk(s, &s->disks[i]);
		if (code)
			return code;
	}
	return EXIT_OK;
}

static int offer_echo(struct services *s)
{
	GUID instance;
	NTSTATUS status;

	cli_make_guid("kmcl host echo 0", &instance);
	status = echo_service_create(s->vmbus, &instance, &s->echo_service);
	if (NT_SUCCESS(status))
		return EXIT_OK;
	cli_error("cannot offer the echo service: %s", cli_status(status));
	return EXIT_FAILED;
}

static void print_json(const struct storvsp_statistics *st)
{
	struct json j;

	json_begin(&j, stdout);
	json_open(&j, NULL, '{');
	json_number(&j, "requests", st->requests);
	json_number(&j, "reads", st->reads);
	json_number(&j, "writes", st->writes);
	json_number(&j, "read_bytes", st->read_bytes);
	json_number(&j, "written_bytes", st->written_bytes);
	json_number(&j, "other", st->other);
	json_number(&j, "errors", st->errors);
	json_number(&j, "refused", st->refused);
	json_number(&j, "io_submits", st->submits);
	json_close(&j, '}');
	json_end(&j);
}

void services_print_statistics(const struct services *s, bool as_json)
{
	struct storvsp_statistics st;

	if (!s->scsi)
		return;
	storvsp_statistics(s->scsi, &st);
	if (as_json) {
		print_json(&st);
		return;
	}
	printf("%llu requests: %llu reads (%llu bytes), %llu writes (%llu bytes), %llu others; "
	       "%llu failed\n",
	       (unsigned long long)st.requests, (unsigned long long)st.reads,
	       (unsigned long long)st.read_bytes, (unsigned long long)st.writes,
	       (unsigned long long)st.written_bytes, (unsigned long long)st.other,
	       (unsigned long long)st.errors);
}

int services_open(struct services *s, const char *uri)
{
	NTSTATUS status = kmcl_host_open(uri, &s->vmbus);
	int code = EXIT_OK;

	if (!NT_SUCCESS(status)) {
		cli_error("%s: %s", uri, cli_status(status));
		return EXIT_FAILED;
	}
	if (s->disk_count)
		code = offer_disks(s);
	if (!code && s->echo)
		code = offer_echo(s);
	if (code)
		services_close(s);
	return code;
}

void services_close(struct services *s)
{
	if (s->echo_service)
		echo_service_destroy(s->echo_service);
	s->echo_service = NULL;
	if (s->scsi)
		storvsp_destroy(s->scsi);
	s->scsi = NULL;
	if (s->vmbus)
		ZwClose(s->vmbus);
	s->vmbus = NULL;
}
