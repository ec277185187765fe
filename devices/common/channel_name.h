/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_COMMON_CHANNEL_NAME_H
#define DEVICES_COMMON_CHANNEL_NAME_H

#include <kmcl/kmcl.h>

/* P. The friendly name of a channel that is set up: `name`, in ASCII, and of a subchannel its index
 * behind it. */
NTSTATUS channel_name(VMBCHANNEL vmb, const char *name, uint16_t index);

#endif
