/* SPDX-License-Identifier: BSD-2-Clause */
#include "echo/echo.h"
#include "service.h"

static bool wanted;
static struct echo_service *service;

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
	HANDLE vmbus = kmcl_host_handle(host);
	struct echo_service_options echo = { .monitored = services_monitored() };
	NTSTATUS status;

	cli_make_guid("kmcl host echo 0", &echo.instance);
	status = echo_service_create(vmbus, &echo, &service);
	if (NT_SUCCESS(status))
		return EXIT_OK;
	service = NULL;
	cli_error("cannot offer the echo service: %s", cli_status(status));
	return EXIT_FAILED;
}

static void close_service(void)
{
	if (service)
		echo_service_destroy(service);
	service = NULL;
}

const struct service echo_service = {
	.name = "echo",
	.help = "  -e, --echo            offer the echo service\n",
	.options = options,
	.wanted = is_wanted,
	.open = open_service,
	.close = close_service,
};
