/* SPDX-License-Identifier: BSD-2-Clause */
/* kmcl guest ls: what the host offers. */
#include "cli.h"

#include <getopt.h>
#include <stdlib.h>

static const char help[] =
	"Usage: kmcl guest --connect URI ls [-v]...\n"
	"\n"
	"List the channels that the host offers.\n"
	"\n"
	"  -v, --verbose   also interrupts and memory; twice: rings and counters, too\n"
	"  -h, --help      this text\n";

int guest_ls(struct guest_options *o, int argc, char **argv)
{
	static const struct option options[] = {
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct kmcl_channel_info *channels;
	struct kmcl_bus_info bus;
	uint32_t count, capacity;
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
	capacity = kmcl_guest_channels(o->bus, NULL, 0);
	channels = calloc(capacity + 1, sizeof(*channels));
	if (!channels || !NT_SUCCESS(kmcl_guest_info(o->bus, &bus))) {
		cli_error("cannot list the channels");
		free(channels);
		return EXIT_FAILED;
	}
	count = kmcl_guest_channels(o->bus, channels, capacity);
	if (count > capacity)
		count = capacity;
	channels_print(stdout, o->json, verbose, &bus, channels, count);
	free(channels);
	return EXIT_OK;
}
