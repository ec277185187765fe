/* SPDX-License-Identifier: BSD-2-Clause */

/* Allocating, configuring and freeing a channel; nothing here runs while it is enabled. */

#include "kmcl/channel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHANNEL_DEFAULT_PACKET   4096u
#define CHANNEL_DEFAULT_EXTERNAL (1u << 20)
#define CHANNEL_DEFAULT_CHAIN    32u
#define CHANNEL_DEFAULT_QUOTA    65536u
#define CHANNEL_VTL_MAX          2u

static void config_defaults(struct channel_config *config, bool server)
{
	memset(config, 0, sizeof(*config));
	config->limits.payload_max = CHANNEL_DEFAULT_PACKET;
	config->limits.external_max = CHANNEL_DEFAULT_EXTERNAL;
	config->limits.ranges_max = CHANNEL_DEFAULT_CHAIN;
	config->limits.shared_size = UINT32_MAX; /* where it ends, the driver knows */
	config->limits.refers =
		server ? WIRE_PACKET_DATA_GPA_DIRECT : WIRE_PACKET_DATA_TRANSFER_PAGES;
	config->dedicated_interrupt = true;
	VMB_CHANNEL_STATE_CHANGE_CALLBACKS_INIT(&config->state);
	strcpy(config->label, "a channel without a target");
}

#define GUID_FORMAT "{%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x}"
#define GUID_FIELDS(g)                                                                           \
	(unsigned int)(g).Data1, (g).Data2, (g).Data3, (g).Data4[0], (g).Data4[1], (g).Data4[2], \
		(g).Data4[3], (g).Data4[4], (g).Data4[5], (g).Data4[6], (g).Data4[7]

static void config_label(struct channel_config *c)
{
	int n = snprintf(c->label, sizeof(c->label), GUID_FORMAT " ", GUID_FIELDS(c->type));

	if (c->any_instance)
		n += snprintf(c->label + n, sizeof(c->label) - (size_t)n, "of any instance");
	else
		n += snprintf(c->label + n, sizeof(c->label) - (size_t)n, GUID_FORMAT,
		              GUID_FIELDS(c->instance));
	if (c->subchannel)
		snprintf(c->label + n, sizeof(c->label) - (size_t)n, ", subchannel %u",
		         c->subchannel);
}

NTSTATUS VmbChannelAllocate(PDEVICE_OBJECT ParentDeviceObject, BOOLEAN IsServer,
                            VMBCHANNEL *Channel)
{
	NTSTATUS status = STATUS_SUCCESS;
	struct guest *guest = NULL;
	struct channel *ch;

	if (!nt_irql_at_most(PASSIVE_LEVEL, __func__, "(new)"))
		return STATUS_INVALID_DEVICE_STATE;
	if (!Channel)
		return STATUS_INVALID_PARAMETER_3;
	*Channel = NULL;
	if (!IsServer)
		status = buses_find(ParentDeviceObject, &guest);
	if (!NT_SUCCESS(status))
		return status;
	if (posix_memalign((void **)&ch, 64, sizeof(*ch)) != 0)
		return STATUS_INSUFFICIENT_RESOURCES;
	memset(ch, 0, sizeof(*ch));
	ch->magic = CHANNEL_MAGIC;
	ch->server = IsServer;
	ch->bus = guest;
	ch->guest = guest;
	config_defaults(&ch->config, IsServer);
	pthread_mutex_init(&ch->lock, NULL);
	channel_init_notices(ch);
	life_init(&ch->life, IsServer);
	nt_strand_init(&ch->strand);
	nt_strand_init(&ch->post_strand);
	nt_strand_init(&ch->delivery_strand);
	outgoing_init(ch);
	atomic_init(&ch->in.quota, CHANNEL_DEFAULT_QUOTA);
	*Channel = channel_handle(ch);
	return STATUS_SUCCESS;
}

VOID VmbChannelCleanup(VMBCHANNEL Channel)
{
	struct channel *ch = channel_of(Channel);

	if (!ch || !nt_irql_at_most(PASSIVE_LEVEL, __func__, channel_name(ch)))
		return;
	if (!channel_clean_up(ch)) {
		nt_misuse(__func__, channel_name(ch), "the channel must be disabled first");
		return;
	}
	packets_free_all(ch);
	if (ch->vmbus)
		ZwClose(ch->vmbus);
	pthread_cond_destroy(&ch->changed);
	pthread_mutex_destroy(&ch->lock);
	ch->magic = 0;
	free(ch);
}

enum config_end {
	CONFIG_BOTH,
	CONFIG_SERVER,
	CONFIG_CLIENT,
};

/* The channel, locked, if it may be configured now. */
static struct channel *config_begin(VMBCHANNEL handle, enum config_end end)
{
	struct channel *ch = channel_of(handle);

	if (!ch || (end == CONFIG_SERVER && !ch->server) || (end == CONFIG_CLIENT && ch->server))
		return NULL;
	pthread_mutex_lock(&ch->lock);
	if (life_is_configurable(&ch->life))
		return ch;
	pthread_mutex_unlock(&ch->lock);
	return NULL;
}

static NTSTATUS config_end(struct channel *ch)
{
	pthread_mutex_unlock(&ch->lock);
	return STATUS_SUCCESS;
}

NTSTATUS VmbChannelInitSetMaximumPacketSize(VMBCHANNEL Channel, UINT32 PacketSize)
{
	struct channel *ch = config_begin(Channel, CONFIG_BOTH);

	if (!ch)
		return STATUS_INVALID_PARAMETER_1;
	if (PacketSize == 0 || PacketSize > CHANNEL_PACKET_MAX) {
		config_end(ch);
		return STATUS_INVALID_PARAMETER_2;
	}
	ch->config.limits.payload_max = PacketSize;
	return config_end(ch);
}

NTSTATUS VmbChannelInitSetMaximumExternalData(VMBCHANNEL Channel, UINT32 DataSize,
                                              UINT32 ChainLength)
{
	struct channel *ch = config_begin(Channel, CONFIG_BOTH);
	struct channel_config config;
	NTSTATUS status = STATUS_SUCCESS;

	if (!ch)
		return STATUS_INVALID_PARAMETER_1;
	config = ch->config;
	config.limits.external_max = DataSize;
	config.limits.ranges_max = ChainLength;
	if (DataSize == 0 || DataSize > CHANNEL_EXTERNAL_MAX)
		status = STATUS_INVALID_PARAMETER_2;
	else if (ChainLength == 0 || ChainLength > CHANNEL_CHAIN_MAX ||
	         packet_gpa_headers_max(&config.limits) > CHANNEL_HEADER_MAX)
		status = STATUS_INVALID_PARAMETER_3;
	else
		ch->config = config;
	config_end(ch);
	return status;
}

NTSTATUS VmbChannelInitSetClientContextSize(VMBCHANNEL Channel, UINT32 ContextSize)
{
	struct channel *ch = config_begin(Channel, CONFIG_BOTH);

	if (!ch)
		return STATUS_INVALID_PARAMETER_1;
	if (ContextSize > CHANNEL_CONTEXT_MAX) {
		config_end(ch);
		return STATUS_INVALID_PARAMETER_2;
	}
	ch->config.context_size = ContextSize;
	return config_end(ch);
}

NTSTATUS
VmbChannelInitSetProcessPacketCallbacks(
	VMBCHANNEL Channel, PFN_VMB_CHANNEL_PROCESS_PACKET ProcessPacketCallback,
	PFN_VMB_CHANNEL_PROCESSING_COMPLETE ProcessingCompleteCallback)
{
	struct channel *ch = config_begin(Channel, CONFIG_BOTH);

	if (!ch)
		return STATUS_INVALID_PARAMETER_1;
	if (!ProcessPacketCallback) {
		config_end(ch);
		return STATUS_INVALID_PARAMETER_2;
	}
	ch->config.process = ProcessPacketCallback;
	ch->config.processing_complete = ProcessingCompleteCallback;
	return config_end(ch);
}

NTSTATUS VmbChannelInitSetStateChangeCallbacks(VMBCHANNEL Channel,
                                               PVMB_CHANNEL_STATE_CHANGE_CALLBACKS callbacks)
{
	struct channel *ch = config_begin(Channel, CONFIG_BOTH);

	if (!ch)
		return STATUS_INVALID_PARAMETER_1;
	if (!callbacks || callbacks->Version != VMB_CHANNEL_STATE_CHANGE_CALLBACKS_VERSION ||
	    callbacks->Size != sizeof(*callbacks)) {
		config_end(ch);
		return STATUS_INVALID_PARAMETER_2;
	}
	ch->config.state = *callbacks;
	return config_end(ch);
}

/* As UTF-8, cut at a character. */
static NTSTATUS config_set_name(struct channel_config *config, PCUNICODE_STRING name)
{
	ANSI_STRING utf8 = { 0 };
	NTSTATUS status = RtlUnicodeStringToAnsiString(&utf8, name, TRUE);
	size_t n = utf8.Length;

	if (!NT_SUCCESS(status))
		return status == STATUS_NO_MEMORY ? STATUS_INSUFFICIENT_RESOURCES
		                                  : STATUS_INVALID_PARAMETER_2;
	if (n >= sizeof(config->name))
		for (n = sizeof(config->name) - 1; n && (utf8.Buffer[n] & 0xc0) == 0x80; n--)
			;
	memcpy(config->name, utf8.Buffer, n);
	config->name[n] = '\0';
	RtlFreeAnsiString(&utf8);
	return STATUS_SUCCESS;
}

NTSTATUS VmbChannelInitSetFriendlyName(VMBCHANNEL Channel, PCUNICODE_STRING Name)
{
	struct channel *ch = config_begin(Channel, CONFIG_BOTH);
	NTSTATUS status;

	if (!ch)
		return STATUS_INVALID_PARAMETER_1;
	if (!Name || !Name->Buffer || Name->Length < sizeof(WCHAR)) {
		config_end(ch);
		return STATUS_INVALID_PARAMETER_2;
	}
	status = config_set_name(&ch->config, Name);
	config_end(ch);
	return status;
}

NTSTATUS VmbChannelInitSetFlags(VMBCHANNEL Channel, UINT32 Flags)
{
	struct channel *ch = config_begin(Channel, CONFIG_BOTH);

	if (!ch)
		return STATUS_INVALID_PARAMETER_1;
	if (Flags & ~VMBUS_CHANNEL_INIT_FLAGS) {
		config_end(ch);
		return STATUS_INVALID_PARAMETER_2;
	}
	ch->config.flags = Flags;
	ch->config.limits.pipe = Flags & VMBUS_CHANNEL_INIT_FLAG_IS_PIPE;
	return config_end(ch);
}

NTSTATUS VmbServerChannelInitSetFlags(VMBCHANNEL Channel, UINT32 Flags)
{
	struct channel *ch = config_begin(Channel, CONFIG_SERVER);

	if (!ch)
		return STATUS_INVALID_PARAMETER_1;
	if (Flags & ~VMBUS_SERVER_CHANNEL_INIT_FLAGS) {
		config_end(ch);
		return STATUS_INVALID_PARAMETER_2;
	}
	ch->config.server_flags = Flags;
	return config_end(ch);
}

NTSTATUS VmbServerChannelInitSetMmioMegabytes(VMBCHANNEL Channel, UINT16 MmioMegabytes,
                                              UINT16 MmioMegabytesOptional)
{
	struct channel *ch = config_begin(Channel, CONFIG_SERVER);

	if (!ch)
		return STATUS_INVALID_PARAMETER_1;
	if (MmioMegabytes == 0 && MmioMegabytesOptional == 0) {
		config_end(ch);
		return STATUS_INVALID_PARAMETER;
	}
	ch->config.mmio_megabytes = MmioMegabytes;
	ch->config.mmio_megabytes_optional = MmioMegabytesOptional;
	return config_end(ch);
}

NTSTATUS VmbServerChannelInitSetTargetInterfaceId(VMBCHANNEL Channel, GUID InterfaceType,
                                                  GUID InterfaceInstance)
{
	struct channel *ch = config_begin(Channel, CONFIG_SERVER);

	if (!ch)
		return STATUS_INVALID_PARAMETER_1;
	ch->config.type = InterfaceType;
	ch->config.instance = InterfaceInstance;
	ch->config.has_target = true;
	config_label(&ch->config);
	return config_end(ch);
}

NTSTATUS VmbServerChannelInitSetTargetVtl(VMBCHANNEL Channel, UINT8 TargetVtl)
{
	struct channel *ch = config_begin(Channel, CONFIG_SERVER);

	if (!ch)
		return STATUS_INVALID_PARAMETER_1;
	if (TargetVtl > CHANNEL_VTL_MAX) {
		config_end(ch);
		return STATUS_INVALID_PARAMETER_2;
	}
	ch->config.vtl = TargetVtl;
	return config_end(ch);
}

NTSTATUS
VmbServerChannelInitSetSaveRestorePacketCallbacks(
	VMBCHANNEL Channel, PFN_VMB_CHANNEL_SAVE_PACKET SavePacketCallback,
	PFN_VMB_CHANNEL_RESTORE_PACKET RestorePacketCallback)
{
	struct channel *ch = config_begin(Channel, CONFIG_SERVER);

	if (!ch)
		return STATUS_INVALID_PARAMETER_1;
	ch->config.save_packet = SavePacketCallback;
	ch->config.restore_packet = RestorePacketCallback;
	return config_end(ch);
}

NTSTATUS VmbServerChannelInitSetVmbusHandle(VMBCHANNEL Channel, HANDLE VmbusHandle)
{
	struct channel *ch = config_begin(Channel, CONFIG_SERVER);
	HANDLE mine = NULL, old;
	struct host *host = NULL;

	if (!ch)
		return STATUS_INVALID_PARAMETER_1;
	if (!NT_SUCCESS(host_reference(VmbusHandle, &mine, &host))) {
		config_end(ch);
		return STATUS_INVALID_PARAMETER_2;
	}
	old = ch->vmbus;
	ch->vmbus = mine;
	ch->host = host;
	config_end(ch);
	if (old)
		ZwClose(old);
	return STATUS_SUCCESS;
}

NTSTATUS VmbClientChannelInitSetRingBufferPageCount(VMBCHANNEL Channel, UINT32 IncomingPageCount,
                                                    UINT32 OutgoingPageCount)
{
	struct channel *ch = config_begin(Channel, CONFIG_CLIENT);
	NTSTATUS status = STATUS_SUCCESS;

	if (!ch)
		return STATUS_INVALID_PARAMETER_1;
	if (IncomingPageCount == 0 || IncomingPageCount > CHANNEL_RING_PAGES_MAX) {
		status = STATUS_INVALID_PARAMETER_2;
	} else if (OutgoingPageCount == 0 || OutgoingPageCount > CHANNEL_RING_PAGES_MAX) {
		status = STATUS_INVALID_PARAMETER_3;
	} else {
		ch->config.in_pages = IncomingPageCount;
		ch->config.out_pages = OutgoingPageCount;
	}
	config_end(ch);
	return status;
}

NTSTATUS VmbClientChannelInitSetTargetPnp(VMBCHANNEL Channel, LPCGUID InterfaceType,
                                          LPCGUID InterfaceInstance,
                                          PFN_VMB_CHANNEL_PNP_FAILURE PnpFailureCallback)
{
	struct channel *ch = config_begin(Channel, CONFIG_CLIENT);

	if (!ch)
		return STATUS_INVALID_PARAMETER_1;
	if (!InterfaceType) {
		config_end(ch);
		return STATUS_INVALID_PARAMETER_2;
	}
	ch->config.type = *InterfaceType;
	ch->config.any_instance = !InterfaceInstance;
	if (InterfaceInstance)
		ch->config.instance = *InterfaceInstance;
	ch->config.pnp_failure = PnpFailureCallback;
	ch->config.has_target = true;
	config_label(&ch->config);
	return config_end(ch);
}

NTSTATUS kmcl_server_channel_init_set_offer_data(VMBCHANNEL channel, const void *data, uint32_t n)
{
	struct channel *ch = config_begin(channel, CONFIG_SERVER);

	if (!ch)
		return STATUS_INVALID_PARAMETER_1;
	if (n > VMBUS_SERVER_CHANNEL_INIT_MAXIMUM_OFFER_DATA || (n && !data)) {
		config_end(ch);
		return STATUS_INVALID_PARAMETER_3;
	}
	memset(ch->config.offer_data, 0, sizeof(ch->config.offer_data));
	if (n)
		memcpy(ch->config.offer_data, data, n);
	return config_end(ch);
}

NTSTATUS kmcl_channel_init_set_subchannel(VMBCHANNEL channel, uint16_t index)
{
	struct channel *ch = config_begin(channel, CONFIG_BOTH);

	if (!ch)
		return STATUS_INVALID_PARAMETER_1;
	ch->config.subchannel = index;
	if (ch->config.has_target)
		config_label(&ch->config);
	return config_end(ch);
}

NTSTATUS kmcl_server_channel_init_set_monitored(VMBCHANNEL channel, uint16_t latency_100ns)
{
	struct channel *ch = config_begin(channel, CONFIG_SERVER);

	if (!ch)
		return STATUS_INVALID_PARAMETER_1;
	if (latency_100ns == 0) {
		config_end(ch);
		return STATUS_INVALID_PARAMETER_2;
	}
	ch->config.monitored = true;
	ch->config.latency = latency_100ns;
	return config_end(ch);
}

NTSTATUS kmcl_server_channel_init_set_dedicated_interrupt(VMBCHANNEL channel, BOOLEAN dedicated)
{
	struct channel *ch = config_begin(channel, CONFIG_SERVER);

	if (!ch)
		return STATUS_INVALID_PARAMETER_1;
	ch->config.dedicated_interrupt = dedicated;
	return config_end(ch);
}

NTSTATUS kmcl_client_channel_init_set_open_data(VMBCHANNEL channel, const void *data, uint32_t n)
{
	struct channel *ch = config_begin(channel, CONFIG_CLIENT);

	if (!ch)
		return STATUS_INVALID_PARAMETER_1;
	if (n > CHANNEL_USER_DATA || (n && !data)) {
		config_end(ch);
		return STATUS_INVALID_PARAMETER_3;
	}
	memset(ch->config.open_data, 0, sizeof(ch->config.open_data));
	if (n)
		memcpy(ch->config.open_data, data, n);
	return config_end(ch);
}

VOID VmbChannelSetPointer(VMBCHANNEL Channel, PVOID Pointer)
{
	struct channel *ch = channel_of(Channel);

	if (ch)
		ch->pointer = Pointer;
}

PVOID VmbChannelGetPointer(VMBCHANNEL Channel)
{
	struct channel *ch = channel_of(Channel);

	return ch ? ch->pointer : NULL;
}

VOID VmbChannelGetInterfaceInstance(VMBCHANNEL Channel, LPGUID InterfaceInstance)
{
	struct channel *ch = channel_of(Channel);

	memset(InterfaceInstance, 0, sizeof(*InterfaceInstance));
	if (!ch)
		return;
	pthread_mutex_lock(&ch->lock);
	if (ch->server || !ch->config.any_instance)
		*InterfaceInstance = ch->config.instance;
	else if (life_is_open(&ch->life))
		memcpy(InterfaceInstance, ch->bus_offer.instance.bytes, sizeof(GUID));
	pthread_mutex_unlock(&ch->lock);
}

/* Space above all memory of a guest on x86-64, a slot a channel; an offer asks for 65535 MiB at
 * most. */
#define CONFIG_MMIO_BASE (1ull << 47)
#define CONFIG_MMIO_SLOT (64ull << 30)

VOID VmbChannelGetMmioSpace(VMBCHANNEL Channel, UINT64 *MmioAddress, UINT64 *MmioSize)
{
	struct channel *ch = channel_of(Channel);

	*MmioAddress = 0;
	*MmioSize = 0;
	if (!ch)
		return;
	pthread_mutex_lock(&ch->lock);
	if (!ch->server && life_is_open(&ch->life) && ch->bus_offer.mmio_megabytes) {
		*MmioAddress = CONFIG_MMIO_BASE + ch->bus_offer.channel_id * CONFIG_MMIO_SLOT;
		*MmioSize = (uint64_t)ch->bus_offer.mmio_megabytes << 20;
	}
	pthread_mutex_unlock(&ch->lock);
}

VOID VmbChannelSetTransactionQuota(VMBCHANNEL Channel, UINT32 Quota)
{
	struct channel *ch = channel_of(Channel);

	if (!ch)
		return;
	if (Quota == 0) {
		nt_misuse(__func__, channel_name(ch), "the quota must be greater than 0");
		return;
	}
	atomic_store(&ch->in.quota, Quota);
}

VOID VmbChannelSetIncomingProcessingAtPassive(VMBCHANNEL Channel, BOOLEAN RequirePassive)
{
	struct channel *ch = channel_of(Channel);

	if (!ch)
		return;
	atomic_store(&ch->in.passive, RequirePassive);
	dispatcher_kick(ch);
}
