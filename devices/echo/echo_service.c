/* SPDX-License-Identifier: BSD-2-Clause */
/* The service; kmcl/echo.h. */
#include "common/channel_name.h"
#include "common/guid.h"
#include "common/monitored.h"
#include "echo/echo.h"

#include <errno.h>
#include <kmcl/echo.h>
#include <kmcl/options.h>
#include <stdlib.h>
#include <string.h>

#define QUOTA 1024u

static const GUID interface_type = ECHO_INTERFACE_TYPE;

struct kmcl_echo {
	VMBCHANNEL vmb;
};

static void invert_memory(VMBPACKETCOMPLETION completion, struct echo_header *header)
{
	struct iovec iov[16];
	uint32_t at = 0, length, count, i;
	PMDL mdl;
	NTSTATUS status = VmbChannelPacketGetExternalData(completion, 0, &mdl);

	if (status == STATUS_PENDING)
		return;
	if (!NT_SUCCESS(status)) {
		VmbChannelPacketComplete(completion, NULL, 0);
		return;
	}
	length = MmGetMdlByteCount(mdl);
	while (at < length) {
		count = kmcl_mdl_iovec(mdl, at, length - at, iov, 16);
		for (i = 0; i < count && i < 16; i++) {
			volatile uint8_t *p = iov[i].iov_base; /* the guest's to change, too */
			size_t j;

			for (j = 0; j < iov[i].iov_len; j++)
				p[j] = (uint8_t)~p[j];
			at += (uint32_t)iov[i].iov_len;
		}
		if (!count)
			break;
	}
	VmbChannelPacketComplete(completion, header, sizeof(*header));
}

static VOID serve(VMBCHANNEL vmb, VMBPACKETCOMPLETION completion, PVOID buffer, UINT32 length,
                  UINT32 flags)
{
	struct echo_header header = { 0 };

	if (length >= sizeof(header))
		memcpy(&header, buffer, sizeof(header));
	switch (header.operation) {
	case ECHO_ECHO:
		VmbChannelPacketComplete(completion, buffer, length);
		break;
	case ECHO_INVERT:
		invert_memory(completion, &header);
		break;
	default:
		VmbChannelPacketComplete(completion, NULL, 0);
		break;
	}
}

static NTSTATUS configure_service(struct kmcl_echo *s, HANDLE vmbus,
                                  const struct kmcl_echo_options *options)
{
	NTSTATUS status = VmbServerChannelInitSetVmbusHandle(s->vmb, vmbus);
	GUID instance = kmcl_guid_to_nt(guid_or_name(options->instance, "echo"));

	if (NT_SUCCESS(status))
		status = VmbServerChannelInitSetTargetInterfaceId(s->vmb, interface_type, instance);
	if (NT_SUCCESS(status))
		status = monitored_configure(s->vmb, options->monitored);
	if (NT_SUCCESS(status))
		status = echo_set_sizes(s->vmb);
	if (NT_SUCCESS(status))
		status = VmbChannelInitSetProcessPacketCallbacks(s->vmb, serve, NULL);
	if (NT_SUCCESS(status))
		status = channel_name(s->vmb, "echo", 0);
	VmbChannelSetTransactionQuota(s->vmb, QUOTA);
	return status;
}

static NTSTATUS offer(struct kmcl_echo *s, HANDLE vmbus, const struct kmcl_echo_options *options)
{
	NTSTATUS status = VmbChannelAllocate(NULL, TRUE, &s->vmb);

	if (!NT_SUCCESS(status))
		return status;
	status = configure_service(s, vmbus, options);
	if (NT_SUCCESS(status))
		status = VmbChannelEnable(s->vmb);
	if (NT_SUCCESS(status))
		VmbChannelStart(s->vmb);
	else
		VmbChannelCleanup(s->vmb);
	return status;
}

int kmcl_echo_create(struct kmcl_host *host, const struct kmcl_echo_options *options,
                     struct kmcl_echo **echo)
{
	struct kmcl_echo *s = calloc(1, sizeof(*s));
	struct kmcl_echo_options own;
	HANDLE kernel_handle;
	NTSTATUS status;
	int error = s ? kmcl_options_take(&own, sizeof(own), options) : -ENOMEM;

	if (error)
		goto free;
	status = VmbConvertVmbusHandleToKernelHandle(kmcl_host_handle(host), &kernel_handle);
	if (NT_SUCCESS(status)) {
		status = offer(s, kernel_handle, &own);
		ZwClose(kernel_handle); /* the channel has its own reference */
	}
	error = kmcl_errno(status);
	if (error)
		goto free;
	*echo = s;
	return 0;
free:
	free(s);
	return error;
}

void kmcl_echo_destroy(struct kmcl_echo *s)
{
	if (!s)
		return;
	VmbChannelDisable(s->vmb);
	VmbChannelCleanup(s->vmb);
	free(s);
}
