/* SPDX-License-Identifier: BSD-2-Clause */
/* The network driver's pure half at our own adapter, over a bus, with as little of KMCL around it
 * as will do. The argument of this program is a pattern for the URI. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "net/netvsc_machine.h"

#include <kmcl/kmcl.h>
#include <kmcl/net.h>
#include <kmcl/net_backend.h>

#include "../temporary.h"

#define TAG     0x74736574u
#define DEPTH   8u
#define RECEIVE (64u << 10)
#define SEND    (64u << 10)
#define FRAME   1514u

static const char *uri_pattern = "local:netvsc-%d-%u";
static const GUID type = NETVSC_INTERFACE_TYPE;
static const GUID instance = { 0x6e657431, 1, 2, { 3, 4, 5, 6, 7, 8, 9, 10 } };
static const uint8_t own[6] = { 0x00, 0x15, 0x5d, 0x01, 0x02, 0x04 };

#define WAIT_FOR(condition)                                                \
	do {                                                               \
		int wait_tries = 4000;                                     \
		bool wait_done;                                            \
		while (!(wait_done = (condition)) && wait_tries-- > 0)     \
			nanosleep(&(struct timespec){ 0, 5000000 }, NULL); \
		assert_true(wait_done);                                    \
	} while (0)

/* ---- an outside that counts what it gets, and keeps the last ---- */

struct plug {
	struct kmcl_net_backend backend;
	struct kmcl_net_port *port;
	pthread_mutex_t lock;
	uint8_t last[FRAME + 4];
	uint32_t length;
	_Atomic uint32_t count;
};

static bool plug_start(struct kmcl_net_backend *backend, struct kmcl_net_port *port)
{
	((struct plug *)backend)->port = port;
	return true;
}

static enum kmcl_net_result plug_send(struct kmcl_net_backend *backend,
                                      const struct kmcl_net_frame *frame, void *request)
{
	struct plug *p = (struct plug *)backend;
	uint32_t i, at = 0;

	if (frame->length > sizeof(p->last))
		abort();
	pthread_mutex_lock(&p->lock);
	for (i = 0; i < frame->count; i++) {
		memcpy(p->last + at, frame->iov[i].iov_base, frame->iov[i].iov_len);
		at += (uint32_t)frame->iov[i].iov_len;
	}
	p->length = at;
	pthread_mutex_unlock(&p->lock);
	p->count++;
	return KMCL_NET_DONE;
}

static void plug_resume(struct kmcl_net_backend *backend)
{
}

static void plug_destroy(struct kmcl_net_backend *backend)
{
}

static const struct kmcl_net_backend_ops plug_ops = { "plug",    0,           plug_start,
	                                              plug_send, plug_resume, plug_destroy };

/* ---- a driver: KMCL around the machine ---- */

struct driver {
	VMBCHANNEL vmb;
	KSPIN_LOCK lock; /* of the machine, and what follows */
	struct netvsc_machine machine;
	struct netvsc_slot slots[DEPTH];
	uint32_t gpadls[2];
	uint32_t sent, refused; /* frames that ended, well and otherwise */
	struct rndis_client_request *answered;
	uint8_t last[FRAME + 4]; /* received */
	uint32_t length, received, wrong;
	uint8_t *receive, *send, *control;
};

struct flight {
	struct driver *driver;
	uint32_t id;
	PMDL mdl;
};

static uint8_t *pool(size_t size)
{
	uint8_t *p = ExAllocatePoolWithTag(NonPagedPoolNx, size, TAG);

	assert_non_null(p);
	memset(p, 0, size);
	return p;
}

static PMDL describe(const uint8_t *memory, uint32_t size)
{
	PMDL mdl = IoAllocateMdl((void *)(uintptr_t)memory, size, FALSE, FALSE, NULL);

	MmBuildMdlForNonPagedPool(mdl);
	return mdl;
}

static VOID completed(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 length);

static void send_packet(struct driver *d, struct netvsc_output *out)
{
	VMBPACKET packet = VmbPacketAllocate(d->vmb);
	struct flight *flight = NULL;

	if (out->completion) {
		flight = calloc(1, sizeof(*flight));
		flight->driver = d;
		flight->id = out->id;
		flight->mdl = out->data ? describe(out->data, out->data_length) : NULL;
		VmbPacketSetPointer(packet, flight);
		VmbPacketSetCompletionRoutine(packet, completed);
	}
	if (!NT_SUCCESS(VmbPacketSend(packet, &out->message, out->size, flight ? flight->mdl : NULL,
	                              flight ? VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION : 0)))
		abort();
}

static void go_on_locked(struct driver *d)
{
	struct rndis_client_request *r;
	struct netvsc_output out;
	struct netvsc_frame *f;

	while (netvsc_machine_next(&d->machine, &out))
		send_packet(d, &out);
	while ((f = netvsc_machine_sent(&d->machine))) {
		d->sent += f->result == NETVSC_DONE;
		d->refused += f->result != NETVSC_DONE;
	}
	while ((r = netvsc_machine_answered(&d->machine)))
		d->answered = r;
	d->wrong += d->machine.fault.what != NULL;
	if (d->machine.fault.what)
		print_message("# %s: %llu, not %llu\n", d->machine.fault.what,
		              (unsigned long long)d->machine.fault.actual,
		              (unsigned long long)d->machine.fault.expected);
	d->machine.fault.what = NULL;
}

static VOID completed(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 length)
{
	struct flight *flight = VmbPacketGetPointer(packet);
	struct driver *d = flight->driver;
	KIRQL irql;

	VmbPacketFree(packet);
	if (flight->mdl)
		IoFreeMdl(flight->mdl);
	KeAcquireSpinLock(&d->lock, &irql);
	if (NT_SUCCESS(status))
		netvsc_machine_completed(&d->machine, flight->id, buffer, length);
	else
		netvsc_machine_lost(&d->machine, flight->id);
	go_on_locked(d);
	KeReleaseSpinLock(&d->lock, irql);
	free(flight);
}

static void take_frames_locked(struct driver *d, struct netvsc_incoming *in)
{
	struct rndis_client_frame frame;

	while (netvsc_machine_frame(&d->machine, in, &frame)) {
		d->length = frame.length < sizeof(d->last) ? frame.length : sizeof(d->last);
		memcpy(d->last, frame.data, d->length);
		d->received++;
	}
}

static VOID process_packet(VMBCHANNEL vmb, VMBPACKETCOMPLETION completion, PVOID buffer,
                           UINT32 length, UINT32 flags)
{
	struct driver *d = VmbChannelGetPointer(vmb);
	const struct kmcl_transfer_range *ranges;
	uint8_t answer[NETVSC_COMPLETION_BYTES];
	struct netvsc_incoming in;
	uint32_t count;
	uint16_t set;
	bool transfer;
	KIRQL irql;

	transfer = NT_SUCCESS(kmcl_packet_get_transfer_pages(completion, &set, &ranges, &count));
	KeAcquireSpinLock(&d->lock, &irql);
	if (!transfer)
		netvsc_machine_said(&d->machine, buffer, length);
	else if (netvsc_machine_received(&d->machine, &in, set, ranges, count, buffer, length))
		take_frames_locked(d, &in);
	go_on_locked(d);
	KeReleaseSpinLock(&d->lock, irql);
	netvsc_machine_completion(answer);
	VmbChannelPacketComplete(completion, transfer ? answer : NULL,
	                         transfer ? sizeof(answer) : 0);
}

static uint32_t share(struct driver *d, uint8_t *memory, uint32_t size)
{
	PMDL mdl = describe(memory, size);
	UINT32 gpadl;

	if (!NT_SUCCESS(VmbChannelCreateGpadlFromMdl(d->vmb, 0, mdl, 0, 0, &gpadl)))
		abort();
	IoFreeMdl(mdl);
	return gpadl;
}

static VOID post_started(VMBCHANNEL vmb)
{
	struct driver *d = VmbChannelGetPointer(vmb);
	KIRQL irql;
	uint32_t receive = share(d, d->receive, RECEIVE), send = share(d, d->send, SEND);

	KeAcquireSpinLock(&d->lock, &irql);
	d->gpadls[0] = receive;
	d->gpadls[1] = send;
	netvsc_machine_open(&d->machine, d->gpadls[0], d->gpadls[1]);
	go_on_locked(d);
	KeReleaseSpinLock(&d->lock, irql);
}

static VOID pnp_failure(VMBCHANNEL vmb, NTSTATUS status)
{
	VmbChannelEnable(vmb);
}

static VOID suspended(VMBCHANNEL vmb)
{
	struct driver *d = VmbChannelGetPointer(vmb);
	KIRQL irql;

	KeAcquireSpinLock(&d->lock, &irql);
	netvsc_machine_close(&d->machine);
	go_on_locked(d);
	KeReleaseSpinLock(&d->lock, irql);
}

static VOID closed(VMBCHANNEL vmb)
{
	struct driver *d = VmbChannelGetPointer(vmb);

	VmbChannelDeleteGpadl(vmb, d->gpadls[0]);
	VmbChannelDeleteGpadl(vmb, d->gpadls[1]);
}

static void driver_open(struct driver *d, PDEVICE_OBJECT bus, uint32_t version_max)
{
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS callbacks;
	struct netvsc_machine_options options = { .version_max = version_max };

	memset(d, 0, sizeof(*d));
	KeInitializeSpinLock(&d->lock);
	options.receive = d->receive = pool(RECEIVE);
	options.send = d->send = pool(SEND);
	options.control = d->control = pool(NETVSC_CONTROL_BYTES);
	options.receive_size = RECEIVE;
	options.send_size = SEND;
	netvsc_machine_init(&d->machine, &options, d->slots, DEPTH);
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(&callbacks);
	callbacks.EvtChannelPostStarted = post_started;
	callbacks.EvtChannelSuspend = suspended;
	callbacks.EvtChannelClosed = closed;
	assert_int_equal(VmbChannelAllocate(bus, FALSE, &d->vmb), 0);
	VmbChannelSetPointer(d->vmb, d);
	assert_int_equal(VmbChannelInitSetStateChangeCallbacks(d->vmb, &callbacks), 0);
	assert_int_equal(VmbChannelInitSetProcessPacketCallbacks(d->vmb, process_packet, NULL), 0);
	assert_int_equal(VmbChannelInitSetMaximumPacketSize(d->vmb, 256), 0);
	assert_int_equal(VmbChannelInitSetMaximumExternalData(d->vmb, 4096, 1), 0);
	assert_int_equal(VmbClientChannelInitSetRingBufferPageCount(d->vmb, 16, 16), 0);
	assert_int_equal(VmbClientChannelInitSetTargetPnp(d->vmb, &type, &instance, pnp_failure),
	                 0);
	assert_int_equal(VmbChannelEnable(d->vmb), 0);
}

static void driver_close(struct driver *d)
{
	VmbChannelDisable(d->vmb);
	VmbChannelCleanup(d->vmb);
	d->vmb = NULL;
	ExFreePoolWithTag(d->receive, TAG);
	ExFreePoolWithTag(d->send, TAG);
	ExFreePoolWithTag(d->control, TAG);
	assert_int_equal(d->wrong, 0);
}

/* A copy of what the driver's threads change. */
struct seen {
	enum netvsc_state state;
	bool link_up;
	uint32_t sent, refused;
	struct rndis_client_request *answered;
	uint8_t last[FRAME + 4];
	uint32_t length, received;
};

static struct seen look(struct driver *d)
{
	struct seen seen;
	KIRQL irql;

	KeAcquireSpinLock(&d->lock, &irql);
	seen.state = d->machine.state;
	seen.link_up = d->machine.link_up;
	seen.sent = d->sent;
	seen.refused = d->refused;
	seen.answered = d->answered;
	seen.length = d->length;
	seen.received = d->received;
	memcpy(seen.last, d->last, sizeof(seen.last));
	KeReleaseSpinLock(&d->lock, irql);
	return seen;
}

static void submit(struct driver *d, struct netvsc_frame *frame,
                   struct rndis_client_request *request)
{
	KIRQL irql;

	KeAcquireSpinLock(&d->lock, &irql);
	if (frame)
		netvsc_machine_send(&d->machine, frame);
	if (request)
		netvsc_machine_ask(&d->machine, request);
	go_on_locked(d);
	KeReleaseSpinLock(&d->lock, irql);
}

/* ---- both ends ---- */

struct fixture {
	char uri[128];
	HANDLE vmbus;
	PDEVICE_OBJECT bus;
	struct plug plug;
	struct kmcl_net *host;
	struct driver driver;
};

static int setup(void **state)
{
	static unsigned int number;
	struct fixture *f = calloc(1, sizeof(*f));
	struct kmcl_net_options options = { .size = sizeof(options),
		                            .instance = kmcl_guid_of_nt(instance),
		                            .backend = &f->plug.backend };

	*state = f;
	f->plug.backend.ops = &plug_ops;
	pthread_mutex_init(&f->plug.lock, NULL);
	memcpy(options.address, own, sizeof(own));
	snprintf(f->uri, sizeof(f->uri), uri_pattern, getpid(), number++);
	return NT_SUCCESS(kmcl_host_open(f->uri, &f->vmbus)) &&
	                       NT_SUCCESS(kmcl_guest_open(f->uri, &f->bus)) &&
	                       !kmcl_net_create(kmcl_host_of_handle(f->vmbus), &options, &f->host)
	               ? 0
	               : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->driver.vmb) /* the test failed: that is to be read */
		driver_close(&f->driver);
	kmcl_net_destroy(f->host);
	kmcl_guest_close(f->bus);
	ZwClose(f->vmbus);
	pthread_mutex_destroy(&f->plug.lock);
	free(f);
	return 0;
}

static struct kmcl_net_statistics statistics(struct fixture *f)
{
	struct kmcl_net_statistics s = { .size = sizeof(s) };

	assert_int_equal(kmcl_net_get_statistics(f->host, &s), 0);
	return s;
}

static void open_driver(struct fixture *f, uint32_t version_max)
{
	driver_open(&f->driver, f->bus, version_max);
	WAIT_FOR(look(&f->driver).state >= NETVSC_READY);
	assert_int_equal(look(&f->driver).state, NETVSC_READY);
	assert_memory_equal(f->driver.machine.address, own, sizeof(own));
	assert_int_equal(f->driver.machine.mtu, 1500);
	assert_true(look(&f->driver).link_up);
}

static void stop_driver(struct fixture *f)
{
	struct driver *d = &f->driver;
	KIRQL irql;

	KeAcquireSpinLock(&d->lock, &irql);
	netvsc_machine_stop(&d->machine);
	go_on_locked(d);
	KeReleaseSpinLock(&d->lock, irql);
	WAIT_FOR(look(d).state == NETVSC_STOPPED);
	driver_close(d);
	assert_int_equal(statistics(f).refused, 0); /* the host had nothing to object to */
}

/* Frames of this length, copied and by reference, as the outside sees them. */
static void send_some(struct fixture *f, uint32_t length)
{
	uint8_t *memory = pool(4096);
	uint32_t i, before = f->plug.count, sent = look(&f->driver).sent;

	for (i = 0; i < 4; i++) {
		struct netvsc_frame frame = { .data = memory,
			                      .length = length,
			                      .by_reference = i & 1 };

		memset(memory, (int)(length + i), length);
		memory[0] = 0x02;
		submit(&f->driver, &frame, NULL);
		WAIT_FOR(look(&f->driver).sent == sent + i + 1);
		WAIT_FOR(f->plug.count == before + i + 1);
		pthread_mutex_lock(&f->plug.lock);
		assert_int_equal(f->plug.length, length);
		assert_memory_equal(f->plug.last, memory, length);
		pthread_mutex_unlock(&f->plug.lock);
	}
	assert_int_equal(look(&f->driver).refused, 0);
	ExFreePoolWithTag(memory, TAG);
}

static void receive_some(struct fixture *f, uint32_t length)
{
	struct kmcl_net_received frame = { .length = length };
	uint8_t bytes[FRAME];
	uint32_t i;

	for (i = 0; i < 100; i++) { /* more than there are slots: each is given back */
		memset(bytes, (int)(length + i), length);
		memcpy(bytes, own, sizeof(own));
		frame.data = bytes;
		/* What the driver gave back the host may not have heard of. */
		WAIT_FOR(f->plug.port->ops->receive(f->plug.port, &frame) == KMCL_NET_DONE);
		f->plug.port->ops->flush(f->plug.port);
		WAIT_FOR(look(&f->driver).received == i + 1);
		assert_int_equal(look(&f->driver).length, length);
		assert_memory_equal(look(&f->driver).last, bytes, length);
	}
}

static void frames_go_and_come(void **state)
{
	struct fixture *f = *state;

	open_driver(f, 0);
	send_some(f, 60);
	send_some(f, 1514);
	receive_some(f, 1514);
	assert_int_equal(statistics(f).version, NVSP_VERSION_61);
	stop_driver(f);
}

static void so_they_do_with_each_version(void **state)
{
	static const uint32_t versions[] = { NVSP_VERSION_6, NVSP_VERSION_5, NVSP_VERSION_4,
		                             NVSP_VERSION_2, NVSP_VERSION_1 };
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		open_driver(f, versions[i]);
		assert_int_equal(f->driver.machine.version, versions[i]);
		send_some(f, 600);
		receive_some(f, 60);
		stop_driver(f);
	}
}

static void the_link_and_oids(void **state)
{
	struct rndis_client_request speed = { .type = RNDIS_QUERY, .oid = OID_GEN_LINK_SPEED };
	struct rndis_client_request none = { .type = RNDIS_QUERY, .oid = 0x7f000001 };
	struct fixture *f = *state;
	uint32_t units;

	open_driver(f, 0);
	kmcl_net_set_link(f->host, false);
	WAIT_FOR(!look(&f->driver).link_up);
	kmcl_net_set_link(f->host, true);
	WAIT_FOR(look(&f->driver).link_up);
	submit(&f->driver, NULL, &speed);
	WAIT_FOR(look(&f->driver).answered == &speed);
	assert_true(rndis_client_succeeded(&speed));
	memcpy(&units, speed.data, sizeof(units));
	assert_int_equal(units, 100000000); /* of 100 bit/s */
	submit(&f->driver, NULL, &none);
	WAIT_FOR(look(&f->driver).answered == &none);
	assert_int_equal(none.result, RNDIS_CLIENT_DONE);
	assert_int_equal(none.status, RNDIS_STATUS_NOT_SUPPORTED);
	stop_driver(f);
}

/* The adapter is withdrawn with the driver at work. */
static void it_ends_with_its_channel(void **state)
{
	struct fixture *f = *state;
	struct netvsc_frame frame = { .data = own, .length = 60 };

	open_driver(f, 0);
	kmcl_net_destroy(f->host);
	f->host = NULL;
	WAIT_FOR(look(&f->driver).state == NETVSC_CLOSED);
	submit(&f->driver, &frame, NULL);
	assert_int_equal(frame.result, NETVSC_REMOVED);
	driver_close(&f->driver);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(frames_go_and_come),
		TEST(so_they_do_with_each_version),
		TEST(the_link_and_oids),
		TEST(it_ends_with_its_channel),
	};

	if (argc > 1)
		uri_pattern = temporary_uri(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
