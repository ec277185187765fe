/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PARTITION_KVM_H
#define PARTITION_KVM_H

/*
 * kvm:NAME, inside: the guest is a virtual machine of this process, the host an end like any other.
 *
 * A bus is all that goes by one name. A session is a machine that runs and a host being there
 * together; sessions of a bus are numbered. The host's thread learns of them in its own time:
 * `seen` is the one its upcalls have told of, and everything it posts, signals or pins goes to that
 * one or nowhere.
 *
 * Locks: the registry's, then a bus's, then a line's.
 */

#include "partition/id_table.h"
#include "partition/partition.h"

#include <kmcl/kvm.h>

#include <pthread.h>
#include <stdatomic.h>

#define KVM_SINTS      16u
#define KVM_RANGES_MAX 32u
#define KVM_QUEUE_MAX  128u  /* messages under way to either end */
#define KVM_KEPT_MAX   4096u /* signals for ids that nobody listens on yet */

struct kvm_message {
	struct kvm_message *next;
	uint32_t id; /* incoming: the connection it was posted to */
	size_t size;
	uint8_t payload[PARTITION_MESSAGE_MAX];
};

struct kvm_messages {
	struct kvm_message *first;
	struct kvm_message **last;
	unsigned int count;
};

/* The way to one synthetic interrupt of one processor. */
struct kvm_line {
	struct kvm_line *next; /* of the machine's */
	struct kmcl_kvm *kvm;
	atomic_uint refs; /* the machine's, and the links' */
	uint32_t vp;
	uint8_t sint;
	uint32_t gsi;
	int irqfd;
	struct kvm_messages queue; /* the slot was taken. Under the bus's lock */
	/* There while messages wait: tells that the guest has emptied a slot. Otherwise -1: it
	 * would wake the host's thread at each interrupt's end. Under the bus's lock */
	int end_of_message_irqfd, end_of_message_fd;
	pthread_mutex_t lock;
	bool dead; /* its session is over */
};

/* What a processor's synthetic interrupt controller is set to; its own thread writes these. */
struct kvm_processor {
	int fd;                          /* or -1 */
	_Atomic(uint8_t *) message_page; /* here; NULL: off */
	_Atomic(uint8_t *) event_page;
};

struct kvm_range {
	uint64_t gpa, size;
	uint8_t *address;
	int fd;
	uint64_t offset;
};

struct kmcl_kvm {
	struct kvm_bus *bus;
	struct kmcl_kvm_options options;
	atomic_uint refs; /* the monitor's, lines', pins' */
	struct kvm_processor processors[KMCL_KVM_PROCESSORS_MAX];
	struct kvm_range ranges[KVM_RANGES_MAX]; /* by address in the guest */
	unsigned int range_count;
	struct partition_ram ram; /* all of it, if it is in one piece here */
	/* under the bus's lock */
	bool running;
	unsigned int pins;
	struct kvm_line *lines;
	uint32_t line_count;
	unsigned int queued; /* messages that wait in lines */
	uint32_t said;       /* a bit for each enum kvm_lack */
	struct kmcl_kvm_statistics statistics;
	_Atomic(uint64_t) events_out; /* of the statistics; without the lock */
};

/* What a monitor may have forgotten, as a guest's calls show it. */
enum kvm_lack {
	KVM_LACKS_START,
	KVM_LACKS_HOST,
	KVM_LACKS_MEMORY,
	KVM_LACKS_ROUTE,
};

struct kvm_port {
	struct partition_port head;
	struct id_node node;
};

struct kvm_kept {
	struct id_node node;
};

struct kvm_link {
	struct partition_link head;
	struct kvm_line *line;
};

struct kvm_pin {
	struct partition_pin head;
	struct kmcl_kvm *kvm;
};

/* The host end. */
struct kvm_host {
	struct partition head;
	atomic_uint refs; /* the opener, ports, links, pins */
	struct kvm_bus *bus;
	pthread_t thread;
	int epoll;
	int wake;
	/* under the bus's lock */
	bool closing;
	bool wants_writable;
	uint32_t seen; /* session, or 0 */
};

struct kvm_bus {
	struct kvm_bus *next;
	char *name;
	atomic_uint refs; /* the ends' until they are freed */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct kvm_host *host;
	struct kmcl_kvm *kvm;
	uint32_t session; /* or 0 */
	uint32_t last_session;
	struct kvm_messages incoming; /* of this session */
	struct id_table ports;
	struct id_table kept;
};

/* kvm.c: the host end */

struct kvm_host *kvm_host_of(const struct partition *p);
void kvm_host_wake(struct kvm_host *host);
void kvm_host_log(struct kvm_host *host, int level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* kvm_check.c: what a monitor has not done */

/* Says so once, in the host's log or on standard error. Under the bus's lock. */
void kvm_lacks(struct kmcl_kvm *kvm, enum kvm_lack what, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* A call of the guest's came without a session. Under the bus's lock. */
void kvm_lacks_session(struct kmcl_kvm *kvm);

/* kvm_bus.c: names, sessions, memory */

/* The bus of that name with a reference, made if need be; NULL: no memory. */
struct kvm_bus *kvm_bus_get(const char *name);
void kvm_bus_put(struct kvm_bus *bus);
/* Both ends may have come together; or one is going. Under the bus's lock. */
void kvm_session_begin(struct kvm_bus *bus);
void kvm_session_end(struct kvm_bus *bus);
void kvm_machine_put(struct kmcl_kvm *kvm);
/* Where `size` bytes of guest memory are, if they are in one range; or NULL. */
void *kvm_machine_address(const struct kmcl_kvm *kvm, uint64_t gpa, uint64_t size);
void kvm_message_add(struct kvm_messages *queue, struct kvm_message *message);
struct kvm_message *kvm_message_take(struct kvm_messages *queue);
void kvm_messages_drop(struct kvm_messages *queue);

/* kvm_synic.c: the synthetic interrupt controllers. Under the bus's lock, but for the last two */

/* The line with a reference, made if need be. NULL: no such processor, or no resources. */
struct kvm_line *kvm_line_get(struct kmcl_kvm *kvm, uint32_t vp, uint8_t sint);
/* Puts in the slot what the guest has room for. */
void kvm_line_deliver(struct kvm_line *line);
/* The guest has emptied a slot of the line that epoll told of; it may be gone meanwhile. */
void kvm_line_end_of_message(struct kmcl_kvm *kvm, const void *which);
/* Does any line listen for an end of message? `rest`: those that do so in vain let it be. */
bool kvm_lines_listen(struct kmcl_kvm *kvm, bool rest);
void kvm_lines_close(struct kmcl_kvm *kvm);
int kvm_port_assign(const struct kmcl_kvm *kvm, const struct partition_port *port, bool assign);
void kvm_event_set(int fd);
bool kvm_event_clear(int fd);
void kvm_line_put(struct kvm_line *line);
void kvm_line_raise(struct kvm_line *line, uint32_t flag);

#endif
