/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ECHO_PROTOCOL_H
#define ECHO_PROTOCOL_H

/* What the two echo drivers say to each other. */

#include <initguid.h>

DEFINE_GUID(GUID_ECHO_TYPE, 0x6b6d636c, 0x6563, 0x686f, 0x80, 0x01, 0x64, 0x72, 0x69, 0x76, 0x65,
            0x72);
DEFINE_GUID(GUID_ECHO_INSTANCE, 0x6b6d636c, 0x6563, 0x686f, 0x80, 0x02, 0x64, 0x72, 0x69, 0x76,
            0x65, 0x72);

#define ECHO_VERSION  0x00010002
#define ECHO_TEXT_MAX 256

typedef enum _ECHO_MESSAGE_TYPE { EchoMessageVersion = 1, EchoMessageText = 2 } ECHO_MESSAGE_TYPE;

typedef struct _ECHO_MESSAGE {
	ULONG Type;
	ULONG Value; /* the version, or how many characters of Text count */
	CHAR Text[ECHO_TEXT_MAX];
} ECHO_MESSAGE, *PECHO_MESSAGE;

#define ECHO_HEADER_SIZE FIELD_OFFSET(ECHO_MESSAGE, Text)

/* The server's control code: offers the channel to the guest whose VMBus handle is in the buffer.
 */
#define IOCTL_ECHO_OFFER CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS)

typedef struct _ECHO_OFFER {
	HANDLE Vmbus;
} ECHO_OFFER, *PECHO_OFFER;

#endif
