/* SPDX-License-Identifier: BSD-2-Clause */
/* kmcl guest echo: round trips, or packets one way, through the echo service. */
#include "cli.h"
#include "echo/echo.h"

#include <getopt.h>
#include <stdlib.h>

static const char help[] = "Usage: kmcl guest --connect URI echo [OPTION]...\n"
			   "\n"
			   "Send packets to the host's echo service and check what comes back.\n"
			   "\n"
			   "  -n, --count N     packets; default 100000\n"
			   "  -s, --size N      bytes of each, 8 to 64k; default 64\n"
			   "  -d, --depth N     in flight at a time, 1 to 1024; default 1\n"
			   "      --one-way     send only: the host throws them away\n"
			   "  -h, --help        this text\n";

struct settings {
	uint64_t count, size, depth;
	bool one_way;
};

static int parse(struct settings *s, int argc, char **argv)
{
	enum { ONE_WAY = 256 };
	static const struct option options[] = {
		{ "count", required_argument, NULL, 'n' },
		{ "size", required_argument, NULL, 's' },
		{ "depth", required_argument, NULL, 'd' },
		{ "one-way", no_argument, NULL, ONE_WAY },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *wrong = NULL;
	int c;

	while ((c = getopt_long(argc, argv, ":n:s:d:h", options, NULL)) != -1) {
		switch (c) {
		case 'n':
			if (!cli_parse_size(optarg, 1, 1u << 28, &s->count))
				wrong = "--count takes 1 to 256M";
			break;
		case 's':
			if (!cli_parse_size(optarg, sizeof(struct echo_header), ECHO_MAX_PAYLOAD,
			                    &s->size))
				wrong = "--size takes 8 to 64k";
			break;
		case 'd':
			if (!cli_parse_size(optarg, 1, 1024, &s->depth))
				wrong = "--depth takes 1 to 1024";
			break;
		case ONE_WAY:
			s->one_way = true;
			break;
		case 'h':
			fputs(help, stdout);
			exit(cli_end(EXIT_OK));
		default:
			return cli_bad_option("guest echo", c, argv);
		}
		if (wrong)
			return cli_usage("guest echo", "%s, not '%s'", wrong, optarg);
	}
	if (optind < argc)
		return cli_usage("guest echo", "no use for '%s'", argv[optind]);
	return EXIT_OK;
}

static void print(const struct settings *s, const struct echo_run *run, bool as_json)
{
	double seconds = (double)run->elapsed_ns / 1e9, rate = (double)run->count / seconds;
	struct percentiles p;
	struct json j;

	percentiles_of(run->latencies_ns, run->count, &p);
	if (!as_json) {
		printf("%llu packets of %llu bytes, %llu at a time%s: %.2f s, %.0f packets/s, "
		       "%.1f MB/s\n",
		       (unsigned long long)s->count, (unsigned long long)s->size,
		       (unsigned long long)s->depth, s->one_way ? ", one way" : "", seconds, rate,
		       rate * (double)s->size / 1e6);
		printf("latency in us: min %.1f, p50 %.1f, p90 %.1f, p99 %.1f, p99.9 %.1f, max "
		       "%.1f\n",
		       p.min, p.p50, p.p90, p.p99, p.p999, p.max);
		return;
	}
	json_begin(&j, stdout);
	json_open(&j, NULL, '{');
	json_number(&j, "count", s->count);
	json_number(&j, "size", s->size);
	json_number(&j, "depth", s->depth);
	json_bool(&j, "one_way", s->one_way);
	json_real(&j, "seconds", seconds);
	json_real(&j, "packets_per_second", rate);
	json_number(&j, "mismatches", run->mismatches);
	percentiles_json(&j, "latency_us", &p);
	json_close(&j, '}');
	json_end(&j);
}

static void show_progress(void *context, uint64_t done)
{
	static uint64_t before;

	if (done != before)
		patience_answered();
	before = done;
	progress_at(context, done);
}

static int run_it(const struct guest_options *o, const struct settings *s, struct echo *echo)
{
	struct progress progress;
	struct echo_run run = {
		.operation = s->one_way ? ECHO_SINK : ECHO_ECHO,
		.size = (uint32_t)s->size,
		.depth = (uint32_t)s->depth,
		.count = s->count,
		.latencies_ns = calloc(s->count, sizeof(uint32_t)),
		.progress = show_progress,
		.context = &progress,
	};
	int code = EXIT_OK;
	NTSTATUS status;

	if (!run.latencies_ns) {
		cli_error("out of memory");
		return EXIT_FAILED;
	}
	progress_begin(&progress, "echo", s->count);
	patience_wait("the echo of a packet");
	status = echo_run(echo, &run);
	patience_idle();
	progress_end(&progress);
	if (!NT_SUCCESS(status)) {
		cli_error("echo: %s", cli_status(status));
		code = EXIT_FAILED;
	} else {
		print(s, &run, o->json);
		if (run.mismatches) {
			cli_error("%llu answers were not what was sent",
			          (unsigned long long)run.mismatches);
			code = EXIT_MISMATCH;
		}
	}
	free(run.latencies_ns);
	return code;
}

int guest_echo(struct guest_options *o, int argc, char **argv)
{
	struct settings s = { .count = 100000, .size = 64, .depth = 1 };
	struct echo *echo;
	NTSTATUS status;
	int code = parse(&s, argc, argv);

	if (!code)
		code = guest_connect(o);
	if (code)
		return code;
	patience_say("the echo service to open");
	status = echo_open(o->bus, NULL, o->timeout_ms, &echo);
	patience_idle();
	if (!NT_SUCCESS(status)) {
		cli_error("the host offers no echo service: %s", cli_status(status));
		return EXIT_FAILED;
	}
	code = run_it(o, &s, echo);
	patience_wait("the echo service to close");
	echo_close(echo);
	patience_idle();
	return code;
}
