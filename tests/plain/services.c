/* SPDX-License-Identifier: BSD-2-Clause */
/* The services' faces: that they take what they say, refuse what they say, and keep growing. What
 * the services do is in tests/devices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <kmcl/disk.h>
#include <kmcl/echo.h>
#include <kmcl/ic.h>
#include <kmcl/input.h>
#include <kmcl/net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../temporary.h"

struct fixture {
	struct kmcl_host *host;
	char image[TEMPORARY_PATH_MAX];
};

static int setup(void **state)
{
	static struct fixture f;
	static int number;
	char uri[64];

	*state = &f;
	if (!temporary_image(f.image, sizeof(f.image), "kmcl-plain-XXXXXX", 1 << 20))
		return -1;
	snprintf(uri, sizeof(uri), "local:faces-%d-%d", getpid(), number++);
	return kmcl_host_create(uri, NULL, &f.host);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kmcl_host_destroy(f->host);
	unlink(f->image);
	return 0;
}

/* A caller of a library that is newer by a field, which is not 0. */
#define NEWER(type)                    \
	struct {                       \
		union {                \
			type known;    \
			uint32_t size; \
		};                     \
		uint64_t unknown;      \
	} newer = { .unknown = 1 };    \
	newer.size = (uint32_t)sizeof(newer)

/* covers: kmcl_scsi_create, kmcl_scsi_destroy, kmcl_scsi_add_disk, kmcl_scsi_add_cd,
 * kmcl_scsi_remove, kmcl_scsi_query, kmcl_scsi_get_statistics */
static void disks(void **state)
{
	struct fixture *f = *state;
	struct kmcl_scsi_options options = { .size = sizeof(options), .queue_depth = 3 };
	struct kmcl_scsi_statistics statistics = { .size = sizeof(statistics) };
	struct kmcl_disk_options disk = { .size = sizeof(disk) };
	struct kmcl_scsi_unit unit = { .size = sizeof(unit) };
	struct kmcl_scsi *scsi, *second;
	char why[256] = "";
	NEWER(struct kmcl_scsi_options);

	assert_int_equal(kmcl_scsi_create(f->host, &options, &scsi), -EINVAL);
	assert_int_equal(kmcl_scsi_create(f->host, &newer.known, &scsi), -E2BIG);
	assert_int_equal(kmcl_scsi_create(f->host, NULL, &scsi), 0);
	assert_int_equal(kmcl_scsi_create(f->host, NULL, &second), -EEXIST);
	assert_int_equal(kmcl_scsi_add_disk(scsi, 0, 0, "/nowhere", NULL, why, sizeof(why)),
	                 -ENOENT);
	assert_non_null(strstr(why, "/nowhere"));
	assert_int_equal(kmcl_scsi_add_disk(scsi, 2, 0, f->image, NULL, NULL, 0), -EINVAL);
	disk.serial = "0123456789012345678901234567890123456";
	assert_int_equal(kmcl_scsi_add_disk(scsi, 0, 0, f->image, &disk, why, sizeof(why)),
	                 -EINVAL);
	assert_non_null(strstr(why, "36 characters"));
	disk.serial = NULL;
	disk.block_size = 513;
	assert_int_equal(kmcl_scsi_add_disk(scsi, 0, 0, f->image, &disk, why, sizeof(why)),
	                 -EINVAL);
	disk.block_size = 0;
	assert_int_equal(kmcl_scsi_add_disk(scsi, 0, 0, f->image, &disk, why, sizeof(why)), 0);
	assert_int_equal(kmcl_scsi_add_disk(scsi, 0, 0, f->image, &disk, why, sizeof(why)), -EBUSY);
	assert_int_equal(kmcl_scsi_add_cd(scsi, 0, 0, NULL, NULL, why, sizeof(why)), -EEXIST);
	assert_int_equal(kmcl_scsi_query(scsi, 0, 0, &unit), 0);
	assert_false(unit.is_cd);
	assert_int_equal(unit.lost, 0);
	assert_int_equal(kmcl_scsi_get_statistics(scsi, &statistics), 0);
	assert_int_equal(statistics.version, 0);
	statistics.size = 0;
	assert_int_equal(kmcl_scsi_get_statistics(scsi, &statistics), -EINVAL);
	assert_int_equal(kmcl_scsi_remove(scsi, 0, 0), 0);
	assert_int_equal(kmcl_scsi_remove(scsi, 0, 0), -ENOENT);
	kmcl_scsi_destroy(scsi);
	kmcl_scsi_destroy(NULL);
}

/* covers: kmcl_net_create, kmcl_net_destroy, kmcl_net_user_create, kmcl_net_user_forward,
 * kmcl_net_tap_create, kmcl_net_backend_destroy, kmcl_net_get_statistics */
static void adapters(void **state)
{
	struct fixture *f = *state;
	struct kmcl_net_options options = { .size = sizeof(options) };
	struct kmcl_net_statistics statistics = { .size = sizeof(statistics) };
	struct kmcl_net_backend *backend;
	struct kmcl_net *net;
	char why[256];
	int error = kmcl_net_user_create(NULL, &backend, why, sizeof(why));

	assert_int_equal(kmcl_net_create(f->host, &options, &net), -EINVAL); /* no back end */
	assert_int_equal(kmcl_net_create(f->host, NULL, &net), -EINVAL);
	assert_int_equal(kmcl_net_tap_create("a name that is too long", &backend, why, sizeof(why)),
	                 -EINVAL);
	if (error == -ENOTSUP) {
		assert_non_null(strstr(why, "libslirp"));
		print_message("# built without user networking: the rest of this needs one\n");
		skip();
	}
	assert_int_equal(error, 0);
	assert_int_equal(kmcl_net_user_forward(backend, "tcp:80", why, sizeof(why)), -EINVAL);
	options.backend = backend;
	assert_int_equal(kmcl_net_create(f->host, &options, &net), 0);
	kmcl_net_set_link(net, false);
	assert_int_equal(kmcl_net_get_statistics(net, &statistics), 0);
	assert_false(statistics.link_up);
	kmcl_net_destroy(net);
	kmcl_net_destroy(NULL);
	kmcl_net_backend_destroy(NULL);
}

/* covers: kmcl_heartbeat_create, kmcl_heartbeat_destroy, kmcl_kvp_create, kmcl_kvp_destroy,
 * kmcl_shutdown_create, kmcl_shutdown_destroy, kmcl_timesync_create, kmcl_timesync_destroy */
static void components(void **state)
{
	struct fixture *f = *state;
	struct kmcl_ic_options old = { .size = sizeof(old), .version_max = KMCL_IC_VERSION(0, 9) };
	struct kmcl_heartbeat_info info = { .size = sizeof(info) };
	struct kmcl_shutdown_request request = { .size = sizeof(request) };
	struct kmcl_heartbeat *heartbeat;
	struct kmcl_shutdown *shutdown;
	struct kmcl_timesync *timesync;
	struct kmcl_kvp *kvp, *second;
	struct kmcl_kvp_entry entry;

	assert_int_equal(kmcl_heartbeat_create(f->host, NULL, &heartbeat), 0);
	assert_int_equal(kmcl_shutdown_create(f->host, &old, &shutdown), -EINVAL);
	assert_int_equal(kmcl_shutdown_create(f->host, NULL, &shutdown), 0);
	assert_int_equal(kmcl_timesync_create(f->host, NULL, &timesync), 0);
	assert_int_equal(kmcl_kvp_create(f->host, NULL, &kvp), 0);
	assert_int_equal(kmcl_kvp_create(f->host, NULL, &second), -EEXIST);
	assert_int_equal(kmcl_heartbeat_query(heartbeat, &info), 0);
	assert_int_equal(info.state, KMCL_HEARTBEAT_NO_CONTACT);
	/* there is no guest */
	assert_int_equal(kmcl_shutdown_ask(shutdown, &request, 10, NULL), -ENOTCONN);
	request.action = (enum kmcl_shutdown_action)9;
	assert_int_equal(kmcl_shutdown_ask(shutdown, &request, 10, NULL), -EINVAL);
	assert_int_equal(kmcl_timesync_set(timesync), -ENOTCONN);
	assert_int_equal(kmcl_kvp_enumerate(kvp, KMCL_KVP_POOL_GUEST, 0, &entry, 10), -ENOTCONN);
	assert_int_equal(kmcl_kvp_enumerate(kvp, (enum kmcl_kvp_pool)5, 0, &entry, 10), -EINVAL);
	kmcl_kvp_destroy(kvp);
	kmcl_timesync_destroy(timesync);
	kmcl_shutdown_destroy(shutdown);
	kmcl_heartbeat_destroy(heartbeat);
	kmcl_kvp_destroy(NULL);
	kmcl_timesync_destroy(NULL);
	kmcl_shutdown_destroy(NULL);
	kmcl_heartbeat_destroy(NULL);
}

/* covers: kmcl_echo_create, kmcl_echo_destroy */
static void echoes(void **state)
{
	struct fixture *f = *state;
	struct kmcl_echo *echo, *second;

	assert_int_equal(kmcl_echo_create(f->host, NULL, &echo), 0);
	assert_int_equal(kmcl_echo_create(f->host, NULL, &second), -EEXIST);
	kmcl_echo_destroy(echo);
	kmcl_echo_destroy(NULL);
}

/* covers: kmcl_keyboard_create, kmcl_keyboard_destroy, kmcl_keyboard_query, kmcl_keyboard_key,
 * kmcl_keyboard_type */
static void keyboards(void **state)
{
	struct fixture *f = *state;
	struct kmcl_keyboard_text text = { .size = sizeof(text), .text = "a", .timeout_ms = 10 };
	struct kmcl_keyboard_options options = { .size = sizeof(options) };
	struct kmcl_keyboard_info info = { .size = sizeof(info) };
	struct kmcl_keyboard *keyboard, *second;
	size_t typed = 1;
	NEWER(struct kmcl_keyboard_options);

	assert_int_equal(kmcl_keyboard_create(f->host, &newer.known, &keyboard), -E2BIG);
	assert_int_equal(kmcl_keyboard_create(f->host, NULL, &keyboard), 0);
	assert_int_equal(kmcl_keyboard_create(f->host, NULL, &second), -EEXIST);
	options.instance = kmcl_guid_from_name("another");
	options.monitored = true;
	assert_int_equal(kmcl_keyboard_create(f->host, &options, &second), 0);
	assert_int_equal(kmcl_keyboard_key(keyboard, 0, true), -EINVAL);
	assert_int_equal(kmcl_keyboard_key(keyboard, 1, true), -ENOTCONN);
	assert_int_equal(kmcl_keyboard_type(keyboard, &text, &typed), -ENOTCONN);
	assert_int_equal(typed, 0);
	text.size = 0;
	assert_int_equal(kmcl_keyboard_type(keyboard, &text, &typed), -EINVAL);
	assert_int_equal(kmcl_keyboard_query(keyboard, &info), 0);
	assert_int_equal(info.version, 0);
	info.size = 0;
	assert_int_equal(kmcl_keyboard_query(keyboard, &info), -EINVAL);
	kmcl_keyboard_destroy(second);
	kmcl_keyboard_destroy(keyboard);
	kmcl_keyboard_destroy(NULL);
}

/* covers: kmcl_mouse_create, kmcl_mouse_destroy, kmcl_mouse_query, kmcl_mouse_report */
static void mice(void **state)
{
	struct fixture *f = *state;
	struct kmcl_mouse_state place = { .size = sizeof(place) };
	struct kmcl_mouse_options options = { .size = sizeof(options) };
	struct kmcl_mouse_info info = { .size = sizeof(info) };
	struct kmcl_mouse *mouse, *second;
	NEWER(struct kmcl_mouse_options);

	assert_int_equal(kmcl_mouse_create(f->host, &newer.known, &mouse), -E2BIG);
	assert_int_equal(kmcl_mouse_create(f->host, NULL, &mouse), 0);
	assert_int_equal(kmcl_mouse_create(f->host, NULL, &second), -EEXIST);
	options.instance = kmcl_guid_from_name("another");
	options.monitored = true;
	assert_int_equal(kmcl_mouse_create(f->host, &options, &second), 0);
	assert_int_equal(kmcl_mouse_report(mouse, &place), -ENOTCONN);
	place.x = KMCL_MOUSE_POSITION_MAX + 1;
	assert_int_equal(kmcl_mouse_report(mouse, &place), -EINVAL);
	place.size = 0;
	assert_int_equal(kmcl_mouse_report(mouse, &place), -EINVAL);
	assert_int_equal(kmcl_mouse_query(mouse, &info), 0);
	assert_int_equal(info.version, 0);
	info.size = 0;
	assert_int_equal(kmcl_mouse_query(mouse, &info), -EINVAL);
	kmcl_mouse_destroy(second);
	kmcl_mouse_destroy(mouse);
	kmcl_mouse_destroy(NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(disks, setup, teardown),
		cmocka_unit_test_setup_teardown(adapters, setup, teardown),
		cmocka_unit_test_setup_teardown(components, setup, teardown),
		cmocka_unit_test_setup_teardown(echoes, setup, teardown),
		cmocka_unit_test_setup_teardown(keyboards, setup, teardown),
		cmocka_unit_test_setup_teardown(mice, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
