/// The part of the memory plan that is the process itself: text, constants, data, stack, heap, as
/// found in memory at the start of main(). Together with the arena's lines it is what VmLck will
/// say. Effectful: reads /proc/self/smaps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/errno.h"
#include "base/strong.h"
#include "reserve/plan.h"

namespace holdfast::reserve {

/// Sizes of the process's own mappings. Kernel mappings (vdso) and pages without access are not in.
struct ImageFacts {
    ByteCount text;       ///< Executable, program and libraries.
    ByteCount constants;  ///< Read-only pages of files.
    ByteCount data;       ///< Writable pages of files, .bss, and what the loader made.
    ByteCount stack;
    ByteCount sparse;  ///< Present pages of the sparse ranges: heap and its tables.

    /// What RssAnon shows of it once locked; constants and text are RssFile.
    [[nodiscard]] ByteCount anonymous() const noexcept { return data + stack + sparse; }
};

/// Call at the start of main(), before anything else is mapped. `sparse` as in lock_memory().
[[nodiscard]] OrErrno<ImageFacts> measure_image(
    std::span<const std::span<const std::byte>> sparse) noexcept;

/// Adds the image's lines. `heap_more`: what heap::limit() allows the heap to take on top.
void add_image_to_plan(MemoryPlan& plan, const ImageFacts& image, ByteCount heap_more) noexcept;

}  // namespace holdfast::reserve
