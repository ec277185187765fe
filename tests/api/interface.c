/* SPDX-License-Identifier: BSD-2-Clause */

/* The tables through which newer drivers reach the API: all pointers, and a conversation by them
 * alone. */

#include "pair.h"

static VOID answer(VMBCHANNEL channel, VMBPACKETCOMPLETION packet, PVOID buffer, UINT32 size,
                   UINT32 flags);

static KMCL_CLIENT_INTERFACE_V1 client;
static KMCL_SERVER_INTERFACE_V1 server;

/* covers: kmcl_query_interface, KMCL_CLIENT_INTERFACE_TYPE, KMCL_SERVER_INTERFACE_TYPE */
static void statuses_and_sizes(void **state)
{
	struct {
		KMCL_SERVER_INTERFACE_V1 table;
		uint8_t after[16];
	} t;

	assert_int_equal(kmcl_query_interface(NULL, sizeof(client), 1, &client),
	                 STATUS_INVALID_PARAMETER);
	assert_int_equal(kmcl_query_interface(&KMCL_CLIENT_INTERFACE_TYPE, sizeof(client), 1, NULL),
	                 STATUS_INVALID_PARAMETER);
	assert_int_equal(kmcl_query_interface(&pair_type, sizeof(client), 1, &client),
	                 STATUS_NOT_SUPPORTED);
	assert_int_equal(
		kmcl_query_interface(&KMCL_CLIENT_INTERFACE_TYPE, sizeof(client), 2, &client),
		STATUS_NOT_SUPPORTED);
	assert_int_equal(
		kmcl_query_interface(&KMCL_CLIENT_INTERFACE_TYPE, sizeof(client), 0, &client),
		STATUS_NOT_SUPPORTED);
	assert_int_equal(
		kmcl_query_interface(&KMCL_CLIENT_INTERFACE_TYPE, sizeof(client) - 1, 1, &client),
		STATUS_BUFFER_TOO_SMALL);
	assert_int_equal(
		kmcl_query_interface(&KMCL_SERVER_INTERFACE_TYPE, sizeof(server) - 1, 1, &server),
		STATUS_BUFFER_TOO_SMALL);
	/* only as much is written as the table has */
	memset(&t, 0x5a, sizeof(t));
	assert_int_equal(kmcl_query_interface(&KMCL_CLIENT_INTERFACE_TYPE, sizeof(t), 1, &t.table),
	                 STATUS_SUCCESS);
	assert_int_equal(t.table.Size, sizeof(client));
	assert_int_equal(t.table.Version, 1);
	for (uint8_t *p = (uint8_t *)&t + sizeof(client); p < (uint8_t *)(&t + 1); p++)
		assert_int_equal(*p, 0x5a);
	assert_int_equal(kmcl_query_interface(&KMCL_SERVER_INTERFACE_TYPE, sizeof(t), 1, &t.table),
	                 STATUS_SUCCESS);
	assert_int_equal(t.table.Size, sizeof(server));
	t.table.InterfaceReference(t.table.Context);
	t.table.InterfaceDereference(t.table.Context);
}

#define IS(name)         assert_ptr_equal(client.name, name), assert_ptr_equal(server.name, name)
#define IS_SERVERS(name) assert_ptr_equal(server.name, name)

/* covers: KMCL_CLIENT_INTERFACE_V1, KMCL_SERVER_INTERFACE_V1 */
static void every_pointer_is_its_function(void **state)
{
	assert_int_equal(
		kmcl_query_interface(&KMCL_CLIENT_INTERFACE_TYPE, sizeof(client), 1, &client),
		STATUS_SUCCESS);
	assert_int_equal(
		kmcl_query_interface(&KMCL_SERVER_INTERFACE_TYPE, sizeof(server), 1, &server),
		STATUS_SUCCESS);
	IS(VmbChannelAllocate);
	IS(VmbChannelCleanup);
	IS(VmbChannelCreateGpadlFromBuffer);
	IS(VmbChannelCreateGpadlFromMdl);
	IS(VmbChannelDeleteGpadl);
	IS(VmbChannelDisable);
	IS(VmbChannelEnable);
	IS(VmbChannelGetInterfaceInstance);
	IS(VmbChannelGetMmioSpace);
	IS(VmbChannelGetPointer);
	IS(VmbChannelInitSetClientContextSize);
	IS(VmbChannelInitSetFlags);
	IS(VmbChannelInitSetFriendlyName);
	IS(VmbChannelInitSetMaximumExternalData);
	IS(VmbChannelInitSetMaximumPacketSize);
	IS(VmbChannelInitSetProcessPacketCallbacks);
	IS(VmbChannelInitSetStateChangeCallbacks);
	IS(VmbChannelPacketComplete);
	IS(VmbChannelPacketDeferToPassive);
	IS(VmbChannelPacketFail);
	IS(VmbChannelPacketGetExternalData);
	IS(VmbChannelPause);
	IS(VmbChannelSendSynchronousRequest);
	IS(VmbChannelSetIncomingProcessingAtPassive);
	IS(VmbChannelSetInterruptLatency);
	IS(VmbChannelSetPointer);
	IS(VmbChannelSetTransactionQuota);
	IS(VmbChannelSizeofPacket);
	IS(VmbChannelStart);
	IS(VmbClientChannelInitSetRingBufferPageCount);
	IS(VmbClientChannelInitSetTargetPnp);
	IS(VmbPacketAllocate);
	IS(VmbPacketFree);
	IS(VmbPacketGetChannel);
	IS(VmbPacketGetPointer);
	IS(VmbPacketInitialize);
	IS(VmbPacketSend);
	IS(VmbPacketSendWithExternalMdl);
	IS(VmbPacketSendWithExternalPfns);
	IS(VmbPacketSetCompletionRoutine);
	IS(VmbPacketSetPointer);
	IS_SERVERS(VmbChannelMapGpadl);
	IS_SERVERS(VmbChannelRestoreFromBuffer);
	IS_SERVERS(VmbChannelSaveBegin);
	IS_SERVERS(VmbChannelSaveContinue);
	IS_SERVERS(VmbChannelSaveEnd);
	IS_SERVERS(VmbChannelUnmapGpadl);
	IS_SERVERS(VmbConvertVmbusHandleToKernelHandle);
	IS_SERVERS(VmbPacketRestore);
	IS_SERVERS(VmbServerChannelInitSetFlags);
	IS_SERVERS(VmbServerChannelInitSetMmioMegabytes);
	IS_SERVERS(VmbServerChannelInitSetSaveRestorePacketCallbacks);
	IS_SERVERS(VmbServerChannelInitSetTargetInterfaceId);
	IS_SERVERS(VmbServerChannelInitSetTargetVtl);
	IS_SERVERS(VmbServerChannelInitSetVmbusHandle);
	/* and there are no others: 41 for both ends, 14 for servers */
	assert_int_equal(sizeof(client) -
	                         FIELD_OFFSET(KMCL_CLIENT_INTERFACE_V1, VmbChannelAllocate),
	                 41 * sizeof(void *));
	assert_int_equal(sizeof(KMCL_SERVER_ONLY_METHODS), 14 * sizeof(void *));
	assert_int_equal(sizeof(server), sizeof(client) + sizeof(KMCL_SERVER_ONLY_METHODS));
	/* the order that the documentation gives: alphabetical */
	assert_int_equal(FIELD_OFFSET(KMCL_CLIENT_INTERFACE_V1, VmbChannelCleanup),
	                 FIELD_OFFSET(KMCL_CLIENT_INTERFACE_V1, VmbChannelAllocate) +
	                         sizeof(void *));
	assert_int_equal(FIELD_OFFSET(KMCL_CLIENT_INTERFACE_V1, VmbPacketSetPointer),
	                 sizeof(client) - sizeof(void *));
}

static VOID answer(VMBCHANNEL channel, VMBPACKETCOMPLETION packet, PVOID buffer, UINT32 size,
                   UINT32 flags)
{
	uint64_t doubled = 2 * *(uint64_t *)buffer;

	server.VmbChannelPacketComplete(packet, &doubled, sizeof(doubled));
}

/* covers: KMCL_CLIENT_INTERFACE_V1, KMCL_SERVER_INTERFACE_V1 */
static void a_conversation_through_the_tables(void **state)
{
	struct pair *pair = pair_create();
	uint64_t question = 21, answer_is = 0;
	uint32_t size = sizeof(answer_is);
	VMBCHANNEL at_server, at_client;
	HANDLE kernel;

	assert_int_equal(
		kmcl_query_interface(&KMCL_CLIENT_INTERFACE_TYPE, sizeof(client), 1, &client),
		STATUS_SUCCESS);
	assert_int_equal(
		kmcl_query_interface(&KMCL_SERVER_INTERFACE_TYPE, sizeof(server), 1, &server),
		STATUS_SUCCESS);
	assert_int_equal(server.VmbChannelAllocate(NULL, TRUE, &at_server), STATUS_SUCCESS);
	assert_int_equal(server.VmbConvertVmbusHandleToKernelHandle(pair->vmbus, &kernel), 0);
	assert_int_equal(server.VmbServerChannelInitSetVmbusHandle(at_server, kernel), 0);
	ZwClose(kernel);
	assert_int_equal(server.VmbServerChannelInitSetTargetInterfaceId(at_server, pair_type,
	                                                                 pair_instance),
	                 STATUS_SUCCESS);
	assert_int_equal(server.VmbChannelInitSetProcessPacketCallbacks(at_server, answer, NULL),
	                 0);
	assert_int_equal(client.VmbChannelAllocate(pair->bus, FALSE, &at_client), STATUS_SUCCESS);
	assert_int_equal(client.VmbClientChannelInitSetTargetPnp(at_client, &pair_type, NULL, NULL),
	                 0);
	assert_int_equal(client.VmbChannelInitSetProcessPacketCallbacks(at_client, answer, NULL),
	                 0);
	assert_int_equal(server.VmbChannelEnable(at_server), STATUS_SUCCESS);
	server.VmbChannelStart(at_server);
	assert_int_equal(client.VmbChannelEnable(at_client), STATUS_SUCCESS);
	assert_int_equal(client.VmbChannelSendSynchronousRequest(
				 at_client, &question, sizeof(question), NULL,
				 VMBUS_CHANNEL_FORMAT_FLAG_WAIT_FOR_COMPLETION, &answer_is, &size,
				 NULL),
	                 STATUS_SUCCESS);
	assert_int_equal(size, 8);
	assert_int_equal(answer_is, 42);
	client.VmbChannelDisable(at_client);
	client.VmbChannelCleanup(at_client);
	server.VmbChannelDisable(at_server);
	server.VmbChannelCleanup(at_server);
	pair_destroy(pair);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statuses_and_sizes),
		cmocka_unit_test(every_pointer_is_its_function),
		cmocka_unit_test(a_conversation_through_the_tables),
	};

	pair_main(argc, argv);
	return cmocka_run_group_tests_name("interface", tests, NULL, NULL);
}
