/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_GUESTS_HOSTS_H
#define TESTS_GUESTS_HOSTS_H

/*
 * A host by hand, which a guest's end meets: messages heard and answered in the form that some
 * other host gives them. It offers one channel, echoes what comes there
 * and lets it close; what it took back it offers again once it was released. And it may have a
 * trick: something that it says or writes beside the truth, or instead of it.
 */

#include "partition/partition.h"
#include "ring/ring.h"
#include "wire/wire.h"

#include <kmcl/kmcl.h>

#define HOSTS_HEARD 64u

struct host_manner {
	uint32_t version_max;
	uint32_t features;
	size_t padding;     /* of each message it sends, to a multiple; 0: none */
	bool names_version; /* in its answer, where there is no connection id */
	uint8_t no_monitor; /* the monitor id of an offer without one */
	const GUID *type;   /* of its channel; NULL: the echo service's */
	uint32_t open_status;
	/* Whether it can use what the guest sent; NULL: always. */
	bool (*takes)(const union wire_message *message, size_t size);
	const struct host_trick *trick;   /* NULL: none */
	const struct host_device *device; /* NULL: an echo service */
};

struct host;

/* What a device's host does in place of an echo. Its lock is held. */
struct host_device {
	void *context;
	void (*opened)(struct host *host, void *context); /* the channel */
	void (*took)(struct host *host, void *context, const struct ring_packet *packet);
	/* Memory was shared on it; NULL: it has no use for it. */
	void (*shared)(struct host *host, void *context, const uint64_t *pages, uint32_t count);
};

#define HOSTS_CHANNEL    7u
#define HOSTS_CONNECTION 0x2007u

/* Upon no message, but a request in the ring. */
#define HOSTS_REQUEST 0u

struct host_trick {
	const char *name;
	uint32_t upon;
	/* Once, in place of an answer; true: the answer follows. `heard` is NULL for a request. */
	bool (*act)(struct host *host, const struct host_trick *trick,
	            const union wire_message *heard);
	uint64_t value; /* what it is about */
	bool always;    /* not once: until host_be_honest() */
};

/* For tricks. Padded as the host's manner has it. */
void host_say(struct host *host, const void *message, size_t size);
void host_say_offer(struct host *host, uint32_t channel_id);
/* Its own channel, too, which it does not touch any more then. */
void host_say_rescind(struct host *host, uint32_t channel_id);

/* For tricks upon a request: it, and both rings as the host has them. */
struct host_rings {
	uint64_t id;
	uint32_t size;
	uint8_t payload[4096];
	struct ring_writer writer;
	struct ring_reader reader;
	struct wire_ring_control *to_guest, *to_host;
};
struct host_rings *host_rings(struct host *host);
/* Into the ring; it is published when the trick is over. */
void host_write(struct host *host, struct wire_packet packet, const void *bytes, uint32_t size);
void host_complete(struct host *host, uint64_t id);
/* What was written from elsewhere than a trick or `took`. */
void host_show(struct host *host);
/* A page of the guest's memory; the channel is open. */
uint8_t *host_page(struct host *host, uint64_t number);

/* From now on; its channel is not open. */
void host_set_device(struct host *host, const struct host_device *device);
/* With its lock held: what is done there by somebody else than its own threads. */
void host_do(struct host *host, void (*what)(struct host *host, void *context), void *context);
/* It does not read its ring, until it does again. */
void host_be_deaf(struct host *host, bool deaf);

/* How often it had its trick. */
uint32_t host_tricked(struct host *host);
void host_be_honest(struct host *host);

/* NULL: it cannot. */
struct host *host_open(const char *uri, const struct host_manner *manner);
/* The next guest meets it in that manner, once the one before has gone; what was heard and done is
 * forgotten. For many meetings this is much less to do than another host's beginning and end. */
void host_begin_anew(struct host *host, const struct host_manner *manner);
void host_close(struct host *host);

struct host_heard {
	uint32_t types[HOSTS_HEARD]; /* in their order */
	uint32_t count;
	uint32_t untaken;    /* that it could not use */
	uint32_t connection; /* of the last */
	uint32_t version;    /* agreed */
};
void host_heard(struct host *host, struct host_heard *heard);

#endif
