/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

static void both_structures_are_filled(void **state)
{
	struct {
		union {
			RTL_OSVERSIONINFOW information;
			RTL_OSVERSIONINFOEXW more;
		};
		UCHAR after[8];
	} v;

	memset(&v, 0x5a, sizeof(v));
	v.information.dwOSVersionInfoSize = sizeof(v.information);
	assert_int_equal(RtlGetVersion(&v.information), STATUS_SUCCESS);
	assert_int_equal(v.information.dwOSVersionInfoSize, sizeof(v.information));
	assert_int_equal(v.information.dwMajorVersion, 10);
	assert_int_equal(v.information.dwMinorVersion, 0);
	assert_int_equal(v.information.dwBuildNumber, 20348);
	assert_int_equal(v.information.dwPlatformId, VER_PLATFORM_WIN32_NT);
	assert_int_equal(v.information.szCSDVersion[0], 0);
	assert_int_equal(v.more.wServicePackMajor, 0x5a5a); /* nothing beyond what was said */
	v.information.dwOSVersionInfoSize = sizeof(v.more);
	assert_int_equal(RtlGetVersion(&v.information), STATUS_SUCCESS);
	assert_int_equal(v.more.wServicePackMajor, 0);
	assert_int_equal(v.more.wProductType, VER_NT_SERVER);
	assert_int_equal(v.after[0], 0x5a);
}

static void versions_are_in_order(void **state)
{
	assert_true(RtlIsNtDdiVersionAvailable(NTDDI_WIN7));
	assert_true(RtlIsNtDdiVersionAvailable(NTDDI_VERSION));
	assert_false(RtlIsNtDdiVersionAvailable(NTDDI_VERSION + 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_structures_are_filled),
		cmocka_unit_test(versions_are_in_order),
	};

	return RUN(tests);
}
