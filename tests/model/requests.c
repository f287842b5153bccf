/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "requests.h"

#include <sys/stat.h>

#include <stdlib.h>

#include "core/manager-internal.h"
#include "util/macro.h"

const char *const request_jobs[REQUEST_JOBS] = { "web", "db", "cache" };

#define HAND_FILE "policy.d/10-site.json"

static const char *const web_rules[] = { "allow out tcp/443", "deny out tcp/443 to 192.0.2.99",
        "allow in tcp/80", "allow out udp/53 to 192.0.2.53", "never to 203.0.113.0/24", NULL };
static const char *const db_rules[] = { "allow in tcp/5432 from 192.0.2.0/24", NULL };

static const char site_before[] =
        "{ \"cgpolicy\": 1,\n"
        "  \"match\": { \"units\": [ \"web\", \"db\", \"cache\" ] },\n"
        "  \"rules\": [ \"allow out icmp to 192.0.2.0/24\", \"allow in tcp/8080\",\n"
        "             \"allow out udp/443\" ] }\n";
/* Of each kind of hook something opens and something closes. */
static const char site_after[] =
        "{ \"cgpolicy\": 1,\n"
        "  \"match\": { \"units\": [ \"web\", \"db\", \"cache\" ] },\n"
        "  \"rules\": [ \"allow out icmp to 198.51.100.0/24\", \"allow in udp/53\",\n"
        "             \"allow out tcp/80\", \"allow out udp/443 to 2001:db8::/32\" ] }\n";

static int jobs_but(World *w, size_t n) {
        for (size_t i = 0; i < n; i++) {
                int r;

                r = world_create(
                        w, request_jobs[i], POLICY_DEFAULT_DENY, i == 0 ? web_rules : db_rules);
                if (r >= 0)
                        r = world_enter(w, (unsigned)i, request_jobs[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int three_jobs(World *w) {
        return jobs_but(w, REQUEST_JOBS);
}

/* The kernel tells of a process up to 10 ms late: only who needs it waits. */
static int three_seen_jobs(World *w) {
        int r = three_jobs(w);

        return r < 0 ? r : world_wait_seen(w);
}

static int two_jobs(World *w) {
        return jobs_but(w, REQUEST_JOBS - 1);
}

static int run_create(World *w, ManagerError *reterr) {
        JobOptions options = { .rules = db_rules };
        _cleanup_close_ int fd = -EBADF;
        uint64_t generation;
        int r;

        r = manager_create_job(
                w->manager, request_jobs[REQUEST_JOBS - 1], &options, w, reterr, &fd, &generation);
        if (r < 0)
                return r;
        /* The cgroup is handed out, so every hook must be there. */
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                if (fake_kernel_hook_hash(
                            w->fake, world_cgroup_id(w, request_jobs[REQUEST_JOBS - 1]), hook) == 0)
                        return -ENOLINK;
        return 0;
}

static int add(World *w, PolicyVerdict verdict, const char *body, ManagerError *reterr) {
        _cleanup_free_ char *id = NULL;
        uint64_t generation;

        return manager_add_rule(w->manager, "web", verdict, body, "", reterr, &id, &generation);
}

static int run_add_allow(World *w, ManagerError *reterr) {
        return add(w, POLICY_ALLOW, "out icmp", reterr);
}

static int run_add_deny(World *w, ManagerError *reterr) {
        return add(w, POLICY_DENY, "in tcp/80 from 192.0.2.0/24", reterr);
}

static int run_add_never(World *w, ManagerError *reterr) {
        return add(w, POLICY_NEVER, "to 198.51.100.0/24", reterr);
}

/* Of a rule that refused, the other way round: one leaves, one comes. */
static int run_flip(World *w, ManagerError *reterr) {
        return add(w, POLICY_ALLOW, "out tcp/443 to 192.0.2.99", reterr);
}

static int remove_rule(World *w, const char *rule, ManagerError *reterr) {
        uint64_t generation;

        return manager_remove_rule(w->manager, "web", rule, reterr, &generation);
}

static int run_remove_allow(World *w, ManagerError *reterr) {
        return remove_rule(w, "allow in tcp/80", reterr);
}

static int run_remove_deny(World *w, ManagerError *reterr) {
        return remove_rule(w, "web.2", reterr);
}

static int run_default_in(World *w, ManagerError *reterr) {
        uint64_t generation;

        return manager_set_default(
                w->manager, "web", 1U << CGP_DIR_IN, POLICY_DEFAULT_ALLOW, reterr, &generation);
}

static int prepare_open(World *w) {
        uint64_t generation;
        int r;

        r = three_jobs(w);
        return r < 0 ? r
                     : manager_set_default(w->manager, "web", 1U << CGP_DIR_IN | 1U << CGP_DIR_OUT,
                               POLICY_DEFAULT_ALLOW, NULL, &generation);
}

static int run_default_deny(World *w, ManagerError *reterr) {
        uint64_t generation;

        return manager_set_default(w->manager, "web", 1U << CGP_DIR_IN | 1U << CGP_DIR_OUT,
                POLICY_DEFAULT_DENY, reterr, &generation);
}

static int run_audit(World *w, ManagerError *reterr) {
        uint64_t generation;

        return manager_set_mode(w->manager, "web", POLICY_MODE_AUDIT, reterr, &generation);
}

static int prepare_off(World *w) {
        uint64_t generation;
        int r;

        r = three_jobs(w);
        return r < 0 ? r : manager_set_mode(w->manager, "web", POLICY_MODE_OFF, NULL, &generation);
}

static int run_enforce(World *w, ManagerError *reterr) {
        uint64_t generation;

        return manager_set_mode(w->manager, "web", POLICY_MODE_ENFORCE, reterr, &generation);
}

static int run_profile(World *w, ManagerError *reterr) {
        uint64_t generation;

        return manager_set_profile(w->manager, "web", "web-server", reterr, &generation);
}

static int apply(World *w, const char *text, ManagerError *reterr) {
        _cleanup_free_ char *diff = NULL;
        uint64_t generation;

        return manager_apply(w->manager, "site.json", text, false, reterr, &generation, &diff);
}

static int run_apply_first(World *w, ManagerError *reterr) {
        return apply(w, site_before, reterr);
}

static int prepare_applied(World *w) {
        int r = three_jobs(w);

        return r < 0 ? r : apply(w, site_before, NULL);
}

static int run_apply(World *w, ManagerError *reterr) {
        return apply(w, site_after, reterr);
}

static int reload(World *w, ManagerError *reterr) {
        uint64_t generation;

        return manager_reload(w->manager, reterr, &generation);
}

static int prepare_edited(World *w) {
        int r;

        r = world_put(w, HAND_FILE, site_before);
        if (r >= 0)
                r = reload(w, NULL);
        if (r >= 0)
                r = three_jobs(w);
        return r < 0 ? r : world_put(w, HAND_FILE, site_after);
}

static int prepare_removed(World *w) {
        int r = prepare_edited(w);

        return r < 0 ? r : world_put(w, HAND_FILE, NULL);
}

static int detach(World *w, const char *unit, ManagerError *reterr) {
        uint64_t generation;

        return manager_detach(w->manager, unit, reterr, &generation);
}

static int run_detach(World *w, ManagerError *reterr) {
        return detach(w, "web", reterr);
}

static int run_detach_all(World *w, ManagerError *reterr) {
        return detach(w, "", reterr);
}

static int prepare_detached(World *w) {
        int r = three_jobs(w);

        return r < 0 ? r : detach(w, "web", NULL);
}

static int run_attach(World *w, ManagerError *reterr) {
        uint64_t generation;

        return manager_attach(w->manager, "web", reterr, &generation);
}

/* Hooks let go by a predecessor's way: after an adoption nobody has the old programs. */
static int prepare_adopted(World *w) {
        int r = prepare_applied(w);

        return r < 0 ? r : world_restart(w);
}

static bool has_two_jobs(World *w) {
        return !manager_get_unit(w->manager, "web") &&
                fake_kernel_n_links(w->fake) == (REQUEST_JOBS - 1) * CGP_N_HOOKS &&
                fake_kernel_n_records(w->fake) == REQUEST_JOBS - 1;
}

static int run_end(World *w, ManagerError *reterr) {
        world_kill(w, 0);
        return world_wait(w, has_two_jobs);
}

/* -- What surrounds policies ------------------------------------------------------------------------ */

static const char list_file[] = "lists/bad.txt";
static const char list_text_before[] = "198.51.100.0/24\n192.0.2.7\n";
static const char list_text_after[] = "198.51.100.128/25\n192.0.2.53\n";

static const char listed_inline[] =
        "{ \"cgpolicy\": 1,\n"
        "  \"match\": { \"units\": [ \"web\", \"db\" ] },\n"
        "  \"lists\": { \"bad\": { \"networks\": [ \"198.51.100.0/24\", \"192.0.2.53\" ] } },\n"
        "  \"rules\": [ \"never to @bad\", \"allow out udp\" ] }\n";
static const char listed_file[] = "{ \"cgpolicy\": 1,\n"
                                  "  \"match\": { \"units\": [ \"web\", \"db\" ] },\n"
                                  "  \"lists\": { \"bad\": { \"file\": \"lists/bad.txt\" } },\n"
                                  "  \"rules\": [ \"never to @bad\", \"allow out udp\" ] }\n";

static int add_to(World *w, const char *job, PolicyVerdict verdict, const char *body) {
        _cleanup_free_ char *id = NULL;
        uint64_t generation;

        return manager_add_rule(w->manager, job, verdict, body, "", NULL, &id, &generation);
}

static int put_list(World *w, const char *text) {
        (void)mkdirat(w->dir_fd, "lists", 0700);
        return world_put(w, list_file, text);
}

static int prepare_via(World *w) {
        int r = three_jobs(w);

        return r < 0 ? r : add_to(w, "db", POLICY_ALLOW, "in tcp/22 via wg0");
}

/* A name that no rule had: every job with a rule about interfaces is numbered anew. */
static int run_renumber(World *w, ManagerError *reterr) {
        return add(w, POLICY_DENY, "out tcp/443 via eth0", reterr);
}

static int run_add_lan(World *w, ManagerError *reterr) {
        return add(w, POLICY_DENY, "out tcp/443 to lan", reterr);
}

static int run_apply_inline(World *w, ManagerError *reterr) {
        return apply(w, listed_inline, reterr);
}

static int prepare_list_file(World *w) {
        int r = three_jobs(w);

        if (r >= 0)
                r = put_list(w, list_text_before);
        return r < 0 ? r : apply(w, listed_inline, NULL);
}

static int run_apply_list_file(World *w, ManagerError *reterr) {
        return apply(w, listed_file, reterr);
}

static int prepare_listed(World *w) {
        int r = prepare_list_file(w);

        return r < 0 ? r : apply(w, listed_file, NULL);
}

static bool list_worker_is_idle(World *w) {
        return !list_worker_is_busy(w->manager->list_worker);
}

static int again_list(World *w) {
        manager_reread_lists(w->manager);
        return world_wait(w, list_worker_is_idle);
}

static int run_list_changes(World *w, ManagerError *reterr) {
        int r = put_list(w, list_text_after);

        return r < 0 ? r : again_list(w);
}

/* web by the networks, db by the numbers of interfaces. */
static int prepare_host(World *w) {
        int r = prepare_via(w);

        w->net = &world_net;
        if (r >= 0)
                r = add_to(w, "web", POLICY_DENY, "out tcp/443 to lan");
        return r < 0 ? r : add_to(w, "db", POLICY_ALLOW, "out tcp/443 to lan via eth0");
}

static int again_host(World *w) {
        manager_net_changed(w->manager);
        return 0;
}

static int run_host_changes(World *w, ManagerError *reterr) {
        w->manager->config.net = &world_net_later;
        return again_host(w);
}

const Request requests[] = {
        { "create", two_jobs, run_create, .makes_job = true },
        { "add an allow", three_jobs, run_add_allow, .change = POLICY_CHANGE_LOOSEN },
        { "add a deny", three_jobs, run_add_deny, .change = POLICY_CHANGE_TIGHTEN },
        { "add a never", three_jobs, run_add_never, .change = POLICY_CHANGE_TIGHTEN },
        { "allow what was denied", three_jobs, run_flip, .change = POLICY_CHANGE_LOOSEN },
        { "remove an allow", three_jobs, run_remove_allow, .change = POLICY_CHANGE_TIGHTEN },
        { "remove a deny", three_jobs, run_remove_deny, .change = POLICY_CHANGE_LOOSEN },
        { "default allow", three_jobs, run_default_in, .change = POLICY_CHANGE_LOOSEN },
        { "default deny", prepare_open, run_default_deny, .change = POLICY_CHANGE_TIGHTEN },
        { "audit", three_jobs, run_audit, .change = POLICY_CHANGE_LOOSEN },
        { "enforce", prepare_off, run_enforce, .change = POLICY_CHANGE_TIGHTEN },
        { "profile", three_jobs, run_profile, .change = POLICY_CHANGE_LOOSEN },
        { "apply a first file", three_jobs, run_apply_first, .change = POLICY_CHANGE_LOOSEN },
        { "apply over three jobs", prepare_applied, run_apply, .change = POLICY_CHANGE_MIXED },
        { "apply after an adoption", prepare_adopted, run_apply, .change = POLICY_CHANGE_MIXED },
        { "reload", prepare_edited, reload, "good.d", .change = POLICY_CHANGE_MIXED },
        { "reload without the file", prepare_removed, reload, "good.d",
                .change = POLICY_CHANGE_TIGHTEN },
        { "attach", prepare_detached, run_attach, .change = POLICY_CHANGE_TIGHTEN },
        { "detach", three_jobs, run_detach, .change = POLICY_CHANGE_LOOSEN },
        { "detach all", three_jobs, run_detach_all, .one_by_one = true,
                .change = POLICY_CHANGE_LOOSEN },
        { "detach all after an adoption", prepare_adopted, run_detach_all, .one_by_one = true,
                .change = POLICY_CHANGE_LOOSEN },
        { "rule by another interface", prepare_via, run_renumber, .change = POLICY_CHANGE_TIGHTEN },
        { "rule about the lan", three_jobs, run_add_lan, .change = POLICY_CHANGE_TIGHTEN },
        { "apply a list", three_jobs, run_apply_inline, .change = POLICY_CHANGE_MIXED },
        { "apply a list from a file", prepare_list_file, run_apply_list_file,
                .change = POLICY_CHANGE_MIXED },
        { "file of a list changes", prepare_listed, run_list_changes, .one_by_one = true,
                .nobody_asked = true, .again = again_list, .change = POLICY_CHANGE_MIXED },
        { "networks and interfaces change", prepare_host, run_host_changes, .one_by_one = true,
                .nobody_asked = true, .again = again_host, .change = POLICY_CHANGE_MIXED },
        { "end of a job", three_seen_jobs, run_end, .ends_job = true },
};
const size_t n_requests = ELEMENTSOF(requests);

static void measure(World *w, uint64_t passes[REQUEST_JOBS]) {
        for (size_t i = 0; i < REQUEST_JOBS; i++)
                passes[i] =
                        world_cgroup_id(w, request_jobs[i]) ? world_passes(w, request_jobs[i]) : 0;
}

int request_measure(const Request *request, RequestEffect *ret) {
        World *w = world_new();
        ManagerError error = { 0 };
        int r;

        r = w ? world_start(w) : -ENOMEM;
        if (r >= 0)
                r = request->prepare(w);
        if (r >= 0) {
                measure(w, ret->before);
                r = request->run(w, &error);
        }
        if (r >= 0)
                measure(w, ret->after);
        else
                fprintf(stderr, "%s: %d %s\n", request->name, r, strempty(error.message));
        manager_error_done(&error);
        world_free(w);
        return r;
}

void request_watch(World *w, const RequestEffect *effect, bool strict) {
        for (size_t i = 0; i < REQUEST_JOBS; i++) {
                uint64_t id = world_cgroup_id(w, request_jobs[i]);

                if (id != 0)
                        fake_kernel_watch(w->fake, id, effect->before[i], effect->after[i], strict);
        }
}
