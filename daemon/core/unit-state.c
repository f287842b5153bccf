/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/unit-state.h"

#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <sys/stat.h>

#include "cgp-abi.h"
#include "util/hash.h"
#include "util/io.h"
#include "util/macro.h"

#define UNIT_STATE_VERSION  1
#define UNIT_STATE_SIZE_MAX (16U * 1024 * 1024)
#define RESERVED_MIN        7U /* as the first release wrote it */

UnitState *unit_state_free(UnitState *state) {
        if (!state)
                return NULL;

        for (size_t i = 0; i < state->n_rules; i++)
                free(state->rules[i].key);
        free(state->rules);
        free(state->index);
        free(state->name);
        free(state);
        return NULL;
}

int unit_state_new(const char *name, UnitState **ret) {
        _cleanup_(unit_state_freep) UnitState *s = NULL;

        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        s->next_number = CGP_RULE_FIRST;
        s->name = strdup(name);
        if (!s->name)
                return -ENOMEM;

        *ret = TAKE_PTR(s);
        return 0;
}

int unit_state_copy(const UnitState *state, UnitState **ret) {
        _cleanup_(unit_state_freep) UnitState *s = NULL;
        size_t room = 1;

        s = malloc(sizeof(*s));
        if (!s)
                return -ENOMEM;
        *s = *state;
        s->rules = NULL;
        s->n_rules = 0;
        s->index = NULL;
        s->name = strdup(state->name);
        if (!s->name)
                return -ENOMEM;

        while (room < state->n_rules)
                room *= 2;
        s->rules = calloc(room, sizeof(*s->rules));
        if (!s->rules)
                return -ENOMEM;
        for (size_t i = 0; i < state->n_rules; i++) {
                s->rules[i] = state->rules[i];
                s->rules[i].key = strdup(state->rules[i].key);
                s->n_rules = i + 1;
                if (!s->rules[i].key)
                        return -ENOMEM;
        }

        *ret = TAKE_PTR(s);
        return 0;
}

/* -- Rules by key and by number ---------------------------------------------------------------------- */

/* Below this a walk is as fast, and a subject with few rules costs no memory. */
#define INDEX_MIN 24U

struct UnitStateIndex {
        uint8_t numbers[(CGP_RULE_FIRST + CGP_MAX_RULES + 7) / 8]; /* one bit each */
        size_t size;                                               /* a power of two */
        uint16_t cells[];                                          /* place in rules, plus 1 */
};

static_assert(CGP_MAX_RULES < UINT16_MAX, "places have 16 bits");

static void index_add(UnitState *state, size_t i) {
        UnitStateIndex *index = state->index;
        const UnitStateRule *rule = &state->rules[i];
        size_t cell = hash64(rule->key, strlen(rule->key), 0) & (index->size - 1);

        while (index->cells[cell] != 0)
                cell = (cell + 1) & (index->size - 1);
        index->cells[cell] = (uint16_t)(i + 1);
        index->numbers[rule->number / 8] |= (uint8_t)(1U << (rule->number % 8));
}

static void unit_state_drop_index(UnitState *state) {
        free(state->index);
        state->index = NULL;
}

/* At most half full. Without memory the rules are walked. */
static UnitStateIndex *unit_state_get_index(UnitState *state) {
        size_t size = 64;

        if (state->n_rules < INDEX_MIN)
                return NULL;
        if (state->index && state->index->size >= 2 * state->n_rules)
                return state->index;
        unit_state_drop_index(state);
        while (size < 4 * state->n_rules)
                size *= 2;
        state->index = calloc(1, sizeof(*state->index) + size * sizeof(state->index->cells[0]));
        if (!state->index)
                return NULL;
        state->index->size = size;
        for (size_t i = 0; i < state->n_rules; i++)
                index_add(state, i);
        return state->index;
}

UnitStateRule *unit_state_find(UnitState *state, const char *key) {
        const UnitStateIndex *index = unit_state_get_index(state);
        size_t cell;

        if (!index) {
                for (size_t i = 0; i < state->n_rules; i++)
                        if (streq(state->rules[i].key, key))
                                return &state->rules[i];
                return NULL;
        }
        cell = hash64(key, strlen(key), 0) & (index->size - 1);
        for (; index->cells[cell] != 0; cell = (cell + 1) & (index->size - 1))
                if (streq(state->rules[index->cells[cell] - 1].key, key))
                        return &state->rules[index->cells[cell] - 1];
        return NULL;
}

static bool unit_state_has_number(UnitState *state, uint16_t number) {
        const UnitStateIndex *index = unit_state_get_index(state);

        if (index)
                return index->numbers[number / 8] & (1U << (number % 8));
        for (size_t i = 0; i < state->n_rules; i++)
                if (state->rules[i].number == number)
                        return true;
        return false;
}

/* Takes the key over on success. */
static int unit_state_append(
        UnitState *state, char **key, uint16_t number, uint32_t slot, UnitStateRule **ret) {
        UnitStateRule *rules = NULL;

        if (state->n_rules >= CGP_MAX_RULES)
                return -E2BIG;
        /* Room doubles: n_rules is a power of two exactly when the array is full. */
        if ((state->n_rules & (state->n_rules - 1)) == 0) {
                rules = reallocarray(state->rules, MAX(2 * state->n_rules, 1U), sizeof(*rules));
                if (!rules)
                        return -ENOMEM;
                state->rules = rules;
        }
        rules = state->rules;
        rules[state->n_rules++] =
                (UnitStateRule){ .key = TAKE_PTR(*key), .number = number, .slot = slot };
        if (state->index && state->index->size >= 2 * state->n_rules)
                index_add(state, state->n_rules - 1);
        *ret = &rules[state->n_rules - 1];
        return 0;
}

int unit_state_add(UnitState *state, const char *key, UnitStateRule **ret) {
        _cleanup_free_ char *copy = NULL;
        uint16_t number;
        int r;

        if (state->n_rules >= CGP_MAX_RULES)
                return -E2BIG;
        copy = strdup(key);
        if (!copy)
                return -ENOMEM;

        /* Numbers go round, so that an event on its way is not taken for one of a newer rule. */
        number = state->next_number;
        while (unit_state_has_number(state, number))
                number = number + 1 < CGP_RULE_FIRST + CGP_MAX_RULES ? number + 1 : CGP_RULE_FIRST;
        r = unit_state_append(state, &copy, number, 0, ret);
        if (r < 0)
                return r;
        state->next_number =
                number + 1 < CGP_RULE_FIRST + CGP_MAX_RULES ? number + 1 : CGP_RULE_FIRST;
        return 0;
}

void unit_state_keep(UnitState *state, const bool *keep) {
        UnitStateRule *rules = NULL;
        size_t n = 0, room = 1;

        for (size_t i = 0; i < state->n_rules; i++) {
                if (keep[i])
                        state->rules[n++] = state->rules[i];
                else
                        free(state->rules[i].key);
        }
        if (n == state->n_rules)
                return;
        state->n_rules = n;
        unit_state_drop_index(state);
        /* unit_state_append() tells by the number of rules how many there is room for; more does no harm,
         * and so does it that this shrinking fails. */
        while (room < n)
                room *= 2;
        rules = reallocarray(state->rules, room, sizeof(*rules));
        if (rules)
                state->rules = rules;
}

/* Everything but the lists, in one table for both ways. */
static const struct {
        const char *key;
        size_t offset;
        size_t size;
        uint64_t max;
} unit_state_fields[] = {
#define FIELD(key, member, max) \
        { key, offsetof(UnitState, member), sizeof(((UnitState *)0)->member), max }
        FIELD("subject", subject, CGP_MAX_SUBJECTS - 1),
        FIELD("cgroup-id", cgroup_id, INT64_MAX),
        FIELD("generation", generation, INT64_MAX),
        FIELD("detached", detached, 1),
        FIELD("next-number", next_number, CGP_RULE_FIRST + CGP_MAX_RULES - 1),
        FIELD("retired-packets", retired_packets, INT64_MAX),
        FIELD("retired-bytes", retired_bytes, INT64_MAX),
        FIELD("retired-blocked", retired_blocked, INT64_MAX),
        FIELD("retired-would", retired_would, INT64_MAX),
#undef FIELD
};

static uint64_t field_get(const UnitState *s, size_t i) {
        const uint8_t *p = (const uint8_t *)s + unit_state_fields[i].offset;

        switch (unit_state_fields[i].size) {
        case 1:
                return *p;
        case 2:
                return *(const uint16_t *)(const void *)p;
        case 4:
                return *(const uint32_t *)(const void *)p;
        default:
                return *(const uint64_t *)(const void *)p;
        }
}

static void field_set(UnitState *s, size_t i, uint64_t value) {
        uint8_t *p = (uint8_t *)s + unit_state_fields[i].offset;

        switch (unit_state_fields[i].size) {
        case 1:
                *p = (uint8_t)value;
                break;
        case 2:
                *(uint16_t *)(void *)p = (uint16_t)value;
                break;
        case 4:
                *(uint32_t *)(void *)p = (uint32_t)value;
                break;
        default:
                *(uint64_t *)(void *)p = value;
        }
}

static void json_putp(json_object **o) {
        if (*o)
                json_object_put(*o);
}

static void json_tokener_freep(json_tokener **tokener) {
        if (*tokener)
                json_tokener_free(*tokener);
}

static int json_add(json_object *o, const char *key, json_object *value) {
        if (!value)
                return -ENOMEM;
        if (json_object_object_add(o, key, value) < 0) {
                json_object_put(value);
                return -ENOMEM;
        }
        return 0;
}

static int json_append(json_object *array, json_object *value) {
        if (!value)
                return -ENOMEM;
        if (json_object_array_add(array, value) < 0) {
                json_object_put(value);
                return -ENOMEM;
        }
        return 0;
}

static int rule_to_json(const UnitStateRule *rule, json_object *array) {
        json_object *o = json_object_new_object();
        int r;

        r = json_append(array, o);
        if (r >= 0)
                r = json_add(o, "key", json_object_new_string(rule->key));
        if (r >= 0)
                r = json_add(o, "number", json_object_new_int(rule->number));
        if (r >= 0)
                r = json_add(o, "slot", json_object_new_int64(rule->slot));
        return r;
}

static int unit_state_to_json(const UnitState *state, json_object **ret) {
        _cleanup_(json_putp) json_object *o = json_object_new_object();
        json_object *array;
        int r;

        if (!o)
                return -ENOMEM;
        r = json_add(o, "version", json_object_new_int(UNIT_STATE_VERSION));
        if (r >= 0)
                r = json_add(o, "name", json_object_new_string(state->name));
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(unit_state_fields); i++)
                r = json_add(o, unit_state_fields[i].key,
                        json_object_new_int64((int64_t)field_get(state, i)));
        if (r < 0)
                return r;

        array = json_object_new_array();
        r = json_add(o, "reserved", array);
        for (size_t i = 0; r >= 0 && i < UNIT_STATE_RESERVED; i++)
                r = json_append(array, json_object_new_int64(state->reserved[i]));
        if (r < 0)
                return r;

        array = json_object_new_array();
        r = json_add(o, "rules", array);
        for (size_t i = 0; r >= 0 && i < state->n_rules; i++)
                r = rule_to_json(&state->rules[i], array);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(o);
        return 0;
}

int unit_state_save(const UnitState *state, int dir_fd) {
        _cleanup_(json_putp) json_object *o = NULL;
        _cleanup_free_ char *temp = NULL;
        _cleanup_close_ int fd = -EBADF;
        const char *text;
        int r;

        r = unit_state_to_json(state, &o);
        if (r < 0)
                return r;
        text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
        if (!text)
                return -ENOMEM;
        /* More would not be read back. */
        if (strlen(text) > UNIT_STATE_SIZE_MAX)
                return -EFBIG;

        /* One writer (the daemon holds its lock), so a fixed name will do; it is overwritten next time. */
        if (asprintf(&temp, ".%s.new", state->name) < 0)
                return -ENOMEM;
        fd = openat(dir_fd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        r = io_write_all(fd, text, strlen(text));
        if (r < 0) {
                (void)unlinkat(dir_fd, temp, 0);
                return r;
        }
        r = io_replace(dir_fd, temp, state->name);
        if (r < 0)
                (void)unlinkat(dir_fd, temp, 0);
        return r;
}

static int json_get_number(json_object *o, const char *key, uint64_t max, uint64_t *ret) {
        json_object *value;
        int64_t n;

        if (!json_object_object_get_ex(o, key, &value) ||
                !json_object_is_type(value, json_type_int))
                return -EBADMSG;
        n = json_object_get_int64(value);
        if (n < 0 || (uint64_t)n > max)
                return -EBADMSG;
        *ret = (uint64_t)n;
        return 0;
}

static int rule_from_json(UnitState *state, json_object *o) {
        _cleanup_free_ char *copy = NULL;
        UnitStateRule *rule;
        uint64_t number, slot;
        json_object *key;
        int r;

        if (!json_object_is_type(o, json_type_object) || state->n_rules >= CGP_MAX_RULES)
                return -EBADMSG;
        if (!json_object_object_get_ex(o, "key", &key) ||
                !json_object_is_type(key, json_type_string))
                return -EBADMSG;
        r = json_get_number(o, "number", CGP_RULE_FIRST + CGP_MAX_RULES - 1, &number);
        if (r < 0)
                return r;
        r = json_get_number(o, "slot", CGP_MAX_COUNTERS - 1, &slot);
        if (r < 0)
                return r;
        if (number < CGP_RULE_FIRST || slot == 0 ||
                unit_state_has_number(state, (uint16_t)number) ||
                unit_state_find(state, json_object_get_string(key)))
                return -EBADMSG;

        copy = strdup(json_object_get_string(key));
        if (!copy)
                return -ENOMEM;
        return unit_state_append(state, &copy, (uint16_t)number, (uint32_t)slot, &rule);
}

static int unit_state_from_json(UnitState *state, json_object *o) {
        json_object *value;
        uint64_t number;
        int r;

        if (!json_object_is_type(o, json_type_object))
                return -EBADMSG;
        r = json_get_number(o, "version", UNIT_STATE_VERSION, &number);
        if (r < 0 || number != UNIT_STATE_VERSION)
                return -EBADMSG;
        /* A file that somebody copied would take its subject's number. */
        if (!json_object_object_get_ex(o, "name", &value) ||
                !json_object_is_type(value, json_type_string) ||
                !streq(json_object_get_string(value), state->name))
                return -EBADMSG;
        for (size_t i = 0; i < ELEMENTSOF(unit_state_fields); i++) {
                r = json_get_number(o, unit_state_fields[i].key, unit_state_fields[i].max, &number);
                if (r < 0)
                        return r;
                field_set(state, i, number);
        }
        if (state->subject == 0 || state->next_number < CGP_RULE_FIRST)
                return -EBADMSG;

        if (!json_object_object_get_ex(o, "reserved", &value) ||
                !json_object_is_type(value, json_type_array) ||
                json_object_array_length(value) < RESERVED_MIN ||
                json_object_array_length(value) > UNIT_STATE_RESERVED)
                return -EBADMSG;
        for (size_t i = 1; i < json_object_array_length(value); i++) {
                json_object *slot = json_object_array_get_idx(value, i);

                if (!json_object_is_type(slot, json_type_int) || json_object_get_int64(slot) <= 0 ||
                        json_object_get_int64(slot) >= CGP_MAX_COUNTERS)
                        return -EBADMSG;
                state->reserved[i] = (uint32_t)json_object_get_int64(slot);
        }

        if (!json_object_object_get_ex(o, "rules", &value) ||
                !json_object_is_type(value, json_type_array))
                return -EBADMSG;
        for (size_t i = 0; i < json_object_array_length(value); i++) {
                r = rule_from_json(state, json_object_array_get_idx(value, i));
                if (r < 0)
                        return r;
        }
        return 0;
}

/* All of the text is one value. */
static int json_parse(const char *text, json_object **ret) {
        _cleanup_(json_tokener_freep) json_tokener *tokener = json_tokener_new();
        json_object *o;

        if (!tokener)
                return -ENOMEM;
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
        o = json_tokener_parse_ex(tokener, text, (int)strlen(text));
        if (!o)
                return -EBADMSG;
        *ret = o;
        return 0;
}

int unit_state_load(int dir_fd, const char *name, UnitState **ret) {
        _cleanup_(unit_state_freep) UnitState *state = NULL;
        _cleanup_(json_putp) json_object *o = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        r = io_read_file(dir_fd, name, UNIT_STATE_SIZE_MAX, &text, NULL);
        if (r < 0)
                return r;
        r = unit_state_new(name, &state);
        if (r < 0)
                return r;
        r = json_parse(text, &o);
        if (r < 0)
                return r;
        r = unit_state_from_json(state, o);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(state);
        return 0;
}

int unit_state_delete(int dir_fd, const char *name) {
        if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
                return -errno;
        return 0;
}
