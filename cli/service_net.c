/* SPDX-License-Identifier: BSD-2-Clause */
/* A network adapter. */
#include "service.h"

#include <assert.h>
#include <errno.h>
#include <kmcl/net.h>
#include <string.h>

#define FORWARDS_MAX 32u

static struct {
	bool wanted, user;
	char text[1024]; /* what the pointers below point into */
	const char *tap;
	const char *forwards[FORWARDS_MAX];
	uint32_t forward_count;
	uint64_t queues;
	uint8_t address[6];
} spec = { .queues = 4 };
static struct kmcl_net *adapter;

/* ---- options ---- */

static bool parse_address(const char *text)
{
	unsigned int byte[6];
	char rest;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &byte[0], &byte[1], &byte[2], &byte[3],
	           &byte[4], &byte[5], &rest) != 6 ||
	    byte[0] & 1)
		return false;
	for (int i = 0; i < 6; i++)
		spec.address[i] = (uint8_t)byte[i];
	return true;
}

/* NULL, or what is wrong with it. */
static const char *net_option(const char *option)
{
	static_assert(KMCL_NET_QUEUES == 8 && FORWARDS_MAX == 32, "said below");

	if (!strncmp(option, "hostfwd=", 8)) {
		if (!spec.user)
			return "only user networking forwards";
		if (spec.forward_count == FORWARDS_MAX)
			return "more than 32 forwards";
		spec.forwards[spec.forward_count++] = option + 8;
		return NULL;
	}
	if (!strncmp(option, "queues=", 7))
		return cli_parse_size(option + 7, 1, KMCL_NET_QUEUES, &spec.queues)
		               ? NULL
		               : "there may be 1 to 8 queues";
	if (!strncmp(option, "mac=", 4))
		return parse_address(option + 4) ? NULL : "not the address of one adapter";
	return "there is no such option of an adapter";
}

static int take_net(const char *command, const char *argument)
{
	char *rest = spec.text, *option;

	if (spec.wanted)
		return cli_usage(command, "--net may be given once");
	if (strlen(argument) >= sizeof(spec.text))
		return cli_usage(command, "--net: too long");
	strcpy(spec.text, argument);
	option = strsep(&rest, ",");
	spec.user = !strcmp(option, "user");
	if (!strncmp(option, "tap:", 4) && option[4])
		spec.tap = option + 4;
	else if (!spec.user)
		return cli_usage(command, "--net: user or tap:NAME, not '%s'", option);
	while ((option = strsep(&rest, ","))) {
		const char *wrong = net_option(option);

		if (wrong)
			return cli_usage(command, "--net %s: '%s': %s", spec.user ? "user" : "tap",
			                 option, wrong);
	}
	spec.wanted = true;
	return EXIT_OK;
}

static const struct service_option options[] = {
	{ "net", 'n', true, take_net },
	{ 0 },
};

static bool is_wanted(void)
{
	return spec.wanted;
}

/* ---- opening and closing ---- */

static int open_backend(struct kmcl_net_backend **backend, char *why, size_t why_size)
{
	int error;

	if (spec.tap)
		return kmcl_net_tap_create(spec.tap, backend, why, why_size);
	error = kmcl_net_user_create(NULL, backend, why, why_size);
	if (error)
		return error;
	for (uint32_t i = 0; i < spec.forward_count && !error; i++)
		error = kmcl_net_user_forward(*backend, spec.forwards[i], why, why_size);
	if (error)
		kmcl_net_backend_destroy(*backend);
	return error;
}

static int open_adapter(struct kmcl_host *host)
{
	struct kmcl_net_options own = { .size = sizeof(own),
		                        .instance = kmcl_guid_from_name("kmcl host net 0"),
		                        .queues = (uint16_t)spec.queues,
		                        .monitored = services_monitored() };
	char why[256] = "";
	int error;

	error = open_backend(&own.backend, why, sizeof(why));
	if (error) {
		cli_error("--net: %s", why);
		return error == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
	}
	memcpy(own.address, spec.address, sizeof(spec.address));
	error = kmcl_net_create(host, &own, &adapter);
	if (!error)
		return EXIT_OK;
	cli_error("cannot offer the network adapter: %s", cli_reason(error));
	return EXIT_FAILED;
}

static void close_adapter(void)
{
	kmcl_net_destroy(adapter);
	adapter = NULL;
}

static void print_adapter(FILE *out)
{
	struct kmcl_net_statistics s = { .size = sizeof(s) };

	kmcl_net_get_statistics(adapter, &s);
	fprintf(out,
	        "link %s; %llu frames (%llu bytes) from the guest, %llu dropped; %llu "
	        "(%llu bytes) to it\n",
	        s.link_up ? "up" : "down", (unsigned long long)s.tx_frames,
	        (unsigned long long)s.tx_bytes, (unsigned long long)s.tx_dropped,
	        (unsigned long long)s.rx_frames, (unsigned long long)s.rx_bytes);
}

static void adapter_json(struct json *j)
{
	struct kmcl_net_statistics s = { .size = sizeof(s) };

	kmcl_net_get_statistics(adapter, &s);
	json_bool(j, "link_up", s.link_up);
	json_number(j, "tx_frames", s.tx_frames);
	json_number(j, "tx_bytes", s.tx_bytes);
	json_number(j, "tx_dropped", s.tx_dropped);
	json_number(j, "rx_frames", s.rx_frames);
	json_number(j, "rx_bytes", s.rx_bytes);
	json_number(j, "subchannels", s.subchannels);
}

/* ---- commands ---- */

static int set_link(struct control_reply *reply, bool up)
{
	if (!adapter)
		return control_refuse(reply, "there is no network adapter");
	kmcl_net_set_link(adapter, up);
	return EXIT_OK;
}

static int run_up(struct control_reply *reply, int argc, char **argv)
{
	return set_link(reply, true);
}

static int run_down(struct control_reply *reply, int argc, char **argv)
{
	return set_link(reply, false);
}

static const struct control_command commands[] = {
	{ "link up", "", "plug the network cable in", run_up },
	{ "link down", "", "and out", run_down },
	{ 0 },
};

const struct service net_service = {
	.name = "net",
	.help = "  -n, --net WHERE       a network adapter. WHERE: user (no privileges needed; the\n"
		"                        guest is 10.0.2.15) or tap:NAME. After it:\n"
		"                          ,hostfwd=tcp::PORT-:PORT  user: host's port to the guest's\n"
		"                          ,queues=N    1 to 8; default 4\n"
		"                          ,mac=ADDRESS its hardware address\n",
	.options = options,
	.commands = commands,
	.wanted = is_wanted,
	.open = open_adapter,
	.close = close_adapter,
	.print = print_adapter,
	.json = adapter_json,
};
