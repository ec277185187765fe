/* SPDX-License-Identifier: BSD-2-Clause */
/* A host process for the command's guest that does one thing wrong. Usage: odd_host_process URI
 * WHAT. */
#include "odd_host.h"
#include "scsi/scsi.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const char *what;

static bool is_srb(const struct storvsc_packet *p, uint8_t opcode)
{
	return p->operation == STORVSC_EXECUTE_SRB && p->srb.cdb[0] == opcode;
}

static bool answer(void *context, const struct storvsc_packet *request, struct storvsc_packet *a)
{
	bool reads = is_srb(request, SCSI_READ_16);

	if (!strcmp(what, "mute"))
		return false;
	if (!strcmp(what, "silent"))
		return request->operation != STORVSC_EXECUTE_SRB;
	if (!strcmp(what, "silent-reads"))
		return !reads;
	if (!strcmp(what, "silent-flushes"))
		return !is_srb(request, SCSI_SYNCHRONIZE_CACHE_10);
	if (!reads)
		return true;
	if (!strcmp(what, "conflict"))
		a->srb.scsi_status = SCSI_RESERVATION_CONFLICT;
	else if (!strcmp(what, "medium"))
		odd_host_fail(a, SCSI_KEY_MEDIUM_ERROR, SCSI_ASC_UNRECOVERED_READ_ERROR);
	else if (!strcmp(what, "nothing"))
		a->srb.transfer_length = 0;
	return true;
}

int main(int argc, char **argv)
{
	struct odd_host *host;
	sigset_t signals;
	int number;

	if (argc != 3)
		return 2;
	what = argv[2];
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	host = odd_host_open(argv[1], answer, NULL, !strcmp(what, "silent-echo"));
	if (!host)
		return 1;
	puts("listening");
	fflush(stdout);
	sigwait(&signals, &number);
	return 0; /* with what is not answered: guests see that as a host that died */
}
