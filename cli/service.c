/* SPDX-License-Identifier: BSD-2-Clause */
#include "service.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct service *const services[] = { &disk_service,  &net_service,  &keyboard_service,
	                                          &mouse_service, &echo_service, &ic_service };

#define COUNT        (sizeof(services) / sizeof(services[0]))
#define OPTIONS_MAX  64u
#define FIRST_OPTION 1024 /* values of options without a letter */

#define HOST COUNT /* among those that are used */

static struct kmcl_host *host;
static char host_uri[4096];
static bool opened[COUNT];
static uint32_t version_max;
static uint64_t memory_max;
static bool monitored;

/* ---- options ---- */

static const struct service_option *option_at(int n)
{
	for (size_t i = 0; i < COUNT; i++)
		for (const struct service_option *o = services[i]->options; o && o->name; o++)
			if (n-- == 0)
				return o;
	return NULL;
}

const struct option *services_options(const struct option *own, const char *own_letters,
                                      const char **letters)
{
	static struct option all[OPTIONS_MAX];
	static char all_letters[OPTIONS_MAX * 2];
	const struct service_option *o;
	size_t count = 0, at = strlen(own_letters);

	strcpy(all_letters, own_letters);
	while (own[count].name) {
		all[count] = own[count];
		count++;
	}
	for (int n = 0; (o = option_at(n)) && count + 1 < OPTIONS_MAX; n++) {
		all[count++] =
			(struct option){ .name = o->name,
			                 .has_arg = o->argument ? required_argument : no_argument,
			                 .val = o->letter ? o->letter : FIRST_OPTION + n };
		if (!o->letter)
			continue;
		all_letters[at++] = o->letter;
		if (o->argument)
			all_letters[at++] = ':';
		all_letters[at] = 0;
	}
	*letters = all_letters;
	return all;
}

int services_option(const char *command, int c, const char *argument)
{
	const struct service_option *o;

	for (int n = 0; (o = option_at(n)); n++)
		if (c == (o->letter ? o->letter : FIRST_OPTION + n))
			return o->take(command, argument);
	return -1;
}

void services_print_help(void)
{
	for (size_t i = 0; i < COUNT; i++)
		fputs(services[i]->help, stdout);
}

/* ---- opening and closing ---- */

int services_check_wanted(const char *command)
{
	char names[128] = "";
	size_t at = 0;

	for (size_t i = 0; i < COUNT; i++) {
		if (services[i]->wanted())
			return EXIT_OK;
		at += (size_t)snprintf(names + at, sizeof(names) - at, "%s--%s",
		                       i == 0           ? ""
		                       : i + 1 == COUNT ? " or "
		                                        : ", ",
		                       services[i]->options[0].name);
	}
	return cli_usage(command, "nothing to offer: give %s", names);
}

/* ---- who uses what ----
 *
 * Each service, and the host, has either any number of commands that use it or one that opens or
 * closes it. Nobody waits for the others, who may wait for a guest: it is refused. */

static struct {
	pthread_mutex_t lock;
	unsigned int users[COUNT + 1];
	bool changing[COUNT + 1], ending;
} use = { .lock = PTHREAD_MUTEX_INITIALIZER };

static const char *use_name(size_t i)
{
	return i < COUNT ? services[i]->name : "the host";
}

/* NULL, or why not: to be printed with its name. */
static const char *use_begin(size_t i)
{
	const char *why = NULL;

	pthread_mutex_lock(&use.lock);
	if (use.changing[i])
		why = "is being offered or taken back by another command";
	else
		use.users[i]++;
	pthread_mutex_unlock(&use.lock);
	return why;
}

static void use_end(size_t i)
{
	pthread_mutex_lock(&use.lock);
	use.users[i]--;
	pthread_mutex_unlock(&use.lock);
}

/* Likewise, to be the only one. */
static const char *change_begin(size_t i)
{
	const char *why = NULL;

	pthread_mutex_lock(&use.lock);
	if (use.changing[i] || use.users[i])
		why = "is in use by another command";
	else
		use.changing[i] = true;
	pthread_mutex_unlock(&use.lock);
	return why;
}

static void change_end(size_t i)
{
	pthread_mutex_lock(&use.lock);
	use.changing[i] = false;
	pthread_mutex_unlock(&use.lock);
}

/* From now on nothing uses it; false: somebody does. */
static bool use_is_over(size_t i)
{
	return !change_begin(i);
}

void services_end(void)
{
	pthread_mutex_lock(&use.lock);
	use.ending = true;
	pthread_mutex_unlock(&use.lock);
}

bool services_ending(void)
{
	bool ending;

	pthread_mutex_lock(&use.lock);
	ending = use.ending;
	pthread_mutex_unlock(&use.lock);
	return ending;
}

static int open_one(size_t i)
{
	int code = services[i]->open(host);

	opened[i] = code == EXIT_OK;
	return code;
}

static void close_one(size_t i)
{
	if (opened[i])
		services[i]->close();
	opened[i] = false;
}

int services_take_version(const char *command, const char *argument)
{
	unsigned int major, minor;
	char rest;

	if (sscanf(argument, "%u.%u%c", &major, &minor, &rest) != 2 || major > 99 || minor > 99)
		return cli_usage(command, "--version-max takes a version such as 5.3, not '%s'",
		                 argument);
	version_max = KMCL_BUS_VERSION(major, minor);
	if (kmcl_bus_version_known(version_max))
		return EXIT_OK;
	return cli_usage(command, "--version-max: VMBus has no version %s; the newest is %u.%u",
	                 argument, KMCL_BUS_VERSION_LATEST >> 16, KMCL_BUS_VERSION_LATEST & 0xffff);
}

int services_take_memory_max(const char *command, const char *argument)
{
	if (!cli_parse_size(argument, 4096, UINT64_C(1) << 40, &memory_max))
		return cli_usage(command, "--memory-max takes a size from 4k to 1T, not '%s'",
		                 argument);
	return EXIT_OK;
}

void services_take_monitored(void)
{
	monitored = true;
}

bool services_monitored(void)
{
	return monitored;
}

int services_open(const char *uri)
{
	struct kmcl_host_options own = { .size = sizeof(own),
		                         .version_max = version_max,
		                         .memory_max = memory_max };
	int error = kmcl_host_create(uri, &own, &host), code = EXIT_OK;

	if (error) {
		cli_error("%s: %s", uri, cli_reason(error));
		return EXIT_FAILED;
	}
	snprintf(host_uri, sizeof(host_uri), "%s", uri);
	for (size_t i = 0; i < COUNT && !code; i++)
		if (services[i]->wanted())
			code = open_one(i);
	if (code)
		services_close();
	return code;
}

/* The host that cannot be closed, as somebody waits for its guest, leaves no more than one that was
 * closed. */
static void leave_host(void)
{
	char lock[sizeof(host_uri) + sizeof(".lock")];
	const char *path = host_uri + strlen("unix:");

	if (strncmp(host_uri, "unix:", strlen("unix:")) != 0)
		return;
	unlink(path);
	snprintf(lock, sizeof(lock), "%s.lock", path);
	unlink(lock);
}

void services_close(void)
{
	bool left = !use_is_over(HOST);

	for (size_t i = COUNT; i-- > 0;) {
		if (use_is_over(i))
			close_one(i);
		else
			left = true;
	}
	if (left) {
		leave_host();
		return;
	}
	kmcl_host_destroy(host);
	host = NULL;
}

struct kmcl_host *services_host(void)
{
	return host;
}

static void print_one(FILE *out, size_t i)
{
	if (!opened[i])
		return;
	fprintf(out, "%s: ", services[i]->name);
	if (services[i]->print)
		services[i]->print(out);
	else
		fputs("offered\n", out);
}

void services_print(FILE *out)
{
	for (size_t i = 0; i < COUNT; i++) {
		if (use_begin(i))
			continue;
		print_one(out, i);
		use_end(i);
	}
}

static void one_json(struct json *j, size_t i)
{
	if (use_begin(i)) {
		json_null(j, services[i]->name);
		return;
	}
	if (opened[i]) {
		json_open(j, services[i]->name, '{');
		if (services[i]->json)
			services[i]->json(j);
		json_close(j, '}');
	} else {
		json_null(j, services[i]->name);
	}
	use_end(i);
}

void services_json(FILE *out)
{
	struct kmcl_bus_info bus = { .size = sizeof(bus) };
	struct json j;

	kmcl_host_query(host, &bus);
	json_begin(&j, out);
	json_open(&j, NULL, '{');
	json_number(&j, "visitors", bus.visitors);
	json_number(&j, "visitors_refused", bus.visitors_refused);
	json_number(&j, "visitors_stuck", bus.visitors_stuck);
	json_open(&j, "services", '{');
	for (size_t i = 0; i < COUNT; i++)
		one_json(&j, i);
	json_close(&j, '}');
	json_close(&j, '}');
	json_end(&j);
}

/* ---- commands ---- */

int control_refuse(struct control_reply *reply, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(reply->why, sizeof(reply->why), format, ap);
	va_end(ap);
	return EXIT_FAILED;
}

int control_usage(struct control_reply *reply, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(reply->why, sizeof(reply->why), format, ap);
	va_end(ap);
	return EXIT_USAGE;
}

const char *control_reason(int error)
{
	static const struct {
		int error;
		const char *words;
	} table[] = {
		{ ENOTCONN, "the guest's driver is not there" },
		{ EPROTONOSUPPORT, "the guest shares no version of it with the host" },
		{ ENOTSUP, "the version that the guest agreed on has no such thing" },
		{ EBUSY, "the guest owes too many answers" },
		{ ETIMEDOUT, "the guest did not answer in time" },
		{ ENODEV, "the guest's driver went away meanwhile" },
		{ EPROTO, "the guest's answer makes no sense; the log has more" },
		{ EIO, "the guest says that it cannot" },
		{ ENOENT, "the guest has no such key" },
		{ ENODATA, "the guest could not do it" },
		{ EINVAL, "no key, value or adapter can be called that" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].error == -error)
			return table[i].words;
	return cli_reason(error);
}

static int find_service(struct control_reply *reply, const char *name, size_t *found)
{
	for (size_t i = 0; i < COUNT; i++)
		if (!strcmp(name, services[i]->name)) {
			*found = i;
			return EXIT_OK;
		}
	return control_usage(reply, "no service '%s'", name);
}

static int rescind_one(struct control_reply *reply, size_t i)
{
	if (!opened[i])
		return control_refuse(reply, "%s is not offered", services[i]->name);
	if (services[i]->withdraw)
		services[i]->withdraw();
	close_one(i);
	return EXIT_OK;
}

static int offer_one(struct control_reply *reply, size_t i)
{
	if (opened[i])
		return control_refuse(reply, "%s is offered already", services[i]->name);
	if (open_one(i))
		return control_refuse(reply, "%s cannot be offered; its log says why",
		                      services[i]->name);
	return EXIT_OK;
}

static int run_change(struct control_reply *reply, const char *name,
                      int (*change)(struct control_reply *reply, size_t i))
{
	const char *why;
	size_t i = 0;
	int code = find_service(reply, name, &i);

	if (code)
		return code;
	why = change_begin(i);
	if (why)
		return control_refuse(reply, "%s %s", use_name(i), why);
	code = change(reply, i);
	change_end(i);
	return code;
}

static int run_rescind(struct control_reply *reply, int argc, char **argv)
{
	return run_change(reply, argv[0], rescind_one);
}

static int run_offer(struct control_reply *reply, int argc, char **argv)
{
	return run_change(reply, argv[0], offer_one);
}

static int run_info(struct control_reply *reply, int argc, char **argv)
{
	if (reply->json)
		services_json(reply->out);
	else
		services_print(reply->out);
	return EXIT_OK;
}

const struct control_command services_commands[] = {
	{ "info", "", "what the services did", run_info },
	{ "rescind", "SERVICE", "take a service's offers back", run_rescind, 1, 1 },
	{ "offer", "SERVICE", "offer it again", run_offer, 1, 1 },
	{ 0 },
};

static int run_using(struct control_reply *reply, const struct control_command *command, size_t i,
                     int argc, char **argv)
{
	const char *why = services_ending() ? "is ending" : use_begin(i);
	int code;

	if (why)
		return control_refuse(reply, "%s %s", use_name(i), why);
	code = command->run(reply, argc, argv);
	use_end(i);
	return code;
}

/* The other commands use the host alone. */
int services_run(struct control_reply *reply, const struct control_command *list,
                 const struct control_command *command, int argc, char **argv)
{
	for (size_t i = 0; i < COUNT; i++)
		if (services[i]->commands == list)
			return run_using(reply, command, i, argc, argv);
	return run_using(reply, command, HOST, argc, argv);
}

const struct control_command *services_next_commands(const struct control_command *before)
{
	bool passed = !before;

	for (size_t i = 0; i < COUNT; i++) {
		if (passed && services[i]->commands)
			return services[i]->commands;
		passed = passed || services[i]->commands == before;
	}
	return NULL;
}
