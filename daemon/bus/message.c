/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus/message.h"

#include "util/macro.h"
#include "util/strv.h"

#define OPTIONS_MAX 32U

const BusOption bus_no_options[] = { { 0 } };

static int read_option(
        sd_bus_message *m, const BusOption *o, const char *key, sd_bus_error *error) {
        char signature[3] = { o->type, '\0', '\0' };
        char kind;
        const char *contents;
        int r;

        if (o->type == 'A')
                (void)memcpy(signature, "as", sizeof(signature));
        r = sd_bus_message_peek_type(m, &kind, &contents);
        if (r < 0)
                return r;
        if (kind != SD_BUS_TYPE_VARIANT || !streq(contents, signature))
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                        "option '%s' has type '%s', not '%s'", key, contents, signature);
        r = sd_bus_message_enter_container(m, SD_BUS_TYPE_VARIANT, signature);
        if (r < 0)
                return r;
        r = o->type == 'A' ? sd_bus_message_read_strv(m, o->target)
                           : sd_bus_message_read_basic(m, o->type, o->target);
        if (r < 0)
                return r;
        return sd_bus_message_exit_container(m);
}

int bus_read_options(sd_bus_message *m, const BusOption *options, sd_bus_error *error) {
        bool seen[OPTIONS_MAX] = { false };
        int r;

        r = sd_bus_message_enter_container(m, SD_BUS_TYPE_ARRAY, "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, SD_BUS_TYPE_DICT_ENTRY, "sv")) > 0) {
                const char *key;
                size_t i;

                r = sd_bus_message_read_basic(m, 's', &key);
                if (r < 0)
                        return r;
                for (i = 0; options[i].key && !streq(options[i].key, key); i++)
                        ;
                assert(i < OPTIONS_MAX);
                if (!options[i].key)
                        return sd_bus_error_setf(
                                error, SD_BUS_ERROR_INVALID_ARGS, "unknown option '%s'", key);
                if (seen[i])
                        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                "option '%s' is given twice", key);
                seen[i] = true;
                r = read_option(m, &options[i], key, error);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        return sd_bus_message_exit_container(m);
}

int bus_read_verdict(const char *s, PolicyDefault *ret, sd_bus_error *error) {
        int d = policy_default_from_string(s);

        if (d < 0)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                        "'%s' is no default; it is 'allow' or 'deny'", s);
        *ret = (PolicyDefault)d;
        return 0;
}

int bus_read_mode(const char *s, PolicyMode *ret, sd_bus_error *error) {
        int mode = policy_mode_from_string(s);

        if (mode < 0)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                        "'%s' is no mode; it is 'enforce', 'audit' or 'off'", s);
        *ret = (PolicyMode)mode;
        return 0;
}

int bus_send(sd_bus_message *reply) {
        int r = sd_bus_message_send(reply);

        return r < 0 ? r : 1;
}
