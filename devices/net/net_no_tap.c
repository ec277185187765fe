/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the kernel's headers knew no TAP interfaces when the library was built, or none were
 * wanted. */
#include <kmcl/net.h>

#include <errno.h>
#include <stdio.h>

int kmcl_net_tap_create(const char *name, struct kmcl_net_backend **backend, char *why,
                        size_t why_size)
{
	snprintf(why, why_size, "this kmcl was built without TAP interfaces");
	return -ENOTSUP;
}
