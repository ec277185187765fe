/* SPDX-License-Identifier: BSD-2-Clause */
#include "ic/kvp_message.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_UNITS   (IC_KVP_KEY_BYTES / 2)
#define VALUE_UNITS (IC_KVP_VALUE_BYTES / 2)

static bool wrong(struct kvp_fault *f, const char *what, uint64_t expected, uint64_t actual)
{
	*f = (struct kvp_fault){ what, expected, actual };
	return false;
}

static void begin(union kvp_message *m, enum ic_kvp_operation operation, uint8_t pool)
{
	memset(m, 0, sizeof(*m));
	m->kvp.operation = (uint8_t)operation;
	m->kvp.pool = pool;
}

/* ---- keys and values ---- */

bool kvp_message_key(union kvp_message *m, enum ic_kvp_operation operation, uint8_t pool,
                     const char *key)
{
	bool is_delete = operation == IC_KVP_DELETE;
	uint16_t *units = is_delete ? m->kvp.del.key : m->kvp.value.key;
	uint32_t n;

	begin(m, operation, pool);
	n = utf16_from_utf8(key, units, KEY_UNITS);
	if (n < 2)
		return false; /* nothing but the NUL is no key */
	if (is_delete)
		m->kvp.del.key_size = 2 * n;
	else
		m->kvp.value.key_size = 2 * n;
	return true;
}

bool kvp_message_value(union kvp_message *m, const struct kmcl_kvp_value *value)
{
	struct ic_kvp_value *v = &m->kvp.value;
	uint32_t number = (uint32_t)value->number;

	v->type = (uint32_t)value->type;
	switch (value->type) {
	case KMCL_KVP_STRING:
	case KMCL_KVP_EXPAND_STRING:
		v->value_size = 2 * utf16_from_utf8(value->text, v->text, VALUE_UNITS);
		return v->value_size;
	case KMCL_KVP_U32:
		v->value_size = sizeof(number);
		memcpy(v->bytes, &number, sizeof(number));
		return number == value->number;
	case KMCL_KVP_U64:
		v->value_size = sizeof(value->number);
		memcpy(v->bytes, &value->number, sizeof(value->number));
		return true;
	default:
		return false;
	}
}

void kvp_message_enumerate(union kvp_message *m, uint8_t pool, uint32_t index)
{
	begin(m, IC_KVP_ENUMERATE, pool);
	m->kvp.enumerate.index = index;
}

static bool take_string(const uint16_t *units, uint32_t bytes, uint32_t most, char *text,
                        size_t capacity, const char *size_what, const char *text_what,
                        struct kvp_fault *fault)
{
	if (bytes > most || bytes % 2)
		return wrong(fault, size_what, most, bytes);
	return utf16_to_utf8(units, bytes / 2, text, capacity) || wrong(fault, text_what, bytes, 0);
}

static bool take_value(const struct ic_kvp_value *v, struct kmcl_kvp_value *value,
                       struct kvp_fault *fault)
{
	uint32_t number;

	memset(value, 0, sizeof(*value));
	value->type = (enum kmcl_kvp_type)v->type;
	switch (v->type) {
	case IC_KVP_STRING:
	case IC_KVP_EXPAND_STRING:
		return take_string(v->text, v->value_size, IC_KVP_VALUE_BYTES, value->text,
		                   sizeof(value->text), "size of a value",
		                   "value, of UTF-16 with a NUL in so many bytes", fault);
	case IC_KVP_U32:
		if (v->value_size != sizeof(number))
			return wrong(fault, "size of a number", sizeof(number), v->value_size);
		memcpy(&number, v->bytes, sizeof(number));
		value->number = number;
		return true;
	case IC_KVP_U64:
		if (v->value_size != sizeof(value->number))
			return wrong(fault, "size of a number", sizeof(value->number),
			             v->value_size);
		memcpy(&value->number, v->bytes, sizeof(value->number));
		return true;
	default:
		return wrong(fault, "type of a value, such as", IC_KVP_STRING, v->type);
	}
}

bool kvp_answer_value(const union kvp_message *m, uint32_t size, struct kmcl_kvp_value *value,
                      struct kvp_fault *fault)
{
	const uint32_t least = offsetof(struct ic_kvp, value) + sizeof(m->kvp.value);

	if (size < least)
		return wrong(fault, "size of the answer to a get", least, size);
	return take_value(&m->kvp.value, value, fault);
}

bool kvp_answer_entry(const union kvp_message *m, uint32_t size, struct kmcl_kvp_entry *entry,
                      struct kvp_fault *fault)
{
	const struct ic_kvp_value *v = &m->kvp.enumerate.value;

	if (size < sizeof(m->kvp))
		return wrong(fault, "size of the answer to an enumerate", sizeof(m->kvp), size);
	return take_string(v->key, v->key_size, IC_KVP_KEY_BYTES, entry->key, sizeof(entry->key),
	                   "size of a key", "key, of UTF-16 with a NUL in so many bytes", fault) &&
	       take_value(v, &entry->value, fault);
}

/* ---- network adapters: strings ---- */

static bool is_binary(uint32_t version)
{
	return version >= IC_VERSION(5, 0);
}

bool kvp_message_adapter(union kvp_message *m, enum ic_kvp_operation operation, uint32_t version,
                         const char *adapter)
{
	/* Linux reads the pool for nothing here; OpenVMM says the guest's. */
	begin(m, operation, KMCL_KVP_POOL_GUEST);
	return utf16_from_utf8(adapter, is_binary(version) ? m->binary.adapter : m->text.adapter,
	                       IC_KVP_ADAPTER) > 1;
}

static uint8_t family_of(const struct kmcl_kvp_ip_info *info)
{
	return (uint8_t)((info->ipv4 ? IC_KVP_IPV4 : 0) | (info->ipv6 ? IC_KVP_IPV6 : 0));
}

static bool put_text(struct ic_kvp_ip_text *t, const struct kmcl_kvp_ip_info *info)
{
	t->family = family_of(info);
	t->dhcp = info->dhcp;
	return utf16_from_utf8(info->addresses, t->addresses, IC_KVP_IP_TEXT) &&
	       utf16_from_utf8(info->subnets, t->subnets, IC_KVP_IP_TEXT) &&
	       utf16_from_utf8(info->gateways, t->gateways, IC_KVP_GATEWAYS) &&
	       utf16_from_utf8(info->dns, t->dns, IC_KVP_IP_TEXT);
}

static bool take_list(const uint16_t *units, uint32_t count, char text[KMCL_KVP_IP_MAX],
                      struct kvp_fault *fault)
{
	return utf16_to_utf8(units, count, text, KMCL_KVP_IP_MAX) ||
	       wrong(fault, "list of addresses, of UTF-16 with a NUL in so many units", count, 0);
}

static bool take_text(const struct ic_kvp_ip_text *t, struct kmcl_kvp_ip_info *info,
                      struct kvp_fault *fault)
{
	info->ipv4 = t->family & IC_KVP_IPV4;
	info->ipv6 = t->family & IC_KVP_IPV6;
	info->dhcp = t->dhcp;
	return take_list(t->addresses, IC_KVP_IP_TEXT, info->addresses, fault) &&
	       take_list(t->subnets, IC_KVP_IP_TEXT, info->subnets, fault) &&
	       take_list(t->gateways, IC_KVP_GATEWAYS, info->gateways, fault) &&
	       take_list(t->dns, IC_KVP_IP_TEXT, info->dns, fault);
}

/* ---- network adapters: binary ---- */

/* A list's items, one after the other. */
static bool next_item(const char **list, char item[INET6_ADDRSTRLEN])
{
	size_t n = strcspn(*list, ";");

	if (n >= INET6_ADDRSTRLEN)
		return false;
	memcpy(item, *list, n);
	item[n] = '\0';
	*list += n + ((*list)[n] == ';');
	return true;
}

/* Sorts a list by family; `most` of each. */
static bool put_list(const char *list, uint8_t (*v4)[4], uint8_t (*v6)[16], uint32_t count[2],
                     uint32_t most)
{
	char item[INET6_ADDRSTRLEN];

	count[0] = count[1] = 0;
	while (*list) {
		if (!next_item(&list, item))
			return false;
		if (count[0] < most && inet_pton(AF_INET, item, v4[count[0]]) == 1)
			count[0]++;
		else if (count[1] < most && inet_pton(AF_INET6, item, v6[count[1]]) == 1)
			count[1]++;
		else
			return false;
	}
	return true;
}

static bool put_prefix(const char *item, uint32_t *prefix)
{
	char *end;
	unsigned long n;

	if (*item == '/')
		item++;
	if (*item < '0' || *item > '9')
		return false;
	n = strtoul(item, &end, 10);
	*prefix = (uint32_t)n;
	return !*end && n <= 128;
}

/* As many of each family as there are addresses. */
static bool put_subnets(const char *list, struct ic_kvp_ip_binary *b)
{
	char item[INET6_ADDRSTRLEN];
	uint32_t n4 = 0, n6 = 0;

	while (*list) {
		if (!next_item(&list, item))
			return false;
		if (n4 < b->address_count[0] && inet_pton(AF_INET, item, b->subnets4[n4]) == 1)
			n4++;
		else if (n6 < b->address_count[1] && put_prefix(item, &b->prefixes6[n6]))
			n6++;
		else
			return false;
	}
	return n4 == b->address_count[0] && n6 == b->address_count[1];
}

static bool put_binary(struct ic_kvp_ip_binary *b, const struct kmcl_kvp_ip_info *info)
{
	uint32_t i;

	b->family = family_of(info);
	b->dhcp = info->dhcp;
	if (!put_list(info->addresses, b->addresses4, b->addresses6, b->address_count,
	              IC_KVP_IP_ADDRESSES) ||
	    !put_subnets(info->subnets, b) ||
	    !put_list(info->gateways, b->gateways4, b->gateways6, b->gateway_count,
	              IC_KVP_IP_GATEWAYS) ||
	    !put_list(info->dns, b->dns4, b->dns6, b->dns_count, IC_KVP_IP_ADDRESSES))
		return false;
	for (i = 0; i < b->address_count[0] + b->address_count[1]; i++)
		b->origins[i] = info->dhcp ? IC_KVP_ORIGIN_OTHER : IC_KVP_ORIGIN_STATIC;
	return true;
}

/* The longest list: each item with its separator. */
static_assert(IC_KVP_IP_ADDRESSES * (INET_ADDRSTRLEN + INET6_ADDRSTRLEN) <= KMCL_KVP_IP_MAX, "");

static void append(char list[KMCL_KVP_IP_MAX], const char *item)
{
	size_t n = strlen(list);

	snprintf(list + n, KMCL_KVP_IP_MAX - n, "%s%s", n ? ";" : "", item);
}

static void append_address(char list[KMCL_KVP_IP_MAX], int family, const void *address)
{
	char item[INET6_ADDRSTRLEN];

	append(list, inet_ntop(family, address, item, sizeof(item)));
}

static void take_addresses(const uint8_t (*v4)[4], const uint8_t (*v6)[16], const uint32_t count[2],
                           char list[KMCL_KVP_IP_MAX])
{
	uint32_t i;

	list[0] = '\0';
	for (i = 0; i < count[0]; i++)
		append_address(list, AF_INET, v4[i]);
	for (i = 0; i < count[1]; i++)
		append_address(list, AF_INET6, v6[i]);
}

static void take_subnets(const struct ic_kvp_ip_binary *b, char list[KMCL_KVP_IP_MAX])
{
	char item[16];
	uint32_t i;

	list[0] = '\0';
	for (i = 0; i < b->address_count[0]; i++)
		append_address(list, AF_INET, b->subnets4[i]);
	for (i = 0; i < b->address_count[1]; i++) {
		snprintf(item, sizeof(item), "/%u", b->prefixes6[i]);
		append(list, item);
	}
}

static bool count_wrong(const uint32_t count[2], uint32_t most, struct kvp_fault *fault)
{
	return (count[0] > most || count[1] > most) &&
	       !wrong(fault, "count of addresses, at most", most,
	              count[0] > most ? count[0] : count[1]);
}

static bool take_binary(const struct ic_kvp_ip_binary *b, struct kmcl_kvp_ip_info *info,
                        struct kvp_fault *fault)
{
	if (count_wrong(b->address_count, IC_KVP_IP_ADDRESSES, fault) ||
	    count_wrong(b->gateway_count, IC_KVP_IP_GATEWAYS, fault) ||
	    count_wrong(b->dns_count, IC_KVP_IP_ADDRESSES, fault))
		return false;
	info->ipv4 = b->family & IC_KVP_IPV4;
	info->ipv6 = b->family & IC_KVP_IPV6;
	info->dhcp = b->dhcp;
	take_addresses(b->addresses4, b->addresses6, b->address_count, info->addresses);
	take_subnets(b, info->subnets);
	take_addresses(b->gateways4, b->gateways6, b->gateway_count, info->gateways);
	take_addresses(b->dns4, b->dns6, b->dns_count, info->dns);
	return true;
}

/* ---- network adapters ---- */

bool kvp_message_ip(union kvp_message *m, uint32_t version, const struct kmcl_kvp_ip_info *info)
{
	return is_binary(version) ? put_binary(&m->binary, info) : put_text(&m->text, info);
}

bool kvp_answer_ip(const union kvp_message *m, uint32_t size, uint32_t version,
                   struct kmcl_kvp_ip_info *info, struct kvp_fault *fault)
{
	uint32_t least = is_binary(version) ? sizeof(m->binary) : sizeof(m->text);

	if (size < least)
		return wrong(fault, "size of the answer to an IP query", least, size);
	return is_binary(version) ? take_binary(&m->binary, info, fault)
	                          : take_text(&m->text, info, fault);
}
