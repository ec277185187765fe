/* SPDX-License-Identifier: BSD-2-Clause */
/* Where libslirp was not there when the library was built. */
#include <kmcl/net.h>

#include <errno.h>
#include <stdio.h>

int kmcl_net_user_create(const struct kmcl_net_user_options *options,
                         struct kmcl_net_backend **backend, char *why, size_t why_size)
{
	snprintf(why, why_size, "this kmcl was built without user networking (libslirp)");
	return -ENOTSUP;
}

/* There is none to forward to. */
int kmcl_net_user_forward(struct kmcl_net_backend *backend, const char *text, char *why,
                          size_t why_size)
{
	return -EINVAL;
}
