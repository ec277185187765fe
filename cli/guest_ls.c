/* SPDX-License-Identifier: BSD-2-Clause */
/* kmcl guest ls: what the host offers. */
#include "cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>

static const char help[] =
	"Usage: kmcl guest --connect URI ls [-v]...\n"
	"\n"
	"List the channels that the host offers.\n"
	"\n"
	"  -v, --verbose   also interrupts and memory; twice: rings and counters, too\n"
	"  -h, --help      this text\n";

static int guest_channels(struct kmcl_guest *guest, struct kmcl_bus_channel **channels,
                          uint32_t *count)
{
	uint32_t capacity;
	int error = kmcl_guest_list(guest, NULL, 0, &capacity);

	if (error)
		return error;
	*channels = channels_new(capacity);
	if (!*channels)
		return -ENOMEM;
	error = kmcl_guest_list(guest, *channels, capacity, count);
	if (*count > capacity) /* there is a new one */
		*count = capacity;
	return error;
}

int guest_ls(struct guest_options *o, int argc, char **argv)
{
	static const struct option options[] = {
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct kmcl_bus_channel *channels = NULL;
	struct kmcl_bus_info bus = { .size = sizeof(bus) };
	struct kmcl_guest *guest;
	uint32_t count;
	int c, code, verbose = 0;

	while ((c = getopt_long(argc, argv, ":vh", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return EXIT_OK;
		}
		if (c != 'v')
			return cli_bad_option("guest ls", c, argv);
		verbose++;
	}
	if (optind < argc)
		return cli_usage("guest ls", "no use for '%s'", argv[optind]);
	code = guest_connect(o);
	if (code)
		return code;
	guest = kmcl_guest_of_device(o->bus);
	if (kmcl_guest_query(guest, &bus) || guest_channels(guest, &channels, &count)) {
		cli_error("cannot list the channels");
		free(channels);
		return EXIT_FAILED;
	}
	channels_print(stdout, o->json, verbose, &bus, channels, count);
	free(channels);
	return EXIT_OK;
}
