/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli.h"

#include <unistd.h>

#define WIDTH       30
#define INTERVAL_NS 100000000u

static void draw(struct progress *p, uint64_t done, uint64_t now)
{
	double seconds = (double)(now - p->begin_ns) / 1e9;
	int filled = p->total ? (int)((double)done / (double)p->total * WIDTH) : WIDTH, i;

	fprintf(stderr, "\r%-8s [", p->what);
	for (i = 0; i < WIDTH; i++)
		fputc(i < filled ? '#' : ' ', stderr);
	fprintf(stderr, "] %3d%%", p->total ? (int)((double)done * 100 / (double)p->total) : 100);
	if (seconds > 0.5 && done) {
		double left = seconds * (double)(p->total - done) / (double)done;

		fprintf(stderr, " %5.0f s left", left);
	}
	fputs("\033[K", stderr);
	p->shown_ns = now;
}

void progress_begin(struct progress *p, const char *what, uint64_t total)
{
	*p = (struct progress){
		.what = what,
		.total = total,
		.begin_ns = cli_now_ns(),
		.visible = isatty(STDERR_FILENO),
	};
}

void progress_at(struct progress *p, uint64_t done)
{
	uint64_t now;

	if (!p->visible)
		return;
	now = cli_now_ns();
	if (now - p->shown_ns >= INTERVAL_NS)
		draw(p, done < p->total ? done : p->total, now);
}

void progress_end(struct progress *p)
{
	if (p->visible && p->shown_ns)
		fputs("\r\033[K", stderr);
}
