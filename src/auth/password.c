/* password.c: Argon2id through libargon2. The parameters are OWASP's second choice and Rustrak's (contract §1.10), so that hashes move over. */
#include "picket/auth/password.h"

#include <argon2.h>
#include <errno.h>

#include "picket/base/id.h"

enum { MEMORY_KIB = 19456, PASSES = 2, LANES = 1, SALT_BYTES = 16, HASH_BYTES = 32 };

int password_hash(struct str password, char ret[PASSWORD_HASH_MAX])
{
    uint8_t salt[SALT_BYTES];
    if (password.n > PASSWORD_MAX_BYTES)
        return -EINVAL;
    random_bytes(salt, sizeof salt);
    int r = argon2id_hash_encoded(PASSES, MEMORY_KIB, LANES, password.p, password.n, salt, sizeof salt, HASH_BYTES, ret, PASSWORD_HASH_MAX);
    return r == ARGON2_OK ? 0 : -ENOMEM;
}

bool password_verify(struct str password, const char *phc)
{
    /* Of no password: what an unknown account is compared with. */
    static const char nobody[] = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    if (password.n > PASSWORD_MAX_BYTES)
        return false;
    bool known = phc && phc[0];
    int r = argon2id_verify(known ? phc : nobody, password.p, password.n);
    return known && r == ARGON2_OK;
}

void password_random(char ret[21])
{
    static const char alphabet[] = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    enum { N = sizeof alphabet - 1, FAIR = 256 - 256 % N };
    for (unsigned n = 0; n < 20;) {
        uint8_t r;
        random_bytes(&r, 1);
        if (r < FAIR) /* a plain remainder would favour the first letters */
            ret[n++] = alphabet[r % N];
    }
    ret[20] = '\0';
}
