/* SPDX-License-Identifier: BSD-2-Clause */
/* kmcl guest: connects to a host and runs one of its subcommands. */
#include "cli.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
	"Usage: kmcl guest --connect URI [--json] COMMAND [OPTION]...\n"
	"\n"
	"Be the guest of the host behind URI.\n"
	"\n"
	"  -c, --connect URI    unix:PATH: where the host listens\n"
	"      --timeout MS     how long to wait for each answer of the host; default 5000 for\n"
	"                       the connection, 60000 for requests\n"
	"      --json           output for programs\n"
	"  -h, --help           this text\n"
	"\n"
	"Commands ('COMMAND --help' for more):\n"
	"  ls             what the host offers\n"
	"  disk info      the disks\n"
	"  disk read      read a disk into a file\n"
	"  disk write     write a file to a disk\n"
	"  disk verify    compare a disk with a file or a SHA-256\n"
	"  disk bench     random reads: operations a second and latencies\n"
	"  echo           round trips through the echo service\n";

static const struct {
	const char *name;
	int (*main)(struct guest_options *options, int argc, char **argv);
} commands[] = {
	{ "ls", guest_ls },
	{ "disk", guest_disk },
	{ "echo", guest_echo },
};

struct parsed {
	uint64_t timeout;
	struct guest_options options;
	int (*main)(struct guest_options *options, int argc, char **argv);
};

static int parse(struct parsed *p, int argc, char **argv)
{
	enum { TIMEOUT = 256, JSON };
	static const struct option options[] = {
		{ "connect", required_argument, NULL, 'c' },
		{ "timeout", required_argument, NULL, TIMEOUT },
		{ "json", no_argument, NULL, JSON },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	size_t i;
	int c;

	while ((c = getopt_long(argc, argv, "+:c:h", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			p->options.connect = optarg;
			break;
		case TIMEOUT:
			if (!cli_parse_size(optarg, 1, 3600000, &p->timeout))
				return cli_usage("guest", "--timeout takes 1 to 3600000 ms");
			break;
		case JSON:
			p->options.json = true;
			break;
		case 'h':
			fputs(help, stdout);
			exit(cli_end(EXIT_OK));
		default:
			return cli_bad_option("guest", c, argv);
		}
	}
	if (optind == argc)
		return cli_usage("guest", "what shall it do?");
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!strcmp(argv[optind], commands[i].name))
			p->main = commands[i].main;
	}
	if (!p->main)
		return cli_usage("guest", "no command '%s'", argv[optind]);
	return EXIT_OK;
}

int guest_connect(struct guest_options *options)
{
	struct kmcl_guest_options connect = { .size = sizeof(connect),
		                              .timeout_ms = options->timeout_ms };
	NTSTATUS status;
	int code;

	if (!options->connect)
		return cli_usage("guest", "--connect unix:PATH is needed: where the host listens");
	code = cli_check_partition("guest", "--connect", options->connect);
	if (code)
		return code;
	farewell_begin();
	patience_begin(options->timeout_ms);
	patience_say("an answer to the connection");
	status = kmcl_guest_open_ex(options->connect, &connect, &options->bus);
	patience_idle();
	if (NT_SUCCESS(status))
		return EXIT_OK;
	patience_end();
	options->bus = NULL;
	cli_error("%s: %s", options->connect, cli_status(status));
	return EXIT_FAILED;
}

int guest_main(int argc, char **argv)
{
	struct parsed p = { 0 };
	int code = parse(&p, argc, argv);

	if (code)
		return code;
	p.options.timeout_ms = (uint32_t)p.timeout;
	cli_shift(&argc, &argv, optind);
	code = p.main(&p.options, argc, argv);
	if (!p.options.bus)
		return code;
	patience_wait("the end of the connection");
	kmcl_guest_close(p.options.bus);
	patience_end();
	return code;
}
