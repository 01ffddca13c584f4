#include "cuda/twin/twin.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <random>
#include <vector>

#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace twin
{
namespace
{
enum state { RUNS, AT_WARP_BARRIER, AT_BLOCK_BARRIER, ENDED };

constexpr size_t STACK_BYTES = 64 << 10;

/* Where a context goes on. Switching is on the way of every matrix product, and swapcontext() asks
 * the kernel each time; so x86-64 has eight instructions of its own. */
struct context {
    void *stack_pointer = nullptr;
    ucontext_t other;
};

struct request {
    span changes;
    std::function<void()> what; /* nothing: it is done */
};

typedef std::vector<request> group;

struct pending {
    bool late;
    group open;
    std::deque<group> closed;
};

struct fiber {
    thread_state self;
    struct pending pending[QUEUES];
    context place;
    std::unique_ptr<char[]> stack{new char[STACK_BYTES]};
    enum state state = ENDED;
};

struct machine {
    std::vector<fiber> fibers;
    std::vector<char> slots;
    std::vector<char *> shared; /* one block's, of its exact size */
    const std::function<void()> *body = nullptr;
    fiber *current = nullptr;
    context scheduler;
    void *scheduler_fake = nullptr;
    const void *scheduler_stack = nullptr;
    size_t scheduler_stack_bytes = 0;
    std::mt19937 random{1};
};

machine m;

#if defined(__x86_64__)
extern "C" void kz_twin_switch(void **from, void *to);
asm(R"(
.text
.globl kz_twin_switch
.type kz_twin_switch, @function
kz_twin_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size kz_twin_switch, .-kz_twin_switch
)");

void change(context &from, context &to)
{
    kz_twin_switch(&from.stack_pointer, to.stack_pointer);
}

void prepare(fiber &f, void (*entry)())
{
    auto top = reinterpret_cast<uintptr_t>(f.stack.get() + STACK_BYTES) & ~uintptr_t(15);
    auto *words = reinterpret_cast<void **>(top);
    *--words = nullptr; /* entry() never returns; this keeps the stack aligned as a call would */
    *--words = reinterpret_cast<void *>(entry);
    for (int i = 0; i < 6; i++)
        *--words = nullptr;
    f.place.stack_pointer = words;
}
#else
void change(context &from, context &to)
{
    swapcontext(&from.other, &to.other);
}

void prepare(fiber &f, void (*entry)())
{
    getcontext(&f.place.other);
    f.place.other.uc_stack.ss_sp = f.stack.get();
    f.place.other.uc_stack.ss_size = STACK_BYTES;
    f.place.other.uc_link = nullptr;
    makecontext(&f.place.other, entry, 0);
}
#endif

void to_scheduler(bool for_good)
{
    fiber *me = m.current;
#if defined(__SANITIZE_ADDRESS__)
    void *fake = nullptr;
    __sanitizer_start_switch_fiber(for_good ? nullptr : &fake, m.scheduler_stack,
                                   m.scheduler_stack_bytes);
#else
    (void)for_good;
#endif
    change(me->place, m.scheduler);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake, &m.scheduler_stack, &m.scheduler_stack_bytes);
#endif
}

void entry()
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &m.scheduler_stack, &m.scheduler_stack_bytes);
#endif
    (*m.body)();
    for (int i = 0; i < QUEUES; i++)
        wait_all((enum queue)i);
    m.current->state = ENDED;
    to_scheduler(true);
}

void resume(fiber &f)
{
    m.current = &f;
    f.state = RUNS;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&m.scheduler_fake, f.stack.get(), STACK_BYTES);
#endif
    change(m.scheduler, f.place);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(m.scheduler_fake, nullptr, nullptr);
#endif
}

/* Runs the lanes until each has ended or waits for the block. */
void run_warp(fiber *lanes, size_t count)
{
    std::vector<size_t> order(count);
    for (size_t i = 0; i < count; i++)
        order[i] = i;
    std::shuffle(order.begin(), order.end(), m.random);
    for (;;) {
        size_t waiting = 0;
        for (size_t i : order)
            if (lanes[i].state == RUNS)
                resume(lanes[i]);
        for (size_t i = 0; i < count; i++)
            waiting += lanes[i].state == AT_WARP_BARRIER;
        if (!waiting)
            return;
        if (waiting != count)
            fail("a warp's barrier that not all its lanes reach");
        for (size_t i = 0; i < count; i++)
            lanes[i].state = RUNS;
    }
}

void run_block(size_t threads)
{
    std::vector<size_t> warps((threads + LANES - 1) / LANES);
    for (size_t i = 0; i < warps.size(); i++)
        warps[i] = i;
    for (;;) {
        size_t waiting = 0;
        std::shuffle(warps.begin(), warps.end(), m.random);
        for (size_t w : warps)
            run_warp(&m.fibers[w * LANES], std::min<size_t>(LANES, threads - w * LANES));
        for (size_t i = 0; i < threads; i++)
            waiting += m.fibers[i].state == AT_BLOCK_BARRIER;
        if (!waiting)
            return;
        if (waiting != threads)
            fail("a block's barrier that not all its threads reach");
        for (size_t i = 0; i < threads; i++)
            m.fibers[i].state = RUNS;
    }
}

void carry_out(const group &all)
{
    for (const request &one : all)
        if (one.what)
            one.what();
}

void compare(const group &all, span changes)
{
    const auto begin = [](span s) { return reinterpret_cast<uintptr_t>(s.begin); };
    for (const request &one : all)
        if (begin(one.changes) < begin(changes) + changes.bytes &&
            begin(changes) < begin(one.changes) + one.changes.bytes &&
            (begin(one.changes) != begin(changes) || one.changes.bytes != changes.bytes))
            fail("what changes the same in part hasn't been waited for");
}

void wait(enum state at)
{
    m.current->state = at;
    to_scheduler(false);
}
} // namespace

void fail(const char *what)
{
    std::fprintf(stderr, "twin: block %u %u %u: %s\n", m.current->self.block_index.x,
                 m.current->self.block_index.y, m.current->self.block_index.z, what);
    std::abort();
}

const thread_state &self()
{
    return m.current->self;
}

void block_barrier()
{
    wait(AT_BLOCK_BARRIER);
}

void warp_barrier()
{
    wait(AT_WARP_BARRIER);
}

static size_t number(const thread_state &s)
{
    return (s.index.z * s.block.y + s.index.y) * s.block.x + s.index.x;
}

void *slot(unsigned lane)
{
    const size_t warp = number(self()) / LANES;
    return m.slots.data() + (warp * LANES + lane) * SLOT_BYTES;
}

void later(enum queue queue, span changes, std::function<void()> what)
{
    struct pending &p = m.current->pending[queue];
    compare(p.open, changes);
    for (const group &g : p.closed)
        compare(g, changes);
    if (!p.late)
        what();
    if (p.late || changes.bytes)
        p.open.push_back({changes, p.late ? std::move(what) : nullptr});
}

void close_group(enum queue queue)
{
    struct pending &p = m.current->pending[queue];
    p.closed.push_back(std::move(p.open));
    p.open.clear();
}

void wait_groups(enum queue queue, size_t left)
{
    struct pending &p = m.current->pending[queue];
    for (; p.closed.size() > left; p.closed.pop_front())
        carry_out(p.closed.front());
}

void wait_all(enum queue queue)
{
    close_group(queue);
    wait_groups(queue, 0);
}

static void begin_block(dim3 grid, dim3 block, dim3 at, void *shared)
{
    size_t i = 0;
    for (unsigned z = 0; z < block.z; z++)
        for (unsigned y = 0; y < block.y; y++)
            for (unsigned x = 0; x < block.x; x++, i++) {
                fiber &f = m.fibers[i];
                f.self = {grid, block, at, dim3(x, y, z), shared};
                for (struct pending &p : f.pending)
                    p = {m.random() % 2 != 0, {}, {}};
                f.state = RUNS;
                prepare(f, entry);
            }
}

void run(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()> &body)
{
    const size_t threads = size_t(block.x) * block.y * block.z;
    if (m.fibers.size() < threads) {
        m.fibers = std::vector<fiber>(threads);
        m.slots.assign((threads + LANES) * SLOT_BYTES, 0);
    }
    m.body = &body;
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++) {
                void *shared = std::aligned_alloc(128, (shared_bytes + 127) / 128 * 128);
                std::memset(shared, 0xff, shared_bytes);
                begin_block(grid, block, dim3(x, y, z), shared);
                run_block(threads);
                std::free(shared);
            }
}
} // namespace twin
