#include "backend/kernels/near.h"

enum { TILE = KZ_NEAR_TILE };

/* Of Toom and Cook for any points, the last at infinity. */
void kz_near_filters(double G[TILE][3])
{
    static const double points[TILE - 1] = {0, KZ_NEAR_A, -KZ_NEAR_A, KZ_NEAR_B, -KZ_NEAR_B};
    for (int i = 0; i < TILE - 1; i++) {
        double divisor = 1, power = 1;
        for (int j = 0; j < TILE - 1; j++)
            divisor *= j == i ? 1 : points[i] - points[j];
        for (int k = 0; k < 3; k++, power *= points[i])
            G[i][k] = power / divisor;
    }
    G[TILE - 1][0] = G[TILE - 1][1] = 0;
    G[TILE - 1][2] = 1;
}
