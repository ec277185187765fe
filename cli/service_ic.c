/* SPDX-License-Identifier: BSD-2-Clause */
/* The integration components: heartbeat, shutdown, time, key-value pairs. */
#include "service.h"

#include <errno.h>
#include <kmcl/ic.h>
#include <string.h>

static bool wanted;
static uint64_t (*reference_time)(void *context);
static struct kmcl_heartbeat *heartbeat;
static struct kmcl_shutdown *shutdown_component;
static struct kmcl_timesync *timesync;
static struct kmcl_kvp *kvp;

void service_ic_want(uint64_t (*function)(void *context))
{
	wanted = true;
	reference_time = function;
}

static int take_ic(const char *command, const char *argument)
{
	wanted = true;
	return EXIT_OK;
}

static const struct service_option options[] = {
	{ "ic", 0, false, take_ic },
	{ 0 },
};

static bool is_wanted(void)
{
	return wanted;
}

/* ---- opening and closing ---- */

static const char *heartbeat_words(enum kmcl_heartbeat_state state)
{
	switch (state) {
	case KMCL_HEARTBEAT_NO_CONTACT:
		return "no contact";
	case KMCL_HEARTBEAT_OK:
		return "ok";
	case KMCL_HEARTBEAT_LOST:
		return "lost";
	}
	return "unknown";
}

static void heartbeat_changed(void *context, enum kmcl_heartbeat_state state)
{
	if (state != KMCL_HEARTBEAT_NO_CONTACT)
		fprintf(stderr, "kmcl: the guest's heartbeat: %s\n", heartbeat_words(state));
}

static void close_components(void)
{
	kmcl_heartbeat_destroy(heartbeat);
	kmcl_shutdown_destroy(shutdown_component);
	kmcl_timesync_destroy(timesync);
	kmcl_kvp_destroy(kvp);
	heartbeat = NULL;
	shutdown_component = NULL;
	timesync = NULL;
	kvp = NULL;
}

static int open_components(struct kmcl_host *host)
{
	struct kmcl_heartbeat_options beats = { .ic.size = sizeof(beats),
		                                .changed = heartbeat_changed };
	struct kmcl_timesync_options time = { .ic.size = sizeof(time),
		                              .reference_time = reference_time };
	int error = kmcl_heartbeat_create(host, &beats, &heartbeat);

	if (!error)
		error = kmcl_shutdown_create(host, NULL, &shutdown_component);
	if (!error)
		error = kmcl_timesync_create(host, &time, &timesync);
	if (!error)
		error = kmcl_kvp_create(host, NULL, &kvp);
	if (!error)
		return EXIT_OK;
	cli_error("cannot offer the integration components: %s", strerror(-error));
	close_components();
	return EXIT_FAILED;
}

static void print_components(struct control_reply *reply)
{
	struct kmcl_heartbeat_info beats = { .size = sizeof(beats) };
	struct kmcl_timesync_info time = { .size = sizeof(time) };

	if (!heartbeat || !timesync || reply->json)
		return;
	kmcl_heartbeat_query(heartbeat, &beats);
	kmcl_timesync_query(timesync, &time);
	fprintf(reply->out, "heartbeat %s, lost %llu times; clock set %llu times, %llu samples\n",
	        heartbeat_words(beats.state), (unsigned long long)beats.lost,
	        (unsigned long long)time.sets, (unsigned long long)time.samples);
}

/* ---- commands ---- */

static int ask_shutdown(struct control_reply *reply, enum kmcl_shutdown_action action)
{
	struct kmcl_shutdown_request request = { .size = sizeof(request), .action = action };
	int error;

	if (!shutdown_component)
		return control_refuse(reply, "the shutdown component is not offered");
	error = kmcl_shutdown_ask(shutdown_component, &request, 0, NULL);
	if (error)
		return control_refuse(reply, "the guest will not: %s", strerror(-error));
	return EXIT_OK;
}

static int run_shutdown(struct control_reply *reply, int argc, char **argv)
{
	return ask_shutdown(reply, KMCL_SHUTDOWN_POWER_OFF);
}

static int run_reboot(struct control_reply *reply, int argc, char **argv)
{
	return ask_shutdown(reply, KMCL_SHUTDOWN_RESTART);
}

static int run_hibernate(struct control_reply *reply, int argc, char **argv)
{
	return ask_shutdown(reply, KMCL_SHUTDOWN_HIBERNATE);
}

static int run_heartbeat(struct control_reply *reply, int argc, char **argv)
{
	struct kmcl_heartbeat_info info = { .size = sizeof(info) };

	if (!heartbeat)
		return control_refuse(reply, "the heartbeat is not offered");
	kmcl_heartbeat_query(heartbeat, &info);
	fprintf(reply->out, "%s\n", heartbeat_words(info.state));
	return EXIT_OK;
}

static int run_clock(struct control_reply *reply, int argc, char **argv)
{
	int error;

	if (!timesync)
		return control_refuse(reply, "time synchronisation is not offered");
	error = kmcl_timesync_set(timesync);
	return !error ? EXIT_OK : control_refuse(reply, "%s", strerror(-error));
}

static const char *const pools[KMCL_KVP_POOLS] = {
	[KMCL_KVP_POOL_EXTERNAL] = "external",
	[KMCL_KVP_POOL_GUEST] = "guest",
	[KMCL_KVP_POOL_AUTO] = "auto",
	[KMCL_KVP_POOL_AUTO_EXTERNAL] = "auto-external",
	[KMCL_KVP_POOL_AUTO_INTERNAL] = "auto-internal",
};

/* "POOL:KEY" or "KEY", for which the pool is as it was. False: no such pool. */
static bool pool_and_key(const char *text, enum kmcl_kvp_pool *pool, const char **key)
{
	const char *colon = strchr(text, ':');

	*key = colon ? colon + 1 : text;
	if (!colon)
		return true;
	for (unsigned int i = 0; i < KMCL_KVP_POOLS; i++) {
		if (strlen(pools[i]) != (size_t)(colon - text) ||
		    strncmp(pools[i], text, (size_t)(colon - text)) != 0)
			continue;
		*pool = (enum kmcl_kvp_pool)i;
		return true;
	}
	return false;
}

static void print_value(FILE *out, const struct kmcl_kvp_value *value)
{
	if (value->type == KMCL_KVP_U32 || value->type == KMCL_KVP_U64)
		fprintf(out, "%llu\n", (unsigned long long)value->number);
	else
		fprintf(out, "%s\n", value->text);
}

/* What all of them begin with; the pool is the default one. */
static int kvp_arguments(struct control_reply *reply, int argc, char **argv, int expected,
                         enum kmcl_kvp_pool *pool, const char **key)
{
	if (!kvp)
		return control_refuse(reply, "key-value pairs are not offered");
	if (argc != expected)
		return control_refuse(reply, "expected %d words, got %d", expected, argc);
	if (!pool_and_key(argv[0], pool, key))
		return control_refuse(reply,
		                      "%s: the pools are external, guest, auto, "
		                      "auto-external and auto-internal",
		                      argv[0]);
	return EXIT_OK;
}

static int run_kvp_get(struct control_reply *reply, int argc, char **argv)
{
	enum kmcl_kvp_pool pool = KMCL_KVP_POOL_GUEST;
	struct kmcl_kvp_value value;
	const char *key = NULL;
	int code = kvp_arguments(reply, argc, argv, 1, &pool, &key);
	int error;

	if (code)
		return code;
	error = kmcl_kvp_get(kvp, pool, key, &value, 0);
	if (error)
		return control_refuse(reply, "%s: %s", argv[0], strerror(-error));
	print_value(reply->out, &value);
	return EXIT_OK;
}

static int run_kvp_set(struct control_reply *reply, int argc, char **argv)
{
	struct kmcl_kvp_value value = { .type = KMCL_KVP_STRING };
	enum kmcl_kvp_pool pool = KMCL_KVP_POOL_EXTERNAL;
	const char *key = NULL;
	int code = kvp_arguments(reply, argc, argv, 2, &pool, &key);
	int error;

	if (code)
		return code;
	if (strlen(argv[1]) >= sizeof(value.text))
		return control_refuse(reply, "the value is longer than %zu bytes",
		                      sizeof(value.text) - 1);
	strcpy(value.text, argv[1]);
	error = kmcl_kvp_set(kvp, pool, key, &value, 0);
	return !error ? EXIT_OK : control_refuse(reply, "%s: %s", argv[0], strerror(-error));
}

static int run_kvp_delete(struct control_reply *reply, int argc, char **argv)
{
	enum kmcl_kvp_pool pool = KMCL_KVP_POOL_EXTERNAL;
	const char *key = NULL;
	int code = kvp_arguments(reply, argc, argv, 1, &pool, &key);
	int error;

	if (code)
		return code;
	error = kmcl_kvp_delete(kvp, pool, key, 0);
	return !error ? EXIT_OK : control_refuse(reply, "%s: %s", argv[0], strerror(-error));
}

static int run_kvp_list(struct control_reply *reply, int argc, char **argv)
{
	enum kmcl_kvp_pool pool = KMCL_KVP_POOL_GUEST;
	struct kmcl_kvp_entry entry;
	char word[32];
	const char *key = NULL;
	int error = 0;

	snprintf(word, sizeof(word), "%s:", argc ? argv[0] : "guest");
	if (!kvp)
		return control_refuse(reply, "key-value pairs are not offered");
	if (argc > 1 || !pool_and_key(word, &pool, &key))
		return control_refuse(reply, "no pool '%s'", argc ? argv[0] : "");
	for (uint32_t i = 0; !error; i++) {
		error = kmcl_kvp_enumerate(kvp, pool, i, &entry, 0);
		if (error)
			break;
		fprintf(reply->out, "%s=", entry.key);
		print_value(reply->out, &entry.value);
	}
	return error == -ENODATA ? EXIT_OK : control_refuse(reply, "%s", strerror(-error));
}

static int run_kvp_ip(struct control_reply *reply, int argc, char **argv)
{
	struct kmcl_kvp_ip_info info;
	int error;

	if (!kvp || argc != 1)
		return control_refuse(reply, "kvp ip takes the adapter's MAC address");
	error = kmcl_kvp_get_ip(kvp, argv[0], &info, 0);
	if (error)
		return control_refuse(reply, "%s: %s", argv[0], strerror(-error));
	fprintf(reply->out, "addresses %s\nsubnets %s\ngateways %s\ndns %s\ndhcp %s\n",
	        info.addresses, info.subnets, info.gateways, info.dns, info.dhcp ? "yes" : "no");
	return EXIT_OK;
}

static const struct control_command commands[] = {
	{ "shutdown", "", "ask the guest to power off", run_shutdown },
	{ "reboot", "", "ask the guest to restart", run_reboot },
	{ "hibernate", "", "ask the guest to hibernate", run_hibernate },
	{ "heartbeat", "", "is it alive: ok, lost, no contact", run_heartbeat },
	{ "clock set", "", "tell the guest to set its clock", run_clock },
	{ "kvp get", "[POOL:]KEY", "a value that the guest keeps; pool guest", run_kvp_get },
	{ "kvp set", "[POOL:]KEY VALUE", "give it one; pool external", run_kvp_set },
	{ "kvp delete", "[POOL:]KEY", "take it away; pool external", run_kvp_delete },
	{ "kvp list", "[POOL]", "all of a pool; pool guest", run_kvp_list },
	{ "kvp ip", "MAC", "the addresses of an adapter", run_kvp_ip },
	{ 0 },
};

const struct service ic_service = {
	.name = "ic",
	.help = "      --ic              offer the integration components; kmcl boot always does\n",
	.options = options,
	.commands = commands,
	.wanted = is_wanted,
	.open = open_components,
	.close = close_components,
	.print = print_components,
};
