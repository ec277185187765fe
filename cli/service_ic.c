/* SPDX-License-Identifier: BSD-2-Clause */
/* The integration components: heartbeat, shutdown, time, key-value pairs. */
#include "service.h"

#include <errno.h>
#include <kmcl/ic.h>
#include <string.h>
#include <time.h>

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
	cli_error("cannot offer the integration components: %s", cli_reason(error));
	close_components();
	return EXIT_FAILED;
}

static void print_components(FILE *out)
{
	struct kmcl_heartbeat_info beats = { .size = sizeof(beats) };
	struct kmcl_timesync_info time = { .size = sizeof(time) };

	kmcl_heartbeat_query(heartbeat, &beats);
	kmcl_timesync_query(timesync, &time);
	fprintf(out, "heartbeat %s, lost %llu times; clock set %llu times, %llu samples\n",
	        heartbeat_words(beats.state), (unsigned long long)beats.lost,
	        (unsigned long long)time.sets, (unsigned long long)time.samples);
}

static const char *health_words(enum kmcl_heartbeat_health health)
{
	static const char *const words[] = { "unknown", "healthy", "critical", "stopped" };

	return (size_t)health < sizeof(words) / sizeof(words[0]) ? words[health] : "unknown";
}

static void heartbeat_json(struct json *j)
{
	struct kmcl_heartbeat_info info = { .size = sizeof(info) };

	kmcl_heartbeat_query(heartbeat, &info);
	json_string(j, "state", heartbeat_words(info.state));
	json_string(j, "health", health_words(info.health));
	json_number(j, "missed", info.missed);
	if (info.last_ms == UINT64_MAX)
		json_null(j, "last_ms");
	else
		json_number(j, "last_ms", info.last_ms);
	json_number(j, "lost", info.lost);
	json_number(j, "round_trip_us", info.round_trip_us);
}

static void components_json(struct json *j)
{
	struct kmcl_timesync_info time = { .size = sizeof(time) };

	kmcl_timesync_query(timesync, &time);
	json_open(j, "heartbeat", '{');
	heartbeat_json(j);
	json_close(j, '}');
	json_open(j, "time", '{');
	json_number(j, "sets", time.sets);
	json_number(j, "samples", time.samples);
	json_close(j, '}');
}

/* ---- commands ---- */

/* A guest that does as it is asked may be off the bus before its answer has been read. */
static bool guest_goes(void)
{
	struct kmcl_bus_info bus = { .size = sizeof(bus) };
	const struct timespec pause = { .tv_nsec = 10 * 1000000 };

	for (int tries = 0; tries < 50; tries++) {
		if (kmcl_host_query(services_host(), &bus))
			return false;
		if (!bus.version)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

static int ask_shutdown(struct control_reply *reply, enum kmcl_shutdown_action action)
{
	struct kmcl_shutdown_request request = { .size = sizeof(request), .action = action };
	int error;

	if (!shutdown_component)
		return control_refuse(reply, "the shutdown component is not offered");
	error = kmcl_shutdown_ask(shutdown_component, &request, 0, NULL);
	if (error && !(error == -ENODEV && guest_goes()))
		return control_refuse(reply, "%s", control_reason(error));
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
	struct json j;

	if (!heartbeat)
		return control_refuse(reply, "the heartbeat is not offered");
	if (reply->json) {
		json_begin(&j, reply->out);
		json_open(&j, NULL, '{');
		heartbeat_json(&j);
		json_close(&j, '}');
		json_end(&j);
		return EXIT_OK;
	}
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
	return !error ? EXIT_OK : control_refuse(reply, "%s", control_reason(error));
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

/* A number in decimal, in the value's own text. */
static const char *value_text(struct kmcl_kvp_value *value)
{
	if (value->type == KMCL_KVP_U32 || value->type == KMCL_KVP_U64)
		snprintf(value->text, sizeof(value->text), "%llu",
		         (unsigned long long)value->number);
	return value->text;
}

static const char *type_words(enum kmcl_kvp_type type)
{
	switch (type) {
	case KMCL_KVP_STRING:
		return "string";
	case KMCL_KVP_EXPAND_STRING:
		return "expand-string";
	case KMCL_KVP_U32:
		return "u32";
	case KMCL_KVP_U64:
		return "u64";
	}
	return "unknown";
}

/* A value is a string, as not all who read JSON have 64 bits for a number. */
static void entry_json(struct json *j, const char *key, struct kmcl_kvp_value *value)
{
	json_open(j, NULL, '{');
	json_string(j, "key", key);
	json_string(j, "type", type_words(value->type));
	json_string(j, "value", value_text(value));
	json_close(j, '}');
}

/* What all of them begin with; the pool is the default one. */
static int kvp_arguments(struct control_reply *reply, const char *word, enum kmcl_kvp_pool *pool,
                         const char **key)
{
	if (!kvp)
		return control_refuse(reply, "key-value pairs are not offered");
	if (!pool_and_key(word, pool, key))
		return control_usage(reply,
		                     "%s: the pools are external, guest, auto, "
		                     "auto-external and auto-internal",
		                     word);
	return EXIT_OK;
}

static int run_kvp_get(struct control_reply *reply, int argc, char **argv)
{
	enum kmcl_kvp_pool pool = KMCL_KVP_POOL_GUEST;
	struct kmcl_kvp_value value;
	const char *key = NULL;
	int code = kvp_arguments(reply, argv[0], &pool, &key);
	int error;

	if (code)
		return code;
	error = kmcl_kvp_get(kvp, pool, key, &value, 0);
	if (error)
		return control_refuse(reply, "%s: %s", argv[0], control_reason(error));
	if (reply->json) {
		struct json j;

		json_begin(&j, reply->out);
		entry_json(&j, key, &value);
		json_end(&j);
	} else {
		fprintf(reply->out, "%s\n", value_text(&value));
	}
	return EXIT_OK;
}

static int run_kvp_set(struct control_reply *reply, int argc, char **argv)
{
	struct kmcl_kvp_value value = { .type = KMCL_KVP_STRING };
	enum kmcl_kvp_pool pool = KMCL_KVP_POOL_EXTERNAL;
	const char *key = NULL;
	int code = kvp_arguments(reply, argv[0], &pool, &key);
	int error;

	if (code)
		return code;
	if (strlen(argv[1]) >= sizeof(value.text))
		return control_usage(reply, "the value is longer than %zu bytes",
		                     sizeof(value.text) - 1);
	strcpy(value.text, argv[1]);
	error = kmcl_kvp_set(kvp, pool, key, &value, 0);
	return !error ? EXIT_OK : control_refuse(reply, "%s: %s", argv[0], control_reason(error));
}

static int run_kvp_delete(struct control_reply *reply, int argc, char **argv)
{
	enum kmcl_kvp_pool pool = KMCL_KVP_POOL_EXTERNAL;
	const char *key = NULL;
	int code = kvp_arguments(reply, argv[0], &pool, &key);
	int error;

	if (code)
		return code;
	error = kmcl_kvp_delete(kvp, pool, key, 0);
	return !error ? EXIT_OK : control_refuse(reply, "%s: %s", argv[0], control_reason(error));
}

#define LIST_MAX 4096u /* entries; a guest could say for ever that there is one more */

static int run_kvp_list(struct control_reply *reply, int argc, char **argv)
{
	enum kmcl_kvp_pool pool = KMCL_KVP_POOL_GUEST;
	struct kmcl_kvp_entry entry;
	char word[32];
	const char *key = NULL;
	struct json j;
	int error, code;

	snprintf(word, sizeof(word), "%s:", argc ? argv[0] : "guest");
	code = kvp_arguments(reply, word, &pool, &key);
	if (code)
		return code;
	json_begin(&j, reply->out);
	if (reply->json) {
		json_open(&j, NULL, '{');
		json_open(&j, "entries", '[');
	}
	for (uint32_t i = 0; !(error = kmcl_kvp_enumerate(kvp, pool, i, &entry, 0)); i++) {
		if (i == LIST_MAX)
			return control_refuse(reply, "the guest says that there are more than %u",
			                      LIST_MAX);
		if (reply->json)
			entry_json(&j, entry.key, &entry.value);
		else
			fprintf(reply->out, "%s=%s\n", entry.key, value_text(&entry.value));
	}
	if (reply->json) {
		json_close(&j, ']');
		json_close(&j, '}');
		json_end(&j);
	}
	return error == -ENODATA ? EXIT_OK : control_refuse(reply, "%s", control_reason(error));
}

/* A list of the guest's, ended by or between ';'. */
static void list_json(struct json *j, const char *key, char *list)
{
	char *item;

	json_open(j, key, '[');
	while ((item = strsep(&list, ";")))
		if (*item)
			json_string(j, NULL, item);
	json_close(j, ']');
}

static void ip_json(FILE *out, struct kmcl_kvp_ip_info *info)
{
	struct json j;

	json_begin(&j, out);
	json_open(&j, NULL, '{');
	json_bool(&j, "ipv4", info->ipv4);
	json_bool(&j, "ipv6", info->ipv6);
	json_bool(&j, "dhcp", info->dhcp);
	list_json(&j, "addresses", info->addresses);
	list_json(&j, "subnets", info->subnets);
	list_json(&j, "gateways", info->gateways);
	list_json(&j, "dns", info->dns);
	json_close(&j, '}');
	json_end(&j);
}

static int run_kvp_ip(struct control_reply *reply, int argc, char **argv)
{
	struct kmcl_kvp_ip_info info;
	int error;

	if (!kvp)
		return control_refuse(reply, "key-value pairs are not offered");
	error = kmcl_kvp_get_ip(kvp, argv[0], &info, 0);
	if (error)
		return control_refuse(reply, "%s: %s", argv[0], control_reason(error));
	if (reply->json) {
		ip_json(reply->out, &info);
		return EXIT_OK;
	}
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
	{ "kvp get", "[POOL:]KEY", "a value that the guest keeps; pool guest", run_kvp_get, 1, 1 },
	{ "kvp set", "[POOL:]KEY VALUE", "give it one; pool external", run_kvp_set, 2, 2 },
	{ "kvp delete", "[POOL:]KEY", "take it away; pool external", run_kvp_delete, 1, 1 },
	{ "kvp list", "[POOL]", "all of a pool; pool guest", run_kvp_list, 0, 1 },
	{ "kvp ip", "MAC", "the addresses of an adapter", run_kvp_ip, 1, 1 },
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
	.json = components_json,
};
