/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A TAP interface of the host's: its kernel does what checksums and segmentation the guest left.
 * Source: Linux include/uapi/linux/if_tun.h, virtio_net.h; Documentation/networking/tuntap.rst.
 */
#include "common/thread.h"
#include "net/net_packet.h"

#include <errno.h>
#include <fcntl.h>
#include <kmcl/kmcl.h>
#include <kmcl/net.h>
#include <kmcl/net_backend.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#define BATCH   64u /* frames that are read before the guest is told */
#define TCP_CWR 0x80u

struct net_tap {
	struct kmcl_net_backend backend;
	struct kmcl_net_port *port;
	pthread_t thread;
	bool started;
	atomic_bool stop;
	int fd, wake;
	/* The last frame that was read. */
	struct virtio_net_hdr header;
	uint8_t data[NET_FRAME_MAX];
	uint32_t held; /* bytes of it, if the guest had no room for it; 0: none */
};

static struct net_tap *tap_of(struct kmcl_net_backend *backend)
{
	return CONTAINING_RECORD(backend, struct net_tap, backend);
}

/* ---- from the guest ---- */

static void describe(const struct kmcl_net_frame *frame, struct virtio_net_hdr *h)
{
	const uint8_t *head = frame->iov[0].iov_base;

	memset(h, 0, sizeof(*h));
	if (!frame->checksum_start)
		return;
	h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	h->csum_start = frame->checksum_start;
	h->csum_offset = frame->checksum_offset;
	if (!frame->segment)
		return;
	h->gso_type = frame->ip6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
	if (head[frame->checksum_start + 13] & TCP_CWR)
		h->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	h->gso_size = frame->segment;
	h->hdr_len = frame->header_size;
}

static enum kmcl_net_result tap_send(struct kmcl_net_backend *backend,
                                     const struct kmcl_net_frame *frame, void *request)
{
	struct net_tap *n = tap_of(backend);
	struct iovec iov[KMCL_NET_FRAME_PIECES + 2];
	struct virtio_net_hdr header;

	if (frame->count > KMCL_NET_FRAME_PIECES + 1)
		return KMCL_NET_DROPPED;
	describe(frame, &header);
	iov[0] = (struct iovec){ &header, sizeof(header) };
	memcpy(iov + 1, frame->iov, frame->count * sizeof(*iov));
	return writev(n->fd, iov, (int)frame->count + 1) < 0 ? KMCL_NET_DROPPED : KMCL_NET_DONE;
}

/* ---- for the guest ---- */

/* False: the guest has no room. */
static bool offer(struct net_tap *n, uint32_t length)
{
	const struct virtio_net_hdr *h = &n->header;
	struct kmcl_net_received received = {
		.data = n->data,
		.length = length,
		.checksum_valid = h->flags & VIRTIO_NET_HDR_F_DATA_VALID,
	};

	if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		received.checksum_start = h->csum_start;
		received.checksum_offset = h->csum_offset;
	}
	return n->port->ops->receive(n->port, &received) != KMCL_NET_LATER;
}

static bool offer_held(struct net_tap *n)
{
	if (n->held && offer(n, n->held))
		n->held = 0;
	return !n->held;
}

static void read_frames(struct net_tap *n)
{
	struct iovec iov[2] = { { &n->header, sizeof(n->header) }, { n->data, sizeof(n->data) } };
	uint32_t i;

	for (i = 0; i < BATCH; i++) {
		ssize_t size = readv(n->fd, iov, 2);

		if (size <= (ssize_t)sizeof(n->header))
			break;
		n->held = (uint32_t)size - (uint32_t)sizeof(n->header);
		if (!offer_held(n))
			break;
	}
}

static void *tap_thread(void *context)
{
	struct net_tap *n = context;
	struct pollfd fds[2] = { { .fd = n->wake, .events = POLLIN }, { .events = POLLIN } };
	eventfd_t value;

	while (!atomic_load(&n->stop)) {
		fds[1].fd = n->held ? -1 : n->fd;
		poll(fds, 2, -1);
		if (fds[0].revents)
			eventfd_read(n->wake, &value);
		if (offer_held(n))
			read_frames(n);
		n->port->ops->flush(n->port);
	}
	return NULL;
}

static bool tap_start(struct kmcl_net_backend *backend, struct kmcl_net_port *port)
{
	struct net_tap *n = tap_of(backend);
	int error;

	n->port = port;
	error = thread_start(&n->thread, "net-tap", tap_thread, n);
	n->started = !error;
	if (error)
		DbgPrintEx(DPFLTR_IHVNETWORK_ID, DPFLTR_ERROR_LEVEL, "tap: no thread: %s",
		           strerror(error));
	return n->started;
}

static void tap_resume(struct kmcl_net_backend *backend)
{
	eventfd_write(tap_of(backend)->wake, 1);
}

static void tap_destroy(struct kmcl_net_backend *backend)
{
	struct net_tap *n = tap_of(backend);

	atomic_store(&n->stop, true);
	if (n->started) {
		tap_resume(backend);
		pthread_join(n->thread, NULL);
	}
	if (n->wake >= 0)
		close(n->wake);
	if (n->fd >= 0)
		close(n->fd);
	free(n);
}

static const struct kmcl_net_backend_ops tap_ops = {
	.name = "tap",
	.offloads = KMCL_NET_OFFLOAD_CHECKSUM | KMCL_NET_OFFLOAD_SEGMENT,
	.start = tap_start,
	.send = tap_send,
	.resume = tap_resume,
	.destroy = tap_destroy,
};

/* ---- making one ---- */

static bool attach(struct net_tap *n, const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int header = sizeof(struct virtio_net_hdr);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	/* Frames may come with their checksums left to do; segmented they have to be, as a slot
	 * holds no more than the MTU. */
	return ioctl(n->fd, TUNSETIFF, &request) == 0 &&
	       ioctl(n->fd, TUNSETVNETHDRSZ, &header) == 0 &&
	       ioctl(n->fd, TUNSETOFFLOAD, TUN_F_CSUM) == 0;
}

int kmcl_net_tap_create(const char *name, struct kmcl_net_backend **backend, char *why,
                        size_t why_size)
{
	struct net_tap *n;
	int error;

	if (strlen(name) >= IFNAMSIZ) {
		snprintf(why, why_size, "%s: the name of an interface has at most %d characters",
		         name, IFNAMSIZ - 1);
		return -EINVAL;
	}
	n = calloc(1, sizeof(*n));
	if (!n) {
		snprintf(why, why_size, "out of memory");
		return -ENOMEM;
	}
	n->backend.ops = &tap_ops;
	n->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	n->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (n->wake >= 0 && n->fd >= 0 && attach(n, name)) {
		*backend = &n->backend;
		return 0;
	}
	error = -errno;
	snprintf(why, why_size, "%s: %s: %s", n->fd < 0 ? "/dev/net/tun" : "TAP interface", name,
	         strerror(errno));
	tap_destroy(&n->backend);
	return error;
}
