/* SPDX-License-Identifier: BSD-2-Clause */

/* Signals coalesce, are never lost, and wait for a port that does not listen yet. */

#include "end.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

static struct end host, guest;

static struct partition_link *link_to(struct end *from, uint32_t id)
{
	struct partition_link *link;

	assert_int_equal(
		partition_connect(from->partition, (struct partition_address){ .id = id }, &link),
		0);
	return link;
}

static struct partition_port *listen_on(struct end *end, uint32_t id)
{
	struct partition_port *port;

	assert_int_equal(partition_listen(end->partition, id, &port), 0);
	return port;
}

static void signals_arrive(struct end *from, struct end *to)
{
	struct partition_port *port = listen_on(to, 7);
	struct partition_port *other = listen_on(to, 8);
	struct partition_link *link = link_to(from, 7);

	assert_false(port_readable(port, 0));
	for (int i = 0; i < 3; i++) {
		partition_signal(link);
		assert_true(port_readable(port, 5000));
		partition_port_clear(port);
		assert_false(port_readable(port, 0));
		assert_false(port_readable(other, 0));
	}
	partition_disconnect(link);
	partition_unlisten(port);
	partition_unlisten(other);
}

static void test_signals_arrive_both_ways(void **state)
{
	end_open_both(&host, &guest, 0);
	signals_arrive(&guest, &host);
	signals_arrive(&host, &guest);
	end_close_both(&host, &guest);
}

static void test_signals_coalesce(void **state)
{
	struct partition_port *port;
	struct partition_link *link;
	int clears = 0;

	end_open_both(&host, &guest, 0);
	port = listen_on(&host, 3);
	link = link_to(&guest, 3);
	for (int i = 0; i < 100000; i++)
		partition_signal(link); /* never blocks although nobody clears */
	assert_true(port_readable(port, 5000));
	while (port_readable(port, 0)) {
		partition_port_clear(port);
		clears++;
	}
	assert_in_range(clears, 1, 100);
	partition_signal(link);
	assert_true(port_readable(port, 5000));
	partition_disconnect(link);
	partition_unlisten(port);
	end_close_both(&host, &guest);
}

static void test_signal_before_listen_is_kept(void **state)
{
	struct partition_port *port;
	struct partition_link *link, *quiet;

	end_open_both(&host, &guest, 0);
	link = link_to(&host, 2047);
	quiet = link_to(&host, 2046);
	partition_signal(link);
	partition_signal(link);
	port = listen_on(&guest, 2046);
	assert_false(port_readable(port, 50));
	partition_unlisten(port);
	partition_disconnect(link); /* what it signalled stays */
	port = listen_on(&guest, 2047);
	assert_true(port_readable(port, 5000));
	partition_port_clear(port);
	assert_false(port_readable(port, 20));
	partition_unlisten(port);
	partition_disconnect(quiet);
	end_close_both(&host, &guest);
}

static void test_signal_between_two_listens_is_kept(void **state)
{
	struct partition_port *port;
	struct partition_link *link;

	end_open_both(&host, &guest, 0);
	link = link_to(&host, 5);
	for (int i = 0; i < 20; i++) {
		port = listen_on(&guest, 5);
		partition_signal(link);
		assert_true(port_readable(port, 5000));
		partition_unlisten(port); /* not cleared: that one is gone with the port */
		partition_signal(link);
		port = listen_on(&guest, 5);
		assert_true(port_readable(port, 5000));
		partition_port_clear(port);
		partition_unlisten(port);
	}
	partition_disconnect(link);
	end_close_both(&host, &guest);
}

static void test_signal_not_taken_is_kept(void **state)
{
	struct partition_port *port;
	struct partition_link *link;

	end_open_both(&host, &guest, 0);
	link = link_to(&guest, 5);
	port = listen_on(&host, 5);
	partition_signal(link);
	assert_true(port_readable(port, 5000));
	partition_unlisten(port);
	port = listen_on(&host, 5);
	assert_true(port_readable(port, 5000));
	partition_port_clear(port);
	assert_false(port_readable(port, 20));
	partition_unlisten(port);
	partition_disconnect(link);
	end_close_both(&host, &guest);
}

static void test_one_port_an_id(void **state)
{
	struct partition_port *port, *second;

	end_open_both(&host, &guest, 0);
	port = listen_on(&host, 0x2001);
	assert_int_equal(partition_listen(host.partition, 0x2001, &second), -EEXIST);
	partition_unlisten(port);
	port = listen_on(&host, 0x2001);
	partition_unlisten(port);
	end_close_both(&host, &guest);
}

/* Many ids at once, as many as a guest has flags in an ordinary descriptor limit. */
static void test_many_ids(void **state)
{
	struct partition_port *ports[150];
	struct partition_link *links[150];

	end_open_both(&host, &guest, 0);
	for (uint32_t i = 0; i < 150; i++) {
		ports[i] = listen_on(&guest, i * 13);
		links[i] = link_to(&host, i * 13);
	}
	for (uint32_t i = 0; i < 150; i += 2)
		partition_signal(links[i]);
	for (uint32_t i = 0; i < 150; i += 2)
		assert_true(port_readable(ports[i], 5000));
	for (uint32_t i = 1; i < 150; i += 2)
		assert_false(port_readable(ports[i], 0));
	for (uint32_t i = 0; i < 150; i++) {
		partition_disconnect(links[i]);
		partition_unlisten(ports[i]);
	}
	end_close_both(&host, &guest);
}

static void test_old_link_is_dead_port_stays(void **state)
{
	const char *uri = end_new_uri();
	struct partition_port *port;
	struct partition_link *link;

	end_open(&host, PARTITION_HOST, uri, 0);
	port = listen_on(&host, 9);
	end_open(&guest, PARTITION_GUEST, uri, 0);
	end_await(&guest, &guest.came, 1);
	end_await(&host, &host.came, 1);
	link = link_to(&guest, 9);
	partition_signal(link);
	assert_true(port_readable(port, 5000));
	partition_port_clear(port);
	end_close(&guest);
	partition_signal(link);
	assert_false(port_readable(port, 20) &&
	             (partition_port_clear(port), port_readable(port, 20)));
	partition_disconnect(link); /* after close: allowed */
	end_await(&host, &host.gone, 1);

	end_open(&guest, PARTITION_GUEST, uri, 0);
	end_await(&guest, &guest.came, 1);
	end_await(&host, &host.came, 2);
	partition_port_clear(port);
	assert_false(port_readable(port, 20));
	link = link_to(&guest, 9);
	partition_signal(link);
	assert_true(port_readable(port, 5000));
	partition_disconnect(link);
	end_close(&guest);
	end_close(&host);
	partition_unlisten(port); /* after close: allowed */
}

static void test_link_made_early_reaches_who_comes(void **state)
{
	const char *uri = end_new_uri();
	struct partition_port *port;
	struct partition_link *link;

	end_open(&host, PARTITION_HOST, uri, 0);
	link = link_to(&host, 9);
	partition_signal(link); /* nobody there: nothing */
	end_open(&guest, PARTITION_GUEST, uri, 0);
	end_await(&host, &host.came, 1);
	port = listen_on(&guest, 9);
	assert_false(port_readable(port, 20));
	partition_signal(link);
	assert_true(port_readable(port, 5000));
	partition_unlisten(port);
	partition_disconnect(link);
	end_close_both(&host, &guest);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_signals_arrive_both_ways),
	cmocka_unit_test(test_signals_coalesce),
	cmocka_unit_test(test_signal_before_listen_is_kept),
	cmocka_unit_test(test_signal_between_two_listens_is_kept),
	cmocka_unit_test(test_signal_not_taken_is_kept),
	cmocka_unit_test(test_one_port_an_id),
	cmocka_unit_test(test_many_ids),
	cmocka_unit_test(test_old_link_is_dead_port_stays),
	cmocka_unit_test(test_link_made_early_reaches_who_comes),
};

END_MAIN(tests)
