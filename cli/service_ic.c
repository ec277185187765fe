/* SPDX-License-Identifier: BSD-2-Clause */
/* The integration components: heartbeat, shutdown, time, key-value pairs. */
#include "ic/heartbeat.h"
#include "ic/kvp.h"
#include "service.h"
#include "ic/shutdown.h"
#include "ic/timesync.h"

#include <string.h>

static bool wanted;
static uint64_t (*reference_time)(void *context);
static struct heartbeat *heartbeat;
static struct shutdown *shutdown_component;
static struct timesync *timesync;
static struct kvp *kvp;

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

static const char *heartbeat_words(enum heartbeat_state state)
{
	switch (state) {
	case HEARTBEAT_NO_CONTACT:
		return "no contact";
	case HEARTBEAT_OK:
		return "ok";
	case HEARTBEAT_LOST:
		return "lost";
	}
	return "unknown";
}

static void heartbeat_changed(void *context, enum heartbeat_state state)
{
	if (state != HEARTBEAT_NO_CONTACT)
		fprintf(stderr, "kmcl: the guest's heartbeat: %s\n", heartbeat_words(state));
}

static void close_components(void)
{
	if (heartbeat)
		heartbeat_destroy(heartbeat);
	if (shutdown_component)
		shutdown_destroy(shutdown_component);
	if (timesync)
		timesync_destroy(timesync);
	if (kvp)
		kvp_destroy(kvp);
	heartbeat = NULL;
	shutdown_component = NULL;
	timesync = NULL;
	kvp = NULL;
}

static int open_components(struct kmcl_host *host)
{
	HANDLE vmbus = kmcl_host_handle(host);
	struct heartbeat_options beats = { .changed = heartbeat_changed };
	struct timesync_options time = { .reference_time = reference_time };
	struct ic_options common = { 0 };
	NTSTATUS status = heartbeat_create(vmbus, &beats, &heartbeat);

	if (NT_SUCCESS(status))
		status = shutdown_create(vmbus, &common, &shutdown_component);
	if (NT_SUCCESS(status))
		status = timesync_create(vmbus, &time, &timesync);
	if (NT_SUCCESS(status))
		status = kvp_create(vmbus, &common, &kvp);
	if (NT_SUCCESS(status))
		return EXIT_OK;
	cli_error("cannot offer the integration components: %s", cli_status(status));
	close_components();
	return EXIT_FAILED;
}

static void print_components(struct control_reply *reply)
{
	struct heartbeat_info beats;
	struct timesync_info time;

	if (!heartbeat || !timesync || reply->json)
		return;
	heartbeat_info(heartbeat, &beats);
	timesync_info(timesync, &time);
	fprintf(reply->out, "heartbeat %s, lost %llu times; clock set %llu times, %llu samples\n",
	        heartbeat_words(beats.state), (unsigned long long)beats.lost,
	        (unsigned long long)time.sets, (unsigned long long)time.samples);
}

/* ---- commands ---- */

static int ask_shutdown(struct control_reply *reply, enum shutdown_action action)
{
	struct shutdown_request request = { .action = action };
	NTSTATUS status;

	if (!shutdown_component)
		return control_refuse(reply, "the shutdown component is not offered");
	status = shutdown_request(shutdown_component, &request, 0, NULL);
	if (!NT_SUCCESS(status))
		return control_refuse(reply, "the guest will not: %s", cli_status(status));
	return EXIT_OK;
}

static int run_shutdown(struct control_reply *reply, int argc, char **argv)
{
	return ask_shutdown(reply, SHUTDOWN_POWER_OFF);
}

static int run_reboot(struct control_reply *reply, int argc, char **argv)
{
	return ask_shutdown(reply, SHUTDOWN_RESTART);
}

static int run_hibernate(struct control_reply *reply, int argc, char **argv)
{
	return ask_shutdown(reply, SHUTDOWN_HIBERNATE);
}

static int run_heartbeat(struct control_reply *reply, int argc, char **argv)
{
	struct heartbeat_info info;

	if (!heartbeat)
		return control_refuse(reply, "the heartbeat is not offered");
	heartbeat_info(heartbeat, &info);
	fprintf(reply->out, "%s\n", heartbeat_words(info.state));
	return EXIT_OK;
}

static int run_clock(struct control_reply *reply, int argc, char **argv)
{
	NTSTATUS status;

	if (!timesync)
		return control_refuse(reply, "time synchronisation is not offered");
	status = timesync_set(timesync);
	return NT_SUCCESS(status) ? EXIT_OK : control_refuse(reply, "%s", cli_status(status));
}

static const char *const pools[KVP_POOLS] = {
	[KVP_POOL_EXTERNAL] = "external",
	[KVP_POOL_GUEST] = "guest",
	[KVP_POOL_AUTO] = "auto",
	[KVP_POOL_AUTO_EXTERNAL] = "auto-external",
	[KVP_POOL_AUTO_INTERNAL] = "auto-internal",
};

/* "POOL:KEY" or "KEY", for which the pool is as it was. False: no such pool. */
static bool pool_and_key(const char *text, enum kvp_pool *pool, const char **key)
{
	const char *colon = strchr(text, ':');

	*key = colon ? colon + 1 : text;
	if (!colon)
		return true;
	for (unsigned int i = 0; i < KVP_POOLS; i++) {
		if (strlen(pools[i]) != (size_t)(colon - text) ||
		    strncmp(pools[i], text, (size_t)(colon - text)) != 0)
			continue;
		*pool = (enum kvp_pool)i;
		return true;
	}
	return false;
}

static void print_value(FILE *out, const struct kvp_value *value)
{
	if (value->type == IC_KVP_U32 || value->type == IC_KVP_U64)
		fprintf(out, "%llu\n", (unsigned long long)value->number);
	else
		fprintf(out, "%s\n", value->text);
}

/* What all of them begin with; the pool is the default one. */
static int kvp_arguments(struct control_reply *reply, int argc, char **argv, int expected,
                         enum kvp_pool *pool, const char **key)
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
	enum kvp_pool pool = KVP_POOL_GUEST;
	struct kvp_value value;
	const char *key = NULL;
	int code = kvp_arguments(reply, argc, argv, 1, &pool, &key);
	NTSTATUS status;

	if (code)
		return code;
	status = kvp_get(kvp, pool, key, &value, 0);
	if (!NT_SUCCESS(status))
		return control_refuse(reply, "%s: %s", argv[0], cli_status(status));
	print_value(reply->out, &value);
	return EXIT_OK;
}

static int run_kvp_set(struct control_reply *reply, int argc, char **argv)
{
	struct kvp_value value = { .type = IC_KVP_STRING };
	enum kvp_pool pool = KVP_POOL_EXTERNAL;
	const char *key = NULL;
	int code = kvp_arguments(reply, argc, argv, 2, &pool, &key);
	NTSTATUS status;

	if (code)
		return code;
	if (strlen(argv[1]) >= sizeof(value.text))
		return control_refuse(reply, "the value is longer than %zu bytes",
		                      sizeof(value.text) - 1);
	strcpy(value.text, argv[1]);
	status = kvp_set(kvp, pool, key, &value, 0);
	return NT_SUCCESS(status) ? EXIT_OK
	                          : control_refuse(reply, "%s: %s", argv[0], cli_status(status));
}

static int run_kvp_delete(struct control_reply *reply, int argc, char **argv)
{
	enum kvp_pool pool = KVP_POOL_EXTERNAL;
	const char *key = NULL;
	int code = kvp_arguments(reply, argc, argv, 1, &pool, &key);
	NTSTATUS status;

	if (code)
		return code;
	status = kvp_delete(kvp, pool, key, 0);
	return NT_SUCCESS(status) ? EXIT_OK
	                          : control_refuse(reply, "%s: %s", argv[0], cli_status(status));
}

static int run_kvp_list(struct control_reply *reply, int argc, char **argv)
{
	enum kvp_pool pool = KVP_POOL_GUEST;
	struct kvp_entry entry;
	char word[32];
	const char *key = NULL;
	NTSTATUS status = STATUS_SUCCESS;

	snprintf(word, sizeof(word), "%s:", argc ? argv[0] : "guest");
	if (!kvp)
		return control_refuse(reply, "key-value pairs are not offered");
	if (argc > 1 || !pool_and_key(word, &pool, &key))
		return control_refuse(reply, "no pool '%s'", argc ? argv[0] : "");
	for (uint32_t i = 0; NT_SUCCESS(status); i++) {
		status = kvp_enumerate(kvp, pool, i, &entry, 0);
		if (!NT_SUCCESS(status))
			break;
		fprintf(reply->out, "%s=", entry.key);
		print_value(reply->out, &entry.value);
	}
	return status == STATUS_NO_MORE_ENTRIES ? EXIT_OK
	                                        : control_refuse(reply, "%s", cli_status(status));
}

static int run_kvp_ip(struct control_reply *reply, int argc, char **argv)
{
	struct kvp_ip_info info;
	NTSTATUS status;

	if (!kvp || argc != 1)
		return control_refuse(reply, "kvp ip takes the adapter's MAC address");
	status = kvp_get_ip(kvp, argv[0], &info, 0);
	if (!NT_SUCCESS(status))
		return control_refuse(reply, "%s: %s", argv[0], cli_status(status));
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
