/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICES_IC_KVP_MESSAGE_H
#define DEVICES_IC_KVP_MESSAGE_H

/* Requests of the key-value component as bytes, and its guests' answers checked and taken apart.
 * Knows no bus. */

#include "ic/ic_protocol.h"
#include "ic/utf16.h"

#include <kmcl/ic.h>

union kvp_message {
	struct ic_kvp kvp;
	struct ic_kvp_ip_text text;
	struct ic_kvp_ip_binary binary;
	uint8_t bytes[IC_KVP_IP_BYTES];
};

/* What is wrong with an answer. */
struct kvp_fault {
	const char *what;
	uint64_t expected, actual;
};

/* false: ill-formed or too long. What they do not set is zeros. */
bool kvp_message_key(union kvp_message *m, enum ic_kvp_operation operation, uint8_t pool,
                     const char *key);
bool kvp_message_value(union kvp_message *m, const struct kmcl_kvp_value *value);
void kvp_message_enumerate(union kvp_message *m, uint8_t pool, uint32_t index);
/* `version`: IC_VERSION() of what is agreed on. */
bool kvp_message_adapter(union kvp_message *m, enum ic_kvp_operation operation, uint32_t version,
                         const char *adapter);
bool kvp_message_ip(union kvp_message *m, uint32_t version, const struct kmcl_kvp_ip_info *info);

/* Answers of `size` bytes. false: `fault`. */
bool kvp_answer_value(const union kvp_message *m, uint32_t size, struct kmcl_kvp_value *value,
                      struct kvp_fault *fault);
bool kvp_answer_entry(const union kvp_message *m, uint32_t size, struct kmcl_kvp_entry *entry,
                      struct kvp_fault *fault);
bool kvp_answer_ip(const union kvp_message *m, uint32_t size, uint32_t version,
                   struct kmcl_kvp_ip_info *info, struct kvp_fault *fault);

#endif
