/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_EVNTPROV_H
#define NT_EVNTPROV_H

#include "ntstatus.h"

EXTERN_C_START

/* Event tracing, with nobody who ever listens: providers register, nothing is enabled, and what is
 * written goes nowhere. Any IRQL. */

typedef struct _EVENT_DESCRIPTOR {
	USHORT Id;
	UCHAR Version;
	UCHAR Channel;
	UCHAR Level;
	UCHAR Opcode;
	USHORT Task;
	ULONGLONG Keyword;
} EVENT_DESCRIPTOR, *PEVENT_DESCRIPTOR;
typedef const EVENT_DESCRIPTOR *PCEVENT_DESCRIPTOR;

typedef struct _EVENT_DATA_DESCRIPTOR {
	ULONGLONG Ptr;
	ULONG Size;
	ULONG Reserved;
} EVENT_DATA_DESCRIPTOR, *PEVENT_DATA_DESCRIPTOR;

struct _EVENT_FILTER_DESCRIPTOR;
typedef void ETWENABLECALLBACK(_In_ LPCGUID source, _In_ ULONG code, _In_ UCHAR level,
                               _In_ ULONGLONG any, _In_ ULONGLONG all,
                               _In_opt_ struct _EVENT_FILTER_DESCRIPTOR *filter,
                               _Inout_opt_ PVOID context);
typedef ETWENABLECALLBACK *PETWENABLECALLBACK;

FORCEINLINE void EventDataDescCreate(_Out_ PEVENT_DATA_DESCRIPTOR descriptor, _In_ const void *data,
                                     _In_ ULONG size)
{
	descriptor->Ptr = (ULONGLONG)(ULONG_PTR)data;
	descriptor->Size = size;
	descriptor->Reserved = 0;
}

/* Private: what was written went nowhere. */
FORCEINLINE NTSTATUS nt_no_trace(void)
{
	return STATUS_SUCCESS;
}

/* STATUS_SUCCESS. */
FORCEINLINE NTSTATUS EtwRegister(_In_ LPCGUID provider, _In_opt_ PETWENABLECALLBACK callback,
                                 _In_opt_ PVOID context, _Out_ PREGHANDLE handle)
{
	(void)provider;
	(void)callback;
	(void)context;
	*handle = 1;
	return STATUS_SUCCESS;
}
FORCEINLINE NTSTATUS EtwUnregister(_In_ REGHANDLE handle)
{
	(void)handle;
	return STATUS_SUCCESS;
}
/* FALSE. */
FORCEINLINE BOOLEAN EtwProviderEnabled(_In_ REGHANDLE handle, _In_ UCHAR level,
                                       _In_ ULONGLONG keyword)
{
	(void)handle;
	(void)level;
	(void)keyword;
	return FALSE;
}
FORCEINLINE BOOLEAN EtwEventEnabled(_In_ REGHANDLE handle, _In_ PCEVENT_DESCRIPTOR event)
{
	(void)handle;
	(void)event;
	return FALSE;
}
/* STATUS_SUCCESS, as where there is no session. */
FORCEINLINE NTSTATUS EtwWrite(_In_ REGHANDLE handle, _In_ PCEVENT_DESCRIPTOR event,
                              _In_opt_ LPCGUID activity, _In_ ULONG count,
                              _In_opt_ PEVENT_DATA_DESCRIPTOR data)
{
	(void)handle;
	(void)event;
	(void)activity;
	(void)count;
	(void)data;
	return STATUS_SUCCESS;
}
FORCEINLINE NTSTATUS EtwWriteTransfer(_In_ REGHANDLE handle, _In_ PCEVENT_DESCRIPTOR event,
                                      _In_opt_ LPCGUID activity, _In_opt_ LPCGUID related,
                                      _In_ ULONG count, _In_opt_ PEVENT_DATA_DESCRIPTOR data)
{
	(void)related;
	return EtwWrite(handle, event, activity, count, data);
}
FORCEINLINE NTSTATUS EtwWriteString(_In_ REGHANDLE handle, _In_ UCHAR level, _In_ ULONGLONG keyword,
                                    _In_opt_ LPCGUID activity, _In_ PCWSTR text)
{
	(void)handle;
	(void)level;
	(void)keyword;
	(void)activity;
	(void)text;
	return STATUS_SUCCESS;
}

EXTERN_C_END

#endif
