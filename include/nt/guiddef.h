/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_GUIDDEF_H
#define NT_GUIDDEF_H

#include <stdint.h>
#include <string.h>

#ifndef GUID_DEFINED
#define GUID_DEFINED
typedef struct _GUID {
	uint32_t Data1;
	uint16_t Data2;
	uint16_t Data3;
	uint8_t Data4[8];
} GUID;
#endif

typedef GUID *LPGUID, *PGUID;
typedef const GUID *LPCGUID, *PCGUID;
typedef GUID IID, CLSID, FMTID;
typedef IID *LPIID;
typedef CLSID *LPCLSID;

#ifdef __cplusplus
/* References in C++, pointers in C, as in the driver kit. */
#define REFGUID  const GUID &
#define REFIID   const IID &
#define REFCLSID const CLSID &
static inline int InlineIsEqualGUID(REFGUID a, REFGUID b)
{
	return memcmp(&a, &b, sizeof(GUID)) == 0;
}
static inline int IsEqualGUID(REFGUID a, REFGUID b)
{
	return memcmp(&a, &b, sizeof(GUID)) == 0;
}
static inline bool operator==(REFGUID a, REFGUID b)
{
	return IsEqualGUID(a, b) != 0;
}
static inline bool operator!=(REFGUID a, REFGUID b)
{
	return IsEqualGUID(a, b) == 0;
}
#else
#define REFGUID                 const GUID *
#define REFIID                  const IID *
#define REFCLSID                const CLSID *
#define IsEqualGUID(a, b)       (memcmp((a), (b), sizeof(GUID)) == 0)
#define InlineIsEqualGUID(a, b) IsEqualGUID(a, b)
#endif
#define IsEqualIID(a, b)   IsEqualGUID(a, b)
#define IsEqualCLSID(a, b) IsEqualGUID(a, b)

#endif

/*
 * Outside the guard: a DEFINE_GUID before <initguid.h> declares, one after it defines. A definition
 * in more than one file of a program is merged by the linker.
 */
#undef DEFINE_GUID
#undef NT_GUID_DECLARE
#ifdef __cplusplus
#define NT_GUID_DECLARE(name) extern "C" const GUID name
#else
#define NT_GUID_DECLARE(name) extern const GUID name
#endif
#ifdef INITGUID
#define DEFINE_GUID(name, l, w1, w2, b1, b2, b3, b4, b5, b6, b7, b8) \
	NT_GUID_DECLARE(name) __attribute__((weak));                 \
	const GUID name = { l, w1, w2, { b1, b2, b3, b4, b5, b6, b7, b8 } }
#else
#define DEFINE_GUID(name, l, w1, w2, b1, b2, b3, b4, b5, b6, b7, b8) NT_GUID_DECLARE(name)
#endif
