/* SPDX-License-Identifier: BSD-2-Clause */
#include "service.h"

#include <kmcl/echo.h>
#include <string.h>

static bool wanted;
static struct kmcl_echo *echo;

static int take_echo(const char *command, const char *argument)
{
	wanted = true;
	return EXIT_OK;
}

static const struct service_option options[] = {
	{ "echo", 'e', false, take_echo },
	{ 0 },
};

static bool is_wanted(void)
{
	return wanted;
}

static int open_service(struct kmcl_host *host)
{
	struct kmcl_echo_options own = { .size = sizeof(own),
		                         .instance = kmcl_guid_from_name("kmcl host echo 0"),
		                         .monitored = services_monitored() };
	int error = kmcl_echo_create(host, &own, &echo);

	if (!error)
		return EXIT_OK;
	cli_error("cannot offer the echo service: %s", cli_reason(error));
	return EXIT_FAILED;
}

static void close_service(void)
{
	kmcl_echo_destroy(echo);
	echo = NULL;
}

const struct service echo_service = {
	.name = "echo",
	.help = "  -e, --echo            offer the echo service\n",
	.options = options,
	.wanted = is_wanted,
	.open = open_service,
	.close = close_service,
};
