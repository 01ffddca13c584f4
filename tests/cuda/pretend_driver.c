/* A libcuda.so.1 for machines without a GPU. Loads and finds any kernel, which is all that cuDNN
 * asks for when it makes a plan for a GPU that is only described, and says no to everything else.
 */
enum { NO_DEVICE = 100 };

static int succeed(void **made)
{
    static char something;
    *made = &something;
    return 0;
}

int cuInit(unsigned flags)
{
    (void)flags;
    return NO_DEVICE;
}

int cuDriverGetVersion(int *version)
{
    *version = 13000;
    return 0;
}

int cuLibraryLoadData(void **library)
{
    return succeed(library);
}

int cuLibraryGetKernel(void **kernel)
{
    return succeed(kernel);
}

int cuLibraryGetModule(void **module)
{
    return succeed(module);
}

int cuKernelGetFunction(void **function)
{
    return succeed(function);
}

int cuModuleLoadData(void **module)
{
    return succeed(module);
}

int cuModuleLoadDataEx(void **module)
{
    return succeed(module);
}

int cuModuleGetFunction(void **function)
{
    return succeed(function);
}

int cuOccupancyMaxActiveClusters(int *clusters)
{
    *clusters = 1;
    return 0;
}

#define YES(name)  \
    int name(void) \
    {              \
        return 0;  \
    }
#define NO(name)          \
    int name(void)        \
    {                     \
        return NO_DEVICE; \
    }

/* clang-format off */
YES(cuLibraryUnload) YES(cuModuleUnload) YES(cuKernelSetAttribute) YES(cuFuncSetAttribute)
NO(cuGetErrorName) NO(cuGetErrorString) NO(cuGetProcAddress) NO(cuGetProcAddress_v2)
NO(cuCtxGetCurrent) NO(cuCtxGetLimit) NO(cuCtxPopCurrent) NO(cuCtxPushCurrent) NO(cuStreamGetCtx)
NO(cuLinkCreate) NO(cuLinkAddData) NO(cuLinkComplete) NO(cuLinkDestroy)
NO(cuLaunchKernel) NO(cuLaunchKernelEx) NO(cuLaunchCooperativeKernel)
NO(cuDeviceGetCount) NO(cuDeviceGet) NO(cuLibraryLoadFromFile) NO(cuKernelGetAttribute)
NO(cuOccupancyMaxPotentialClusterSize)
    /* clang-format on */
