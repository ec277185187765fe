/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * What VmbChannelRestoreFromBuffer may be given.
 *
 * Input: a byte of flags, a byte that says where the input is cut in two calls, and the bytes. With
 * FLAG_SEAL they are made chunks with good magics, numbers and checksums first, so that what is
 * behind those is reached too. What was restored is saved, and that must be good for another
 * channel.
 */

#define INITGUID
#include "kmcl/channel.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define FLAG_SEAL   1u
#define FLAG_TWICE  2u
#define FLAG_REFUSE 4u /* the driver restores every other packet only */
#define PACKET_MAX  256u
#define INPUT_MAX   8192u
#define HEAD        24u /* of a chunk; docs/save-format.md */
#define BODY_HEAD   8u  /* of a packet's chunk */
#define LIBRARY     32u

#define must(condition) ((condition) ? (void)0 : abort())

DEFINE_GUID(fuzz_type, 0x6b6d636c, 0x6675, 0x7a7a, 0, 1, 2, 3, 4, 5, 6, 7);

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static HANDLE vmbus;
static uint8_t flags;
static uint32_t restored, completed;

/* ---- making chunks of an input ---- */

static uint32_t get32(const uint8_t *p)
{
	uint32_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

static void put32(uint8_t *p, uint32_t value)
{
	memcpy(p, &value, sizeof(value));
}

static void put16(uint8_t *p, uint16_t value)
{
	memcpy(p, &value, sizeof(value));
}

static void seal(uint8_t *p, size_t checksum, size_t size)
{
	put32(p + checksum, 0);
	put32(p + checksum, (uint32_t)crc32_z(crc32(0, NULL, 0), p, size));
}

/* The library's part of a packet's chunk, whose body has `size` bytes. */
static void seal_library(uint8_t *body, uint32_t size)
{
	uint8_t *library = body + BODY_HEAD;
	uint32_t length;

	if (size < BODY_HEAD + LIBRARY)
		return;
	length = get32(body) % (size - BODY_HEAD + 1) / 8 * 8;
	if (length < LIBRARY)
		length = LIBRARY;
	put32(body, length);
	put32(body + 4, size - BODY_HEAD - length);
	put32(library, 0x50434d4b);
	put16(library + 4, 1);
	put32(library + 12, length - LIBRARY);
	seal(library, 24, length);
}

static void seal_all(uint8_t *bytes, size_t size)
{
	uint32_t number = 0;

	for (size_t at = 0; at + HEAD <= size; number++) {
		uint8_t *chunk = bytes + at;
		uint32_t left = (uint32_t)(size - at - HEAD), length = get32(chunk + 12) % 512;

		if (length > left / 8 * 8)
			length = left / 8 * 8;
		put32(chunk, 0x53434d4b);
		put16(chunk + 4, 1);
		chunk[7] = 0;
		put32(chunk + 8, number);
		put32(chunk + 12, length);
		if (chunk[6] == 2)
			seal_library(chunk + HEAD, length);
		seal(chunk, 16, HEAD + length);
		at += HEAD + (length + 7) / 8 * 8;
	}
}

/* ---- the channel ---- */

static VOID on_packet(VMBCHANNEL channel, VMBPACKETCOMPLETION packet, PVOID buffer, UINT32 size,
                      UINT32 packet_flags)
{
	VmbChannelPacketComplete(packet, NULL, 0);
}

static VOID on_done(VMBPACKET packet, NTSTATUS status, PVOID buffer, UINT32 size)
{
	must(status == STATUS_CANCELLED);
	VmbPacketFree(packet);
	completed++;
}

static NTSTATUS on_save(VMBCHANNEL channel, VMBPACKET packet, PVOID buffer, UINT32 size,
                        PUINT32 needed)
{
	*needed = 5;
	if (size < 5)
		return STATUS_BUFFER_TOO_SMALL;
	memcpy(buffer, "saved", 5);
	return STATUS_SUCCESS;
}

static NTSTATUS on_restore(VMBCHANNEL channel, PVOID library, UINT32 library_size, PVOID saved,
                           UINT32 saved_size)
{
	VMBPACKET packet;
	NTSTATUS status;

	for (uint32_t i = 0; i < saved_size; i++)
		(void)((const volatile uint8_t *)saved)[i];
	if ((flags & FLAG_REFUSE) && restored % 2)
		return STATUS_UNSUCCESSFUL;
	packet = VmbPacketAllocate(channel);
	must(packet);
	VmbPacketSetCompletionRoutine(packet, on_done);
	status = VmbPacketRestore(packet, library, library_size);
	if (NT_SUCCESS(status))
		restored++;
	else
		VmbPacketFree(packet);
	return status;
}

static VMBCHANNEL new_channel(void)
{
	VMBCHANNEL channel;
	HANDLE kernel;

	must(NT_SUCCESS(VmbChannelAllocate(NULL, TRUE, &channel)));
	must(NT_SUCCESS(VmbChannelInitSetProcessPacketCallbacks(channel, on_packet, NULL)));
	must(NT_SUCCESS(VmbChannelInitSetMaximumPacketSize(channel, PACKET_MAX)));
	must(NT_SUCCESS(
		VmbServerChannelInitSetSaveRestorePacketCallbacks(channel, on_save, on_restore)));
	must(NT_SUCCESS(VmbConvertVmbusHandleToKernelHandle(vmbus, &kernel)));
	must(NT_SUCCESS(VmbServerChannelInitSetVmbusHandle(channel, kernel)));
	ZwClose(kernel);
	must(NT_SUCCESS(VmbServerChannelInitSetTargetInterfaceId(channel, fuzz_type, fuzz_type)));
	must(NT_SUCCESS(VmbChannelEnable(channel)));
	return channel;
}

static void end_channel(VMBCHANNEL channel)
{
	VmbChannelDisable(channel);
	VmbChannelCleanup(channel);
	must(completed == restored);
}

static uint32_t save(VMBCHANNEL channel, uint8_t *bytes, uint32_t size)
{
	ULONG filled = 0, required = 0;

	must(NT_SUCCESS(VmbChannelSaveBegin(channel)));
	must(VmbChannelSaveContinue(channel, bytes, size, &filled, &required) == STATUS_SUCCESS);
	VmbChannelSaveEnd(channel);
	return filled;
}

static void restore_again(uint8_t *saved, uint32_t size, uint32_t packets)
{
	VMBCHANNEL channel = new_channel();
	uint32_t before = restored;

	flags = 0;
	must(VmbChannelRestoreFromBuffer(channel, saved, size) == STATUS_SUCCESS);
	must(restored - before == packets);
	end_channel(channel);
}

static void log_nothing(void *context, enum kmcl_log_level level, const char *channel,
                        const char *text)
{
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	setenv("KMCL_RAM_MB", "16", 1);
	kmcl_log_set(log_nothing, NULL, KMCL_LOG_WARNING);
	must(NT_SUCCESS(kmcl_host_open("local:fuzz", &vmbus)));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t bytes[INPUT_MAX], saved[1u << 20];
	uint32_t cut, before = restored, filled;
	VMBCHANNEL channel;

	if (size < 2 || size > INPUT_MAX)
		return 0;
	flags = data[0];
	cut = data[1] * 8u;
	data += 2;
	size -= 2;
	memcpy(bytes, data, size);
	if (flags & FLAG_SEAL)
		seal_all(bytes, size);
	if (!(flags & FLAG_TWICE) || cut > size)
		cut = (uint32_t)size;
	channel = new_channel();
	if (NT_SUCCESS(VmbChannelRestoreFromBuffer(channel, bytes, cut)) && cut < size)
		VmbChannelRestoreFromBuffer(channel, bytes + cut, (uint32_t)size - cut);
	filled = save(channel, saved, sizeof(saved));
	before = restored - before;
	end_channel(channel);
	restore_again(saved, filled, before);
	return 0;
}
