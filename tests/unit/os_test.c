/* SPDX-License-Identifier: Apache-2.0 */
/* The system's side: processes, locks of open file descriptions, private pages, clocks. */
#include "tests/peer_kit.h"

static void gone(void **state)
{
    struct amxi_os_proc self, other;
    (void)state;
    assert_int_equal(amxi_os_self(&self), 0);
    assert_false(amxi_os_gone(&self));
    struct child c = start("idle", "-");
    step(&c);
    other = (struct amxi_os_proc){.pid = (uint32_t)c.pid, .pid_ns = self.pid_ns, .start_time = 0};
    assert_true(amxi_os_gone(&other)); /* another process has that number: it started at another time */
    other.pid_ns++;
    assert_false(amxi_os_gone(&other)); /* nobody can tell */
    other.pid_ns--;
    assert_false(amxi_os_unmapped((uint32_t)c.pid + 1000000, 1, 1, 4096)); /* no such process: nobody can tell */
    assert_true(amxi_os_unmapped((uint32_t)c.pid, 1, 1, 4096));
    wait_killed(c.pid);
    assert_true(amxi_os_gone(&other));
    assert_false(amxi_os_unmapped((uint32_t)c.pid, 1, 1, 4096));
    forget(&c);
}

static void locks(void **state)
{
    int a = -1, b = -1, c = -1;
    bool locked = true;
    (void)state;
    assert_int_equal(amxi_os_memfd("locks", &a), 0);
    assert_int_equal(amxi_os_reopen(a, true, &b), 0);
    assert_int_equal(amxi_os_reopen(a, false, &c), 0);
    assert_int_equal(amxi_os_lock_test(b, 7, &locked), 0);
    assert_false(locked);
    assert_int_equal(amxi_os_lock(a, 7, true), 0);
    assert_int_equal(amxi_os_lock_test(a, 7, &locked), 0);
    assert_false(locked); /* one's own */
    assert_int_equal(amxi_os_lock_test(b, 7, &locked), 0);
    assert_true(locked);
    assert_int_equal(amxi_os_lock_test(c, 7, &locked), 0);
    assert_true(locked);
    assert_int_equal(amxi_os_lock(b, 7, true), -EAGAIN);
    assert_int_equal(amxi_os_lock(b, 7, false), -EAGAIN);
    assert_int_equal(amxi_os_lock(b, 8, true), 0);
    amxi_os_close(dup(a)); /* closing another descriptor drops nothing */
    assert_int_equal(amxi_os_lock(b, 7, false), -EAGAIN);
    amxi_os_close(a);
    assert_int_equal(amxi_os_lock(b, 7, false), 0);
    assert_int_equal(amxi_os_lock(c, 7, false), 0); /* two readers */
    assert_int_equal(amxi_os_unlock(b, 7), 0);
    amxi_os_close(b);
    amxi_os_close(c);
}

static void the_rest(void **state)
{
    uint8_t a[16] = {0}, b[16] = {0}, none[16] = {0};
    uint32_t word = 1;
    (void)state;
    assert_int_equal(amxi_os_random(a, sizeof a), 0);
    assert_int_equal(amxi_os_random(b, sizeof b), 0);
    assert_memory_not_equal(a, b, sizeof a);
    assert_int_equal(amxi_os_boot_id(a), 0);
    assert_int_equal(amxi_os_boot_id(b), 0);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_not_equal(a, none, sizeof a);
    uint64_t before = amxi_os_mono_ns();
    amxi_os_futex_wait(&word, 2, UINT64_MAX);        /* the word is not 2: at once */
    amxi_os_futex_wait(&word, 1, UINT64_C(2000000)); /* 2 ms */
    uint64_t took = amxi_os_mono_ns() - before;
    assert_true(took >= UINT64_C(1900000) && took < UINT64_C(10000000000));
    amxi_os_futex_wake_all(&word);
    assert_true(amxi_os_wall_ns() > UINT64_C(1600000000) * UINT64_C(1000000000));
    void *p = NULL;
    assert_int_equal(amxi_os_private(5000, &p), 0);
    memset(p, 1, 5000);
    if (!emulated("a fork does not wipe what is private")) {
        pid_t pid = fork();
        if (pid == 0) {
            for (size_t i = 0; i < 5000; i++)
                must(((uint8_t *)p)[i] == 0);
            _exit(0);
        }
        assert_int_equal(wait_end(pid), 0);
    }
    assert_int_equal(((uint8_t *)p)[4999], 1);
    amxi_os_unmap(p, 5000);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return role_begin(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gone),
        cmocka_unit_test(locks),
        cmocka_unit_test(the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
