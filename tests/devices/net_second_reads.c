/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that writes to its send buffer while the network service reads there: at each of the
 * service's accesses in turn, so that what is read a second time is something else. The page is
 * taken away; whoever touches it gets it for one instruction, and from the nth time on it has other
 * contents. What goes out stays inside the message that was sent, and the next one is as ever.
 */
#include "net_guest.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "../temporary.h"

#define SIZE      4096u
#define FRAME     300u
#define TRAP_FLAG 0x100
#define ACCESSES  80u /* more than there are, where one is not a byte of a string instruction */

static const char *uri_pattern = "local:net-second-reads-%d-%u";

/* ---- the page that traps ---- */

static struct {
	uint8_t *page; /* NULL: none traps */
	const uint8_t *then;
	volatile uint32_t accesses, from;
	volatile bool open; /* for one instruction */
} trap;

static void protect(int how)
{
	if (mprotect(trap.page, SIZE, how) != 0)
		abort();
}

/* Functions of signals' handlers, and so is mprotect() on Linux, in fact. */
static void on_access(int number, siginfo_t *info, void *context)
{
	uint8_t *at = info->si_addr;
	ucontext_t *u = context;

	if (!trap.page || at < trap.page || at >= trap.page + SIZE) {
		signal(SIGSEGV, SIG_DFL);
		return;
	}
	protect(PROT_READ | PROT_WRITE);
	if (trap.accesses++ == trap.from)
		memcpy(trap.page, trap.then, SIZE);
	trap.open = true;
	u->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void on_step(int number, siginfo_t *info, void *context)
{
	ucontext_t *u = context;

	u->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
	trap.open = false;
	if (trap.page)
		protect(PROT_NONE);
}

static void handle(int number, void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };

	assert_int_equal(sigaction(number, &action, NULL), 0);
}

/* ---- outside ---- */

struct plug {
	struct kmcl_net_backend backend;
	const uint8_t *message; /* that frames have to be in */
	uint32_t size;
	_Atomic uint32_t count, wrong, last;
};

static bool plug_start(struct kmcl_net_backend *backend, struct kmcl_net_port *port)
{
	return true;
}

/* In the service's thread, which has no signals else. */
static void take_traps(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGSEGV);
	sigaddset(&set, SIGTRAP);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static enum kmcl_net_result plug_send(struct kmcl_net_backend *backend,
                                      const struct kmcl_net_frame *frame, void *request)
{
	struct plug *p = (struct plug *)backend;
	uint32_t total = 0;

	take_traps();
	for (uint32_t i = 0; i < frame->count; i++) {
		const uint8_t *at = frame->iov[i].iov_base;

		total += (uint32_t)frame->iov[i].iov_len;
		if (at >= p->message && at < p->message + SIZE &&
		    at + frame->iov[i].iov_len > p->message + p->size)
			p->wrong++;
	}
	p->wrong += total != frame->length || total > p->size;
	p->last = total;
	p->count++;
	return KMCL_NET_DONE;
}

static void plug_nothing(struct kmcl_net_backend *backend)
{
}

static const struct kmcl_net_backend_ops plug_ops = { "plug",       0,
	                                              plug_start,   plug_send,
	                                              plug_nothing, plug_nothing };

/* ---- both ends ---- */

struct fixture {
	HANDLE vmbus;
	PDEVICE_OBJECT bus;
	struct plug plug;
	struct kmcl_net *host;
	struct net_guest *guest;
};

static const GUID instance = { 0x6e657430, 1, 2, { 3, 4, 5, 6, 7, 8, 9, 10 } };

/* It says of each message what is wrong with it. */
static void say_nothing(void *context, enum kmcl_log_level level, const char *channel,
                        const char *text)
{
}

static void begin(struct fixture *f)
{
	struct kmcl_dispatch_settings settings = { .size = sizeof(settings), .dispatchers = 1 };
	struct kmcl_net_options options = { .size = sizeof(options),
		                            .instance = kmcl_guid_of_nt(instance),
		                            .backend = &f->plug.backend };
	char uri[128];

	memset(f, 0, sizeof(*f));
	kmcl_log_set(say_nothing, NULL, KMCL_LOG_WARNING);
	f->plug.backend.ops = &plug_ops;
	kmcl_dispatch_configure(&settings);
	snprintf(uri, sizeof(uri), uri_pattern, getpid(), 0u);
	assert_int_equal(kmcl_host_open(uri, &f->vmbus), STATUS_SUCCESS);
	assert_int_equal(kmcl_guest_open(uri, &f->bus), STATUS_SUCCESS);
	assert_int_equal(kmcl_net_create(kmcl_host_of_handle(f->vmbus), &options, &f->host), 0);
	f->guest = net_guest_open(f->bus, &instance, &(struct net_guest_options){ 0 });
	net_guest_start(f->guest);
}

static void end(struct fixture *f)
{
	net_guest_close(f->guest);
	kmcl_net_destroy(f->host);
	kmcl_guest_close(f->bus);
	ZwClose(f->vmbus);
}

/* It goes out as it is. */
static void send_good(struct fixture *f, const uint8_t *message, uint32_t size)
{
	uint32_t sent = f->plug.count, done = f->guest->completed;

	f->plug.message = net_guest_section(f->guest, 0);
	f->plug.size = size;
	memcpy(net_guest_section(f->guest, 0), message, size);
	net_guest_send(f->guest, 0, 0, size, NULL, 0);
	net_wait(f->guest->completed == done + 1);
	assert_int_equal(f->guest->last_status, NVSP_STATUS_SUCCESS);
	assert_int_equal(f->plug.count, sent + 1);
	assert_int_equal(f->plug.last, FRAME);
}

/* From the nth access on there is something else; true: there were as many. */
static bool send_changing(struct fixture *f, const uint8_t *message, uint32_t size,
                          const uint8_t *then, uint32_t from)
{
	uint8_t *page = net_guest_section(f->guest, 0);
	uint32_t done = f->guest->completed;

	memcpy(page, message, size);
	trap.then = then;
	trap.accesses = 0;
	trap.from = from;
	trap.page = page;
	protect(PROT_NONE);
	net_guest_send(f->guest, 0, 0, size, NULL, 0);
	net_wait(f->guest->completed == done + 1);
	net_wait(!trap.open);
	protect(PROT_READ | PROT_WRITE);
	trap.page = NULL;
	assert_true(trap.accesses > 1); /* it is read where the trap is */
	assert_int_equal(f->plug.wrong, 0);
	return trap.accesses > from;
}

#define EACH  7u /* words that all of the beginning is */
#define KINDS (EACH + 3)

/* What comes instead: nothing but a word that is a length, an offset and a type; or the same
 * message, with another length of its own, of its frame, or both. */
static void make_other(uint8_t *then, uint32_t kind, const uint8_t *message, uint32_t size)
{
	static const uint32_t words[EACH] = { 0, UINT32_MAX, 0x7fffffff, SIZE, 44, 1, 0x80000000 };
	const uint32_t longer = 2000, frame = 1000;

	memset(then, 0, SIZE);
	memcpy(then, message, size);
	for (uint32_t at = 0; at < 128 && kind < EACH; at += 4)
		memcpy(then + at, &words[kind], 4);
	if (kind >= EACH && kind != EACH + 1)
		memcpy(then + offsetof(struct rndis_header, length), &longer, 4);
	if (kind > EACH)
		memcpy(then + sizeof(struct rndis_header) +
		               offsetof(struct rndis_packet, data_length),
		       &frame, 4);
}

static void what_is_read_is_what_was_checked(void **state)
{
	const struct net_guest_infos infos = { .has_vlan = true,
		                               .has_checksum = true,
		                               .vlan = 0x50 };
	static uint8_t message[SIZE], then[SIZE];
	uint8_t frame[FRAME] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 6 };
	struct fixture f;
	uint32_t size;

	handle(SIGSEGV, on_access);
	handle(SIGTRAP, on_step);
	begin(&f);
	size = net_guest_build(message, NULL, frame, FRAME);
	send_good(&f, message, size);
	for (uint32_t kind = 0; kind < KINDS; kind++) {
		uint32_t from = 0;

		size = net_guest_build(message, kind % 2 ? &infos : NULL, frame, FRAME);
		f.plug.size = size;
		make_other(then, kind, message, size);
		while (from < ACCESSES && send_changing(&f, message, size, then, from))
			from++;
		assert_in_range(from, 2, ACCESSES);
		size = net_guest_build(message, NULL, frame, FRAME);
		send_good(&f, message, size);
	}
	end(&f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_read_is_what_was_checked),
	};

	if (argc > 1)
		uri_pattern = temporary_uri(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
