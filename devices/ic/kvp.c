/* SPDX-License-Identifier: BSD-2-Clause */
#include "ic/ic.h"
#include "ic/kvp_message.h"

#include <errno.h>
#include <kmcl/options.h>
#include <stdlib.h>
#include <string.h>

/* 1.0 is Windows Server 2008's, 3.0 that of 2008 R2, 4.0 of 2012 (Linux); 5.0: OpenVMM. */
static const struct ic_version versions[] = { { 1, 0 }, { 3, 0 }, { 4, 0 }, { 5, 0 } };

/* Linux learned the IP messages together with 4.0, and its older driver takes what it does not know
 * for an enumeration. */
#define IP_SINCE IC_VERSION(4, 0)

struct kmcl_kvp {
	struct ic *ic;
};

static const struct ic_kind kind = {
	.name = "kvp",
	.type = IC_KVP_INTERFACE_TYPE,
	.instance = IC_KVP_INSTANCE,
	.message = IC_KVP,
	.packet_max = 8192,
	.versions = versions,
	.version_count = sizeof(versions) / sizeof(versions[0]),
};

static_assert(sizeof(struct ic_header) + IC_KVP_IP_BYTES <= 8192, "");

static_assert(KMCL_KVP_KEY_MAX == UTF16_UTF8_MAX(IC_KVP_KEY_BYTES / 2), "");
static_assert(KMCL_KVP_VALUE_MAX == UTF16_UTF8_MAX(IC_KVP_VALUE_BYTES / 2), "");
static_assert((int)KMCL_KVP_STRING == (int)IC_KVP_STRING &&
                      (int)KMCL_KVP_EXPAND_STRING == (int)IC_KVP_EXPAND_STRING &&
                      (int)KMCL_KVP_U32 == (int)IC_KVP_U32 && (int)KMCL_KVP_U64 == (int)IC_KVP_U64,
              "");

int kmcl_kvp_create(struct kmcl_host *host, const struct kmcl_ic_options *options,
                    struct kmcl_kvp **kvp)
{
	struct kmcl_kvp *k = calloc(1, sizeof(*k));
	struct kmcl_ic_options own;
	int error = k ? kmcl_options_take(&own, sizeof(own), options) : -ENOMEM;

	if (!error)
		error = ic_create(host, &kind, &own, k, &k->ic);
	if (error)
		free(k);
	else
		*kvp = k;
	return error;
}

void kmcl_kvp_destroy(struct kmcl_kvp *k)
{
	if (k)
		ic_destroy(k->ic);
	free(k);
}

/* One request, and the same message as its answer. */
struct exchange {
	struct kmcl_kvp *kvp;
	struct ic_deadline deadline;
	uint32_t version;
	union kvp_message message;
	uint32_t size; /* of the answer */
};

static void begin(struct exchange *x, struct kmcl_kvp *kvp, uint32_t timeout_ms)
{
	x->kvp = kvp;
	x->deadline = ic_deadline(timeout_ms);
}

static NTSTATUS run(struct exchange *x, uint32_t size)
{
	uint32_t status;

	return ic_call(x->kvp->ic, x->version, x->deadline, &x->message, size, &x->message,
	               sizeof(x->message), &x->size, &status);
}

/* Pairs look the same in each version. */
static NTSTATUS run_pair(struct exchange *x)
{
	NTSTATUS status = ic_wait_ready(x->kvp->ic, x->deadline, &x->version);

	return NT_SUCCESS(status) ? run(x, sizeof(struct ic_kvp)) : status;
}

static NTSTATUS nonsense(struct exchange *x, const struct kvp_fault *fault)
{
	ic_complain(x->kvp->ic, fault->what, fault->expected, fault->actual);
	return STATUS_DATA_ERROR;
}

/* ---- pairs ---- */

int kmcl_kvp_set(struct kmcl_kvp *kvp, enum kmcl_kvp_pool pool, const char *key,
                 const struct kmcl_kvp_value *value, uint32_t timeout_ms)
{
	struct exchange x;

	if (pool >= KMCL_KVP_POOLS)
		return -EINVAL;
	begin(&x, kvp, timeout_ms);
	if (!kvp_message_key(&x.message, IC_KVP_SET, (uint8_t)pool, key))
		return -EINVAL;
	if (!kvp_message_value(&x.message, value))
		return -EINVAL;
	return kmcl_errno(run_pair(&x));
}

static NTSTATUS not_found(NTSTATUS status)
{
	return status == STATUS_NO_MORE_ENTRIES ? STATUS_NOT_FOUND : status;
}

int kmcl_kvp_delete(struct kmcl_kvp *kvp, enum kmcl_kvp_pool pool, const char *key,
                    uint32_t timeout_ms)
{
	struct exchange x;

	if (pool >= KMCL_KVP_POOLS)
		return -EINVAL;
	begin(&x, kvp, timeout_ms);
	if (!kvp_message_key(&x.message, IC_KVP_DELETE, (uint8_t)pool, key))
		return -EINVAL;
	return kmcl_errno(not_found(run_pair(&x)));
}

static NTSTATUS enumerate(struct exchange *x, enum kmcl_kvp_pool pool, uint32_t index,
                          struct kmcl_kvp_entry *entry)
{
	struct kvp_fault fault;
	NTSTATUS status;

	kvp_message_enumerate(&x->message, (uint8_t)pool, index);
	status = run_pair(x);
	if (!NT_SUCCESS(status))
		return status;
	if (!kvp_answer_entry(&x->message, x->size, entry, &fault))
		return nonsense(x, &fault);
	/* "If the index is invalid (not supported), a NULL key string is returned": so Linux and
	 * FreeBSD have it (uapi/linux/hyperv.h, hv_kvp.h), and FreeBSD 10 says nothing else. */
	return entry->key[0] ? STATUS_SUCCESS : STATUS_NO_MORE_ENTRIES;
}

int kmcl_kvp_enumerate(struct kmcl_kvp *kvp, enum kmcl_kvp_pool pool, uint32_t index,
                       struct kmcl_kvp_entry *entry, uint32_t timeout_ms)
{
	struct exchange x;

	if (pool >= KMCL_KVP_POOLS)
		return -EINVAL;
	begin(&x, kvp, timeout_ms);
	return kmcl_errno(enumerate(&x, pool, index, entry));
}

static NTSTATUS ask(struct exchange *x, struct kmcl_kvp_value *value)
{
	struct kvp_fault fault;
	NTSTATUS status = run_pair(x);

	if (!NT_SUCCESS(status))
		return status;
	return kvp_answer_value(&x->message, x->size, value, &fault) ? STATUS_SUCCESS
	                                                             : nonsense(x, &fault);
}

/* The deadline ends it, if the guest does not. */
static NTSTATUS look_through(struct exchange *x, enum kmcl_kvp_pool pool, const char *key,
                             struct kmcl_kvp_value *value)
{
	struct kmcl_kvp_entry *entry = malloc(sizeof(*entry));
	NTSTATUS status = entry ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
	uint32_t index;

	for (index = 0; NT_SUCCESS(status); index++) {
		status = enumerate(x, pool, index, entry);
		if (NT_SUCCESS(status) && !strcmp(entry->key, key)) {
			*value = entry->value;
			break;
		}
	}
	free(entry);
	return not_found(status);
}

/* Whether an answer to a get may not be the truth: see kmcl_kvp_get(). */
static bool is_doubtful(NTSTATUS status, const struct kmcl_kvp_value *value)
{
	if (status == STATUS_NOT_SUPPORTED)
		return true;
	return NT_SUCCESS(status) && !value->text[0] &&
	       (value->type == KMCL_KVP_STRING || value->type == KMCL_KVP_EXPAND_STRING);
}

int kmcl_kvp_get(struct kmcl_kvp *kvp, enum kmcl_kvp_pool pool, const char *key,
                 struct kmcl_kvp_value *value, uint32_t timeout_ms)
{
	struct exchange x;
	NTSTATUS status;

	if (pool >= KMCL_KVP_POOLS)
		return -EINVAL;
	begin(&x, kvp, timeout_ms);
	if (!kvp_message_key(&x.message, IC_KVP_GET, (uint8_t)pool, key))
		return -EINVAL;
	if (pool == KMCL_KVP_POOL_AUTO)
		return kmcl_errno(look_through(&x, pool, key, value));
	status = ask(&x, value);
	if (is_doubtful(status, value))
		return kmcl_errno(look_through(&x, pool, key, value));
	return kmcl_errno(not_found(status));
}

/* ---- network adapters ---- */

static NTSTATUS begin_adapter(struct exchange *x, enum ic_kvp_operation operation,
                              const char *adapter)
{
	NTSTATUS status;

	/* Whether the adapter's name is right is the same in each version. */
	if (!kvp_message_adapter(&x->message, operation, IP_SINCE, adapter))
		return STATUS_INVALID_PARAMETER_2;
	status = ic_wait_ready(x->kvp->ic, x->deadline, &x->version);
	if (!NT_SUCCESS(status))
		return status;
	if (x->version < IP_SINCE)
		return STATUS_NOT_SUPPORTED;
	kvp_message_adapter(&x->message, operation, x->version, adapter);
	return STATUS_SUCCESS;
}

int kmcl_kvp_get_ip(struct kmcl_kvp *kvp, const char *adapter, struct kmcl_kvp_ip_info *info,
                    uint32_t timeout_ms)
{
	struct kvp_fault fault;
	struct exchange x;
	NTSTATUS status;

	begin(&x, kvp, timeout_ms);
	status = begin_adapter(&x, IC_KVP_GET_IP, adapter);
	if (NT_SUCCESS(status))
		status = run(&x, IC_KVP_IP_BYTES);
	if (!NT_SUCCESS(status))
		return kmcl_errno(status);
	return kmcl_errno(kvp_answer_ip(&x.message, x.size, x.version, info, &fault)
	                          ? STATUS_SUCCESS
	                          : nonsense(&x, &fault));
}

int kmcl_kvp_set_ip(struct kmcl_kvp *kvp, const char *adapter, const struct kmcl_kvp_ip_info *info,
                    uint32_t timeout_ms)
{
	struct exchange x;
	NTSTATUS status;

	begin(&x, kvp, timeout_ms);
	status = begin_adapter(&x, IC_KVP_SET_IP, adapter);
	if (!NT_SUCCESS(status))
		return kmcl_errno(status);
	if (!kvp_message_ip(&x.message, x.version, info))
		return -EINVAL;
	return kmcl_errno(run(&x, IC_KVP_IP_BYTES));
}

int kmcl_kvp_get_statistics(struct kmcl_kvp *kvp, struct kmcl_ic_statistics *statistics)
{
	return ic_statistics(kvp->ic, statistics);
}
