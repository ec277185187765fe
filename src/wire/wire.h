/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

/* The face of wire/: VMBus as bytes. No I/O, no state. */

#include "wire/message.h"
#include "wire/packet.h"

#endif
