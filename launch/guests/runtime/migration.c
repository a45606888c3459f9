/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Linked into every multi-ISA program: where a thread starts on the node that it migrates to.
 */
#include <stramash.h>

/* A block of thread-local variables starts with this pad; its second word points at struct pthread on every ISA. */
__attribute__((section(".tdata.stramash_pad"), aligned(64), used)) _Thread_local char stramash_pad[64] = {0};

/* Entered by the kernel with the thread pointer set, default floating point, and a stack of its own below the caller's. */
_Noreturn void mig_entry(void *(*function)(void *), void *argument)
{
    syscall(STRAMASH_MIGRATE_RETURN, function(argument));
    __builtin_trap(); /* the call does not come back */
}
