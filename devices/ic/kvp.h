/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_IC_KVP_H
#define DEVICES_IC_KVP_H

/*
 * Key-value pairs, host side: reads and writes the pools of keys that the guest keeps, and asks and
 * tells it about its network adapters. What Hyper-V offers; in Linux hv_utils passes it on to
 * hv_kvp_daemon, and does not even negotiate before that runs.
 *
 * All functions are P (PASSIVE_LEVEL) and may be called from any thread; they wait for the guest up
 * to timeout_ms (0: 5000; Linux itself gives up on its daemon after 30 s), one at a time.
 */

#include "ic/ic.h"
#include "ic/utf16.h"

/* Strings of at most 255 and 1023 UTF-16 units, and the NUL. */
#define KVP_KEY_MAX   UTF16_UTF8_MAX(IC_KVP_KEY_BYTES / 2)
#define KVP_VALUE_MAX UTF16_UTF8_MAX(IC_KVP_VALUE_BYTES / 2)
#define KVP_IP_MAX    4096u

/* Who writes a pool; the guest keeps them all. */
enum kvp_pool {
	KVP_POOL_EXTERNAL = 0,      /* the host, for the guest to read */
	KVP_POOL_GUEST = 1,         /* the guest, for the host */
	KVP_POOL_AUTO = 2,          /* what the guest's driver says of its system */
	KVP_POOL_AUTO_EXTERNAL = 3, /* what the host says of itself */
	KVP_POOL_AUTO_INTERNAL = 4, /* Linux's; no host is known to use it */
};
#define KVP_POOLS 5u

struct kvp_value {
	enum ic_kvp_type type;
	uint64_t number;          /* IC_KVP_U32, IC_KVP_U64 */
	char text[KVP_VALUE_MAX]; /* IC_KVP_STRING, IC_KVP_EXPAND_STRING: UTF-8 */
};

struct kvp_entry {
	char key[KVP_KEY_MAX];
	struct kvp_value value;
};

struct kvp;

/* Offers it to the guest behind `vmbus` (from kmcl_host_open). */
NTSTATUS kvp_create(HANDLE vmbus, const struct ic_options *options, struct kvp **kvp);
/* No call is running or follows. */
void kvp_destroy(struct kvp *kvp);

/*
 * Of all of them: what ic_status() makes of the guest's failure (Linux says STATUS_NO_MORE_ENTRIES
 * for whatever its daemon could not do, and STATUS_UNSUCCESSFUL when that does not answer);
 * STATUS_DEVICE_NOT_READY, STATUS_REVISION_MISMATCH, STATUS_DEVICE_BUSY, STATUS_IO_TIMEOUT,
 * STATUS_DEVICE_REMOVED: see ic_call(); STATUS_INVALID_PARAMETER_2: no such pool;
 * STATUS_DATA_ERROR: the answer makes no sense, which is logged.
 */

/*
 * STATUS_INVALID_PARAMETER_3, _4: the key is empty, not UTF-8 or too long; the value likewise, or
 * of no known type. Linux stores numbers in decimal, and of an IC_KVP_U64 an empty string: it has
 * another number for that type.
 */
NTSTATUS kvp_set(struct kvp *kvp, enum kvp_pool pool, const char *key,
                 const struct kvp_value *value, uint32_t timeout_ms);
/* STATUS_NOT_FOUND. Looks through the whole pool where the guest's own answer is not enough: Linux
 * answers with an empty string whatever the value is, and does not look into KVP_POOL_AUTO. */
NTSTATUS kvp_get(struct kvp *kvp, enum kvp_pool pool, const char *key, struct kvp_value *value,
                 uint32_t timeout_ms);
/* STATUS_NOT_FOUND. */
NTSTATUS kvp_delete(struct kvp *kvp, enum kvp_pool pool, const char *key, uint32_t timeout_ms);
/* The entry number `index`, from 0 on; STATUS_NO_MORE_ENTRIES: there are not so many, as the guest
 * says by its status or by a key without letters. */
NTSTATUS kvp_enumerate(struct kvp *kvp, enum kvp_pool pool, uint32_t index, struct kvp_entry *entry,
                       uint32_t timeout_ms);

/* Lists are separated by ';'. Subnets are as many as addresses: IPv4 masks, IPv6 "/64". */
struct kvp_ip_info {
	bool ipv4, ipv6;
	bool dhcp;
	char addresses[KVP_IP_MAX], subnets[KVP_IP_MAX], gateways[KVP_IP_MAX], dns[KVP_IP_MAX];
};

/*
 * Of the adapter that the guest knows as `adapter`; to Linux that is the MAC address, in capitals
 * with colons, when it is asked, and the instance GUID, without braces, when it is told. Guests
 * that agreed on 4.0 or newer; STATUS_NOT_SUPPORTED: not this one. STATUS_INVALID_PARAMETER_2: the
 * adapter is not UTF-8 or has more than 127 units; _3: a list is not of addresses, or too long.
 */
NTSTATUS kvp_get_ip(struct kvp *kvp, const char *adapter, struct kvp_ip_info *info,
                    uint32_t timeout_ms);
NTSTATUS kvp_set_ip(struct kvp *kvp, const char *adapter, const struct kvp_ip_info *info,
                    uint32_t timeout_ms);

void kvp_statistics(struct kvp *kvp, struct ic_statistics *statistics);

#endif
