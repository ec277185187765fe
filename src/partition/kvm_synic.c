/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Synthetic interrupt controllers: how messages and events get into a guest, and how its hypercalls
 * come out. Sources: TLFS 6 (messages, events, HvPostMessage, HvSignalEvent); Linux
 * arch/x86/kvm/hyperv.c for what the kernel does itself; Linux drivers/hv for what guests do.
 */

#include "partition/kvm.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* ---- what is in a guest's pages ---- */

/* HV_MESSAGE: 16 of them are a message page, one a SINT. */
struct hv_message {
	_Atomic(uint32_t) type; /* 0: free */
	uint8_t size;
	_Atomic(uint8_t) flags;
	uint16_t reserved;
	uint64_t sender;
	uint8_t payload[PARTITION_MESSAGE_MAX];
};
static_assert(sizeof(struct hv_message) == 256, "TLFS HV_MESSAGE");
static_assert(offsetof(struct hv_message, payload) == 16, "TLFS HV_MESSAGE_HEADER");

#define HV_MESSAGE_PENDING 0x01u /* the guest shall say when it has emptied the slot */
#define HV_MESSAGE_VMBUS   1u    /* OpenVMM vmbus_server; QEMU HV_MESSAGE_VMBUS */

/* The input of HvPostMessage. */
struct hv_post_message {
	uint32_t connection_id;
	uint32_t reserved;
	uint32_t type;
	uint32_t size;
	uint8_t payload[PARTITION_MESSAGE_MAX];
};
static_assert(sizeof(struct hv_post_message) == 256, "TLFS HV_INPUT_POST_MESSAGE");

#define HV_PAGE_SIZE     4096u
#define HV_PAGE_ENABLE   1ull /* of SIMP and SIEFP; of SCONTROL, the whole controller */
#define HV_CALL_CODE     0xffffull
#define HV_CALL_FAST     (1ull << 16)
#define HV_POST_MESSAGE  0x5cu
#define HV_SIGNAL_EVENT  0x5du
#define HV_MESSAGE_ID    0xffffffu /* what a connection id has */
#define HV_TYPE_RESERVED 0x80000000u

enum hv_status {
	HV_STATUS_SUCCESS = 0,
	HV_STATUS_INVALID_HYPERCALL_CODE = 2,
	HV_STATUS_INVALID_HYPERCALL_INPUT = 3,
	HV_STATUS_INVALID_ALIGNMENT = 4,
	HV_STATUS_INVALID_PARAMETER = 5,
	HV_STATUS_INVALID_CONNECTION_ID = 0x12,
	HV_STATUS_INSUFFICIENT_BUFFERS = 0x13,
};

void kvm_event_set(int fd)
{
	uint64_t one = 1;

	/* EAGAIN, the only failure, means that 2^64 - 2 signals wait: it is set. */
	if (write(fd, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN);
}

bool kvm_event_clear(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) > 0;
}

/* ---- routes ---- */

#define LEGACY_ROUTES                                                              \
	40u /* of 16 pins that both PIC and IOAPIC have, and 8 of the IOAPIC alone \
	     */

static uint32_t legacy_route(struct kvm_irq_routing_entry *entry, uint32_t gsi, uint32_t chip,
                             uint32_t pin)
{
	*entry = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
	return 1;
}

/* As KVM sets them itself when its interrupt controllers are made. */
static uint32_t legacy_routes(struct kvm_irq_routing_entry *entries)
{
	uint32_t n = 0;

	for (uint32_t gsi = 0; gsi < 24; gsi++) {
		n += legacy_route(&entries[n], gsi, KVM_IRQCHIP_IOAPIC, gsi);
		if (gsi < 16)
			n += legacy_route(&entries[n], gsi,
			                  gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE,
			                  gsi % 8);
	}
	return n;
}

static int set_all_routes(const struct kmcl_kvm *kvm, const struct kvm_irq_routing_entry *entries,
                          uint32_t count)
{
	struct kvm_irq_routing *table =
		calloc(1, sizeof(*table) + (LEGACY_ROUTES + count) * sizeof(*entries));
	int error = 0;

	if (!table)
		return -ENOMEM;
	table->nr = legacy_routes(table->entries);
	memcpy(&table->entries[table->nr], entries, count * sizeof(*entries));
	table->nr += count;
	if (ioctl(kvm->options.vm, KVM_SET_GSI_ROUTING, table))
		error = -errno;
	free(table);
	return error;
}

static int lines_route(struct kmcl_kvm *kvm)
{
	struct kvm_irq_routing_entry *entries = calloc(kvm->line_count + 1, sizeof(*entries));
	uint32_t count = 0;
	int error;

	if (!entries)
		return -ENOMEM;
	for (const struct kvm_line *line = kvm->lines; line; line = line->next)
		entries[count++] = (struct kvm_irq_routing_entry){
			.gsi = line->gsi,
			.type = KVM_IRQ_ROUTING_HV_SINT,
			.u.hv_sint = { .vcpu = line->vp, .sint = line->sint },
		};
	error = kvm->options.set_routes
	                ? kvm->options.set_routes(kvm->options.context, entries, count)
	                : set_all_routes(kvm, entries, count);
	free(entries);
	return error;
}

/* ---- lines ---- */

static int irqfd_set(const struct kvm_line *line, int fd, int resample, bool on)
{
	struct kvm_irqfd irqfd = { .fd = (uint32_t)fd, .gsi = line->gsi };

	if (!on)
		irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
	else if (resample >= 0)
		irqfd.flags = KVM_IRQFD_FLAG_RESAMPLE;
	if (resample >= 0)
		irqfd.resamplefd = (uint32_t)resample;
	return ioctl(line->kvm->options.vm, KVM_IRQFD, &irqfd) ? -errno : 0;
}

void kvm_line_put(struct kvm_line *line)
{
	if (atomic_fetch_sub(&line->refs, 1) != 1)
		return;
	kvm_machine_put(line->kvm);
	pthread_mutex_destroy(&line->lock);
	free(line);
}

static struct kvm_line *line_new(struct kmcl_kvm *kvm, uint32_t vp, uint8_t sint)
{
	struct kvm_line *line = calloc(1, sizeof(*line));

	if (!line)
		return NULL;
	line->irqfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (line->irqfd < 0) {
		free(line);
		return NULL;
	}
	line->kvm = kvm;
	line->vp = vp;
	line->sint = sint;
	line->gsi = kvm->options.first_gsi + kvm->line_count;
	line->end_of_message_irqfd = line->end_of_message_fd = -1;
	line->queue.last = &line->queue.first;
	atomic_init(&line->refs, 1);
	atomic_fetch_add(&kvm->refs, 1);
	pthread_mutex_init(&line->lock, NULL);
	return line;
}

/*
 * A monitor that sets its own routes may have set none, which nothing but an interrupt shows. Here
 * is one before the first: a guest looks why it came, and finds nothing or what comes next.
 */
static void line_try(const struct kvm_line *line)
{
	struct kvm_irq_level level = { .irq = line->gsi, .level = 1 };

	if (!line->kvm->options.set_routes)
		return;
	if (ioctl(line->kvm->options.vm, KVM_IRQ_LINE_STATUS, &level) == 0 && level.status < 0)
		kvm_lacks(line->kvm, KVM_LACKS_ROUTE,
		          "no interrupt reaches SINT %u of processor %u: set_routes() has set no "
		          "route from %u to it, or the guest has it off",
		          line->sint, line->vp, line->gsi);
}

/* 0: the guest can be interrupted through it. */
static int line_open(struct kvm_line *line)
{
	struct kmcl_kvm *kvm = line->kvm;
	int error;

	line->next = kvm->lines;
	kvm->lines = line;
	kvm->line_count++;
	error = lines_route(kvm);
	if (!error)
		error = irqfd_set(line, line->irqfd, -1, true);
	if (!error) {
		line_try(line);
		return 0;
	}
	kvm->lines = line->next;
	kvm->line_count--;
	close(line->irqfd);
	return error;
}

struct kvm_line *kvm_line_get(struct kmcl_kvm *kvm, uint32_t vp, uint8_t sint)
{
	struct kvm_line *line;
	int error;

	if (vp >= KMCL_KVM_PROCESSORS_MAX || kvm->processors[vp].fd < 0 || sint >= KVM_SINTS) {
		kvm_host_log(kvm->bus->host, PARTITION_LOG_WARNING,
		             "the guest names processor %u and SINT %u, which "
		             "kmcl_kvm_add_processor() did not",
		             vp, sint);
		return NULL;
	}
	for (line = kvm->lines; line; line = line->next)
		if (line->vp == vp && line->sint == sint)
			break;
	if (!line) {
		line = line_new(kvm, vp, sint);
		error = line ? line_open(line) : -ENOMEM;
		if (error) {
			kvm_host_log(kvm->bus->host, PARTITION_LOG_ERROR,
			             "no way to SINT %u of processor %u: %s", sint, vp,
			             strerror(-error));
			if (line)
				kvm_line_put(line);
			return NULL;
		}
	}
	atomic_fetch_add(&line->refs, 1);
	return line;
}

static void end_of_message_close(struct kvm_line *line)
{
	if (line->end_of_message_irqfd < 0)
		return;
	irqfd_set(line, line->end_of_message_irqfd, -1, false);
	close(line->end_of_message_irqfd);
	close(line->end_of_message_fd); /* which takes it out of the epoll set */
	line->end_of_message_irqfd = line->end_of_message_fd = -1;
}

static int end_of_message_open(struct kvm_line *line)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = line };
	int error = -EMFILE;

	if (line->end_of_message_irqfd >= 0)
		return 0;
	line->end_of_message_irqfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	line->end_of_message_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (line->end_of_message_irqfd >= 0 && line->end_of_message_fd >= 0) {
		error = irqfd_set(line, line->end_of_message_irqfd, line->end_of_message_fd, true);
		if (!error && epoll_ctl(line->kvm->bus->host->epoll, EPOLL_CTL_ADD,
		                        line->end_of_message_fd, &event))
			error = -errno;
	}
	if (!error)
		return 0;
	if (line->end_of_message_irqfd >= 0)
		close(line->end_of_message_irqfd);
	if (line->end_of_message_fd >= 0)
		close(line->end_of_message_fd);
	line->end_of_message_irqfd = line->end_of_message_fd = -1;
	return error;
}

void kvm_lines_close(struct kmcl_kvm *kvm)
{
	struct kvm_line *line;

	while ((line = kvm->lines) != NULL) {
		kvm->lines = line->next;
		end_of_message_close(line);
		irqfd_set(line, line->irqfd, -1, false);
		kvm_messages_drop(&line->queue);
		pthread_mutex_lock(&line->lock);
		line->dead = true;
		close(line->irqfd);
		pthread_mutex_unlock(&line->lock);
		kvm_line_put(line);
	}
	kvm->line_count = 0;
	kvm->queued = 0;
	lines_route(kvm); /* that none is left; if it fails, unused ones are */
}

/* ---- messages to the guest ---- */

static struct hv_message *line_slot(const struct kvm_line *line)
{
	uint8_t *page = atomic_load(&line->kvm->processors[line->vp].message_page);

	return page ? (struct hv_message *)page + line->sint : NULL;
}

/*
 * Is the slot free? If not, asks the guest to say so when it is. Looks twice: a guest that emptied
 * it just before the flag was set has not seen the flag.
 */
static bool slot_is_free(struct kvm_line *line, struct hv_message *slot)
{
	int error;

	if (atomic_load(&slot->type) == 0)
		return true;
	error = end_of_message_open(line);
	if (error)
		kvm_host_log(line->kvm->bus->host, PARTITION_LOG_ERROR,
		             "no way to know of the end of a message: %s", strerror(-error));
	atomic_fetch_or(&slot->flags, HV_MESSAGE_PENDING);
	return atomic_load(&slot->type) == 0;
}

/*
 * The type goes last: a guest that comes by for another reason takes it for a message as soon as it
 * is set. KVM's own timer messages go to the same slot unless timers are in direct mode, which
 * kmcl_kvm_cpuid() offers and guests prefer; one that came in between has won. False: that.
 */
static bool slot_fill(struct hv_message *slot, const struct kvm_message *message)
{
	uint32_t none = 0;

	memcpy(slot->payload, message->payload, message->size);
	slot->size = (uint8_t)message->size;
	slot->reserved = 0;
	slot->sender = 0;
	atomic_store_explicit(&slot->flags, 0, memory_order_relaxed);
	return atomic_compare_exchange_strong(&slot->type, &none, HV_MESSAGE_VMBUS);
}

void kvm_line_deliver(struct kvm_line *line)
{
	struct hv_message *slot = line_slot(line);
	struct kmcl_kvm *kvm = line->kvm;

	while (slot && line->queue.first) {
		if (!slot_is_free(line, slot)) {
			kvm->statistics.messages_waited++;
			return;
		}
		if (!slot_fill(slot, line->queue.first))
			continue;
		free(kvm_message_take(&line->queue));
		kvm->queued--;
		kvm->statistics.messages_out++;
		kvm_event_set(line->irqfd);
	}
}

void kvm_line_end_of_message(struct kmcl_kvm *kvm, const void *which)
{
	struct kvm_line *line = kvm->lines;

	while (line && line != which)
		line = line->next;
	if (!line || line->end_of_message_fd < 0)
		return;
	kvm_event_clear(line->end_of_message_fd);
	kvm_line_deliver(line);
}

bool kvm_lines_listen(struct kmcl_kvm *kvm, bool rest)
{
	bool any = false;

	for (struct kvm_line *line = kvm->lines; line; line = line->next) {
		if (rest && !line->queue.first)
			end_of_message_close(line);
		any = any || line->end_of_message_irqfd >= 0;
	}
	return any;
}

/* ---- events ---- */

void kvm_line_raise(struct kvm_line *line, uint32_t flag)
{
	uint8_t *page;

	pthread_mutex_lock(&line->lock);
	page = line->dead ? NULL : atomic_load(&line->kvm->processors[line->vp].event_page);
	if (page && flag < PARTITION_EVENT_FLAGS) {
		_Atomic(uint64_t) *flags =
			(_Atomic(uint64_t) *)(page + line->sint * (PARTITION_EVENT_FLAGS / 8));
		uint64_t bit = 1ull << flag % 64;

		/* As long as it is set the guest has yet to look, after an interrupt it has got. */
		if (!(atomic_fetch_or(&flags[flag / 64], bit) & bit)) {
			kvm_event_set(line->irqfd);
			atomic_fetch_add_explicit(&line->kvm->events_out, 1, memory_order_relaxed);
		}
	}
	pthread_mutex_unlock(&line->lock);
}

int kvm_port_assign(const struct kmcl_kvm *kvm, const struct partition_port *port, bool assign)
{
	struct kvm_hyperv_eventfd event = {
		.conn_id = port->id,
		.fd = port->fd,
		.flags = assign ? 0 : KVM_HYPERV_EVENTFD_DEASSIGN,
	};

	return ioctl(kvm->options.vm, KVM_HYPERV_EVENTFD, &event) ? -errno : 0;
}

/* ---- exits ---- */

/* Where a guest's call points to. A monitor may have kept that memory to itself. */
static void *guest_memory(struct kmcl_kvm *kvm, uint64_t gpa, uint64_t size)
{
	void *there = kvm_machine_address(kvm, gpa, size);

	if (!there)
		kvm_lacks(
			kvm, KVM_LACKS_MEMORY,
			"the guest points to %#llx, where kmcl_kvm_add_memory() has put no memory",
			(unsigned long long)gpa);
	return there;
}

static uint8_t *synic_page(struct kmcl_kvm *kvm, uint64_t value)
{
	if (!(value & HV_PAGE_ENABLE))
		return NULL;
	return guest_memory(kvm, value & ~(uint64_t)(HV_PAGE_SIZE - 1), HV_PAGE_SIZE);
}

static void on_synic(struct kmcl_kvm *kvm, uint32_t vp, const struct kvm_hyperv_exit *exit)
{
	struct kvm_processor *processor = &kvm->processors[vp];
	bool on = exit->u.synic.control & HV_PAGE_ENABLE;

	atomic_store(&processor->message_page, on ? synic_page(kvm, exit->u.synic.msg_page) : NULL);
	atomic_store(&processor->event_page, on ? synic_page(kvm, exit->u.synic.evt_page) : NULL);
	for (struct kvm_line *line = kvm->lines; line; line = line->next)
		if (line->vp == vp)
			kvm_line_deliver(line);
}

/* The guest's input, in a copy. */
static enum hv_status read_post(struct kmcl_kvm *kvm, const struct kvm_hyperv_exit *exit,
                                struct hv_post_message *post)
{
	uint64_t gpa = exit->u.hcall.params[0];
	const void *there;

	if (exit->u.hcall.input & HV_CALL_FAST)
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	if (gpa % 8 || gpa % HV_PAGE_SIZE + sizeof(*post) > HV_PAGE_SIZE)
		return HV_STATUS_INVALID_ALIGNMENT;
	there = guest_memory(kvm, gpa, sizeof(*post));
	if (!there)
		return HV_STATUS_INVALID_PARAMETER;
	memcpy(post, there, sizeof(*post));
	if (post->size > PARTITION_MESSAGE_MAX || !post->type || post->type & HV_TYPE_RESERVED)
		return HV_STATUS_INVALID_PARAMETER;
	return HV_STATUS_SUCCESS;
}

static enum hv_status on_post(struct kmcl_kvm *kvm, const struct kvm_hyperv_exit *exit)
{
	struct kvm_bus *bus = kvm->bus;
	struct kvm_message *message;
	struct hv_post_message post;
	enum hv_status status = read_post(kvm, exit, &post);

	if (status != HV_STATUS_SUCCESS)
		return status;
	if (!bus->session || post.connection_id > bus->host->head.settings.message_id_max)
		return HV_STATUS_INVALID_CONNECTION_ID;
	message = bus->incoming.count < KVM_QUEUE_MAX ? malloc(sizeof(*message)) : NULL;
	if (!message)
		return HV_STATUS_INSUFFICIENT_BUFFERS;
	message->id = post.connection_id;
	message->size = post.size;
	memcpy(message->payload, post.payload, post.size);
	kvm_message_add(&bus->incoming, message);
	kvm->statistics.messages_in++;
	kvm_host_wake(bus->host);
	return HV_STATUS_SUCCESS;
}

/* KVM knows the connections that are listened on; this is one that is not, or was not just now. */
static enum hv_status on_signal(struct kmcl_kvm *kvm, const struct kvm_hyperv_exit *exit)
{
	struct kvm_bus *bus = kvm->bus;
	uint64_t input = exit->u.hcall.params[0];
	struct id_node *node;
	struct kvm_kept *kept;
	uint32_t id;

	if (!(exit->u.hcall.input & HV_CALL_FAST)) {
		const void *there = input % 8 ? NULL : guest_memory(kvm, input, sizeof(input));

		if (!there)
			return HV_STATUS_INVALID_ALIGNMENT;
		memcpy(&input, there, sizeof(input));
	}
	id = (uint32_t)input;
	if (input & ~(uint64_t)HV_MESSAGE_ID) /* no connection has more than flag 0 */
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	if (!bus->session)
		return HV_STATUS_INVALID_CONNECTION_ID;
	node = id_table_find(&bus->ports, id);
	if (node) {
		kvm_event_set(((struct kvm_port *)((char *)node - offsetof(struct kvm_port, node)))
		                      ->head.fd);
		return HV_STATUS_SUCCESS;
	}
	if (id_table_find(&bus->kept, id))
		return HV_STATUS_SUCCESS;
	kept = bus->kept.count < KVM_KEPT_MAX ? calloc(1, sizeof(*kept)) : NULL;
	if (!kept)
		return HV_STATUS_INVALID_CONNECTION_ID;
	kept->node.id = id;
	id_table_insert(&bus->kept, &kept->node);
	return HV_STATUS_SUCCESS;
}

static enum hv_status on_hypercall(struct kmcl_kvm *kvm, const struct kvm_hyperv_exit *exit)
{
	if (!kvm->bus->session)
		kvm_lacks_session(kvm);
	switch (exit->u.hcall.input & HV_CALL_CODE) {
	case HV_POST_MESSAGE:
		return on_post(kvm, exit);
	case HV_SIGNAL_EVENT:
		return on_signal(kvm, exit);
	default:
		return HV_STATUS_INVALID_HYPERCALL_CODE;
	}
}

bool kmcl_kvm_exit(struct kmcl_kvm *kvm, uint32_t vp, struct kvm_run *run)
{
	struct kvm_hyperv_exit *exit = &run->hyperv;

	if (run->exit_reason != KVM_EXIT_HYPERV || vp >= KMCL_KVM_PROCESSORS_MAX ||
	    (exit->type != KVM_EXIT_HYPERV_SYNIC && exit->type != KVM_EXIT_HYPERV_HCALL))
		return false;
	pthread_mutex_lock(&kvm->bus->lock);
	kvm->statistics.exits++;
	if (exit->type == KVM_EXIT_HYPERV_SYNIC) {
		on_synic(kvm, vp, exit);
	} else {
		enum hv_status status = on_hypercall(kvm, exit);

		if (status != HV_STATUS_SUCCESS && status != HV_STATUS_INSUFFICIENT_BUFFERS)
			kvm->statistics.refused++;
		exit->u.hcall.result = status;
	}
	pthread_mutex_unlock(&kvm->bus->lock);
	return true;
}
