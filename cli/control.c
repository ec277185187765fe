/* SPDX-License-Identifier: BSD-2-Clause */
#include "control.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENT_TIMEOUT_MS 5000

static struct {
	const char *path;
	const struct control_command *own;
	int listener, quit;
	pthread_t thread;
	bool open;
} control = { .listener = -1, .quit = -1 };

/* ---- commands that every host has ---- */

/* Of "-v", "-vv", "--verbose"; 0: it is none of them. */
static int verbosity(const char *word)
{
	size_t n = word[0] == '-' ? strspn(word + 1, "v") : 0;

	if (!strcmp(word, "--verbose"))
		return 1;
	return n && !word[1 + n] ? (int)n : 0;
}

static int host_channels(struct kmcl_bus_channel **channels, uint32_t *count)
{
	uint32_t capacity;
	int error = kmcl_host_list(services_host(), NULL, 0, &capacity);

	if (error)
		return error;
	*channels = channels_new(capacity);
	if (!*channels)
		return -ENOMEM;
	error = kmcl_host_list(services_host(), *channels, capacity, count);
	if (*count > capacity) /* there is a new one */
		*count = capacity;
	return error;
}

static int run_ls(struct control_reply *reply, int argc, char **argv)
{
	struct kmcl_bus_channel *channels = NULL;
	struct kmcl_bus_info bus = { .size = sizeof(bus) };
	uint32_t count;
	int verbose = 0;

	for (int i = 0; i < argc; i++) {
		int more = verbosity(argv[i]);

		if (!more)
			return control_usage(reply, "ls takes -v, not '%s'", argv[i]);
		verbose += more;
	}
	if (kmcl_host_query(services_host(), &bus) || host_channels(&channels, &count)) {
		free(channels);
		return control_refuse(reply, "the channels cannot be listed");
	}
	channels_print(reply->out, reply->json, verbose, &bus, channels, count);
	free(channels);
	return EXIT_OK;
}

static int run_help(struct control_reply *reply, int argc, char **argv);

static const struct control_command general[] = {
	{ "help", "", "this list", run_help },
	{ "ls", "[-v]...", "the channels: what is offered, and what the guest uses", run_ls, 0,
	  CONTROL_WORDS_MAX },
	{ 0 },
};

/* ---- all commands ---- */

/* The lists one after another; `before` NULL: the first. */
static const struct control_command *next_list(const struct control_command *before)
{
	const struct control_command *const first[] = { general, control.own, services_commands };

	if (!before)
		return general;
	for (size_t i = 0; i < 2; i++)
		if (before == first[i])
			return first[i + 1];
	return services_next_commands(before == services_commands ? NULL : before);
}

static void help_json(FILE *out)
{
	struct json j;

	json_begin(&j, out);
	json_open(&j, NULL, '{');
	json_open(&j, "commands", '[');
	for (const struct control_command *list = next_list(NULL); list; list = next_list(list))
		for (const struct control_command *c = list; c->words; c++) {
			json_open(&j, NULL, '{');
			json_string(&j, "words", c->words);
			json_string(&j, "arguments", c->arguments);
			json_string(&j, "help", c->help);
			json_close(&j, '}');
		}
	json_close(&j, ']');
	json_close(&j, '}');
	json_end(&j);
}

static int run_help(struct control_reply *reply, int argc, char **argv)
{
	if (reply->json) {
		help_json(reply->out);
		return EXIT_OK;
	}
	for (const struct control_command *list = next_list(NULL); list; list = next_list(list))
		for (const struct control_command *c = list; c->words; c++)
			fprintf(reply->out, "  %s %-*s %s\n", c->words,
			        (int)(30 - strlen(c->words)), c->arguments, c->help);
	return EXIT_OK;
}

/* How many of the words are the command's; 0: they are not. */
static int words_match(const char *words, int argc, char **argv)
{
	int n = 0;

	while (*words) {
		size_t length = strcspn(words, " ");

		if (n == argc || strlen(argv[n]) != length || strncmp(argv[n], words, length) != 0)
			return 0;
		n++;
		words += length;
		words += *words == ' ';
	}
	return n;
}

/* As JSON, what has nothing to tell says {}. */
static int run_command(struct control_reply *reply, const struct control_command *c, int argc,
                       char **argv)
{
	int code;

	if (argc < c->least || argc > c->most)
		return control_usage(reply, "'%s' takes %s", c->words,
		                     *c->arguments ? c->arguments : "no more words");
	code = c->run(reply, argc, argv);
	if (!code && reply->json && !ftell(reply->out))
		fputs("{}\n", reply->out);
	return code;
}

static int run(struct control_reply *reply, int argc, char **argv)
{
	if (argc && !strcmp(argv[0], "--json")) {
		reply->json = true;
		argc--;
		argv++;
	}
	for (const struct control_command *list = next_list(NULL); list; list = next_list(list))
		for (const struct control_command *c = list; c->words; c++) {
			int n = words_match(c->words, argc, argv);

			if (n)
				return run_command(reply, c, argc - n, argv + n);
		}
	return control_usage(reply, "no command '%s'; 'help' lists them", argc ? argv[0] : "");
}

/* ---- clients ---- */

/* All that the client says, within the time it has; the size, or -1. */
static ssize_t receive(int client, char *bytes, size_t size)
{
	struct pollfd fd = { .fd = client, .events = POLLIN };
	size_t have = 0;

	while (have < size) {
		ssize_t n;

		if (poll(&fd, 1, CLIENT_TIMEOUT_MS) != 1)
			return -1;
		n = read(client, bytes + have, size - have);
		if (n < 0)
			return -1;
		if (n == 0)
			return (ssize_t)have;
		have += (size_t)n;
	}
	return -1;
}

static int split(char *bytes, size_t size, char **argv)
{
	int argc = 0;

	for (size_t at = 0; at < size; at += strlen(bytes + at) + 1) {
		if (argc == CONTROL_WORDS_MAX)
			return -1;
		argv[argc++] = bytes + at;
	}
	argv[argc] = NULL;
	return argc;
}

static void send_all(int client, const char *bytes, size_t size)
{
	struct timeval limit = { .tv_sec = CLIENT_TIMEOUT_MS / 1000 };

	setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	while (size) {
		ssize_t n = send(client, bytes, size, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		bytes += n;
		size -= (size_t)n;
	}
}

static void answer(int client, char *request, size_t size)
{
	struct control_reply reply = { 0 };
	char *argv[CONTROL_WORDS_MAX + 1], *output = NULL, first[560];
	size_t length = 0;
	int code, argc;

	reply.out = open_memstream(&output, &length);
	if (!reply.out)
		return;
	argc = size && request[size - 1] == 0 ? split(request, size, argv) : -1;
	code = argc < 0 ? control_refuse(&reply,
	                                 "expected up to %d words, each ended by a zero byte",
	                                 CONTROL_WORDS_MAX)
	                : run(&reply, argc, argv);
	fclose(reply.out);
	snprintf(first, sizeof(first), "%d %s\n", code, reply.why);
	send_all(client, first, strlen(first));
	if (!code || !reply.json) /* as JSON it is a document, or nothing */
		send_all(client, output, length);
	free(output);
}

static void *control_main(void *argument)
{
	struct pollfd fds[2] = { { .fd = control.listener, .events = POLLIN },
		                 { .fd = control.quit, .events = POLLIN } };
	char request[CONTROL_BYTES_MAX];

	while (poll(fds, 2, -1) >= 0 || errno == EINTR) {
		ssize_t size;
		int client;

		if (fds[1].revents)
			break;
		client = accept4(control.listener, NULL, NULL, SOCK_CLOEXEC);
		if (client < 0)
			continue;
		size = receive(client, request, sizeof(request));
		if (size >= 0)
			answer(client, request, (size_t)size);
		close(client);
	}
	return NULL;
}

/* ---- opening and closing ---- */

/* Removes a socket that nobody listens on any more. */
static void remove_stale(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;

	if (fd >= 0 && lstat(address->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	    connect(fd, (const struct sockaddr *)address, sizeof(*address)) &&
	    errno == ECONNREFUSED)
		unlink(address->sun_path);
	if (fd >= 0)
		close(fd);
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address.sun_path, path);
	remove_stale(&address);
	control.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* bind() makes the file with the socket's own mode, so it never is wider than this. */
	if (control.listener < 0 || fchmod(control.listener, 0600) ||
	    bind(control.listener, (const struct sockaddr *)&address, sizeof(address)))
		return -1;
	control.path = path;
	return listen(control.listener, 8);
}

int control_open(const char *path, const struct control_command *own)
{
	int error;

	control.own = own;
	control.quit = eventfd(0, EFD_CLOEXEC);
	error = listen_at(path) || control.quit < 0 ? errno : 0;

	if (!error)
		error = pthread_create(&control.thread, NULL, control_main, NULL);
	if (error) {
		cli_error("--control %s: %s", path, cli_reason(error));
		control_close();
		return EXIT_FAILED;
	}
	control.open = true;
	return EXIT_OK;
}

void control_close(void)
{
	uint64_t one = 1;

	if (control.open && write(control.quit, &one, sizeof(one)) > 0)
		pthread_join(control.thread, NULL);
	control.open = false;
	if (control.listener >= 0)
		close(control.listener);
	if (control.quit >= 0)
		close(control.quit);
	if (control.path)
		unlink(control.path);
	control.listener = control.quit = -1;
	control.path = NULL;
}
