/* SPDX-License-Identifier: BSD-2-Clause */
#include "private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE_MAX_BYTES 1024

static struct {
	struct nt_lock lock;
	void (*fn)(int level, const char *channel, const char *text, void *context);
	void *context;
} sink;
static int max_level = NT_LOG_WARNING;
/* A callback that logs writes to stderr: the lock is its caller's. */
static __thread bool inside;

static void to_stderr(int level, const char *channel, const char *text)
{
	static const char *const names[] = { "error", "warning", "info", "trace" };

	fprintf(stderr, "kmcl: %s: %s%s%s\n", names[level], channel ? channel : "",
	        channel ? ": " : "", text);
}

static void emit(int level, const char *channel, const char *text)
{
	if (inside) {
		to_stderr(level, channel, text);
		return;
	}
	inside = true;
	nt_lock_acquire(&sink.lock);
	if (sink.fn)
		sink.fn(level, channel, text, sink.context);
	else
		to_stderr(level, channel, text);
	nt_lock_release(&sink.lock);
	inside = false;
}

/* How many bytes the character has that begins there; 0: it is none, or C1 (0x80 to 0x9f). */
static size_t utf8(const unsigned char *p)
{
	size_t n = *p < 0xc2 || *p > 0xf4 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4, i;
	unsigned int least = *p == 0xc2 || *p == 0xe0 ? 0xa0 : *p == 0xf0 ? 0x90 : 0x80;

	for (i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80 || p[1] < least)
			return 0;
	}
	return n;
}

/* Lines carry text from the other end, and go to terminals: no control character does. */
static void clean(char *text)
{
	unsigned char *p = (unsigned char *)text;
	size_t n;

	while (*p) {
		n = *p < 0x7f ? *p >= 0x20 : utf8(p);
		if (!n)
			*p = '?';
		p += n ? n : 1;
	}
}

void nt_log_set(void (*fn)(int level, const char *channel, const char *text, void *context),
                void *context, enum nt_log_level max)
{
	nt_lock_acquire(&sink.lock);
	sink.fn = fn;
	sink.context = context;
	nt_lock_release(&sink.lock);
	__atomic_store_n(&max_level, (int)max, __ATOMIC_RELAXED);
}

bool nt_log_enabled(enum nt_log_level level)
{
	return (int)level <= __atomic_load_n(&max_level, __ATOMIC_RELAXED);
}

static void nt_log_v(enum nt_log_level level, const char *channel, const char *format, va_list ap)
{
	char text[LINE_MAX_BYTES];

	if (!nt_log_enabled(level))
		return;
	vsnprintf(text, sizeof(text), format, ap);
	clean(text);
	emit((int)level, channel, text);
}

void nt_log(enum nt_log_level level, const char *channel, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	nt_log_v(level, channel, format, ap);
	va_end(ap);
}

/* Is there room for one more? `unsaid` gets how many were not said in the last window. */
static bool account_takes(struct nt_log_account *account, enum nt_log_kind kind, uint32_t *unsaid)
{
	uint64_t *since = &account->kinds[kind].since;
	uint32_t *lines = &account->kinds[kind].lines;
	uint64_t now = nt_clock_now(NT_CLOCK_MONOTONIC);
	uint64_t begin = __atomic_load_n(since, __ATOMIC_RELAXED);
	uint32_t count;

	*unsaid = 0;
	if ((!begin || now - begin >= NT_LOG_WINDOW_NS) &&
	    __atomic_compare_exchange_n(since, &begin, now, false, __ATOMIC_RELAXED,
	                                __ATOMIC_RELAXED)) {
		count = __atomic_exchange_n(lines, 0, __ATOMIC_RELAXED);
		*unsaid = count > NT_LOG_LINES ? count - NT_LOG_LINES : 0;
	}
	count = __atomic_load_n(lines, __ATOMIC_RELAXED);
	if (count < UINT32_MAX)
		count = __atomic_fetch_add(lines, 1, __ATOMIC_RELAXED);
	return count < NT_LOG_LINES;
}

void nt_log_limited_v(struct nt_log_account *account, enum nt_log_kind kind,
                      enum nt_log_level level, const char *channel, const char *format, va_list ap)
{
	static const char *const kinds[NT_LOG_KINDS] = {
		[NT_LOG_OPERATOR] = "of this kind",   [NT_LOG_VISITORS] = "about visitors",
		[NT_LOG_MESSAGES] = "about messages", [NT_LOG_RINGS] = "about rings",
		[NT_LOG_PACKETS] = "about packets",   [NT_LOG_DRIVERS] = "of drivers",
	};
	uint32_t unsaid;
	bool takes;

	if (!nt_log_enabled(level))
		return;
	takes = account_takes(account, kind, &unsaid);
	if (unsaid)
		nt_log(level, channel, "%u more lines %s were not shown", unsaid, kinds[kind]);
	if (takes)
		nt_log_v(level, channel, format, ap);
}

void nt_log_limited(struct nt_log_account *account, enum nt_log_kind kind, enum nt_log_level level,
                    const char *channel, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	nt_log_limited_v(account, kind, level, channel, format, ap);
	va_end(ap);
}

void nt_die(const char *format, ...)
{
	char text[LINE_MAX_BYTES];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	clean(text);
	emit(NT_LOG_ERROR, NULL, text);
	abort();
}

void nt_misuse(const char *function, const char *object, const char *rule)
{
#ifdef NDEBUG
	nt_log(NT_LOG_ERROR, object, "misuse of %s: %s; the call is refused", function, rule);
#else
	nt_die("misuse of %s%s%s: %s", function, object ? " on " : "", object ? object : "", rule);
#endif
}
