/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NT_WDM_LIST_H
#define NT_WDM_LIST_H

#include "lock.h"

EXTERN_C_START

/* Doubly linked lists: the head is an entry too, and an empty list's head points at itself. Any
 * IRQL; the caller keeps others out. A list whose neighbours disagree stops the process. */

FORCEINLINE void InitializeListHead(_Out_ PLIST_ENTRY head)
{
	head->Flink = head->Blink = head;
}
FORCEINLINE BOOLEAN IsListEmpty(_In_ const LIST_ENTRY *head)
{
	return head->Flink == head;
}
/* TRUE: the list is empty now. */
FORCEINLINE BOOLEAN RemoveEntryList(_In_ PLIST_ENTRY entry)
{
	PLIST_ENTRY next = entry->Flink, previous = entry->Blink;

	NT_FRE_ASSERT(next->Blink == entry && previous->Flink == entry);
	previous->Flink = next;
	next->Blink = previous;
	return next == previous;
}
/* Returns the head itself when the list is empty. */
FORCEINLINE PLIST_ENTRY RemoveHeadList(_Inout_ PLIST_ENTRY head)
{
	PLIST_ENTRY entry = head->Flink;

	RemoveEntryList(entry);
	return entry;
}
/* Returns the head itself when the list is empty. */
FORCEINLINE PLIST_ENTRY RemoveTailList(_Inout_ PLIST_ENTRY head)
{
	PLIST_ENTRY entry = head->Blink;

	RemoveEntryList(entry);
	return entry;
}
FORCEINLINE void InsertHeadList(_Inout_ PLIST_ENTRY head, _Out_ PLIST_ENTRY entry)
{
	PLIST_ENTRY next = head->Flink;

	NT_FRE_ASSERT(next->Blink == head);
	entry->Flink = next;
	entry->Blink = head;
	next->Blink = entry;
	head->Flink = entry;
}
FORCEINLINE void InsertTailList(_Inout_ PLIST_ENTRY head, _Out_ PLIST_ENTRY entry)
{
	PLIST_ENTRY previous = head->Blink;

	NT_FRE_ASSERT(previous->Flink == head);
	entry->Flink = head;
	entry->Blink = previous;
	previous->Flink = entry;
	head->Blink = entry;
}
/* Appends the entries of a headless list. */
FORCEINLINE void AppendTailList(_Inout_ PLIST_ENTRY head, _Inout_ PLIST_ENTRY entries)
{
	PLIST_ENTRY last = head->Blink;

	head->Blink->Flink = entries;
	head->Blink = entries->Blink;
	entries->Blink->Flink = head;
	entries->Blink = last;
}
#define InitializeListEntry(entry) InitializeListHead(entry)

/* Singly linked lists; NULL when empty. */
FORCEINLINE PSINGLE_LIST_ENTRY PopEntryList(_Inout_ PSINGLE_LIST_ENTRY head)
{
	PSINGLE_LIST_ENTRY first = head->Next;

	if (first != NULL)
		head->Next = first->Next;
	return first;
}
FORCEINLINE void PushEntryList(_Inout_ PSINGLE_LIST_ENTRY head, _Inout_ PSINGLE_LIST_ENTRY entry)
{
	entry->Next = head->Next;
	head->Next = entry;
}

/* The same under a spin lock used for nothing but these calls. Any IRQL. Insert returns what was
 * first (or last) before, NULL if nothing; Remove returns NULL when empty. */
NTKERNELAPI PLIST_ENTRY ExInterlockedInsertHeadList(_Inout_ PLIST_ENTRY head,
                                                    _Inout_ PLIST_ENTRY entry,
                                                    _Inout_ PKSPIN_LOCK lock);
NTKERNELAPI PLIST_ENTRY ExInterlockedInsertTailList(_Inout_ PLIST_ENTRY head,
                                                    _Inout_ PLIST_ENTRY entry,
                                                    _Inout_ PKSPIN_LOCK lock);
NTKERNELAPI PLIST_ENTRY ExInterlockedRemoveHeadList(_Inout_ PLIST_ENTRY head,
                                                    _Inout_ PKSPIN_LOCK lock);
NTKERNELAPI PSINGLE_LIST_ENTRY ExInterlockedPopEntryList(_Inout_ PSINGLE_LIST_ENTRY head,
                                                         _Inout_ PKSPIN_LOCK lock);
/* Returns what was first before. */
NTKERNELAPI PSINGLE_LIST_ENTRY ExInterlockedPushEntryList(_Inout_ PSINGLE_LIST_ENTRY head,
                                                          _Inout_ PSINGLE_LIST_ENTRY entry,
                                                          _Inout_ PKSPIN_LOCK lock);

/* Sequenced singly linked lists: last in, first out, from any thread without a lock of the
 * caller's. All zeroes is an empty list. Any IRQL. */
typedef struct _SLIST_ENTRY {
	struct _SLIST_ENTRY *Next;
} SLIST_ENTRY, *PSLIST_ENTRY;
typedef struct DECLSPEC_ALIGN(16) _SLIST_HEADER {
	PSLIST_ENTRY First; /* private */
	ULONG Lock;         /* private */
	USHORT Depth;       /* private */
} SLIST_HEADER, *PSLIST_HEADER;

FORCEINLINE void InitializeSListHead(_Out_ PSLIST_HEADER head)
{
	head->First = NULL;
	head->Lock = 0;
	head->Depth = 0;
}
#define ExInitializeSListHead(head) InitializeSListHead(head)
/* Returns what was first before. */
NTKERNELAPI PSLIST_ENTRY ExpInterlockedPushEntrySList(_Inout_ PSLIST_HEADER head,
                                                      _Inout_ PSLIST_ENTRY entry);
/* NULL when empty. */
NTKERNELAPI PSLIST_ENTRY ExpInterlockedPopEntrySList(_Inout_ PSLIST_HEADER head);
/* Empties it and returns the chain. */
NTKERNELAPI PSLIST_ENTRY ExpInterlockedFlushSList(_Inout_ PSLIST_HEADER head);
/* How many there are, modulo 65536. */
NTKERNELAPI USHORT ExQueryDepthSList(_In_ PSLIST_HEADER head);
#define InterlockedPushEntrySList(head, entry)         ExpInterlockedPushEntrySList(head, entry)
#define InterlockedPopEntrySList(head)                 ExpInterlockedPopEntrySList(head)
#define InterlockedFlushSList(head)                    ExpInterlockedFlushSList(head)
#define QueryDepthSList(head)                          ExQueryDepthSList(head)
#define ExInterlockedPushEntrySList(head, entry, lock) ExpInterlockedPushEntrySList(head, entry)
#define ExInterlockedPopEntrySList(head, lock)         ExpInterlockedPopEntrySList(head)
#define ExInterlockedFlushSList(head)                  ExpInterlockedFlushSList(head)

EXTERN_C_END

#endif
