/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packets that the daemon makes up, read back by a parser that shares nothing with it. */
#include "core/packet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../model/packet-view.h"
#include "cgp-abi.h"
#include "util/macro.h"

static const uint8_t remotes[][16] = {
        { [10] = 0xff, [11] = 0xff, [12] = 203, [13] = 0, [14] = 113, [15] = 9 },
        { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 }, { [10] = 0xff, [11] = 0xff },
        { 0x20, 0x01, 0x0d, 0xb8, [7] = 0xfe, [15] = 0x42 }, { [15] = 1 },
        { [10] = 0xff, [11] = 0xfe, [12] = 1 }, /* almost IPv4 */
};

static bool is_extension_header(uint8_t protocol) {
        return protocol == 0 || protocol == 43 || protocol == 44 || protocol == 51 ||
                protocol == 60;
}

static void assert_reads_back(const PolicyFlow *flow, const uint8_t *packet, size_t size) {
        bool out = flow->direction == CGP_DIR_OUT;
        PacketView view;

        if (packet_view(packet, size, &view) < 0)
                fail_msg("protocol %u: %zu bytes are no packet", flow->protocol, size);
        assert_int_equal(view.protocol, flow->protocol);
        assert_memory_equal(out ? view.destination : view.source, flow->remote, 16);
        assert_int_equal(packet_address_is_multicast(out ? view.source : view.destination),
                flow->local_is_multicast);
        /* It is the first packet of its conversation. */
        assert_int_equal(view.is_syn, flow->protocol == 6);
        assert_int_equal(view.is_echo, flow->protocol == 1 || flow->protocol == 58);
        if (!view.has_ports)
                return;
        assert_int_equal(out ? view.destination_port : view.source_port, flow->remote_port);
        assert_int_equal(out ? view.source_port : view.destination_port, flow->local_port);
}

static void test_all_protocols(void **state) {
        for (unsigned protocol = 0; protocol < 256; protocol++)
                for (size_t i = 0; i < ELEMENTSOF(remotes); i++)
                        for (unsigned how = 0; how < 3; how++) {
                                PolicyFlow flow = {
                                        .direction = how == 0 ? CGP_DIR_OUT : CGP_DIR_IN,
                                        .protocol = (uint8_t)protocol,
                                        .remote_port = 0x1234,
                                        .local_port = 0xfedc,
                                        .local_is_multicast = how == 2,
                                };
                                uint8_t packet[PACKET_SIZE_MAX];
                                bool v6 = i >= 3;
                                int n;

                                memcpy(flow.remote, remotes[i], 16);
                                memset(packet, 0xa5, sizeof(packet));
                                n = packet_build(&flow, packet);
                                if (v6 && is_extension_header(flow.protocol)) {
                                        assert_int_equal(n, -EOPNOTSUPP);
                                        continue;
                                }
                                assert_in_range(n, 20, PACKET_SIZE_MAX);
                                /* Nothing of the buffer's past is in it, and nothing behind it is touched. */
                                for (size_t k = (size_t)n; k < sizeof(packet); k++)
                                        assert_int_equal(packet[k], 0xa5);
                                assert_reads_back(&flow, packet, (size_t)n);
                        }
}

static void test_every_byte_is_written(void **state) {
        PolicyFlow flow = { .protocol = 132, .remote_port = 1, .local_port = 2 };
        uint8_t a[PACKET_SIZE_MAX], b[PACKET_SIZE_MAX];
        int n;

        for (unsigned protocol = 1; protocol < 256; protocol++) {
                flow.protocol = (uint8_t)protocol;
                memcpy(flow.remote, remotes[protocol % 2 ? 0 : 3], 16);
                memset(a, 0x00, sizeof(a));
                memset(b, 0xff, sizeof(b));
                n = packet_build(&flow, a);
                assert_int_equal(packet_build(&flow, b), n);
                if (n > 0)
                        assert_memory_equal(a, b, (size_t)n);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_all_protocols),
                cmocka_unit_test(test_every_byte_is_written),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
