/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A daemon that only looks like one: it answers the calls of the command with fixed words, so that the command can
 * be tested without a kernel that enforces anything. Its jobs are plain directories, which are control groups
 * if the second argument lies on a cgroup2 mount.
 *
 *   fake-daemon DIR JOBS     serves DIR/bus until it is killed; prints a line when it listens
 *
 * Subjects: "web" exists; "odd" exists and the kernel disagrees about it; "busy" is in use; no other does.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "bus/api.h"
#include "util/cleanup.h"
#include "util/macro.h"

static const char *jobs_dir;

#define WEB                                                                                         \
        "{\"name\":\"web\",\"state\":\"attached\",\"problem\":null,\"cgroup\":\"/x/web\","          \
        "\"cgroup-id\":12,\"mode\":\"enforce\",\"generation\":7,\"profile\":null,"                  \
        "\"default\":{\"in\":\"deny\",\"out\":\"allow\"},"                                          \
        "\"default-source\":{\"in\":\"run\",\"out\":\"/d/web.json:3\"},\"passed\":12,"              \
        "\"bytes\":3456,\"blocked\":3,\"would-block\":0,\"hooks\":[\"egress\"],\"sources\":[],"     \
        "\"rules\":[{\"id\":\"web.16\",\"layer\":\"runtime\",\"rule\":\"allow in tcp/8080\","       \
        "\"source\":\"/d/web.json:4\",\"comment\":null,\"packets\":1,\"bytes\":2,\"blocked\":0,"    \
        "\"would-block\":0}],\"defaults\":{\"in\":{\"packets\":0,\"bytes\":0,\"blocked\":3,"        \
        "\"would-block\":0},\"out\":{\"packets\":9,\"bytes\":10,\"blocked\":0,\"would-block\":0}}," \
        "\"last-blocked\":null}"

#define EVENT                                                                                       \
        "{\"time\":\"2026-11-22T00:01:02.123456Z\",\"subject\":\"web\",\"direction\":\"out\","      \
        "\"protocol\":\"tcp\",\"local\":\"10.0.0.2:40112\",\"remote\":\"192.0.2.1:443\","           \
        "\"pid\":812,\"comm\":\"nginx\",\"uid\":33,\"hook\":\"connect4\",\"rule\":\"default.out\"," \
        "\"suppressed\":3,\"generation\":7,\"action\":\"denied\","                                  \
        "\"suggest\":\"out tcp/443 to 192.0.2.1\"}\n"

static int no_such_unit(sd_bus_error *error, const char *unit) {
        return sd_bus_error_setf(
                error, CGPOLICY_ERROR_NO_SUCH_UNIT, "There is no subject '%s'", unit);
}

static bool is_unit(const char *unit) {
        return streq(unit, "web") || streq(unit, "odd");
}

static int reply_describe(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        if (streq(sd_bus_message_get_interface(m), CGPOLICY_UNIT))
                return sd_bus_reply_method_return(m, "s", WEB);
        return sd_bus_reply_method_return(m, "s",
                "{\"version\":\"0\",\"mode\":\"private\",\"generation\":7,"
                "\"degraded\":[\"All is made up.\"],\"lost-events\":0,\"flows\":{},\"units\":[" WEB
                "]}");
}

static int reply_list(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return sd_bus_reply_method_return(m, "a(sosstt)", 1, "web", "/org/cgpolicy1/unit/web",
                "enforce", "attached", UINT64_C(1), UINT64_C(3));
}

static int reply_get_unit(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *unit;
        int r;

        r = sd_bus_message_read(m, "s", &unit);
        if (r < 0)
                return r;
        if (!is_unit(unit))
                return no_such_unit(error, unit);
        return sd_bus_reply_method_return(m, "o", "/org/cgpolicy1/unit/web");
}

static int reply_sources(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return sd_bus_reply_method_return(
                m, "a(sss)", 2, "/d/a.json", "runtime", "{}\n", "/d/b.json", "local", "{ }");
}

static int reply_rule(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *unit;
        int r;

        r = sd_bus_message_read(m, "s", &unit);
        if (r < 0)
                return r;
        if (!is_unit(unit))
                return no_such_unit(error, unit);
        return sd_bus_reply_method_return(m, "st", "web.17", UINT64_C(8));
}

static int reply_change(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *unit = "web", *rule = "";
        int r = 0;

        if (!streq(sd_bus_message_get_member(m), "Reload"))
                r = sd_bus_message_read(m, "s", &unit);
        if (r >= 0 && streq(sd_bus_message_get_member(m), "RemoveRule"))
                r = sd_bus_message_read(m, "s", &rule);
        if (r < 0)
                return r;
        if (*unit && !is_unit(unit))
                return no_such_unit(error, unit);
        if (streq(rule, "web.99"))
                return sd_bus_error_set(
                        error, CGPOLICY_ERROR_NO_SUCH_RULE, "'web' has no rule 'web.99'; do this");
        return sd_bus_reply_method_return(m, "t", UINT64_C(8));
}

static int reply_profiles(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return sd_bus_reply_method_return(m, "a(ss)", 1, "default", "built in");
}

static int reply_apply(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return sd_bus_reply_method_return(m, "tos", UINT64_C(8), "/",
                "{\"units\":{\"web\":{\"added\":[\"allow in tcp/1\"],\"removed\":[\"deny out any\"],"
                "\"change\":\"mixed\"}}}");
}

/* Denies but for 192.0.2.2. */
static int reply_explain(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *unit, *key, *address = "";
        _cleanup_free_ char *json = NULL;
        bool allow, agrees;
        int r;

        r = sd_bus_message_read(m, "s", &unit);
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = sd_bus_message_read(m, "s", &key);
                if (r >= 0)
                        r = streq(key, "address") ? sd_bus_message_read(m, "v", "s", &address)
                                                  : sd_bus_message_skip(m, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        if (r < 0)
                return r;
        if (!is_unit(unit))
                return no_such_unit(error, unit);

        allow = streq(address, "192.0.2.2");
        agrees = !streq(unit, "odd");
        if (asprintf(&json,
                    "{\"verdict\":\"%s\",\"unit\":\"%s\",\"rule\":{\"id\":\"web.17\",\"text\":\"deny "
                    "out to 192.0.2.0/24\",\"layer\":\"local\"},\"source\":\"/d/a.json:7\","
                    "\"reason\":\"rule\",\"passed-over\":null,\"mode\":\"enforce\","
                    "\"generation\":7,\"default-direction\":null,\"kernel\":{\"checked\":true,"
                    "\"agrees\":%s,\"verdict\":\"deny\",\"rule\":\"web.17\",\"why\":null},"
                    "\"matched\":{\"peer\":\"@ads\",\"network\":\"192.0.2.0/25\"},"
                    "\"interfaces\":[{\"name\":\"eth0\",\"verdict\":\"allow\"}],"
                    "\"suggest\":\"out tcp/443 to %s\"}",
                    allow ? "allow" : "deny", unit, agrees ? "true" : "false", address) < 0)
                return -ENOMEM;
        return sd_bus_reply_method_return(m, "ss", allow ? "allow" : "deny", json);
}

static int reply_lists(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return sd_bus_reply_method_return(m, "a(ssstttssas)", 3, "ads", "lists/ads.txt",
                "/d/a.json:3", (uint64_t)2, (uint64_t)1, (uint64_t)1795305662000001, "loaded", "",
                2, "db", "web", "bots", "/l/bots.txt", "/d/a.json:4", (uint64_t)0, (uint64_t)0,
                (uint64_t)0, "never-loaded", "/l/bots.txt: cannot be read", 0, "old", "inline",
                "/d/b.json:2", (uint64_t)1, (uint64_t)0, (uint64_t)1795305662000000, "kept",
                "/d/b.json:2: not \033 good", 1, "web");
}

static int reply_stream(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_close_ int ours = -EBADF, theirs = -EBADF;
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;
        ours = fds[0];
        theirs = fds[1];
        if (write(ours, EVENT, strlen(EVENT)) != (ssize_t)strlen(EVENT))
                return -EIO;
        return sd_bus_reply_method_return(m, "h", theirs);
}

static int reply_job(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_close_ int dir = -EBADF, job = -EBADF;
        const char *name;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
                return r;
        if (streq(name, "busy"))
                return sd_bus_error_set(error, CGPOLICY_ERROR_CONFLICT, "The name is in use");
        dir = open(jobs_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0 || (mkdirat(dir, name, 0755) < 0 && errno != EEXIST))
                return -errno;
        job = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (job < 0)
                return -errno;
        return sd_bus_reply_method_return(
                m, "soht", name, "/org/cgpolicy1/unit/web", job, UINT64_C(9));
}

static int get_degraded(sd_bus *bus, const char *path, const char *interface, const char *property,
        sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "as", 1, "All is made up.");
}

#define METHOD(name, in, out, handler) \
        SD_BUS_METHOD(name, in, out, handler, SD_BUS_VTABLE_UNPRIVILEGED)

static const sd_bus_vtable manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        METHOD("Describe", "", "s", reply_describe),
        METHOD("ListUnits", "", "a(sosstt)", reply_list),
        METHOD("GetUnit", "s", "o", reply_get_unit),
        METHOD("GetSources", "s", "a(sss)", reply_sources),
        METHOD("Allow", "ssa{sv}", "st", reply_rule),
        METHOD("Deny", "ssa{sv}", "st", reply_rule),
        METHOD("Never", "ssa{sv}", "st", reply_rule),
        METHOD("RemoveRule", "ssa{sv}", "t", reply_change),
        METHOD("SetDefault", "sssa{sv}", "t", reply_change),
        METHOD("SetMode", "ssa{sv}", "t", reply_change),
        METHOD("SetProfile", "ssa{sv}", "t", reply_change),
        METHOD("ListProfiles", "", "a(ss)", reply_profiles),
        METHOD("Apply", "sa{sv}", "tos", reply_apply),
        METHOD("Explain", "sa{sv}", "ss", reply_explain),
        METHOD("ListLists", "", "a(ssstttssas)", reply_lists),
        METHOD("Reload", "", "t", reply_change),
        METHOD("Attach", "sa{sv}", "t", reply_change),
        METHOD("Detach", "sa{sv}", "t", reply_change),
        METHOD("OpenEventStream", "a{sv}", "h", reply_stream),
        METHOD("CreateJob", "sasa{sv}", "soht", reply_job),
        SD_BUS_PROPERTY("Degraded", "as", get_degraded, 0, 0),
        SD_BUS_VTABLE_END,
};

static const sd_bus_vtable unit_vtable[] = {
        SD_BUS_VTABLE_START(0),
        METHOD("Describe", "", "s", reply_describe),
        SD_BUS_VTABLE_END,
};

/* Connections live as long as this process: each test starts its own. */
static int on_connection(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        _cleanup_close_ int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        sd_id128_t id =
                SD_ID128_MAKE(01, 02, 03, 04, 05, 06, 07, 08, 09, 0a, 0b, 0c, 0d, 0e, 0f, 10);
        sd_bus *bus = NULL;
        int r;

        if (peer < 0)
                return -errno;
        r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_fd(bus, peer, peer);
        if (r < 0)
                return r;
        (void)TAKE_FD(peer);
        r = sd_bus_set_server(bus, 1, id);
        if (r >= 0)
                r = sd_bus_negotiate_fds(bus, 1);
        if (r >= 0)
                r = sd_bus_add_object_vtable(
                        bus, NULL, CGPOLICY_PATH, CGPOLICY_MANAGER, manager_vtable, NULL);
        if (r >= 0)
                r = sd_bus_add_object_vtable(
                        bus, NULL, CGPOLICY_UNIT_PATH "/web", CGPOLICY_UNIT, unit_vtable, NULL);
        if (r >= 0)
                r = sd_bus_start(bus);
        return r < 0 ? r : sd_bus_attach_event(bus, sd_event_source_get_event(source), 0);
}

static int listen_at(const char *dir) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return -errno;
        (void)snprintf(
                address.sun_path, sizeof(address.sun_path), "%s/" CGPOLICY_PRIVATE_SOCKET, dir);
        if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 16) < 0)
                return -errno;
        return TAKE_FD(fd);
}

int main(int argc, char *argv[]) {
        _cleanup_close_ int fd = -EBADF;
        sd_event *event = NULL;
        int r;

        if (argc != 3)
                return 2;
        jobs_dir = argv[2];
        r = sd_event_new(&event);
        if (r >= 0)
                r = fd = listen_at(argv[1]);
        if (r >= 0)
                r = sd_event_add_io(event, NULL, fd, EPOLLIN, on_connection, NULL);
        if (r < 0) {
                (void)fprintf(stderr, "fake-daemon: %s\n", strerror(-r));
                return 1;
        }
        (void)puts("listening");
        (void)fflush(stdout);
        return sd_event_loop(event) < 0;
}
