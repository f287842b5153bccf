/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Streams of event lines: who gets what, and what a reader that does not keep up is told. */
#include "core/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/macro.h"

typedef struct World {
        sd_event *event;
        StreamList *list;
} World;

static int setup(void **state) {
        World *world = calloc(1, sizeof(*world));

        if (!world || sd_event_new(&world->event) < 0 ||
                stream_list_new(world->event, &world->list) < 0)
                return -1;
        *state = world;
        return 0;
}

static int teardown(void **state) {
        World *world = *state;

        stream_list_free(world->list);
        sd_event_unref(world->event);
        free(world);
        return 0;
}

static void dispatch(World *world) {
        int r;

        do {
                r = sd_event_run(world->event, 0);
                assert_true(r >= 0);
        } while (r > 0);
}

/* Reads to the end of the stream, with the event loop running. Owned. */
static char *read_all(World *world, int fd) {
        char *text = NULL;
        size_t size = 0;
        ssize_t n;

        do {
                dispatch(world);
                text = realloc(text, size + 65536 + 1);
                assert_non_null(text);
                n = read(fd, text + size, 65536);
                assert_true(n >= 0);
                size += (size_t)n;
        } while (n > 0);
        text[size] = '\0';
        return text;
}

static void test_who_gets_what(void **state) {
        World *world = *state;
        char *units[] = { (char[]){ "web" }, (char[]){ "db" }, NULL };
        _cleanup_close_ int all_fd = -EBADF, some_fd = -EBADF;
        _cleanup_free_ char *all_text = NULL, *some_text = NULL;
        Stream *all, *some;

        assert_int_equal(stream_new(world->list, NULL, &all, &all_fd), 0);
        assert_int_equal(stream_new(world->list, units, &some, &some_fd), 0);
        stream_list_write(world->list, "web", "1");
        stream_list_write(world->list, "other", "2");
        stream_list_write(world->list, NULL, "3");
        stream_end(all);
        stream_end(some);
        stream_list_write(world->list, "web", "after the end");
        all_text = read_all(world, all_fd);
        some_text = read_all(world, some_fd);
        assert_string_equal(all_text, "1\n2\n3\n");
        assert_string_equal(some_text, "1\n");
}

/* Each line is either read or counted, also those that come while the reader catches up. */
static void test_lost(void **state) {
        World *world = *state;
        _cleanup_free_ char *text = NULL, *line = malloc(1000);
        _cleanup_close_ int fd = -EBADF;
        size_t n_written = 0, n_read = 0, n_lost = 0;
        Stream *stream;
        char *last;

        assert_non_null(line);
        memset(line, 'x', 999);
        line[999] = '\0';
        assert_int_equal(stream_new(world->list, NULL, &stream, &fd), 0);
        for (; stream_write(stream, line) >= 0; n_written++)
                assert_true(n_written <= STREAM_BUFFER_MAX / 1000);
        n_written++;
        assert_int_equal(stream_write(stream, "small"), -ENOBUFS);
        dispatch(world);
        stream_list_write(world->list, "web", "small");
        n_written += 2;

        text = read_all(world, fd);
        for (char *p = text; (p = strchr(p, '\n')); p++)
                n_read++;
        last = strstr(text, "{\"lost\":");
        assert_non_null(last);
        assert_int_equal(sscanf(last, "{\"lost\":%zu}", &n_lost), 1);
        assert_string_equal(strchr(last, '\n'), "\n");
        assert_int_equal(n_lost, 3);
        assert_int_equal(n_read - 1 + n_lost, n_written);
}

static void test_reader_goes_away(void **state) {
        World *world = *state;

        for (unsigned i = 0; i < 3 * STREAMS_MAX; i++) {
                Stream *stream;
                int fd = -EBADF;

                assert_int_equal(stream_new(world->list, NULL, &stream, &fd), 0);
                assert_int_equal(stream_write(stream, "x"), 0);
                (void)close(fd);
                dispatch(world);
        }
}

static void test_limit(void **state) {
        World *world = *state;
        int fds[STREAMS_MAX], fd = -77;
        Stream *stream = NULL, *none = NULL;

        for (size_t i = 0; i < STREAMS_MAX; i++)
                assert_int_equal(stream_new(world->list, NULL, &stream, &fds[i]), 0);
        assert_int_equal(stream_new(world->list, NULL, &none, &fd), -EMFILE);
        assert_int_equal(fd, -77);
        assert_null(none);
        for (size_t i = 0; i < STREAMS_MAX; i++)
                (void)close(fds[i]);
}

#define WITH_LIST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                WITH_LIST(test_who_gets_what),
                WITH_LIST(test_lost),
                WITH_LIST(test_reader_goes_away),
                WITH_LIST(test_limit),
        };

        return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
