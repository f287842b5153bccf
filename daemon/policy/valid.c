/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the strings of a policy may look like, so that they can be stored, read back and printed. */
#include "policy/document.h"
#include "policy/parse.h"
#include "util/macro.h"

static bool made_of(const char *s, size_t max, const char *more) {
        size_t n = 0;

        for (; s[n]; n++)
                if (n >= max ||
                        !((s[n] >= 'a' && s[n] <= 'z') || (s[n] >= 'A' && s[n] <= 'Z') ||
                                (s[n] >= '0' && s[n] <= '9') || strchr(more, s[n])))
                        return false;
        return n > 0;
}

static bool printable(const char *s, size_t max) {
        size_t left = strlen(s);

        if (left > max)
                return false;
        while (left > 0) {
                uint32_t c;
                size_t n = utf8_character(s, left, &c);

                if (n == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0))
                        return false;
                s += n;
                left -= n;
        }
        return true;
}

bool policy_id_is_valid(const char *s) {
        return made_of(s, POLICY_ID_MAX, "._:@-");
}

bool policy_comment_is_valid(const char *s) {
        return printable(s, POLICY_COMMENT_MAX);
}

bool policy_glob_is_valid(const char *s) {
        return *s != '\0' && printable(s, POLICY_NAME_MAX);
}

bool policy_profile_name_is_valid(const char *s) {
        return made_of(s, POLICY_ID_MAX, "._-") && !strchr("._-", *s);
}

bool policy_list_name_is_valid(const char *s) {
        return policy_profile_name_is_valid(s);
}

/* A name that a rule takes and no interface has is a deny that never holds, so habits of other firewalls
 * ("eth*", "tun+", "!lo", "eth0,eth1", "any") are no names here, whatever the kernel says of them. */
bool policy_interface_name_is_valid(const char *s) {
        size_t n = strlen(s);

        if (n == 0 || n > POLICY_INTERFACE_MAX || s[n - 1] == '+')
                return false;
        for (size_t i = 0; i < n; i++)
                if (s[i] <= 0x20 || s[i] >= 0x7f || strchr("/:,*!", s[i]))
                        return false;
        return !streq(s, ".") && !streq(s, "..") && !streq(s, "any");
}

bool policy_list_path_is_valid(const char *s) {
        return *s != '\0' && printable(s, POLICY_LIST_PATH_MAX);
}
