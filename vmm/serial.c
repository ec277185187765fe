/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A 16550A on the terminal: what Linux's 8250 driver and its early console use. What is sent is
 * gone at once, so its transmitter is always empty. Source: the PC16550D data sheet.
 */

#include "machine.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCRATCH };

#define IER_RX       0x01u
#define IER_TX       0x02u
#define IER_ALL      0x0fu
#define IIR_NONE     0x01u
#define IIR_TX       0x02u
#define IIR_RX       0x04u
#define IIR_FIFO     0xc0u
#define FCR_ENABLE   0x01u
#define FCR_CLEAR_RX 0x02u
#define LCR_DIVISOR  0x80u
#define MCR_LOOP     0x10u
#define MCR_OUT2     0x08u /* lets the interrupt through on a PC */
#define LSR_DATA     0x01u
#define LSR_TX_EMPTY 0x60u
#define MSR_READY    0xb0u /* carrier, data set ready, clear to send */
#define FIFO_SIZE    64u
#define OUT_SIZE     1024u

struct serial {
	int vm, in, out;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint8_t ier, fcr, lcr, mcr, scratch, divisor[2];
	bool tx_interrupt; /* the empty transmitter has yet to be told of */
	bool raised;
	uint8_t fifo[FIFO_SIZE];
	unsigned int first, count;
	uint8_t waiting[OUT_SIZE]; /* for the terminal */
	size_t waiting_size;
	pthread_t reader;
	bool reading;
	int quit;
};

/* ---- interrupts ---- */

static uint8_t pending(const struct serial *serial)
{
	if (serial->ier & IER_RX && serial->count)
		return IIR_RX;
	if (serial->ier & IER_TX && serial->tx_interrupt)
		return IIR_TX;
	return IIR_NONE;
}

static void update_interrupt(struct serial *serial)
{
	bool raise = pending(serial) != IIR_NONE && serial->mcr & MCR_OUT2;
	struct kvm_irq_level line = { .irq = VMM_SERIAL_IRQ, .level = raise };

	if (raise == serial->raised)
		return;
	serial->raised = raise;
	ioctl(serial->vm, KVM_IRQ_LINE, &line);
}

/* ---- the terminal ---- */

/* A terminal that takes nothing loses what does not fit: the guest does not wait for it. */
static void flush(struct serial *serial)
{
	size_t done = 0;

	while (serial->out >= 0 && done < serial->waiting_size) {
		ssize_t n = write(serial->out, serial->waiting + done, serial->waiting_size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	serial->waiting_size = 0;
}

static void send_byte(struct serial *serial, uint8_t byte)
{
	serial->waiting[serial->waiting_size++] = byte;
	if (byte == '\n' || serial->waiting_size == OUT_SIZE || serial->in >= 0)
		flush(serial);
}

static void receive_byte(struct serial *serial, uint8_t byte)
{
	while (serial->count == FIFO_SIZE && serial->reading)
		pthread_cond_wait(&serial->changed, &serial->lock);
	if (serial->count == FIFO_SIZE)
		return;
	serial->fifo[(serial->first + serial->count++) % FIFO_SIZE] = byte;
	update_interrupt(serial);
}

static void *reader_main(void *argument)
{
	struct serial *serial = argument;
	struct pollfd fds[2] = { { .fd = serial->in, .events = POLLIN },
		                 { .fd = serial->quit, .events = POLLIN } };
	uint8_t bytes[256];

	while (poll(fds, 2, -1) >= 0 || errno == EINTR) {
		ssize_t n;

		if (fds[1].revents)
			break;
		n = read(serial->in, bytes, sizeof(bytes));
		if (n <= 0)
			break;
		pthread_mutex_lock(&serial->lock);
		for (ssize_t i = 0; i < n; i++)
			receive_byte(serial, bytes[i]);
		pthread_mutex_unlock(&serial->lock);
	}
	return NULL;
}

/* ---- registers ---- */

static uint8_t take_byte(struct serial *serial)
{
	uint8_t byte;

	if (!serial->count)
		return 0;
	byte = serial->fifo[serial->first];
	serial->first = (serial->first + 1) % FIFO_SIZE;
	serial->count--;
	pthread_cond_signal(&serial->changed);
	return byte;
}

static void write_data(struct serial *serial, uint8_t value)
{
	if (serial->lcr & LCR_DIVISOR) {
		serial->divisor[0] = value;
		return;
	}
	if (serial->mcr & MCR_LOOP) {
		if (serial->count < FIFO_SIZE)
			serial->fifo[(serial->first + serial->count++) % FIFO_SIZE] = value;
	} else {
		send_byte(serial, value);
	}
	serial->tx_interrupt = true;
}

static void write_register(struct serial *serial, uint8_t reg, uint8_t value)
{
	switch (reg) {
	case REG_DATA:
		write_data(serial, value);
		break;
	case REG_IER:
		if (serial->lcr & LCR_DIVISOR) {
			serial->divisor[1] = value;
			break;
		}
		if (value & IER_TX && !(serial->ier & IER_TX))
			serial->tx_interrupt = true;
		serial->ier = value & IER_ALL;
		break;
	case REG_IIR_FCR:
		serial->fcr = value;
		if (value & FCR_CLEAR_RX)
			serial->count = 0;
		break;
	case REG_LCR:
		serial->lcr = value;
		break;
	case REG_MCR:
		serial->mcr = value;
		break;
	case REG_SCRATCH:
		serial->scratch = value;
		break;
	}
}

static uint8_t read_iir(struct serial *serial)
{
	uint8_t iir = pending(serial);

	if (iir == IIR_TX)
		serial->tx_interrupt = false;
	return iir | (serial->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

/* In loop-back the outputs come back as inputs. */
static uint8_t read_msr(const struct serial *serial)
{
	uint8_t mcr = serial->mcr;

	if (!(mcr & MCR_LOOP))
		return MSR_READY;
	return (uint8_t)((mcr & 0x02u) << 3 | (mcr & 0x01u) << 5 | (mcr & 0x04u) << 4 |
	                 (mcr & 0x08u) << 4);
}

static uint8_t read_register(struct serial *serial, uint8_t reg)
{
	switch (reg) {
	case REG_DATA:
		return serial->lcr & LCR_DIVISOR ? serial->divisor[0] : take_byte(serial);
	case REG_IER:
		return serial->lcr & LCR_DIVISOR ? serial->divisor[1] : serial->ier;
	case REG_IIR_FCR:
		return read_iir(serial);
	case REG_LCR:
		return serial->lcr;
	case REG_MCR:
		return serial->mcr;
	case REG_LSR:
		return LSR_TX_EMPTY | (serial->count ? LSR_DATA : 0);
	case REG_MSR:
		return read_msr(serial);
	default:
		return serial->scratch;
	}
}

void serial_write(struct serial *serial, uint8_t reg, uint8_t value)
{
	pthread_mutex_lock(&serial->lock);
	write_register(serial, reg, value);
	update_interrupt(serial);
	pthread_mutex_unlock(&serial->lock);
}

uint8_t serial_read(struct serial *serial, uint8_t reg)
{
	uint8_t value;

	pthread_mutex_lock(&serial->lock);
	value = read_register(serial, reg);
	update_interrupt(serial);
	pthread_mutex_unlock(&serial->lock);
	return value;
}

/* ---- making and ending it ---- */

struct serial *serial_create(int vm, int in, int out)
{
	struct serial *serial = calloc(1, sizeof(*serial));

	if (!serial)
		return NULL;
	*serial =
		(struct serial){ .vm = vm, .in = in, .out = out, .quit = -1, .divisor = { 1, 0 } };
	pthread_mutex_init(&serial->lock, NULL);
	pthread_cond_init(&serial->changed, NULL);
	if (in < 0)
		return serial;
	serial->quit = eventfd(0, EFD_CLOEXEC);
	serial->reading = true;
	if (serial->quit < 0 || pthread_create(&serial->reader, NULL, reader_main, serial)) {
		serial->reading = false;
		serial_destroy(serial);
		return NULL;
	}
	return serial;
}

void serial_destroy(struct serial *serial)
{
	uint64_t one = 1;
	bool joined;

	if (!serial)
		return;
	pthread_mutex_lock(&serial->lock);
	joined = serial->reading;
	serial->reading = false;
	pthread_cond_signal(&serial->changed);
	flush(serial);
	pthread_mutex_unlock(&serial->lock);
	if (joined && write(serial->quit, &one, sizeof(one)) > 0)
		pthread_join(serial->reader, NULL);
	if (serial->quit >= 0)
		close(serial->quit);
	pthread_cond_destroy(&serial->changed);
	pthread_mutex_destroy(&serial->lock);
	free(serial);
}
