/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a filled instance is while somebody needs it: a handle (KernelProgs), or a link that carries one of its
 * programs. Counted exactly, because its maps are written again only when nobody does.
 *
 * A program id does not stand for an image for ever: a later image may be filled into the same instance. These
 * keep the records (cgp_records) true all the same:
 *   R1  An instance is filled before its handle exists, and not again while there is a handle or a link of it.
 *       So what a hook carries does not change without the hook's being switched.
 *   R2  The record of a cgroup names program and image before any of its hooks is switched to that program.
 *       It replaces whatever an older record said of the same program.
 *   R3  Only the process that loaded an instance writes to it. What a restarted daemon finds on a hook it
 *       carries on under its record, and never fills.
 * Killed between filling and record: no hook carries the program, the kernel frees it. Between record and switch:
 * the hook carries `cur`, and by R1 still that image. After the switch: it carries `next`. An old record that
 * names a program which has another image by now is never believed: for a hook of that cgroup to carry it
 * again, the record had to be written anew (R2), and other cgroups have records of their own.
 */
#pragma once

#include "kernel/instance.h"
#include "kernel/pool.h"
#include "kernel/tables.h"

typedef struct Carrier Carrier;

/* Takes over instance, and the reference to tables (NULL: it has its own). Where it goes when nobody needs it any
 * more: back to the pool, which closes what is of none of its kinds. The one who made it holds the
 * handle. */
int carrier_new(Pool *pool, Instance *instance, Tables *tables, Carrier **ret) _warn_unused_result_;
void carrier_drop_handle(Carrier *carrier);

/* A link carries it, and no longer does. */
void carrier_add_link(Carrier *carrier);
void carrier_drop_link(Carrier *carrier);
/* A link may carry it and nobody knows until when: never used again. */
void carrier_lose_link(Carrier *carrier);

const Instance *carrier_instance(const Carrier *carrier);
