/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/channel_name.h"

#include <stdio.h>

#define NAME_MAX_SHOWN 50

NTSTATUS channel_name(VMBCHANNEL vmb, const char *name, uint16_t index)
{
	char text[NAME_MAX_SHOWN + sizeof(".65535")];
	WCHAR wide[sizeof(text)];
	UNICODE_STRING string;
	size_t i;

	if (index)
		snprintf(text, sizeof(text), "%.*s.%u", NAME_MAX_SHOWN, name, index);
	else
		snprintf(text, sizeof(text), "%.*s", NAME_MAX_SHOWN, name);
	for (i = 0; text[i]; i++)
		wide[i] = (WCHAR)(unsigned char)text[i];
	wide[i] = 0;
	RtlInitUnicodeString(&string, wide);
	return VmbChannelInitSetFriendlyName(vmb, &string);
}
