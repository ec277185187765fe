/* SPDX-License-Identifier: BSD-2-Clause */
/* What this build was configured without is refused in words; the rest is there. HAVE_... say
 * which. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <kmcl/disk.h>
#include <kmcl/net.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void disks(void **state)
{
	struct kmcl_scsi *scsi = NULL;
	struct kmcl_host *host;
	char uri[64];

	snprintf(uri, sizeof(uri), "local:left-out-%d", getpid());
	assert_int_equal(kmcl_host_create(uri, NULL, &host), 0);
	assert_int_equal(kmcl_scsi_create(host, NULL, &scsi), HAVE_DISKS ? 0 : -ENOTSUP);
	kmcl_scsi_destroy(scsi);
	kmcl_host_destroy(host);
}

static void user_networking(void **state)
{
	struct kmcl_net_backend *backend = NULL;
	char why[128] = "";

	assert_int_equal(kmcl_net_user_create(NULL, &backend, why, sizeof(why)),
	                 HAVE_SLIRP ? 0 : -ENOTSUP);
	assert_true(HAVE_SLIRP || strstr(why, "libslirp"));
	kmcl_net_backend_destroy(backend);
}

static void tap_interfaces(void **state)
{
	struct kmcl_net_backend *backend;
	char why[128] = "";

	assert_int_equal(kmcl_net_tap_create("a name that is too long", &backend, why, sizeof(why)),
	                 HAVE_TAP ? -EINVAL : -ENOTSUP);
	assert_non_null(strstr(why, HAVE_TAP ? "characters" : "TAP"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(disks),
		cmocka_unit_test(user_networking),
		cmocka_unit_test(tap_interfaces),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
