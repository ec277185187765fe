/* SPDX-License-Identifier: BSD-2-Clause */

/* The door in plain C: kmcl/host.h, in terms of kmcl/kmcl.h. */

#include "kmcl/channel.h"
#include "wire/message.h"

#include <errno.h>
#include <kmcl/options.h>
#include <stdlib.h>
#include <string.h>

int kmcl_errno(NTSTATUS status)
{
	static const struct {
		NTSTATUS status;
		int error;
	} table[] = {
		{ STATUS_ACCESS_DENIED, EACCES },
		{ STATUS_BUFFER_TOO_SMALL, ENOSPC },
		{ STATUS_CANCELLED, ECANCELED },
		{ STATUS_CONNECTION_REFUSED, ECONNREFUSED },
		{ STATUS_DATA_ERROR, EPROTO },
		{ STATUS_DEVICE_BUSY, EBUSY },
		{ STATUS_DEVICE_NOT_CONNECTED, ENOTCONN },
		{ STATUS_DEVICE_NOT_READY, ENOTCONN },
		{ STATUS_DEVICE_REMOVED, ENODEV },
		{ STATUS_DISK_FULL, ENOSPC },
		{ STATUS_INSUFFICIENT_RESOURCES, ENOMEM },
		{ STATUS_INVALID_DEVICE_STATE, EBUSY },
		{ STATUS_INVALID_HANDLE, EBADF },
		{ STATUS_IO_TIMEOUT, ETIMEDOUT },
		{ STATUS_NO_MORE_ENTRIES, ENODATA },
		{ STATUS_NO_SUCH_DEVICE, ENODEV },
		{ STATUS_NOT_FOUND, ENOENT },
		{ STATUS_NOT_SUPPORTED, ENOTSUP },
		{ STATUS_OBJECT_NAME_COLLISION, EEXIST },
		{ STATUS_OBJECT_NAME_NOT_FOUND, ENOENT },
		{ STATUS_OBJECT_PATH_NOT_FOUND, ENOTDIR },
		{ STATUS_QUOTA_EXCEEDED, ENOSPC },
		{ STATUS_REVISION_MISMATCH, EPROTONOSUPPORT },
		{ STATUS_SHARING_VIOLATION, EADDRINUSE },
	};

	if (NT_SUCCESS(status))
		return 0;
	if (status == STATUS_INVALID_PARAMETER ||
	    (status >= STATUS_INVALID_PARAMETER_1 && status <= STATUS_INVALID_PARAMETER_12))
		return -EINVAL;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].status == status)
			return -table[i].error;
	return -EIO;
}

bool kmcl_bus_version_known(uint32_t version)
{
	return wire_version_known(version);
}

/* ---- becoming one end ---- */

int kmcl_host_create(const char *partition, const struct kmcl_host_options *options,
                     struct kmcl_host **host)
{
	HANDLE vmbus;
	NTSTATUS status;

	if (!host)
		return -EINVAL;
	status = kmcl_host_open_ex(partition, options, &vmbus);
	if (NT_SUCCESS(status))
		*host = kmcl_host_of_handle(vmbus);
	return kmcl_errno(status);
}

void kmcl_host_destroy(struct kmcl_host *host)
{
	if (host)
		ZwClose(kmcl_host_handle(host));
}

int kmcl_guest_create(const char *partition, const struct kmcl_guest_options *options,
                      struct kmcl_guest **guest)
{
	PDEVICE_OBJECT bus;
	NTSTATUS status;

	if (!guest)
		return -EINVAL;
	status = kmcl_guest_open_ex(partition, options, &bus);
	if (NT_SUCCESS(status))
		*guest = kmcl_guest_of_device(bus);
	return kmcl_errno(status);
}

void kmcl_guest_destroy(struct kmcl_guest *guest)
{
	if (guest)
		kmcl_guest_close(kmcl_guest_device(guest));
}

/* ---- what there is ---- */

static int answer_query(NTSTATUS status, const struct kmcl_bus_info *all,
                        struct kmcl_bus_info *info)
{
	return NT_SUCCESS(status) ? kmcl_options_give(info, all, sizeof(*all)) : kmcl_errno(status);
}

int kmcl_host_query(struct kmcl_host *host, struct kmcl_bus_info *info)
{
	struct kmcl_bus_info all;
	NTSTATUS status = kmcl_host_info(kmcl_host_handle(host), &all);

	return answer_query(status, &all, info);
}

int kmcl_guest_query(struct kmcl_guest *guest, struct kmcl_bus_info *info)
{
	struct kmcl_bus_info all;
	NTSTATUS status = kmcl_guest_info(kmcl_guest_device(guest), &all);

	return answer_query(status, &all, info);
}

/* ---- its channels ---- */

C_ASSERT(KMCL_OFFER_DATA_MAX == VMBUS_SERVER_CHANNEL_INIT_MAXIMUM_OFFER_DATA);

static void to_plain(const struct kmcl_channel_info *from, struct kmcl_bus_channel *to)
{
	*to = (struct kmcl_bus_channel){
		.size = sizeof(*to),
		.type = kmcl_guid_of_nt(from->type),
		.instance = kmcl_guid_of_nt(from->instance),
		.subchannel = from->subchannel,
		.state = from->state,
		.channel_id = from->channel_id,
		.connection_id = from->connection_id,
		.offer_flags = from->offer_flags,
		.mmio_megabytes = from->mmio_megabytes,
		.mmio_megabytes_optional = from->mmio_megabytes_optional,
		.dedicated_interrupt = from->dedicated_interrupt,
		.monitored = from->monitored,
		.monitor_id = from->monitor_id,
		.target_vp = from->target_vp,
		.ring_in_bytes = from->ring_in_bytes,
		.ring_out_bytes = from->ring_out_bytes,
		.gpadls = from->gpadls,
		.outstanding_in = from->outstanding_in,
		.outstanding_out = from->outstanding_out,
		.statistics = from->statistics,
	};
	memcpy(to->name, from->name, sizeof(to->name));
	memcpy(to->offer_data, from->offer_data, sizeof(to->offer_data));
}

/* kmcl_host_channels() and kmcl_guest_channels(), which both get what NT calls the end. */
typedef uint32_t list_fn(void *end, struct kmcl_channel_info *info, uint32_t capacity);

/* The caller's structures may be smaller than ours, or larger. */
static int list_channels(list_fn *channels_of, void *end, struct kmcl_bus_channel *channels,
                         uint32_t capacity, uint32_t *count)
{
	uint32_t size = capacity ? channels->size : 0;
	struct kmcl_channel_info *infos;
	struct kmcl_bus_channel one;
	uint8_t *to = (uint8_t *)channels;

	if (capacity && size < sizeof(size))
		return -EINVAL;
	infos = calloc(capacity ? capacity : 1, sizeof(*infos));
	if (!infos)
		return -ENOMEM;
	*count = channels_of(end, infos, capacity);
	for (uint32_t i = 0; i < capacity && i < *count; i++, to += size) {
		to_plain(&infos[i], &one);
		memcpy(to, &size, sizeof(size));
		kmcl_options_give(to, &one, sizeof(one));
	}
	free(infos);
	return 0;
}

static uint32_t host_channels(void *end, struct kmcl_channel_info *info, uint32_t capacity)
{
	return kmcl_host_channels(kmcl_host_handle(end), info, capacity);
}

static uint32_t guest_channels(void *end, struct kmcl_channel_info *info, uint32_t capacity)
{
	return kmcl_guest_channels(kmcl_guest_device(end), info, capacity);
}

int kmcl_host_list(struct kmcl_host *host, struct kmcl_bus_channel *channels, uint32_t capacity,
                   uint32_t *count)
{
	return list_channels(host_channels, host, channels, capacity, count);
}

int kmcl_guest_list(struct kmcl_guest *guest, struct kmcl_bus_channel *channels, uint32_t capacity,
                    uint32_t *count)
{
	return list_channels(guest_channels, guest, channels, capacity, count);
}

/* ---- how callbacks are run ---- */

int kmcl_dispatch_set_up(const struct kmcl_dispatch_settings *settings)
{
	struct kmcl_dispatch_settings own;
	int error = settings ? kmcl_options_take(&own, sizeof(own), settings) : -EINVAL;

	return error ? error : kmcl_errno(kmcl_dispatch_configure(&own));
}

/* ---- identifiers ---- */

struct kmcl_guid kmcl_guid_from_name(const char *name)
{
	uint64_t hash[2] = { 0xcbf29ce484222325u, 0x9ae16a3b2f90404fu }; /* FNV-1a, two seeds */
	struct kmcl_guid guid;

	for (; *name; name++)
		for (size_t i = 0; i < 2; i++)
			hash[i] = (hash[i] ^ (uint8_t)*name) * 0x100000001b3u;
	memcpy(&guid, hash, sizeof(guid));
	guid.data3 = (uint16_t)((guid.data3 & 0x0fff) | 0x4000); /* version 4 */
	guid.data4[0] = (uint8_t)((guid.data4[0] & 0x3f) | 0x80);
	return guid;
}

/* "01ab": so many hexadecimal digits, and no other characters. */
static bool parse_hex(const char *text, size_t digits, uint64_t *value)
{
	*value = 0;
	for (size_t i = 0; i < digits; i++) {
		static const char known[] = "0123456789abcdef";
		const char *at = text[i] ? strchr(known, text[i] | 0x20) : NULL;

		if (!at)
			return false;
		*value = *value << 4 | (uint64_t)(at - known);
	}
	return true;
}

int kmcl_guid_parse(const char *text, struct kmcl_guid *guid)
{
	size_t length = strlen(text);
	uint64_t part[5];

	if (length == 38 && text[0] == '{' && text[37] == '}')
		text++;
	else if (length != 36)
		return -EINVAL;
	if (text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' ||
	    !parse_hex(text, 8, &part[0]) || !parse_hex(text + 9, 4, &part[1]) ||
	    !parse_hex(text + 14, 4, &part[2]) || !parse_hex(text + 19, 4, &part[3]) ||
	    !parse_hex(text + 24, 12, &part[4]))
		return -EINVAL;
	guid->data1 = (uint32_t)part[0];
	guid->data2 = (uint16_t)part[1];
	guid->data3 = (uint16_t)part[2];
	part[4] |= part[3] << 48;
	for (size_t i = 0; i < sizeof(guid->data4); i++)
		guid->data4[i] = (uint8_t)(part[4] >> (56 - 8 * i));
	return 0;
}
