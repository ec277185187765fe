/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

#include <stdlib.h>

/*
 * Counted objects, and a table of handles to them. A handle is its slot's number times 4 with the
 * slot's generation above, so a handle that was closed is known as such even when its slot is used
 * again.
 */

struct handle_slot {
	struct nt_object *object; /* NULL: free */
	uint32_t generation;
	uint32_t next_free;
};

#define NO_SLOT   UINT32_MAX
#define MAX_SLOTS (1u << 20)

static struct {
	struct nt_lock lock;
	struct handle_slot *slots;
	uint32_t count;
	uint32_t free;
} table = { .free = NO_SLOT };

void nt_object_init(struct nt_object *o, const char *kind, void *body, void (*close)(void *body))
{
	o->magic = NT_OBJECT_MAGIC;
	o->references = 1;
	o->kind = kind;
	o->body = body;
	o->close = close;
}

void nt_object_reference(struct nt_object *o)
{
	__atomic_add_fetch(&o->references, 1, __ATOMIC_RELAXED);
}

static int64_t object_release(struct nt_object *o)
{
	int64_t left = __atomic_sub_fetch(&o->references, 1, __ATOMIC_ACQ_REL);

	if (left == 0) {
		o->magic = 0;
		o->close(o->body);
	}
	return left;
}

void nt_object_release(void *reference)
{
	object_release(reference);
}

/* ---- the table, under its lock ---- */

static bool table_grow(void)
{
	uint32_t count = table.count ? table.count * 2 : 64;
	struct handle_slot *slots;
	uint32_t i;

	if (count > MAX_SLOTS)
		return false;
	slots = realloc(table.slots, count * sizeof(*slots));
	if (!slots)
		return false;
	for (i = table.count; i < count; i++)
		slots[i] = (struct handle_slot){ .generation = 1,
			                         .next_free = i + 1 < count ? i + 1 : NO_SLOT };
	table.free = table.count;
	table.slots = slots;
	table.count = count;
	return true;
}

static HANDLE handle_of(uint32_t slot)
{
	return (HANDLE)((uintptr_t)table.slots[slot].generation << 32 | (slot + 1) << 2);
}

static struct handle_slot *slot_of(HANDLE handle)
{
	uintptr_t value = (uintptr_t)handle;
	uint32_t number = (uint32_t)value >> 2;
	struct handle_slot *slot;

	if ((value & 3) || number == 0 || number > table.count)
		return NULL;
	slot = &table.slots[number - 1];
	return slot->object && slot->generation == value >> 32 ? slot : NULL;
}

NTSTATUS nt_object_open(struct nt_object *o, HANDLE *handle)
{
	uint32_t i;

	nt_lock_acquire(&table.lock);
	if (table.free == NO_SLOT && !table_grow()) {
		nt_lock_release(&table.lock);
		return STATUS_INSUFFICIENT_RESOURCES;
	}
	i = table.free;
	table.free = table.slots[i].next_free;
	table.slots[i].object = o;
	nt_object_reference(o);
	*handle = handle_of(i);
	nt_lock_release(&table.lock);
	return STATUS_SUCCESS;
}

/* The object behind it with a reference, NULL if it is none. */
static struct nt_object *object_of(HANDLE handle)
{
	struct nt_object *o = NULL;
	struct handle_slot *slot;

	nt_lock_acquire(&table.lock);
	slot = slot_of(handle);
	if (slot) {
		o = slot->object;
		nt_object_reference(o);
	}
	nt_lock_release(&table.lock);
	return o;
}

NTSTATUS ZwClose(HANDLE handle)
{
	struct nt_object *o = NULL;
	struct handle_slot *slot;

	if (!nt_irql_at_most(PASSIVE_LEVEL, __func__, NULL))
		return STATUS_UNSUCCESSFUL;
	nt_lock_acquire(&table.lock);
	slot = slot_of(handle);
	if (slot) {
		o = slot->object;
		slot->object = NULL;
		slot->generation++;
		slot->next_free = table.free;
		table.free = (uint32_t)(slot - table.slots);
	}
	nt_lock_release(&table.lock);
	if (!o)
		return STATUS_INVALID_HANDLE;
	object_release(o);
	return STATUS_SUCCESS;
}

/* ---- for kmcl ---- */

struct foreign {
	struct nt_object object;
	void *body;
	void (*close)(void *body);
};

static void foreign_close(void *body)
{
	struct foreign *f = body;

	f->close(f->body);
	free(f);
}

NTSTATUS nt_handle_create(const char *kind, void *object, void (*close)(void *object),
                          HANDLE *handle)
{
	struct foreign *f = malloc(sizeof(*f));
	NTSTATUS status;

	if (!f)
		return STATUS_INSUFFICIENT_RESOURCES;
	f->body = object;
	f->close = close;
	nt_object_init(&f->object, kind, f, foreign_close);
	status = nt_object_open(&f->object, handle);
	if (!NT_SUCCESS(status)) { /* the object stays the caller's */
		free(f);
		return status;
	}
	object_release(&f->object);
	return status;
}

static NTSTATUS object_of_kind(HANDLE handle, const char *kind, struct nt_object **object)
{
	struct nt_object *o = object_of(handle);

	if (!o)
		return STATUS_INVALID_HANDLE;
	if (o->close != foreign_close || strcmp(o->kind, kind) != 0) {
		object_release(o);
		return STATUS_OBJECT_TYPE_MISMATCH;
	}
	*object = o;
	return STATUS_SUCCESS;
}

NTSTATUS nt_handle_duplicate(HANDLE handle, const char *kind, HANDLE *copy)
{
	struct nt_object *o;
	NTSTATUS status = object_of_kind(handle, kind, &o);

	if (!NT_SUCCESS(status))
		return status;
	status = nt_object_open(o, copy);
	object_release(o);
	return status;
}

NTSTATUS nt_handle_reference(HANDLE handle, const char *kind, void **object, void **reference)
{
	struct nt_object *o;
	NTSTATUS status = object_of_kind(handle, kind, &o);

	if (!NT_SUCCESS(status))
		return status;
	*object = ((struct foreign *)o)->body;
	*reference = o;
	return STATUS_SUCCESS;
}

/* ---- for drivers ---- */

struct _OBJECT_TYPE {
	const char *kind;
};
static struct _OBJECT_TYPE thread_type = { "thread" };
static POBJECT_TYPE thread_type_pointer = &thread_type;
POBJECT_TYPE *PsThreadType = &thread_type_pointer;

static struct nt_object *header_of(PVOID body, const char *function)
{
	struct nt_object *o = (struct nt_object *)body - 1;

	if (body && o->magic == NT_OBJECT_MAGIC && o->body == body)
		return o;
	nt_misuse(function, NULL, "not a thread or device object, or one freed already");
	return NULL;
}

LONG_PTR ObfReferenceObject(PVOID object)
{
	struct nt_object *o = header_of(object, __func__);

	return o ? __atomic_add_fetch(&o->references, 1, __ATOMIC_RELAXED) : 0;
}

LONG_PTR ObfDereferenceObject(PVOID object)
{
	struct nt_object *o = header_of(object, __func__);

	return o ? object_release(o) : 0;
}

NTSTATUS ObReferenceObjectByHandle(HANDLE handle, ACCESS_MASK access, POBJECT_TYPE type,
                                   KPROCESSOR_MODE mode, PVOID *object,
                                   POBJECT_HANDLE_INFORMATION information)
{
	struct nt_object *o;

	if (!nt_irql_at_most(PASSIVE_LEVEL, __func__, NULL))
		return STATUS_UNSUCCESSFUL;
	o = object_of(handle);
	if (!o)
		return STATUS_INVALID_HANDLE;
	if (o->close == foreign_close || (type && strcmp(type->kind, o->kind) != 0)) {
		object_release(o);
		return STATUS_OBJECT_TYPE_MISMATCH;
	}
	*object = o->body;
	if (information)
		*information = (OBJECT_HANDLE_INFORMATION){ .GrantedAccess = access };
	return STATUS_SUCCESS;
}
