/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_COMMON_MONITORED_H
#define DEVICES_COMMON_MONITORED_H

#include <kmcl/kmcl.h>

/* How long a guest's signal may lie in the monitor page, in 100 ns: 100 us, as
 * OpenVMM says of its network adapters (vm/devices/net/netvsp/src/lib.rs). */
#define MONITORED_LATENCY 1000u

static inline NTSTATUS monitored_configure(VMBCHANNEL vmb, bool monitored)
{
	return monitored ? kmcl_server_channel_init_set_monitored(vmb, MONITORED_LATENCY)
	                 : STATUS_SUCCESS;
}

#endif
