/* SPDX-License-Identifier: BSD-2-Clause */
/* A keyboard, on which texts are typed. */
#include "service.h"

#include <errno.h>
#include <kmcl/input.h>
#include <string.h>

static bool wanted;
static struct kmcl_keyboard *keyboard;

static int take_keyboard(const char *command, const char *argument)
{
	wanted = true;
	return EXIT_OK;
}

static const struct service_option options[] = {
	{ "keyboard", 0, false, take_keyboard },
	{ 0 },
};

static bool is_wanted(void)
{
	return wanted;
}

/* ---- opening and closing ---- */

static int open_keyboard(struct kmcl_host *host)
{
	struct kmcl_keyboard_options own = { .size = sizeof(own),
		                             .monitored = services_monitored() };
	int error = kmcl_keyboard_create(host, &own, &keyboard);

	if (!error)
		return EXIT_OK;
	cli_error("cannot offer the keyboard: %s", cli_reason(error));
	return EXIT_FAILED;
}

static void close_keyboard(void)
{
	kmcl_keyboard_destroy(keyboard);
	keyboard = NULL;
}

static struct kmcl_keyboard_info info(void)
{
	struct kmcl_keyboard_info info = { .size = sizeof(info) };

	kmcl_keyboard_query(keyboard, &info);
	return info;
}

static void print_keyboard(FILE *out)
{
	struct kmcl_keyboard_info now = info();

	fprintf(out, "%s; %llu messages to the guest, %u wait; %llu of its own made no sense\n",
	        now.version ? "the guest's driver is there" : "no driver",
	        (unsigned long long)now.sent, now.waiting, (unsigned long long)now.wrong);
}

static void keyboard_json(struct json *j)
{
	struct kmcl_keyboard_info now = info();

	json_bool(j, "driver", now.version != 0);
	json_number(j, "opens", now.opens);
	json_number(j, "sent", now.sent);
	json_number(j, "waiting", now.waiting);
	json_number(j, "wrong", now.wrong);
	json_number(j, "leds", now.leds);
}

/* ---- commands ---- */

/* The character there, of `size` bytes. */
static unsigned long code_point(const char *text, size_t size)
{
	static const unsigned char first[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	unsigned long code = (unsigned char)text[0] & first[size];

	for (size_t i = 1; i < size; i++)
		code = code << 6 | ((unsigned char)text[i] & 0x3f);
	return code;
}

/* Names the character that no key has; what is none, or cannot be shown, by its code alone. */
static int refuse_character(struct control_reply *reply, const char *text)
{
	size_t size = cli_character(text);

	if (size)
		return control_usage(reply, "no key of a US keyboard has '%.*s' (U+%04lX)",
		                     (int)size, text, code_point(text, size));
	return control_usage(reply, "no key of a US keyboard has the byte 0x%02x",
	                     (unsigned char)*text);
}

static int run_type(struct control_reply *reply, int argc, char **argv)
{
	struct kmcl_keyboard_text text = { .size = sizeof(text), .text = argv[0] };
	size_t typed;
	int error;

	if (!keyboard)
		return control_refuse(reply, "there is no keyboard");
	error = kmcl_keyboard_type(keyboard, &text, &typed);
	switch (error) {
	case 0:
		return EXIT_OK;
	case -EILSEQ:
		return refuse_character(reply, argv[0] + typed);
	case -EBUSY:
		return control_refuse(reply, "another text is being typed");
	case -ETIMEDOUT:
		return control_refuse(reply, "the guest does not read what is typed; %zu bytes are",
		                      typed);
	default:
		return control_refuse(reply, "%s", control_reason(error));
	}
}

static const struct control_command commands[] = {
	{ "type", "TEXT", "type it on the guest's keyboard", run_type, 1, 1 },
	{ 0 },
};

const struct service keyboard_service = {
	.name = "keyboard",
	.help = "      --keyboard        a keyboard, on which 'kmcl ctl type' types\n",
	.options = options,
	.commands = commands,
	.wanted = is_wanted,
	.open = open_keyboard,
	.close = close_keyboard,
	.print = print_keyboard,
	.json = keyboard_json,
};
