/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/stream.h"

#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "util/macro.h"
#include "util/strv.h"

struct Stream {
        StreamList *list;
        char **units;
        int fd;
        sd_event_source *source;
        char *buffer;
        size_t n_buffer;
        size_t n_lost;
        bool ending;
};

struct StreamList {
        sd_event *event;
        Stream **streams;
        size_t n_streams;
};

static Stream *stream_free(Stream *s) {
        if (!s)
                return NULL;

        for (size_t i = 0; s->list && i < s->list->n_streams; i++) {
                if (s->list->streams[i] != s)
                        continue;
                s->list->streams[i] = s->list->streams[--s->list->n_streams];
                break;
        }
        sd_event_source_disable_unref(s->source);
        (void)close_keep_errno(s->fd);
        strv_free(s->units);
        free(s->buffer);
        free(s);
        return NULL;
}
DEFINE_CLEANUP(Stream *, stream_freep, stream_free);

int stream_list_new(sd_event *event, StreamList **ret) {
        StreamList *list = calloc(1, sizeof(*list));

        if (!list)
                return -ENOMEM;
        list->streams = calloc(STREAMS_MAX, sizeof(*list->streams));
        if (!list->streams) {
                free(list);
                return -ENOMEM;
        }
        list->event = sd_event_ref(event);
        *ret = list;
        return 0;
}

StreamList *stream_list_free(StreamList *list) {
        if (!list)
                return NULL;

        while (list->n_streams > 0)
                stream_free(list->streams[0]);
        free(list->streams);
        sd_event_unref(list->event);
        free(list);
        return NULL;
}

/* Sends what the socket takes. 1: nothing is left; 0: some is; negative: the reader is gone. */
static int stream_flush(Stream *s) {
        size_t done = 0;
        int r = 1;

        while (done < s->n_buffer) {
                ssize_t n = send(
                        s->fd, s->buffer + done, s->n_buffer - done, MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0) {
                        r = errno == EAGAIN ? 0 : -errno;
                        break;
                }
                done += (size_t)n;
        }
        if (done > 0)
                memmove(s->buffer, s->buffer + done, s->n_buffer - done);
        s->n_buffer -= done;
        return r;
}

static int stream_watch(Stream *s, bool writable) {
        return sd_event_source_set_io_events(
                s->source, EPOLLHUP | EPOLLRDHUP | (writable ? EPOLLOUT : 0U));
}

static int stream_append(Stream *s, const char *text, size_t n) {
        char *buffer;

        buffer = realloc(s->buffer, s->n_buffer + n);
        if (!buffer)
                return -ENOMEM;
        s->buffer = buffer;
        memcpy(buffer + s->n_buffer, text, n);
        s->n_buffer += n;
        return 0;
}

/* Not before the reader has caught up: until then the number grows. */
static int stream_tell_lost(Stream *s) {
        char line[64];
        int r;

        (void)snprintf(line, sizeof(line), "{\"lost\":%zu}\n", s->n_lost);
        r = stream_append(s, line, strlen(line));
        if (r < 0)
                return r;
        s->n_lost = 0;
        stream_end(s);
        return 0;
}

static int on_stream(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Stream *s = userdata;
        int r = 0;

        if (revents & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) {
                stream_free(s);
                return 0;
        }
        if (revents & EPOLLOUT) {
                r = stream_flush(s);
                if (r > 0 && s->n_lost > 0)
                        r = stream_tell_lost(s);
                else if (r > 0)
                        r = s->ending ? -EPIPE : stream_watch(s, /* writable= */ false);
        }
        if (r < 0)
                stream_free(s);
        return 0;
}

int stream_new(StreamList *list, char *const *units, Stream **ret_stream, int *ret_fd) {
        _cleanup_(stream_freep) Stream *s = NULL;
        int fds[2], r;

        if (list->n_streams >= STREAMS_MAX)
                return -EMFILE;
        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        s->fd = -EBADF;
        if (units) {
                r = strv_copy(units, &s->units);
                if (r < 0)
                        return r;
        }
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;
        s->fd = fds[0];
        r = sd_event_add_io(list->event, &s->source, s->fd, EPOLLHUP | EPOLLRDHUP, on_stream, s);
        if (r < 0) {
                (void)close(fds[1]);
                return r;
        }
        (void)sd_event_source_set_description(s->source, "event stream");
        s->list = list;
        list->streams[list->n_streams++] = s;
        *ret_fd = fds[1];
        *ret_stream = TAKE_PTR(s);
        return 0;
}

int stream_write(Stream *s, const char *line) {
        int r;

        if (s->ending)
                return -ENOBUFS;
        if (s->n_lost > 0 || s->n_buffer + strlen(line) + 1 > STREAM_BUFFER_MAX) {
                s->n_lost++;
                return -ENOBUFS;
        }
        r = stream_append(s, line, strlen(line));
        if (r >= 0)
                r = stream_append(s, "\n", 1);
        if (r < 0)
                return r;
        return stream_watch(s, /* writable= */ true);
}

void stream_end(Stream *s) {
        s->ending = true;
        (void)stream_watch(s, /* writable= */ true);
}

bool stream_wants(const Stream *s, const char *unit) {
        return !s->units || (unit && strv_contains(s->units, unit));
}

void stream_list_write(StreamList *list, const char *unit, const char *line) {
        for (size_t i = 0; i < list->n_streams; i++)
                if (!list->streams[i]->ending && stream_wants(list->streams[i], unit))
                        (void)stream_write(list->streams[i], line);
}
