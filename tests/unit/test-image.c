/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The look-up in an image: a hand-made one, and ones that were tampered with. */
#include "policy-random.h"
#include "policy/image.h"

/* Tables with one node per key byte that matters. Addresses 10.* are class 1, others 0; tcp to ports
 * 0x0100-0x01ff is service class 1, others 0. */
enum {
        NODE_ADDRESS,
        NODE_PROTOCOL,
        NODE_PORT,
        NODE_DEEP, /* leads to itself: no leaf at the end of any key */
        N_NODES,
};

#define VERDICTS 4
#define CELLS    4
#define NODES_AT (VERDICTS * sizeof(struct cgp_verdict))
#define CELLS_AT (NODES_AT + N_NODES * 512)
#define SIZE     (CELLS_AT + CELLS * sizeof(uint16_t))
#define LEAF(n)  (CGP_ENTRY_LEAF | (n))

static void write_u16(uint8_t *at, uint16_t value) {
        memcpy(at, &value, sizeof(value));
}

static void write_node(PolicyImage *image, unsigned node, uint16_t entry) {
        for (unsigned i = 0; i < 256; i++)
                write_u16(image->tables + NODES_AT + node * 512 + i * 2, entry);
}

static void write_entry(PolicyImage *image, unsigned node, unsigned byte, uint16_t entry) {
        write_u16(image->tables + NODES_AT + node * 512 + byte * 2, entry);
}

static PolicyImage *image_by_hand(void) {
        static const struct cgp_verdict verdicts[VERDICTS] = {
                { .counter = 50, .rule = CGP_RULE_DEFAULT_OUT, .action = CGP_ACTION_ALLOW },
                { .counter = 51, .rule = 16, .action = CGP_ACTION_DENY },
                { .counter = 52, .rule = 17, .action = CGP_ACTION_NEVER },
                { .counter = 53, .rule = 18, .action = CGP_ACTION_NONE },
        };
        PolicyImage *image = calloc(1, sizeof(*image));

        assert_non_null(image);
        image->tables = calloc(1, SIZE);
        assert_non_null(image->tables);
        image->config = (struct cgp_config){
                .abi_version = CGP_ABI_VERSION,
                .n_verdicts = VERDICTS,
                .n_nodes = N_NODES,
                .n_cells = CELLS,
                .nodes = NODES_AT,
                .matrix = CELLS_AT,
                .table_size = SIZE,
                .broken = { .counter = 99, .rule = CGP_RULE_BROKEN, .action = CGP_ACTION_DENY },
        };
        for (unsigned v = 0; v < CGP_N_VIEWS; v++)
                image->config.view[v] = (struct cgp_view){
                        .root4 = NODE_ADDRESS,
                        .root6 = LEAF(0),
                        .root_proto = NODE_PROTOCOL,
                        .n_address_classes = 2,
                        .n_port_classes = 2,
                };

        memcpy(image->tables, verdicts, sizeof(verdicts));
        write_node(image, NODE_ADDRESS, LEAF(0));
        write_entry(image, NODE_ADDRESS, 10, LEAF(1));
        write_node(image, NODE_PROTOCOL, LEAF(0));
        write_entry(image, NODE_PROTOCOL, 6, NODE_PORT);
        write_node(image, NODE_PORT, LEAF(0));
        write_entry(image, NODE_PORT, 1, LEAF(1));
        write_node(image, NODE_DEEP, NODE_DEEP);
        for (unsigned i = 0; i < CELLS; i++)
                write_u16(image->tables + CELLS_AT + i * 2, i == 3 ? 2 : i == 2 ? 1 : 0);
        return image;
}

static struct cgp_verdict lookup(
        const PolicyImage *image, const char *remote, uint8_t protocol, uint16_t port) {
        uint8_t address[16];

        address_parse(remote, address);
        return policy_image_lookup(image, CGP_VIEW_OUT, address, protocol, port);
}

static void assert_broken(struct cgp_verdict verdict) {
        assert_int_equal(verdict.action, CGP_ACTION_DENY);
        assert_int_equal(verdict.rule, CGP_RULE_BROKEN);
        assert_int_equal(verdict.counter, 99);
}

static void test_by_hand(void **state) {
        _cleanup_(policy_image_freep) PolicyImage *image = image_by_hand();

        assert_int_equal(lookup(image, "192.0.2.1", 6, 0x0100).rule, CGP_RULE_DEFAULT_OUT);
        assert_int_equal(lookup(image, "10.9.8.7", 6, 0x00ff).rule, 16);
        assert_int_equal(lookup(image, "10.9.8.7", 6, 0x0100).rule, 17);
        assert_int_equal(lookup(image, "10.9.8.7", 6, 0x01ff).counter, 52);
        assert_int_equal(lookup(image, "10.9.8.7", 6, 0x01ff).action, CGP_ACTION_NEVER);
        assert_int_equal(lookup(image, "10.9.8.7", 6, 0x0200).rule, 16);
        assert_int_equal(lookup(image, "10.9.8.7", 17, 0x0100).rule, 16);
        assert_int_equal(lookup(image, "a00::", 6, 0x0100).rule, CGP_RULE_DEFAULT_OUT);
        assert_int_equal(lookup(image, "::ffff:10.0.0.1", 6, 0x0100).rule, 17);
        /* Not v4-mapped. */
        assert_int_equal(lookup(image, "::a00:1", 6, 0x0100).rule, CGP_RULE_DEFAULT_OUT);
        assert_int_equal(lookup(image, "1::ffff:a00:1", 6, 0x0100).rule, CGP_RULE_DEFAULT_OUT);
}

static void test_no_leaf(void **state) {
        _cleanup_(policy_image_freep) PolicyImage *image = image_by_hand();

        image->config.view[CGP_VIEW_OUT].root6 = NODE_DEEP;
        assert_broken(lookup(image, "2001:db8::1", 6, 80));
        write_entry(image, NODE_ADDRESS, 11, NODE_DEEP);
        assert_broken(lookup(image, "11.0.0.1", 6, 80));
        assert_int_equal(lookup(image, "10.0.0.1", 6, 80).rule, 16);
        write_entry(image, NODE_PORT, 0, NODE_DEEP);
        assert_broken(lookup(image, "10.0.0.1", 6, 80));
        assert_int_equal(lookup(image, "10.0.0.1", 6, 0x0100).rule, 17);
}

static void test_index_out_of_range(void **state) {
        _cleanup_(policy_image_freep) PolicyImage *image = image_by_hand();
        struct cgp_view *view = &image->config.view[CGP_VIEW_OUT];

        write_entry(image, NODE_ADDRESS, 11, N_NODES);
        assert_broken(lookup(image, "11.0.0.1", 6, 80));
        write_entry(image, NODE_ADDRESS, 12, CGP_ENTRY_MASK);
        assert_broken(lookup(image, "12.0.0.1", 6, 80));
        write_entry(image, NODE_ADDRESS, 13, LEAF(2));
        assert_broken(lookup(image, "13.0.0.1", 6, 80));
        write_entry(image, NODE_PROTOCOL, 17, LEAF(2));
        assert_broken(lookup(image, "192.0.2.1", 17, 80));

        view->root6 = 0x12345678U & ~CGP_ENTRY_LEAF;
        assert_broken(lookup(image, "::1", 6, 80));
        view->root6 = LEAF(0);
        view->matrix = CELLS;
        assert_broken(lookup(image, "192.0.2.1", 6, 80));
        view->matrix = UINT32_MAX;
        assert_broken(lookup(image, "192.0.2.1", 6, 80));
        view->matrix = 0;

        write_u16(image->tables + CELLS_AT, VERDICTS);
        assert_broken(lookup(image, "192.0.2.1", 6, 80));
        write_u16(image->tables + CELLS_AT, 3);
        assert_broken(lookup(image, "192.0.2.1", 6, 80));
        image->tables[3 * sizeof(struct cgp_verdict) + offsetof(struct cgp_verdict, action)] = 4;
        assert_broken(lookup(image, "192.0.2.1", 6, 80));
        write_u16(image->tables + CELLS_AT, 0);
        assert_int_equal(lookup(image, "192.0.2.1", 6, 80).action, CGP_ACTION_ALLOW);
}

static void test_unknown_view(void **state) {
        _cleanup_(policy_image_freep) PolicyImage *image = image_by_hand();
        uint8_t remote[16];

        address_parse("192.0.2.1", remote);
        assert_broken(policy_image_lookup(image, CGP_N_VIEWS, remote, 6, 80));
        assert_broken(policy_image_lookup(image, UINT32_MAX, remote, 6, 80));
}

/* Whatever `broken` claims, it refuses. */
static void test_broken_refuses(void **state) {
        _cleanup_(policy_image_freep) PolicyImage *image = image_by_hand();

        image->config.broken.action = CGP_ACTION_ALLOW;
        image->config.view[CGP_VIEW_OUT].root4 = NODE_DEEP;
        assert_broken(lookup(image, "192.0.2.1", 6, 80));
}

static void test_config_beyond_tables(void **state) {
        uint32_t *members[5];
        _cleanup_(policy_image_freep) PolicyImage *image = image_by_hand();
        const struct cgp_config good = image->config;

        members[0] = &image->config.n_verdicts;
        members[1] = &image->config.n_nodes;
        members[2] = &image->config.n_cells;
        members[3] = &image->config.nodes;
        members[4] = &image->config.matrix;
        for (size_t i = 0; i < 5; i++) {
                *members[i] += 4096;
                assert_broken(lookup(image, "10.0.0.1", 6, 0x0100));
                *members[i] = UINT32_MAX;
                assert_broken(lookup(image, "10.0.0.1", 6, 0x0100));
                image->config = good;
        }
        image->config.nodes -= 1;
        assert_broken(lookup(image, "10.0.0.1", 6, 0x0100));
        image->config = good;
        image->config.table_size -= 2;
        assert_broken(lookup(image, "10.0.0.1", 6, 0x0100));
        image->config = good;
        assert_int_equal(lookup(image, "10.0.0.1", 6, 0x0100).rule, 17);
}

/* Flipped bytes change verdicts, but never lead outside of the tables: the sanitizer watches, and what comes
 * out is a verdict. */
static void test_flipped_bytes(void **state) {
        unsigned n_broken = 0, n_sound = 0;

        for (uint64_t seed = 1; seed <= 300; seed++) {
                Random random = { .state = seed };
                _cleanup_(policy_image_freep) PolicyImage *image = NULL;
                PolicyCompileInput input;
                RandomStack s;
                uint32_t size;

                random_stack(&random, &wide_universe, &s);
                input = random_input(&s.stack);
                assert_int_equal(policy_compile(&input, NULL, &image), 0);
                size = image->config.table_size;
                for (unsigned n = 0; n < 40; n++) {
                        uint8_t *config = (uint8_t *)&image->config;
                        /* The verdicts and first nodes are hit as often as all the rest. */
                        uint32_t at = random_below(
                                &random, random_one_in(&random, 2) ? size : MIN(size, 512U));

                        image->tables[at] = random_next(&random);
                        if (n >= 30)
                                config[random_below(&random, sizeof(image->config))] =
                                        random_next(&random);
                        /* How much memory there is the image cannot be wrong about. */
                        image->config.table_size = size;
                        for (unsigned i = 0; i < 20; i++) {
                                RandomQuestion q = random_question(&random, &wide_universe, &s);
                                struct cgp_verdict verdict = policy_image_lookup(
                                        image, q.view, q.remote, q.protocol, q.port);

                                assert_in_range(verdict.action, CGP_ACTION_ALLOW, CGP_ACTION_NEVER);
                                if (verdict.rule == CGP_RULE_BROKEN)
                                        n_broken++;
                                else
                                        n_sound++;
                        }
                }
        }
        assert_true(n_broken > 1000);
        assert_true(n_sound > 1000);
}

static void test_free_null(void **state) {
        assert_null(policy_image_free(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_by_hand),
                cmocka_unit_test(test_no_leaf),
                cmocka_unit_test(test_index_out_of_range),
                cmocka_unit_test(test_unknown_view),
                cmocka_unit_test(test_broken_refuses),
                cmocka_unit_test(test_config_beyond_tables),
                cmocka_unit_test(test_flipped_bytes),
                cmocka_unit_test(test_free_null),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
