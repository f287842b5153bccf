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

/* Each enumeration walks all sockets of the namespace, so a change of many units must not make many. */
typedef struct Ending {
        Manager *manager;
        Unit *unit;
        NetSocketId *doomed;
        size_t n_doomed;
} Ending;

static void ending_done(Ending *ending) {
        free(ending->doomed);
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
        const Policy *policy = ending->unit->policy;
        NetSocketId *doomed;
        PolicyPlace place;

        if (!has_conversation(s))
                return 0;
        place = socket_place(ending->manager, policy->host, s);
        if (!policy_ends(policy, &place, s))
                return 0;
        /* Not while the iterator holds them. */
        doomed = reallocarray(ending->doomed, ending->n_doomed + 1, sizeof(*doomed));
        if (!doomed)
                return -ENOMEM;
        ending->doomed = doomed;
        doomed[ending->n_doomed] = (NetSocketId){
                .family = s->family,
                .protocol = s->protocol,
                .local_port = s->local_port,
                .remote_port = s->remote_port,
                .ifindex = s->ifindex,
                .cookie = s->cookie,
        };
        memcpy(doomed[ending->n_doomed].local, s->local, sizeof(s->local));
        memcpy(doomed[ending->n_doomed].remote, s->remote, sizeof(s->remote));
        ending->n_doomed++;
        return 0;
}

static void unit_end_conversations(Manager *m, Unit *u) {
        _cleanup_(ending_done) Ending ending = { .manager = m, .unit = u };
        unsigned n = 0;
        int r;

        if (!u->attachment || u->policy->stack.mode != POLICY_MODE_ENFORCE)
                return;
        r = m->kernel->ops->sockets_each(m->kernel, u->cgroup_fd, on_socket, &ending);
        if (r < 0)
                log_debug_errno(r, "%s: cannot list its sockets, ignoring: %m", u->name);
        if (ending.n_doomed == 0)
                return;
        if (!m->destroyer && !m->cannot_destroy) {
                r = net_destroyer_new(&m->destroyer);
                m->cannot_destroy = r == -EOPNOTSUPP;
                if (r < 0)
                        log_debug_errno(r, "Cannot end sockets, ignoring: %m");
        }
        for (size_t i = 0; m->destroyer && i < ending.n_doomed; i++) {
                r = net_destroyer_destroy(m->destroyer, &ending.doomed[i]);
                n += r >= 0;
                if (r < 0 && r != -ENOENT)
                        log_debug_errno(r, "%s: cannot end a socket, ignoring: %m", u->name);
                m->cannot_destroy = m->cannot_destroy || r == -EOPNOTSUPP;
        }
        if (n > 0)
                log_info(
                        "%s: ended %u sockets that its policy does not allow any more", u->name, n);
}

static int on_deferred(sd_event_source *s, void *userdata) {
        Manager *m = userdata;

        m->destroy_source = sd_event_source_disable_unref(m->destroy_source);
        for (size_t i = 0; i < m->n_units; i++)
                if (m->units[i]->was_tightened) {
                        m->units[i]->was_tightened = false;
                        unit_end_conversations(m, m->units[i]);
                }
        return 0;
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
