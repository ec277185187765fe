/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A host in plain C: whoever connects to the socket gets a disk, until this is stopped.
 *
 *     serve_disk unix:/tmp/bus disk.img      and elsewhere:
 *     kmcl guest --connect unix:/tmp/bus disk info
 *
 * Built with no more than `pkg-config --cflags --libs kmcl-devices`.
 */

#include <kmcl/disk.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "serve_disk: %s: %s\n", what, why);
	return 1;
}

/* What the guest has written and was told is safe, is not. */
static void lost(void *context, uint8_t target, uint8_t lun, int error)
{
	fprintf(stderr, "serve_disk: %u:%u: lost data: %s\n", target, lun, strerror(error));
}

int main(int argc, char **argv)
{
	struct kmcl_scsi_options options = { .size = sizeof(options), .lost = lost };
	struct kmcl_scsi_statistics did = { .size = sizeof(did) };
	struct kmcl_host *host;
	struct kmcl_scsi *scsi;
	char why[256];
	sigset_t stop;
	int error, number;

	if (argc != 3)
		return fail("usage", "serve_disk URI IMAGE");
	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGTERM);
	sigprocmask(SIG_BLOCK, &stop, NULL);

	error = kmcl_host_create(argv[1], NULL, &host);
	if (error)
		return fail(argv[1], strerror(-error));
	error = kmcl_scsi_create(host, &options, &scsi);
	if (error)
		return fail("the controller", strerror(-error));
	if (kmcl_scsi_add_disk(scsi, 0, 0, argv[2], NULL, why, sizeof(why)))
		return fail("the disk", why);

	puts("listening");
	fflush(stdout);
	sigwait(&stop, &number);
	kmcl_scsi_get_statistics(scsi, &did);
	printf("%llu reads, %llu writes\n", (unsigned long long)did.reads,
	       (unsigned long long)did.writes);
	kmcl_scsi_destroy(scsi);
	kmcl_host_destroy(host);
	return 0;
}
