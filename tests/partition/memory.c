/* SPDX-License-Identifier: BSD-2-Clause */

/* The host sees the guest's memory, all of it, nothing else, for as long as it has it pinned. */

#include "end.h"

#include <stdlib.h>
#include <string.h>

#define PAGES 16u

static struct end host, guest;

static char *guest_page(unsigned int page)
{
	return (char *)guest.settings.ram.base + page * 4096;
}

static void test_same_bytes_seen_from_both_ends(void **state)
{
	struct partition_pin *pin;

	end_open_both(&host, &guest, PAGES);
	pin = partition_pin(host.partition);
	assert_non_null(pin);
	for (unsigned int i = 0; i < PAGES; i++) {
		uint64_t gpn = partition_gpn(guest.partition, guest_page(i) + 100);
		char *page;

		assert_true(gpn != PARTITION_NO_PAGE);
		page = partition_page(pin, gpn);
		assert_non_null(page);
		strcpy(guest_page(i), "from the guest");
		assert_string_equal(page, "from the guest");
		strcpy(page + 4000, "from the host");
		assert_string_equal(guest_page(i) + 4000, "from the host");
	}
	partition_unpin(pin);
	end_close_both(&host, &guest);
}

static void test_no_page_outside(void **state)
{
	char *malloced = malloc(10);
	struct partition_pin *pin;
	uint64_t first, here;

	end_open_both(&host, &guest, PAGES);
	pin = partition_pin(host.partition);
	first = partition_gpn(guest.partition, guest_page(0));
	here = (uintptr_t)&host >> 12;
	assert_null(partition_page(pin, first + PAGES));
	assert_null(partition_page(pin, first - 1));
	assert_null(partition_page(pin, UINT64_MAX));
	assert_null(partition_page(pin, first + (1ull << 52)));
	assert_null(partition_page(pin, here));
	assert_true(partition_gpn(guest.partition, guest_page(PAGES)) == PARTITION_NO_PAGE);
	assert_true(partition_gpn(guest.partition, guest_page(0) - 1) == PARTITION_NO_PAGE);
	assert_true(partition_gpn(guest.partition, malloced) == PARTITION_NO_PAGE);
	assert_true(partition_gpn(guest.partition, NULL) == PARTITION_NO_PAGE);
	assert_true(partition_gpn(host.partition, guest_page(0)) == PARTITION_NO_PAGE);
	partition_unpin(pin);
	end_close_both(&host, &guest);
	free(malloced);
}

static void test_whole_memory_can_be_named(void **state)
{
	struct partition_pin *pin;
	struct partition_ram ram;

	end_open_both(&host, &guest, PAGES);
	pin = partition_pin(host.partition);
	ram = partition_pin_memory(pin);
	assert_int_equal(ram.size, PAGES * 4096);
	assert_true(ram.fd >= 0);
	strcpy(guest_page(1), "hello");
	assert_string_equal((char *)ram.base + 4096, "hello");
	partition_unpin(pin);
	end_close_both(&host, &guest);
}

static void test_guest_without_memory(void **state)
{
	struct partition_pin *pin;

	end_open_both(&host, &guest, 0);
	pin = partition_pin(host.partition);
	assert_non_null(pin);
	assert_null(partition_page(pin, 0));
	assert_null(partition_page(pin, (uintptr_t)&host >> 12));
	assert_int_equal(partition_pin_memory(pin).size, 0);
	partition_unpin(pin);
	end_close_both(&host, &guest);
}

static void test_pin_survives_guest_and_host_end(void **state)
{
	const char *uri = end_new_uri();
	struct partition_pin *pin, *second;
	struct partition_ram first_ram;
	uint64_t gpn;
	char *page;

	end_open(&host, PARTITION_HOST, uri, 0);
	assert_null(partition_pin(host.partition));
	end_open(&guest, PARTITION_GUEST, uri, PAGES);
	end_await(&host, &host.came, 1);
	pin = partition_pin(host.partition);
	assert_null(partition_pin(guest.partition));
	gpn = partition_gpn(guest.partition, guest_page(2));
	page = partition_page(pin, gpn);
	strcpy(guest_page(2), "still here");
	end_close(&guest);
	end_await(&host, &host.gone, 1);
	assert_null(partition_pin(host.partition));
	assert_string_equal(page, "still here");
	strcpy(page, "and writable");
	first_ram = guest.settings.ram; /* local: the memory itself has to stay */

	end_open(&guest, PARTITION_GUEST, uri, PAGES);
	end_await(&host, &host.came, 2);
	second = partition_pin(host.partition);
	assert_true(second != pin);
	strcpy(guest_page(2), "another");
	assert_string_equal(partition_page(second, partition_gpn(guest.partition, guest_page(2))),
	                    "another");
	assert_string_equal(page, "and writable");
	end_close(&guest);
	end_close(&host);
	assert_string_equal(partition_page(pin, gpn), "and writable");
	partition_unpin(pin);
	partition_unpin(second);
	ram_free(&first_ram);
	end_free_ram(&guest);
}

static void test_unsound_memory_is_refused(void **state)
{
	struct partition_settings settings = { .end = PARTITION_GUEST };
	struct partition *p;
	char why[200] = "";

	settings.ram = (struct partition_ram){ .fd = -1, .base = (void *)0x10010, .size = 4096 };
	assert_true(partition_open(end_new_uri(), &settings, &p, why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "not whole pages"));
	settings.ram = (struct partition_ram){ .fd = -1, .base = (void *)0x10000, .size = 100 };
	assert_true(partition_open(end_new_uri(), &settings, &p, why, sizeof(why)) < 0);
	settings.ram = (struct partition_ram){ .fd = -1, .base = NULL, .size = 4096 };
	assert_true(partition_open(end_new_uri(), &settings, &p, why, sizeof(why)) < 0);
	assert_null(p);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_same_bytes_seen_from_both_ends),
	cmocka_unit_test(test_no_page_outside),
	cmocka_unit_test(test_whole_memory_can_be_named),
	cmocka_unit_test(test_guest_without_memory),
	cmocka_unit_test(test_pin_survives_guest_and_host_end),
	cmocka_unit_test(test_unsound_memory_is_refused),
};

END_MAIN(tests)
