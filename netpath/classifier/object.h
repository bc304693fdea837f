/// The compiled BPF object, part of this program.
#pragma once

#include <cstddef>
#include <span>

namespace holdfast::netpath::classifier {

/// An ELF file for the BPF machine.
[[nodiscard]] std::span<const std::byte> classifier_object() noexcept;

}  // namespace holdfast::netpath::classifier
