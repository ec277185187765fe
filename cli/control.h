/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CLI_CONTROL_H
#define CLI_CONTROL_H

/*
 * The control socket of a running host. A client connects, sends its words, each with a zero byte
 * at its end, and shuts its side down; it gets the exit code and, if that is not 0, what is wrong,
 * in one line, then the output. Who may open the socket's file may control the guest: it is made
 * for its owner alone. Each client is answered by a thread of its own and waits for no other; who
 * is one too many is told so. Nobody but the thread that answers it waits for a slow client.
 */

#include "service.h"

#define CONTROL_WORDS_MAX   32
#define CONTROL_BYTES_MAX   16384u
#define CONTROL_CLIENTS_MAX 16u /* at a time */

/* Takes commands there: `own`, up to one without words, and the services'. An exit code. */
int control_open(const char *path, const struct control_command *own);
/* Also when it is not open. What is under way has half a second to end; what waits for the guest
 * may still run after that. */
void control_close(void);

#endif
