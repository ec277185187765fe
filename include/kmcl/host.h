/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KMCL_HOST_H
#define KMCL_HOST_H

/*
 * Becoming the host or the guest, in plain C: for monitors and programs that use services which
 * somebody else wrote, such as those of kmcl/disk.h. Who writes one of his own uses kmcl/kmcl.h and
 * the API itself: kmcl_host_handle() and its kin go from one door to the other.
 *
 * Any thread may call these functions; none of them at a raised IRQL.
 */

#include <kmcl/api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Versions of the channel protocol, major in the high half. */
#define KMCL_BUS_VERSION(major, minor) (((uint32_t)(major) << 16) | (minor))
#define KMCL_BUS_VERSION_LATEST        KMCL_BUS_VERSION(6, 0)

/* May be asked for: one that there is, from 0.13 (Windows Server 2008) to the latest. */
KMCL_API bool kmcl_bus_version_known(uint32_t version);

/* An identifier as Windows has them: what a channel offers is told by its type and its instance. */
struct kmcl_guid {
	uint32_t data1;
	uint16_t data2, data3;
	uint8_t data4[8];
};

struct kmcl_host;

struct kmcl_host_options {
	uint32_t size;        /* sizeof(struct kmcl_host_options) */
	uint32_t version_max; /* the newest version agreed to; 0: the latest */
	/* "unix:PATH": how many bytes of memory a guest may bring, which become this process's as
	 * it touches them; 0: KMCL_HOST_MEMORY_MAX. (A virtual machine's memory is its monitor's.)
	 */
	uint64_t memory_max;
};
#define KMCL_HOST_MEMORY_MAX (UINT64_C(4) << 30)

/*
 * Becomes the host of the guest behind `partition`: "kvm:NAME" (a virtual machine; kmcl/kvm.h),
 * "unix:PATH" (another process, which connects there) or "local:NAME" (this process). `options` may
 * be NULL. -EINVAL: no such partition, or the options; -E2BIG: options of a newer library;
 * -EADDRINUSE: it has a host; -EACCES, -ENOTDIR (no directory for the socket), -ENOMEM; -EIO. The
 * log has the reason.
 */
KMCL_API int kmcl_host_create(const char *partition, const struct kmcl_host_options *options,
                              struct kmcl_host **host);
/* After the last of its services. NULL: nothing. */
KMCL_API void kmcl_host_destroy(struct kmcl_host *host);

struct kmcl_guest;

struct kmcl_guest_options {
	uint32_t size;        /* sizeof(struct kmcl_guest_options) */
	uint32_t version_max; /* the newest version asked for; 0: the latest */
	uint32_t timeout_ms;  /* how long to wait for the host's answer; 0: 5000 */
	uint8_t vtl; /* the virtual trust level this guest runs in; hosts before 5.1 know 0 only */
};

/*
 * Becomes the guest of whoever is host there. Returns when the bus is connected and the offers made
 * so far are known. If the host goes away, channels close; when one comes back, the bus connects
 * again by itself, and also while this waits. Errors as of kmcl_host_create(), and -ENOENT: it has
 * no host, or that hung up and no other came in time; -ENOTDIR: nor a directory for its socket;
 * -ECONNREFUSED: the host agreed to no version; -ETIMEDOUT.
 */
KMCL_API int kmcl_guest_create(const char *partition, const struct kmcl_guest_options *options,
                               struct kmcl_guest **guest);
/* After the last of its drivers. Waits up to 5 s for the host's farewell. NULL: nothing. */
KMCL_API void kmcl_guest_destroy(struct kmcl_guest *guest);

/* ---- what there is ---- */

struct kmcl_bus_info {
	uint32_t size;    /* sizeof(struct kmcl_bus_info) */
	uint32_t version; /* agreed; 0: not connected */
	uint32_t features;
	int other_process; /* its pid; 0: this process, or unknown */
	uint32_t channels;
	/* The host end of "unix:PATH": how many processes wait in closing what strangers sent, who
	 * connected, and who of them was refused. */
	uint32_t visitors_stuck;
	uint64_t visitors, visitors_refused;
	/* Bytes that this end holds because of what the other end does: their sum, how many it may
	 * be (a host's; a guest reads always, 0), and in what: incoming packets with their answers,
	 * GPADLs (a host's), messages that the other end does not take. */
	uint64_t held, held_max;
	uint64_t held_packets, held_gpadls, held_messages;
};

/* What there is on the bus. -EINVAL: the size. */
KMCL_API int kmcl_host_query(struct kmcl_host *host, struct kmcl_bus_info *info);
KMCL_API int kmcl_guest_query(struct kmcl_guest *guest, struct kmcl_bus_info *info);

/* ---- its channels ---- */

enum kmcl_channel_state {
	KMCL_CHANNEL_OFFERED, /* guest end: nobody here uses it */
	KMCL_CHANNEL_DISABLED,
	KMCL_CHANNEL_ENABLED,
	KMCL_CHANNEL_PAUSED, /* open */
	KMCL_CHANNEL_ACTIVE,
};

struct kmcl_statistics {
	uint64_t packets_in, packets_out; /* data packets */
	uint64_t bytes_in, bytes_out;     /* their payloads */
	uint64_t completions_in, completions_out;
	uint64_t signals_in, signals_out;
	uint64_t sends_queued;   /* packets that found the ring full */
	uint64_t external_bytes; /* passed by reference */
	uint64_t bounced_bytes;  /* of these: copied, for want of shared memory */
	uint64_t quota_stops;    /* deliveries stopped by the transaction quota */
	uint64_t faults;         /* malformed things from the other end */
	uint64_t opens;          /* times the channel was opened */
};

#define KMCL_OFFER_DATA_MAX 120u

struct kmcl_bus_channel {
	uint32_t size;                   /* sizeof(struct kmcl_bus_channel) */
	struct kmcl_guid type, instance; /* of what is offered there */
	uint16_t subchannel;
	enum kmcl_channel_state state;
	char name[64]; /* the friendly name, or "" */
	uint32_t channel_id, connection_id;
	uint16_t offer_flags;
	uint16_t mmio_megabytes, mmio_megabytes_optional;
	uint8_t offer_data[KMCL_OFFER_DATA_MAX];
	bool dedicated_interrupt, monitored;
	uint8_t monitor_id;
	uint32_t target_vp;                     /* the virtual processor that it interrupts */
	uint32_t ring_in_bytes, ring_out_bytes; /* 0: not open */
	uint32_t gpadls;                        /* beside the rings' own */
	uint32_t outstanding_in, outstanding_out;
	struct kmcl_statistics statistics;
};

/*
 * Lists the channels: fills in up to `capacity` of them and sets `count` to how many there are. The
 * first one's size is that of each; `channels` may be NULL if `capacity` is 0. The counters are
 * read one by one while they move. -EINVAL: the size; -ENOMEM.
 */
KMCL_API int kmcl_host_list(struct kmcl_host *host, struct kmcl_bus_channel *channels,
                            uint32_t capacity, uint32_t *count);
KMCL_API int kmcl_guest_list(struct kmcl_guest *guest, struct kmcl_bus_channel *channels,
                             uint32_t capacity, uint32_t *count);

/* ---- how callbacks are run: of the whole process ---- */

/* Without any of this, one thread per processor runs the callbacks of services and drivers; it
 * polls for up to 50 us before it sleeps, and not at all where there is one processor. */
struct kmcl_dispatch_settings {
	uint32_t size;        /* sizeof(struct kmcl_dispatch_settings) */
	uint32_t dispatchers; /* threads that run callbacks, up to 64; 0: one per processor */
	uint32_t spin_us;     /* how long one polls before it sleeps, at most; 0: not at all */
	uint32_t embedded;    /* not 0: no threads, the caller runs kmcl_dispatch() */
};

/* Sets how callbacks are run, before the first channel is enabled in this process. -EINVAL: the
 * settings; -E2BIG; -EBUSY: too late. */
KMCL_API int kmcl_dispatch_set_up(const struct kmcl_dispatch_settings *settings);
/* Embedded: a descriptor that is readable when kmcl_dispatch() has something to do. -1: there are
 * threads. */
KMCL_API int kmcl_dispatch_fd(void);
/* Embedded: runs callbacks on this thread until there is nothing to do; it looks for more for about
 * spin_us. Returns how many packets and completions were delivered. Not from a callback. */
KMCL_API uint32_t kmcl_dispatch(uint32_t spin_us);

/* ---- identifiers ---- */

/* An identifier made from a name: the same for the same one, and practically never for another. */
KMCL_API struct kmcl_guid kmcl_guid_from_name(const char *name);
/* "ba6163d9-04a1-4d29-b605-72e2ffb1dc7f", in braces or without. -EINVAL. */
KMCL_API int kmcl_guid_parse(const char *text, struct kmcl_guid *guid);

#ifdef __cplusplus
}
#endif

#endif
