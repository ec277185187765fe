/* SPDX-License-Identifier: BSD-2-Clause */
/* kmcl/host.h, log.h and options.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <kmcl/echo.h>
#include <kmcl/host.h>
#include <kmcl/log.h>
#include <kmcl/options.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- structures that grow ---- */

struct old {
	uint32_t size;
	uint32_t a;
};

struct newer {
	uint32_t size;
	uint32_t a;
	uint64_t b;
};

/* covers: kmcl_options_take */
static void options_are_taken_as_far_as_they_are_known(void **state)
{
	struct old theirs = { sizeof(theirs), 7 };
	struct newer own, newer_theirs = { sizeof(newer_theirs), 8, 9 };
	struct old old_own;

	memset(&own, 0xff, sizeof(own));
	assert_int_equal(kmcl_options_take(&own, sizeof(own), &theirs), 0);
	assert_int_equal(own.a, 7);
	assert_int_equal(own.b, 0);
	assert_int_equal(own.size, sizeof(own));
	memset(&own, 0xff, sizeof(own));
	assert_int_equal(kmcl_options_take(&own, sizeof(own), NULL), 0);
	assert_int_equal(own.a, 0);
	assert_int_equal(kmcl_options_take(&old_own, sizeof(old_own), &newer_theirs), -E2BIG);
	newer_theirs.b = 0;
	assert_int_equal(kmcl_options_take(&old_own, sizeof(old_own), &newer_theirs), 0);
	assert_int_equal(old_own.a, 8);
	theirs.size = 3;
	assert_int_equal(kmcl_options_take(&own, sizeof(own), &theirs), -EINVAL);
}

/* covers: kmcl_options_give */
static void what_is_told_fits_the_caller(void **state)
{
	struct newer own = { sizeof(own), 1, 2 }, theirs = { sizeof(struct old), 0, 99 };

	assert_int_equal(kmcl_options_give(&theirs, &own, sizeof(own)), 0);
	assert_int_equal(theirs.size, sizeof(struct old));
	assert_int_equal(theirs.a, 1);
	assert_int_equal(theirs.b, 99); /* which an older caller does not have */
	theirs.size = 0;
	assert_int_equal(kmcl_options_give(&theirs, &own, sizeof(own)), -EINVAL);
}

/* ---- identifiers ---- */

/* covers: kmcl_guid_from_name, kmcl_guid_parse */
static void identifiers_are_made_and_read(void **state)
{
	struct kmcl_guid a = kmcl_guid_from_name("disks"), b = kmcl_guid_from_name("disks2"), c;
	static const char *const wrong[] = {
		"",
		"ba6163d9-04a1-4d29-b605-72e2ffb1dc7",
		"ba6163d9-04a1-4d29-b605-72e2ffb1dc7g",
		"{ba6163d9-04a1-4d29-b605-72e2ffb1dc7f",
		"ba6163d9+04a1-4d29-b605-72e2ffb1dc7f",
		"ba6163d9-04a1-4d29-b605-72e2ffb1dc7f0",
		"ba6163d9-04a1-4d29-b605-72e2ffb\xe4\xe4\xe4\xe4\xe4",
	};

	assert_memory_not_equal(&a, &b, sizeof(a));
	b = kmcl_guid_from_name("disks");
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(kmcl_guid_parse("{BA6163D9-04a1-4d29-b605-72e2ffb1dc7f}", &c), 0);
	assert_int_equal(c.data1, 0xba6163d9);
	assert_int_equal(c.data2, 0x04a1);
	assert_int_equal(c.data3, 0x4d29);
	assert_memory_equal(c.data4, "\xb6\x05\x72\xe2\xff\xb1\xdc\x7f", 8);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(kmcl_guid_parse(wrong[i], &c), -EINVAL);
}

/* ---- becoming one end ---- */

static int lines;

static void count_line(void *context, enum kmcl_log_level level, const char *channel,
                       const char *text)
{
	lines++;
}

static void make_uri(char uri[64])
{
	static int number;

	snprintf(uri, 64, "local:plain-%d-%d", getpid(), number++);
}

/* covers: kmcl_host_create, kmcl_host_destroy, kmcl_host_query, kmcl_guest_create,
 * kmcl_guest_destroy, kmcl_guest_query */
static void ends_are_opened_and_closed(void **state)
{
	struct kmcl_bus_info info = { .size = sizeof(info) };
	struct kmcl_guest *guest;
	struct kmcl_host *host;
	char uri[64];

	make_uri(uri);
	assert_int_equal(kmcl_host_create(uri, NULL, &host), 0);
	assert_int_equal(kmcl_guest_create(uri, NULL, &guest), 0);
	assert_int_equal(kmcl_host_query(host, &info), 0);
	assert_int_equal(info.version, KMCL_BUS_VERSION_LATEST);
	info.version = 0;
	assert_int_equal(kmcl_guest_query(guest, &info), 0);
	assert_int_equal(info.version, KMCL_BUS_VERSION_LATEST);
	info.size = 0;
	assert_int_equal(kmcl_host_query(host, &info), -EINVAL);
	info.size = offsetof(struct kmcl_bus_info, features);
	info.features = 0x5a;
	assert_int_equal(kmcl_guest_query(guest, &info), 0);
	assert_int_equal(info.features, 0x5a);
	kmcl_guest_destroy(guest);
	kmcl_host_destroy(host);
	kmcl_guest_destroy(NULL);
	kmcl_host_destroy(NULL);
}

/* ---- its channels ---- */

static void wait_for_offer(struct kmcl_guest *guest)
{
	uint32_t count;

	for (int tries = 5000; tries; tries--) {
		assert_int_equal(kmcl_guest_list(guest, NULL, 0, &count), 0);
		if (count)
			return;
		usleep(1000);
	}
	fail_msg("the offer did not come");
}

/* covers: kmcl_host_list, kmcl_guest_list */
static void channels_are_listed(void **state)
{
	struct kmcl_bus_channel all[2] = { { .size = sizeof(all[0]) } };
	struct kmcl_guid instance = kmcl_guid_from_name("listed");
	struct kmcl_echo_options options = { .size = sizeof(options), .instance = instance };
	struct kmcl_guest *guest;
	struct kmcl_echo *echo;
	struct kmcl_host *host;
	uint32_t count;
	char uri[64];

	make_uri(uri);
	assert_int_equal(kmcl_host_create(uri, NULL, &host), 0);
	assert_int_equal(kmcl_host_list(host, all, 2, &count), 0);
	assert_int_equal(count, 0);
	assert_int_equal(kmcl_echo_create(host, &options, &echo), 0);
	assert_int_equal(kmcl_guest_create(uri, NULL, &guest), 0);
	wait_for_offer(guest);

	assert_int_equal(kmcl_host_list(host, all, 2, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(all[0].size, sizeof(all[0]));
	assert_memory_equal(&all[0].instance, &instance, sizeof(instance));
	assert_int_equal(all[0].state, KMCL_CHANNEL_ENABLED);
	assert_int_equal(all[0].ring_in_bytes, 0);
	assert_int_equal(all[0].statistics.opens, 0);
	memset(&all[0].instance, 0, sizeof(instance));
	assert_int_equal(kmcl_guest_list(guest, all, 2, &count), 0);
	assert_int_equal(count, 1);
	assert_memory_equal(&all[0].instance, &instance, sizeof(instance));
	assert_int_equal(all[0].state, KMCL_CHANNEL_OFFERED);
	assert_int_not_equal(all[0].channel_id, 0);

	kmcl_echo_destroy(echo);
	kmcl_guest_destroy(guest);
	kmcl_host_destroy(host);
}

static void offer_two(struct kmcl_host *host, struct kmcl_echo *echo[2])
{
	struct kmcl_echo_options options = {
		.size = sizeof(options),
		.instance = kmcl_guid_from_name("first"),
	};

	assert_int_equal(kmcl_echo_create(host, &options, &echo[0]), 0);
	options.instance = kmcl_guid_from_name("second");
	assert_int_equal(kmcl_echo_create(host, &options, &echo[1]), 0);
}

/* covers: kmcl_host_list */
static void a_list_fits_the_caller(void **state)
{
	struct old_channel {
		uint32_t size;
		struct kmcl_guid type, instance;
	} old[3];
	struct new_channel {
		struct kmcl_bus_channel known;
		uint64_t more;
	} new[2];
	struct kmcl_echo *echo[2];
	struct kmcl_host *host;
	uint32_t count;
	char uri[64];

	make_uri(uri);
	assert_int_equal(kmcl_host_create(uri, NULL, &host), 0);
	offer_two(host, echo);
	memset(old, 0x5a, sizeof(old));
	old[0].size = sizeof(old[0]);
	assert_int_equal(kmcl_host_list(host, (struct kmcl_bus_channel *)old, 3, &count), 0);
	assert_int_equal(count, 2);
	assert_memory_equal(&old[0].type, &old[1].type, sizeof(old[0].type));
	assert_memory_not_equal(&old[0].instance, &old[1].instance, sizeof(old[0].instance));
	assert_int_equal(old[1].size, sizeof(old[1]));
	assert_int_equal(old[2].size, 0x5a5a5a5a); /* there is no third */
	memset(new, 0x5a, sizeof(new));
	new[0].known.size = sizeof(new[0]);
	assert_int_equal(kmcl_host_list(host, &new[0].known, 2, &count), 0);
	assert_memory_equal(&new[1].known.instance, &old[1].instance, sizeof(old[1].instance));
	assert_int_equal(new[1].more, 0x5a5a5a5a5a5a5a5a);
	/* for one there is room */
	memset(&old[1], 0x5a, sizeof(old[1]));
	assert_int_equal(kmcl_host_list(host, (struct kmcl_bus_channel *)old, 1, &count), 0);
	assert_int_equal(count, 2);
	assert_int_equal(old[1].size, 0x5a5a5a5a);
	old[0].size = 3;
	assert_int_equal(kmcl_host_list(host, (struct kmcl_bus_channel *)old, 1, &count), -EINVAL);
	kmcl_echo_destroy(echo[0]);
	kmcl_echo_destroy(echo[1]);
	kmcl_host_destroy(host);
}

/* ---- how callbacks are run ---- */

/* covers: kmcl_dispatch_set_up, kmcl_dispatch_fd, kmcl_dispatch */
static void the_program_dispatches_itself(void **state)
{
	struct {
		struct kmcl_dispatch_settings known;
		uint32_t more;
	} settings = { { .size = sizeof(settings), .embedded = 1 }, 0 };

	assert_int_equal(kmcl_dispatch_fd(), -1);
	assert_int_equal(kmcl_dispatch_set_up(NULL), -EINVAL);
	settings.more = 1;
	assert_int_equal(kmcl_dispatch_set_up(&settings.known), -E2BIG);
	settings.more = 0;
	settings.known.dispatchers = 65;
	assert_int_equal(kmcl_dispatch_set_up(&settings.known), -EINVAL);
	settings.known.dispatchers = 0;
	assert_int_equal(kmcl_dispatch_set_up(&settings.known), 0);
	assert_true(kmcl_dispatch_fd() >= 0);
	assert_int_equal(kmcl_dispatch(0), 0);
	assert_int_equal(kmcl_dispatch_set_up(&settings.known), -EBUSY);
}

/* covers: kmcl_host_create, kmcl_guest_create, kmcl_log_set */
static void what_cannot_be_is_refused(void **state)
{
	struct kmcl_host_options options = { .size = sizeof(options) };
	struct kmcl_guest_options impatient = { .size = sizeof(impatient), .timeout_ms = 50 };
	struct kmcl_host *host, *other;
	struct kmcl_guest *guest;
	char uri[64];

	make_uri(uri);
	kmcl_log_set(count_line, NULL, KMCL_LOG_ERROR);
	assert_int_equal(kmcl_host_create("tape:0", NULL, &host), -EINVAL);
	assert_int_equal(kmcl_host_create(NULL, NULL, &host), -EINVAL);
	assert_int_equal(kmcl_host_create(uri, NULL, NULL), -EINVAL);
	options.version_max = KMCL_BUS_VERSION(7, 7);
	assert_int_equal(kmcl_host_create(uri, &options, &host), -EINVAL);
	options.version_max = 0;
	assert_int_equal(kmcl_host_create(uri, &options, &host), 0);
	assert_int_equal(kmcl_host_create(uri, &options, &other), -EADDRINUSE);
	assert_true(lines > 0);
	kmcl_host_destroy(host);
	assert_int_equal(kmcl_guest_create(uri, &impatient, &guest), -ENOENT);
	kmcl_log_set(NULL, NULL, KMCL_LOG_WARNING);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_are_taken_as_far_as_they_are_known),
		cmocka_unit_test(what_is_told_fits_the_caller),
		cmocka_unit_test(identifiers_are_made_and_read),
		cmocka_unit_test(ends_are_opened_and_closed),
		cmocka_unit_test(what_cannot_be_is_refused),
		cmocka_unit_test(the_program_dispatches_itself), /* before a channel is enabled */
		cmocka_unit_test(channels_are_listed),
		cmocka_unit_test(a_list_fits_the_caller),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
