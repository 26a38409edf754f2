/* SPDX-License-Identifier: Apache-2.0 */
/* Objects: a recoverer that is slow, and one that is told to stop. Each is a call-back at a store, or in a recovery. */
#include "tests/peer_kit.h"

#include "amx_object.h"
#include "object.h"

enum { WORDS = 4 };

static struct {
    const volatile void *at; /* the word before whose store `meanwhile` happens, once; NULL: none */
    const char *name;
    amx_t *other, *tenant;
    amx_ref ref;
    uint64_t id[2];
} slow;

static amx_t *enter(const char *name, bool create)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    amx_t *h;
    o.size = AMX_SIZE_MIN;
    o.flags = AMX_F_NO_RECOVER;
    ok(create ? amx_create(name, &o, &h) : amx_attach(name, &o, &h));
    return h;
}

static struct amx_object describe(amx_ref ref)
{
    return (struct amx_object){
        .struct_size = sizeof(struct amx_object), .kind = 7, .count = WORDS, .stride = 8, .ref = ref};
}

static amx_ref published(amx_t *h)
{
    amx_ref ref;
    ok(amx_zalloc(h, 64, &ref));
    ok(amx_publish(h, ref));
    return ref;
}

/* No store into the segment, but nothing left of the process. */
static void die(amx_t *h)
{
    struct amxi_seg *s = h->seg;
    amxi_peer_unlock(s);
    amxi_forks_remove(s);
    amxi_handles_drop(s);
    s->open = NULL;
    amxi_seg_drop(s);
}

/* Another finishes the recovery, the dead one's tag gets a new tenant, and that one removes an object at which somebody
 * may be looking. */
static void meanwhile(void)
{
    struct amx_object o = describe(slow.ref);
    ok(amx_recover(slow.other, 0, NULL, NULL, NULL));
    slow.tenant = enter(slow.name, false);
    ok(amx_object_add(slow.tenant, &o, &slow.id[0]));
    ok(amx_object_add(slow.tenant, &o, &slow.id[1]));
    (void)amxi_add32_sc(&amxi_handle(slow.other->seg, slow.other->tag - 1)->purging, 1);
    fails(AMX_E_BUSY, amx_object_remove(slow.tenant, slow.id[1]));
}

void amxi_hook(const volatile void *addr, size_t len);
void amxi_hook(const volatile void *addr, size_t len)
{
    (void)len;
    if (addr != slow.at)
        return;
    slow.at = NULL;
    meanwhile();
}

static void tag_has_a_new_tenant(void **state)
{
    (void)state;
    slow.name = test_name();
    amx_t *h = enter(slow.name, true);
    slow.other = enter(slow.name, false);
    amx_t *dead = enter(slow.name, false);
    uint32_t tag = dead->tag;
    slow.ref = published(h);
    amxi_st64_sc(&amxi_object(h->seg, 0)->word, AMXI_O_WORD(AMXI_O_MAKING, tag, 3));
    die(dead);
    slow.at = &amxi_object(h->seg, 0)->word;
    (void)amx_recover(h, 0, NULL, NULL, NULL);
    assert_null(slow.at);
    assert_int_equal(slow.tenant->tag, tag);
    fails(AMX_E_BUSY, amx_object_remove(slow.tenant, slow.id[1])); /* as long as he may be looking */
    (void)amxi_sub32_rel(&amxi_handle(slow.other->seg, slow.other->tag - 1)->purging, 1);
    ok(amx_object_remove(slow.tenant, slow.id[1]));
    ok(amx_object_remove(slow.tenant, slow.id[0]));
    ok(amx_close(slow.tenant));
    ok(amx_close(slow.other));
    ok(amx_close(h));
}

static int stop_at_first(const struct amx_kept *k, void *told)
{
    assert_true(k->how == AMX_KEPT_WORD || k->how == AMX_KEPT_PUBLISHED);
    *(int *)told += k->how == AMX_KEPT_WORD;
    return k->how == AMX_KEPT_WORD && *(int *)told == 1 ? -99 : 0;
}

static void told_to_stop(void **state)
{
    const char *name = test_name();
    amx_t *h = enter(name, true), *dead = enter(name, false);
    struct amx_object o = describe(published(h));
    uint64_t id;
    void *p;
    int told = 0, left = 0;
    (void)state;
    ok(amx_object_add(h, &o, &id));
    ok(amx_object_touch(dead, id));
    ok(amx_ptr(h, o.ref, &p));
    amxi_a64 *word = p;
    for (int k = 0; k < WORDS; k++)
        amxi_st64_rlx(&word[k], AMXI_W0(3000, dead->tag, 1));
    die(dead);
    fails(-99, amx_recover(h, 0, stop_at_first, &told, NULL));
    for (int k = 0; k < WORDS; k++)
        left += AMXI_W0_OWNER(amxi_ld64_rlx(&word[k])) != 0;
    assert_int_equal(told, 1);
    assert_int_equal(left, WORDS - 1); /* what was not told stays the dead one's */
    ok(amx_recover(h, 0, stop_at_first, &told, NULL));
    assert_int_equal(told, WORDS);
    ok(amx_close(h));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tag_has_a_new_tenant),
        cmocka_unit_test(told_to_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
