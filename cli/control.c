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
#include <time.h>
#include <unistd.h>

#define CLIENT_TIMEOUT_MS 5000 /* to say all it wants, and to take all of the answer */
#define END_TIMEOUT_MS    500  /* for what is under way when the host ends */
#define RETRY_MS          100

/* Each has a thread of its own: none waits for another, however slow its client or its guest. */
static struct {
	const char *path;
	const struct control_command *own;
	int listener, quit;
	pthread_t thread;
	bool open;
	pthread_mutex_t lock;
	pthread_cond_t fewer;
	int clients[CONTROL_CLIENTS_MAX]; /* -1: nobody's place */
	unsigned int count;
	bool ending;
} control = { .listener = -1, .quit = -1, .lock = PTHREAD_MUTEX_INITIALIZER };

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
static int run_command(struct control_reply *reply, const struct control_command *list,
                       const struct control_command *c, int argc, char **argv)
{
	int code;

	if (argc < c->least || argc > c->most)
		return control_usage(reply, "'%s' takes %s", c->words,
		                     *c->arguments ? c->arguments : "no more words");
	code = services_run(reply, list, c, argc, argv);
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
				return run_command(reply, list, c, argc - n, argv + n);
		}
	return control_usage(reply, "no command '%s'; 'help' lists them", argc ? argv[0] : "");
}

/* ---- clients ---- */

static int left_ms(uint64_t deadline_ns)
{
	uint64_t now = cli_now_ns();

	return now < deadline_ns ? (int)((deadline_ns - now + 999999) / 1000000) : 0;
}

static uint64_t deadline(void)
{
	return cli_now_ns() + CLIENT_TIMEOUT_MS * UINT64_C(1000000);
}

/* All that the client says, within the time it has; the size, `size` if that is more, or -1. */
static ssize_t receive(int client, char *bytes, size_t size)
{
	struct pollfd fd = { .fd = client, .events = POLLIN };
	uint64_t until = deadline();
	size_t have = 0;

	while (have < size) {
		ssize_t n;

		if (poll(&fd, 1, left_ms(until)) != 1)
			return -1;
		n = recv(client, bytes + have, size - have, MSG_DONTWAIT);
		if (n < 0)
			return -1;
		if (n == 0)
			return (ssize_t)have;
		have += (size_t)n;
	}
	return (ssize_t)have;
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

static void send_all(int client, const char *bytes, size_t size, uint64_t until)
{
	struct pollfd fd = { .fd = client, .events = POLLOUT };

	while (size && poll(&fd, 1, left_ms(until)) == 1) {
		ssize_t n = send(client, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno != EAGAIN)
			return;
		bytes += n > 0 ? n : 0;
		size -= n > 0 ? (size_t)n : 0;
	}
}

static int run_request(struct control_reply *reply, char *request, size_t size)
{
	char *argv[CONTROL_WORDS_MAX + 1];
	int argc;

	if (size == CONTROL_BYTES_MAX)
		return control_refuse(reply, "expected fewer than %u bytes", CONTROL_BYTES_MAX);
	argc = size && request[size - 1] == 0 ? split(request, size, argv) : -1;
	if (argc < 0)
		return control_refuse(reply, "expected up to %d words, each ended by a zero byte",
		                      CONTROL_WORDS_MAX);
	return run(reply, argc, argv);
}

static void answer(int client, char *request, size_t size)
{
	struct control_reply reply = { 0 };
	char *output = NULL, first[560];
	size_t length = 0;
	uint64_t until;
	int code;

	reply.out = open_memstream(&output, &length);
	if (!reply.out)
		return;
	code = run_request(&reply, request, size);
	fclose(reply.out);
	snprintf(first, sizeof(first), "%d %s\n", code, reply.why);
	until = deadline();
	send_all(client, first, strlen(first), until);
	if (!code || !reply.json) /* as JSON it is a document, or nothing */
		send_all(client, output, length, until);
	free(output);
}

static bool is_ending(void)
{
	bool ending;

	pthread_mutex_lock(&control.lock);
	ending = control.ending;
	pthread_mutex_unlock(&control.lock);
	return ending;
}

static void give_place(int *place)
{
	pthread_mutex_lock(&control.lock);
	close(*place);
	*place = -1;
	control.count--;
	pthread_cond_signal(&control.fewer);
	pthread_mutex_unlock(&control.lock);
}

static void *client_main(void *argument)
{
	int *place = argument, client = *place;
	char request[CONTROL_BYTES_MAX];
	ssize_t size = receive(client, request, sizeof(request));

	/* What ends early as the host does is not all that the client wanted to say. */
	if (size >= 0 && !is_ending())
		answer(client, request, (size_t)size);
	give_place(place);
	return NULL;
}

static int *take_place(int client)
{
	int *place = NULL;

	pthread_mutex_lock(&control.lock);
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX && !place; i++)
		if (control.clients[i] < 0)
			place = &control.clients[i];
	if (place) {
		*place = client;
		control.count++;
	}
	pthread_mutex_unlock(&control.lock);
	return place;
}

/* Its queue is empty yet, so that there is room for this. */
static void turn_away(int client, const char *why)
{
	char first[160];

	snprintf(first, sizeof(first), "%d %s\n", EXIT_FAILED, why);
	send(client, first, strlen(first), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void welcome(int client)
{
	int *place = take_place(client);
	pthread_t thread;
	char why[96];

	if (!place) {
		snprintf(why, sizeof(why), "%u commands are under way, and no more are taken",
		         CONTROL_CLIENTS_MAX);
		turn_away(client, why);
		close(client);
	} else if (pthread_create(&thread, NULL, client_main, place)) {
		turn_away(client, "the host has no thread for this command");
		give_place(place);
	} else {
		pthread_detach(thread);
	}
}

static void *control_main(void *argument)
{
	struct pollfd fds[2] = { { .fd = control.quit, .events = POLLIN },
		                 { .fd = control.listener, .events = POLLIN } };

	while (poll(fds, 2, -1) >= 0 || errno == EINTR) {
		int client;

		if (fds[0].revents)
			break;
		client = accept4(control.listener, NULL, NULL, SOCK_CLOEXEC);
		if (client >= 0)
			welcome(client);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			poll(fds, 1, RETRY_MS); /* the client still waits: it would not */
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
	return listen(control.listener, CONTROL_CLIENTS_MAX);
}

static void prepare_places(void)
{
	pthread_condattr_t monotonic;

	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		control.clients[i] = -1;
	control.ending = false;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&control.fewer, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

int control_open(const char *path, const struct control_command *own)
{
	int error;

	control.own = own;
	prepare_places();
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

/* Who has not said what it wants never will; who is being answered has a moment. */
static void end_clients(void)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += END_TIMEOUT_MS * 1000000l;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&control.lock);
	control.ending = true;
	services_end();
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (control.clients[i] >= 0)
			shutdown(control.clients[i], SHUT_RD);
	while (control.count &&
	       pthread_cond_timedwait(&control.fewer, &control.lock, &until) != ETIMEDOUT)
		;
	pthread_mutex_unlock(&control.lock);
}

void control_close(void)
{
	uint64_t one = 1;

	if (control.open && write(control.quit, &one, sizeof(one)) > 0) {
		pthread_join(control.thread, NULL);
		end_clients();
	}
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
