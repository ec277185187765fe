/* SPDX-License-Identifier: BSD-2-Clause */
#include "ic/ic.h"
#include "ic/utf16.h"

#include <errno.h>
#include <kmcl/options.h>
#include <stdlib.h>
#include <string.h>

static const struct ic_version versions[] = { { 1, 0 }, { 3, 0 }, { 3, 1 }, { 3, 2 } };

struct kmcl_shutdown {
	struct ic *ic;
};

static const struct ic_kind kind = {
	.name = "shutdown",
	.type = IC_SHUTDOWN_INTERFACE_TYPE,
	.instance = IC_SHUTDOWN_INSTANCE,
	.message = IC_SHUTDOWN,
	.packet_max = 4096,
	.versions = versions,
	.version_count = sizeof(versions) / sizeof(versions[0]),
};

int kmcl_shutdown_create(struct kmcl_host *host, const struct kmcl_ic_options *options,
                         struct kmcl_shutdown **shutdown)
{
	struct kmcl_shutdown *s = calloc(1, sizeof(*s));
	struct kmcl_ic_options own;
	int error = s ? kmcl_options_take(&own, sizeof(own), options) : -ENOMEM;

	if (!error)
		error = ic_create(host, &kind, &own, s, &s->ic);
	if (error)
		free(s);
	else
		*shutdown = s;
	return error;
}

void kmcl_shutdown_destroy(struct kmcl_shutdown *s)
{
	if (s)
		ic_destroy(s->ic);
	free(s);
}

static const struct {
	uint32_t flags, since;
} actions[] = {
	[KMCL_SHUTDOWN_POWER_OFF] = { 0, IC_VERSION(1, 0) },
	[KMCL_SHUTDOWN_RESTART] = { IC_SHUTDOWN_RESTART, IC_VERSION(3, 1) },
	[KMCL_SHUTDOWN_HIBERNATE] = { IC_SHUTDOWN_HIBERNATE, IC_VERSION(3, 2) },
};

static bool make_message(const struct kmcl_shutdown_request *request, struct ic_shutdown *message)
{
	memset(message, 0, sizeof(*message));
	if ((size_t)request->action >= sizeof(actions) / sizeof(actions[0]))
		return false;
	message->reason = request->reason ? request->reason : IC_SHUTDOWN_REASON_PLANNED;
	message->timeout_seconds = request->timeout_seconds;
	message->flags = actions[request->action].flags;
	if (request->force)
		message->flags |= IC_SHUTDOWN_FORCE;
	return !request->text || utf16_from_utf8(request->text, message->text, IC_SHUTDOWN_TEXT);
}

int kmcl_shutdown_ask(struct kmcl_shutdown *s, const struct kmcl_shutdown_request *request,
                      uint32_t timeout_ms, uint32_t *guest_status)
{
	struct ic_deadline deadline = ic_deadline(timeout_ms);
	uint32_t version, status = 0, size;
	struct kmcl_shutdown_request own;
	struct ic_shutdown message;
	NTSTATUS outcome;
	int error = kmcl_options_take(&own, sizeof(own), request);

	if (guest_status)
		*guest_status = 0;
	if (error)
		return error;
	if (!make_message(&own, &message))
		return -EINVAL;
	outcome = ic_wait_ready(s->ic, deadline, &version);
	if (!NT_SUCCESS(outcome))
		return kmcl_errno(outcome);
	if (version < actions[own.action].since)
		return -ENOTSUP;
	outcome = ic_call(s->ic, version, deadline, &message, sizeof(message), NULL, 0, &size,
	                  &status);
	if (guest_status)
		*guest_status = status;
	return kmcl_errno(outcome);
}

int kmcl_shutdown_get_statistics(struct kmcl_shutdown *s, struct kmcl_ic_statistics *statistics)
{
	return ic_statistics(s->ic, statistics);
}
