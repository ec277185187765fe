/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KMCL_CHANNEL_H
#define KMCL_CHANNEL_H

/*
 * What a VMBCHANNEL is. Private to kmcl/.
 *
 * Three things run in a channel, each with its own lock, taken in this order and never two of the
 * same kind at once:
 *   bus->lock	     the bus's state machine (host.c, guest.c)
 *   channel->lock   the life cycle: inputs from either end, and the phase they lead to (channel.c)
 *   out.lock	     sending; a spin lock (outgoing.c)
 * Delivery (incoming.c) has no lock but an owner: one thread at a time delivers.
 *
 * Callbacks that change state run on `strand`, PostStarted on `post_strand` because it may wait for
 * what the state strand would have to do, deferred and passive delivery on `delivery_strand`.
 */

#include "bus/bus.h"
#include "nt/nt.h"
#include "partition/partition.h"
#include "packet/packet.h"
#include "ring/ring.h"

#include "kmcl/account.h"
#include "kmcl/life.h"
#include "kmcl/spin.h"
#include "kmcl/tsan.h"

#include <kmcl/kmcl.h>
#include <vmbuskernelmodeclientlibapi.h>

#include <pthread.h>
#include <stdatomic.h>

#define CHANNEL_MAGIC  0x6c6e6863u
#define PACKET_MAGIC   0x74656b70u
#define INCOMING_MAGIC 0x6e496b70u

/* A packet's length, headers included, has 16 bits in units of 8 bytes: half of that each. */
#define CHANNEL_PACKET_MAX     (256u << 10)
#define CHANNEL_HEADER_MAX     ((256u << 10) - 64)
#define CHANNEL_EXTERNAL_MAX   (64u << 20)
#define CHANNEL_CHAIN_MAX      4096u
#define CHANNEL_CONTEXT_MAX    (1u << 20)
#define CHANNEL_RING_PAGES_MAX 4094u /* both rings go into one GPADL, whose size has 16 bits */
#define CHANNEL_USER_DATA      120u

struct host;
struct guest;
struct channel;
struct dispatcher;
struct save;

/* What the Init functions set. */
struct channel_config {
	char name[64];   /* the friendly one; empty: none */
	char label[112]; /* for logs, without one: type and instance */
	struct packet_limits limits;
	uint32_t context_size;
	uint32_t flags;
	PFN_VMB_CHANNEL_PROCESS_PACKET process;
	PFN_VMB_CHANNEL_PROCESSING_COMPLETE processing_complete;
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS state;
	GUID type;
	GUID instance;
	uint16_t subchannel;

	/* server */
	uint32_t server_flags;
	uint16_t mmio_megabytes;
	uint16_t mmio_megabytes_optional;
	uint8_t vtl;
	bool dedicated_interrupt;
	bool monitored;
	uint16_t latency;
	uint8_t offer_data[CHANNEL_USER_DATA];
	PFN_VMB_CHANNEL_SAVE_PACKET save_packet;
	PFN_VMB_CHANNEL_RESTORE_PACKET restore_packet;

	/* client */
	bool any_instance;
	bool has_target;
	uint32_t in_pages; /* data pages of each ring; 0: from the maximum packet */
	uint32_t out_pages;
	uint32_t target_vp;
	uint8_t open_data[CHANNEL_USER_DATA];
	PFN_VMB_CHANNEL_PNP_FAILURE pnp_failure;
};

/* Something that stands in, or waits for, the outgoing ring. Part of a packet or an incoming. */
struct outgoing_item {
	struct outgoing_item *next;
	void (*done)(struct outgoing_item *item,
	             NTSTATUS status); /* not in the ring: with a failure */
	struct packet_out out;
};

/* 65536 packets a channel. */
#define TRANSACTION_SHIFT  8u
#define TRANSACTION_CHUNKS 256u

enum packet_state {
	PACKET_FREE,
	PACKET_IDLE,
	PACKET_SENT, /* queued, or in the ring and waiting for its completion */
};

/* Of a synchronous request: who comes first, the end of the packet or the end of the wait. */
enum packet_caller {
	PACKET_CALLER_WAITS,
	PACKET_CALLER_SERVED,
	PACKET_CALLER_GONE,
};

/* External data as a sender names it. */
struct extdata_source {
	PMDL mdl;               /* a chain, or */
	const PFN_NUMBER *pfns; /* whole pages */
	uint32_t pfn_count;
	uint32_t offset; /* into it */
	uint32_t length; /* 0: to its end */
	bool force_length;
};

/* Memory copied for the length of a transaction, for want of sharing; see extdata.c. */
struct bounce {
	struct extdata_source source;
	uint8_t *pages; /* shared with the host; NULL: nothing is bounced */
	size_t page_count;
	PFN_NUMBER *pfns; /* their numbers, then a copy of the source's */
};

struct packet {
	uint32_t magic;
	_Atomic(uint32_t) state; /* enum packet_state */
	struct outgoing_item item;
	struct channel *channel;
	void *pointer;
	VMBPACKET handle; /* what its driver knows it by: this very address, or a name */
	PFN_VMB_PACKET_COMPLETION_ROUTINE completion; /* NULL: frees itself */
	bool callers_memory;                          /* VmbPacketInitialize */
	bool waits;                                   /* for the other end's completion */
	bool synchronous;                             /* its caller waits, and may stop waiting */
	bool id_chosen;                               /* its transaction's id is its slot's alone */
	_Atomic(uint32_t) caller;                     /* enum packet_caller */
	NTSTATUS status; /* while it waits for its completion routine */
	uint32_t slot;   /* of its transaction, or PACKET_NO_SLOT */
	uint32_t payload_capacity;
	uint32_t header_capacity;
	uint32_t payload_size;
	uint32_t header_size;
	uint32_t external_size;
	enum wire_packet_type type;
	struct bounce bounce;
	struct packet *next_free;
	struct packet *next_named; /* packet_named.c */
	uint8_t *header;           /* of external data or transfer pages; behind this structure */
	uint8_t *payload;          /* used when the packet has to wait for room */
};

struct outgoing {
	struct spin lock;
	bool open;   /* packets may go; otherwise they queue */
	bool frozen; /* ... for the time of a save */
	struct ring_writer ring;
	struct outgoing_item *head;
	struct outgoing_item **tail;
	struct partition_link *link; /* NULL: the other end wants no signals */
	/* Bits to set in shared pages before, or instead of, a signal; NULL: none. */
	_Atomic(uint64_t) *interrupt_bits;
	_Atomic(uint32_t) *monitor_pending;
	_Atomic(uint32_t) leaving; /* threads without the lock that are not through yet */
	struct nt_deferred flush;
	_Atomic(bool) flush_queued;
	_Atomic(bool) waiting; /* something is queued; read without the lock by the dispatcher */

	struct packet *free_packets; /* the lookaside list; lock */
	uint32_t free_count;
	uint32_t outstanding;      /* packets sent and not done */
	struct packet_table table; /* of transactions; each slot's owner is a packet */
	struct packet_slot *chunks[TRANSACTION_CHUNKS];
};

/* An incoming packet: what a VMBPACKETCOMPLETION is. */
struct incoming_packet {
	uint32_t magic;
	uint32_t size; /* of this allocation */
	struct channel *channel;
	struct incoming_packet *next;
	struct outgoing_item item; /* its completion packet */
	struct packet_in in;
	uint32_t flags;          /* VMBUS_CHANNEL_PROCESS_PACKET_FLAG_* */
	bool deferred;           /* to PASSIVE_LEVEL */
	_Atomic(bool) delivered; /* given to the driver, which owes its completion */
	PMDL mdl;
	uint8_t *context;
	uint8_t *payload;
	uint8_t *header;
	uint8_t *mdls;
};

struct incoming {
	_Atomic(bool) busy; /* somebody delivers, and owns what follows up to `scratch` */
	struct packet_reader reader;
	uint32_t batch;                     /* packets delivered since ProcessingComplete */
	struct incoming_packet *free_local; /* items to use */
	struct incoming_packet *deferred;   /* to be delivered next, at PASSIVE */
	uint8_t *scratch;                   /* a completion's payload */

	_Atomic(bool) on;
	_Atomic(struct incoming_packet *) free_remote; /* items given back by other threads */
	_Atomic(uint64_t)
		owed; /* completions: that the driver owes, that wait for room; and who waits */
	uint32_t unsent_max; /* of those that wait for room */
	uint32_t items;      /* allocated; the deliverer's */
	_Atomic(uint32_t) quota;
	_Atomic(bool) passive; /* deliver at PASSIVE only */
	_Atomic(bool) passive_queued;
	_Atomic(bool) failed; /* VmbChannelPacketFail, or malformed */
	_Atomic(bool) cut;    /* a completion was too long, which is said once */
};

#define INCOMING_OWED_COUNT    0x3fffffffull  /* that the driver owes */
#define INCOMING_OWED_BLOCKED  0x40000000ull  /* the queue waits, by the quota */
#define INCOMING_OWED_STOPPING 0x80000000ull  /* the strand waits, for the driver's last one */
#define INCOMING_UNSENT_ONE    0x100000000ull /* an answer that is not in the ring yet */

/* The memory of answers that wait for an other end that does not read. */
#define INCOMING_UNSENT_BYTES (16u << 20)
#define INCOMING_UNSENT_LEAST 16u
/* Incoming packets that a channel may have whatever its guest's others have. */
#define INCOMING_ITEMS_LEAST 16u

/* One ring as mapped here, its control page counted. */
struct ring_map {
	void *mapping;
	_Atomic(size_t) pages;
	uint8_t **list; /* instead, where it could not be mapped in a row */
};

struct channel_rings {
	struct ring_map in;
	struct ring_map out;
	uint64_t in_gpn; /* of their control pages */
	uint64_t out_gpn;
	/* client: both rings' pages, outgoing first */
	void *memory;
	size_t memory_pages;
	size_t out_pages;
	uint32_t gpadl;
	bool shared; /* the host knows of it */
};

/* A channel as its dispatcher knows it. Fields are the dispatcher's, but for the atomic ones. */
struct dispatcher_entry {
	struct channel *channel;
	_Atomic(struct dispatcher *) dispatcher; /* NULL: attached to none */
	_Atomic(bool) kicked;
	uint32_t index;  /* in the dispatcher's table */
	uint32_t serial; /* tells it from an earlier one at the same index */
	bool polling;
	uint64_t busy_at; /* when it last had something, ns */
};

/* A GPADL as the host knows it; bus->lock. */
struct host_gpadl {
	struct host_gpadl *next;
	struct host_gpadl *next_due; /* the bus waits for an answer about it */
	struct channel *channel;
	uint32_t id;
	bool established;  /* the bus has had its answer to the creation */
	bool tearing_down; /* the guest wants it back */
	bool read_only;
	uint32_t count;
	const struct bus_gpa_range *ranges; /* the bus's, until torn down */
	PMDL mdl;                           /* mapped by the driver */
	struct partition_pin *pin;          /* of the mapping */
};

struct channel {
	uint32_t magic;
	bool server;
	struct channel_config config;
	void *pointer;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct life life;
	NTSTATUS open_status; /* how the last opening went */
	/* server: says it when the guest has opened it and nobody calls Start */
	KTIMER start_notice;
	KDPC start_notice_dpc;
	bool start_notice_set; /* ever */
	bool start_notice_said;
	bool started; /* since it was enabled */
	PFN_VMB_CHANNEL_PNP_FAILURE pnp_failure;
	struct save *save;        /* between SaveBegin and SaveEnd */
	uint32_t restored_chunks; /* taken so far */
	struct nt_strand strand;
	struct nt_strand_item step;
	bool step_queued;
	struct nt_strand post_strand;
	struct nt_strand_item post;
	struct nt_strand delivery_strand;
	struct nt_strand_item delivery;

	/* the bus */
	struct host *host;
	struct guest *bus;   /* client: where it waits; */
	struct guest *guest; /* whose offer it has or had last */
	HANDLE vmbus;        /* server: keeps the host open */
	struct server_channel *offer;
	struct guest_offer *guest_offer;
	struct bus_offer bus_offer;
	struct server_open open;
	struct host_gpadl *gpadls; /* server; bus->lock */
	_Atomic(uint32_t) gpadl_count;
	struct channel *next; /* of the bus; bus->lock */

	/* the open channel */
	struct partition_pin *pin;
	struct partition_port *port;
	struct channel_rings rings;
	struct dispatcher_entry dispatcher;

	struct kmcl_statistics statistics;
	_Atomic(uint64_t) faults;

	struct outgoing out __attribute__((aligned(64)));
	struct incoming in __attribute__((aligned(64)));
};

/* Counters are read while they move. One that a lock or an owner guards needs no atomic addition.
 */
static inline void counter_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static inline void counter_add_shared(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static inline struct channel *channel_of(VMBCHANNEL handle)
{
	struct channel *ch = (struct channel *)handle;

	return ch && ch->magic == CHANNEL_MAGIC ? ch : NULL;
}

/* In logs. */
static inline const char *channel_name(const struct channel *ch)
{
	return *ch->config.name ? ch->config.name : ch->config.label;
}

static inline VMBCHANNEL channel_handle(struct channel *ch)
{
	return (VMBCHANNEL)ch;
}

/* channel.c: what is around the machine of the life cycle (life.h) */

/* Something went into the machine: look again, on the strand. Caller holds ch->lock. */
void channel_kick_locked(struct channel *ch);
/* The last packet that the driver owed is completed. Caller holds ch->lock. */
void channel_drained_locked(struct channel *ch);
/* The other end sent something malformed: stops this channel. */
void channel_fault(struct channel *ch, const char *what, uint64_t expected, uint64_t actual);
/* Likewise, where it may be well-formed by another setting of the other end's. */
void channel_fault_setting(struct channel *ch, const char *what, uint64_t expected, uint64_t actual,
                           enum packet_setting setting);
/* How long a call waits for the driver, and an open channel for Start, until that is said. */
extern uint32_t channel_wait_notice_ms, channel_start_notice_ms; /* for tests, too */
void channel_init_notices(struct channel *ch);
void channel_stop(struct channel *ch);
/* Will what is sent now never be answered? */
bool channel_is_closing(struct channel *ch);
/* From before Opened until after Closed. */
bool channel_is_open(struct channel *ch);
/* Nobody but the caller knows it any more, and nothing runs for it; false: it is not disabled. */
bool channel_clean_up(struct channel *ch);
/* The channel stays as it is between them, unless it is disabled: that ends the save. */
bool channel_save_begin(struct channel *ch, struct save *save);
struct save *channel_save_end(struct channel *ch); /* the save to free, or NULL */
/* It does not change between them at all; false: it is changing. `saving`: a save is under way. */
struct channel_held {
	struct channel *channel;
	struct channel_held *outer; /* of the same thread */
};
bool channel_hold(struct channel *ch, bool saving, struct channel_held *held);
void channel_unhold(struct channel_held *held);
/* Not from a callback of a call that holds it: that is misuse, and said. */
bool channel_may_hold(struct channel *ch, const char *function);
/* Inputs from the bus. */
void channel_on_open(struct channel *ch, const struct server_open *open);
void channel_on_close(struct channel *ch);
/* Client: an offer is its own. */
void channel_on_offer(struct channel *ch);
void channel_on_revoked(struct channel *ch);

/* rings.c: the memory of the two rings */

/* Maps both rings, whose first pages are the control pages, and takes them up. */
NTSTATUS rings_attach(struct channel *ch, const PFN_NUMBER *in, size_t in_pages,
                      const PFN_NUMBER *out, size_t out_pages);
void rings_detach(struct channel *ch);
/* Client: likewise, with memory allocated for them; and freed. */
NTSTATUS rings_create(struct channel *ch);
void rings_destroy(struct channel *ch);

/*
 * packet_named.c: a packet that a driver makes of memory that the other end can write is only named
 * by that memory. What the library follows is in a packet of its own, which stays until it is
 * freed, the memory is, or the channel.
 */

struct packet *packet_find_named(VMBPACKET name);
/* One that has that name and nothing else yet; NULL: no memory. *busy: it is being sent. */
struct packet *packet_name(struct channel *ch, VMBPACKET name, bool *busy);
void packet_unname(struct packet *packet); /* before it is freed */
void packets_unname_all(struct channel *ch);
void packet_layout(struct packet *packet, struct channel *ch);

/* packet.c */

static inline struct packet *packet_check(struct packet *packet)
{
	return packet && packet->magic == PACKET_MAGIC ? packet : NULL;
}
static inline struct packet *packet_of(VMBPACKET handle)
{
	return packet_check(nt_is_shared(handle) ? packet_find_named(handle)
	                                         : (struct packet *)handle);
}
static inline bool packet_is_named(const struct packet *packet)
{
	return (uintptr_t)packet->handle != (uintptr_t)packet;
}

/* The packet of a transaction that the other end completes, taken out of flight; or NULL. */
struct packet *packet_claim(struct channel *ch, uint64_t id);
/* The caller of a synchronous request goes; false: too late, it is being served. */
bool packet_abandon(struct packet *packet);
bool packet_caller_is_gone(const struct packet *packet);
/* Also of PACKET_NO_SLOT: no. */
bool packet_in_flight(struct channel *ch, uint32_t slot);
/* Is any in flight that has external data? */
bool packet_external_in_flight(struct channel *ch);
struct packet *packet_at(struct channel *ch, uint32_t slot);
/* An idle packet is in flight under an id that an earlier run of the host gave. */
NTSTATUS packet_restore_flight(struct packet *packet, uint64_t id);
/* It is in the caller's memory and has no completion routine yet. */
bool packet_is_unset(const struct packet *packet);
/* Takes all transactions out of flight and ends them with `status`. */
void packet_cancel_all(struct channel *ch, NTSTATUS status);
/* Ends one: completion routine, or free. Without locks, at any IRQL up to DISPATCH_LEVEL. */
void packet_done(struct packet *packet, NTSTATUS status, void *buffer, uint32_t size);
/* Caller holds out.lock. A packet that will wait has a slot from now on; false: all are taken. And
 * gives it back, where it is not the packet's for life. */
bool packet_reserve_slot_locked(struct packet *packet);
static inline bool packet_reserve_flight_locked(struct packet *packet)
{
	return packet->slot != PACKET_NO_SLOT || packet_reserve_slot_locked(packet);
}
void packet_unreserve_flight_locked(struct packet *packet);
void packet_release_locked(struct packet *packet);
void packets_free_all(struct channel *ch);

/* send.c */

NTSTATUS send_request(struct packet *packet, const void *buffer, uint32_t size, PMDL mdl,
                      uint32_t flags, bool now_only);
/* Server: the packet names ranges of memory that the guest gave before. */
NTSTATUS send_transfer(struct packet *packet, const void *buffer, uint32_t size,
                       const struct wire_transfer *transfer, uint32_t flags);

/* outgoing.c */

void outgoing_init(struct channel *ch);
/* Writes the packet's item or queues it. The payload's span may point to the caller's memory: it is
 * copied when the packet has to wait. `now_only`: STATUS_BUFFER_OVERFLOW instead of queueing, or
 * STATUS_DEVICE_REMOVED where the channel is not open. */
NTSTATUS outgoing_send(struct channel *ch, struct packet *packet, bool now_only);
/* Sends, or queues, the completion packet of an incoming packet; then frees that. */
void outgoing_answer(struct incoming_packet *packet, const void *buffer, uint32_t size);
/* Packets may go from now on; those queued so far do. */
void outgoing_open(struct channel *ch);
/* No packet goes any more: those that are sent now queue. */
void outgoing_stop(struct channel *ch);
/* Likewise; and what is queued or in flight ends with `status`. */
void outgoing_close(struct channel *ch, NTSTATUS status);
/* What waits, taken out of the queue; and its end. */
struct outgoing_item *outgoing_take_queued(struct channel *ch);
void outgoing_end_queued(struct outgoing_item *item, NTSTATUS status);
/* Puts in the ring what waits, if there is room now; returns how many. */
uint32_t outgoing_drain(struct channel *ch);
/* Takes a packet out of the queue; false: it was not in it. */
bool outgoing_remove(struct channel *ch, struct packet *packet);
/* Is what was sent still going to be answered? Not so any more after outgoing_stop(). */
bool outgoing_is_open(struct channel *ch);
/* While frozen, packets queue and none leaves. */
void outgoing_freeze(struct channel *ch, bool frozen);
/* The packet an item belongs to; NULL: it is a completion packet. */
struct packet *outgoing_item_packet(struct outgoing_item *item);
/* Signals the other end. */
void outgoing_signal(struct channel *ch);
/* Waits for those who are not through with what they found under the lock: a signal to send, an
 * answer's item to give back, a fault to report. Those who come later find what `out` says now. */
void outgoing_wait_left(struct channel *ch);

/* incoming.c */

/* Memory for an open channel's deliveries; and its end, when nothing is outstanding. */
NTSTATUS incoming_prepare(struct channel *ch);
enum ring_status incoming_attach(struct channel *ch, const struct ring_memory *memory);
void incoming_release(struct channel *ch);
void incoming_start(struct channel *ch);
void incoming_stop(struct channel *ch); /* returns when no ProcessPacket runs or will run */
/* The dispatcher polls: delivers up to `budget` packets and completions, at DISPATCH_LEVEL, or has
 * them delivered at PASSIVE_LEVEL. Returns how many. */
uint32_t incoming_poll(struct channel *ch, uint32_t budget);
/* The dispatcher is about to stop polling: true if there is something after all. */
bool incoming_sleep(struct channel *ch);
/* A thread that waits for an answer polls in the dispatcher's place, and stops doing so. */
uint32_t incoming_help(struct channel *ch, uint32_t budget);
void incoming_help_end(struct channel *ch);
/* Caller holds out.lock. Its answer waits for room in the ring; and does so no more. */
void incoming_unsent_locked(struct incoming_packet *packet);
void incoming_sent(struct incoming_packet *packet);
/* An incoming packet is over. */
void incoming_free(struct incoming_packet *packet);

/* extdata.c */

/* The most bytes of the MDLs made of a packet's ranges. */
uint32_t extdata_mdls_max(const struct channel_config *config);
/* Guest: writes the packet's header; bounces what the host cannot see. */
NTSTATUS extdata_build(struct packet *packet, const struct extdata_source *source);
/* The transaction is over: copies back what the host may have written, if wanted, and frees. */
void extdata_finish(struct packet *packet, bool copy_back);
/* It never began: frees. */
void extdata_abandon(struct packet *packet);
/* Host: the MDL chain of an incoming packet, and its end. */
NTSTATUS extdata_map_packet(struct incoming_packet *packet);
void extdata_unmap_packet(struct incoming_packet *packet);
/* Host: fills in an MDL, with room for the pages behind it, over one range of guest memory. */
NTSTATUS extdata_fill_mdl(PMDL mdl, const struct partition_pin *pin, uint32_t offset,
                          uint32_t length, const uint64_t *gpns);

/* info.c */

void info_of_offer(const struct bus_offer *offer, struct kmcl_channel_info *info);
void info_of_account(const struct account *account, bool host, struct kmcl_bus_info *info);

/* dispatcher.c */

NTSTATUS dispatcher_attach(struct channel *ch);
void dispatcher_detach(struct channel *ch);
/* Have the dispatcher look at the channel soon. Any thread. */
void dispatcher_kick(struct channel *ch);
/* How long to poll before sleeping, and a clock for it. */
uint64_t dispatcher_spin_ns(void);
uint64_t dispatcher_now(void);

/* bus.c: what both ends of the bus do alike */

NTSTATUS bus_status(int error); /* of a negative errno from the partition */
/* How many faults of the other end were shown lately. */
/* What either end needs of its process. False: it cannot be had, which was logged. */
bool bus_prepare(const char *uri);
void bus_log_fault(struct nt_log_account *account, const char *whose,
                   const struct bus_fault *fault);
/* What a partition has to say. */
void bus_log(struct nt_log_account *account, int level, const char *text);
/* Of the channel's other end. */
struct nt_log_account *bus_log_account(struct channel *ch);
struct nt_log_account *host_log_account(struct host *host);
struct nt_log_account *guest_log_account(struct guest *guest);

/* host.c: the host end of the bus */

NTSTATUS host_offer(struct channel *ch);
void host_revoke(struct channel *ch);
/* After `revoked`: the host does not know the channel any more. */
void host_forget(struct channel *ch);
/* Takes up the rings and events of the channel that the guest opens; and lets go of them. */
NTSTATUS host_attach(struct channel *ch);
void host_detach(struct channel *ch);
void host_open_done(struct channel *ch, NTSTATUS status);
void host_close_done(struct channel *ch);
/* A reference of the caller's own to the host behind a kernel handle. */
NTSTATUS host_reference(HANDLE handle, HANDLE *mine, struct host **host);
/* The channel's GPADL of that id; caller holds the host's lock. */
struct host_gpadl *host_find_gpadl(struct channel *ch, uint32_t id);
struct account *host_account(struct host *host);
void host_enter(struct host *host);
void host_leave(struct host *host); /* gives the bus the answers that are due */
/* The bus is owed an answer about this one. */
void host_gpadl_due(struct host *host, struct host_gpadl *gpadl);
struct partition *host_partition(struct host *host);

/* buses.c: this process's buses */

/* Part of a guest. */
struct bus {
	struct bus *next;
	DEVICE_OBJECT device; /* what the guest's drivers know of it */
	struct guest *guest;
};
void buses_add(struct bus *bus);
void buses_remove(struct bus *bus);
/* The guest whose bus that is; or NULL. */
struct guest *guest_of(PDEVICE_OBJECT bus);
/* The guest that a driver's device belongs to: the bus's itself, one attached above it, or any
 * other where the process has but one bus. */
NTSTATUS buses_find(PDEVICE_OBJECT device, struct guest **guest);
/* Those who wait for an offer on any bus, which they do no more; through ch->next. */
struct channel *buses_take_waiting(void);

/* loopback.c: what this process offers itself */

/* Server: the channel has no VMBus handle, and is to be offered here. */
NTSTATUS loopback_join(struct channel *ch);
struct guest *loopback_guest(void); /* NULL: nothing was offered yet */

/* guest.c: the guest end */

extern uint32_t guest_answer_timeout_ms; /* for tests, too */

struct account *guest_account(struct guest *guest);

NTSTATUS guest_open_loopback(const char *partition, struct guest **guest);
struct channel *guest_take_waiting(struct guest *guest, struct channel *list);
NTSTATUS guest_wait_for_offer(struct channel *ch);
/* Gives up waiting for an offer; false: it has got one. */
bool guest_stop_waiting(struct channel *ch);
/* Makes the rings, shows them to the host and opens; takes them up. Waits for the host. */
NTSTATUS guest_open_channel(struct channel *ch);
/* Was the offer taken back, or is it about to be? */
bool guest_lost_offer(struct channel *ch);
/* Tells the host, and waits until it has let go of the rings. */
void guest_close_channel(struct channel *ch);
/* Lets go of rings and events. */
void guest_detach(struct channel *ch);
/* The offer is nobody's again, or, if it was rescinded, the host's. */
void guest_release_channel(struct channel *ch);
/* STATUS_IO_TIMEOUT: should the host create it yet, it is torn down. */
NTSTATUS guest_gpadl_create(struct channel *ch, const struct bus_gpa_range *ranges, uint32_t count,
                            bool read_only, uint32_t *gpadl);
/* STATUS_IO_TIMEOUT: the host has not let go of it yet; `patient`: waits until it has. */
NTSTATUS guest_gpadl_teardown(struct channel *ch, uint32_t gpadl, bool patient);
uint64_t guest_page(struct channel *ch, const void *address);

#endif
