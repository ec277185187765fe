/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_COMMON_GUID_H
#define DEVICES_COMMON_GUID_H

#include <kmcl/kmcl.h>

#include <string.h>

C_ASSERT(sizeof(struct kmcl_guid) == sizeof(GUID));

/* An instance of plain C's door, at the other one. */
static inline GUID guid_nt(struct kmcl_guid guid)
{
	GUID nt;

	memcpy(&nt, &guid, sizeof(nt));
	return nt;
}

/* What a service is offered as: what the caller says, or, where that is all 0, made from a name. */
static inline struct kmcl_guid guid_or_name(struct kmcl_guid guid, const char *name)
{
	static const struct kmcl_guid none;

	return memcmp(&guid, &none, sizeof(guid)) ? guid : kmcl_guid_from_name(name);
}

#endif
