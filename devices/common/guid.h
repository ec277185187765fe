/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_COMMON_GUID_H
#define DEVICES_COMMON_GUID_H

#include <kmcl/host.h>

#include <string.h>

/* What a service is offered as: what the caller says, or, where that is all 0, made from a name. */
static inline struct kmcl_guid guid_or_name(struct kmcl_guid guid, const char *name)
{
	static const struct kmcl_guid none;

	return memcmp(&guid, &none, sizeof(guid)) ? guid : kmcl_guid_from_name(name);
}

#endif
