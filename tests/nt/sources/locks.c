/* SPDX-License-Identifier: BSD-2-Clause */

/* Resources and push locks as drivers use them. */
#include <ntifs.h>

typedef struct _TABLE {
	ERESOURCE Resource;
	EX_PUSH_LOCK Lock;
	LIST_ENTRY Entries;
} TABLE, *PTABLE;

NTSTATUS TableInitialize(_Out_ PTABLE Table);
NTSTATUS TableInitialize(_Out_ PTABLE Table)
{
	ExInitializePushLock(&Table->Lock);
	InitializeListHead(&Table->Entries);
	return ExInitializeResourceLite(&Table->Resource);
}

BOOLEAN TableIsEmpty(_Inout_ PTABLE Table);
BOOLEAN TableIsEmpty(_Inout_ PTABLE Table)
{
	BOOLEAN empty;

	KeEnterCriticalRegion();
	ExAcquirePushLockShared(&Table->Lock);
	empty = IsListEmpty(&Table->Entries);
	ExReleasePushLockShared(&Table->Lock);
	KeLeaveCriticalRegion();
	KeEnterCriticalRegion();
	if (ExAcquireResourceSharedLite(&Table->Resource, TRUE)) {
		__try {
			if (ExIsResourceAcquiredSharedLite(&Table->Resource) != 1)
				__leave;
			empty = IsListEmpty(&Table->Entries);
		} __finally {
			ExReleaseResourceLite(&Table->Resource);
		}
	}
	KeLeaveCriticalRegion();
	return empty;
}
