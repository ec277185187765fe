/* SPDX-License-Identifier: BSD-2-Clause */

/* Where a machine and its host meet: the machine's life and memory, and the sessions. */

#include "partition/kvm.h"

#include <kmcl/options.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PAGE 4096u

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct kvm_bus *registry;

/* ---- names ---- */

static struct kvm_bus *bus_new(const char *name)
{
	struct kvm_bus *bus = calloc(1, sizeof(*bus));

	if (!bus)
		return NULL;
	bus->name = strdup(name);
	if (!bus->name) {
		free(bus);
		return NULL;
	}
	pthread_mutex_init(&bus->lock, NULL);
	pthread_cond_init(&bus->changed, NULL);
	bus->incoming.last = &bus->incoming.first;
	atomic_init(&bus->refs, 0);
	bus->next = registry;
	registry = bus;
	return bus;
}

struct kvm_bus *kvm_bus_get(const char *name)
{
	struct kvm_bus *bus;

	pthread_mutex_lock(&registry_lock);
	for (bus = registry; bus && strcmp(bus->name, name); bus = bus->next)
		;
	if (!bus)
		bus = bus_new(name);
	if (bus)
		atomic_fetch_add(&bus->refs, 1);
	pthread_mutex_unlock(&registry_lock);
	return bus;
}

static void kept_free(struct id_node *node, void *context)
{
	id_table_remove(context, node);
	free((struct kvm_kept *)((char *)node - offsetof(struct kvm_kept, node)));
}

void kvm_bus_put(struct kvm_bus *bus)
{
	struct kvm_bus **at = &registry;
	bool last;

	pthread_mutex_lock(&registry_lock);
	last = atomic_fetch_sub(&bus->refs, 1) == 1;
	if (last) {
		while (*at != bus)
			at = &(*at)->next;
		*at = bus->next;
	}
	pthread_mutex_unlock(&registry_lock);
	if (!last)
		return;
	id_table_each(&bus->kept, kept_free, &bus->kept);
	pthread_cond_destroy(&bus->changed);
	pthread_mutex_destroy(&bus->lock);
	free(bus->name);
	free(bus);
}

/* ---- messages ---- */

void kvm_message_add(struct kvm_messages *queue, struct kvm_message *message)
{
	message->next = NULL;
	*queue->last = message;
	queue->last = &message->next;
	queue->count++;
}

struct kvm_message *kvm_message_take(struct kvm_messages *queue)
{
	struct kvm_message *message = queue->first;

	if (!message)
		return NULL;
	queue->first = message->next;
	if (!queue->first)
		queue->last = &queue->first;
	queue->count--;
	return message;
}

void kvm_messages_drop(struct kvm_messages *queue)
{
	struct kvm_message *message;

	while ((message = kvm_message_take(queue)) != NULL)
		free(message);
}

/* ---- sessions ---- */

static struct kvm_port *port_of_node(struct id_node *node)
{
	return (struct kvm_port *)((char *)node - offsetof(struct kvm_port, node));
}

static void port_begin(struct id_node *node, void *context)
{
	const struct kvm_bus *bus = context;
	int error = kvm_port_assign(bus->kvm, &port_of_node(node)->head, true);

	if (error)
		kvm_host_log(bus->host, PARTITION_LOG_ERROR,
		             "connection %#x cannot be listened on: %s", node->id,
		             strerror(-error));
}

static void port_end(struct id_node *node, void *context)
{
	const struct kvm_bus *bus = context;

	kvm_port_assign(bus->kvm, &port_of_node(node)->head, false);
}

void kvm_session_begin(struct kvm_bus *bus)
{
	if (!bus->host || !bus->kvm || !bus->kvm->running || bus->session)
		return;
	if (++bus->last_session == 0)
		bus->last_session = 1;
	bus->session = bus->last_session;
	id_table_each(&bus->ports, port_begin, bus);
	kvm_host_wake(bus->host);
}

void kvm_session_end(struct kvm_bus *bus)
{
	if (!bus->session)
		return;
	bus->session = 0;
	id_table_each(&bus->ports, port_end, bus);
	id_table_each(&bus->kept, kept_free, &bus->kept);
	kvm_messages_drop(&bus->incoming);
	kvm_lines_close(bus->kvm);
	kvm_host_wake(bus->host);
}

/* ---- the machine ---- */

static bool kvm_has(int vm, long capability)
{
	return ioctl(vm, KVM_CHECK_EXTENSION, capability) > 0;
}

/* What is left of KVM's interrupt numbers behind the IOAPIC's, if each processor has a route for
 * each of its synthetic interrupts. */
#define IOAPIC_PINS 24u
#define ROUTES_MAX  4096u /* KVM_MAX_IRQ_ROUTES */
#define LAST_GSI    (ROUTES_MAX - KMCL_KVM_PROCESSORS_MAX * KVM_SINTS)

/* The caller's options, as far as he knows them, in `own`. */
static int options_take(struct kmcl_kvm_options *own, const struct kmcl_kvm_options *theirs)
{
	int error = theirs ? kmcl_options_take(own, sizeof(*own), theirs) : -EINVAL;

	if (error)
		return error;
	if (own->vm < 0 || !own->name || !*own->name || own->first_gsi < IOAPIC_PINS ||
	    own->first_gsi > LAST_GSI)
		return -EINVAL;
	return 0;
}

/* Resample irqfds need all of them in the kernel (Linux arch/x86/kvm/irq.c,
 * kvm_arch_irqfd_allowed), which is where KVM_GET_IRQCHIP works. */
static bool has_irqchip(int vm)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	return ioctl(vm, KVM_GET_IRQCHIP, &chip) == 0;
}

static int machine_join(struct kmcl_kvm *kvm)
{
	struct kvm_bus *bus = kvm->bus;
	int error = 0;

	pthread_mutex_lock(&bus->lock);
	if (bus->kvm)
		error = -EEXIST;
	else
		bus->kvm = kvm;
	pthread_mutex_unlock(&bus->lock);
	return error;
}

int kmcl_kvm_create(const struct kmcl_kvm_options *theirs, struct kmcl_kvm **result)
{
	struct kmcl_kvm_options options;
	struct kmcl_kvm *kvm;
	int error;

	if (!result)
		return -EINVAL;
	*result = NULL;
	error = options_take(&options, theirs);
	if (error)
		return error;
	if (!kvm_has(options.vm, KVM_CAP_HYPERV_SYNIC2) ||
	    !kvm_has(options.vm, KVM_CAP_HYPERV_EVENTFD) ||
	    !kvm_has(options.vm, KVM_CAP_IRQFD_RESAMPLE))
		return -ENOTSUP;
	if (!has_irqchip(options.vm))
		return -ENXIO;
	error = -ENOMEM;
	kvm = calloc(1, sizeof(*kvm));
	if (!kvm)
		return -ENOMEM;
	kvm->options = options;
	kvm->options.name = NULL; /* the bus has it */
	for (uint32_t vp = 0; vp < KMCL_KVM_PROCESSORS_MAX; vp++)
		kvm->processors[vp].fd = -1;
	atomic_init(&kvm->refs, 1);
	kvm->bus = kvm_bus_get(options.name);
	if (kvm->bus)
		error = machine_join(kvm);
	if (error) {
		if (kvm->bus)
			kvm_bus_put(kvm->bus);
		free(kvm);
		return error;
	}
	*result = kvm;
	return 0;
}

void kvm_machine_put(struct kmcl_kvm *kvm)
{
	if (atomic_fetch_sub(&kvm->refs, 1) != 1)
		return;
	kvm_bus_put(kvm->bus);
	free(kvm);
}

/* Ends the session, and waits until the host has nothing of the guest's in its hands. */
static void machine_leave_locked(struct kmcl_kvm *kvm)
{
	struct kvm_bus *bus = kvm->bus;
	uint32_t session = bus->session;

	kvm->running = false;
	kvm_session_end(bus);
	for (uint32_t vp = 0; vp < KMCL_KVM_PROCESSORS_MAX; vp++) {
		atomic_store(&kvm->processors[vp].message_page, NULL);
		atomic_store(&kvm->processors[vp].event_page, NULL);
	}
	while (kvm->pins || (session && bus->host && bus->host->seen == session))
		pthread_cond_wait(&bus->changed, &bus->lock);
}

void kmcl_kvm_start(struct kmcl_kvm *kvm)
{
	pthread_mutex_lock(&kvm->bus->lock);
	kvm->running = true;
	kvm_session_begin(kvm->bus);
	pthread_mutex_unlock(&kvm->bus->lock);
}

void kmcl_kvm_reset(struct kmcl_kvm *kvm)
{
	pthread_mutex_lock(&kvm->bus->lock);
	machine_leave_locked(kvm);
	kvm->running = true;
	kvm_session_begin(kvm->bus);
	pthread_mutex_unlock(&kvm->bus->lock);
}

void kmcl_kvm_destroy(struct kmcl_kvm *kvm)
{
	struct kvm_bus *bus = kvm ? kvm->bus : NULL;

	if (!bus)
		return;
	pthread_mutex_lock(&bus->lock);
	machine_leave_locked(kvm);
	bus->kvm = NULL;
	pthread_mutex_unlock(&bus->lock);
	kvm_machine_put(kvm);
}

int kmcl_kvm_get_statistics(struct kmcl_kvm *kvm, struct kmcl_kvm_statistics *statistics)
{
	struct kmcl_kvm_statistics all;

	pthread_mutex_lock(&kvm->bus->lock);
	all = kvm->statistics;
	pthread_mutex_unlock(&kvm->bus->lock);
	all.events_out = atomic_load(&kvm->events_out);
	return kmcl_options_give(statistics, &all, sizeof(all));
}

#define HV_MSR_VP_INDEX 0x40000002u

/* Which one it is to the hypervisor; messages and interrupts go by that. */
static int processor_index(int vcpu, uint32_t *index)
{
	union {
		struct kvm_msrs table;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} msrs = { .table.nmsrs = 1 };
	int n;

	msrs.table.entries[0].index = HV_MSR_VP_INDEX;
	n = ioctl(vcpu, KVM_GET_MSRS, &msrs);
	if (n != 1)
		return n < 0 ? -errno : -EINVAL;
	*index = (uint32_t)msrs.table.entries[0].data;
	return 0;
}

static int add_processor_locked(struct kmcl_kvm *kvm, uint32_t vp, int vcpu)
{
	struct kvm_enable_cap synic = { .cap = KVM_CAP_HYPERV_SYNIC2 };
	uint32_t index = 0;
	int error;

	if (kvm->running)
		return -EBUSY;
	if (kvm->processors[vp].fd >= 0)
		return -EEXIST;
	if (ioctl(vcpu, KVM_ENABLE_CAP, &synic))
		return -errno;
	error = processor_index(vcpu, &index);
	if (error)
		return error;
	if (index != vp)
		return -EINVAL;
	kvm->processors[vp].fd = vcpu;
	return 0;
}

int kmcl_kvm_add_processor(struct kmcl_kvm *kvm, uint32_t vp, int vcpu)
{
	int error;

	if (vp >= KMCL_KVM_PROCESSORS_MAX || vcpu < 0)
		return -EINVAL;
	pthread_mutex_lock(&kvm->bus->lock);
	error = add_processor_locked(kvm, vp, vcpu);
	pthread_mutex_unlock(&kvm->bus->lock);
	return error;
}

/* ---- memory ---- */

/* Is all of it in one piece, here and in one file? Then it can be mapped in other orders. */
static void machine_note_ram(struct kmcl_kvm *kvm)
{
	const struct kvm_range *first = &kvm->ranges[0];
	uint64_t size = 0;

	kvm->ram = (struct partition_ram){ .fd = -1 };
	for (unsigned int i = 0; i < kvm->range_count; i++) {
		const struct kvm_range *range = &kvm->ranges[i];

		if (range->fd < 0 || range->fd != first->fd || range->offset != size ||
		    range->address != first->address + size)
			return;
		size += range->size;
	}
	kvm->ram = (struct partition_ram){ .fd = first->fd, .base = first->address, .size = size };
}

static int add_memory_locked(struct kmcl_kvm *kvm, const struct kvm_range *new)
{
	struct kvm_range *range = kvm->ranges;
	unsigned int at = 0;

	if (kvm->running)
		return -EBUSY;
	while (at < kvm->range_count && range[at].gpa < new->gpa)
		at++;
	if ((at && new->gpa - range[at - 1].gpa < range[at - 1].size) ||
	    (at < kvm->range_count && range[at].gpa - new->gpa < new->size))
		return -EEXIST;
	if (kvm->range_count == KVM_RANGES_MAX)
		return -ENOMEM;
	memmove(&range[at + 1], &range[at], (kvm->range_count - at) * sizeof(*range));
	range[at] = *new;
	kvm->range_count++;
	machine_note_ram(kvm);
	return 0;
}

int kmcl_kvm_add_memory(struct kmcl_kvm *kvm, uint64_t gpa, uint64_t size, void *address, int fd,
                        uint64_t offset)
{
	struct kvm_range range = { gpa, size, address, fd, offset };
	int error;

	if ((gpa | size | (uintptr_t)address | offset) % PAGE || !size || size - 1 > ~gpa ||
	    !address || size - 1 > ~(uint64_t)(uintptr_t)address)
		return -EINVAL;
	pthread_mutex_lock(&kvm->bus->lock);
	error = add_memory_locked(kvm, &range);
	pthread_mutex_unlock(&kvm->bus->lock);
	return error;
}

void *kvm_machine_address(const struct kmcl_kvm *kvm, uint64_t gpa, uint64_t size)
{
	for (unsigned int i = 0; i < kvm->range_count; i++) {
		const struct kvm_range *range = &kvm->ranges[i];

		if (gpa >= range->gpa && gpa - range->gpa < range->size)
			return size <= range->size - (gpa - range->gpa)
			               ? range->address + (gpa - range->gpa)
			               : NULL;
	}
	return NULL;
}
