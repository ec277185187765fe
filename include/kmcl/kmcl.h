/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KMCL_KMCL_H
#define KMCL_KMCL_H

/*
 * What Windows keeps outside vmbuskernelmodeclientlibapi.h: becoming the host or the guest, how
 * callbacks are run, what there is on a bus, statistics and logs. All of it is P (PASSIVE_LEVEL)
 * unless a comment says otherwise. What of it needs no NT types is in kmcl/host.h and kmcl/log.h.
 */

#include <kmcl/host.h>
#include <kmcl/log.h>
#include <ntddk.h>
#include <vmbuskernelmodeclientlibapi.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KMCL_VERSION_MAJOR 0
#define KMCL_VERSION_MINOR 1

/* ---- partitions ---- */

/*
 * Become the host of a guest: "local:NAME" (both ends in this process) or "unix:PATH" (the guest is
 * another process). `options` may be NULL. The handle goes through
 * VmbConvertVmbusHandleToKernelHandle and is closed with ZwClose, after the last channel's cleanup.
 * STATUS_INVALID_PARAMETER_1: no such partition; _2: the options; STATUS_SHARING_VIOLATION: it has
 * a host; STATUS_INSUFFICIENT_RESOURCES; STATUS_ACCESS_DENIED; STATUS_UNSUCCESSFUL with the reason
 * in the log.
 */
NTKERNELAPI NTSTATUS kmcl_host_open(const char *partition, HANDLE *vmbus);
NTKERNELAPI NTSTATUS kmcl_host_open_ex(const char *partition,
                                       const struct kmcl_host_options *options, HANDLE *vmbus);

/*
 * Become the guest. Returns when the bus is connected and the offers made so far are known. If the
 * host goes away, channels close; when one comes back, the bus connects again by itself, and also
 * while this waits. As above, and STATUS_OBJECT_NAME_NOT_FOUND: it has no host, or that hung up and
 * no other came in time; STATUS_OBJECT_PATH_NOT_FOUND: nor a directory for its socket;
 * STATUS_CONNECTION_REFUSED: the host agreed to no version; STATUS_IO_TIMEOUT.
 */
NTKERNELAPI NTSTATUS kmcl_guest_open(const char *partition, PDEVICE_OBJECT *bus);
NTKERNELAPI NTSTATUS kmcl_guest_open_ex(const char *partition,
                                        const struct kmcl_guest_options *options,
                                        PDEVICE_OBJECT *bus);
/* The handle of a host that was made in plain C (kmcl/host.h): two doors to one thing. */
static inline HANDLE kmcl_host_handle(struct kmcl_host *host)
{
	return host;
}

/* The plain C of a host that was opened here. */
static inline struct kmcl_host *kmcl_host_of_handle(HANDLE vmbus)
{
	return (struct kmcl_host *)vmbus;
}

/* The bus object of a guest that was made in plain C. */
static inline PDEVICE_OBJECT kmcl_guest_device(struct kmcl_guest *guest)
{
	return (PDEVICE_OBJECT)guest;
}

/* The plain C of a guest that was opened here. */
static inline struct kmcl_guest *kmcl_guest_of_device(PDEVICE_OBJECT bus)
{
	return (struct kmcl_guest *)bus;
}

/* An identifier of plain C as the NT types have it. D. */
static inline GUID kmcl_guid_to_nt(struct kmcl_guid guid)
{
	GUID nt;

	memcpy(&nt, &guid, sizeof(nt));
	return nt;
}

/* An identifier of the NT types as plain C has it. D. */
static inline struct kmcl_guid kmcl_guid_of_nt(GUID nt)
{
	struct kmcl_guid guid;

	memcpy(&guid, &nt, sizeof(guid));
	return guid;
}

/* After the last channel's cleanup. Says UNLOAD to the host, and waits up to 5 s for its answer. */
NTKERNELAPI void kmcl_guest_close(PDEVICE_OBJECT bus);

/* The tables through which newer drivers reach the API (WdfFdoQueryForInterface on Windows).
 * STATUS_NOT_SUPPORTED: no such type or version; STATUS_BUFFER_TOO_SMALL. */
NTKERNELAPI NTSTATUS kmcl_query_interface(LPCGUID type, USHORT size, USHORT version,
                                          void *interface_table);

/* What a function in plain C returns for that status: 0 or -errno; -EIO where there is no errno
 * that says it. D. */
NTKERNELAPI int kmcl_errno(NTSTATUS status);

/* ---- how callbacks are run ---- */

/* Sets how callbacks are run, as kmcl_dispatch_set_up() does (kmcl/host.h), which a newer program
 * calls: the size must be this library's. STATUS_INVALID_DEVICE_STATE: too late. */
NTKERNELAPI NTSTATUS kmcl_dispatch_configure(const struct kmcl_dispatch_settings *settings);

/*
 * Sends are made visible to the other end at once, or, at DISPATCH_LEVEL, when some KiB are
 * written, the dispatcher has finished its round, or the IRQL drops: KeRaiseIrql(DISPATCH_LEVEL)
 * around a burst of sends makes a batch of it.
 */

/* ---- channels: what the documented API has no function for ---- */

/* Init functions, like those of VmbChannelInit...: disabled channels only. */

/* Server: the offer's user-defined bytes, n <= VMBUS_SERVER_CHANNEL_INIT_MAXIMUM_OFFER_DATA. */
NTKERNELAPI NTSTATUS kmcl_server_channel_init_set_offer_data(VMBCHANNEL channel, const void *data,
                                                             uint32_t n);
/* Server: offer it as subchannel `index` of the channel with the same type and instance; client:
 * wait for that one. Default 0, the primary. */
NTKERNELAPI NTSTATUS kmcl_channel_init_set_subchannel(VMBCHANNEL channel, uint16_t index);
/* Server: signals from the guest go through the monitor page, looked at every latency_100ns. As
 * long as nothing moves nobody looks. */
NTKERNELAPI NTSTATUS kmcl_server_channel_init_set_monitored(VMBCHANNEL channel,
                                                            uint16_t latency_100ns);
/* Server: whether the channel has an interrupt of its own; default TRUE. */
NTKERNELAPI NTSTATUS kmcl_server_channel_init_set_dedicated_interrupt(VMBCHANNEL channel,
                                                                      BOOLEAN dedicated);
/* Client: which virtual processor takes the channel's interrupts. Works on an open channel too
 * (MODIFY_CHANNEL); the host's answer is returned where its version gives one. */
NTKERNELAPI NTSTATUS kmcl_client_channel_set_target_vp(VMBCHANNEL channel, uint32_t vp);
/* Client: bytes that the server gets with the open request, n <= 120; server: gets them, from
 * Opened. */
NTKERNELAPI NTSTATUS kmcl_client_channel_init_set_open_data(VMBCHANNEL channel, const void *data,
                                                            uint32_t n);
NTKERNELAPI NTSTATUS kmcl_server_channel_get_open_data(VMBCHANNEL channel, void *data, uint32_t n);
/* Client: asks the host for a connection to a service of a transport layer (hv_sock). Returns what
 * the host answered: STATUS_CONNECTION_REFUSED where nobody listens; STATUS_DEVICE_BUSY: it has not
 * read the last such request yet. */
NTKERNELAPI NTSTATUS kmcl_guest_tl_connect(PDEVICE_OBJECT bus, LPCGUID endpoint, LPCGUID service);

/* ---- transfer pages ---- */

/*
 * The documented API has no word for them, and network adapters cannot do without: the guest shows
 * its host memory once (a GPADL), both ends call it by a number of their own (the page set), and
 * the host sends packets that name ranges of it. Sources: Linux include/linux/hyperv.h
 * (vmtransfer_page_packet_header), drivers/net/hyperv/netvsc.c; OpenVMM vmbus_ring/src/lib.rs.
 */
struct kmcl_transfer_range {
	uint32_t byte_count;
	uint32_t byte_offset;
};

/*
 * D. Server: as VmbPacketSend, with ranges of a page set, which are the guest's until it completes
 * the packet. Flags: VMBUS_CHANNEL_FORMAT_FLAG_*, WAIT is required. STATUS_INVALID_PARAMETER: a
 * client's packet; _1 to _3, _7 (the flags) as there; _5: no ranges; _6: none of them;
 * STATUS_INVALID_BUFFER_SIZE: more ranges than the channel's chain length, or more bytes in them
 * than its maximum external data (VmbChannelInitSetMaximumExternalData).
 */
NTKERNELAPI NTSTATUS kmcl_packet_send_transfer_pages(VMBPACKET packet, void *buffer, uint32_t size,
                                                     uint16_t page_set,
                                                     const struct kmcl_transfer_range *ranges,
                                                     uint32_t count, uint32_t flags);
/*
 * D. The packet, which VmbPacketAllocate gave and which is not under way, has this transaction id
 * on the wire when it is sent, 1 to 65536, instead of one of the library's own, in which the number
 * of its uses makes a difference: a completion that the other end sends twice may end the next
 * packet of the same id. STATUS_INVALID_PARAMETER_1 (the packet), _2 (the id); STATUS_DEVICE_BUSY:
 * another packet of the channel is under way with it, or there is no memory.
 */
NTKERNELAPI NTSTATUS kmcl_packet_set_transaction_id(VMBPACKET packet, uint32_t id);
/*
 * D. Client: the ranges of a packet that ProcessPacket was given, valid until it is completed. Each
 * of them ends before 4 GiB and there are no more than the channel's chain length; whether they lie
 * in the memory, only the driver can tell. To ProcessPacket such a packet is like any other, with
 * its payload in the buffer (so it is in OpenVMM, vmbus_async/src/queue.rs, where a packet with
 * transfer pages is a data packet that has ranges too).
 * STATUS_NOT_FOUND: it has none; STATUS_INVALID_PARAMETER_1 to _4.
 */
NTKERNELAPI NTSTATUS kmcl_packet_get_transfer_pages(VMBPACKETCOMPLETION packet, uint16_t *page_set,
                                                    const struct kmcl_transfer_range **ranges,
                                                    uint32_t *count);

/* ---- what there is on a bus ---- */

struct kmcl_channel_info {
	GUID type, instance;
	uint16_t subchannel;
	uint32_t channel_id, connection_id;
	uint16_t offer_flags;
	uint16_t mmio_megabytes, mmio_megabytes_optional;
	uint8_t offer_data[VMBUS_SERVER_CHANNEL_INIT_MAXIMUM_OFFER_DATA];
	bool dedicated_interrupt, monitored;
	uint8_t monitor_id;
	uint32_t target_vp;
	enum kmcl_channel_state state;
	char name[64];                          /* the friendly name, or "" */
	uint32_t ring_in_bytes, ring_out_bytes; /* 0: not open */
	uint32_t gpadls;                        /* beside the rings' own */
	uint32_t outstanding_in, outstanding_out;
	struct kmcl_statistics statistics;
};

/* Fills up to `capacity` entries and returns how many there are. */
NTKERNELAPI uint32_t kmcl_host_channels(HANDLE vmbus, struct kmcl_channel_info *info,
                                        uint32_t capacity);
NTKERNELAPI uint32_t kmcl_guest_channels(PDEVICE_OBJECT bus, struct kmcl_channel_info *info,
                                         uint32_t capacity);
NTKERNELAPI NTSTATUS kmcl_host_info(HANDLE vmbus, struct kmcl_bus_info *info);
NTKERNELAPI NTSTATUS kmcl_guest_info(PDEVICE_OBJECT bus, struct kmcl_bus_info *info);
/* the structure has the name too, as with stat(2) */
#pragma GCC diagnostic push
#ifdef __cplusplus
#pragma GCC diagnostic ignored "-Wshadow"
#endif
/* D. Waits for nothing: the counters are read one by one while they move. */
NTKERNELAPI void kmcl_channel_info(VMBCHANNEL channel, struct kmcl_channel_info *info);
#pragma GCC diagnostic pop

/* ---- memory ---- */

/*
 * D. `length` bytes from `offset` on of what an MDL chain describes, as an iovec for preadv and the
 * like; neighbouring pages are joined, nothing is copied or mapped. Valid as long as the MDL.
 * Returns how many entries that takes; more than `capacity`: only so many were written. 0: out of
 * range.
 */
NTKERNELAPI uint32_t kmcl_mdl_iovec(PMDL mdl, uint32_t offset, uint32_t length, struct iovec *iov,
                                    uint32_t capacity);

/* ---- log ---- */

/* D. For a driver: what it found wrong in what came over its channel. As the other end can have
 * that said as often as it likes, only so many lines of one other end's channels are shown at a
 * time. */
NTKERNELAPI void kmcl_channel_log(VMBCHANNEL channel, enum kmcl_log_level level, const char *format,
                                  ...) __attribute__((format(printf, 3, 4)));

#ifdef __cplusplus
}
#endif

#endif
