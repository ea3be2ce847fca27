/* main.c: finds the command and hands over. Commands are wiring: what they do lives in the layers. */
#include <signal.h>
#include <stdio.h>

#include "cmd.h"
#include "version.h"

struct command {
    const char *name, *help;
    int (*run)(const struct config *config, int argc, char **argv);
};

static int cmd_version(const struct config *config, int argc, char **argv)
{
    (void)config;
    bool json = false;
    const struct cmd_option options[] = {{"--json", &json, NULL}};
    const struct cmd_line line = {.command = "version",
                                  .usage = "usage: picket version [--json]\n\nPrints the version.",
                                  .options = options,
                                  .n_options = ARRAY_LEN(options)};
    int code;
    if (!cmd_read(&line, argc, argv, &code))
        return code;
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_field_str(&w, STR("version"), STR(PICKET_VERSION));
    json_end_object(&w);
    puts(json ? buf_cstr(&out) : "picket " PICKET_VERSION);
    return EXIT_OK;
}

static const struct command commands[] = {
    {"serve", "take events, digest them, answer the API", cmd_serve},
    {"migrate", "bring the database schema up to date", cmd_migrate},
    {"user", "add, list, or change the password of users", cmd_user},
    {"project", "add or list projects, rotate a project's key", cmd_project},
    {"token", "add, list or revoke API tokens", cmd_token},
    {"quota", "list or set how much projects and keys may bring", cmd_quota},
    {"send", "send a sample event, or a file, to a DSN", cmd_send},
    {"retention", "drop events that are too old or too many, now", cmd_retention},
    {"status", "what the server does and what lies in its database", cmd_status},
    {"dlq", "list, show, retry or drop events that could not be stored", cmd_dlq},
    {"version", "print the version", cmd_version},
};

static void help(FILE *out)
{
    fputs("Picket takes errors from any Sentry SDK, groups them into issues and shows them.\n\nusage: picket COMMAND [OPTIONS]\n\n", out);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(out, "  %-9s  %s\n", commands[i].name, commands[i].help);
    fputs(
        "\npicket COMMAND --help (or picket help COMMAND) says more. Settings come from the environment: picket serve --help lists them.\n",
        out);
}

static const struct command *find(struct str name)
{
    if (str_eq(name, STR("--version")))
        name = STR("version");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (str_eq(name, str_from(commands[i].name)))
            return &commands[i];
    return NULL;
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 2; i < argc && !str_eq(str_from(argv[i]), STR("--")); i++)
        if (str_eq(str_from(argv[i]), STR("--help")) || str_eq(str_from(argv[i]), STR("-h")))
            return true;
    return false;
}

/* Help and the version are there whatever the environment says. */
static int run_without_config(const struct command *command, int argc, char **argv)
{
    struct config nothing = {0};
    return command->run(&nothing, argc, argv);
}

static int show_help_of(const struct command *command, char *name)
{
    static char flag[] = "--help";
    char *arguments[] = {name, flag, NULL};
    return run_without_config(command, 2, arguments);
}

/* `picket help`, `picket help COMMAND` */
static int cmd_help(int argc, char **argv)
{
    const struct command *command = argc > 1 ? find(str_from(argv[1])) : NULL;
    if (argc > 2)
        return cmd_usage("help", "'%s' is one argument too many", argv[2]);
    if (command)
        return show_help_of(command, argv[1]);
    if (argc > 1)
        return cmd_usage("help", "there is no command '%s'", argv[1]);
    help(stdout);
    return EXIT_OK;
}

int main(int argc, char **argv)
{
    struct str name = str_from(argc > 1 ? argv[1] : "");
    if (str_eq(name, STR("help")) && !asks_for_help(argc, argv))
        return cmd_help(argc - 1, argv + 1);
    if (str_eq(name, STR("--help")) || str_eq(name, STR("-h")) || str_eq(name, STR("help"))) {
        help(stdout);
        return EXIT_OK;
    }
    const struct command *command = find(name);
    if (!command) {
        if (name.n)
            fprintf(stderr, "picket: there is no command '%.*s'\n\n", STR_ARG(name));
        help(stderr);
        return EXIT_USAGE;
    }
    if (asks_for_help(argc, argv))
        return show_help_of(command, argv[1]);
    if (command->run == cmd_version)
        return run_without_config(command, argc - 1, argv + 1);
    signal(SIGPIPE, SIG_IGN);
    struct config config;
    char why[8192];
    int code;
    if (config_read(&config, getenv, why, sizeof why) < 0) {
        for (struct str rest = str_from(why); rest.p && rest.n;) {
            struct str line = str_cut(&rest, '\n');
            fprintf(stderr, "picket: %.*s\n", STR_ARG(line));
        }
        code = EXIT_USAGE;
    } else {
        config_forget_environment();
        log_set_level(config.log_level);
        code = command->run(&config, argc - 1, argv + 1);
    }
    config_done(&config);
    return code;
}
