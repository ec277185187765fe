/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CLI_CLI_H
#define CLI_CLI_H

/* What the subcommands share: errors, options, output as text or JSON, progress. */

#include <kmcl/kmcl.h>

#include <signal.h>
#include <stdio.h>

/* Exit codes, as kmcl(1) lists them. */
enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,   /* it was tried and did not work */
	EXIT_USAGE = 2,    /* the command line is wrong */
	EXIT_MISMATCH = 3, /* what was read is not what was expected */
};

/* "kmcl: ..." on stderr. */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Likewise, and where help is; returns EXIT_USAGE. */
int cli_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* For what getopt_long() returned that is no option, with a colon first in its letters. EXIT_USAGE.
 */
int cli_bad_option(const char *command, int c, char **argv);
/* Of the value of an option that names a partition: "unix:PATH" it must be. An exit code. */
int cli_check_partition(const char *command, const char *option, const char *uri);
/* Likewise, of one that names a socket's file. */
int cli_check_socket(const char *command, const char *option, const char *path);
/* The last before the process ends: what was printed is written, or that is said; the exit code
 * then. */
int cli_end(int code);
/* All of it; 0 or -errno. */
int cli_write(int fd, const void *data, size_t size);
/* Why something failed, of an errno or its negative. */
const char *cli_reason(int error);
/* A status in words, and its number. The text is the calling thread's until its next call. */
const char *cli_status(NTSTATUS status);

/* How many bytes of UTF-8 the character has that begins there; 0: it is a control character, of C0
 * or C1, or none at all. */
size_t cli_character(const char *text);
/* Text from elsewhere for a terminal: puts a question mark for what is no such character, unless it
 * is in `keep`. What cli_error() prints has been through it. */
void cli_clean(char *text, const char *keep);

/* "4k", "1M", "512", into *value; false: it is none, or out of range. */
bool cli_parse_size(const char *text, uint64_t min, uint64_t max, uint64_t *value);

/* "b6...-..." (36 characters, without braces). */
#define CLI_GUID_SIZE 37
void cli_guid(const struct kmcl_guid *guid, char text[CLI_GUID_SIZE]);

/* ---- JSON ---- */

struct json {
	FILE *file;
	unsigned int depth;
	bool comma;
};

void json_begin(struct json *j, FILE *file);
void json_open(struct json *j, const char *key, char bracket); /* '{' or '['; key may be NULL */
void json_close(struct json *j, char bracket);
void json_string(struct json *j, const char *key, const char *value);
void json_number(struct json *j, const char *key, uint64_t value);
void json_real(struct json *j, const char *key, double value);
void json_bool(struct json *j, const char *key, bool value);
void json_null(struct json *j, const char *key);
void json_end(struct json *j);

/* ---- progress: on stderr, and only when that is a terminal ---- */

struct progress {
	const char *what;
	uint64_t total;
	uint64_t begin_ns, shown_ns;
	bool visible;
};

void progress_begin(struct progress *p, const char *what, uint64_t total);
void progress_at(struct progress *p, uint64_t done);
void progress_end(struct progress *p);

uint64_t cli_now_ns(void);

/* ---- waiting for a host: while none of this has begun, it does nothing ---- */

/* From now on the host has `timeout_ms` for each answer (0: 60 s). */
void patience_begin(uint32_t timeout_ms);
/* For what is waited now, in words that are copied: after 2 s they are said, when the time is over
 * the process ends with EXIT_FAILED. */
void patience_wait(const char *what);
/* Likewise, but it is only said: what waits has a limit of its own. */
void patience_say(const char *what);
/* The host has answered something: its time begins anew. Any thread. */
void patience_answered(void);
/* Nothing is waited for just now. */
void patience_idle(void);
void patience_end(void);
/* What is waited for just now; false: nothing, or it cannot be known without waiting. */
#define PATIENCE_WHAT_SIZE 96
bool patience_what(char what[PATIENCE_WHAT_SIZE]);

/* ---- signals ---- */

/* Those that end a command, but for what it was started to ignore. */
void cli_end_signals(sigset_t *signals);
/* From now on they do so at once, and that is said. Before other threads are made. */
void farewell_begin(void);

/* Room for so many, to be freed; NULL: out of memory. */
struct kmcl_bus_channel *channels_new(uint32_t capacity);
/* Channels as text or JSON; verbose 0 to 2. */
void channels_print(FILE *out, bool json, int verbose, const struct kmcl_bus_info *bus,
                    const struct kmcl_bus_channel *channels, uint32_t count);

/* ---- latencies ---- */

struct percentiles {
	double min, p50, p90, p99, p999, max, mean; /* microseconds */
};

/* Sorts them. */
void percentiles_of(uint32_t *ns, uint64_t count, struct percentiles *p);
void percentiles_json(struct json *j, const char *key, const struct percentiles *p);

/* ---- SHA-256 ---- */

#define HASH_TEXT_SIZE 65 /* 64 digits and the end */

struct hash;
struct hash *hash_new(void); /* NULL: out of memory */
void hash_add(struct hash *h, const void *data, size_t n);
void hash_finish(struct hash *h, char text[HASH_TEXT_SIZE]); /* frees it */
/* Of a file's contents; 0 or -errno. */
int hash_file(const char *path, char text[HASH_TEXT_SIZE]);

/* ---- the subcommands; argv[0] is their name ---- */

struct guest_options {
	const char *connect;
	PDEVICE_OBJECT bus; /* once connected */
	bool json;
	uint32_t timeout_ms; /* for each answer; 0: what is usual */
};

int host_main(int argc, char **argv);
int guest_main(int argc, char **argv);
/* Once the whole command line is known to be right: connects. An exit code; guest_main() ends it.
 */
int guest_connect(struct guest_options *options);
int guest_ls(struct guest_options *options, int argc, char **argv);
int guest_disk(struct guest_options *options, int argc, char **argv);
int guest_echo(struct guest_options *options, int argc, char **argv);
int demo_main(int argc, char **argv);
int ctl_main(int argc, char **argv);
int boot_main(int argc, char **argv); /* where there is KVM */

/* `argc` and `argv` without the first `n`, for getopt_long to begin anew. */
void cli_shift(int *argc, char ***argv, int n);

#endif
