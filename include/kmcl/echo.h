/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KMCL_ECHO_H
#define KMCL_ECHO_H

/*
 * A service that answers each packet with its own payload: for trying a host, and for measuring
 * what a channel does. kmcl's own protocol; Hyper-V has none like it.
 *
 * Any thread may call these functions; none of them at a raised IRQL.
 */

#include <kmcl/host.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kmcl_echo;

struct kmcl_echo_options {
	uint32_t size;             /* sizeof(struct kmcl_echo_options) */
	bool monitored;            /* the channel is offered with the monitor page */
	struct kmcl_guid instance; /* all 0: one for all */
};

/* `options` may be NULL. -EINVAL, -E2BIG: the options; -EEXIST: the instance is offered already;
 * -ENOMEM. */
KMCL_API int kmcl_echo_create(struct kmcl_host *host, const struct kmcl_echo_options *options,
                              struct kmcl_echo **echo);
/* Withdraws it; what is in work is finished first. NULL: nothing. */
KMCL_API void kmcl_echo_destroy(struct kmcl_echo *echo);

#ifdef __cplusplus
}
#endif

#endif
