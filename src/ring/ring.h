/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef RING_RING_H
#define RING_RING_H

/*
 * The face of ring/: one direction of a channel. One writer and one reader, each with its own
 * object, which live in different processes as often as not. An object is aligned to 64 bytes, as
 * its type says and malloc() need not know. Freestanding: no I/O, no threads, no allocation.
 * Neither object locks; the caller sees to it that one thread at a time uses it.
 *
 * The other end is hostile: every index, length and offset it writes is loaded once into a local
 * and checked there. What is malformed gives RING_MALFORMED, with what was expected and what came
 * in the object's `fault`, and from then on every call on that object gives the same.
 */

#include "ring/memory.h"
#include "wire/packet.h"

#ifdef __cplusplus
extern "C" {
#endif

enum ring_status {
	RING_OK,
	RING_EMPTY,   /* reader: no packet; writer: never */
	RING_FULL,    /* writer: no room now */
	RING_TOO_BIG, /* writer: no room ever */
	RING_MALFORMED,
};

/* The reason of RING_MALFORMED, for the log. */
struct ring_fault {
	const char *what;  /* "read index", "packet length", ...; NULL: none */
	uint64_t expected; /* the limit it broke */
	uint64_t actual;
};

/* ---- writer ---- */

struct ring_span {
	const void *base;
	uint32_t size;
};

/* The signal decisions, pure: see ring/signal.h. */

struct ring_writer; /* see ring/writer.h, included below so that channels can embed one */

/* Takes up the ring where the control page says it is, which the guest zeroed when it made it, and
 * says that this end uses pending_send_size. RING_MALFORMED: its size or indexes are off. */
enum ring_status ring_writer_init(struct ring_writer *w, const struct ring_memory *memory);

/*
 * Appends one packet: `packet` (its length8 is filled in here; the caller sets type, offset8,
 * flags and transaction_id), then the spans, padding to 8 bytes and the footer. Not visible to
 * the reader before ring_write_publish(), unless a quarter of the ring or RING_PUBLISH_MAX bytes
 * are unpublished: then it publishes by itself, and the signal that may be due is kept and
 * returned by the next ring_write_publish(), which the caller therefore owes in any case.
 */
static inline enum ring_status ring_write(struct ring_writer *w, struct wire_packet packet,
                                          const struct ring_span *spans, unsigned count);

/* Makes all packets appended so far visible. True: the reader has to be signalled. */
static inline bool ring_write_publish(struct ring_writer *w);

/* Makes them visible without the full fence that a signal decision needs: for a packet that more
 * will follow soon. The next ring_write_publish() decides for all of them; the caller owes it. */
static inline void ring_write_commit(struct ring_writer *w);

/* Forgets the packets appended since the last publish or commit, ring_write()'s own included. */
void ring_write_drop(struct ring_writer *w);

/* Bytes appended and not published. */
static inline uint32_t ring_write_unpublished(const struct ring_writer *w);

/*
 * Publishes, then asks the reader for a signal when a packet of `size` bytes (descriptor to
 * padding, without the footer) fits. True: it fits already, or the ring is malformed; nothing was
 * asked, do not sleep. *signal as ring_write_publish().
 */
bool ring_write_wait(struct ring_writer *w, uint32_t size, bool *signal);

/* Withdraws what ring_write_wait asked. */
void ring_write_wait_end(struct ring_writer *w);

/* ---- reader ---- */

/* A packet in the ring, its descriptor checked and in local memory; its body is not. */
struct ring_packet {
	uint16_t type;
	uint16_t flags;
	uint64_t transaction_id;
	uint32_t payload_offset; /* from the descriptor on; >= 16 */
	uint32_t size;           /* descriptor, headers, payload and padding; >= payload_offset */
};

struct ring_reader; /* see ring/reader.h */

/* Likewise. Leaves the interrupt mask as it is. */
enum ring_status ring_reader_init(struct ring_reader *r, const struct ring_memory *memory);

/* The next packet, not consumed. RING_OK, RING_EMPTY or RING_MALFORMED. */
static inline enum ring_status ring_read_next(struct ring_reader *r, struct ring_packet *packet);

/* Copies `size` bytes of the packet that ring_read_next() gave, from `offset` (counted from its
 * descriptor) on. The caller keeps offset + size <= packet->size. */
static inline void ring_read_copy(const struct ring_reader *r, const struct ring_packet *packet,
                                  uint32_t offset, void *to, uint32_t size);

/* Consumes it. Not visible to the writer before ring_read_publish() or a quarter of the ring; a
 * signal that is due after that quarter is kept, as the writer's is. */
static inline void ring_read_advance(struct ring_reader *r, const struct ring_packet *packet);

/* Makes consumed room visible. True: the writer waits for room and has to be signalled. Owed
 * whenever this end stops reading: before it sleeps ring_read_unmask() does it. */
static inline bool ring_read_publish(struct ring_reader *r);

/* Cheap: is there anything that ring_read_next() would look at? */
static inline bool ring_read_pending(struct ring_reader *r);

/* "I poll, do not signal me." */
void ring_read_mask(struct ring_reader *r);

/*
 * Before the reader sleeps: publishes, unmasks, fences and looks again. True: there is something
 * to read after all, be it that the ring is malformed (and it is masked again), do not sleep.
 * *signal as ring_read_publish().
 */
bool ring_read_unmask(struct ring_reader *r, bool *signal);

#ifdef __cplusplus
}
#endif

#include "ring/reader.h"
#include "ring/writer.h"

#endif
