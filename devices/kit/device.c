/* SPDX-License-Identifier: BSD-2-Clause */
#include "ic/ic_protocol.h"
#include "input/keyboard_protocol.h"
#include "kit/drivers.h"
#include "net/netvsc_protocol.h"
#include "scsi/storvsc_protocol.h"

/* As it lies on a little-endian wire. */
struct device_type {
	uint32_t data1;
	uint16_t data2, data3;
	uint8_t data4[8];
};
static_assert(sizeof(struct device_type) == sizeof(struct vg_guid), "a GUID");

static const struct device_type device_types[] = {
	[VG_DEVICE_DISK] = STORVSC_INTERFACE_TYPE,
	[VG_DEVICE_NET] = NETVSC_INTERFACE_TYPE,
	[VG_DEVICE_KEYBOARD] = KEYBOARD_INTERFACE_TYPE,
	[VG_DEVICE_HEARTBEAT] = IC_HEARTBEAT_INTERFACE_TYPE,
	[VG_DEVICE_SHUTDOWN] = IC_SHUTDOWN_INTERFACE_TYPE,
	[VG_DEVICE_TIME] = IC_TIMESYNC_INTERFACE_TYPE,
};

enum vg_device vg_device(const struct vg_offer *offer)
{
	for (uint32_t i = VG_DEVICE_DISK; i <= VG_DEVICE_TIME && !offer->subchannel; i++)
		if (__builtin_memcmp(&offer->type, &device_types[i], sizeof(offer->type)) == 0)
			return (enum vg_device)i;
	return VG_DEVICE_OTHER;
}
