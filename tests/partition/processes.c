/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * unix:PATH between real processes, either of which may be stopped or killed at any moment. The
 * child is this program again, being the other end and doing what messages tell it to.
 */

#include "end.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGES    64u
#define CHILD_ID 7u /* the id on which either end listens */

extern char **environ;

static struct end host, guest;
static char uri[128];

/* ---- the child ---- */

enum order {
	ORDER_ECHO = 1,
	ORDER_SIGNAL, /* me, on CHILD_ID */
	ORDER_MEMORY, /* write into the page I name, if you are the host */
	ORDER_PAGE,   /* tell me a page of yours, if you are the guest */
};

struct order_message {
	uint32_t order;
	uint32_t number;
	uint64_t page;
};

static void child_signal(struct end *end)
{
	struct partition_address to = { .id = CHILD_ID };
	struct partition_link *link;

	must(partition_connect(end->partition, to, &link) == 0);
	partition_signal(link);
	partition_disconnect(link);
}

static void child_write(struct end *end, uint64_t gpn)
{
	struct partition_pin *pin = partition_pin(end->partition);
	char *page;

	must(pin);
	page = partition_page(pin, gpn);
	must(page);
	strcpy(page, "written by the host process");
	partition_unpin(pin);
}

/* An end goes on reading while it cannot post, so answers wait here. Only for the upcalls. */
static struct order_message answers_to_give[END_MESSAGES_MAX];
static unsigned int answers, answers_given;

static void child_flush(struct end *end)
{
	struct partition_address back = { .id = 1 };

	while (answers_given < answers) {
		const struct order_message *message = &answers_to_give[answers_given];

		if (partition_post(end->partition, back, message, sizeof(*message)) == -EAGAIN)
			return;
		answers_given++;
	}
}

static void child_obey(struct end *end, const struct end_message *message)
{
	struct order_message order;

	must(message->size == sizeof(order));
	memcpy(&order, message->payload, sizeof(order));
	switch (order.order) {
	case ORDER_SIGNAL:
		child_signal(end);
		return;
	case ORDER_MEMORY:
		child_write(end, order.page);
		break;
	case ORDER_PAGE:
		strcpy((char *)end->settings.ram.base + 3 * 4096, "written by the guest process");
		order.page =
			partition_gpn(end->partition, (char *)end->settings.ram.base + 3 * 4096);
		break;
	}
	must(answers < END_MESSAGES_MAX);
	answers_to_give[answers++] = order;
	child_flush(end);
}

static int child_main(const char *side, const char *at)
{
	static struct end end;
	struct partition_port *port;
	char byte;

	end_open(&end, !strcmp(side, "host") ? PARTITION_HOST : PARTITION_GUEST, at, PAGES);
	end_set_hooks(&end, child_obey, child_flush);
	must(partition_listen(end.partition, CHILD_ID, &port) == 0);
	must(write(STDOUT_FILENO, "r", 1) == 1);
	/* Passes its own signals on, until the parent is gone. */
	for (;;) {
		if (port_readable(port, 20)) {
			partition_port_clear(port);
			child_signal(&end);
		}
		if (read(STDIN_FILENO, &byte, 1) == 0)
			_exit(0);
	}
}

/* ---- the parent ---- */

struct child {
	pid_t pid;
	int lifeline;
};

/* Starts the other end as a process and waits until it is open. */
static struct child spawn(const char *side)
{
	char program[] = "/proc/self/exe", flag[] = "--child", role[8], at[128];
	char *argv[] = { program, flag, role, at, NULL };
	posix_spawn_file_actions_t actions;
	struct child child;
	int in[2], out[2];
	char ready;

	strcpy(role, side);
	strcpy(at, uri);
	assert_int_equal(pipe2(in, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
	assert_int_equal(posix_spawn(&child.pid, program, &actions, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	close(in[0]);
	close(out[1]);
	assert_int_equal(read(out[0], &ready, 1), 1);
	close(out[0]);
	child.lifeline = in[1];
	return child;
}

static void kill_child(struct child *child)
{
	int status;

	kill(child->pid, SIGKILL);
	assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	close(child->lifeline);
}

static int order(struct end *end, enum order what, uint32_t number, uint64_t page)
{
	struct order_message message = { what, number, page };

	return partition_post(end->partition, (struct partition_address){ .id = 1 }, &message,
	                      sizeof(message));
}

static struct order_message answer(const struct end *end, unsigned int index)
{
	struct order_message message;

	memcpy(&message, end->message[index].payload, sizeof(message));
	return message;
}

static void new_uri(void)
{
	end_scheme = "unix";
	strcpy(uri, end_new_uri());
}

/* Messages in order and signals both ways, whichever end the child is. */
static void talk(struct end *end, struct partition_port *port)
{
	struct partition_address to = { .id = CHILD_ID };
	struct partition_link *link;
	unsigned int before = end_read(end, &end->messages);

	for (uint32_t i = 0; i < 50; i++)
		assert_int_equal(order(end, ORDER_ECHO, i, 0), 0);
	end_await(end, &end->messages, before + 50);
	for (uint32_t i = 0; i < 50; i++)
		assert_int_equal(answer(end, before + i).number, i);

	assert_false(port_readable(port, 0));
	assert_int_equal(order(end, ORDER_SIGNAL, 0, 0), 0);
	assert_true(port_readable(port, 5000));
	partition_port_clear(port);
	assert_false(port_readable(port, 0));

	assert_int_equal(partition_connect(end->partition, to, &link), 0);
	partition_signal(link); /* which the child passes back */
	assert_true(port_readable(port, 5000));
	partition_port_clear(port);
	partition_disconnect(link);
}

static void test_child_is_host(void **state)
{
	struct partition_port *port;
	struct child child;
	char *page;

	new_uri();
	child = spawn("host");
	end_open(&guest, PARTITION_GUEST, uri, PAGES);
	assert_int_equal(partition_listen(guest.partition, CHILD_ID, &port), 0);
	end_await(&guest, &guest.came, 1);
	assert_int_equal(partition_other_process(guest.partition), child.pid);
	talk(&guest, port);
	page = (char *)guest.settings.ram.base + 5 * 4096;
	assert_int_equal(order(&guest, ORDER_MEMORY, 0, partition_gpn(guest.partition, page)), 0);
	end_await(&guest, &guest.messages, 51);
	assert_string_equal(page, "written by the host process");
	kill_child(&child);
	end_await(&guest, &guest.gone, 1);
	partition_unlisten(port);
	end_close(&guest);
	end_free_ram(&guest);
}

static void test_child_is_guest(void **state)
{
	struct partition_port *port;
	struct partition_pin *pin;
	struct child child;
	char *page;

	new_uri();
	end_open(&host, PARTITION_HOST, uri, 0);
	assert_int_equal(partition_listen(host.partition, CHILD_ID, &port), 0);
	child = spawn("guest");
	end_await(&host, &host.came, 1);
	assert_int_equal(partition_other_process(host.partition), child.pid);
	talk(&host, port);
	assert_int_equal(order(&host, ORDER_PAGE, 0, 0), 0);
	end_await(&host, &host.messages, 51);
	pin = partition_pin(host.partition);
	page = partition_page(pin, answer(&host, 50).page);
	assert_string_equal(page, "written by the guest process");
	kill_child(&child);
	end_await(&host, &host.gone, 1);
	/* Its memory stays for who pinned it. */
	assert_string_equal(page, "written by the guest process");
	memset(partition_pin_memory(pin).base, 0x55, PAGES * 4096);
	partition_unpin(pin);
	partition_unlisten(port);
	end_close(&host);
}

/* The child will die with much unread and unsaid. One that keeps up has room for no more. */
static void heap_up(struct end *end)
{
	for (unsigned int n = 0; n < END_MESSAGES_MAX / 2 && order(end, ORDER_ECHO, 0, 0) == 0; n++)
		;
}

/* What was said when: GONE must come from the death itself, not from a timer. */
static double seconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

static void test_guest_killed_again_and_again(void **state)
{
	struct partition_port *port;

	new_uri();
	end_open(&host, PARTITION_HOST, uri, 0);
	assert_int_equal(partition_listen(host.partition, CHILD_ID, &port), 0);
	for (unsigned int i = 1; i <= 8; i++) {
		struct child child = spawn("guest");
		struct timespec start;

		end_await(&host, &host.came, i);
		partition_port_clear(port);
		talk(&host, port);
		if (i % 2)
			heap_up(&host);
		clock_gettime(CLOCK_MONOTONIC, &start);
		kill_child(&child);
		end_await(&host, &host.gone, i);
		assert_true(seconds_since(&start) < 5);
		assert_int_equal(order(&host, ORDER_ECHO, 0, 0), -ENOTCONN);
		host.messages = 0;
	}
	partition_unlisten(port);
	end_close(&host);
}

static void test_host_killed_again_and_again(void **state)
{
	struct partition_port *port;
	struct child child;

	new_uri();
	child = spawn("host");
	end_open(&guest, PARTITION_GUEST, uri, PAGES);
	assert_int_equal(partition_listen(guest.partition, CHILD_ID, &port), 0);
	for (unsigned int i = 1; i <= 8; i++) {
		end_await(&guest, &guest.came, i);
		partition_port_clear(port);
		talk(&guest, port);
		if (i % 2)
			heap_up(&guest);
		kill_child(&child);
		end_await(&guest, &guest.gone, i);
		assert_int_equal(order(&guest, ORDER_ECHO, 0, 0), -ENOTCONN);
		guest.messages = 0;
		child = spawn("host"); /* past the socket and the lock of the dead one */
	}
	end_await(&guest, &guest.came, 9);
	kill_child(&child);
	partition_unlisten(port);
	end_close(&guest);
	end_free_ram(&guest);
}

static void test_stopped_guest_holds_nobody_up(void **state)
{
	struct timespec start;
	struct child child;
	uint32_t sent = 0;
	int status;

	new_uri();
	end_open(&host, PARTITION_HOST, uri, 0);
	child = spawn("guest");
	end_await(&host, &host.came, 1);
	kill(child.pid, SIGSTOP);
	assert_int_equal(waitpid(child.pid, &status, WUNTRACED), child.pid);
	assert_true(WIFSTOPPED(status));
	clock_gettime(CLOCK_MONOTONIC, &start);
	while (sent < 100000 && order(&host, ORDER_ECHO, sent, 0) == 0)
		sent++;
	assert_in_range(sent, 64, 2000);
	assert_int_equal(order(&host, ORDER_ECHO, sent, 0), -EAGAIN);
	assert_true(seconds_since(&start) < 5);
	assert_int_equal(end_read(&host, &host.writable), 0);
	kill(child.pid, SIGCONT);
	end_await(&host, &host.writable, 1);
	end_await(&host, &host.messages, sent);
	for (uint32_t i = 0; i < sent; i++)
		assert_int_equal(answer(&host, i).number, i);
	kill(child.pid, SIGSTOP);
	kill_child(&child); /* dies stopped */
	end_await(&host, &host.gone, 1);
	end_close(&host);
}

static void test_second_guest_is_refused(void **state)
{
	struct child child;

	new_uri();
	end_open(&host, PARTITION_HOST, uri, 0);
	child = spawn("guest");
	end_await(&host, &host.came, 1);
	assert_int_equal(end_try_open(&guest, PARTITION_GUEST, uri, 1), -EADDRINUSE);
	assert_non_null(strstr(guest.why, "busy"));
	assert_int_equal(order(&host, ORDER_ECHO, 3, 0), 0);
	end_await(&host, &host.messages, 1);
	kill_child(&child);
	/* A dead guest keeps no one out, not even for the moment until the host knows. */
	end_open(&guest, PARTITION_GUEST, uri, 1);
	end_await(&host, &host.came, 2);
	end_close_both(&host, &guest);
}

static void test_second_host_is_refused(void **state)
{
	struct child child;

	new_uri();
	child = spawn("host");
	assert_int_equal(end_try_open(&host, PARTITION_HOST, uri, 0), -EADDRINUSE);
	assert_non_null(strstr(host.why, "host already"));
	end_open(&guest, PARTITION_GUEST, uri, 1);
	end_await(&guest, &guest.came, 1);
	kill_child(&child);
	end_open(&host, PARTITION_HOST, uri, 0);
	end_await(&guest, &guest.came, 2);
	end_close_both(&host, &guest);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_child_is_host),
	cmocka_unit_test(test_child_is_guest),
	cmocka_unit_test(test_guest_killed_again_and_again),
	cmocka_unit_test(test_host_killed_again_and_again),
	cmocka_unit_test(test_stopped_guest_holds_nobody_up),
	cmocka_unit_test(test_second_guest_is_refused),
	cmocka_unit_test(test_second_host_is_refused),
};

int main(int argc, char **argv)
{
	int failed;

	if (argc == 4 && !strcmp(argv[1], "--child"))
		return child_main(argv[2], argv[3]);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	end_forget_uris();
	return failed;
}
