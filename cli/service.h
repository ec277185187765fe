/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CLI_SERVICE_H
#define CLI_SERVICE_H

/*
 * The services that kmcl host and kmcl boot offer a guest. Each is a file, service_NAME.c, with its
 * options, its commands on the control socket, and one instance of its device: this process is the
 * host of one guest. A new one is one more file, and a line in service.c.
 */

#include "cli.h"

#include <getopt.h>

struct service_option {
	const char *name; /* --name */
	char letter;      /* -l; 0: none */
	bool argument;
	/* An exit code; what is wrong is said with cli_usage(command, ...). */
	int (*take)(const char *command, const char *argument);
};

/* Answers a command of the control socket: prints to `out`, as JSON one document or nothing, or one
 * line of what is wrong to `why`, and returns an exit code. argv[0] is the first word after the
 * command's own; there are as many words as the command takes. */
struct control_reply {
	FILE *out;
	bool json;
	char why[512];
};

struct control_command {
	const char *words;     /* "disk add" */
	const char *arguments; /* for the help */
	const char *help;
	int (*run)(struct control_reply *reply, int argc, char **argv);
	int least, most; /* arguments */
};

struct service {
	const char *name;                       /* of its offer: for rescind and offer */
	const char *help;                       /* of its options, whole lines */
	const struct service_option *options;   /* the first has it offered; the last has no name */
	const struct control_command *commands; /* likewise */
	bool (*wanted)(void);
	int (*open)(struct kmcl_host *host); /* an exit code; what is wrong is said */
	void (*close)(void);
	/* Before close() under a running guest; may take a while, but not once services_ending().
	 * NULL: nothing. */
	void (*withdraw)(void);
	void (*print)(FILE *out);     /* statistics, in a line; NULL: it keeps none */
	void (*json)(struct json *j); /* likewise: the members of an object */
};

extern const struct service disk_service, echo_service, ic_service, keyboard_service, mouse_service,
	net_service;
/* As its option does. The guest's reference time, in 100 ns, comes from the function; NULL: it is
 * the time since the services were opened. */
void service_ic_want(uint64_t (*reference_time)(void *context));

/* ---- all of them ---- */

/* Options for getopt_long(): a command's own, up to one without a name, and then the services'.
 * What getopt_long() returns for one of those goes to services_option(), which returns an exit
 * code, or -1: it is none. */
const struct option *services_options(const struct option *own, const char *own_letters,
                                      const char **letters);
int services_option(const char *command, int c, const char *argument);
void services_print_help(void);
/* That something is to be offered; an exit code. */
int services_check_wanted(const char *command);

/* "5.3": the newest version of VMBus agreed to; an option of each command with services. An exit
 * code. */
int services_take_version(const char *command, const char *argument);
/* "4G": how much memory a guest process may bring. */
int services_take_memory_max(const char *command, const char *argument);

/* --monitored, likewise: all but the integration components are offered with the monitor page. */
void services_take_monitored(void);
bool services_monitored(void);

/* Becomes the host of `uri` and offers what is wanted. An exit code; what is wrong is said, and
 * nothing is open then. */
int services_open(const char *uri);
/* Services that a command still uses, and the host then, are left as they are: the process ends. */
void services_close(void);
/* No further command begins, and what takes its time is told to hurry. */
void services_end(void);
bool services_ending(void);
struct kmcl_host *services_host(void);
/* What they did. */
void services_print(FILE *out);
void services_json(FILE *out);

/* "rescind", "offer" and what the services know. */
extern const struct control_command services_commands[];
/* Runs one of a list of commands. Those of a service run only while nobody takes that back, and
 * nobody takes it back meanwhile: who would have to wait is refused. */
int services_run(struct control_reply *reply, const struct control_command *list,
                 const struct control_command *command, int argc, char **argv);
/* The next service's commands after `before`; NULL: the first's, or no more. */
const struct control_command *services_next_commands(const struct control_command *before);

/* A reply's one line of what is wrong; returns EXIT_FAILED, or EXIT_USAGE where its words are. */
int control_refuse(struct control_reply *reply, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
int control_usage(struct control_reply *reply, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Why a guest did not do something, as kmcl/ic.h and kmcl/input.h have it. */
const char *control_reason(int error);

#endif
