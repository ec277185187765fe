/* SPDX-License-Identifier: BSD-2-Clause */

/* A channel's ordinary life at the client, and what is allowed when. */

#include "fixture.h"

static const struct client_open ring = {
	.ring_gpadl = 1,
	.ring_offset = 4,
	.target_vp = 3,
	.user_data = { 9 },
};

static void life_of_a_channel(void **state)
{
	struct fixture *f = client_fixture();
	static const uint64_t pfns[] = { 7, 8 };
	struct bus_gpa_range range = { 8192, 0, pfns };
	uint32_t gpadl;

	(void)state;
	client_connect_at(f, WIRE_VERSION_5_3);
	host_offer(f, 4);
	expect(f, "offer 4 'A' conn=0x2004 dedicated=1 monitor=0/255 sub=0 mmio=0+0 flags=0x0\n");
	host_header_only(f, WIRE_ALL_OFFERS_DELIVERED);
	expect(f, "offers_delivered\n");

	assert_int_equal(client_gpadl_create(f->client, 4, &range, 1, &gpadl), 0);
	assert_int_equal(gpadl, 1);
	expect(f, "< GPADL_HEADER 4 gpadl=1 ranges=1 bytes=24 size=44\n");
	host_gpadl_created(f, 4, gpadl, BUS_STATUS_SUCCESS);
	expect(f, "gpadl_created 4 gpadl=1 0x0\n");

	assert_int_equal(client_open(f->client, 4, &ring), 0);
	expect(f,
	       "< OPEN_CHANNEL 4 open=1 gpadl=1 vp=3 offset=4 data=9 conn=0x0 flag=0 size=148\n");
	host_open_result(f, 4, 1, BUS_STATUS_SUCCESS);
	expect(f, "opened 4 open=1 0x0\n");

	assert_int_equal(client_close(f->client, 4), 0);
	expect(f, "< CLOSE_CHANNEL 4\n");
	assert_int_equal(client_gpadl_teardown(f->client, 4, gpadl), 0);
	expect(f, "< GPADL_TEARDOWN 4 gpadl=1\n");
	host_gpadl_torndown(f, gpadl);
	expect(f, "gpadl_torndown 4 gpadl=1\n");

	host_channel_message(f, WIRE_RESCIND_CHANNEL_OFFER, 4);
	expect(f, "rescind 4\n");
	assert_int_equal(client_release(f->client, 4), 0);
	expect(f, "< RELID_RELEASED 4\n");
	fixture_end(f);
}

static void *said_owner;
static unsigned int said_times;

static void note_owner(void *context, void *owner, uint32_t channel_id)
{
	said_owner = owner;
	said_times++;
}

/* Nobody takes the offer when it comes; who does is said later, and again. */
static void an_owner_found_later(void **state)
{
	struct fixture *f = client_fixture();
	struct client_ops ops = *client_fixture_ops();
	int first, second;

	(void)state;
	assert_int_equal(client_destroy(f->client), BUS_OK);
	ops.rescind = note_owner;
	assert_int_equal(client_create(&ops, f, &f->client), BUS_OK);
	client_connect_at(f, WIRE_VERSION_5_3);
	assert_int_equal(client_set_owner(f->client, 4, &first), BUS_REFUSED);
	assert_int_equal(client_set_owner(f->client, WIRE_CHANNEL_ID_MAX + 1, &first), BUS_REFUSED);
	host_offer(f, 4);
	assert_int_equal(client_set_owner(f->client, 4, &first), BUS_OK);
	assert_int_equal(client_set_owner(f->client, 4, &second), BUS_OK);
	host_channel_message(f, WIRE_RESCIND_CHANNEL_OFFER, 4);
	assert_ptr_equal(said_owner, &second);
	assert_int_equal(client_release(f->client, 4), BUS_OK);
	assert_int_equal(client_set_owner(f->client, 4, &first), BUS_REFUSED);
	/* The id comes again, and nobody's. */
	host_offer(f, 4);
	assert_int_equal(client_set_owner(f->client, 4, NULL), BUS_OK);
	assert_int_equal(client_reset(f->client), BUS_OK);
	assert_null(said_owner);
	assert_int_equal(said_times, 2);
	fixture_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(life_of_a_channel),
		cmocka_unit_test(an_owner_found_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
