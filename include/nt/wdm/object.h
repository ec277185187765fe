/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_WDM_OBJECT_H
#define NT_WDM_OBJECT_H

#include "wait.h"

EXTERN_C_START

/* ---- counted objects and handles ---- */

typedef struct _OBJECT_TYPE *POBJECT_TYPE;
typedef struct _OBJECT_HANDLE_INFORMATION {
	ULONG HandleAttributes;
	ACCESS_MASK GrantedAccess;
} OBJECT_HANDLE_INFORMATION, *POBJECT_HANDLE_INFORMATION;

NTKERNELAPI extern POBJECT_TYPE *PsThreadType;

#define DELETE                   0x00010000
#define READ_CONTROL             0x00020000
#define SYNCHRONIZE              0x00100000
#define STANDARD_RIGHTS_REQUIRED 0x000f0000
#define GENERIC_READ             0x80000000
#define GENERIC_WRITE            0x40000000
#define GENERIC_ALL              0x10000000
#define THREAD_ALL_ACCESS        (STANDARD_RIGHTS_REQUIRED | SYNCHRONIZE | 0xffff)

/*
 * The object behind a thread's handle, with a reference. `type` NULL is any; access is not checked.
 * STATUS_SUCCESS, STATUS_INVALID_HANDLE, STATUS_OBJECT_TYPE_MISMATCH. PASSIVE_LEVEL.
 */
NTKERNELAPI NTSTATUS ObReferenceObjectByHandle(_In_ HANDLE handle, _In_ ACCESS_MASK access,
                                               _In_opt_ POBJECT_TYPE type,
                                               _In_ KPROCESSOR_MODE mode, _Out_ PVOID *object,
                                               _Out_opt_ POBJECT_HANDLE_INFORMATION information);
/* One reference more or less on a thread, device or driver object; returns how many there are then.
 * Others are misuse. IRQL <= DISPATCH_LEVEL. */
NTKERNELAPI LONG_PTR ObfReferenceObject(_In_ PVOID object);
NTKERNELAPI LONG_PTR ObfDereferenceObject(_In_ PVOID object);
#define ObReferenceObject(object)               ObfReferenceObject(object)
#define ObDereferenceObject(object)             ObfDereferenceObject(object)
#define ObReferenceObjectWithTag(object, tag)   ObfReferenceObject(object)
#define ObDereferenceObjectWithTag(object, tag) ObfDereferenceObject(object)
/* STATUS_SUCCESS; STATUS_INVALID_HANDLE: not one, or closed already. PASSIVE_LEVEL. */
NTSYSAPI NTSTATUS ZwClose(_In_ HANDLE handle);

EXTERN_C_END

#endif
