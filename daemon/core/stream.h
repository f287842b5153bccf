/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams of event lines to clients: one end of a socket pair each, written without blocking. A reader that
 * does not keep up loses its stream, never an event of somebody else, and never more of our memory than
 * STREAM_BUFFER_MAX.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "util/cleanup.h"

#define STREAMS_MAX       64U
#define STREAM_BUFFER_MAX (1024U * 1024)

typedef struct Stream Stream;
typedef struct StreamList StreamList;

int stream_list_new(sd_event *event, StreamList **ret) _warn_unused_result_;
StreamList *stream_list_free(StreamList *list);

/* units: NULL-terminated names to pass on, copied; NULL: all. *ret_stream is valid until control is back in the
 * event loop, for the lines that come first. -EMFILE at STREAMS_MAX. */
int stream_new(StreamList *list, char *const *units, Stream **ret_stream,
        int *ret_fd) _warn_unused_result_;

/* Sends one line, given without its newline. -ENOBUFS: the stream is over its bound; it ends with a line {"lost":N}
 * when the reader has read the rest. */
int stream_write(Stream *stream, const char *line);

/* Ends the stream when all is written. */
void stream_end(Stream *stream);

bool stream_wants(const Stream *stream, const char *unit);

/* To every stream that wants this unit. */
void stream_list_write(StreamList *list, const char *unit, const char *line);
