/* Hopper's products: four warps together (a warpgroup) multiply matrices that lie in shared memory,
 * and go on meanwhile. Each has a twin for the host, where what is asynchronous happens at once or
 * as late as it may, by chance.
 *
 * A matrix is K-major and not swizzled, as PTX's wgmma.mma_async has it: eight rows of 16 bytes (8
 * elements of K) in a row, `stride` bytes from there to the next eight rows, `leading` from the
 * first 8 elements of K to the second 8. All three are multiples of 16, as is where it begins.
 *
 * Sums are fp32. Thread t of the warpgroup (lane l of warp w = t / 32) has of 64 rows and N columns
 * sums[4 j + 2 i + k]: row 16 w + l / 4 + 8 i, column 8 j + 2 (l % 4) + k: as mma.m16n8k16's.
 *
 * The order that PTX guarantees by itself is that of products of one shape on the same sums. Other
 * products that share sums wait for each other: kz_products_wait(), then kz_products_begin(). */
#ifndef KZ_CUDA_KERNELS_WGMMA_CUH
#define KZ_CUDA_KERNELS_WGMMA_CUH

#include "cuda/kernels/tensor.cuh"

/* Only code for 9.0 itself has them; a kernel that uses them is empty for others. */
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define KZ_HAS_WGMMA
#endif

enum { KZ_MATRIX_UNIT = 16 }; /* bytes that a matrix is moved by when 1 is added to it */

enum { KZ_HOPPER_SHARED = 227 << 10 }; /* bytes of shared memory that a block may have on 9.0 */

/* Where all threads of a block have the same bytes in shared memory: 18 bits. */
KZ_DEVICE uint64_t kz_matrix_at(unsigned address, unsigned leading, unsigned stride)
{
    return (uint64_t)((address & 0x3ffff) / KZ_MATRIX_UNIT) |
           (uint64_t)(leading / KZ_MATRIX_UNIT) << 16 | (uint64_t)(stride / KZ_MATRIX_UNIT) << 32;
}

#if defined(__CUDACC__)

KZ_DEVICE uint64_t kz_matrix(const void *from, unsigned leading, unsigned stride)
{
    return kz_matrix_at(kz_shared_address(from), leading, stride);
}

/* The same in all lanes, which the compiler can't know. */
KZ_DEVICE int kz_uniform(int value)
{
    return __shfl_sync(0xffffffff, value, 0);
}

#if defined(KZ_HAS_WGMMA)

/* What kz_copy_16() has been asked for since the last time is a group. */
KZ_DEVICE void kz_copies_close(void)
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Until all groups of this thread but the last `LEFT` are there, and products see them after the
 * block's next barrier. */
template <int LEFT> KZ_DEVICE void kz_copies_wait_for_products(void)
{
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* The block's barrier, which warps may reach at different places of the program. */
KZ_DEVICE void kz_turn(void)
{
    asm volatile("barrier.sync.aligned 0;" ::: "memory");
}

/* Before products whose sums others have written. */
KZ_DEVICE void kz_products_begin(void)
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

KZ_DEVICE void kz_products_close(void)
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/* Until all groups but the last `LEFT` are done. */
template <int LEFT> KZ_DEVICE void kz_products_wait(void)
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT) : "memory");
}

/* After waiting: the compiler reads no sum before. */
template <int COUNT> KZ_DEVICE void kz_sums_done(float *sums)
{
#pragma unroll
    for (int i = 0; i < COUNT; i++)
        asm volatile("" : "+f"(sums[i])::"memory");
}

#define KZ_NAMES_16 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define KZ_NAMES_32 KZ_NAMES_16 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define KZ_NAMES_48 KZ_NAMES_32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47"
#define KZ_NAMES_64 KZ_NAMES_48 ",%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define KZ_NAMES_96                                                                \
    KZ_NAMES_64 ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79" \
                ",%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95"
#define KZ_SUMS_4(d, i) "+f"((d)[i]), "+f"((d)[(i) + 1]), "+f"((d)[(i) + 2]), "+f"((d)[(i) + 3])
#define KZ_SUMS_16(d, i) \
    KZ_SUMS_4(d, i), KZ_SUMS_4(d, (i) + 4), KZ_SUMS_4(d, (i) + 8), KZ_SUMS_4(d, (i) + 12)
#define KZ_SUMS_32(d) KZ_SUMS_16(d, 0), KZ_SUMS_16(d, 16)
#define KZ_SUMS_48(d) KZ_SUMS_32(d), KZ_SUMS_16(d, 32)
#define KZ_SUMS_64(d) KZ_SUMS_48(d), KZ_SUMS_16(d, 48)
#define KZ_SUMS_96(d) KZ_SUMS_64(d), KZ_SUMS_16(d, 64), KZ_SUMS_16(d, 80)

#define KZ_WGMMA(shape, type, names, next, after, ...)                                             \
    asm volatile("{\n"                                                                             \
                 ".reg .pred add;\n"                                                               \
                 "setp.ne.b32 add, 1, 0;\n"                                                        \
                 "wgmma.mma_async.sync.aligned." shape ".f32." type "." type " {" names "}, " next \
                 ", " after ", add, 1, 1, 0, 0;\n"                                                 \
                 "}"                                                                               \
                 : __VA_ARGS__                                                                     \
                 : "l"(a), "l"(b))

#define KZ_WGMMA_ALL(type)                                                                       \
    do {                                                                                         \
        static_assert(N == 32 || N == 64 || N == 96 || N == 128 || N == 192, "no such product"); \
        if constexpr (N == 32)                                                                   \
            KZ_WGMMA("m64n32k16", type, KZ_NAMES_16, "%16", "%17", KZ_SUMS_16(sums, 0));         \
        else if constexpr (N == 64)                                                              \
            KZ_WGMMA("m64n64k16", type, KZ_NAMES_32, "%32", "%33", KZ_SUMS_32(sums));            \
        else if constexpr (N == 96)                                                              \
            KZ_WGMMA("m64n96k16", type, KZ_NAMES_48, "%48", "%49", KZ_SUMS_48(sums));            \
        else if constexpr (N == 128)                                                             \
            KZ_WGMMA("m64n128k16", type, KZ_NAMES_64, "%64", "%65", KZ_SUMS_64(sums));           \
        else                                                                                     \
            KZ_WGMMA("m64n192k16", type, KZ_NAMES_96, "%96", "%97", KZ_SUMS_96(sums));           \
    } while (0)

/* sums += a b: 64 rows of a, N (32, 64, 96, 128 or 192) of b, 16 elements of K. */
template <int N> KZ_DEVICE void kz_matrix_product(float *sums, uint64_t a, uint64_t b, __half)
{
    KZ_WGMMA_ALL("f16");
}

template <int N>
KZ_DEVICE void kz_matrix_product(float *sums, uint64_t a, uint64_t b, __nv_bfloat16)
{
    KZ_WGMMA_ALL("bf16");
}

#endif

#else

KZ_DEVICE uint64_t kz_matrix(const void *from, unsigned leading, unsigned stride)
{
    const auto *base = static_cast<const char *>(twin::self().shared);
    return kz_matrix_at((unsigned)(static_cast<const char *>(from) - base), leading, stride);
}

KZ_DEVICE int kz_uniform(int value)
{
    return value;
}

KZ_DEVICE void kz_copies_close(void)
{
    twin::close_group(twin::COPIES);
}

template <int LEFT> void kz_copies_wait_for_products(void)
{
    twin::wait_groups(twin::COPIES, LEFT);
}

KZ_DEVICE void kz_turn(void)
{
    twin::block_barrier();
}

KZ_DEVICE void kz_products_begin(void)
{
    twin::warp_barrier();
}

KZ_DEVICE void kz_products_close(void)
{
    twin::close_group(twin::PRODUCTS);
}

template <int LEFT> void kz_products_wait(void)
{
    twin::wait_groups(twin::PRODUCTS, LEFT);
}

template <int COUNT> void kz_sums_done(float *)
{
}

/* Row `row` of a matrix as numbers, of all its fields; the rest of the 64 bits must be zeros: no
 * base offset, no swizzle. */
template <class T> void kz_matrix_row(float to[16], uint64_t matrix, unsigned row)
{
    const auto field = [=](unsigned bit) { return (unsigned)(matrix >> bit & 0x3fff) * 16; };
    const auto *from = static_cast<const char *>(twin::self().shared) + field(0);
    if (matrix & ~(uint64_t)0x3fff3fff3fff)
        twin::fail("a matrix with other fields than three");
    from += row / 8 * field(32) + row % 8 * 16;
    for (unsigned half = 0; half < 2; half++) {
        T elements[8];
        std::memcpy(elements, from + half * field(16), sizeof(elements));
        for (unsigned i = 0; i < 8; i++)
            to[8 * half + i] = kz_float(elements[i]);
    }
}

/* What one thread gets of it; nothing says when another warp of the four is as far. */
template <int N, class T> void kz_matrix_product_now(float *sums, uint64_t a, uint64_t b, T)
{
    const unsigned thread = twin::self().index.x % 128, lane = thread % 32;
    float rows[2][16], column[16];
    for (unsigned i = 0; i < 2; i++)
        kz_matrix_row<T>(rows[i], a, thread / 32 * 16 + lane / 4 + 8 * i);
    for (unsigned j = 0; j < N / 8; j++)
        for (unsigned k = 0; k < 2; k++) {
            kz_matrix_row<T>(column, b, 8 * j + 2 * (lane % 4) + k);
            for (unsigned i = 0; i < 2; i++)
                for (unsigned e = 0; e < 16; e++)
                    sums[4 * j + 2 * i + k] += rows[i][e] * column[e];
        }
}

template <int N, class T> void kz_matrix_product(float *sums, uint64_t a, uint64_t b, T)
{
    twin::later(twin::PRODUCTS, {sums, N / 2 * sizeof(*sums)},
                [=] { kz_matrix_product_now<N>(sums, a, b, T()); });
}

#endif

#endif
