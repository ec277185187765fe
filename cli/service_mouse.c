/* SPDX-License-Identifier: BSD-2-Clause */
/* A mouse, which moves and clicks. */
#include "service.h"

#include <errno.h>
#include <kmcl/input.h>
#include <string.h>

static bool wanted;
static struct kmcl_mouse *mouse;

static int take_mouse(const char *command, const char *argument)
{
	wanted = true;
	return EXIT_OK;
}

static const struct service_option options[] = {
	{ "mouse", 0, false, take_mouse },
	{ 0 },
};

static bool is_wanted(void)
{
	return wanted;
}

/* ---- opening and closing ---- */

static int open_mouse(struct kmcl_host *host)
{
	struct kmcl_mouse_options own = { .size = sizeof(own), .monitored = services_monitored() };
	int error = kmcl_mouse_create(host, &own, &mouse);

	if (!error)
		return EXIT_OK;
	cli_error("cannot offer the mouse: %s", cli_reason(error));
	return EXIT_FAILED;
}

static void close_mouse(void)
{
	kmcl_mouse_destroy(mouse);
	mouse = NULL;
}

static struct kmcl_mouse_info info(void)
{
	struct kmcl_mouse_info info = { .size = sizeof(info) };

	kmcl_mouse_query(mouse, &info);
	return info;
}

static void print_mouse(FILE *out)
{
	struct kmcl_mouse_info now = info();

	fprintf(out, "%s; %llu messages to the guest, %u wait; %llu of its own made no sense\n",
	        now.version ? "the guest's driver is there" : "no driver",
	        (unsigned long long)now.sent, now.waiting, (unsigned long long)now.wrong);
}

static void mouse_json(struct json *j)
{
	struct kmcl_mouse_info now = info();

	json_bool(j, "driver", now.version != 0);
	json_number(j, "opens", now.opens);
	json_number(j, "sent", now.sent);
	json_number(j, "waiting", now.waiting);
	json_number(j, "wrong", now.wrong);
}

/* ---- commands ---- */

/* Where the arguments say; an exit code. */
static int take_place(struct control_reply *reply, char **argv, struct kmcl_mouse_state *state)
{
	uint64_t x, y;

	if (!cli_parse_size(argv[0], 0, KMCL_MOUSE_POSITION_MAX, &x) ||
	    !cli_parse_size(argv[1], 0, KMCL_MOUSE_POSITION_MAX, &y))
		return control_usage(reply, "a place is X Y, each 0 to %u, not '%s %s'",
		                     KMCL_MOUSE_POSITION_MAX, argv[0], argv[1]);
	state->x = (uint32_t)x;
	state->y = (uint32_t)y;
	return EXIT_OK;
}

static const struct {
	const char *name;
	enum kmcl_mouse_button button;
} buttons[] = {
	{ "left", KMCL_MOUSE_LEFT }, { "right", KMCL_MOUSE_RIGHT }, { "middle", KMCL_MOUSE_MIDDLE },
	{ "side", KMCL_MOUSE_SIDE }, { "extra", KMCL_MOUSE_EXTRA },
};

/* "--button NAME" or "--button=NAME"; an exit code. */
static int take_button(struct control_reply *reply, int argc, char **argv, uint32_t *button)
{
	bool joined = argc == 1 && !strncmp(argv[0], "--button=", 9);
	const char *name = joined ? argv[0] + 9 : argv[argc - 1];

	if (!joined && (argc != 2 || strcmp(argv[0], "--button") != 0))
		return control_usage(reply, "after the place there may be --button NAME");
	for (size_t i = 0; i < sizeof(buttons) / sizeof(buttons[0]); i++) {
		*button = buttons[i].button;
		if (!strcmp(name, buttons[i].name))
			return EXIT_OK;
	}
	return control_usage(reply, "the buttons are left, right, middle, side and extra, not '%s'",
	                     name);
}

static int put(struct control_reply *reply, const struct kmcl_mouse_state *state)
{
	int error = kmcl_mouse_report(mouse, state);

	if (!error)
		return EXIT_OK;
	if (error == -EAGAIN)
		return control_refuse(reply, "the guest does not read what the mouse does");
	return control_refuse(reply, "%s", control_reason(error));
}

static int run_pointer(struct control_reply *reply, int argc, char **argv)
{
	struct kmcl_mouse_state state = { .size = sizeof(state) };
	int code = take_place(reply, argv, &state);

	if (code)
		return code;
	return mouse ? put(reply, &state) : control_refuse(reply, "there is no mouse");
}

/* There, and then down and up: some look at where the pointer was before it was pressed. */
static int click(struct control_reply *reply, struct kmcl_mouse_state *state, uint32_t button)
{
	int code = put(reply, state);

	state->buttons = button;
	if (!code)
		code = put(reply, state);
	state->buttons = 0;
	return code ? code : put(reply, state);
}

static int run_click(struct control_reply *reply, int argc, char **argv)
{
	struct kmcl_mouse_state state = { .size = sizeof(state) };
	uint32_t button = KMCL_MOUSE_LEFT;
	int code = take_place(reply, argv, &state);

	if (!code && argc > 2)
		code = take_button(reply, argc - 2, argv + 2, &button);
	if (code)
		return code;
	return mouse ? click(reply, &state, button) : control_refuse(reply, "there is no mouse");
}

static const struct control_command commands[] = {
	{ "pointer", "X Y", "put the mouse's pointer there; 0 to 32767", run_pointer, 2, 2 },
	{ "click", "X Y [--button NAME]", "and click: left, right, middle", run_click, 2, 4 },
	{ 0 },
};

const struct service mouse_service = {
	.name = "mouse",
	.help = "      --mouse           a mouse, which 'kmcl ctl pointer' and 'click' move\n",
	.options = options,
	.commands = commands,
	.wanted = is_wanted,
	.open = open_mouse,
	.close = close_mouse,
	.print = print_mouse,
	.json = mouse_json,
};
