/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The look-up in an image: a hand-made one, and ones that were tampered with. */
#include "policy-random.h"
#include "policy/image.h"

/* Tables with one node per key byte that matters. IPv4 addresses 10.* are row 1, others 0; IPv6:
 * 2001:* begins a walk of the last 64 bits, where ::1 is row 1. tcp to ports 0x0100-0x01ff is
 * column 1, others 0. View IN has lines: row 0 is a leaf, row 1 the trie of services. View BIND has
 * two places and two classes of sets. */
enum {
        NODE_ADDRESS,
        NODE_PROTOCOL,
        NODE_PORT,
        NODE_DEEP, /* leads to itself: no leaf at the end of any key */
        N_NODES,
};

enum {
        PATH_2001,
        PATH_LOW,
        N_PATHS,
};

/* Cells: where the low walk begins, a matrix of two by two, two lines, a class for each of three
 * combinations, two by two pairs, two places of two rows and one column. */
enum {
        CELL_LOW,
        CELL_MATRIX,
        CELL_LINES = CELL_MATRIX + 4,
        CELL_CLASSES = CELL_LINES + 2,
        CELL_PAIRS = CELL_CLASSES + 3,
        CELL_PLACES = CELL_PAIRS + 4,
        N_CELLS = CELL_PLACES + 4,
};

#define VERDICTS 4
#define PATHS_AT (N_NODES * 512U)
#define CELLS_AT (PATHS_AT + N_PATHS * sizeof(struct cgp_path))
#define SIZE     ((CELLS_AT + N_CELLS * sizeof(uint16_t) + 7) / 8 * 8)
#define LEAF(n)  (CGP_ENTRY_LEAF | (n))
#define PATH(n)  (CGP_ENTRY_PATH | (n))

static void write_u16(uint8_t *at, uint16_t value) {
        memcpy(at, &value, sizeof(value));
}

static void write_node(PolicyImage *image, unsigned node, uint16_t entry) {
        for (unsigned i = 0; i < 256; i++)
                write_u16(image->tables + node * 512 + i * 2, entry);
}

static void write_entry(PolicyImage *image, unsigned node, unsigned byte, uint16_t entry) {
        write_u16(image->tables + node * 512 + byte * 2, entry);
}

static void write_path(PolicyImage *image, unsigned path, struct cgp_path value) {
        memcpy(image->tables + PATHS_AT + path * sizeof(value), &value, sizeof(value));
}

static void write_cell(PolicyImage *image, unsigned cell, uint16_t value) {
        write_u16(image->tables + CELLS_AT + cell * 2, value);
}

static void write_tables(PolicyImage *image) {
        static const uint16_t cells[N_CELLS] = {
                [CELL_LOW] = PATH(PATH_LOW),
                [CELL_MATRIX + 2] = 1,
                [CELL_MATRIX + 3] = 2,
                [CELL_LINES] = LEAF(0),
                [CELL_LINES + 1] = NODE_PROTOCOL,
                [CELL_CLASSES + 2] = 1,
                [CELL_PAIRS + 1] = 1,
                [CELL_PAIRS + 3] = 1,
                [CELL_PLACES + 1] = 1,
                [CELL_PLACES + 2] = 2,
                [CELL_PLACES + 3] = 2,
        };

        write_node(image, NODE_ADDRESS, LEAF(0));
        write_entry(image, NODE_ADDRESS, 10, LEAF(1));
        write_node(image, NODE_PROTOCOL, LEAF(0));
        write_entry(image, NODE_PROTOCOL, 6, NODE_PORT);
        write_node(image, NODE_PORT, LEAF(0));
        write_entry(image, NODE_PORT, 1, LEAF(1));
        write_node(image, NODE_DEEP, NODE_DEEP);
        write_path(image, PATH_2001,
                (struct cgp_path){
                        .first = 0x2001ULL << 48,
                        .span = ~(0xffffULL << 48),
                        .hit = LEAF(CELL_LOW << 1 | 1),
                        .miss = LEAF(0),
                });
        write_path(image, PATH_LOW,
                (struct cgp_path){
                        .first = 1,
                        .hit = LEAF(1),
                        .miss = LEAF(0),
                });
        for (unsigned i = 0; i < N_CELLS; i++)
                write_cell(image, i, cells[i]);
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
        image->verdicts = calloc(VERDICTS, sizeof(*verdicts));
        image->tables = calloc(1, SIZE);
        assert_true(image->verdicts && image->tables);
        memcpy(image->verdicts, verdicts, sizeof(verdicts));
        image->config = (struct cgp_config){
                .abi_version = CGP_ABI_VERSION,
                .features = CGP_FEATURE_PLACE | CGP_FEATURE_SETS,
                .n_verdicts = VERDICTS,
                .n_nodes = N_NODES,
                .n_paths = N_PATHS,
                .paths = PATHS_AT,
                .n_cells = N_CELLS,
                .cells = CELLS_AT,
                .table_size = SIZE,
                .n_places = 2,
                .broken = { .counter = 99, .rule = CGP_RULE_BROKEN, .action = CGP_ACTION_DENY },
        };
        for (unsigned v = 0; v < CGP_N_VIEWS; v++)
                image->config.view[v] = (struct cgp_view){
                        .root4 = NODE_ADDRESS,
                        .root6 = PATH(PATH_2001),
                        .root_service = NODE_PROTOCOL,
                        .matrix = CELL_MATRIX,
                        .n_rows = 2,
                        .n_columns = 2,
                        .n_trie_rows = 2,
                };
        image->config.view[CGP_VIEW_IN].layout = CGP_LAYOUT_LINES;
        image->config.view[CGP_VIEW_IN].matrix = CELL_LINES;
        image->config.view[CGP_VIEW_BIND].matrix = CELL_PLACES;
        image->config.view[CGP_VIEW_BIND].root_service = LEAF(0);
        image->config.view[CGP_VIEW_BIND].n_columns = 1;
        image->config.view[CGP_VIEW_BIND].set_classes = CELL_CLASSES;
        image->config.view[CGP_VIEW_BIND].n_set_classes = 2;
        image->config.view[CGP_VIEW_BIND].pairs = CELL_PAIRS;
        write_tables(image);
        return image;
}

static struct cgp_verdict lookup_view(const PolicyImage *image, unsigned view, uint32_t place,
        uint32_t combination, const char *remote, uint8_t protocol, uint16_t port) {
        uint8_t address[16];

        address_parse(remote, address);
        return policy_image_lookup(image, view, place, combination, address, protocol, port);
}

static struct cgp_verdict lookup(
        const PolicyImage *image, const char *remote, uint8_t protocol, uint16_t port) {
        return lookup_view(image, CGP_VIEW_OUT, 0, 0, remote, protocol, port);
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

static void test_ipv6_halves(void **state) {
        _cleanup_(policy_image_freep) PolicyImage *image = image_by_hand();

        assert_int_equal(lookup(image, "2001:1:2:3::1", 17, 0x0100).rule, 16);
        assert_int_equal(lookup(image, "2001::2", 17, 0x0100).rule, CGP_RULE_DEFAULT_OUT);
        assert_int_equal(lookup(image, "2002::1", 17, 0x0100).rule, CGP_RULE_DEFAULT_OUT);
}

static void test_lines(void **state) {
        _cleanup_(policy_image_freep) PolicyImage *image = image_by_hand();

        assert_int_equal(lookup_view(image, CGP_VIEW_IN, 0, 0, "10.0.0.1", 6, 0x0100).rule, 16);
        assert_int_equal(lookup_view(image, CGP_VIEW_IN, 0, 0, "10.0.0.1", 6, 0x0200).rule,
                CGP_RULE_DEFAULT_OUT);
        assert_int_equal(lookup_view(image, CGP_VIEW_IN, 0, 0, "11.0.0.1", 6, 0x0100).rule,
                CGP_RULE_DEFAULT_OUT);
}

static void test_places_and_sets(void **state) {
        _cleanup_(policy_image_freep) PolicyImage *image = image_by_hand();

        assert_int_equal(lookup_view(image, CGP_VIEW_BIND, 0, 0, "11.0.0.1", 6, 80).rule,
                CGP_RULE_DEFAULT_OUT);
        assert_int_equal(lookup_view(image, CGP_VIEW_BIND, 0, 2, "11.0.0.1", 6, 80).rule, 16);
        assert_int_equal(lookup_view(image, CGP_VIEW_BIND, 1, 0, "11.0.0.1", 6, 80).rule, 17);
        assert_broken(lookup_view(image, CGP_VIEW_BIND, 2, 0, "11.0.0.1", 6, 80));
        assert_broken(lookup_view(image, CGP_VIEW_BIND, 0, UINT32_MAX, "11.0.0.1", 6, 80));
        /* What the policy does not have is not looked at. */
        image->config.features = 0;
        assert_int_equal(lookup_view(image, CGP_VIEW_BIND, 7, 2, "11.0.0.1", 6, 80).rule,
                CGP_RULE_DEFAULT_OUT);
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

        write_entry(image, NODE_ADDRESS, 11, SIZE / 512 + 1);
        assert_broken(lookup(image, "11.0.0.1", 6, 80));
        write_entry(image, NODE_ADDRESS, 12, CGP_INDEX_MASK);
        assert_broken(lookup(image, "12.0.0.1", 6, 80));
        write_entry(image, NODE_ADDRESS, 14, PATH(CGP_INDEX_MASK));
        assert_broken(lookup(image, "14.0.0.1", 6, 80));
        write_entry(image, NODE_ADDRESS, 15, LEAF(CGP_LEAF_MASK));
        assert_broken(lookup(image, "15.0.0.1", 6, 80));
        write_entry(image, NODE_ADDRESS, 13, LEAF(2));
        assert_broken(lookup(image, "13.0.0.1", 6, 80));
        write_entry(image, NODE_PROTOCOL, 17, LEAF(2));
        assert_broken(lookup(image, "192.0.2.1", 17, 80));

        view->root6 = LEAF(N_CELLS << 1 | 1);
        assert_broken(lookup(image, "::1", 6, 80));
        view->root6 = LEAF(0);
        view->matrix = N_CELLS;
        assert_broken(lookup(image, "192.0.2.1", 6, 80));
        view->matrix = UINT32_MAX;
        assert_broken(lookup(image, "192.0.2.1", 6, 80));
        view->matrix = CELL_MATRIX;

        write_cell(image, CELL_MATRIX, VERDICTS);
        assert_broken(lookup(image, "192.0.2.1", 6, 80));
        write_cell(image, CELL_MATRIX, 3);
        assert_broken(lookup(image, "192.0.2.1", 6, 80));
        image->verdicts[3].action = 4;
        assert_broken(lookup(image, "192.0.2.1", 6, 80));
        write_cell(image, CELL_MATRIX, 0);
        assert_int_equal(lookup(image, "192.0.2.1", 6, 80).action, CGP_ACTION_ALLOW);
}

static void test_unknown_view(void **state) {
        _cleanup_(policy_image_freep) PolicyImage *image = image_by_hand();
        uint8_t remote[16];

        address_parse("192.0.2.1", remote);
        assert_broken(policy_image_lookup(image, CGP_N_VIEWS, 0, 0, remote, 6, 80));
        assert_broken(policy_image_lookup(image, UINT32_MAX, 0, 0, remote, 6, 80));
}

/* Whatever `broken` claims, it refuses. */
static void test_broken_refuses(void **state) {
        _cleanup_(policy_image_freep) PolicyImage *image = image_by_hand();

        image->config.broken.action = CGP_ACTION_ALLOW;
        image->config.view[CGP_VIEW_OUT].root4 = NODE_DEEP;
        assert_broken(lookup(image, "192.0.2.1", 6, 80));
}

static void test_config_beyond_tables(void **state) {
        _cleanup_(policy_image_freep) PolicyImage *image = image_by_hand();
        const struct cgp_config good = image->config;

        for (unsigned i = 0; i < 2; i++) {
                image->config.cells = i == 0 ? SIZE : UINT32_MAX;
                assert_broken(lookup(image, "10.0.0.1", 6, 0x0100));
                image->config = good;
                image->config.paths = i == 0 ? SIZE : UINT32_MAX;
                assert_broken(lookup(image, "2001::1", 6, 0x0100));
                image->config = good;
                image->config.n_cells = i == 0 ? CELL_MATRIX : 0;
                assert_broken(lookup(image, "10.0.0.1", 6, 0x0100));
                image->config = good;
        }
        image->config.n_verdicts = 0;
        assert_broken(lookup(image, "10.0.0.1", 6, 0x0100));
        image->config = good;
        image->config.table_size = 63;
        assert_broken(lookup(image, "10.0.0.1", 6, 0x0100));
        image->config = good;
        assert_int_equal(lookup(image, "10.0.0.1", 6, 0x0100).rule, 17);
}

static void flip(PolicyImage *image, Random *random, bool config) {
        const uint32_t size = image->config.table_size, n_verdicts = image->config.n_verdicts;
        uint8_t *verdicts = (uint8_t *)image->verdicts, *c = (uint8_t *)&image->config;
        /* The first nodes are hit as often as all the rest. */
        uint32_t at = random_below(random, random_one_in(random, 2) ? size : MIN(size, 512U));

        image->tables[at] ^= 1U << random_below(random, 8);
        verdicts[random_below(random, n_verdicts * sizeof(struct cgp_verdict))] =
                random_next(random);
        if (config)
                c[random_below(random, sizeof(image->config))] = random_next(random);
        /* How much memory there is the image cannot be wrong about. */
        image->config.table_size = size;
        image->config.n_verdicts = n_verdicts;
}

/* Flipped bytes change verdicts, but never lead outside of the tables: the sanitizer watches, and
 * what comes out is a verdict. */
static void test_flipped_bytes(void **state) {
        unsigned n_broken = 0, n_sound = 0;

        for (uint64_t seed = 1; seed <= 300; seed++) {
                Random random = { .state = seed };
                _cleanup_(policy_image_freep) PolicyImage *image = NULL;
                _cleanup_(random_host_done) RandomHost h = {};
                PolicyCompileInput input;
                RandomStack s;

                random_host(&random, &wide_universe, &h);
                random_stack(&random, &wide_universe, &s);
                input = random_input(&s.stack, &h.host);
                assert_int_equal(policy_compile(&input, NULL, &image), 0);
                for (unsigned n = 0; n < 40; n++) {
                        flip(image, &random, n >= 30);
                        for (unsigned i = 0; i < 20; i++) {
                                RandomQuestion q =
                                        random_question(&random, &wide_universe, &s, &h.host);
                                struct cgp_verdict verdict;

                                if (random_one_in(&random, 8))
                                        q.place = random_next(&random);
                                verdict = question_lookup(image, &h.host, &q);
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
                cmocka_unit_test(test_ipv6_halves),
                cmocka_unit_test(test_lines),
                cmocka_unit_test(test_places_and_sets),
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
