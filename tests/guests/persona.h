/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_GUESTS_PERSONA_H
#define TESTS_GUESTS_PERSONA_H

/*
 * A guest by hand, as a persona of some system's drivers: messages posted and heard one by one,
 * rings laid out in its own memory, packets as bytes. Nothing here decides what is said and in
 * which order; that is what the personas are for. What differs from what was expected fails the
 * test, with what came.
 */

#include "../temporary.h"
#include "partition/partition.h"
#include "ring/ring.h"
#include "wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define PERSONA_RAM      (48u << 20)
#define PERSONA_MESSAGES 128u
#define PERSONA_OFFERS   64u
#define PERSONA_PACKET   16384u
#define PERSONA_WAIT_MS  25000

struct persona_message {
	size_t size;
	uint8_t bytes[PARTITION_MESSAGE_MAX];
};

struct persona {
	struct partition *partition;
	struct partition_ram ram;
	size_t used; /* bytes of it */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool came;
	struct persona_message messages[PERSONA_MESSAGES]; /* heard and not yet read */
	uint32_t written, read;

	uint32_t version;    /* agreed */
	uint32_t connection; /* that messages are posted to */
	struct wire_version_response response;
	size_t response_size;
	uint8_t *interrupt_page;       /* named to the host; the second half is to it */
	uint8_t *monitor_pages[2];     /* likewise: to the guest, to the host */
	struct partition_port *shared; /* before 2.4 all channels' signals come here */
	struct wire_offer_channel offers[PERSONA_OFFERS];
	uint32_t offer_count;
	uint32_t next_gpadl;
};

/* Is on the bus that `uri` names, without a word. */
void persona_begin(struct persona *p, const char *uri);
/* Gone, whatever it said last. */
void persona_leave(struct persona *p);
/* Gives back its memory, which the host may use until it is closed; and fails the test if messages
 * were not read. */
void persona_end(struct persona *p);
/* A new URI, of the pattern that the program was started with. */
const char *persona_uri(void);

/* Zeroed pages of its memory, in a row. */
void *persona_pages(struct persona *p, size_t count);
uint64_t persona_gpn(const struct persona *p, const void *address);

/* ---- messages ---- */

void persona_post(struct persona *p, const void *message, size_t size);
void persona_post_to(struct persona *p, uint32_t connection, const void *message, size_t size);
/* The next message is one of `type`; its size. */
size_t persona_hear(struct persona *p, uint32_t type, void *message, size_t capacity);
/* A header and nothing else. */
void persona_say(struct persona *p, uint32_t type);

/* INITIATE_CONTACT in the form that the driver gives it. */
struct persona_contact {
	uint32_t version;
	uint32_t connection; /* 0: WIRE_CONNECTION_MESSAGE */
	size_t size;         /* 0: the 40 bytes it had first */
	uint32_t target_vp;
	bool interrupt_page; /* named, whatever the version makes of it */
	bool no_monitor_pages;
	uint8_t sint, vtl; /* without an interrupt page */
	uint32_t features;
};
/* Whether the host supports it; p->response is what it said. */
bool persona_contact(struct persona *p, const struct persona_contact *contact);
/* UNLOAD, answered. */
void persona_unload(struct persona *p);

/* REQUEST_OFFERS, and all that is offered until the host says that it was all. */
void persona_request_offers(struct persona *p);
/* One more offer, of which the host has told since. */
const struct wire_offer_channel *persona_hear_offer(struct persona *p);
/* The offer of a type, by its bytes; or NULL. */
const struct wire_offer_channel *persona_find(const struct persona *p, const void *type,
                                              uint16_t subchannel);

/* One range of whole pages, by as many messages as that takes; created. */
void persona_share(struct persona *p, uint32_t channel_id, uint32_t gpadl, const void *memory,
                   size_t size);
void persona_unshare(struct persona *p, uint32_t channel_id, uint32_t gpadl);

/* ---- channels ---- */

struct persona_opening {
	uint32_t out_pages, in_pages; /* each with its control page */
	uint32_t gpadl;               /* 0: the next */
	uint32_t open_id;             /* 0: the channel's id */
	uint32_t target_vp;
	const void *user_data;
	size_t user_data_size;
};

struct persona_channel {
	struct persona *persona;
	struct wire_offer_channel offer;
	struct persona_opening opening;
	struct ring_writer out;
	struct ring_reader in;
	uint8_t **pages;             /* of the data of both */
	struct partition_port *port; /* the persona's shared one before 2.4 */
	struct partition_link *link;
	bool monitored;    /* signals through the monitor page where the offer says so */
	uint32_t signals;  /* sent by the hypercall */
	uint32_t triggers; /* set in the monitor page */
	uint32_t bits;     /* of its own found in the interrupt page when it was woken */
};

void persona_open(struct persona *p, struct persona_channel *ch,
                  const struct wire_offer_channel *offer, const struct persona_opening *opening);
/* CLOSE_CHANNEL, and then the rings are unshared. */
void persona_close(struct persona_channel *ch);
/* Not closed: the guest went away with it open. Before persona_end(). */
void persona_forget(struct persona_channel *ch);

/* A packet whose headers after the descriptor are `headers`. */
void persona_send(struct persona_channel *ch, uint16_t type, uint16_t flags, uint64_t transaction,
                  const void *headers, uint32_t header_size, const void *payload, uint32_t size);
/* In-band, a completion wanted. */
void persona_request(struct persona_channel *ch, uint64_t transaction, const void *payload,
                     uint32_t size);
void persona_complete(struct persona_channel *ch, uint64_t transaction, const void *payload,
                      uint32_t size);

struct persona_range {
	void *address;
	uint32_t size;
};
/* GPA direct, a completion wanted. Each is a range of its own. */
void persona_request_with(struct persona_channel *ch, uint64_t transaction,
                          const struct persona_range *ranges, uint32_t count, const void *payload,
                          uint32_t size);

struct persona_packet {
	uint16_t type, flags;
	uint64_t transaction;
	uint32_t size; /* of the payload, with padding */
	uint8_t *payload;
	uint32_t header_size; /* between the descriptor and the payload */
	uint8_t *headers;
	uint8_t bytes[PERSONA_PACKET] __attribute__((aligned(8)));
};
void persona_receive(struct persona_channel *ch, struct persona_packet *packet);
/* Whether one comes within `ms`. */
bool persona_try_receive(struct persona_channel *ch, struct persona_packet *packet, int ms);
/* The next packet is the completion of `transaction`; returns the size of its payload. */
uint32_t persona_completed(struct persona_channel *ch, uint64_t transaction, void *payload,
                           uint32_t capacity);

/* A program of personas: its argument is the pattern of its URIs. */
extern const char *persona_pattern;
#define PERSONA_MAIN(tests)                                         \
	int main(int argc, char **argv)                             \
	{                                                           \
		if (argc > 1)                                       \
			persona_pattern = temporary_uri(argv[1]);   \
		return cmocka_run_group_tests((tests), NULL, NULL); \
	}

#endif
