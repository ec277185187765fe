/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KMCL_IC_H
#define KMCL_IC_H

/*
 * Integration components for a guest: heartbeat, shutdown, time synchronisation, key-value pairs.
 * What Hyper-V offers; Linux's hv_utils and Windows's services answer it.
 *
 * Any thread may call these functions, several at a time; none of them at a raised IRQL. No call
 * may run or follow when a component is destroyed; destroying NULL is nothing. Those that ask the
 * guest wait for it up to timeout_ms (0: 5000), one at a time for each component, and return,
 * beside what is said with them: -ENOTCONN: the guest's driver is not there; -EPROTONOSUPPORT: it
 * shares no version with the host; -ENOTSUP: the version agreed on has no such thing; -EBUSY: it
 * owes too many answers, or another call takes too long; -ETIMEDOUT: no answer; -ENODEV: it went
 * away meanwhile; -EPROTO: its answer makes no sense, which is logged; -EIO and others: it says
 * that it cannot.
 */

#include <kmcl/host.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of a component's messages. */
#define KMCL_IC_VERSION(major, minor) ((uint32_t)(major) << 16 | (minor))

/* What all components' options begin with, and what those have that need no more. */
struct kmcl_ic_options {
	uint32_t size;             /* of the whole structure */
	uint32_t version_max;      /* the newest message version offered; 0: the latest */
	struct kmcl_guid instance; /* all 0: that of a real host */
};

struct kmcl_ic_statistics {
	uint32_t size;      /* sizeof(struct kmcl_ic_statistics) */
	uint32_t framework; /* KMCL_IC_VERSION(); 0: not agreed */
	uint32_t version;
	uint64_t opens;    /* times that a guest opened the channel */
	uint64_t requests; /* sent */
	uint64_t answers;  /* that belonged to a request */
	uint64_t late;     /* of these: after their caller had given up */
	uint64_t wrong;    /* messages that made no sense, or that nobody had asked for */
	uint64_t unsent;   /* requests that were not sent, as the guest owes too many answers */
};

/* ---- heartbeat: whether the guest is alive ---- */

enum kmcl_heartbeat_state {
	KMCL_HEARTBEAT_NO_CONTACT, /* no driver has ever answered since it last went away */
	KMCL_HEARTBEAT_OK,
	KMCL_HEARTBEAT_LOST, /* the driver is there, and does not answer any more */
};

enum kmcl_heartbeat_health {
	KMCL_HEARTBEAT_UNKNOWN = 0,
	KMCL_HEARTBEAT_HEALTHY = 1,
	KMCL_HEARTBEAT_CRITICAL = 2,
	KMCL_HEARTBEAT_STOPPED = 3,
};

struct kmcl_heartbeat_options {
	struct kmcl_ic_options ic;
	uint32_t interval_ms; /* 0: 2000, as Linux says Hyper-V does */
	uint32_t missed;      /* lost after so many intervals without an answer; 0: 5 */
	/* The state changed; one call at a time, and the last one tells the present state: short
	 * changes in between may be left out. Not for the first, NO_CONTACT, and not once
	 * kmcl_heartbeat_destroy() has begun. A thread of the library's, which may wait for a
	 * while. NULL: none. */
	void (*changed)(void *context, enum kmcl_heartbeat_state state);
	void *context;
};

struct kmcl_heartbeat;

/* `options` may be NULL. -EINVAL: the options; -E2BIG; -EEXIST: the instance is offered already;
 * -ENOMEM. So it is with all components. */
KMCL_API int kmcl_heartbeat_create(struct kmcl_host *host,
                                   const struct kmcl_heartbeat_options *options,
                                   struct kmcl_heartbeat **heartbeat);
KMCL_API void kmcl_heartbeat_destroy(struct kmcl_heartbeat *heartbeat);

struct kmcl_heartbeat_info {
	uint32_t size; /* sizeof(struct kmcl_heartbeat_info) */
	enum kmcl_heartbeat_state state;
	enum kmcl_heartbeat_health health; /* what the guest last said */
	uint32_t missed;                   /* intervals without an answer, at present */
	uint64_t last_ms;                  /* since the last answer; UINT64_MAX: there was none */
	uint64_t lost;                     /* times that it was lost */
	uint64_t round_trip_us;            /* of the last answer */
};

/* How the guest is. -EINVAL: the size. */
KMCL_API int kmcl_heartbeat_query(struct kmcl_heartbeat *heartbeat,
                                  struct kmcl_heartbeat_info *info);
/* What was sent and answered so far. -EINVAL: the size. */
KMCL_API int kmcl_heartbeat_get_statistics(struct kmcl_heartbeat *heartbeat,
                                           struct kmcl_ic_statistics *statistics);

/* ---- shutdown ---- */

struct kmcl_shutdown;

/* Offers the shutdown component; returns what kmcl_heartbeat_create() does. */
KMCL_API int kmcl_shutdown_create(struct kmcl_host *host, const struct kmcl_ic_options *options,
                                  struct kmcl_shutdown **shutdown);
/* Withdraws the shutdown component. NULL: nothing. */
KMCL_API void kmcl_shutdown_destroy(struct kmcl_shutdown *shutdown);

enum kmcl_shutdown_action {
	KMCL_SHUTDOWN_POWER_OFF,
	KMCL_SHUTDOWN_RESTART,   /* guests that agreed on 3.1 or newer */
	KMCL_SHUTDOWN_HIBERNATE, /* 3.2 */
};

struct kmcl_shutdown_request {
	uint32_t size; /* sizeof(struct kmcl_shutdown_request) */
	enum kmcl_shutdown_action action;
	uint32_t reason;          /* SHTDN_REASON_*; 0: SHTDN_REASON_FLAG_PLANNED */
	uint32_t timeout_seconds; /* that the guest may take for it */
	bool force;               /* applications that object are ended; Linux always does */
	const char *text;         /* UTF-8, what the guest may show; NULL: none */
};

/*
 * Waits until the guest's driver says that it will; that it has is seen when it does.
 * *guest_status: the HRESULT that it answered, 0 for good; may be NULL. -EINVAL: the text is not
 * UTF-8 or longer than 1023 UTF-16 units, or there is no such action.
 */
KMCL_API int kmcl_shutdown_ask(struct kmcl_shutdown *shutdown,
                               const struct kmcl_shutdown_request *request, uint32_t timeout_ms,
                               uint32_t *guest_status);
/* What was sent and answered so far. -EINVAL: the size. */
KMCL_API int kmcl_shutdown_get_statistics(struct kmcl_shutdown *shutdown,
                                          struct kmcl_ic_statistics *statistics);

/* ---- time synchronisation ---- */

struct kmcl_timesync_options {
	struct kmcl_ic_options ic;
	uint32_t period_ms; /* of the samples; 0: 5000, as Hyper-V's */
	/* The partition's reference counter, in 100 ns: what the guest reads as Hyper-V's reference
	 * time (HV_X64_MSR_TIME_REF_COUNT), from which a guest of version 4.0 computes how old a
	 * sample is. Any thread, which may not wait. NULL: the time since this was made. */
	uint64_t (*reference_time)(void *context);
	/* The time that the guest is told, in 100 ns since 1601-01-01 UTC; likewise. NULL: the
	 * host's. */
	uint64_t (*system_time)(void *context);
	void *context;
};

struct kmcl_timesync;

/*
 * A guest that has just opened it is told to set its clock. After that it gets samples, which it
 * may use or not; and it is told to set its clock again when system time and reference time have
 * drifted apart by more than a second since the last sample: the host's clock was set, or the host
 * or the partition has slept.
 */
KMCL_API int kmcl_timesync_create(struct kmcl_host *host,
                                  const struct kmcl_timesync_options *options,
                                  struct kmcl_timesync **timesync);
KMCL_API void kmcl_timesync_destroy(struct kmcl_timesync *timesync);

/* Tells the guest now to set its clock: after it was restored or resumed. Returns when that is
 * sent. -ENOTCONN: there is no guest yet, which will be told when it comes; -EBUSY: it has not
 * answered for long. */
KMCL_API int kmcl_timesync_set(struct kmcl_timesync *timesync);

struct kmcl_timesync_info {
	uint32_t size;          /* sizeof(struct kmcl_timesync_info) */
	uint64_t sets, samples; /* sent */
	uint64_t skipped;       /* samples that were not sent as the guest had not answered */
	uint64_t round_trip_us; /* of the last answer */
};

/* What the guest was told so far. -EINVAL: the size. */
KMCL_API int kmcl_timesync_query(struct kmcl_timesync *timesync, struct kmcl_timesync_info *info);
/* What was sent and answered so far. -EINVAL: the size. */
KMCL_API int kmcl_timesync_get_statistics(struct kmcl_timesync *timesync,
                                          struct kmcl_ic_statistics *statistics);

/* ---- key-value pairs ---- */

/*
 * Reads and writes the pools of keys that the guest keeps, and asks and tells it about its network
 * adapters. In Linux hv_utils passes it on to hv_kvp_daemon, for which Linux itself waits up to
 * 30 s, and does not even negotiate before that runs.
 */

/* Strings of at most 255, 1023 and some UTF-16 units, as UTF-8, with the NUL. */
#define KMCL_KVP_KEY_MAX   766u
#define KMCL_KVP_VALUE_MAX 3070u
#define KMCL_KVP_IP_MAX    4096u

/* Who writes a pool; the guest keeps them all. */
enum kmcl_kvp_pool {
	KMCL_KVP_POOL_EXTERNAL = 0,      /* the host, for the guest to read */
	KMCL_KVP_POOL_GUEST = 1,         /* the guest, for the host */
	KMCL_KVP_POOL_AUTO = 2,          /* what the guest's driver says of its system */
	KMCL_KVP_POOL_AUTO_EXTERNAL = 3, /* what the host says of itself */
	KMCL_KVP_POOL_AUTO_INTERNAL = 4, /* Linux's; no host is known to use it */
};
#define KMCL_KVP_POOLS 5u

enum kmcl_kvp_type {
	KMCL_KVP_STRING = 1,
	KMCL_KVP_EXPAND_STRING = 2,
	KMCL_KVP_U32 = 4,
	KMCL_KVP_U64 = 11,
};

struct kmcl_kvp_value {
	enum kmcl_kvp_type type;
	uint64_t number;               /* KMCL_KVP_U32, KMCL_KVP_U64 */
	char text[KMCL_KVP_VALUE_MAX]; /* the strings: UTF-8 */
};

struct kmcl_kvp_entry {
	char key[KMCL_KVP_KEY_MAX];
	struct kmcl_kvp_value value;
};

struct kmcl_kvp;

/* Offers the key-value pairs; returns what kmcl_heartbeat_create() does. */
KMCL_API int kmcl_kvp_create(struct kmcl_host *host, const struct kmcl_ic_options *options,
                             struct kmcl_kvp **kvp);
/* Withdraws the key-value pairs. NULL: nothing. */
KMCL_API void kmcl_kvp_destroy(struct kmcl_kvp *kvp);

/*
 * -EINVAL: no such pool; the key is empty, not UTF-8 or too long; the value likewise, or of no
 * known type. Linux stores numbers in decimal, and of a KMCL_KVP_U64 an empty string: it has
 * another number for that type. Linux says -ENODATA for whatever its daemon could not do, and -EIO
 * when that does not answer.
 */
KMCL_API int kmcl_kvp_set(struct kmcl_kvp *kvp, enum kmcl_kvp_pool pool, const char *key,
                          const struct kmcl_kvp_value *value, uint32_t timeout_ms);
/* -ENOENT. Looks through the whole pool where the guest's own answer is not enough: Linux answers
 * with an empty string whatever the value is, and does not look into KMCL_KVP_POOL_AUTO. */
KMCL_API int kmcl_kvp_get(struct kmcl_kvp *kvp, enum kmcl_kvp_pool pool, const char *key,
                          struct kmcl_kvp_value *value, uint32_t timeout_ms);
/* Has the guest forget a key. -ENOENT: it has none of that name. */
KMCL_API int kmcl_kvp_delete(struct kmcl_kvp *kvp, enum kmcl_kvp_pool pool, const char *key,
                             uint32_t timeout_ms);
/* The entry number `index`, from 0 on; -ENODATA: there are not so many, as the guest says by its
 * status or by a key without letters. */
KMCL_API int kmcl_kvp_enumerate(struct kmcl_kvp *kvp, enum kmcl_kvp_pool pool, uint32_t index,
                                struct kmcl_kvp_entry *entry, uint32_t timeout_ms);

/* Lists are separated by ';'. Subnets are as many as addresses: IPv4 masks, IPv6 "/64". */
struct kmcl_kvp_ip_info {
	bool ipv4, ipv6;
	bool dhcp;
	char addresses[KMCL_KVP_IP_MAX], subnets[KMCL_KVP_IP_MAX], gateways[KMCL_KVP_IP_MAX],
		dns[KMCL_KVP_IP_MAX];
};

/*
 * Of the adapter that the guest knows as `adapter`; to Linux that is the MAC address, in capitals
 * with colons, when it is asked, and the instance GUID, without braces, when it is told. Guests
 * that agreed on 4.0 or newer. -EINVAL: the adapter is not UTF-8 or has more than 127 units; a list
 * is not of addresses, or too long.
 */
KMCL_API int kmcl_kvp_get_ip(struct kmcl_kvp *kvp, const char *adapter,
                             struct kmcl_kvp_ip_info *info, uint32_t timeout_ms);
KMCL_API int kmcl_kvp_set_ip(struct kmcl_kvp *kvp, const char *adapter,
                             const struct kmcl_kvp_ip_info *info, uint32_t timeout_ms);

/* What was sent and answered so far. -EINVAL: the size. */
KMCL_API int kmcl_kvp_get_statistics(struct kmcl_kvp *kvp, struct kmcl_ic_statistics *statistics);

#ifdef __cplusplus
}
#endif

#endif
