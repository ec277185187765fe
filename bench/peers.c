/* SPDX-License-Identifier: BSD-2-Clause */

/* What one would use without VMBus: a pipe, a Unix socket, ZeroMQ. */

#include "rows.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

/* ---- what the system offers ---- */

struct pipe_stream {
	int in, out;
	uint64_t count;
	uint32_t size;
};

static void fd_write(void *arg)
{
	struct pipe_stream *p = arg;

	for (uint64_t i = 0; i < p->count; i++)
		if (write(p->in, bench_source, p->size) != (ssize_t)p->size)
			abort();
}

static void fd_read(void *arg)
{
	struct pipe_stream *p = arg;

	for (uint64_t i = 0; i < p->count; i++)
		if (read(p->out, bench_target, p->size) != (ssize_t)p->size)
			abort();
}

static double fd_stream(const int fds[2], uint64_t count, uint32_t size)
{
	struct pipe_stream p = { .in = fds[1], .out = fds[0], .count = count, .size = size };
	double seconds = bench_pair(fd_write, fd_read, &p);

	close(fds[0]);
	close(fds[1]);
	return seconds;
}

double pipe_stream(uint64_t count, uint32_t size)
{
	int fds[2];

	if (pipe(fds) != 0)
		abort();
	return fd_stream(fds, count, size);
}

double seqpacket_stream(uint64_t count, uint32_t size)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) != 0)
		abort();
	return fd_stream(fds, count, size);
}

struct zmq_stream {
	void *push, *pull;
	uint64_t count;
	uint32_t size;
};

static void zmq_write(void *arg)
{
	struct zmq_stream *z = arg;

	for (uint64_t i = 0; i < z->count; i++)
		if (zmq_send(z->push, bench_source, z->size, 0) < 0)
			abort();
}

static void zmq_read(void *arg)
{
	struct zmq_stream *z = arg;

	for (uint64_t i = 0; i < z->count; i++)
		if (zmq_recv(z->pull, bench_target, BENCH_PAYLOAD, 0) != (int)z->size)
			abort();
}

double zmq_stream(uint64_t count, uint32_t size)
{
	struct zmq_stream z = { .count = count, .size = size };
	void *sender = zmq_ctx_new(), *receiver = zmq_ctx_new();
	char directory[] = "/tmp/bench-ring-XXXXXX", address[64], *path = address + 6;
	double seconds;

	if (mkdtemp(directory) == NULL)
		abort();
	snprintf(address, sizeof(address), "ipc://%s/zmq", directory);
	z.push = zmq_socket(sender, ZMQ_PUSH);
	z.pull = zmq_socket(receiver, ZMQ_PULL);
	if (zmq_bind(z.pull, address) != 0 || zmq_connect(z.push, address) != 0)
		abort();
	seconds = bench_pair(zmq_write, zmq_read, &z);
	zmq_close(z.push);
	zmq_close(z.pull);
	zmq_ctx_term(sender);
	zmq_ctx_term(receiver);
	unlink(path);
	rmdir(directory);
	return seconds;
}

/* ---- there and back ---- */

struct fd_echo {
	int ask[2], answer[2]; /* read end, write end */
	uint64_t count;
	uint32_t size;
};

static void fd_move(int in, int out, uint32_t size, bool write_first)
{
	if (write_first && write(out, bench_source, size) != (ssize_t)size)
		abort();
	if (read(in, bench_target, size) != (ssize_t)size)
		abort();
	if (!write_first && write(out, bench_source, size) != (ssize_t)size)
		abort();
}

static void fd_ask(void *arg)
{
	struct fd_echo *e = arg;

	for (uint64_t i = 0; i < e->count; i++)
		fd_move(e->answer[0], e->ask[1], e->size, true);
}

static void fd_answer(void *arg)
{
	struct fd_echo *e = arg;

	for (uint64_t i = 0; i < e->count; i++)
		fd_move(e->ask[0], e->answer[1], e->size, false);
}

static double fd_echo(struct fd_echo *e)
{
	double seconds = bench_pair(fd_ask, fd_answer, e);

	for (int i = 0; i < 2; i++) {
		close(e->ask[i]);
		close(e->answer[i]);
	}
	return seconds;
}

double pipe_echo(uint64_t count, uint32_t size)
{
	struct fd_echo e = { .count = count, .size = size };

	if (pipe(e.ask) != 0 || pipe(e.answer) != 0)
		abort();
	return fd_echo(&e);
}

double seqpacket_echo(uint64_t count, uint32_t size)
{
	struct fd_echo e = { .count = count, .size = size };

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, e.ask) != 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, e.answer) != 0)
		abort();
	return fd_echo(&e);
}
