/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * kmcl/kvm.h in the hands of a monitor that does it wrong, and what it counts. KVM is a stand-in
 * here: ioctl() says what KVM would, and records what it was asked.
 */

#include "partition/partition.h"

#include <kmcl/kvm.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define MEMORY      (1u << 20)
#define PAGE        4096u
#define VCPUS       3u
#define PATIENCE_MS 20000u

/* ---- KVM ---- */

static struct {
	int vm, vcpus[VCPUS];
	uint32_t vp_index[VCPUS];
	bool lacks_synic, lacks_irqchip, unnamed;
	bool routes_set;
	uint32_t routes; /* to synthetic interrupts, as the table has them */
	uint32_t eventfds, irqfds;
} kvm;

static int processor_of(int fd)
{
	for (uint32_t i = 0; i < VCPUS; i++)
		if (kvm.vcpus[i] == fd)
			return (int)i;
	return -1;
}

static int fail_with(int error)
{
	errno = error;
	return -1;
}

static int set_routing(const struct kvm_irq_routing *table)
{
	kvm.routes_set = true;
	kvm.routes = 0;
	for (uint32_t i = 0; i < table->nr; i++)
		kvm.routes += table->entries[i].type == KVM_IRQ_ROUTING_HV_SINT;
	return 0;
}

static int get_leaves(struct kvm_cpuid2 *leaves, uint32_t ebx)
{
	if (leaves->nent < 2)
		return fail_with(E2BIG);
	leaves->nent = 2;
	leaves->entries[0] =
		(struct kvm_cpuid_entry2){ .function = 0x40000000, .ebx = ebx, .eax = 0x40000005 };
	leaves->entries[1] = (struct kvm_cpuid_entry2){ .function = 0x40000001 };
	return 0;
}

int __wrap_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, void *argument)
{
	int vcpu = processor_of(fd);

	switch (request) {
	case KVM_CHECK_EXTENSION:
		return !kvm.lacks_synic;
	case KVM_GET_IRQCHIP:
		return kvm.lacks_irqchip ? fail_with(ENXIO) : 0;
	case KVM_ENABLE_CAP:
		return vcpu < 0 ? fail_with(EBADF) : 0;
	case KVM_GET_MSRS:
		((struct kvm_msrs *)argument)->entries[0].data = kvm.vp_index[vcpu];
		return 1;
	case KVM_SET_GSI_ROUTING:
		return set_routing(argument);
	case KVM_IRQ_LINE_STATUS:
		((struct kvm_irq_level *)argument)->status = kvm.routes ? 1 : -1;
		return 0;
	case KVM_HYPERV_EVENTFD:
		kvm.eventfds++;
		return 0;
	case KVM_IRQFD:
		kvm.irqfds++;
		return 0;
	case KVM_GET_SUPPORTED_HV_CPUID:
		return get_leaves(argument, 0);
	case KVM_GET_CPUID2:
		return get_leaves(argument, kvm.unnamed ? 0x4b4d564b : 0x7263694d);
	default:
		return fail_with(ENOTTY);
	}
}

/* ---- a monitor, and its host ---- */

static struct kmcl_kvm *bus;
static uint8_t *memory;
static struct partition *host;
static _Atomic(uint32_t) messages, came, gone;
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char log_text[2000];
static uint32_t log_lines;

static void on_message(void *context, uint32_t id, const void *payload, size_t size)
{
	atomic_fetch_add(&messages, 1);
}

static void on_writable(void *context)
{
}

static void on_presence(void *context, enum partition_presence what)
{
	atomic_store(&came, what == PARTITION_CAME);
	atomic_fetch_add(&gone, what != PARTITION_CAME);
}

static void on_log(void *context, int level, const char *text)
{
	pthread_mutex_lock(&log_lock);
	log_lines++;
	strncat(log_text, text, sizeof(log_text) - strlen(log_text) - 1);
	pthread_mutex_unlock(&log_lock);
}

static void open_host(void)
{
	struct partition_settings settings = {
		.end = PARTITION_HOST,
		.upcalls = { on_message, on_writable, on_presence, on_log },
		.message_id_max = 4,
	};
	char why[200];

	assert_int_equal(partition_open("kvm:test", &settings, &host, why, sizeof(why)), 0);
}

static struct kmcl_kvm_options options(void)
{
	return (struct kmcl_kvm_options){
		.size = sizeof(struct kmcl_kvm_options),
		.vm = kvm.vm,
		.name = "test",
		.first_gsi = 24,
	};
}

static int set_up(void **state)
{
	memset(&kvm, 0, sizeof(kvm));
	kvm.vm = eventfd(0, EFD_CLOEXEC);
	for (uint32_t i = 0; i < VCPUS; i++) {
		kvm.vcpus[i] = eventfd(0, EFD_CLOEXEC);
		kvm.vp_index[i] = i;
	}
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	bus = NULL;
	host = NULL;
	atomic_store(&messages, 0);
	atomic_store(&came, 0);
	atomic_store(&gone, 0);
	log_text[0] = 0;
	log_lines = 0;
	return 0;
}

static int tear_down(void **state)
{
	kmcl_kvm_destroy(bus);
	if (host)
		partition_close(host);
	munmap(memory, MEMORY);
	close(kvm.vm);
	for (uint32_t i = 0; i < VCPUS; i++)
		close(kvm.vcpus[i]);
	return 0;
}

static void create(void)
{
	struct kmcl_kvm_options o = options();

	assert_int_equal(kmcl_kvm_create(&o, &bus), 0);
}

static void complete(void)
{
	create();
	assert_int_equal(kmcl_kvm_add_memory(bus, 0, MEMORY, memory, -1, 0), 0);
	assert_int_equal(kmcl_kvm_add_processor(bus, 0, kvm.vcpus[0]), 0);
}

#define wait_until(condition)                                                      \
	do {                                                                       \
		for (uint32_t ms_ = 0; !(condition); ms_++) {                      \
			if (ms_ == PATIENCE_MS)                                    \
				fail_msg("waited in vain for %s", #condition);     \
			nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL); \
		}                                                                  \
	} while (0)

/* ---- what a guest does ---- */

#define MESSAGE_PAGE 0x2000u
#define EVENT_PAGE   0x3000u
#define INPUT        0x4000u
#define SINT         2u

static void synic(uint64_t message_page, uint64_t event_page)
{
	struct kvm_run run = { .exit_reason = KVM_EXIT_HYPERV };

	run.hyperv.type = KVM_EXIT_HYPERV_SYNIC;
	run.hyperv.u.synic.control = 1;
	run.hyperv.u.synic.msg_page = message_page | 1;
	run.hyperv.u.synic.evt_page = event_page | 1;
	assert_true(kmcl_kvm_exit(bus, 0, &run));
}

static uint64_t post(uint64_t gpa)
{
	struct kvm_run run = { .exit_reason = KVM_EXIT_HYPERV };
	const uint32_t input[] = { 1, 0, 1, 8, 14, 0 };

	memcpy(memory + INPUT, input, sizeof(input));
	run.hyperv.type = KVM_EXIT_HYPERV_HCALL;
	run.hyperv.u.hcall.input = 0x5c;
	run.hyperv.u.hcall.params[0] = gpa;
	assert_true(kmcl_kvm_exit(bus, 0, &run));
	return run.hyperv.u.hcall.result;
}

static struct kmcl_kvm_statistics statistics(void)
{
	struct kmcl_kvm_statistics s = { 0 };

	assert_int_equal(kmcl_kvm_get_statistics(bus, &s), -EINVAL);
	s.size = sizeof(s);
	assert_int_equal(kmcl_kvm_get_statistics(bus, &s), 0);
	return s;
}

/* ---- tests ---- */

/* covers: kmcl_kvm_create, kmcl_kvm_destroy */
static void test_options_that_make_no_sense(void **state)
{
	static const uint32_t bad_gsi[] = { 0, 3, 23, 3073, 4096, 5000, 100000, UINT32_MAX };
	struct {
		struct kmcl_kvm_options known;
		uint64_t more;
	} newer = { .known = options() };
	struct kmcl_kvm_options o = options();

	assert_int_equal(kmcl_kvm_create(NULL, &bus), -EINVAL);
	assert_int_equal(kmcl_kvm_create(&o, NULL), -EINVAL);
	for (uint32_t i = 0; i < sizeof(bad_gsi) / sizeof(bad_gsi[0]); i++) {
		o.first_gsi = bad_gsi[i];
		assert_int_equal(kmcl_kvm_create(&o, &bus), -EINVAL);
		assert_null(bus);
	}
	o = options();
	o.name = "";
	assert_int_equal(kmcl_kvm_create(&o, &bus), -EINVAL);
	o.name = NULL;
	assert_int_equal(kmcl_kvm_create(&o, &bus), -EINVAL);
	o = options();
	o.vm = -1;
	assert_int_equal(kmcl_kvm_create(&o, &bus), -EINVAL);
	o = options();
	o.size = 0;
	assert_int_equal(kmcl_kvm_create(&o, &bus), -EINVAL);
	newer.known.size = sizeof(newer);
	newer.more = 1;
	assert_int_equal(kmcl_kvm_create(&newer.known, &bus), -E2BIG);
	newer.more = 0;
	assert_int_equal(kmcl_kvm_create(&newer.known, &bus), 0);
	kmcl_kvm_destroy(bus);
	bus = NULL;
	o = options();
	o.first_gsi = 3072;
	assert_int_equal(kmcl_kvm_create(&o, &bus), 0);
}

static void test_a_kvm_that_cannot(void **state)
{
	struct kmcl_kvm_options o = options();

	kvm.lacks_irqchip = true;
	assert_int_equal(kmcl_kvm_create(&o, &bus), -ENXIO);
	kvm.lacks_synic = true;
	assert_int_equal(kmcl_kvm_create(&o, &bus), -ENOTSUP);
	kmcl_kvm_destroy(NULL);
}

/* covers: kmcl_kvm_add_memory */
static void test_memory_that_is_none(void **state)
{
	create();
	assert_int_equal(kmcl_kvm_add_memory(bus, 0, PAGE, NULL, -1, 0), -EINVAL);
	assert_int_equal(kmcl_kvm_add_memory(bus, 0, 0, memory, -1, 0), -EINVAL);
	assert_int_equal(kmcl_kvm_add_memory(bus, 1, PAGE, memory, -1, 0), -EINVAL);
	assert_int_equal(kmcl_kvm_add_memory(bus, 0, PAGE + 1, memory, -1, 0), -EINVAL);
	assert_int_equal(kmcl_kvm_add_memory(bus, 0, PAGE, memory + 1, -1, 0), -EINVAL);
	assert_int_equal(kmcl_kvm_add_memory(bus, 0, PAGE, memory, -1, 1), -EINVAL);
	assert_int_equal(kmcl_kvm_add_memory(bus, -(uint64_t)PAGE, 2 * PAGE, memory, -1, 0),
	                 -EINVAL);
	assert_int_equal(kmcl_kvm_add_memory(bus, 0, -(uint64_t)PAGE, memory, -1, 0), -EINVAL);
	assert_int_equal(kmcl_kvm_add_memory(bus, 2 * PAGE, 2 * PAGE, memory, -1, 0), 0);
	assert_int_equal(kmcl_kvm_add_memory(bus, 3 * PAGE, PAGE, memory, -1, 0), -EEXIST);
	assert_int_equal(kmcl_kvm_add_memory(bus, 0, 3 * PAGE, memory, -1, 0), -EEXIST);
	kmcl_kvm_start(bus);
	assert_int_equal(kmcl_kvm_add_memory(bus, 8 * PAGE, PAGE, memory, -1, 0), -EBUSY);
}

/* covers: kmcl_kvm_add_processor */
static void test_processors_that_are_others(void **state)
{
	create();
	assert_int_equal(kmcl_kvm_add_processor(bus, 0, -1), -EINVAL);
	assert_int_equal(kmcl_kvm_add_processor(bus, KMCL_KVM_PROCESSORS_MAX, kvm.vcpus[0]),
	                 -EINVAL);
	assert_int_equal(kmcl_kvm_add_processor(bus, 1, kvm.vcpus[0]), -EINVAL);
	assert_int_equal(kmcl_kvm_add_processor(bus, 1, kvm.vcpus[1]), 0);
	assert_int_equal(kmcl_kvm_add_processor(bus, 1, kvm.vcpus[1]), -EEXIST);
	assert_int_equal(kmcl_kvm_add_processor(bus, 0, kvm.vm), -EBADF);
	kmcl_kvm_start(bus);
	assert_int_equal(kmcl_kvm_add_processor(bus, 0, kvm.vcpus[0]), -EBUSY);
}

/* covers: kmcl_kvm_cpuid */
static void test_leaves_that_are_too_many(void **state)
{
	union {
		struct kvm_cpuid2 table;
		uint8_t room[sizeof(struct kvm_cpuid2) + 4 * sizeof(struct kvm_cpuid_entry2)];
	} leaves = { .table.nent = 3 };

	assert_int_equal(kmcl_kvm_cpuid(kvm.vcpus[0], NULL, 4), -EINVAL);
	assert_int_equal(kmcl_kvm_cpuid(kvm.vcpus[0], &leaves.table, 2), -EINVAL);
	assert_int_equal(leaves.table.nent, 3);
	assert_int_equal(kmcl_kvm_cpuid(kvm.vcpus[0], &leaves.table, 4), -E2BIG);
	leaves.table.nent = 2;
	assert_int_equal(kmcl_kvm_cpuid(kvm.vcpus[0], &leaves.table, 4), 0);
	assert_int_equal(leaves.table.nent, 4);
}

static void test_leaf_1_tells_of_a_hypervisor(void **state)
{
	union {
		struct kvm_cpuid2 table;
		uint8_t room[sizeof(struct kvm_cpuid2) + 8 * sizeof(struct kvm_cpuid_entry2)];
	} leaves = { .table.nent = 2 };

	leaves.table.entries[0] = (struct kvm_cpuid_entry2){ .function = 1, .ecx = 1 };
	leaves.table.entries[1] = (struct kvm_cpuid_entry2){ .function = 7, .ecx = 1 };
	assert_int_equal(kmcl_kvm_cpuid(kvm.vcpus[0], &leaves.table, 8), 0);
	assert_int_equal(leaves.table.entries[0].ecx, 1u << 31 | 1);
	assert_int_equal(leaves.table.entries[1].ecx, 1);
}

static void lacks(const char *what)
{
	char why[600];

	assert_int_equal(kmcl_kvm_check(bus, why, sizeof(why)), -EAGAIN);
	if (!strstr(why, what))
		fail_msg("\"%s\" is not in: %s", what, why);
}

/* covers: kmcl_kvm_check, kmcl_kvm_start */
static void test_what_is_missing(void **state)
{
	char why[600] = "?", small[8];

	create();
	kvm.unnamed = true;
	lacks("kmcl_kvm_add_memory()");
	lacks("kmcl_kvm_add_processor()");
	lacks("kmcl_host_open()");
	lacks("kmcl_kvm_start()");
	assert_int_equal(kmcl_kvm_check(bus, small, sizeof(small)), -EAGAIN);
	assert_string_equal(small, "kmcl_kv");
	assert_int_equal(kmcl_kvm_check(bus, small, 0), -EAGAIN);
	assert_int_equal(kmcl_kvm_add_memory(bus, 0, MEMORY, memory, -1, 0), 0);
	assert_int_equal(kmcl_kvm_add_processor(bus, 2, kvm.vcpus[2]), 0);
	open_host();
	assert_int_equal(kmcl_kvm_check(bus, why, sizeof(why)), -EAGAIN);
	assert_string_equal(why, "kmcl_kvm_cpuid(): the leaves that KVM_SET_CPUID2 has given "
	                         "processor 2 do not name Hyper-V; kmcl_kvm_start(): it was not "
	                         "called");
	kvm.unnamed = false;
	assert_int_equal(kmcl_kvm_check(bus, why, sizeof(why)), -EAGAIN);
	assert_string_equal(why, "kmcl_kvm_start(): it was not called");
	kmcl_kvm_start(bus);
	assert_int_equal(kmcl_kvm_check(bus, why, sizeof(why)), 0);
	assert_string_equal(why, "");
}

/* One line in the log, however often the guest tries. */
static void said(const char *what)
{
	pthread_mutex_lock(&log_lock);
	if (log_lines != 1 || !strstr(log_text, what))
		fail_msg("%u lines, not one of %s: %s", log_lines, what, log_text);
	log_lines = 0;
	log_text[0] = 0;
	pthread_mutex_unlock(&log_lock);
}

static void test_a_start_that_was_forgotten(void **state)
{
	complete();
	open_host();
	for (int i = 0; i < 3; i++)
		assert_int_equal(post(INPUT), 0x12);
	said("kmcl_kvm_start()");
}

static void test_memory_that_was_forgotten(void **state)
{
	create();
	open_host();
	assert_int_equal(kmcl_kvm_add_processor(bus, 0, kvm.vcpus[0]), 0);
	kmcl_kvm_start(bus);
	wait_until(came);
	synic(MESSAGE_PAGE, EVENT_PAGE);
	assert_int_equal(post(INPUT), 5);
	said("kmcl_kvm_add_memory()");
}

/* Nobody is there to hear it: standard error. */
static void test_a_host_that_was_forgotten(void **state)
{
	int saved = dup(2), pipes[2];
	char line[200] = "";

	complete();
	kmcl_kvm_start(bus);
	assert_int_equal(pipe(pipes), 0);
	dup2(pipes[1], 2);
	for (int i = 0; i < 3; i++)
		assert_int_equal(post(INPUT), 0x12);
	dup2(saved, 2);
	close(saved);
	close(pipes[1]);
	assert_true(read(pipes[0], line, sizeof(line) - 1) > 0);
	close(pipes[0]);
	assert_string_equal(line, "kmcl: kvm:test: the guest looks for a host, but none has opened "
	                          "kvm:test\n");
}

static int sets_nothing(void *context, const struct kvm_irq_routing_entry *routes, uint32_t count)
{
	return 0;
}

static int sets_all(void *context, const struct kvm_irq_routing_entry *routes, uint32_t count)
{
	kvm.routes = count;
	return 0;
}

static void with_routes(int (*set_routes)(void *context, const struct kvm_irq_routing_entry *routes,
                                          uint32_t count))
{
	struct partition_address to = { .vp = 0, .sint = SINT };
	struct kmcl_kvm_options o = options();

	o.set_routes = set_routes;
	assert_int_equal(kmcl_kvm_create(&o, &bus), 0);
	assert_int_equal(kmcl_kvm_add_memory(bus, 0, MEMORY, memory, -1, 0), 0);
	assert_int_equal(kmcl_kvm_add_processor(bus, 0, kvm.vcpus[0]), 0);
	kmcl_kvm_start(bus);
	wait_until(came);
	synic(MESSAGE_PAGE, EVENT_PAGE);
	assert_int_equal(partition_post(host, to, "answer", 6), 0);
	assert_int_equal(partition_post(host, to, "answer", 6), 0);
}

static void test_routes_that_are_not_set(void **state)
{
	open_host();
	with_routes(sets_nothing);
	said("set_routes()");
	kmcl_kvm_destroy(bus);
	wait_until(!came);
	with_routes(sets_all);
	assert_int_equal(log_lines, 0);
	assert_false(kvm.routes_set);
}

/* The host learns that the guest went and came, and its pages are not written to any more. */
/* covers: kmcl_kvm_reset */
static void test_a_guest_that_begins_anew(void **state)
{
	struct partition_address to = { .id = 70, .vp = 0, .sint = SINT };
	uint32_t *slot = (uint32_t *)(memory + MESSAGE_PAGE + SINT * 256);

	complete();
	open_host();
	kmcl_kvm_start(bus);
	wait_until(came);
	assert_int_equal(gone, 0);
	synic(MESSAGE_PAGE, EVENT_PAGE);
	*slot = 0;
	kmcl_kvm_reset(bus);
	wait_until(came && gone == 1);
	partition_post(host, to, "answer", 6);
	assert_int_equal(*slot, 0);
	synic(MESSAGE_PAGE, EVENT_PAGE);
	assert_int_equal(post(INPUT), 0);
	wait_until(messages == 1);
	assert_int_equal(partition_post(host, to, "answer", 6), 0);
	assert_int_equal(*slot, 1);
}

/* covers: kmcl_kvm_get_statistics, kmcl_kvm_exit */
static void test_what_is_counted(void **state)
{
	struct partition_address to = { .id = 70, .vp = 0, .sint = SINT };
	uint32_t *slot = (uint32_t *)(memory + MESSAGE_PAGE + SINT * 256);
	struct partition_link *link;

	complete();
	open_host();
	kmcl_kvm_start(bus);
	wait_until(came);
	synic(MESSAGE_PAGE, EVENT_PAGE);
	assert_int_equal(statistics().exits, 1);
	assert_int_equal(post(INPUT), 0);
	assert_int_equal(post(MEMORY), 5);
	wait_until(messages == 1);
	assert_int_equal(statistics().exits, 3);
	assert_int_equal(statistics().messages_in, 1);
	assert_int_equal(statistics().refused, 1);
	assert_int_equal(partition_post(host, to, "answer", 6), 0);
	assert_int_equal(statistics().messages_out, 1);
	assert_int_equal(statistics().messages_waited, 0);
	assert_int_equal(*slot, 1);
	assert_int_equal(partition_post(host, to, "answer", 6), 0);
	assert_int_equal(statistics().messages_waited, 1);
	*slot = 0;
	synic(MESSAGE_PAGE, EVENT_PAGE); /* looks there again */
	assert_int_equal(statistics().messages_out, 2);
	assert_int_equal(partition_connect(host, to, &link), 0);
	partition_signal(link);
	assert_int_equal(statistics().events_out, 1);
	assert_int_equal(memory[EVENT_PAGE + SINT * 256 + 70 / 8], 1 << 70 % 8);
	partition_signal(link); /* the guest has not looked yet */
	assert_int_equal(statistics().events_out, 1);
	memory[EVENT_PAGE + SINT * 256 + 70 / 8] = 0;
	partition_signal(link);
	assert_int_equal(statistics().events_out, 2);
	partition_disconnect(link);
	assert_true(kvm.irqfds > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_options_that_make_no_sense, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_kvm_that_cannot, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_memory_that_is_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_processors_that_are_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_leaves_that_are_too_many, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_leaf_1_tells_of_a_hypervisor, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_missing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_start_that_was_forgotten, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_memory_that_was_forgotten, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_host_that_was_forgotten, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_routes_that_are_not_set, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_guest_that_begins_anew, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_counted, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("kvm", tests, NULL, NULL);
}
