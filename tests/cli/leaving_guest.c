/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest that is asked to shut down and does not answer: with 'bus' it leaves the bus, with
 * 'channel' it closes the component's channel and stays until it gets SIGTERM. Usage: leaving_guest
 * URI WHAT. */
#include "persona_ic.h"
#include "services.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static const char *uri, *what;

static void wait_for_a_request(struct persona *p, struct persona_ic *ic)
{
	static const struct persona_contact contact = { .version = WIRE_VERSION_4_0,
		                                        .interrupt_page = true };

	persona_begin(p, uri);
	assert_true(persona_contact(p, &contact));
	persona_request_offers(p);
	persona_ic_open(p, ic, &services_shutdown, 4);
	persona_ic_negotiate(ic, persona_ic_versions, persona_ic_versions);
	puts("ready");
	fflush(stdout);
	persona_ic_receive(ic);
	assert_int_equal(persona_ic_header(ic)->type, IC_SHUTDOWN);
}

static void is_asked(void **state)
{
	static struct persona p;
	static struct persona_ic ic;

	wait_for_a_request(&p, &ic);
	if (strcmp(what, "channel") == 0) {
		persona_close(&ic.channel);
		pause();
	}
	persona_unload(&p);
	persona_forget(&ic.channel);
	persona_leave(&p);
	persona_end(&p);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(is_asked) };

	if (argc != 3)
		return 2;
	uri = argv[1];
	what = argv[2];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
