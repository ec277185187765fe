/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef VMBUSKERNELMODECLIENTLIBAPI_H
#define VMBUSKERNELMODECLIENTLIBAPI_H

/*
 * The Kernel Mode Client Library of VMBus, as documented by Microsoft (windows-driver-docs-ddi,
 * folder vmbuskernelmodeclientlibapi: names, prototypes, values, statuses, IRQLs). Include
 * <ntddk.h> or <wdm.h> first, as on Windows; this header does it for you too.
 *
 * A channel has two ends: the server, in the host, and the client, in the guest. Both use this API.
 * How a process becomes one or the other is in <kmcl/kmcl.h>.
 *
 * Unless a comment says otherwise a function may be called from any thread, lengths are bytes, and
 * what the caller passes in stays the caller's. P: at PASSIVE_LEVEL only. D: at DISPATCH_LEVEL or
 * lower. The annotations are the public header's; where one says _In_ and the comment that NULL
 * will do, it will do here. A call at a higher IRQL, or one that a state forbids and that returns
 * no status, is misuse: it stops the process in a debug build and is logged and ignored in a
 * release build.
 */

#include <ntddk.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Exactly one type each, so that the compiler tells them apart. */
DECLARE_HANDLE(VMBCHANNEL);          /* one end of a channel */
DECLARE_HANDLE(VMBPACKET);           /* an outgoing packet */
DECLARE_HANDLE(VMBPACKETCOMPLETION); /* an incoming packet that is still to be completed */

/* ---- constants ---- */

#define VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION 0x1 /* done when completed over there */
#define VMBUS_CHANNEL_FORMAT_FLAG_FORCE_MDL_LENGTH                                           \
	0x2                                        /* the first MDL alone; to its page's end \
	                                            */
#define VMBUS_CHANNEL_FORMAT_FLAG_PAGED_BUFFER 0x4 /* copy Buffer at PASSIVE */
#define VMBUS_CHANNEL_FORMAT_FLAGS                       \
	(VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION | \
	 VMBUS_CHANNEL_FORMAT_FLAG_FORCE_MDL_LENGTH | VMBUS_CHANNEL_FORMAT_FLAG_PAGED_BUFFER)

#define VMBUS_CHANNEL_GPADL_FLAG_READ_ONLY 0x1
#define VMBUS_CHANNEL_GPADL_FLAGS          (VMBUS_CHANNEL_GPADL_FLAG_READ_ONLY)

#define VMBUS_CHANNEL_INIT_FLAG_IS_PIPE 0x1 /* a pipe header in front of each payload */
#define VMBUS_CHANNEL_INIT_FLAGS        (VMBUS_CHANNEL_INIT_FLAG_IS_PIPE)

#define VMBUS_SERVER_CHANNEL_INIT_FLAG_LOOPBACK_OFFER             0x1
#define VMBUS_SERVER_CHANNEL_INIT_FLAG_ENUMERATE_DEVICE_INTERFACE 0x2
#define VMBUS_SERVER_CHANNEL_INIT_FLAG_OFFER_AS_PIPE              0x4
#define VMBUS_SERVER_CHANNEL_INIT_FLAG_FORCE_NEW_CHANNEL          0x8
#define VMBUS_SERVER_CHANNEL_INIT_FLAG_TLNPI_PROVIDER_OFFER       0x10
#define VMBUS_SERVER_CHANNEL_INIT_FLAGS                              \
	(VMBUS_SERVER_CHANNEL_INIT_FLAG_LOOPBACK_OFFER |             \
	 VMBUS_SERVER_CHANNEL_INIT_FLAG_ENUMERATE_DEVICE_INTERFACE | \
	 VMBUS_SERVER_CHANNEL_INIT_FLAG_OFFER_AS_PIPE |              \
	 VMBUS_SERVER_CHANNEL_INIT_FLAG_FORCE_NEW_CHANNEL |          \
	 VMBUS_SERVER_CHANNEL_INIT_FLAG_TLNPI_PROVIDER_OFFER)

#define VMBUS_CHANNEL_PROCESS_PACKET_FLAG_EXTERNAL_DATA 0x1
#define VMBUS_CHANNEL_PROCESS_PACKET_FLAGS              (VMBUS_CHANNEL_PROCESS_PACKET_FLAG_EXTERNAL_DATA)

#define VMBUS_CHANNEL_PACKET_EXTERNAL_DATA_FLAG_READ_ONLY 0x1
#define VMBUS_CHANNEL_PACKET_EXTERNAL_DATA_FLAGS          (VMBUS_CHANNEL_PACKET_EXTERNAL_DATA_FLAG_READ_ONLY)

#define VMBUS_SERVER_CHANNEL_INIT_MAXIMUM_OFFER_DATA 120

/* ---- callbacks ---- */

/* P. The guest opened the channel, or the awaited offer came and was opened. A failure status rolls
 * the opening back: no traffic flows, and the opener is told. */
typedef _Function_class_(EVT_VMB_CHANNEL_OPENED) _IRQL_requires_(PASSIVE_LEVEL) NTSTATUS
	EVT_VMB_CHANNEL_OPENED(_In_ VMBCHANNEL Channel);
typedef EVT_VMB_CHANNEL_OPENED *PFN_VMB_CHANNEL_OPENED;

/* P. The channel closed, whichever end wanted it: the driver deletes its GPADLs here. Afterwards a
 * server's channel is closed or disabled, a client's is disabled. */
typedef _Function_class_(EVT_VMB_CHANNEL_CLOSED) _IRQL_requires_(PASSIVE_LEVEL) VOID
	EVT_VMB_CHANNEL_CLOSED(_In_ VMBCHANNEL Channel);
typedef EVT_VMB_CHANNEL_CLOSED *PFN_VMB_CHANNEL_CLOSED;

/* P. No EvtVmbChannelProcessPacket runs or will run before the next EvtVmbChannelStarted. The
 * driver owes the completion of every packet it still holds; the library waits for them. */
typedef _Function_class_(EVT_VMB_CHANNEL_SUSPEND) _IRQL_requires_(PASSIVE_LEVEL) VOID
	EVT_VMB_CHANNEL_SUSPEND(_In_ VMBCHANNEL Channel);
typedef EVT_VMB_CHANNEL_SUSPEND *PFN_VMB_CHANNEL_SUSPEND;

/* P. Open and started; nothing has been delivered yet. May queue sends, must not wait for anything
 * incoming, completions included. */
typedef _Function_class_(EVT_VMB_CHANNEL_STARTED) _IRQL_requires_(PASSIVE_LEVEL) VOID
	EVT_VMB_CHANNEL_STARTED(_In_ VMBCHANNEL Channel);
typedef EVT_VMB_CHANNEL_STARTED *PFN_VMB_CHANNEL_STARTED;

/* P. Packets are being received. May wait: this is where protocols negotiate. */
typedef _Function_class_(EVT_VMB_CHANNEL_POST_STARTED) _IRQL_requires_(PASSIVE_LEVEL) VOID
	EVT_VMB_CHANNEL_POST_STARTED(_In_ VMBCHANNEL Channel);
typedef EVT_VMB_CHANNEL_POST_STARTED *PFN_VMB_CHANNEL_POST_STARTED;

/*
 * D. A packet came. Buffer holds its payload, without VMBus's headers and out of the other end's
 * reach, until the packet is completed. It is at most the channel's maximum packet long; as rings
 * carry multiples of 8 bytes, up to 7 of padding may follow what was sent, but for pipes. Flags:
 * VMBUS_CHANNEL_PROCESS_PACKET_FLAG_*. Each call must be answered exactly once, now or later, with
 * VmbChannelPacketComplete (or ...Fail,
 * ...DeferToPassive). Calls for one channel never overlap.
 */
typedef _Function_class_(EVT_VMB_CHANNEL_PROCESS_PACKET) _IRQL_requires_max_(DISPATCH_LEVEL) VOID
	EVT_VMB_CHANNEL_PROCESS_PACKET(_In_ VMBCHANNEL Channel, _In_ VMBPACKETCOMPLETION Packet,
                                       _In_reads_bytes_(BufferLength) PVOID Buffer,
                                       _In_ UINT32 BufferLength, _In_ UINT32 Flags);
typedef EVT_VMB_CHANNEL_PROCESS_PACKET *PFN_VMB_CHANNEL_PROCESS_PACKET;

/* D, or P where ProcessPacket is. Delivery pauses, after PacketCount packets: each time the ring
 * has gone empty, after the last ProcessPacket, and when the quota or the channel's end stops it. A
 * packet that was deferred counts when it has come again. */
typedef _Function_class_(EVT_VMB_CHANNEL_PROCESSING_COMPLETE)
	_IRQL_requires_max_(DISPATCH_LEVEL) VOID
	EVT_VMB_CHANNEL_PROCESSING_COMPLETE(_In_ VMBCHANNEL Channel, _In_ UINT32 PacketCount);
typedef EVT_VMB_CHANNEL_PROCESSING_COMPLETE *PFN_VMB_CHANNEL_PROCESSING_COMPLETE;

/* P. The awaited device was found, but connecting to it failed with FailureStatus. */
typedef _Function_class_(EVT_VMB_CHANNEL_PNP_FAILURE) _IRQL_requires_(PASSIVE_LEVEL) VOID
	EVT_VMB_CHANNEL_PNP_FAILURE(_In_ VMBCHANNEL Channel, _In_ NTSTATUS FailureStatus);
typedef EVT_VMB_CHANNEL_PNP_FAILURE *PFN_VMB_CHANNEL_PNP_FAILURE;

/*
 * P. Saves what the driver knows of a packet in use. First called with SaveBufSize 0: success means
 * there is nothing to save; a failure with *BytesNeeded set brings a second call with that much.
 * As from state callbacks no Disable, Start or Pause of this channel, and nothing of save and
 * restore; so with the next one.
 */
typedef _Function_class_(EVT_VMB_CHANNEL_SAVE_PACKET) _IRQL_requires_(PASSIVE_LEVEL) NTSTATUS
	EVT_VMB_CHANNEL_SAVE_PACKET(_In_ VMBCHANNEL Channel, _In_ VMBPACKET Packet,
                                    _Out_writes_bytes_(SaveBufSize) PVOID SaveBuf,
                                    _In_ UINT32 SaveBufSize, _Out_ PUINT32 BytesNeeded);
typedef EVT_VMB_CHANNEL_SAVE_PACKET *PFN_VMB_CHANNEL_SAVE_PACKET;

/* P. Restores such a packet: allocate one, hand LibBuf to VmbPacketRestore, take SaveBuf back. */
typedef _Function_class_(EVT_VMB_CHANNEL_RESTORE_PACKET) _IRQL_requires_(PASSIVE_LEVEL) NTSTATUS
	EVT_VMB_CHANNEL_RESTORE_PACKET(_In_ VMBCHANNEL Channel,
                                       _In_reads_bytes_(LibBufSize) PVOID LibBuf,
                                       _In_ UINT32 LibBufSize,
                                       _In_reads_bytes_(SaveBufSize) PVOID SaveBuf,
                                       _In_ UINT32 SaveBufSize);
typedef EVT_VMB_CHANNEL_RESTORE_PACKET *PFN_VMB_CHANNEL_RESTORE_PACKET;

/*
 * D. A sent packet is done: with WAIT_FOR_COMPLETION, the other end completed it and Buffer holds
 * what it answered (valid during the call); without, it is in the ring. Status: STATUS_SUCCESS, or
 * STATUS_CANCELLED when the channel closed first. The packet may be freed or sent again from here.
 */
typedef _Function_class_(EVT_VMB_PACKET_COMPLETION_ROUTINE) _IRQL_requires_max_(DISPATCH_LEVEL) VOID
	EVT_VMB_PACKET_COMPLETION_ROUTINE(_In_ VMBPACKET Packet, _In_ NTSTATUS Status,
                                          _In_reads_bytes_opt_(BufferLength) PVOID Buffer,
                                          _In_ UINT32 BufferLength);
typedef EVT_VMB_PACKET_COMPLETION_ROUTINE *PFN_VMB_PACKET_COMPLETION_ROUTINE;

/* ---- the structure ---- */

#define VMB_CHANNEL_STATE_CHANGE_CALLBACKS_VERSION 1

/* Each member may be NULL. The documentation calls them both EvtChannel... and EvtVmbChannel... */
#define KMCL_TWO_NAMES(type, a, b) \
	union {                    \
		type a;            \
		type b;            \
	}
typedef struct _VMB_CHANNEL_STATE_CHANGE_CALLBACKS {
	ULONG Version;
	ULONG Size;
	KMCL_TWO_NAMES(PFN_VMB_CHANNEL_OPENED, EvtChannelOpened, EvtVmbChannelOpened);
	KMCL_TWO_NAMES(PFN_VMB_CHANNEL_CLOSED, EvtChannelClosed, EvtVmbChannelClosed);
	KMCL_TWO_NAMES(PFN_VMB_CHANNEL_SUSPEND, EvtChannelSuspend, EvtVmbChannelSuspend);
	KMCL_TWO_NAMES(PFN_VMB_CHANNEL_STARTED, EvtChannelStarted, EvtVmbChannelStarted);
	KMCL_TWO_NAMES(PFN_VMB_CHANNEL_POST_STARTED, EvtChannelPostStarted,
	               EvtVmbChannelPostStarted);
} VMB_CHANNEL_STATE_CHANGE_CALLBACKS, *PVMB_CHANNEL_STATE_CHANGE_CALLBACKS;

/* Prepares it for VmbChannelInitSetStateChangeCallbacks: all callbacks NULL. Any IRQL. */
FORCEINLINE VOID
VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(_Out_ PVMB_CHANNEL_STATE_CHANGE_CALLBACKS Callbacks)
{
	RtlZeroMemory(Callbacks, sizeof(*Callbacks));
	Callbacks->Version = VMB_CHANNEL_STATE_CHANGE_CALLBACKS_VERSION;
	Callbacks->Size = sizeof(*Callbacks);
}

/* ---- channels: making, configuring, freeing ---- */

/* P. Makes one end of a channel, disabled, with defaults for everything. A client's parent is the
 * bus object from kmcl_guest_open(), a device attached above it (IoAttachDeviceToDeviceStack), or
 * any other of the driver's (IoCreateDevice), which then belongs to the only bus of the process. A
 * server's parent is not looked at and may be NULL.
 * STATUS_SUCCESS; STATUS_INVALID_PARAMETER_1: a client without a parent, or with one that is no
 * device; STATUS_NO_SUCH_DEVICE: the process is no guest; STATUS_AMBIGUOUS_SYSTEM_DEVICE: it is one
 * of several hosts, and the device is attached to none of their buses; STATUS_INVALID_PARAMETER_3;
 * STATUS_INSUFFICIENT_RESOURCES. */
_IRQL_requires_(PASSIVE_LEVEL) NTKERNELAPI NTSTATUS
	VmbChannelAllocate(_In_ PDEVICE_OBJECT ParentDeviceObject, _In_ BOOLEAN IsServer,
                           _Out_ _At_(*Channel, __drv_allocatesMem(Mem)) VMBCHANNEL *Channel);

/* P. Frees it. The channel is disabled and all its packets are freed. Calls of other threads that
 * are about to return are waited for. */
NTKERNELAPI VOID VmbChannelCleanup(_In_ __drv_freesMem(Mem) VMBCHANNEL Channel);

/*
 * The Init functions: any IRQL up to D, while the channel is disabled; otherwise, or with a handle
 * that is none, STATUS_INVALID_PARAMETER_1. Server-only and client-only ones say so the same way.
 */

/* The longest payload that VmbPacketSend will be given and ProcessPacket will take; default 4096.
 * Ring sizes follow from it. STATUS_INVALID_PARAMETER_2: 0 or more than 256 KiB. */
NTKERNELAPI NTSTATUS VmbChannelInitSetMaximumPacketSize(_In_ VMBCHANNEL Channel,
                                                        _In_range_(>, 0) UINT32 PacketSize);

/* The most external data one packet refers to, and in how many MDLs; default 1 MiB, 32. A client's
 * rings are made so that such a packet fits, in whatever order the Init functions are called; a
 * server's are its client's. STATUS_INVALID_PARAMETER_2, _3: 0 or past what a packet holds.
 */
NTKERNELAPI NTSTATUS VmbChannelInitSetMaximumExternalData(_In_ VMBCHANNEL Channel,
                                                          _In_range_(>, 0) UINT32 DataSize,
                                                          _In_range_(>, 0) UINT32 ChainLength);

/* ContextSize bytes of driver context on every incoming packet, zeroed for each; see
 * VmbChannelPacketGetClientContext. STATUS_INVALID_PARAMETER_2: more than 1 MiB. */
NTKERNELAPI NTSTATUS VmbChannelInitSetClientContextSize(_In_ VMBCHANNEL Channel,
                                                        _In_ UINT32 ContextSize);

/* Who takes the packets that come in. ProcessingCompleteCallback may be NULL.
 * STATUS_INVALID_PARAMETER_2: no ProcessPacketCallback. */
NTKERNELAPI NTSTATUS VmbChannelInitSetProcessPacketCallbacks(
	_In_ VMBCHANNEL Channel, _In_ PFN_VMB_CHANNEL_PROCESS_PACKET ProcessPacketCallback,
	_In_opt_ PFN_VMB_CHANNEL_PROCESSING_COMPLETE ProcessingCompleteCallback);

/* Who is told of the channel's state; the structure is copied. STATUS_INVALID_PARAMETER_2: wrong
 * Version or Size, or NULL. */
NTKERNELAPI NTSTATUS VmbChannelInitSetStateChangeCallbacks(
	_In_ VMBCHANNEL Channel, _In_ PVMB_CHANNEL_STATE_CHANGE_CALLBACKS StateChangeCallbacks);

/* The name used in logs, traces and statistics; copied, at most 63 bytes as UTF-8.
 * STATUS_INVALID_PARAMETER_2: NULL or empty. */
NTKERNELAPI NTSTATUS VmbChannelInitSetFriendlyName(_In_ VMBCHANNEL Channel,
                                                   _In_ PCUNICODE_STRING Name);

/* What kind of channel it is: VMBUS_CHANNEL_INIT_FLAG_*. STATUS_INVALID_PARAMETER_2: another bit is
 * set. */
NTKERNELAPI NTSTATUS VmbChannelInitSetFlags(_In_ VMBCHANNEL Channel, _In_ UINT32 Flags);

/*
 * Server. What kind of offer it is: VMBUS_SERVER_CHANNEL_INIT_FLAG_*. STATUS_INVALID_PARAMETER_2:
 * another bit is set.
 *
 * FORCE_NEW_CHANNEL: after a save and restore the guest is to have a new
 * channel, and what was sent on the old one is given up. An offer after a restore always is a new
 * channel; with the flag VmbChannelRestoreFromBuffer checks its bytes, but restores no packet and
 * does not call EvtVmbChannelRestorePacket.
 *
 * LOOPBACK_OFFER: a channel without a VMBus handle is
 * offered to this process itself, on a partition of its own: clients of any of its buses find it as
 * they find their host's offers, and before those. It waits while the process is no guest. With a
 * handle the flag only goes into the offer, as do OFFER_AS_PIPE, ENUMERATE_DEVICE_INTERFACE and
 * TLNPI_PROVIDER_OFFER.
 */
NTKERNELAPI NTSTATUS VmbServerChannelInitSetFlags(_In_ VMBCHANNEL Channel, _In_ UINT32 Flags);

/* Server. MMIO space the guest shall reserve, in MiB, and how much more it may; both go into the
 * offer. STATUS_INVALID_PARAMETER: both are 0. */
NTKERNELAPI NTSTATUS VmbServerChannelInitSetMmioMegabytes(_In_ VMBCHANNEL Channel,
                                                          _In_range_(>, 0) UINT16 MmioMegabytes,
                                                          _In_ UINT16 MmioMegabytesOptional);

/* Server. What is offered: the protocol and which instance of it. */
NTKERNELAPI NTSTATUS VmbServerChannelInitSetTargetInterfaceId(_In_ VMBCHANNEL Channel,
                                                              _In_ GUID InterfaceType,
                                                              _In_ GUID InterfaceInstance);

/* Server. Offer it to clients in this virtual trust level alone; default 0.
 * STATUS_INVALID_PARAMETER_2: more than 2. */
NTKERNELAPI NTSTATUS VmbServerChannelInitSetTargetVtl(_In_ VMBCHANNEL Channel,
                                                      _In_ UINT8 TargetVtl);

/* Server. Who saves and restores the packets in use, each by a call; both may be NULL. */
NTKERNELAPI NTSTATUS VmbServerChannelInitSetSaveRestorePacketCallbacks(
	_In_ VMBCHANNEL Channel, _In_ PFN_VMB_CHANNEL_SAVE_PACKET SavePacketCallback,
	_In_ PFN_VMB_CHANNEL_RESTORE_PACKET RestorePacketCallback);

/* Server. The guest to offer it to. The channel keeps a reference of its own.
 * STATUS_INVALID_PARAMETER_2: not a handle from VmbConvertVmbusHandleToKernelHandle. */
NTKERNELAPI NTSTATUS VmbServerChannelInitSetVmbusHandle(_In_ VMBCHANNEL Channel,
                                                        _In_ HANDLE VmbusHandle);

/* P. A counted reference to what kmcl_host_open() gave; the caller closes it with ZwClose.
 * STATUS_INVALID_HANDLE, STATUS_OBJECT_TYPE_MISMATCH, STATUS_INVALID_PARAMETER_2. */
NTKERNELAPI NTSTATUS VmbConvertVmbusHandleToKernelHandle(_In_ HANDLE VmbusHandle,
                                                         _Out_ PHANDLE KernelHandle);

/* Client. Pages of data each ring shall have, its control page not counted; default: room for four
 * of the largest packets, at least 16. Too few for one such packet, with its external data header,
 * become as many as that takes when the channel opens; kmcl_channel_info() says how many there are.
 * STATUS_INVALID_PARAMETER_2, _3: 0, or more than 4094. */
NTKERNELAPI NTSTATUS VmbClientChannelInitSetRingBufferPageCount(_In_ VMBCHANNEL Channel,
                                                                _In_ UINT32 IncomingPageCount,
                                                                _In_ UINT32 OutgoingPageCount);

/* Client. The offer it waits for; without InterfaceInstance, the first of that type that no other
 * channel has taken. PnpFailureCallback may be NULL. STATUS_INVALID_PARAMETER_2: no type. */
NTKERNELAPI NTSTATUS VmbClientChannelInitSetTargetPnp(
	_In_ VMBCHANNEL Channel, _In_ LPCGUID InterfaceType, _In_opt_ LPCGUID InterfaceInstance,
	_In_opt_ PFN_VMB_CHANNEL_PNP_FAILURE PnpFailureCallback);

/* D. A pointer of the driver's. */
NTKERNELAPI VOID FASTCALL VmbChannelSetPointer(_In_ VMBCHANNEL Channel,
                                               _In_opt_ __drv_aliasesMem PVOID Pointer);
NTKERNELAPI PVOID FASTCALL VmbChannelGetPointer(_In_ VMBCHANNEL Channel);

/* D. The active instance: what the server set, or what the client found; zeroes before that. */
NTKERNELAPI VOID VmbChannelGetInterfaceInstance(_In_ VMBCHANNEL Channel,
                                                _Out_ LPGUID InterfaceInstance);

/* D, from EvtVmbChannelOpened on. Where the guest reserved the MMIO space, and its bytes; 0 and 0
 * where there is none, and at the server, which is not told. The addresses are guest physical ones;
 * what is behind them is up to the partition. */
NTKERNELAPI VOID VmbChannelGetMmioSpace(_In_ VMBCHANNEL Channel, _Out_ UINT64 *MmioAddress,
                                        _Out_ UINT64 *MmioSize);

/* D, at any time. Whether ProcessPacket is called at PASSIVE_LEVEL only. */
NTKERNELAPI VOID VmbChannelSetIncomingProcessingAtPassive(_In_ VMBCHANNEL Channel,
                                                          _In_ BOOLEAN RequirePassive);

/* D, at any time. How many incoming packets may be outstanding; > 0; default 65536. One is so until
 * it is completed and, at a server whose client waits for an answer, that is in the ring: from a
 * client that does not read its answers nothing more is taken, at the latest when 16 MiB of them
 * wait. (A client closes a channel whose server leaves 64 MiB of answers unread.) Raising it does
 * not restart a queue that is stopped by it, the next completion does. */
NTKERNELAPI VOID VmbChannelSetTransactionQuota(_In_ VMBCHANNEL Channel, _In_ UINT32 Quota);

/* D. Client: how long a signal to the host may be held back, in 100 ns. The channel is open and has
 * monitored interrupts. STATUS_INVALID_PARAMETER_1: a server's channel;
 * STATUS_INVALID_DEVICE_STATE: not open; STATUS_NOT_SUPPORTED: no monitored interrupts. */
_Must_inspect_result_ NTKERNELAPI NTSTATUS VmbChannelSetInterruptLatency(
	_In_ VMBCHANNEL Channel, _In_ UINT16 Latency, _Out_ PUINT16 OriginalLatency);

/* D. What VmbPacketInitialize needs; fixed once the channel is configured. */
NTKERNELAPI UINT32 VmbChannelSizeofPacket(_In_ VMBCHANNEL Channel);

/* ---- channels: running ---- */

/* P. Server: offers the channel; client: opens the offer it waits for, or will when it comes.
 * Returns at once, but for a client's channel that is closing by itself, or whose PnpFailure runs:
 * that it waits for. An offer that is taken back before it is open is not the end of it: the client
 * waits for the next one. STATUS_INVALID_PARAMETER_1: not disabled; so inside Closed, of either
 * end, and inside PnpFailure while another thread is in Disable; STATUS_INVALID_DEVICE_STATE: not
 * configured (no ProcessPacket callback, no target, neither VMBus handle nor LOOPBACK_OFFER);
 * STATUS_OBJECT_NAME_COLLISION:
 * that type and instance is offered already; STATUS_INSUFFICIENT_RESOURCES; STATUS_QUOTA_EXCEEDED.
 */
_Must_inspect_result_ NTKERNELAPI NTSTATUS VmbChannelEnable(_In_ VMBCHANNEL Channel);

/* P. Server: revokes the offer; client: closes the channel. Returns when all of it is torn down and
 * Suspend and Closed, or PnpFailure, have run; also when another thread has enabled it again since.
 * A save that is under way ends. A client waits up to 10 s for a host that does not answer; the
 * memory of its rings is then not used before the host lets go of it. While packets with external
 * data are unanswered it waits until the host has answered or is gone, complaining in the log:
 * until then the host may write to that memory. Not from a callback of the same channel. */
NTKERNELAPI VOID VmbChannelDisable(_In_ VMBCHANNEL Channel);

/* P. Out of, and into, the paused state, which is one, whatever else the channel does: what was
 * said last counts, also after Disable and Enable. Only a server's Enable changes it: it has to be
 * started each time; a client's is started to begin with. Pause returns when Suspend has run and no
 * incoming packet is outstanding, however soon somebody starts the channel again. A paused end gets
 * none of its own packets' completions: they come when it is started. A Start between SaveBegin and
 * SaveEnd takes effect at SaveEnd. Not from a state callback. */
NTKERNELAPI VOID VmbChannelStart(_In_ VMBCHANNEL Channel);
NTKERNELAPI VOID VmbChannelPause(_In_ VMBCHANNEL Channel);

/*
 * P; D with *Timeout 0 and no WAIT flag. Sends and waits. Flags: VMBUS_CHANNEL_FORMAT_FLAG_*.
 * CompletionBuffer takes what the other end answered. *CompletionBufferSize says how much fits, a
 * multiple of 8 even if there is no buffer, and on success how much was written, which is 0 where
 * no answer was asked for or there is no buffer. Timeout as KeWaitForSingleObject takes it; once it
 * has passed the packet is cancelled, but what the other end has begun it may finish: external data
 * is its own until the channel closes; 0: a packet that does not fit now is not queued. External
 * data implies WAIT; but with *Timeout 0 and without the flag nobody waits: the memory is the
 * host's until the channel closes. A server may call it only with *Timeout 0 and without WAIT.
 * STATUS_SUCCESS;
 * STATUS_BUFFER_OVERFLOW: *Timeout is 0 and the packet did not fit, it was not sent; or the answer
 * did not fit, and its beginning, *CompletionBufferSize bytes, is there;
 * STATUS_CANCELLED: timed out;
 * STATUS_DEVICE_REMOVED: the channel closed or is disabled, or *Timeout is 0 and it is not open;
 * STATUS_INVALID_PARAMETER_1 to _7 (a size that is no multiple of 8 too);
 * STATUS_INSUFFICIENT_RESOURCES.
 */
_When_(Timeout == NULL || Timeout->QuadPart != 0 ||
               (Flags & VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION) != 0,
       _IRQL_requires_(PASSIVE_LEVEL))
	_When_(Timeout != NULL && Timeout->QuadPart == 0 &&
                       (Flags & VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION) == 0,
               _IRQL_requires_max_(DISPATCH_LEVEL)) NTKERNELAPI NTSTATUS
	VmbChannelSendSynchronousRequest(
		_In_ VMBCHANNEL Channel, _In_reads_bytes_(BufferSize) PVOID Buffer,
		_In_ UINT32 BufferSize, _In_opt_ PMDL ExternalDataMdl, _In_ UINT32 Flags,
		_Out_writes_bytes_to_opt_(*CompletionBufferSize, *CompletionBufferSize)
			PVOID CompletionBuffer,
		_Inout_opt_ _Pre_satisfies_(*_Curr_ % 8 == 0) PUINT32 CompletionBufferSize,
		_In_opt_ PLARGE_INTEGER Timeout);

/* ---- outgoing packets ---- */

/* D. A packet from the channel's lookaside list, or NULL. Sent without a completion routine of the
 * driver's it frees itself; otherwise VmbPacketFree. */
__drv_allocatesMem(Mem) NTKERNELAPI VMBPACKET VmbPacketAllocate(_In_ VMBCHANNEL Channel);

/* D. Makes a packet of the caller's memory, 8-aligned, ByteCount >= VmbChannelSizeofPacket(); it
 * stays the caller's, which may use it for something else, or initialize it again, whenever it is
 * not being sent. Memory of the pool, which a host may write, is the packet's name and nothing
 * more: what the library follows lies elsewhere, until the memory or the channel is freed. A
 * completion routine must be set before it is sent. STATUS_INVALID_PARAMETER_2: also of one that is
 * being sent; STATUS_INVALID_PARAMETER_3: too small. */
NTKERNELAPI NTSTATUS VmbPacketInitialize(_In_ VMBCHANNEL Channel,
                                         _Out_writes_bytes_(ByteCount) VMBPACKET VmbPacket,
                                         _In_ UINT32 ByteCount);

/* D. Of a packet from VmbPacketAllocate, not while it is being sent. For one in the caller's memory
 * it is not needed, and only says that this is no packet any more. */
NTKERNELAPI VOID VmbPacketFree(_In_ __drv_freesMem(Mem) VMBPACKET VmbPacket);

/* D. A pointer of the driver's; the packet's channel. */
NTKERNELAPI VOID FASTCALL VmbPacketSetPointer(_In_ VMBPACKET PacketObject, _In_opt_ PVOID Pointer);
NTKERNELAPI PVOID FASTCALL VmbPacketGetPointer(_In_ VMBPACKET PacketObject);
NTKERNELAPI VMBCHANNEL FASTCALL VmbPacketGetChannel(_In_ VMBPACKET PacketObject);

/* D. Not while it is being sent. NULL: the packet frees itself when done. */
NTKERNELAPI VOID VmbPacketSetCompletionRoutine(
	_In_ VMBPACKET PacketObject, _In_ PFN_VMB_PACKET_COMPLETION_ROUTINE CompletionRoutine);

/*
 * D. Sends Buffer, and a reference to the memory that the MDL chain describes. Buffer may be reused
 * when the call returns; the MDLs' memory when the packet is done. A full ring queues the packet,
 * in order. While the channel is not open the packet waits for it; when the channel closes, or a
 * client's is disabled, it is done with STATUS_CANCELLED. Flags: VMBUS_CHANNEL_FORMAT_FLAG_*;
 * external data requires WAIT. STATUS_SUCCESS: taken, the completion routine will run. Otherwise it
 * will not: STATUS_INVALID_PARAMETER_1: the packet is in use or has no completion routine;
 * STATUS_INVALID_PARAMETER_2: Buffer; _3: longer than the maximum packet; _5 (the last argument): a
 * flag, or external data without WAIT; STATUS_INVALID_PARAMETER: external data from a server;
 * STATUS_INVALID_BUFFER_SIZE: more external data than the channel's maximum;
 * STATUS_INSUFFICIENT_RESOURCES: memory for a bounced buffer, or more packets in flight than a
 * channel has transactions for (65536, of which each packet from VmbPacketAllocate has one).
 */
NTKERNELAPI NTSTATUS VmbPacketSend(_In_ __drv_aliasesMem VMBPACKET PacketObject,
                                   _In_reads_bytes_(BufferLength) PVOID Buffer,
                                   _In_ UINT32 BufferLength, _In_opt_ PMDL ExternalDataMdl,
                                   _In_ UINT32 Flags);

/* D. Sends as VmbPacketSend() does, with a part of what the chain describes: MdlLength bytes from
 * MdlOffset on; 0: to its end. WAIT is required. FORCE_MDL_LENGTH: only the first MDL counts, 0
 * means to its end, and MdlLength may pass its ByteCount up to the end of its last page.
 * STATUS_INVALID_PARAMETER_4: no MDL; _5, _6: offset or length outside the chain. */
NTKERNELAPI NTSTATUS VmbPacketSendWithExternalMdl(_In_ __drv_aliasesMem VMBPACKET PacketObject,
                                                  _In_reads_bytes_(BufferLength) PVOID Buffer,
                                                  _In_ UINT32 BufferLength,
                                                  _In_ PMDL ExternalDataMdl, _In_ UINT32 MdlOffset,
                                                  _In_ UINT32 MdlLength, _In_ UINT32 Flags);

/* D. Sends as VmbPacketSend() does, with PfnLength whole pages. WAIT is required. */
NTKERNELAPI NTSTATUS VmbPacketSendWithExternalPfns(_In_ __drv_aliasesMem VMBPACKET PacketObject,
                                                   _In_reads_bytes_(BufferLength) PVOID Buffer,
                                                   _In_ UINT32 BufferLength,
                                                   _In_reads_(PfnLength)
                                                           PPFN_NUMBER ExternalDataPfns,
                                                   _In_ UINT32 PfnLength, _In_ UINT32 Flags);

/* P, from EvtVmbChannelRestorePacket. Brings the packet back to what the save said: queued, or
 * waiting for its completion; then it goes on as if sent. STATUS_INVALID_PARAMETER_1 to _3;
 * STATUS_REVISION_MISMATCH, STATUS_CRC_ERROR: not what a save wrote. */
NTKERNELAPI NTSTATUS VmbPacketRestore(_In_ __drv_aliasesMem VMBPACKET PacketObject,
                                      _In_reads_bytes_(BufferSize) PVOID Buffer,
                                      _In_ ULONG BufferSize);

/* ---- incoming packets ---- */

/* D. Exactly once a packet: unpins and frees, and, if the sender waits for it, answers with BufSize
 * bytes of PacketCompletionBuffer; NULL: with none. An answer that is longer than the maximum
 * packet is cut to it, which the log says once a channel. */
NTKERNELAPI VOID VmbChannelPacketComplete(_In_ VMBPACKETCOMPLETION PacketCompletionContext,
                                          _In_reads_bytes_opt_(BufSize)
                                                  PVOID PacketCompletionBuffer,
                                          _In_ UINT32 BufSize);

/* D, inside ProcessPacket only: the packet is delivered again, at PASSIVE_LEVEL, before any later
 * one. */
NTKERNELAPI VOID FASTCALL
VmbChannelPacketDeferToPassive(_In_ VMBPACKETCOMPLETION PacketCompletionContext);

/* D. The packet cannot be understood: it is given up unanswered and the channel's incoming queue
 * stops until the channel is closed. */
NTKERNELAPI VOID FASTCALL VmbChannelPacketFail(_In_ VMBPACKETCOMPLETION PacketCompletionContext);

/*
 * D. Server. The guest memory that the packet refers to: locked, not mapped, gone with the packet's
 * completion. Flags: VMBUS_CHANNEL_PACKET_EXTERNAL_DATA_FLAG_*.
 * STATUS_SUCCESS; STATUS_PENDING: return from ProcessPacket, it is called again; STATUS_NOT_FOUND:
 * it refers to none; STATUS_INVALID_PARAMETER_2, _3; STATUS_ACCESS_VIOLATION: pages the guest has
 * not; STATUS_INSUFFICIENT_RESOURCES.
 */
_Success_(return == STATUS_SUCCESS) NTKERNELAPI NTSTATUS
	VmbChannelPacketGetExternalData(_In_ VMBPACKETCOMPLETION PacketCompletionContext,
                                        _In_ UINT32 Flags, _Out_ PMDL *Mdl);

/* D. The packet's context area, 16-aligned; NULL where its size is 0. (On Windows from version 2 of
 * the interface on.) */
NTKERNELAPI PVOID
VmbChannelPacketGetClientContext(_In_ VMBPACKETCOMPLETION PacketCompletionContext);

/* ---- GPADLs ---- */

/* P, client, from EvtVmbChannelOpened to EvtVmbChannelClosed. Describes guest memory to the host,
 * which can map it when this returns. Flags: VMBUS_CHANNEL_GPADL_FLAG_*. The memory must come from
 * the pool and stay until the GPADL is deleted. STATUS_SUCCESS; STATUS_INVALID_PARAMETER_2 and up;
 * STATUS_INVALID_DEVICE_STATE: not open; STATUS_INVALID_USER_BUFFER: memory the host cannot see;
 * STATUS_INVALID_BUFFER_SIZE: more than a GPADL can name, which is 8191 pages and ranges, 32 MiB;
 * STATUS_INSUFFICIENT_RESOURCES; or what the host answered. */
NTKERNELAPI NTSTATUS VmbChannelCreateGpadlFromMdl(_In_ VMBCHANNEL Channel, _In_ UINT32 Flags,
                                                  _In_ PMDL Mdl, _In_ UINT32 StartOffsetWithinMdl,
                                                  _In_ UINT32 DataLengthWithinMdl,
                                                  _Out_ PUINT32 GpadlHandle);
NTKERNELAPI NTSTATUS VmbChannelCreateGpadlFromBuffer(_In_ VMBCHANNEL Channel, _In_ UINT32 Flags,
                                                     _In_reads_bytes_(ByteCount) PVOID Buffer,
                                                     _In_ UINT32 ByteCount,
                                                     _Out_ PUINT32 GpadlHandle);

/* P, client. Waits while the host has it mapped. */
NTKERNELAPI VOID VmbChannelDeleteGpadl(_In_ VMBCHANNEL Channel, _In_ UINT32 GpadlHandle);

/* P, server. The guest memory behind a GPADL, one mapping at a time. STATUS_INVALID_PARAMETER_2;
 * STATUS_INVALID_PARAMETER_3: no such GPADL on this channel; STATUS_ACCESS_DENIED: it is read-only
 * and Flags do not say so; STATUS_ALREADY_COMMITTED: mapped already; STATUS_ACCESS_VIOLATION. */
NTKERNELAPI NTSTATUS VmbChannelMapGpadl(_In_ VMBCHANNEL Channel, _In_ UINT32 Flags,
                                        _In_ UINT32 GpadlHandle, _Out_ PMDL *Mdl);
NTKERNELAPI VOID VmbChannelUnmapGpadl(_In_ VMBCHANNEL Channel, _In_ UINT32 GpadlHandle);

/* ---- save and restore; server, P ---- */

/* The channel is paused. From here to SaveEnd it stays as it is: what the other end asks for, an
 * open or a close, waits. STATUS_INVALID_DEVICE_STATE: not paused, or being saved already. */
_Must_inspect_result_ NTKERNELAPI NTSTATUS VmbChannelSaveBegin(_In_ VMBCHANNEL Channel);

/* Writes whole chunks. STATUS_SUCCESS: that was all; STATUS_BUFFER_OVERFLOW: *BytesFilled were
 * written, there is more; STATUS_BUFFER_TOO_SMALL: *BytesRequired are needed to go on; or what the
 * driver's save callback answered. STATUS_INVALID_DEVICE_STATE: not between Begin and End;
 * STATUS_INVALID_PARAMETER_1, _2, _4, _5. */
_Must_inspect_result_ NTKERNELAPI NTSTATUS VmbChannelSaveContinue(
	_In_ VMBCHANNEL Channel,
	_Out_writes_bytes_to_(SaveBufferSize, *BytesFilled) PVOID SaveBuffer,
	_In_ ULONG SaveBufferSize, _Out_ PULONG BytesFilled, _Out_ PULONG BytesRequired);
/* Waits for a SaveContinue that another thread is in. */
NTKERNELAPI VOID VmbChannelSaveEnd(_In_ VMBCHANNEL Channel);

/* Takes whole chunks into an enabled channel. STATUS_MORE_PROCESSING_REQUIRED until the last one,
 * then STATUS_SUCCESS. STATUS_REVISION_MISMATCH, STATUS_CRC_ERROR, STATUS_INVALID_PARAMETER_2, _3,
 * STATUS_OBJECT_TYPE_MISMATCH (another channel's): the channel is as it was. */
_Must_inspect_result_ NTKERNELAPI NTSTATUS VmbChannelRestoreFromBuffer(_In_ VMBCHANNEL Channel,
                                                                       _In_reads_bytes_(BufferSize)
                                                                               PVOID Buffer,
                                                                       _In_ ULONG BufferSize);

/* ---- the function types, and the tables through which newer drivers reach the functions ---- */

#define KMCL_FUNCTION_TYPE(name, function)      \
	typedef __typeof__(function) FN_##name; \
	typedef FN_##name *PFN_##name

/* clang-format off */
KMCL_FUNCTION_TYPE(VMB_CHANNEL_ALLOCATE, VmbChannelAllocate);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_CLEANUP, VmbChannelCleanup);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_CREATE_GPADL_FROM_BUFFER, VmbChannelCreateGpadlFromBuffer);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_CREATE_GPADL_FROM_MDL, VmbChannelCreateGpadlFromMdl);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_DELETE_GPADL, VmbChannelDeleteGpadl);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_DISABLE, VmbChannelDisable);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_ENABLE, VmbChannelEnable);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_GET_INTERFACE_INSTANCE, VmbChannelGetInterfaceInstance);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_GET_MMIO_SPACE, VmbChannelGetMmioSpace);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_GET_POINTER, VmbChannelGetPointer);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_INIT_SET_CLIENT_CONTEXT_SIZE, VmbChannelInitSetClientContextSize);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_INIT_SET_FLAGS, VmbChannelInitSetFlags);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_INIT_SET_FRIENDLY_NAME, VmbChannelInitSetFriendlyName);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_INIT_SET_MAXIMUM_EXTERNAL_DATA, VmbChannelInitSetMaximumExternalData);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_INIT_SET_MAXIMUM_PACKET_SIZE, VmbChannelInitSetMaximumPacketSize);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_INIT_SET_PROCESS_PACKET_CALLBACKS, VmbChannelInitSetProcessPacketCallbacks);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_INIT_SET_STATE_CHANGE_CALLBACKS, VmbChannelInitSetStateChangeCallbacks);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_PACKET_COMPLETE, VmbChannelPacketComplete);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_PACKET_DEFER_TO_PASSIVE, VmbChannelPacketDeferToPassive);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_PACKET_FAIL, VmbChannelPacketFail);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_PACKET_GET_EXTERNAL_DATA, VmbChannelPacketGetExternalData);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_PAUSE, VmbChannelPause);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_SEND_SYNCHRONOUS_REQUEST, VmbChannelSendSynchronousRequest);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_SET_INCOMING_PROCESSING_AT_PASSIVE, VmbChannelSetIncomingProcessingAtPassive);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_SET_INTERRUPT_LATENCY, VmbChannelSetInterruptLatency);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_SET_POINTER, VmbChannelSetPointer);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_SET_TRANSACTION_QUOTA, VmbChannelSetTransactionQuota);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_SIZEOF_PACKET, VmbChannelSizeofPacket);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_START, VmbChannelStart);
KMCL_FUNCTION_TYPE(VMB_CLIENT_CHANNEL_INIT_SET_RING_BUFFER_PAGE_COUNT, VmbClientChannelInitSetRingBufferPageCount);
KMCL_FUNCTION_TYPE(VMB_CLIENT_CHANNEL_INIT_SET_TARGET_PNP, VmbClientChannelInitSetTargetPnp);
KMCL_FUNCTION_TYPE(VMB_PACKET_ALLOCATE, VmbPacketAllocate);
KMCL_FUNCTION_TYPE(VMB_PACKET_FREE, VmbPacketFree);
KMCL_FUNCTION_TYPE(VMB_PACKET_GET_CHANNEL, VmbPacketGetChannel);
KMCL_FUNCTION_TYPE(VMB_PACKET_GET_POINTER, VmbPacketGetPointer);
KMCL_FUNCTION_TYPE(VMB_PACKET_INITIALIZE, VmbPacketInitialize);
KMCL_FUNCTION_TYPE(VMB_PACKET_SEND, VmbPacketSend);
KMCL_FUNCTION_TYPE(VMB_PACKET_SEND_WITH_EXTERNAL_MDL, VmbPacketSendWithExternalMdl);
KMCL_FUNCTION_TYPE(VMB_PACKET_SEND_WITH_EXTERNAL_PFNS, VmbPacketSendWithExternalPfns);
KMCL_FUNCTION_TYPE(VMB_PACKET_SET_COMPLETION_ROUTINE, VmbPacketSetCompletionRoutine);
KMCL_FUNCTION_TYPE(VMB_PACKET_SET_POINTER, VmbPacketSetPointer);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_MAP_GPADL, VmbChannelMapGpadl);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_RESTORE_FROM_BUFFER, VmbChannelRestoreFromBuffer);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_SAVE_BEGIN, VmbChannelSaveBegin);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_SAVE_CONTINUE, VmbChannelSaveContinue);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_SAVE_END, VmbChannelSaveEnd);
KMCL_FUNCTION_TYPE(VMB_CHANNEL_UNMAP_GPADL, VmbChannelUnmapGpadl);
KMCL_FUNCTION_TYPE(VMB_CONVERT_VMBUS_HANDLE_TO_KERNEL_HANDLE, VmbConvertVmbusHandleToKernelHandle);
KMCL_FUNCTION_TYPE(VMB_PACKET_RESTORE, VmbPacketRestore);
KMCL_FUNCTION_TYPE(VMB_SERVER_CHANNEL_INIT_SET_FLAGS, VmbServerChannelInitSetFlags);
KMCL_FUNCTION_TYPE(VMB_SERVER_CHANNEL_INIT_SET_MMIO_MEGABYTES, VmbServerChannelInitSetMmioMegabytes);
KMCL_FUNCTION_TYPE(VMB_SERVER_CHANNEL_INIT_SET_SAVE_RESTORE_PACKET_CALLBACKS, VmbServerChannelInitSetSaveRestorePacketCallbacks);
KMCL_FUNCTION_TYPE(VMB_SERVER_CHANNEL_INIT_SET_TARGET_INTERFACE_ID, VmbServerChannelInitSetTargetInterfaceId);
KMCL_FUNCTION_TYPE(VMB_SERVER_CHANNEL_INIT_SET_TARGET_VTL, VmbServerChannelInitSetTargetVtl);
KMCL_FUNCTION_TYPE(VMB_SERVER_CHANNEL_INIT_SET_VMBUS_HANDLE, VmbServerChannelInitSetVmbusHandle);

/* Name and order of the members as documented. */
#define KMCL_CLIENT_METHODS \
	PFN_VMB_CHANNEL_ALLOCATE VmbChannelAllocate; \
	PFN_VMB_CHANNEL_CLEANUP VmbChannelCleanup; \
	PFN_VMB_CHANNEL_CREATE_GPADL_FROM_BUFFER VmbChannelCreateGpadlFromBuffer; \
	PFN_VMB_CHANNEL_CREATE_GPADL_FROM_MDL VmbChannelCreateGpadlFromMdl; \
	PFN_VMB_CHANNEL_DELETE_GPADL VmbChannelDeleteGpadl; \
	PFN_VMB_CHANNEL_DISABLE VmbChannelDisable; \
	PFN_VMB_CHANNEL_ENABLE VmbChannelEnable; \
	PFN_VMB_CHANNEL_GET_INTERFACE_INSTANCE VmbChannelGetInterfaceInstance; \
	PFN_VMB_CHANNEL_GET_MMIO_SPACE VmbChannelGetMmioSpace; \
	PFN_VMB_CHANNEL_GET_POINTER VmbChannelGetPointer; \
	PFN_VMB_CHANNEL_INIT_SET_CLIENT_CONTEXT_SIZE VmbChannelInitSetClientContextSize; \
	PFN_VMB_CHANNEL_INIT_SET_FLAGS VmbChannelInitSetFlags; \
	PFN_VMB_CHANNEL_INIT_SET_FRIENDLY_NAME VmbChannelInitSetFriendlyName; \
	PFN_VMB_CHANNEL_INIT_SET_MAXIMUM_EXTERNAL_DATA VmbChannelInitSetMaximumExternalData; \
	PFN_VMB_CHANNEL_INIT_SET_MAXIMUM_PACKET_SIZE VmbChannelInitSetMaximumPacketSize; \
	PFN_VMB_CHANNEL_INIT_SET_PROCESS_PACKET_CALLBACKS VmbChannelInitSetProcessPacketCallbacks; \
	PFN_VMB_CHANNEL_INIT_SET_STATE_CHANGE_CALLBACKS VmbChannelInitSetStateChangeCallbacks; \
	PFN_VMB_CHANNEL_PACKET_COMPLETE VmbChannelPacketComplete; \
	PFN_VMB_CHANNEL_PACKET_DEFER_TO_PASSIVE VmbChannelPacketDeferToPassive; \
	PFN_VMB_CHANNEL_PACKET_FAIL VmbChannelPacketFail; \
	PFN_VMB_CHANNEL_PACKET_GET_EXTERNAL_DATA VmbChannelPacketGetExternalData; \
	PFN_VMB_CHANNEL_PAUSE VmbChannelPause; \
	PFN_VMB_CHANNEL_SEND_SYNCHRONOUS_REQUEST VmbChannelSendSynchronousRequest; \
	PFN_VMB_CHANNEL_SET_INCOMING_PROCESSING_AT_PASSIVE VmbChannelSetIncomingProcessingAtPassive; \
	PFN_VMB_CHANNEL_SET_INTERRUPT_LATENCY VmbChannelSetInterruptLatency; \
	PFN_VMB_CHANNEL_SET_POINTER VmbChannelSetPointer; \
	PFN_VMB_CHANNEL_SET_TRANSACTION_QUOTA VmbChannelSetTransactionQuota; \
	PFN_VMB_CHANNEL_SIZEOF_PACKET VmbChannelSizeofPacket; \
	PFN_VMB_CHANNEL_START VmbChannelStart; \
	PFN_VMB_CLIENT_CHANNEL_INIT_SET_RING_BUFFER_PAGE_COUNT VmbClientChannelInitSetRingBufferPageCount; \
	PFN_VMB_CLIENT_CHANNEL_INIT_SET_TARGET_PNP VmbClientChannelInitSetTargetPnp; \
	PFN_VMB_PACKET_ALLOCATE VmbPacketAllocate; \
	PFN_VMB_PACKET_FREE VmbPacketFree; \
	PFN_VMB_PACKET_GET_CHANNEL VmbPacketGetChannel; \
	PFN_VMB_PACKET_GET_POINTER VmbPacketGetPointer; \
	PFN_VMB_PACKET_INITIALIZE VmbPacketInitialize; \
	PFN_VMB_PACKET_SEND VmbPacketSend; \
	PFN_VMB_PACKET_SEND_WITH_EXTERNAL_MDL VmbPacketSendWithExternalMdl; \
	PFN_VMB_PACKET_SEND_WITH_EXTERNAL_PFNS VmbPacketSendWithExternalPfns; \
	PFN_VMB_PACKET_SET_COMPLETION_ROUTINE VmbPacketSetCompletionRoutine; \
	PFN_VMB_PACKET_SET_POINTER VmbPacketSetPointer
#define KMCL_SERVER_METHODS \
	PFN_VMB_CHANNEL_MAP_GPADL VmbChannelMapGpadl; \
	PFN_VMB_CHANNEL_RESTORE_FROM_BUFFER VmbChannelRestoreFromBuffer; \
	PFN_VMB_CHANNEL_SAVE_BEGIN VmbChannelSaveBegin; \
	PFN_VMB_CHANNEL_SAVE_CONTINUE VmbChannelSaveContinue; \
	PFN_VMB_CHANNEL_SAVE_END VmbChannelSaveEnd; \
	PFN_VMB_CHANNEL_UNMAP_GPADL VmbChannelUnmapGpadl; \
	PFN_VMB_CONVERT_VMBUS_HANDLE_TO_KERNEL_HANDLE VmbConvertVmbusHandleToKernelHandle; \
	PFN_VMB_PACKET_RESTORE VmbPacketRestore; \
	PFN_VMB_SERVER_CHANNEL_INIT_SET_FLAGS VmbServerChannelInitSetFlags; \
	PFN_VMB_SERVER_CHANNEL_INIT_SET_MMIO_MEGABYTES VmbServerChannelInitSetMmioMegabytes; \
	PFN_VMB_SERVER_CHANNEL_INIT_SET_SAVE_RESTORE_PACKET_CALLBACKS VmbServerChannelInitSetSaveRestorePacketCallbacks; \
	PFN_VMB_SERVER_CHANNEL_INIT_SET_TARGET_INTERFACE_ID VmbServerChannelInitSetTargetInterfaceId; \
	PFN_VMB_SERVER_CHANNEL_INIT_SET_TARGET_VTL VmbServerChannelInitSetTargetVtl; \
	PFN_VMB_SERVER_CHANNEL_INIT_SET_VMBUS_HANDLE VmbServerChannelInitSetVmbusHandle
/* clang-format on */

/* What an INTERFACE holds, as members: C++ has no unnamed members of a named type. */
#define KMCL_INTERFACE_HEADER                    \
	USHORT Size;                             \
	USHORT Version;                          \
	PVOID Context;                           \
	PINTERFACE_REFERENCE InterfaceReference; \
	PINTERFACE_DEREFERENCE InterfaceDereference

typedef struct _KMCL_CLIENT_INTERFACE_V1 {
	KMCL_INTERFACE_HEADER;
	KMCL_CLIENT_METHODS;
} KMCL_CLIENT_INTERFACE_V1, *PKMCL_CLIENT_INTERFACE_V1;

typedef struct _KMCL_SERVER_ONLY_METHODS {
	KMCL_SERVER_METHODS;
} KMCL_SERVER_ONLY_METHODS, *PKMCL_SERVER_ONLY_METHODS;

typedef struct _KMCL_SERVER_INTERFACE_V1 {
	KMCL_INTERFACE_HEADER;
	KMCL_CLIENT_METHODS;
	KMCL_SERVER_METHODS;
} KMCL_SERVER_INTERFACE_V1, *PKMCL_SERVER_INTERFACE_V1;

#define KMCL_CLIENT_INTERFACE_VERSION_V1     1
#define KMCL_SERVER_INTERFACE_VERSION_V1     1
#define KMCL_CLIENT_INTERFACE_VERSION_LATEST KMCL_CLIENT_INTERFACE_VERSION_V1
#define KMCL_SERVER_INTERFACE_VERSION_LATEST KMCL_SERVER_INTERFACE_VERSION_V1

/* The documentation names these GUIDs and does not print them; the values are kmcl's own. */
DEFINE_GUID(KMCL_CLIENT_INTERFACE_TYPE, 0x6b6d636c, 0x0001, 0x4000, 0x80, 0x63, 0x6c, 0x69, 0x65,
            0x6e, 0x74, 0x31);
DEFINE_GUID(KMCL_SERVER_INTERFACE_TYPE, 0x6b6d636c, 0x0002, 0x4000, 0x80, 0x73, 0x65, 0x72, 0x76,
            0x65, 0x72, 0x31);

#ifdef __cplusplus
}
#endif

#endif
