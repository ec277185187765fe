/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PACKET_PACKET_H
#define PACKET_PACKET_H

/*
 * The face of packet/: what is common to all who use a channel, whichever their threads, locks and
 * memory. Freestanding, as ring/ below it: no I/O, no threads, no lock, no memory of its own.
 *
 *   limits.h  what a channel's packets may be, and how much room that takes
 *   out.h     a packet to be sent: descriptor, headers, pipe header, payload
 *   in.h      a packet that came: which kind it is, checked and copied once; polling and sleeping
 *   table.h   the ids of transactions under way
 *
 * A writer (struct ring_writer) and a reader (struct packet_reader) are each used by one thread at
 * a time, which need not be the same one. A table is shared by who sends and who receives; table.h
 * says which of its functions belong to whom.
 */

#include "packet/in.h"
#include "packet/limits.h"
#include "packet/out.h"
#include "packet/table.h"

#endif
