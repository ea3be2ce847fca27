/* channel_config.h: what the config of an alert channel must be (contract §4.2). Private to src/api. */
#pragma once

#include "internal.h"

enum channel_type { CHANNEL_WEBHOOK, CHANNEL_SLACK, CHANNEL_EMAIL, CHANNEL_TYPES };

/* False: no such type. */
bool channel_type_read(struct str name, enum channel_type *ret);

/* In one that replaces another, asterisks may stand for a secret that is stored (migration 0033). */
enum config_use { CONFIG_NEW, CONFIG_CHANGED };

/* Why `config`, an object, is none of that type, in the arena; "": it is one. */
struct str channel_config_check(enum channel_type type, const struct json *config, enum config_use use, struct arena *a);
