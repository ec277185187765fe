/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Windows, as far as public sources tell. Its drivers are not public; what they send is told by
 * hosts that they work with: OpenVMM vm/devices/vmbus/vmbus_server/src/channels.rs (versions and
 * features), vm/devices/storage/storvsp, vm/devices/net/netvsp/src/lib.rs and buffers.rs (NVSP 6.1,
 * messages of 40 bytes, what some drivers do to the end of a slot), vm/devices/hyperv_ic. No
 * Windows has booted here: kmcl boot has no firmware.
 */

#include "persona_ic.h"
#include "persona_net.h"
#include "persona_scsi.h"
#include "visit.h"

#define FEATURES                                                               \
	(WIRE_FEATURE_SIGNAL_PARAMETERS | WIRE_FEATURE_INTERRUPT_REDIRECTION | \
	 WIRE_FEATURE_MODIFY_CONNECTION | WIRE_FEATURE_CLIENT_ID)
#define SLOT_TAIL 36u

static void begin(struct visit *v, uint32_t version)
{
	const struct persona_contact contact = {
		.version = version,
		.connection = WIRE_CONNECTION_MULTICLIENT,
		.size = version >= WIRE_VERSION_6_0 ? sizeof(struct wire_initiate_contact) : 0,
		.sint = WIRE_SINT_DEFAULT,
		.features = version >= WIRE_VERSION_6_0 ? FEATURES : 0,
	};

	visit_begin(v, NULL);
	assert_true(persona_contact(&v->guest, &contact));
	persona_request_offers(&v->guest);
}

static void end(struct visit *v)
{
	persona_unload(&v->guest);
	visit_end(v);
}

static void disks_attach_at_each_version(void **state)
{
	static const uint32_t versions[] = { WIRE_VERSION_5_0, WIRE_VERSION_5_1, WIRE_VERSION_5_2,
		                             WIRE_VERSION_5_3, WIRE_VERSION_6_0 };
	static const uint16_t scsi[] = { STORVSC_VERSION_WIN10, 0 };
	const struct persona_opening opening = { .out_pages = 33, .in_pages = 33 };
	struct visit v;

	for (uint32_t i = 0; i < 5; i++) {
		struct persona_scsi s = { .packet_size = 64,
			                  .answer_size = 64,
			                  .transaction = 1,
			                  .transaction_step = 1 };

		begin(&v, versions[i]);
		persona_open(&v.guest, &s.channel, persona_find(&v.guest, &services_scsi, 0),
		             &opening);
		persona_scsi_begin(&s, scsi, true);
		persona_scsi_use_disk(&s);
		persona_close(&s.channel);
		end(&v);
	}
}

/* Some drivers write over the last bytes of a slot, past the frame: that is no frame's. */
static void spoil_tails(struct persona_net *n, const struct persona_packet *packet)
{
	struct wire_transfer_pages pages;
	struct wire_transfer_range range;

	memcpy(&pages, packet->bytes, sizeof(pages));
	for (uint32_t i = 0; i < pages.range_count; i++) {
		memcpy(&range, packet->bytes + sizeof(pages) + i * sizeof(range), sizeof(range));
		assert_true(range.byte_offset % n->slot_size + range.byte_count + SLOT_TAIL <=
		            n->slot_size);
		memset(n->receive + range.byte_offset + range.byte_count, 0xee, SLOT_TAIL);
	}
}

static void the_network_attaches(void **state)
{
	static const uint32_t versions[] = { NVSP_VERSION_61, 0 };
	const struct persona_opening opening = { .out_pages = 33, .in_pages = 33 };
	struct persona_net n = { .look = spoil_tails };
	struct visit v;

	begin(&v, WIRE_VERSION_6_0);
	persona_open(&v.guest, &n.channel, persona_find(&v.guest, &services_net, 0), &opening);
	persona_net_init(&n, versions, 40);
	persona_net_configure(&n, 1514, NVSP_CAPABILITY_VLAN, 40);
	persona_net_ndis(&n, 6, 30, 40);
	persona_net_give_receive(&n, 1 << 20, 1, 40);
	assert_int_equal(n.completion_size, 40);
	persona_net_give_send(&n, 1 << 20, 2, 40);
	n.by_section = true;
	persona_net_begin_rndis(&n, services_address);
	for (uint32_t i = 0; i < 20; i++)
		persona_net_exchange(&n, i % 2 ? 1514 : 60);
	persona_net_revoke(&n, 2, 40);
	persona_close(&n.channel);
	end(&v);
}

static void integration_components_speak_the_newest(void **state)
{
	static const struct ic_version frameworks[] = { { 3, 0 }, { 0, 0 } };
	static const struct ic_version shutdown[] = { { 3, 2 }, { 0, 0 } };
	static const struct ic_version timesync[] = { { 4, 0 }, { 0, 0 } };
	static const struct ic_version heartbeat[] = { { 3, 0 }, { 0, 0 } };
	static const struct ic_version kvp[] = { { 5, 0 }, { 0, 0 } };
	const struct {
		const GUID *type;
		const struct ic_version *versions;
	} components[] = { { &services_shutdown, shutdown },
		           { &services_timesync, timesync },
		           { &services_heartbeat, heartbeat },
		           { &services_kvp, kvp } };
	struct persona_ic ic[4];
	struct visit v;

	begin(&v, WIRE_VERSION_6_0);
	for (uint32_t i = 0; i < 4; i++) {
		persona_ic_open(&v.guest, &ic[i], components[i].type, 4);
		persona_ic_negotiate(&ic[i], frameworks, components[i].versions);
	}
	for (uint32_t i = 0; i < 4; i++)
		persona_close(&ic[i].channel);
	end(&v);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(disks_attach_at_each_version),
	cmocka_unit_test(the_network_attaches),
	cmocka_unit_test(integration_components_speak_the_newest),
};

PERSONA_MAIN(tests)
