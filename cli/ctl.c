/* SPDX-License-Identifier: BSD-2-Clause */
/* kmcl ctl: a command to a running host's control socket. */
#include "cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char help[] =
	"Usage: kmcl ctl --control PATH [--json] COMMAND [ARGUMENT]...\n"
	"\n"
	"Have a running host with '--control PATH' do something. The command 'help' lists what.\n"
	"\n"
	"  -c, --control PATH  its control socket\n"
	"      --json          output for programs, where a command has one\n"
	"  -h, --help          this text\n";

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address))) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

/* A host that answers before it has heard all has hung up by then: that is seen when it is read. */
static bool send_word(int fd, const char *word)
{
	const char *end = word + strlen(word) + 1;

	while (word < end) {
		ssize_t n = send(fd, word, (size_t)(end - word), MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return errno == EPIPE;
		word += n > 0 ? n : 0;
	}
	return true;
}

/* The first line is the exit code, and what is wrong. */
static int print_answer(int fd)
{
	FILE *in = fdopen(fd, "r");
	char line[4096], *why, *text = NULL;
	size_t size = 0;
	int code;

	if (!in || !fgets(line, sizeof(line), in)) {
		cli_error("the host did not answer");
		if (in)
			fclose(in);
		return EXIT_FAILED;
	}
	code = (int)strtol(line, &why, 10);
	line[strcspn(line, "\n")] = 0;
	why += *why == ' ';
	if (code == EXIT_USAGE)
		cli_usage("ctl", "%s", why);
	else if (code)
		cli_error("%s", why);
	while (getline(&text, &size, in) > 0) { /* what the guest calls its values may be in it */
		cli_clean(text, "\n\t");
		fputs(text, stdout);
	}
	free(text);
	fclose(in);
	return code;
}

static int talk(const char *path, bool json, int argc, char **argv)
{
	int fd = connect_to(path);
	bool sent;

	if (fd < 0) {
		cli_error("%s: %s", path, cli_reason(errno));
		return EXIT_FAILED;
	}
	sent = !json || send_word(fd, "--json");
	for (int i = 0; i < argc && sent; i++)
		sent = send_word(fd, argv[i]);
	if (!sent || (shutdown(fd, SHUT_WR) && errno != ENOTCONN)) {
		cli_error("%s: %s", path, cli_reason(errno));
		close(fd);
		return EXIT_FAILED;
	}
	return print_answer(fd);
}

int ctl_main(int argc, char **argv)
{
	enum { JSON = 256 };
	static const struct option options[] = {
		{ "control", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, JSON },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *path = NULL;
	bool json = false;
	int c, code;

	while ((c = getopt_long(argc, argv, "+:c:h", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			path = optarg;
			break;
		case JSON:
			json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_OK;
		default:
			return cli_bad_option("ctl", c, argv);
		}
	}
	if (!path || optind == argc)
		return cli_usage("ctl", path ? "what shall it do?" : "--control PATH is needed");
	code = cli_check_socket("ctl", "--control", path);
	if (code)
		return code;
	patience_begin(0);
	/* It may be about something that takes long. */
	patience_say("its answer on the control socket");
	code = talk(path, json, argc - optind, argv + optind);
	patience_end();
	return code;
}
