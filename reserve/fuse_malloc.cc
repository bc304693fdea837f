// malloc and its kin for the whole program, the C library included: the fuse in front, jemalloc
// behind. Contracts are those of the C library. The names inside jemalloc's archive were changed by
// jemalloc_symbols.txt. operator new and delete come from libstdc++ and end here.
//
// Empty under a sanitizer, which owns malloc: there is no fuse then.
#include "reserve/fuse.h"

#if !defined(HF_SANITIZED)

#include <unistd.h>

#include <cerrno>
#include <cstddef>

extern "C" {

void* holdfast_je_malloc(std::size_t bytes) noexcept;
void* holdfast_je_calloc(std::size_t count, std::size_t each) noexcept;
void* holdfast_je_realloc(void* old, std::size_t bytes) noexcept;
void holdfast_je_free(void* old) noexcept;
void* holdfast_je_aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept;
int holdfast_je_posix_memalign(void** out, std::size_t alignment, std::size_t bytes) noexcept;
void* holdfast_je_memalign(std::size_t alignment, std::size_t bytes) noexcept;
void* holdfast_je_valloc(std::size_t bytes) noexcept;
std::size_t holdfast_je_malloc_usable_size(void* old) noexcept;

// Read by jemalloc when it boots, before main(). One arena; nothing cached per thread; nothing
// given back by time, so that no call ever unmaps; no thread of its own; no huge pages; no second
// arena for large objects; and any free extent, however large, may be cut for a small wish: by
// default one of more than 64 times the size is spared, and the heap would grow instead.
extern const char* const holdfast_je_malloc_conf;
const char* const holdfast_je_malloc_conf =
    "narenas:1,tcache:false,dirty_decay_ms:-1,muzzy_decay_ms:-1,retain:false,dss:disabled,"
    "background_thread:false,metadata_thp:disabled,thp:never,oversize_threshold:0,"
    "lg_extent_max_active_fit:40";
extern const char* const holdfast_je_malloc_conf_harder;
const char* const holdfast_je_malloc_conf_harder = nullptr;

#define HF_FUSE(name) ::holdfast::reserve::fuse::on_heap_call(name, __builtin_return_address(0))

void* malloc(std::size_t bytes) noexcept {
    HF_FUSE("malloc");
    return holdfast_je_malloc(bytes);
}

void* calloc(std::size_t count, std::size_t each) noexcept {
    HF_FUSE("calloc");
    return holdfast_je_calloc(count, each);
}

void* realloc(void* old, std::size_t bytes) noexcept {
    HF_FUSE("realloc");
    return holdfast_je_realloc(old, bytes);
}

void free(void* old) noexcept {
    // free(nullptr) touches no memory, and library code does it as a matter of form.
    if (old == nullptr) return;
    HF_FUSE("free");
    holdfast_je_free(old);
}

void* aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept {
    HF_FUSE("aligned_alloc");
    return holdfast_je_aligned_alloc(alignment, bytes);
}

int posix_memalign(void** out, std::size_t alignment, std::size_t bytes) noexcept {
    HF_FUSE("posix_memalign");
    return holdfast_je_posix_memalign(out, alignment, bytes);
}

void* memalign(std::size_t alignment, std::size_t bytes) noexcept {
    HF_FUSE("memalign");
    return holdfast_je_memalign(alignment, bytes);
}

void* valloc(std::size_t bytes) noexcept {
    HF_FUSE("valloc");
    return holdfast_je_valloc(bytes);
}

void* pvalloc(std::size_t bytes) noexcept {
    HF_FUSE("pvalloc");
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    std::size_t padded = 0;
    if (__builtin_add_overflow(bytes, page - 1, &padded)) {
        errno = ENOMEM;
        return nullptr;
    }
    return holdfast_je_memalign(page, padded / page * page);
}

std::size_t malloc_usable_size(void* old) noexcept {
    return holdfast_je_malloc_usable_size(old);
}

#undef HF_FUSE

}  // extern "C"

#endif
