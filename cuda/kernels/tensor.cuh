/* What a warp does together: loading fragments from shared memory, multiplying them on tensor
 * cores, and copies that the threads don't wait for. Each has a twin for the host.
 *
 * Fragments are those of PTX's mma.m16n8k16. Lane l holds, two elements a register (group g = l /
 * 4, pair t = l % 4): a[0 … 3]: rows g, g + 8, g, g + 8, columns 2t, 2t + 1 of the first, first,
 * second, second eight b[0 … 1]: column g, rows 2t, 2t + 1 of the first and the second eight c[0 …
 * 3]: row g columns 2t, 2t + 1, row g + 8 columns 2t, 2t + 1 */
#ifndef KZ_CUDA_KERNELS_TENSOR_CUH
#define KZ_CUDA_KERNELS_TENSOR_CUH

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

#endif
