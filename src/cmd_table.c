/* cmd_table.c: what list commands print. Names come from the network, so control characters never reach a terminal. */
#include <inttypes.h>
#include <stdio.h>

#include "cmd.h"
#include "picket/base/clock.h"

enum cell_kind { CELL_TEXT = 't', CELL_RAW = 'r' /* JSON as it stands */, CELL_FLAG = 'f', CELL_NULL = 'n' };
enum { COLUMNS_MAX = 16 };

static void put(struct cmd_table *t, enum cell_kind kind, struct str text)
{
    buf_append_char(&t->cells, (char)kind);
    for (size_t i = 0; i < text.n; i++)
        buf_append_char(&t->cells, (char)(text.p[i] ? text.p[i] : ' '));
    buf_append_char(&t->cells, '\0');
    t->n_cells++;
}

void cmd_table_text(struct cmd_table *t, struct str text)
{
    put(t, text.p ? CELL_TEXT : CELL_NULL, text);
}

void cmd_table_number(struct cmd_table *t, int64_t v)
{
    AUTO_BUF struct buf text = {0};
    buf_printf(&text, "%" PRId64, v);
    put(t, CELL_RAW, buf_str(&text));
}

void cmd_table_flag(struct cmd_table *t, bool v)
{
    put(t, CELL_FLAG, v ? STR("yes") : STR("no"));
}

void cmd_table_time(struct cmd_table *t, const struct db_rows *rows, int row, int col)
{
    char text[CLOCK_RFC3339_MAX];
    if (db_is_null(rows, row, col))
        put(t, CELL_NULL, (struct str){0});
    else
        put(t, CELL_TEXT, str_of(text, clock_format(db_time(rows, row, col), text)));
}

void cmd_table_put(struct json_writer *w, const struct cmd_table *t)
{
    json_begin_array(w);
    const char *cell = t->cells.p;
    for (unsigned i = 0; i < t->n_cells; i++, cell += strlen(cell) + 1) {
        struct str text = str_from(cell + 1);
        unsigned column = i % t->n_columns;
        if (column == 0)
            json_begin_object(w);
        json_key(w, str_from(t->columns[column]));
        switch ((enum cell_kind)cell[0]) {
        case CELL_TEXT:
            json_put_str(w, text);
            break;
        case CELL_RAW:
            json_put_raw(w, text);
            break;
        case CELL_FLAG:
            json_put_bool(w, str_eq(text, STR("yes")));
            break;
        case CELL_NULL:
            json_put_null(w);
            break;
        }
        if (column == t->n_columns - 1)
            json_end_object(w);
    }
    json_end_array(w);
}

static void print_json(const struct cmd_table *t)
{
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    cmd_table_put(&w, t);
    puts(buf_cstr(&out));
}

static size_t width(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80; /* one a code point */
    return n;
}

/* C0, DEL, and C1 as UTF-8 has it: a terminal takes all of them for commands. */
static bool is_control(const char *c)
{
    return (*c >= 0 && *c < ' ') || *c == 0x7F ||
           ((unsigned char)c[0] == 0xC2 && (unsigned char)c[1] >= 0x80 && (unsigned char)c[1] < 0xA0);
}

static void print_cell(const char *text, size_t padded_to)
{
    for (const char *c = text; *c; c++) {
        bool control = is_control(c);
        (void)putchar(control ? '?' : (unsigned char)*c);
        c += control && (unsigned char)*c == 0xC2;
    }
    for (size_t n = width(text); n < padded_to; n++)
        putchar(' ');
}

static void print_text(const struct cmd_table *t)
{
    size_t widths[COLUMNS_MAX] = {0};
    assert(t->n_columns > 0 && t->n_columns <= COLUMNS_MAX && t->n_cells % t->n_columns == 0);
    for (unsigned i = 0; i < t->n_columns; i++)
        widths[i] = width(t->columns[i]);
    const char *cell = t->cells.p;
    for (unsigned i = 0; i < t->n_cells; i++, cell += strlen(cell) + 1)
        if (width(cell + 1) > widths[i % t->n_columns])
            widths[i % t->n_columns] = width(cell + 1);
    cell = t->cells.p;
    for (unsigned i = 0; i < t->n_columns + t->n_cells; i++) {
        unsigned column = i % t->n_columns;
        bool head = i < t->n_columns, last = column + 1 == t->n_columns;
        print_cell(head ? t->columns[i] : cell + 1, last ? 0 : widths[column] + 2);
        if (last)
            putchar('\n');
        if (!head)
            cell += strlen(cell) + 1;
    }
}

void cmd_table_print(struct cmd_table *t, bool as_json)
{
    if (as_json)
        print_json(t);
    else
        print_text(t);
    buf_done(&t->cells);
}
