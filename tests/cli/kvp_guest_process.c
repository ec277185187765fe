/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest that keeps two key-value pairs and has an adapter, in a process of its own: it answers
 * what 'kmcl ctl kvp' asks until it gets SIGTERM. Usage: kvp_guest_process URI. */
#include "ic/kvp_message.h"
#include "ic_guest.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct ic_version versions[] = { { 4, 0 }, { 0, 0 } };

static const struct {
	const char *key;
	struct kmcl_kvp_value value;
} records[] = {
	{ "name \"of\" it", { .type = KMCL_KVP_STRING, .text = "gr\xc3\xbcn\x01" } },
	{ "number", { .type = KMCL_KVP_U32, .number = 4000000000u } },
};

static const struct kmcl_kvp_ip_info ip = {
	.ipv4 = true,
	.ipv6 = true,
	.addresses = "10.0.2.15;fe80::1",
	.subnets = "255.255.255.0;/64",
	.gateways = "10.0.2.2",
	.dns = "",
};

static uint32_t answer(struct ic_guest_message *g, union kvp_message *m)
{
	union kvp_message record;
	uint32_t i = m->kvp.operation == IC_KVP_ENUMERATE ? m->kvp.enumerate.index : 0;

	switch (m->kvp.operation) {
	case IC_KVP_ENUMERATE:
		if (m->kvp.pool != KMCL_KVP_POOL_GUEST || i >= sizeof(records) / sizeof(records[0]))
			return IC_E_NO_MORE_ITEMS;
		kvp_message_key(&record, IC_KVP_SET, m->kvp.pool, records[i].key);
		kvp_message_value(&record, &records[i].value);
		m->kvp.enumerate.value = record.kvp.value;
		return IC_S_OK;
	case IC_KVP_GET_IP:
		return kvp_message_ip(m, ic_version_number(g->header.message), &ip) ? IC_S_OK
		                                                                    : IC_E_FAIL;
	case IC_KVP_GET: /* an empty value, as Linux has it: the host looks through the pool */
		kvp_message_value(m, &(struct kmcl_kvp_value){ .type = KMCL_KVP_STRING });
		return IC_S_OK;
	case IC_KVP_SET:
	case IC_KVP_DELETE:
		return IC_S_OK;
	default:
		return IC_E_NOT_SUPPORTED;
	}
}

static void serve(struct ic_guest *guest, struct ic_guest_message *g)
{
	union kvp_message m = { 0 };

	memcpy(&m, g->body, g->size < sizeof(m) ? g->size : sizeof(m));
	g->header.status = answer(g, &m);
	memcpy(g->body, &m, g->size < sizeof(m) ? g->size : sizeof(m));
}

int main(int argc, char **argv)
{
	static struct ic_guest guest = {
		.type = { 0xa9a0f4e7,
		          0x5a45,
		          0x4d96,
		          { 0xb8, 0x27, 0x8a, 0x84, 0x1e, 0x8c, 0x03, 0xe6 } },
		.versions = versions,
		.request = serve,
	};
	PDEVICE_OBJECT bus;
	sigset_t signals;
	int number;

	if (argc != 2)
		return 2;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	guest.frameworks = ic_guest_frameworks;
	if (!NT_SUCCESS(kmcl_guest_open(argv[1], &bus)) || !ic_guest_open(&guest, bus))
		return 1;
	puts("open");
	fflush(stdout);
	sigwait(&signals, &number);
	ic_guest_close(&guest);
	kmcl_guest_close(bus);
	return 0;
}
