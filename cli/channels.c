/* SPDX-License-Identifier: BSD-2-Clause */
/* Lists of channels, as lsvmbus shows them on Linux, and more. */
#include "cli.h"
#include "echo/echo.h"
#include "ic/ic_protocol.h"
#include "input/keyboard_protocol.h"
#include "input/mouse_protocol.h"
#include "net/netvsc_protocol.h"
#include "scsi/storvsc_protocol.h"

#include <stdlib.h>
#include <string.h>

/* The types as lsvmbus (Linux tools/hv) calls them. */
static const struct {
	struct kmcl_guid type;
	const char *name;
} types[] = {
	{ STORVSC_INTERFACE_TYPE, "Synthetic SCSI Controller" },
	{ ECHO_INTERFACE_TYPE, "kmcl echo service" },
	{ IC_SHUTDOWN_INTERFACE_TYPE, "Operating system shutdown" },
	{ IC_TIMESYNC_INTERFACE_TYPE, "Time Synchronization" },
	{ IC_HEARTBEAT_INTERFACE_TYPE, "Heartbeat" },
	{ IC_KVP_INTERFACE_TYPE, "Data Exchange" },
	{ { 0x35fa2e29, 0xea23, 0x4236, { 0x96, 0xae, 0x3a, 0x6e, 0xba, 0xcb, 0xa4, 0x40 } },
	  "Backup (volume checkpoint)" },
	{ { 0x34d14be3, 0xdee4, 0x41c8, { 0x9a, 0xe7, 0x6b, 0x17, 0x49, 0x77, 0xc1, 0x92 } },
	  "Guest services" },
	{ { 0x525074dc, 0x8985, 0x46e2, { 0x80, 0x57, 0xa3, 0x07, 0xdc, 0x18, 0xa5, 0x02 } },
	  "Dynamic memory" },
	{ MOUSE_INTERFACE_TYPE, "Synthetic mouse" },
	{ KEYBOARD_INTERFACE_TYPE, "Synthetic keyboard" },
	{ { 0xda0a7802, 0xe377, 0x4aac, { 0x8e, 0x77, 0x05, 0x58, 0xeb, 0x10, 0x73, 0xf8 } },
	  "Synthetic framebuffer adapter" },
	{ NETVSC_INTERFACE_TYPE, "Synthetic network adapter" },
	{ { 0x32412632, 0x86cb, 0x44a2, { 0x9b, 0x5c, 0x50, 0xd1, 0x41, 0x73, 0x54, 0xf5 } },
	  "Synthetic IDE Controller" },
	{ { 0x2f9bcc4a, 0x0069, 0x4af3, { 0xb7, 0x6b, 0x6f, 0xd0, 0xbe, 0x52, 0x8c, 0xda } },
	  "Synthetic fiber channel adapter" },
	{ { 0x8c2eaf3d, 0x32a7, 0x4b09, { 0xab, 0x99, 0xbd, 0x1f, 0x1c, 0x86, 0xb5, 0x01 } },
	  "Synthetic RDMA adapter" },
	{ { 0x44c4f61d, 0x4444, 0x4400, { 0x9d, 0x52, 0x80, 0x2e, 0x27, 0xed, 0xe1, 0x9f } },
	  "PCI Express pass-through" },
};

static const char *type_name(const struct kmcl_guid *type)
{
	size_t i;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (!memcmp(&types[i].type, type, sizeof(*type)))
			return types[i].name;
	}
	return "Unknown";
}

static const char *state_name(enum kmcl_channel_state state)
{
	static const char *const names[] = { "offered", "disabled", "enabled", "paused", "active" };

	return (size_t)state < sizeof(names) / sizeof(names[0]) ? names[state] : "?";
}

/* ---- as text ---- */

static void print_details(FILE *out, const struct kmcl_bus_channel *c, int verbose)
{
	const struct kmcl_statistics *s = &c->statistics;

	fprintf(out,
	        "\tConnection %u, flags 0x%x, processor %u, %s interrupt%s, MMIO %u + %u MiB\n",
	        c->connection_id, c->offer_flags, c->target_vp,
	        c->dedicated_interrupt ? "dedicated" : "shared", c->monitored ? ", monitored" : "",
	        c->mmio_megabytes, c->mmio_megabytes_optional);
	if (verbose < 2)
		return;
	fprintf(out, "\tRings in/out %u/%u bytes, GPADLs %u, outstanding in/out %u/%u\n",
	        c->ring_in_bytes, c->ring_out_bytes, c->gpadls, c->outstanding_in,
	        c->outstanding_out);
	fprintf(out,
	        "\tPackets in/out %llu/%llu, bytes %llu/%llu, signals %llu/%llu, faults %llu\n",
	        (unsigned long long)s->packets_in, (unsigned long long)s->packets_out,
	        (unsigned long long)s->bytes_in, (unsigned long long)s->bytes_out,
	        (unsigned long long)s->signals_in, (unsigned long long)s->signals_out,
	        (unsigned long long)s->faults);
}

static void print_channel(FILE *out, const struct kmcl_bus_channel *c, int verbose)
{
	char type[CLI_GUID_SIZE], instance[CLI_GUID_SIZE];

	cli_guid(&c->type, type);
	cli_guid(&c->instance, instance);
	fprintf(out, "VMBUS ID %2u: Class_ID = {%s} - %s", c->channel_id, type,
	        type_name(&c->type));
	if (c->subchannel)
		fprintf(out, ", subchannel %u", c->subchannel);
	fprintf(out, "\n\tDevice_ID = {%s}, %s\n", instance, state_name(c->state));
	if (verbose)
		print_details(out, c, verbose);
}

static void print_text(FILE *out, const struct kmcl_bus_info *bus,
                       const struct kmcl_bus_channel *channels, uint32_t count, int verbose)
{
	uint32_t i;

	fprintf(out, "VMBus version %u.%u, %u channel%s", bus->version >> 16, bus->version & 0xffff,
	        count, count == 1 ? "" : "s");
	if (bus->other_process)
		fprintf(out, ", the other end is process %d", bus->other_process);
	if (bus->visitors_refused)
		fprintf(out, ", %llu of %llu visitors refused",
		        (unsigned long long)bus->visitors_refused,
		        (unsigned long long)bus->visitors);
	if (bus->visitors_stuck)
		fprintf(out, ", %u processes wait in closing what they sent", bus->visitors_stuck);
	if (verbose)
		fprintf(out, ", %llu KiB held for it", (unsigned long long)bus->held / 1024);
	putc('\n', out);
	for (i = 0; i < count; i++)
		print_channel(out, &channels[i], verbose);
}

/* ---- as JSON ---- */

static void statistics_json(struct json *j, const struct kmcl_statistics *s)
{
	json_open(j, "statistics", '{');
	json_number(j, "packets_in", s->packets_in);
	json_number(j, "packets_out", s->packets_out);
	json_number(j, "bytes_in", s->bytes_in);
	json_number(j, "bytes_out", s->bytes_out);
	json_number(j, "completions_in", s->completions_in);
	json_number(j, "completions_out", s->completions_out);
	json_number(j, "signals_in", s->signals_in);
	json_number(j, "signals_out", s->signals_out);
	json_number(j, "sends_queued", s->sends_queued);
	json_number(j, "external_bytes", s->external_bytes);
	json_number(j, "bounced_bytes", s->bounced_bytes);
	json_number(j, "quota_stops", s->quota_stops);
	json_number(j, "faults", s->faults);
	json_number(j, "opens", s->opens);
	json_close(j, '}');
}

static void channel_json(struct json *j, const struct kmcl_bus_channel *c)
{
	char guid[CLI_GUID_SIZE];

	json_open(j, NULL, '{');
	json_number(j, "id", c->channel_id);
	cli_guid(&c->type, guid);
	json_string(j, "type", guid);
	json_string(j, "type_name", type_name(&c->type));
	cli_guid(&c->instance, guid);
	json_string(j, "instance", guid);
	json_number(j, "subchannel", c->subchannel);
	json_string(j, "state", state_name(c->state));
	json_string(j, "name", c->name);
	json_number(j, "connection", c->connection_id);
	json_number(j, "flags", c->offer_flags);
	json_number(j, "processor", c->target_vp);
	json_bool(j, "dedicated_interrupt", c->dedicated_interrupt);
	json_bool(j, "monitored", c->monitored);
	json_number(j, "mmio_megabytes", c->mmio_megabytes);
	json_number(j, "mmio_megabytes_optional", c->mmio_megabytes_optional);
	json_number(j, "ring_in_bytes", c->ring_in_bytes);
	json_number(j, "ring_out_bytes", c->ring_out_bytes);
	json_number(j, "gpadls", c->gpadls);
	json_number(j, "outstanding_in", c->outstanding_in);
	json_number(j, "outstanding_out", c->outstanding_out);
	statistics_json(j, &c->statistics);
	json_close(j, '}');
}

static void print_json(FILE *out, const struct kmcl_bus_info *bus,
                       const struct kmcl_bus_channel *channels, uint32_t count)
{
	char version[16];
	struct json j;
	uint32_t i;

	snprintf(version, sizeof(version), "%u.%u", bus->version >> 16 & 0xffff,
	         bus->version & 0xffff);
	json_begin(&j, out);
	json_open(&j, NULL, '{');
	json_string(&j, "version", version);
	json_number(&j, "features", bus->features);
	json_number(&j, "other_process", (uint64_t)bus->other_process);
	json_number(&j, "visitors", bus->visitors);
	json_number(&j, "visitors_refused", bus->visitors_refused);
	json_number(&j, "visitors_stuck", bus->visitors_stuck);
	json_open(&j, "held", '{');
	json_number(&j, "bytes", bus->held);
	json_number(&j, "most", bus->held_max);
	json_number(&j, "packets", bus->held_packets);
	json_number(&j, "gpadls", bus->held_gpadls);
	json_number(&j, "messages", bus->held_messages);
	json_close(&j, '}');
	json_open(&j, "channels", '[');
	for (i = 0; i < count; i++)
		channel_json(&j, &channels[i]);
	json_close(&j, ']');
	json_close(&j, '}');
	json_end(&j);
}

struct kmcl_bus_channel *channels_new(uint32_t capacity)
{
	struct kmcl_bus_channel *channels = calloc(capacity + 1, sizeof(*channels));

	if (channels)
		channels->size = sizeof(*channels);
	return channels;
}

void channels_print(FILE *out, bool json, int verbose, const struct kmcl_bus_info *bus,
                    const struct kmcl_bus_channel *channels, uint32_t count)
{
	if (json)
		print_json(out, bus, channels, count);
	else
		print_text(out, bus, channels, count, verbose);
}
