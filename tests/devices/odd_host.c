/* SPDX-License-Identifier: BSD-2-Clause */
#include "odd_host.h"

#include "echo/echo.h"
#include "scsi/scsi.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define UNANSWERED_MAX 1024u

struct service {
	struct odd_host *host;
	VMBCHANNEL vmb;
	pthread_mutex_t lock;
	VMBPACKETCOMPLETION unanswered[UNANSWERED_MAX];
	unsigned int unanswered_count;
};

struct odd_host {
	HANDLE vmbus, kernel;
	odd_host_answer_fn *answer;
	void *context;
	bool silent_echo;
	struct service scsi, echo;
};

/* ---- packets that are not answered ---- */

static void keep(struct service *s, VMBPACKETCOMPLETION completion)
{
	pthread_mutex_lock(&s->lock);
	if (s->unanswered_count == UNANSWERED_MAX)
		abort();
	s->unanswered[s->unanswered_count++] = completion;
	pthread_mutex_unlock(&s->lock);
}

/* The channel closes: the library wants them back. */
static VOID suspend(VMBCHANNEL vmb)
{
	struct service *s = VmbChannelGetPointer(vmb);

	pthread_mutex_lock(&s->lock);
	while (s->unanswered_count)
		VmbChannelPacketComplete(s->unanswered[--s->unanswered_count], NULL, 0);
	pthread_mutex_unlock(&s->lock);
}

/* ---- a disk ---- */

static void put_inquiry(uint8_t *d)
{
	d[2] = 5;
	d[3] = 2;
	d[4] = 31;
	memcpy(d + 8, "Odd     Disk            1.0 ", 28);
}

/* What the disk has to say to the command; returns how much of it. */
static uint32_t data_of(const struct storvsc_srb *srb, uint8_t *d, uint32_t capacity)
{
	memset(d, 0, capacity);
	switch (srb->cdb[0]) {
	case SCSI_REPORT_LUNS:
		d[3] = 8;
		return 16;
	case SCSI_INQUIRY:
		put_inquiry(d);
		return 36;
	case SCSI_SERVICE_ACTION_IN_16:
		scsi_put64(d, ODD_DISK_SIZE / 512 - 1);
		scsi_put32(d + 8, 512);
		return 32;
	case SCSI_MODE_SENSE_6:
		d[0] = 3;
		return 4;
	case SCSI_READ_16:
		memset(d, ODD_DISK_BYTE, capacity);
		return capacity;
	default:
		return 0;
	}
}

static void to_guest(VMBPACKETCOMPLETION completion, const uint8_t *data, uint32_t n)
{
	struct iovec iov[64];
	uint32_t at = 0, count, i;
	PMDL mdl;

	if (!n || !NT_SUCCESS(VmbChannelPacketGetExternalData(completion, 0, &mdl)))
		return;
	while (at < n && (count = kmcl_mdl_iovec(mdl, at, n - at, iov, 64))) {
		for (i = 0; i < count && i < 64; i++) {
			memcpy(iov[i].iov_base, data + at, iov[i].iov_len);
			at += (uint32_t)iov[i].iov_len;
		}
	}
}

static void execute(VMBPACKETCOMPLETION completion, const struct storvsc_packet *request,
                    struct storvsc_packet *answer)
{
	uint32_t n = request->srb.transfer_length, moved;
	uint8_t *data = malloc(n + 64);

	moved = data_of(&request->srb, data, n > 36 ? n : 36);
	if (moved > n)
		moved = n;
	if (request->srb.data_in == STORVSC_DATA_IN)
		to_guest(completion, data, moved);
	else
		moved = n;
	free(data);
	memset(&answer->srb, 0, sizeof(answer->srb));
	answer->srb.srb_status = STORVSC_SRB_SUCCESS;
	answer->srb.transfer_length = moved;
}

static void negotiate(const struct storvsc_packet *request, struct storvsc_packet *answer)
{
	memset(answer->bytes, 0, sizeof(answer->bytes));
	if (request->operation == STORVSC_QUERY_PROTOCOL_VERSION)
		answer->version = request->version;
	else if (request->operation == STORVSC_QUERY_PROPERTIES)
		answer->properties.max_transfer = 1 << 20;
}

void odd_host_fail(struct storvsc_packet *answer, uint8_t key, uint16_t asc)
{
	answer->srb.srb_status = STORVSC_SRB_ERROR | STORVSC_SRB_AUTOSENSE_VALID;
	answer->srb.scsi_status = SCSI_CHECK_CONDITION;
	answer->srb.transfer_length = 0;
	answer->srb.sense_length = SCSI_SENSE_SIZE;
	memset(answer->srb.sense, 0, sizeof(answer->srb.sense));
	answer->srb.sense[0] = 0x70;
	answer->srb.sense[2] = key;
	answer->srb.sense[7] = 10;
	scsi_put16(answer->srb.sense + 12, asc);
}

static VOID serve_scsi(VMBCHANNEL vmb, VMBPACKETCOMPLETION completion, PVOID buffer, UINT32 length,
                       UINT32 flags)
{
	struct service *s = VmbChannelGetPointer(vmb);
	struct storvsc_packet request = { 0 }, answer;

	memcpy(&request, buffer, length < sizeof(request) ? length : sizeof(request));
	answer = request;
	answer.operation = STORVSC_COMPLETE_IO;
	answer.status = STATUS_SUCCESS;
	if (request.operation == STORVSC_EXECUTE_SRB)
		execute(completion, &request, &answer);
	else
		negotiate(&request, &answer);
	if (!s->host->answer || s->host->answer(s->host->context, &request, &answer))
		VmbChannelPacketComplete(completion, &answer, sizeof(answer));
	else
		keep(s, completion);
}

static VOID serve_echo(VMBCHANNEL vmb, VMBPACKETCOMPLETION completion, PVOID buffer, UINT32 length,
                       UINT32 flags)
{
	struct service *s = VmbChannelGetPointer(vmb);

	if (s->host->silent_echo)
		keep(s, completion);
	else
		VmbChannelPacketComplete(completion, buffer, length);
}

/* ---- offering ---- */

static NTSTATUS offer(struct odd_host *h, struct service *s, const GUID *type, uint32_t max_packet,
                      uint32_t max_data, PFN_VMB_CHANNEL_PROCESS_PACKET serve)
{
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS callbacks;
	NTSTATUS status;

	s->host = h;
	pthread_mutex_init(&s->lock, NULL);
	status = VmbChannelAllocate(NULL, TRUE, &s->vmb);
	if (!NT_SUCCESS(status))
		return status;
	VmbChannelSetPointer(s->vmb, s);
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(&callbacks);
	callbacks.EvtChannelSuspend = suspend;
	VmbServerChannelInitSetVmbusHandle(s->vmb, h->kernel);
	VmbServerChannelInitSetTargetInterfaceId(s->vmb, *type, *type);
	VmbChannelInitSetMaximumPacketSize(s->vmb, max_packet);
	VmbChannelInitSetMaximumExternalData(s->vmb, max_data, 1);
	VmbChannelInitSetProcessPacketCallbacks(s->vmb, serve, NULL);
	VmbChannelInitSetStateChangeCallbacks(s->vmb, &callbacks);
	status = VmbChannelEnable(s->vmb);
	if (NT_SUCCESS(status))
		VmbChannelStart(s->vmb);
	return status;
}

struct odd_host *odd_host_open(const char *uri, odd_host_answer_fn *answer, void *context,
                               bool silent_echo)
{
	static const GUID scsi_type = STORVSC_INTERFACE_TYPE, echo_type = ECHO_INTERFACE_TYPE;
	struct odd_host *h = calloc(1, sizeof(*h));

	h->answer = answer;
	h->context = context;
	h->silent_echo = silent_echo;
	if (!NT_SUCCESS(kmcl_host_open(uri, &h->vmbus)) ||
	    !NT_SUCCESS(VmbConvertVmbusHandleToKernelHandle(h->vmbus, &h->kernel)) ||
	    !NT_SUCCESS(offer(h, &h->scsi, &scsi_type, 256, 4 << 20, serve_scsi)) ||
	    !NT_SUCCESS(
		    offer(h, &h->echo, &echo_type, ECHO_MAX_PAYLOAD, ECHO_MAX_DATA, serve_echo)))
		return NULL;
	return h;
}

static void withdraw(struct service *s)
{
	VmbChannelDisable(s->vmb);
	VmbChannelCleanup(s->vmb);
	pthread_mutex_destroy(&s->lock);
}

void odd_host_close(struct odd_host *h)
{
	withdraw(&h->scsi);
	withdraw(&h->echo);
	ZwClose(h->kernel);
	ZwClose(h->vmbus);
	free(h);
}
