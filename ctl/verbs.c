/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The verb table and the help that is made from it. */
#include "verbs.h"

#include <stdio.h>

#include "util/macro.h"

#define RULE_HELP                                                                                  \
        "RULE is [in|out|bind] [WHAT] [to|from PEER,...] [via IFACE]; its words need no quotes.\n" \
        "  WHAT  any, PROTO, PROTO/PORTS (tcp/80,8000-8099) or a service (https); PROTO is\n"      \
        "        tcp, udp, udplite, sctp, icmp, icmpv6 or 0-255\n"                                 \
        "  PEER  ADDR[/LEN], ADDR-ADDR, @LIST, any, localhost, link-local, multicast,\n"           \
        "        broadcast, lan (networks of this host's interfaces) or internet\n"                \
        "In an out rule the port is the peer's, in an in rule it is the subject's own. A rule\n"   \
        "without a direction stands for both; 'to' implies out, 'from' implies in. A bind rule\n"  \
        "is about bind() of a local port, and 'to' about the local address. The rule\n"            \
        "is echoed with everything spelled out. A rule that is there already is success.\n"        \
        "Examples: in tcp/8080 from 192.0.2.0/24\n"                                                \
        "          out tcp/443,8000-8099 to 192.0.2.7,2001:db8::7\n"                               \
        "          out https to @partners\n"                                                       \
        "          in udp/5353 from lan via eth0\n"                                                \
        "          bind tcp/8080 to localhost\n"

const Verb verbs[] = {
        { "status", verb_status, 0, VERB_ANY, 0, "[SUBJECT...]",
                "One line per subject: mode, default, rules, blocked, state",
                "SUBJECT may be a glob ('web*'). What is wrong with the daemon follows the table.\n" },
        { "show", verb_show, 1, 1, OPTION_PROPERTY | OPTION_VALUE, "SUBJECT",
                "Rules in force: layer, source, id, and how often each was used",
                "  -p, --property=NAME  print only this property; may be repeated, or a,b,c\n"
                "      --value          print the values without their names\n"
                "Properties are the keys of 'show SUBJECT -j'; 'default.in' goes inside.\n" },
        { "cat", verb_cat, 1, 1, 0, "SUBJECT", "The policy files that apply to a subject",
                "Each file is preceded by a line '# PATH'.\n" },
        { "log", verb_log, 0, VERB_ANY, OPTION_LINES | OPTION_FOLLOW, "[SUBJECT...]",
                "What was denied, one line each",
                "  -n, --lines=N   the last N denials, or 'all' (default: 10)\n"
                "  -f, --follow    go on with new ones as they happen\n"
                "--json=short prints the daemon's objects, one per line.\n" },
        { "explain", verb_explain, 3, VERB_ANY, 0,
                "SUBJECT in|out PROTO ADDR:PORT [to ADDR] [via IFACE] | SUBJECT bind PROTO/PORT [to ADDR]",
                "Whether a conversation would pass, and what decides",
                "  cgpolicyctl explain web out tcp 192.0.2.7:443\n"
                "  cgpolicyctl explain web in tcp [2001:db8::1]:8080\n"
                "  cgpolicyctl explain web out icmp 192.0.2.7 via wg0\n"
                "  cgpolicyctl explain dhcp in udp 192.0.2.1:68 to 255.255.255.255\n"
                "  cgpolicyctl explain web bind tcp/8080 to 127.0.0.1\n"
                "The port is the peer's for out and the subject's own for in; IPv6 is written\n"
                "[ADDR]:PORT; protocols without ports take the address alone. 'to' names the group or\n"
                "broadcast address that a peer sends to, or the address that is bound (else 0.0.0.0).\n"
                "Without 'via' rules with via are judged as for a system call, and each interface is\n"
                "listed if that matters.\n"
                "Exit status: 0 it passes, 3 it is denied, 4 no such subject, 1 the kernel does not\n"
                "agree with the rules. With -q nothing is printed.\n" },
        { "run", verb_run, 1, 1, OPTION_DEFAULT | OPTION_PROFILE | OPTION_MODE | OPTION_RULE,
                "NAME [OPTIONS] -- CMD [ARG...]",
                "Run a command under a policy that holds from its first instruction",
                "      --default=VERDICT  allow or deny, both ways (default: deny)\n"
                "      --rule=RULE        a whole rule, 'allow out tcp/443'; may be repeated\n"
                "      --profile=NAME     start from a profile ('cgpolicyctl profile' lists them)\n"
                "      --mode=MODE        enforce, audit or off\n"
                "Example: cgpolicyctl run web --rule 'allow in tcp/80' -- nginx -g 'daemon off;'\n"
                "The exit status is the command's, 128+N if signal N ended it, 127 if it is not\n"
                "found, 126 if it cannot be executed. If 'run' is killed, so is the job.\n" },
        { "allow", verb_allow, 2, VERB_ANY, OPTION_COMMENT, "SUBJECT RULE...",
                "Add a rule that allows", "      --comment=TEXT  kept with the rule\n" RULE_HELP },
        { "deny", verb_deny, 2, VERB_ANY, OPTION_COMMENT, "SUBJECT RULE...",
                "Add a rule that denies", "      --comment=TEXT  kept with the rule\n" RULE_HELP },
        { "never", verb_never, 2, VERB_ANY, OPTION_COMMENT, "SUBJECT RULE...",
                "Add a rule that denies and beats every allow",
                "      --comment=TEXT  kept with the rule\n" RULE_HELP },
        { "default", verb_default, 2, 3, 0, "SUBJECT [in|out] allow|deny",
                "What happens where no rule matches", "Without a direction: both ways.\n" },
        { "mode", verb_mode, 2, 2, 0, "SUBJECT enforce|audit|off",
                "Enforce, only report, or judge nothing",
                "off keeps the policy and gives no verdicts; audit reports what it would deny.\n" },
        { "remove", verb_remove, 2, VERB_ANY, 0, "SUBJECT RULE-ID|VERDICT RULE...",
                "Remove a rule that was made with this command",
                "A rule is named by its id (web.16, see 'show') or in full (allow in tcp/8080).\n" },
        { "profile", verb_profile, 0, 2, 0, "[SUBJECT NAME|none]",
                "List profiles, or give one to a subject", "" },
        { "lists", verb_lists, 0, VERB_ANY, 0, "[NAME...]",
                "Named lists: what they hold, where from, and who uses them",
                "NAME may be a glob. A state 'kept' means that the file is broken or gone and what it\n"
                "last held is in force; why follows the table. Exit status 4 if there is no such list.\n" },
        { "apply", verb_apply, 1, 1, OPTION_DRY_RUN | OPTION_NAME, "FILE",
                "Take a policy file, all of it or nothing",
                "      --dry-run    say what would change and change nothing\n"
                "      --name=NAME  the name it is kept under (default: FILE's own); a policy\n"
                "                   that was applied under the same name is replaced\n"
                "FILE may be '-' for standard input.\n" },
        { "check", verb_check, 1, VERB_ANY, 0, "FILE...",
                "Check policy files; needs neither a daemon nor root",
                "FILE may be '-' for standard input. Exit status 5 if one is invalid. Files of named\n"
                "lists are read if they are there; a relative one is looked for beside FILE.\n" },
        { "reload", verb_reload, 0, 0, 0, "", "Read all policy files again",
                "A broken file keeps its last good version and is reported.\n" },
        { "attach", verb_attach, 1, 1, 0, "SUBJECT", "Enforce again after detach", "" },
        { "detach", verb_detach, 0, 1, OPTION_ALL, "SUBJECT | --all",
                "Let go of a subject until attach: it runs on, unrestricted",
                "      --all  of everything; this also ends the policies of jobs\n" },
        {},
};

const Verb *verb_find(const char *name) {
        for (const Verb *verb = verbs; verb->name; verb++)
                if (streq(verb->name, name))
                        return verb;
        return NULL;
}

void verb_print_help(const Verb *verb) {
        (void)printf("cgpolicyctl [OPTIONS] %s%s%s\n\n%s.\n\n%s%s"
                     "'cgpolicyctl help' lists the options that every verb takes.\n",
                verb->name, *verb->form ? " " : "", verb->form, verb->summary, verb->help,
                *verb->help ? "\n" : "");
}

void verbs_print_help(void) {
        (void)fputs("cgpolicyctl [OPTIONS] VERB ...\n\nNetwork policy of services.\n\nVerbs:\n",
                stdout);
        for (const Verb *verb = verbs; verb->name; verb++)
                (void)printf("  %-9s %s\n", verb->name, verb->summary);
        (void)fputs(
                "  help      Help on a verb\n"
                "\nOptions, before or after the verb:\n"
                "      --private DIR           the daemon in DIR (also: CGPOLICY_PRIVATE=DIR)\n"
                "      --json=pretty|short|off results as JSON; -j: pretty on a terminal, else short\n"
                "      --no-legend             no table headers and no remarks\n"
                "      --no-pager              accepted; nothing is paged\n"
                "  -q, --quiet                 no results, only errors\n"
                "      --color=auto|always|never\n"
                "  -h, --help                  this help; after a verb, its help\n"
                "      --version               the version\n"
                "\nExit status: 0 done or allowed, 1 failure, 2 usage, 3 denied, 4 no such subject,\n"
                "rule, profile or list, 5 invalid policy or rule, 6 daemon not reachable, 7 not\n"
                "authorised, 8 conflict, 10 not supported. See cgpolicyctl(1).\n",
                stdout);
}
