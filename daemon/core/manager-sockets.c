/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Conversations that a change ends. Their packets are dropped from the moment the new image is in force; what is
 * done here is only that whoever waits for them learns of it, and so it comes after the reply, as well as can be.
 *
 * Only sockets of the daemon's own network namespace can be ended from outside: neither the iterators nor sock_diag
 * see those of others, which wait for their timeouts.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "core/manager-internal.h"
#include "util/log.h"
#include "util/macro.h"
#include "util/time.h"

/* How long the loop is kept at a time. How many sockets there are is for the job to say, and how long one takes to
 * judge is for the policy: nobody else may have to wait for either. */
#define SLICE_USEC 10000U

/* The rest of a unit's sockets wait for their timeouts. */
#define SOCKETS_MAX 65536U

/* One unit's sockets, in slices. The unit is known by name: it may be gone by the next one. */
struct Ending {
        char *unit;
        KernelSocket *sockets;
        size_t n_sockets;
        size_t n_allocated;
        size_t next;
        unsigned n_ended;
};

static Ending *ending_free(Ending *ending) {
        if (!ending)
                return NULL;
        free(ending->unit);
        free(ending->sockets);
        free(ending);
        return NULL;
}
DEFINE_CLEANUP(Ending *, ending_freep, ending_free);

void manager_forget_conversations(Manager *m) {
        m->destroy_source = sd_event_source_disable_unref(m->destroy_source);
        m->ending = ending_free(m->ending);
}

static bool has_conversation(const KernelSocket *s) {
        if (s->remote_port == 0)
                return false;
        if (s->protocol == IPPROTO_UDP)
                return s->state == TCP_ESTABLISHED; /* connected */
        switch (s->state) {
        case TCP_ESTABLISHED:
        case TCP_SYN_SENT:
        case TCP_SYN_RECV:
        case TCP_FIN_WAIT1:
        case TCP_FIN_WAIT2:
        case TCP_CLOSE_WAIT:
                return true;
        default:
                return false;
        }
}

/* Where its packets are: known only of a socket that is bound to an interface. One that is not passes where some
 * interface lets it; its packets are judged by the interface that each takes. */
static PolicyPlace socket_place(Manager *m, const Host *host, const KernelSocket *s) {
        PolicyPlace place = { 0 };

        if (host->host.netns == 0 || (s->netns != 0 && s->netns != host->host.netns)) {
                place.elsewhere = true;
                return place;
        }
        if (s->ifindex == 0)
                place.undecided = true;
        else if (!host_find_ifindex(manager_net(m), host, s->ifindex, &place.interface))
                place.elsewhere = true;
        return place;
}

static unsigned in_view(const KernelSocket *s) {
        if (s->opener == CGP_OPENER_IN_MULTICAST)
                return CGP_VIEW_IN_MULTICAST;
        if (s->opener == CGP_OPENER_IN_BROADCAST)
                return CGP_VIEW_IN_BROADCAST;
        return CGP_VIEW_IN;
}

/* As the packet programs judge it: by the opener's direction, and a never of either ends it. */
static bool policy_ends(const Policy *policy, const PolicyPlace *place, const KernelSocket *s) {
        unsigned out = CGP_ACTION_NONE, in = CGP_ACTION_NONE;

        (void)policy_eval_view(&policy->stack, &policy->host->host, CGP_VIEW_OUT, place, s->remote,
                s->protocol, s->remote_port, &out);
        (void)policy_eval_view(&policy->stack, &policy->host->host, in_view(s), place, s->remote,
                s->protocol, s->local_port, &in);
        if (out == CGP_ACTION_NEVER || in == CGP_ACTION_NEVER)
                return true;
        if (s->opener == CGP_OPENER_OUT || (s->state == TCP_SYN_SENT && s->protocol == IPPROTO_TCP))
                return out != CGP_ACTION_ALLOW;
        if (s->opener != CGP_OPENER_UNKNOWN)
                return in != CGP_ACTION_ALLOW;
        return out != CGP_ACTION_ALLOW && in != CGP_ACTION_ALLOW;
}

static int on_socket(void *userdata, const KernelSocket *s) {
        Ending *ending = userdata;

        if (!has_conversation(s))
                return 0;
        if (ending->n_sockets == SOCKETS_MAX)
                return -E2BIG;
        if (ending->n_sockets == ending->n_allocated) {
                size_t n = MAX(2 * ending->n_allocated, 64U);
                KernelSocket *sockets = reallocarray(ending->sockets, n, sizeof(*sockets));

                if (!sockets)
                        return -ENOMEM;
                ending->sockets = sockets;
                ending->n_allocated = n;
        }
        ending->sockets[ending->n_sockets++] = *s;
        return 0;
}

/* Takes the next unit that was tightened. Returns 0 if there is none. */
static int manager_next_ending(Manager *m) {
        _cleanup_(ending_freep) Ending *ending = NULL;
        Unit *u = NULL;
        int r;

        for (size_t i = 0; i < m->n_units && !u; i++)
                if (m->units[i]->was_tightened)
                        u = m->units[i];
        if (!u)
                return 0;
        u->was_tightened = false;
        if (!u->attachment || u->policy->stack.mode != POLICY_MODE_ENFORCE)
                return 1;

        ending = calloc(1, sizeof(*ending));
        if (ending)
                ending->unit = strdup(u->name);
        if (!ending || !ending->unit) {
                log_debug("%s: no memory to end its conversations, ignoring", u->name);
                return 1;
        }
        /* Each walks all sockets of the namespace, and none is judged while the kernel holds them. */
        r = m->kernel->ops->sockets_each(m->kernel, u->cgroup_fd, on_socket, ending);
        if (r < 0)
                log_debug_errno(r, "%s: cannot list all its sockets, ignoring: %m", u->name);
        m->ending = TAKE_PTR(ending);
        return 1;
}

static void manager_end_socket(Manager *m, Ending *ending, const KernelSocket *s) {
        NetSocketId id = {
                .family = s->family,
                .protocol = s->protocol,
                .local_port = s->local_port,
                .remote_port = s->remote_port,
                .ifindex = s->ifindex,
                .cookie = s->cookie,
        };
        int r;

        if (!m->destroyer && !m->cannot_destroy) {
                r = net_destroyer_new(&m->destroyer);
                m->cannot_destroy = r == -EOPNOTSUPP;
                if (r < 0)
                        log_debug_errno(r, "Cannot end sockets, ignoring: %m");
        }
        if (!m->destroyer)
                return;
        memcpy(id.local, s->local, sizeof(id.local));
        memcpy(id.remote, s->remote, sizeof(id.remote));
        r = net_destroyer_destroy(m->destroyer, &id);
        ending->n_ended += r >= 0;
        if (r < 0 && r != -ENOENT)
                log_debug_errno(r, "%s: cannot end a socket, ignoring: %m", ending->unit);
        m->cannot_destroy = m->cannot_destroy || r == -EOPNOTSUPP;
}

/* Judges by what is in force now, which may be newer than what the unit was chosen for. */
static void manager_end_next(Manager *m, Ending *ending) {
        const KernelSocket *s = &ending->sockets[ending->next++];
        const Unit *u = manager_get_unit(m, ending->unit);
        PolicyPlace place;

        if (!u || !u->attachment || u->policy->stack.mode != POLICY_MODE_ENFORCE)
                return;
        place = socket_place(m, u->policy->host, s);
        if (policy_ends(u->policy, &place, s))
                manager_end_socket(m, ending, s);
}

static int on_deferred(sd_event_source *source, void *userdata) {
        uint64_t end = time_now_usec(CLOCK_MONOTONIC) + SLICE_USEC;
        Manager *m = userdata;

        do {
                if (m->ending && m->ending->next < m->ending->n_sockets) {
                        manager_end_next(m, m->ending);
                        continue;
                }
                if (m->ending && m->ending->n_ended > 0)
                        log_info("%s: ended %u sockets that its policy does not allow any more",
                                m->ending->unit, m->ending->n_ended);
                m->ending = ending_free(m->ending);
                if (manager_next_ending(m) == 0) {
                        m->destroy_source = sd_event_source_disable_unref(m->destroy_source);
                        return 0;
                }
        } while (time_now_usec(CLOCK_MONOTONIC) < end);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

void manager_end_conversations(Manager *m) {
        bool any = false;
        int r;

        for (size_t i = 0; i < m->n_units; i++)
                any = any || m->units[i]->was_tightened;
        if (!any || m->destroy_source)
                return;
        r = sd_event_add_defer(m->event, &m->destroy_source, on_deferred, m);
        /* When the replies are on their way. */
        if (r >= 0)
                r = sd_event_source_set_priority(m->destroy_source, SD_EVENT_PRIORITY_IDLE);
        if (r < 0)
                log_debug_errno(r, "Cannot plan to end conversations, ignoring: %m");
}
