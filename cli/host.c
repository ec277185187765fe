/* SPDX-License-Identifier: BSD-2-Clause */
/* kmcl host: offers disks and an echo service until it is told to stop. */
#include "control.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

static const char help_begin[] =
	"Usage: kmcl host --listen URI SERVICE...\n"
	"\n"
	"Be the host of the guest behind URI until SIGINT, SIGTERM or SIGHUP, and offer it the\n"
	"services that are asked for: at least one of --disk, --net, --keyboard, --mouse, --echo\n"
	"and --ic.\n"
	"\n"
	"  -l, --listen URI      unix:PATH: a guest process connects there\n";
static const char help_end[] =
	"      --json            what it did as JSON, at the end\n"
	"  -q, --quiet           say nothing unless it fails\n"
	"      --version-max V   the newest version of VMBus to agree on, such as 5.0\n"
	"      --monitored       offer all but the integration components with the monitor page\n"
	"      --control PATH    take commands of 'kmcl ctl' there\n"
	"      --memory-max SIZE how much memory a guest may bring (4G)\n"
	"  -h, --help            this text\n"
	"\n"
	"'listening on URI' on standard output, with --json on the other one, says that a guest\n"
	"may come.\n";

struct host {
	const char *listen, *control;
	bool json, quiet;
};

static int parse(struct host *h, int argc, char **argv)
{
	enum { JSON = 256, VERSION_MAX, CONTROL, MEMORY_MAX, MONITORED };
	static const struct option own[] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "json", no_argument, NULL, JSON },
		{ "quiet", no_argument, NULL, 'q' },
		{ "version-max", required_argument, NULL, VERSION_MAX },
		{ "monitored", no_argument, NULL, MONITORED },
		{ "control", required_argument, NULL, CONTROL },
		{ "memory-max", required_argument, NULL, MEMORY_MAX },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *letters;
	const struct option *options = services_options(own, ":l:qh", &letters);
	int c, code;

	while ((c = getopt_long(argc, argv, letters, options, NULL)) != -1) {
		switch (c) {
		case 'l':
			h->listen = optarg;
			break;
		case JSON:
			h->json = true;
			break;
		case 'q':
			h->quiet = true;
			break;
		case MONITORED:
			services_take_monitored();
			break;
		case VERSION_MAX:
			code = services_take_version("host", optarg);
			if (code)
				return code;
			break;
		case CONTROL:
			h->control = optarg;
			code = cli_check_socket("host", "--control", optarg);
			if (code)
				return code;
			break;
		case MEMORY_MAX:
			code = services_take_memory_max("host", optarg);
			if (code)
				return code;
			break;
		case 'h':
			fputs(help_begin, stdout);
			services_print_help();
			fputs(help_end, stdout);
			exit(cli_end(EXIT_OK));
		default:
			code = services_option("host", c, optarg);
			if (code > 0)
				return code;
			if (code < 0)
				return cli_bad_option("host", c, argv);
		}
	}
	if (optind < argc)
		return cli_usage("host", "no use for '%s'", argv[optind]);
	code = services_check_wanted("host");
	if (code)
		return code;
	if (!h->listen)
		return cli_usage("host", "--listen unix:PATH is needed: where the guest connects");
	return cli_check_partition("host", "--listen", h->listen);
}

/* "kmcl ctl" has what the services know; the host itself has nothing to add. */
static const struct control_command no_commands[] = { { 0 } };

/* Whom the host has met beside its guest. */
static void print_visitors(void)
{
	struct kmcl_bus_info bus = { .size = sizeof(bus) };

	if (kmcl_host_query(services_host(), &bus) || !bus.visitors_refused)
		return;
	printf("%llu of %llu visitors refused", (unsigned long long)bus.visitors_refused,
	       (unsigned long long)bus.visitors);
	if (bus.visitors_stuck)
		printf("; %u processes wait in closing what they sent", bus.visitors_stuck);
	putchar('\n');
}

/* With --json standard output is the document's alone. Nobody waits for what cannot be written. */
static int say_listening(const struct host *h)
{
	if (h->quiet)
		return EXIT_OK;
	fprintf(h->json ? stderr : stdout, "listening on %s\n", h->listen);
	if (!fflush(stdout) || errno == EPIPE)
		return EXIT_OK;
	cli_error("standard output: %s", cli_reason(errno));
	return EXIT_FAILED;
}

static void print_end(const struct host *h)
{
	if (h->quiet)
		return;
	if (h->json) {
		services_json(stdout);
	} else {
		services_print(stdout);
		print_visitors();
	}
}

static int serve(struct host *h)
{
	sigset_t signals;
	int code, number;

	/* Before there are threads, which then have them blocked too. */
	cli_end_signals(&signals);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);

	code = services_open(h->listen);
	if (code)
		return code;
	if (h->control) {
		code = control_open(h->control, no_commands);
		if (code) {
			services_close();
			return code;
		}
	}
	code = say_listening(h);
	if (!code) {
		sigwait(&signals, &number);
		control_close();
		print_end(h);
	}
	control_close();
	services_close();
	return code;
}

int host_main(int argc, char **argv)
{
	struct host h = { 0 };
	int code = parse(&h, argc, argv);

	return code ? code : serve(&h);
}
