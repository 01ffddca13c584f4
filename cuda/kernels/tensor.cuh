/* What a warp does together: loading fragments from shared memory, multiplying them on tensor
 * cores, and copies that the threads don't wait for. Each has a twin for the host.
 *
 * Fragments of 16-bit elements are those of PTX's mma.m16n8k16. Lane l holds, two elements a
 * register (group g = l / 4, pair t = l % 4): a[0 … 3]: rows g, g + 8, g, g + 8, columns 2t, 2t + 1
 * of the first, first, second, second eight b[0 … 1]: column g, rows 2t, 2t + 1 of the first and
 * the second eight c[0 … 3]: row g columns 2t, 2t + 1, row g + 8 columns 2t, 2t + 1
 *
 * In TF32 it is mma.m16n8k8, one element a register, with t for 2t, 2t + 1 and four for eight: of
 * the same bytes. What is multiplied must be rounded before. */
#ifndef KZ_CUDA_KERNELS_TENSOR_CUH
#define KZ_CUDA_KERNELS_TENSOR_CUH

#include "cuda/half.h"
#include "cuda/kernels/target.cuh"

#if defined(__CUDACC__)

KZ_DEVICE unsigned kz_shared_address(const void *p)
{
    return (unsigned)__cvta_generic_to_shared(p);
}

/* What lane l ^ mask has. */
KZ_DEVICE float kz_exchange(float value, int mask)
{
    return __shfl_xor_sync(0xffffffff, value, mask);
}

/* Four 8×8 matrices: `row` is row l % 8 of matrix l / 8, 16 bytes. */
KZ_DEVICE void kz_load_fragments(unsigned r[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(kz_shared_address(row)));
}

/* c += a b */
KZ_DEVICE void kz_multiply(float c[4], const unsigned a[4], const unsigned b[2], __half)
{
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, "
                 "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    for (int half = 0; half < 2; half++)
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, "
                     "{%4,%5}, {%6}, {%0,%1,%2,%3};"
                     : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                     : "r"(a[2 * half]), "r"(a[2 * half + 1]), "r"(b[half]));
#endif
}

/* Devices before 8.0 have no bf16; the plan refuses it there. */
KZ_DEVICE void kz_multiply(float c[4], const unsigned a[4], const unsigned b[2], __nv_bfloat16)
{
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, "
                 "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

/* Devices before 8.0 have no TF32 either. */
KZ_DEVICE void kz_multiply(float c[4], const unsigned a[4], const unsigned b[2], kz_tf32)
{
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, "
                 "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

/* fp32 to the nearest TF32, ties away from 0; other types are what they should be. */
KZ_DEVICE void kz_round_fragments(unsigned r[4], kz_tf32)
{
#if __CUDA_ARCH__ >= 800
    for (int i = 0; i < 4; i++)
        asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r[i]) : "f"(__uint_as_float(r[i])));
#endif
}

/* Copies 16 bytes to shared memory, or clears them; done at the latest after kz_copies_wait().
 * `src` is never read where it isn't `there`. */
KZ_DEVICE void kz_copy_16(void *shared, const void *src, bool there)
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(kz_shared_address(shared)),
                 "l"(src), "r"(there ? 16 : 0)
                 : "memory");
#else
    *(uint4 *)shared = there ? *(const uint4 *)src : make_uint4(0, 0, 0, 0);
#endif
}

/* The same with 4 bytes. */
KZ_DEVICE void kz_copy_4(void *shared, const void *src, bool there)
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(kz_shared_address(shared)),
                 "l"(src), "r"(there ? 4 : 0)
                 : "memory");
#else
    *(unsigned *)shared = there ? *(const unsigned *)src : 0;
#endif
}

KZ_DEVICE void kz_copies_wait(void)
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

#else

KZ_DEVICE unsigned kz_lane(void)
{
    return twin::self().index.x % twin::LANES;
}

KZ_DEVICE float kz_exchange(float value, int mask)
{
    const unsigned lane = kz_lane();
    float other;
    std::memcpy(twin::slot(lane), &value, sizeof(value));
    twin::warp_barrier();
    std::memcpy(&other, twin::slot(lane ^ (unsigned)mask), sizeof(other));
    twin::warp_barrier();
    return other;
}

KZ_DEVICE void kz_load_fragments(unsigned r[4], const void *row)
{
    const unsigned lane = kz_lane();
    std::memcpy(twin::slot(lane), &row, sizeof(row));
    twin::warp_barrier();
    for (unsigned i = 0; i < 4; i++) {
        const char *from;
        std::memcpy(&from, twin::slot(8 * i + lane / 4), sizeof(from));
        std::memcpy(&r[i], from + 4 * (lane % 4), 4);
    }
    twin::warp_barrier();
}

template <class T> void kz_unpack(float *to, const unsigned *from, int count)
{
    T elements[8];
    std::memcpy(elements, from, (size_t)count * sizeof(T));
    for (int i = 0; i < count; i++)
        to[i] = kz_float(elements[i]);
}

/* Each lane hands over 8 elements of a and 4 of b, as numbers. */
template <class T> void kz_multiply(float c[4], const unsigned a[4], const unsigned b[2], T)
{
    const unsigned lane = kz_lane(), g = lane / 4, t = lane % 4;
    float mine[12];
    kz_unpack<T>(mine, a, 8);
    kz_unpack<T>(mine + 8, b, 4);
    std::memcpy(twin::slot(lane), mine, sizeof(mine));
    twin::warp_barrier();
    enum { SLOT = twin::SLOT_BYTES / sizeof(float) };
    const float *all = static_cast<const float *>(twin::slot(0));
    for (unsigned k = 0; k < 16; k++) {
        const unsigned pair = k % 8 / 2, in_a = k / 8 * 4 + k % 2, in_b = 8 + k / 8 * 2 + k % 2;
        const float *row = all + (4 * g + pair) * SLOT + in_a;
        const float *column = all + (8 * t + pair) * SLOT + in_b;
        c[0] += row[0] * column[0];
        c[1] += row[0] * column[4 * SLOT];
        c[2] += row[2] * column[0];
        c[3] += row[2] * column[4 * SLOT];
    }
    twin::warp_barrier();
}

/* Each lane hands over 4 elements of a and 2 of b. */
KZ_DEVICE void kz_multiply(float c[4], const unsigned a[4], const unsigned b[2], kz_tf32)
{
    const unsigned lane = kz_lane(), g = lane / 4, t = lane % 4;
    const unsigned mine[] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    for (unsigned bits : mine)
        if (bits & KZ_TF32_REST)
            twin::fail("a product of what isn't rounded to TF32");
    std::memcpy(twin::slot(lane), mine, sizeof(mine));
    twin::warp_barrier();
    enum { SLOT = twin::SLOT_BYTES / sizeof(float) };
    const float *all = static_cast<const float *>(twin::slot(0));
    for (unsigned k = 0; k < 8; k++) {
        const float *row = all + (4 * g + k % 4) * SLOT + k / 4 * 2;
        const float *column = all + (8 * t + k % 4) * SLOT + 4 + k / 4;
        c[0] += row[0] * column[0];
        c[1] += row[0] * column[4 * SLOT];
        c[2] += row[1] * column[0];
        c[3] += row[1] * column[4 * SLOT];
    }
    twin::warp_barrier();
}

KZ_DEVICE void kz_round_fragments(unsigned r[4], kz_tf32)
{
    for (int i = 0; i < 4; i++)
        r[i] = kz_to_tf32(r[i]);
}

template <size_t BYTES> void kz_copy(void *shared, const void *src, bool there)
{
    twin::later(twin::COPIES, {}, [=] {
        if (there)
            std::memcpy(shared, src, BYTES);
        else
            std::memset(shared, 0, BYTES);
    });
}

KZ_DEVICE void kz_copy_16(void *shared, const void *src, bool there)
{
    kz_copy<16>(shared, src, there);
}

KZ_DEVICE void kz_copy_4(void *shared, const void *src, bool there)
{
    kz_copy<4>(shared, src, there);
}

KZ_DEVICE void kz_copies_wait(void)
{
    twin::wait_all(twin::COPIES);
}

#endif

template <class T> KZ_DEVICE void kz_round_fragments(unsigned[4], T)
{
}

#endif
