/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * For dpdk-testpmd of DPDK 22.11, to be loaded before its libraries. It forwards on queues alone
 * whose driver says that they are started, and takes those of a driver that says nothing for
 * started (app/test-pmd/testpmd.c, update_rx_queue_state). The netvsc driver of that version does
 * say something, but never which state its queues have: with it testpmd forwards nothing, without a
 * word, whatever the host. Here no driver says anything.
 */

#include <errno.h>
#include <stdint.h>

#define VISIBLE __attribute__((visibility("default")))

VISIBLE int rte_eth_rx_queue_info_get(uint16_t port, uint16_t queue, void *info);
VISIBLE int rte_eth_tx_queue_info_get(uint16_t port, uint16_t queue, void *info);

int rte_eth_rx_queue_info_get(uint16_t port, uint16_t queue, void *info)
{
	return -ENOTSUP;
}

int rte_eth_tx_queue_info_get(uint16_t port, uint16_t queue, void *info)
{
	return -ENOTSUP;
}
